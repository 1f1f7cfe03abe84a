package endpoint

import (
	"context"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A Tap receives a copy of everything that this node and its peers say to each other once they are
// peered, control messages included, in the order in which it is written and read. What is written is
// seen right before, also if the connection breaks then. It costs the node next to nothing until
// there is one, and never holds up anybody: what it has no room for is counted.
type Tap struct {
	ep      *Endpoint
	queue   *queue
	reading atomic.Bool

	// What the reader has in hand.
	runs []run
	rest []byte // frames of runs[0] that are still to come
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

// tap gives the whole frames that were read to all taps, before anything comes of them: a question is
// seen before its answer.
func (d *dispatcher) tap() {
	in := d.p.in
	r := run{seg: in.seg, from: in.at, to: in.at}
	for b := in.pending(); len(b) >= wire.FrameHeaderLen; b = b[frameLen(b):] {
		n := frameLen(b)
		if n > len(b) || n > d.limit+wire.FrameHeaderLen {
			break
		}
		r.to += n
		r.count++
	}
	if r.count > 0 {
		d.p.ep.tapped(r, &d.p.received)
	}
}

// Frames returns what is seen, until ctx ends, or the tap or the endpoint is closed. One goroutine at a
// time may read; a loop that was left goes on where it stopped.
func (t *Tap) Frames(ctx context.Context) iter.Seq[TapFrame] {
	return func(yield func(TapFrame) bool) {
		if !t.reading.CompareAndSwap(false, true) {
			panic("endpoint: two goroutines read from one tap")
		}
		defer t.reading.Store(false)
		for t.drain(yield) && ctx.Err() == nil {
			var ok bool
			if t.runs, ok = t.queue.take(); len(t.runs) > 0 {
				t.rest = t.runs[0].whole()
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

// drain yields what is in hand. It reports whether the loop goes on.
func (t *Tap) drain(yield func(TapFrame) bool) bool {
	for len(t.runs) > 0 {
		for l := t.runs[0].link; len(t.rest) > 0; {
			n := frameLen(t.rest)
			f := TapFrame{Peer: l.peer.id, Addr: l.peer.addr, Sent: l.sent, Body: t.rest[wire.FrameHeaderLen:n:n]}
			if t.rest = t.rest[n:]; !yield(f) {
				return false
			}
		}
		if t.runs = t.runs[1:]; len(t.runs) > 0 {
			t.rest = t.runs[0].whole()
		}
	}
	return true
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
