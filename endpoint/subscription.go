package endpoint

import (
	"context"
	"iter"
	"sync/atomic"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A Subscription receives the messages of the topics that it was made for, from every peer. One
// goroutine at a time may read from it.
type Subscription struct {
	ep       *Endpoint
	topics   []string
	queue    *queue
	loopback bool
	commands bool
	statuses bool
	claim    string // see Alone

	received atomic.Uint64
	reading  atomic.Bool
	hub      routeCache // of what the subscription publishes; the lock of the outbox guards it

	// What the reader has in hand.
	runs  []run
	rest  []byte // frames of runs[0] that are still to come
	topic string // of the last message
}

// SubscriptionStats counts what a subscription has seen.
type SubscriptionStats struct {
	Received uint64 // messages handed out
	Dropped  uint64 // messages lost because the queue was full
	Queued   int    // messages that wait
	Bytes    int    // bytes of memory that they keep
}

// Topics returns the topics as given to Subscribe. The caller must not change them.
func (s *Subscription) Topics() []string { return s.topics }

// Stats returns what the subscription has seen so far.
func (s *Subscription) Stats() SubscriptionStats {
	messages, size := s.queue.depth()
	return SubscriptionStats{Received: s.received.Load(), Dropped: s.queue.lost(), Queued: messages, Bytes: size}
}

// Buffered tells whether another message can be had without waiting. It is for the reader, who may want
// to flush what it writes before it waits.
func (s *Subscription) Buffered() bool {
	return len(s.rest) > 0 || len(s.runs) > 0 || s.queue.buffered()
}

// PublishPayload sends an encoded value in the name of the subscription, as what Broker calls a hub:
// to the peers, and to every other subscription of this node, with loopback or without, but not to
// this one. For the rest it is like [Endpoint.PublishPayload].
func (s *Subscription) PublishPayload(ctx context.Context, topic string, payload []byte) (receivers int, err error) {
	s.ep.outbox.hubs.Store(true)
	return s.ep.publishPayload(ctx, &s.hub, topic, payload)
}

// takes tells whether the subscription takes messages of a type: data always, commands on request.
func (s *Subscription) takes(t wire.MessageType) bool { return s.commands || t == wire.TypeData }

// Messages returns the messages as they come. The loop ends when ctx does, when the subscription is
// closed, or when its queue ran over and its policy is [Disconnect]; [Subscription.Err] tells which.
// A message is valid until the next one is asked for.
func (s *Subscription) Messages(ctx context.Context) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for m := range s.events(ctx) {
			if m.Status == nil && !yield(m.Message) {
				return
			}
		}
	}
}

// An Event is a status of a peer or, if Status is nil, a message.
type Event struct {
	Status  *Status
	Message Message
}

// Events returns messages and statuses in the one order in which they happened: a peer is added
// before its first message, and lost or removed after its last. Statuses come only to a subscription
// made with [WithStatus].
func (s *Subscription) Events(ctx context.Context) iter.Seq[Event] { return s.events(ctx) }

func (s *Subscription) events(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		if !s.reading.CompareAndSwap(false, true) {
			panic("endpoint: two goroutines read from one subscription")
		}
		defer s.reading.Store(false)
		for {
			if !s.drain(yield) {
				return
			}
			if ctx.Err() != nil {
				return
			}
			var ok bool
			if s.runs, ok = s.queue.take(); len(s.runs) > 0 {
				continue
			}
			if !ok {
				return
			}
			if s.loopback || s.ep.outbox.hubs.Load() {
				s.ep.outbox.flush(s.queue)
			}
			select {
			case <-s.queue.wake:
			case <-ctx.Done():
				return
			}
		}
	}
}

// drain yields what is in hand. It reports whether the loop goes on.
func (s *Subscription) drain(yield func(Event) bool) bool {
	for {
		seen := uint64(0)
		for len(s.rest) > 0 {
			m, n := messageAt(s.rest, s.topic)
			s.topic, s.rest = m.topic, s.rest[n:]
			seen++
			if !yield(Event{Message: m}) {
				s.received.Add(seen)
				return false
			}
		}
		if seen > 0 {
			s.received.Add(seen)
		}
		if len(s.runs) == 0 {
			return true
		}
		next := s.runs[0]
		s.runs = s.runs[1:]
		if next.status != nil {
			if !yield(Event{Status: next.status}) {
				return false
			}
			continue
		}
		s.rest = next.bytes()
	}
}

// Err tells why the loop over a subscription ended: nil if it was its context, [ErrClosed] after
// Close, [ErrOverflow] if the queue ran over.
func (s *Subscription) Err() error {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	switch {
	case s.queue.overflowed:
		return ErrOverflow
	case s.queue.closed:
		return ErrClosed
	}
	return nil
}

// Close ends the subscription. Messages that wait are dropped, and the loop over them ends.
func (s *Subscription) Close() {
	s.queue.abandon() // first, so that unsubscribe finds the last count of what was dropped
	s.ep.unsubscribe(s)
}
