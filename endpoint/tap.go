package endpoint

import (
	"context"
	"iter"
	"slices"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A Tap receives a copy of everything that this node and its peers say to each other once they are
// peered, control messages included. It costs the node next to nothing until there is one, and never
// holds up anybody: what it has no room for is counted.
type Tap struct {
	ep    *Endpoint
	queue *queue
}

// A link is one direction of a peering, as it shows in a tap.
type link struct {
	peer *peer
	sent bool
}

// A TapFrame is one frame that was seen. The body is valid until the next one is asked for.
type TapFrame struct {
	Peer wire.EndpointID // on the other end
	Addr string          // its address
	Sent bool            // by this node; otherwise received
	Body []byte          // the frame without its length; see wire.ParseEnvelope
}

// Tap begins to copy traffic. The limits bound what waits for a slow reader; only [DropOldest] and
// [DropNewest] are policies for a tap.
func (e *Endpoint) Tap(limits QueueLimits) (*Tap, error) {
	limits, err := limits.withDefaults()
	if err != nil {
		return nil, err
	}
	if limits.Policy != DropNewest {
		limits.Policy = DropOldest
	}
	t := &Tap{ep: e, queue: newQueue(limits)}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return nil, ErrClosed
	}
	e.setTaps(append(slices.Clone(e.allTaps()), t))
	return t, nil
}

// allTaps returns the taps that there are.
func (e *Endpoint) allTaps() []*Tap {
	if taps := e.taps.Load(); taps != nil {
		return *taps
	}
	return nil
}

// setTaps replaces the taps, with the lock held.
func (e *Endpoint) setTaps(taps []*Tap) {
	if len(taps) == 0 {
		e.taps.Store(nil)
		return
	}
	e.taps.Store(&taps)
}

// tapped gives a run that was received or sent to all taps.
func (e *Endpoint) tapped(r run, l *link) {
	r.link = l
	for _, t := range e.allTaps() {
		t.queue.push(r)
	}
}

// Frames returns what is seen, until ctx ends or the tap is closed.
func (t *Tap) Frames(ctx context.Context) iter.Seq[TapFrame] {
	return func(yield func(TapFrame) bool) {
		for ctx.Err() == nil {
			runs, ok := t.queue.take()
			for _, r := range runs {
				for b := r.bytes(); len(b) > 0; b = b[frameLen(b):] {
					n := frameLen(b)
					f := TapFrame{Peer: r.link.peer.id, Addr: r.link.peer.addr, Sent: r.link.sent, Body: b[wire.FrameHeaderLen:n:n]}
					if !yield(f) {
						return
					}
				}
			}
			if len(runs) > 0 {
				continue
			}
			if !ok {
				return
			}
			select {
			case <-t.queue.wake:
			case <-ctx.Done():
			}
		}
	}
}

// Dropped returns how many frames were lost because the reader was slow.
func (t *Tap) Dropped() uint64 { return t.queue.dropped.Load() }

// Close ends the tap.
func (t *Tap) Close() {
	e := t.ep
	e.mu.Lock()
	e.setTaps(slices.DeleteFunc(slices.Clone(e.allTaps()), func(other *Tap) bool { return other == t }))
	e.mu.Unlock()
	t.queue.abandon()
}
