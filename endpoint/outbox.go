package endpoint

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// An outbox is where messages of this node are encoded, once, whoever receives them. They stand side
// by side in a segment that all queues share. Adjacent messages with the same receivers form a run;
// the last run stays open, so that a message for busy receivers costs no more than its bytes. It is
// sealed, that is pushed to the queues, when a message with other receivers comes, when the segment
// is full, and when one of its receivers has nothing else to do.
type outbox struct {
	mu      sync.Mutex
	seg     *segment
	from    int    // where the open run begins
	count   int    // messages in the open run
	open    *route // its receivers
	room    int    // how many messages it may still take before somebody's queue is full
	largest int    // the largest recent message, to begin a new segment before one that will not fit
	cache   routeCache
}

// begin finds the receivers of topic and makes sure that they have room, waiting where a queue's
// policy says so. If there are any, it returns with the lock held and the buffer to append the
// message to; commit ends what begin began.
func (o *outbox) begin(ctx context.Context, snap *atomic.Pointer[routes], topic string) (buf []byte, r *route, err error) {
	for {
		o.mu.Lock()
		r = o.cache.publish(snap.Load(), topic)
		if len(r.targets) == 0 {
			o.mu.Unlock()
			return nil, r, nil
		}
		if r != o.open || o.room <= 0 {
			o.seal()
			var space <-chan struct{}
			var limits QueueLimits
			if o.room, limits, space = r.room(); space != nil {
				o.mu.Unlock()
				if err := waitForSpace(ctx, space, limits); err != nil {
					return nil, r, err
				}
				continue
			}
			o.open = r
		}
		if o.seg == nil || o.seg.room() < o.largest+o.largest/2+minRoom {
			o.seal()
			o.open = r
			if o.seg != nil {
				o.seg.release()
			}
			o.seg = newSegment(segmentSize)
			o.from = 0
		}
		return o.seg.filled(), r, nil
	}
}

// minRoom is what must be free in a segment for a message of unknown size to be tried in it.
const minRoom = 512

// commit takes the buffer that begin returned with a message appended, and unlocks.
func (o *outbox) commit(buf []byte) {
	start := o.seg.used
	size := len(buf) - start
	o.largest = min(max(size, o.largest-o.largest/64), segmentSize/8)
	o.room--
	if cap(buf) != len(o.seg.mem) {
		o.commitOutgrown(buf[start:])
	} else {
		o.seg.used = len(buf)
		o.count++
		if o.open.anyIdle() {
			o.seal()
		}
	}
	o.mu.Unlock()
}

// commitOutgrown sends a message that did not fit the segment and stands elsewhere now.
func (o *outbox) commitOutgrown(message []byte) {
	r := o.open
	o.seal()
	seg := newSegment(len(message))
	seg.used = copy(seg.mem, message)
	r.push(run{seg: seg, to: len(message), count: 1})
	seg.release()
	o.open = nil
}

// seal pushes the open run to its receivers, with the lock held.
func (o *outbox) seal() {
	if o.count > 0 {
		o.open.push(run{seg: o.seg, from: o.from, to: o.seg.used, count: o.count})
		o.from, o.count = o.seg.used, 0
	}
	o.open = nil
}

// flush seals the open run for a receiver that has nothing else to do.
func (o *outbox) flush() {
	o.mu.Lock()
	o.seal()
	o.mu.Unlock()
}

// forward sends on a frame of another node, to whoever is subscribed but the peer it came from. The
// caller has validated it. The sender becomes this node, the TTL is the one given.
func (o *outbox) forward(targets []*queue, self wire.EndpointID, frame []byte, ttl uint16) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seal()
	if o.seg == nil || o.seg.room() < len(frame) {
		if o.seg != nil {
			o.seg.release()
		}
		o.seg, o.from = newSegment(max(segmentSize, len(frame))), 0
	}
	start := o.seg.used
	o.seg.used += copy(o.seg.mem[start:], frame)
	body := o.seg.mem[start+wire.FrameHeaderLen : o.seg.used]
	copy(body, self[:])
	body[wire.TTLOffset], body[wire.TTLOffset+1] = byte(ttl>>8), byte(ttl)
	r := run{seg: o.seg, from: start, to: o.seg.used, count: 1}
	o.from = o.seg.used
	for _, q := range targets {
		q.push(r)
	}
}

// waitForSpace waits until a full queue has room.
func waitForSpace(ctx context.Context, space <-chan struct{}, limits QueueLimits) error {
	timer := time.NewTimer(limits.BlockTimeout)
	defer timer.Stop()
	select {
	case <-space:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %d messages or %d bytes wait for a receiver: %w", ErrFull, limits.Messages, limits.Bytes, ctx.Err())
	case <-timer.C:
		return fmt.Errorf("%w: %d messages or %d bytes wait for a receiver, and none was taken for %v", ErrFull, limits.Messages, limits.Bytes, limits.BlockTimeout)
	}
}
