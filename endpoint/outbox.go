package endpoint

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// An outbox is where messages of this node are encoded, once, whoever receives them. Messages of one
// route, that is with the same receivers, stand side by side in a segment that all their queues
// share: an open run, so that a message for busy receivers costs no more than its bytes. A run is
// sealed, that is pushed to the queues, when one of its receivers has nothing else to do or is about
// to get a message of another route, and when the segment is full.
type outbox struct {
	mu      sync.Mutex
	open    []*route // those with an open run
	last    *route   // of the last message, if its run is open
	largest int      // the largest recent message, to begin a new segment before one that will not fit

	data, commands routeCache // of what the node itself publishes, by type

	processed *[wire.TypePong + 1]atomic.Uint64 // messages by type, counted by the endpoint
	hubs      atomic.Bool                       // subscriptions publish, so those without loopback receive what is sent here
}

// An openRun is the end of a route at which messages are appended.
type openRun struct {
	seg   *segment // nil if none is open
	from  int      // where the run begins
	count int      // messages in it
	room  int      // how many it may still take before somebody's queue is full
	index int      // in outbox.open
}

// maxOpenRuns bounds how many runs are open at a time, each in a segment of its own.
const maxOpenRuns = 256

// begin finds the receivers of topic, with a cache that the lock guards, and makes sure that they have
// room, waiting where a queue's policy says so. If there are any, it returns with the lock held and
// the buffer to append the message to; commit ends what begin began.
func (o *outbox) begin(ctx context.Context, snap *atomic.Pointer[routes], cache *routeCache, topic string) (buf []byte, r *route, err error) {
	var since time.Time
	for {
		o.mu.Lock()
		r = cache.publish(snap.Load(), topic)
		if len(r.targets) == 0 {
			o.mu.Unlock()
			return nil, r, nil
		}
		if r != o.last {
			o.turnTo(r)
		}
		if r.run.room <= 0 {
			o.seal(r) // what is in the run takes room, too
			var space <-chan struct{}
			var limits QueueLimits
			if r.run.room, limits, space = r.room(); space != nil {
				o.mu.Unlock()
				if err := waitForSpace(ctx, space, limits, &since); err != nil {
					return nil, r, err
				}
				continue
			}
		}
		if r.run.seg == nil {
			o.start(r)
		} else if r.run.seg.room() < o.largest+o.largest/2+minRoom {
			room := r.run.room
			o.seal(r)
			o.start(r)
			r.run.room = room
		}
		o.last = r
		return r.run.seg.filled(), r, nil
	}
}

// minRoom is what must be free in a segment for a message of unknown size to be tried in it.
const minRoom = 512

// turnTo seals the runs that have receivers in common with r, whose turn it is now.
func (o *outbox) turnTo(r *route) {
	for _, q := range r.targets {
		if q.open != r {
			o.sealFor(q)
			q.open = r
		}
	}
}

// start opens the run of a route.
func (o *outbox) start(r *route) {
	if len(o.open) >= maxOpenRuns {
		o.seal(o.open[0])
	}
	for _, q := range r.targets {
		q.open = r
	}
	r.run.seg, r.run.from, r.run.index = newSegment(segmentSize), 0, len(o.open)
	o.open = append(o.open, r)
}

// commit takes the buffer that begin returned with a message appended, and unlocks.
func (o *outbox) commit(buf []byte, r *route) {
	seg := r.run.seg
	size := len(buf) - seg.used
	o.largest = min(max(size, o.largest-o.largest/64), segmentSize/8)
	r.run.room--
	if cap(buf) != len(seg.mem) {
		// It did not fit and stands elsewhere now.
		message := buf[seg.used:]
		o.seal(r)
		own := newSegment(len(message))
		own.used = copy(own.mem[:len(message)], message)
		o.published(r, 1, len(message))
		r.push(run{seg: own, to: len(message), count: 1})
		own.release()
	} else {
		seg.used = len(buf)
		r.run.count++
		if r.anyIdle() {
			o.seal(r)
		}
	}
	o.mu.Unlock()
}

// discard ends what begin began without a message.
func (o *outbox) discard(r *route) {
	if r.run.count == 0 {
		o.seal(r)
	}
	o.mu.Unlock()
}

// published counts messages that go out.
func (o *outbox) published(r *route, messages, bytes int) {
	r.traffic.published(messages, bytes)
	o.processed[r.kind].Add(uint64(messages))
}

// seal pushes the open run of a route to its receivers, with the lock held.
func (o *outbox) seal(r *route) {
	open := &r.run
	if open.seg == nil {
		return
	}
	if open.count > 0 {
		o.published(r, open.count, open.seg.used-open.from)
		r.push(run{seg: open.seg, from: open.from, to: open.seg.used, count: open.count})
	}
	open.seg.release()
	last := len(o.open) - 1
	o.open[open.index] = o.open[last]
	o.open[open.index].run.index = open.index
	o.open[last] = nil
	o.open = o.open[:last]
	r.run = openRun{}
	if o.last == r {
		o.last = nil
	}
	for _, q := range r.targets {
		if q.open == r {
			q.open = nil
		}
	}
}

// sealFor seals the run in which messages for q wait, if any, with the lock held.
func (o *outbox) sealFor(q *queue) {
	if q.open != nil {
		o.seal(q.open)
	}
}

// flush seals the run in which messages for q wait, since q has nothing else to do.
func (o *outbox) flush(q *queue) {
	o.mu.Lock()
	o.sealFor(q)
	o.mu.Unlock()
}

// flushAll seals all runs.
func (o *outbox) flushAll() {
	o.mu.Lock()
	for len(o.open) > 0 {
		o.seal(o.open[0])
	}
	o.mu.Unlock()
}

// forward sends on a frame of another node to targets. The caller has validated it. The sender becomes
// this node, the TTL is the one given.
func (o *outbox) forward(targets []*queue, self wire.EndpointID, frame []byte, ttl uint16) {
	seg := newSegment(len(frame))
	defer seg.release()
	seg.used = copy(seg.mem, frame)
	body := seg.mem[wire.FrameHeaderLen:seg.used]
	copy(body, self[:])
	body[wire.TTLOffset], body[wire.TTLOffset+1] = byte(ttl>>8), byte(ttl)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, q := range targets {
		o.sealFor(q)
		q.push(run{seg: seg, to: seg.used, count: 1})
	}
}

// waitForSpace waits until a full queue has room. since is when the caller began to wait, which may be
// several rooms ago that others were quicker to take; it is set at the first.
func waitForSpace(ctx context.Context, space <-chan struct{}, limits QueueLimits, since *time.Time) error {
	if since.IsZero() {
		*since = time.Now()
	}
	timer := time.NewTimer(limits.BlockTimeout - time.Since(*since))
	defer timer.Stop()
	select {
	case <-space:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %d messages or %d bytes wait for a receiver: %w", ErrFull, limits.Messages, limits.Bytes, ctx.Err())
	case <-timer.C:
		return fmt.Errorf("%w: %d messages or %d bytes wait for a receiver, and there was no room in %v", ErrFull, limits.Messages, limits.Bytes, limits.BlockTimeout)
	}
}
