package channel

import "encoding/binary"

// chunkSize is the memory that small events share. Large ones stand alone.
const chunkSize = 32 << 10

// A backlog holds numbered events that may be asked for again: those from some number on, without a
// gap, up to the newest.
type backlog struct {
	next   uint64   // the number of the next event
	events [][]byte // each behind 8 bytes that say which write it answers
	head   int      // events before it are dropped
	bytes  int
	chunk  []byte
}

// add adds an event under the next number. If it is not to be kept, nothing before it is, either.
func (b *backlog) add(event []byte, answers uint64, keep bool) {
	b.next++
	if !keep {
		b.dropTo(b.next - 1)
		return
	}
	if cap(b.chunk)-len(b.chunk) < 8+len(event) {
		b.chunk = make([]byte, 0, max(chunkSize, 8+len(event)))
	}
	at := len(b.chunk)
	b.chunk = append(binary.BigEndian.AppendUint64(b.chunk, answers), event...)
	if b.head == len(b.events) || len(b.events) == cap(b.events) && b.head >= len(b.events)/2 {
		n := copy(b.events, b.events[b.head:])
		clear(b.events[n:])
		b.events, b.head = b.events[:n], 0
	}
	b.events = append(b.events, b.chunk[at:len(b.chunk):len(b.chunk)])
	b.bytes += 8 + len(event)
}

// first returns the number of the oldest event that is kept, or the next one's.
func (b *backlog) first() uint64 { return b.next - uint64(len(b.events)-b.head) }

func (b *backlog) get(seq uint64) (event []byte, answers uint64, ok bool) {
	if seq < b.first() || seq >= b.next {
		return nil, 0, false
	}
	kept := b.events[b.head+int(seq-b.first())]
	return kept[8:], binary.BigEndian.Uint64(kept), true
}

// dropTo drops the events up to seq.
func (b *backlog) dropTo(seq uint64) {
	for b.head < len(b.events) && b.first() <= seq {
		b.bytes -= len(b.events[b.head])
		b.events[b.head] = nil
		b.head++
	}
	if b.head == len(b.events) {
		b.events, b.head, b.chunk = b.events[:0], 0, nil
	}
}
