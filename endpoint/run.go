package endpoint

import (
	"encoding/binary"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A run is a batch of frames that stand side by side in a segment and go the same way, or one
// status. Queues hold runs, not messages: that is what makes a message cost nanoseconds. If the segment
// has a tail, it belongs to the only frame.
type run struct {
	seg    *segment
	from   int
	to     int
	count  int // frames
	charge int // bytes of memory that the queue counts for it
	status *Status
	link   *link // in the queue of a tap: where it was seen
	bye    bool  // not a message, which counts if it is lost
}

// bytes returns the frames, of which the last goes on in the tail of the segment, if there is one.
func (r *run) bytes() []byte { return r.seg.mem[r.from:r.to:r.to] }

// whole returns the frames in one piece.
func (r *run) whole() []byte { return append(r.bytes(), r.seg.tail...) }

// size returns how many bytes the frames are.
func (r *run) size() int { return r.to - r.from + len(r.seg.tail) }

// frameLen returns the length of the first frame in b, its header included. Runs hold whole frames
// only.
func frameLen(b []byte) int { return wire.FrameHeaderLen + int(binary.BigEndian.Uint32(b)) }

// wholeRun makes a run of the frames in b, which must not be changed any more.
func wholeRun(b []byte) run {
	r := run{seg: adopt(b), to: len(b)}
	for at := 0; at < len(b); at += frameLen(b[at:]) {
		r.count++
	}
	return r
}

// skip drops the first n frames of the run.
func (r *run) skip(n int) {
	r.from = r.after(n)
	r.count -= n
}

// keep drops all but the first n frames of the run.
func (r *run) keep(n int) {
	r.to = r.after(n)
	r.count = n
}

// after returns where the first n frames end in the segment.
func (r *run) after(n int) int {
	b := r.bytes()
	at := 0
	for range n {
		at += frameLen(b[at:])
	}
	return r.from + min(at, len(b)) // the last may have a tail
}
