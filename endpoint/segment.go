package endpoint

import (
	"sync"
	"sync/atomic"
)

// segmentSize is the room in a pooled segment: some 600 small events. Twice or four times as much
// is no faster, a quarter of it costs a quarter of the speed.
const segmentSize = 64 << 10

// A segment is a piece of memory that holds frames, one after the other. Whoever fills it appends;
// runs in queues point into it and are read at the same time. What a run points at never changes
// until the last reference is gone.
type segment struct {
	mem  []byte // all of it; never replaced, so that readers need no lock
	used int    // how much is filled in; for the one who fills it
	tail []byte // the rest of the one frame in mem, if it stands elsewhere since others share it
	refs atomic.Int32
}

var segments = sync.Pool{New: func() any { return &segment{mem: make([]byte, segmentSize)} }}

// newSegment returns an empty segment with room for size bytes at least and one reference.
func newSegment(size int) *segment {
	if size > segmentSize {
		return adopt(make([]byte, 0, size))
	}
	s := segments.Get().(*segment)
	s.refs.Store(1)
	return s
}

// adopt makes a segment of its own out of bytes that outgrew another.
func adopt(buf []byte) *segment {
	s := &segment{mem: buf[:cap(buf)], used: len(buf)}
	s.refs.Store(1)
	return s
}

func (s *segment) retain() { s.refs.Add(1) }

func (s *segment) release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	if len(s.mem) == segmentSize {
		if poison {
			s.mem[0] = 0xdb
			for n := 1; n < len(s.mem); n *= 2 { // byte by byte takes a millisecond under the race detector
				copy(s.mem[n:], s.mem[:n])
			}
		}
		s.used, s.tail = 0, nil
		segments.Put(s)
	}
}

// room returns how many bytes still fit.
func (s *segment) room() int { return len(s.mem) - s.used }

// filled returns what is filled in, to be appended to.
func (s *segment) filled() []byte { return s.mem[:s.used] }
