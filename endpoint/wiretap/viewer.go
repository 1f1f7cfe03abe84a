package wiretap

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/capture"
)

// A viewer looks at the copies of the bytes of one connection, in the order in which they came.
type viewer struct {
	show    *Show
	number  int
	ends    [2]capture.End // the dialer, the listener
	streams [2]*capture.Stream
	foreign bool // a side is not Broker's, and that was told

	mu      sync.Mutex
	more    sync.Cond
	waiting []chunk
	size    int    // bytes in waiting
	missed  uint64 // bytes not taken since
	closed  bool
}

// A chunk is what was read at a time.
type chunk struct {
	at     time.Time
	side   int
	bytes  []byte
	missed uint64 // bytes of this connection that are missing before it
}

func newViewer(show *Show, number int, dialer, target string) *viewer {
	v := &viewer{
		show: show, number: number,
		ends:    [2]capture.End{{Name: capture.Dialer, Addr: dialer}, {Name: capture.Listener, Addr: target}},
		streams: [2]*capture.Stream{capture.NewStream(true), capture.NewStream(true)},
	}
	v.more.L = &v.mu
	return v
}

// push takes a copy of what one side sent, unless too much waits.
func (v *viewer) push(side int, b []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.size+len(b) > maxWaiting {
		v.missed += uint64(len(b))
		return
	}
	v.waiting = append(v.waiting, chunk{time.Now(), side, bytes.Clone(b), v.missed})
	v.size += len(b)
	v.missed = 0
	v.more.Signal()
}

// close says that nothing more comes.
func (v *viewer) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	v.more.Signal()
}

// take returns what waits, waiting for something if there is nothing.
func (v *viewer) take() (chunks []chunk, missed uint64, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(v.waiting) == 0 && !v.closed {
		v.more.Wait()
	}
	chunks, v.waiting = v.waiting, nil
	if v.closed {
		missed, v.missed = v.missed, 0
	}
	return chunks, missed, !v.closed || len(chunks) > 0
}

// release says that a chunk has been looked at.
func (v *viewer) release(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.size -= n
}

// look shows what comes until the end.
func (v *viewer) look() {
	for {
		chunks, missed, ok := v.take()
		for i, c := range chunks {
			v.chunk(c)
			v.release(len(c.bytes))
			chunks[i].bytes = nil
		}
		v.lost(time.Now(), missed)
		if !ok {
			break
		}
	}
	for side, stream := range v.streams {
		v.show.kept.Add(-int64(stream.Buffered()))
		stream.End(v.emitter(side, time.Now()))
	}
}

func (v *viewer) chunk(c chunk) {
	v.lost(c.at, c.missed)
	stream := v.streams[c.side]
	before := stream.Buffered()
	stream.Feed(c.bytes, v.emitter(c.side, c.at))
	if v.show.kept.Add(int64(stream.Buffered()-before)) > maxFrames {
		v.show.kept.Add(-int64(stream.Buffered()))
		stream.Lose()
		v.show.put(v.note(c.at, c.side, fmt.Sprintf("more than %d MiB wait for the rest of their frames: what this connection has is not shown", maxFrames>>20), true))
	}
}

// lost tells of bytes that there was no room for. Which side's they were is not known.
func (v *viewer) lost(at time.Time, n uint64) {
	if n == 0 {
		return
	}
	for _, stream := range v.streams {
		v.show.kept.Add(-int64(stream.Buffered()))
		stream.Lose()
	}
	v.show.put(v.note(at, 0, fmt.Sprintf("%d bytes were passed on but not shown: the output is too slow", n), true))
}

func (v *viewer) emitter(side int, at time.Time) func(*capture.Frame, int, string) {
	return func(f *capture.Frame, _ int, note string) {
		foreign := v.streams[side].Foreign()
		if foreign && v.foreign {
			return
		}
		v.foreign = v.foreign || foreign
		it := v.note(at, side, note, f == nil && !foreign)
		it.Frame = f
		v.show.put(it)
	}
}

// note returns an item of one side.
func (v *viewer) note(at time.Time, side int, text string, damage bool) capture.Item {
	return capture.Item{Time: at, Conn: v.number, From: v.ends[side], To: v.ends[1-side], Note: text, Damage: damage}
}
