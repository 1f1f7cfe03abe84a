package store

import (
	"context"
	"sync"

	"github.com/zeekpeer/zeekpeer/wire"
)

// inboxBytes bounds the commands that wait for the goroutine of a store. Beyond it nothing is taken from
// the subscription, whose queue then loses the oldest, which is asked for again.
const inboxBytes = 8 << 20

// aloneFrom is the length from which a command has memory of its own, so that it can be given back alone.
const aloneFrom = 64 << 10

// An inbox collects what a store has to deal with, so that its goroutine can take all of it at once.
type inbox struct {
	wake chan struct{} // holds a token when there is something

	mu     sync.Mutex
	batch  batch
	spare  batch         // the memory of the last one
	room   chan struct{} // closed when the batch is taken; nil if nobody waits
	closed bool
}

// A batch is what a store deals with at once.
type batch struct {
	items []item
	arena []byte
	bytes int
	ops   []*Pending
	calls []func()
}

// An item is a command of a peer, or that a peer came or went.
type item struct {
	from    wire.EndpointID
	kind    itemKind
	at, end int    // in the arena
	alone   []byte // or this
}

type itemKind uint8

const (
	itemCommand itemKind = iota
	itemPeerAdded
	itemPeerLost
)

// payload returns the command.
func (b *batch) payload(i *item) []byte {
	if i.alone != nil {
		return i.alone
	}
	return b.arena[i.at:i.end:i.end]
}

func (b *batch) empty() bool { return len(b.items)+len(b.ops)+len(b.calls) == 0 }

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// command adds a command, waiting for room until ctx ends.
func (in *inbox) command(ctx context.Context, from wire.EndpointID, payload []byte) {
	in.mu.Lock()
	for in.batch.bytes+len(payload) > inboxBytes && in.batch.bytes > 0 && !in.closed {
		if in.room == nil {
			in.room = make(chan struct{})
		}
		room := in.room
		in.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return
		}
		in.mu.Lock()
	}
	b := &in.batch
	it := item{from: from}
	if len(payload) >= aloneFrom {
		it.alone = append([]byte(nil), payload...)
	} else {
		it.at = len(b.arena)
		b.arena = append(b.arena, payload...)
		it.end = len(b.arena)
	}
	b.bytes += len(payload)
	b.items = append(b.items, it)
	in.unlock()
}

// peer adds that a peer came or went.
func (in *inbox) peer(id wire.EndpointID, kind itemKind) {
	in.mu.Lock()
	in.batch.items = append(in.batch.items, item{from: id, kind: kind})
	in.unlock()
}

// op adds an operation. It reports false after close.
func (in *inbox) op(p *Pending) bool {
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		return false
	}
	in.batch.ops = append(in.batch.ops, p)
	in.unlock()
	return true
}

// call has f called by the goroutine of the store. It reports false after close.
func (in *inbox) call(f func()) bool {
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		return false
	}
	in.batch.calls = append(in.batch.calls, f)
	in.unlock()
	return true
}

// unlock unlocks and wakes the goroutine of the store.
func (in *inbox) unlock() {
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// take returns all that waits. It is valid until the next call.
func (in *inbox) take() batch {
	in.mu.Lock()
	defer in.mu.Unlock()
	b := in.batch
	old := in.spare
	clear(old.items)
	clear(old.ops)
	clear(old.calls)
	in.batch = batch{items: old.items[:0], arena: old.arena[:0], ops: old.ops[:0], calls: old.calls[:0]}
	in.spare = b
	if in.room != nil {
		close(in.room)
		in.room = nil
	}
	return b
}

// close ends the inbox and returns what is left in it.
func (in *inbox) close() batch {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	return in.take()
}
