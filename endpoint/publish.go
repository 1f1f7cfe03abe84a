package endpoint

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// Publish sends a value to every peer that is subscribed to topic, and returns to how many peers (and
// subscriptions of this node with [WithLoopback]) it is addressed: 0 says that nobody will get it. What
// the policy of a full queue drops is counted there. It waits only for queues with the policy [Block],
// until ctx ends; then nothing is queued for anyone and the error is [ErrFull].
func (e *Endpoint) Publish(ctx context.Context, topic string, v data.Value) (receivers int, err error) {
	if err := data.CheckDepth(v); err != nil {
		return 0, err
	}
	buf, start, r, err := e.begin(ctx, &e.outbox.data, topic)
	if buf == nil {
		return 0, err
	}
	return e.commit(data.AppendValue(buf, v), start, r)
}

// eventLevels is how many containers the arguments of an event stand in.
const eventLevels = 3

// PublishEvent sends an event as Zeek does. It does not allocate. For the rest it is like Publish.
func (e *Endpoint) PublishEvent(ctx context.Context, topic, name string, args ...data.Value) (receivers int, err error) {
	for i := range args {
		if err := data.CheckDepthInside(args[i], eventLevels); err != nil {
			return 0, fmt.Errorf("args[%d]: %w", i, err)
		}
	}
	buf, start, r, err := e.begin(ctx, &e.outbox.data, topic)
	if buf == nil {
		return 0, err
	}
	return e.commit(zeek.AppendEvent(buf, name, args...), start, r)
}

// PublishPayload sends an encoded value. It is checked first, so that nothing goes out that a
// receiver could not read. For the rest it is like Publish.
func (e *Endpoint) PublishPayload(ctx context.Context, topic string, payload []byte) (receivers int, err error) {
	return e.publishPayload(ctx, &e.outbox.data, topic, payload)
}

// publishPayload is PublishPayload with the routes of whoever publishes: the node, or a subscription.
func (e *Endpoint) publishPayload(ctx context.Context, cache *routeCache, topic string, payload []byte) (receivers int, err error) {
	if err := e.checkPayload(topic, payload); err != nil {
		return 0, err
	}
	buf, start, r, err := e.begin(ctx, cache, topic)
	if buf == nil {
		return 0, err
	}
	return e.commit(append(buf, payload...), start, r)
}

// PublishCommand sends a command of a store to every peer that is subscribed to topic, and to the
// subscriptions of this node with [WithLoopback] and [WithCommands]. The payload is sent as it is. It
// never waits: what a full queue has no room for is lost, and counted there, whatever its policy, for
// stores ask again for what they miss. It does not allocate. For the rest it is like Publish.
func (e *Endpoint) PublishCommand(topic string, payload []byte) (receivers int, err error) {
	cache := &e.outbox.commands
	if err := e.checkSize(cache.kind, topic, len(payload)); err != nil {
		return 0, err
	}
	buf, start, r, err := e.begin(context.Background(), cache, topic)
	if buf == nil {
		return 0, err
	}
	return e.commit(append(buf, payload...), start, r)
}

// PublishTo sends an encoded value to one peer, whether it is subscribed or not. It reports whether
// the message was queued: it is not if that node is no peer, or if its queue is full and the policy
// is not to make room.
func (e *Endpoint) PublishTo(ctx context.Context, peer wire.EndpointID, topic string, payload []byte) (queued bool, err error) {
	if err := e.checkPublish(topic); err != nil {
		return false, err
	}
	if err := e.checkPayload(topic, payload); err != nil {
		return false, err
	}
	p, err := e.receiver(peer, wire.TypeData, topic)
	if p == nil || err != nil {
		return false, err
	}
	push := p.queue.push
	var since time.Time
	for p.queue.limits.Policy == Block {
		_, space := p.queue.roomFor()
		if space == nil {
			push = p.queue.pushExpected
			break
		}
		if err := waitForSpace(ctx, space, p.queue.limits, &since); err != nil {
			return false, err
		}
	}
	seg := addressed(e.id, p.id, wire.TypeData, topic, payload, nil)
	defer seg.release()
	return e.address(p, wire.TypeData, topic, run{seg: seg, to: seg.used, count: 1}, push) > 0, nil
}

// copyBelow is the length below which what several messages share is copied into each: it costs less
// than a write of its own.
const copyBelow = segmentSize

// PublishCommandTo sends a command of a store to one peer, whether it is subscribed or not. The payload
// is head and then shared, such as a snapshot that goes to many peers: it is not copied, and must not be
// changed any more. A shared part of 64 KiB or more does not count toward the bytes that the peer's queue
// may hold, so that small messages neither keep it out nor fall victim to it; but of several that wait
// for one peer together, those beyond that bound are refused. Like [Endpoint.PublishCommand] it never
// waits. It reports whether the message was queued, as [Endpoint.PublishTo] does.
func (e *Endpoint) PublishCommandTo(peer wire.EndpointID, topic string, head, shared []byte) (queued bool, err error) {
	if err := e.checkPublish(topic); err != nil {
		return false, err
	}
	if err := e.checkSize(wire.TypeCommand, topic, len(head)+len(shared)); err != nil {
		return false, err
	}
	p, err := e.receiver(peer, wire.TypeCommand, topic)
	if p == nil || err != nil {
		return false, err
	}
	seg := addressed(e.id, p.id, wire.TypeCommand, topic, head, shared)
	defer seg.release()
	return e.address(p, wire.TypeCommand, topic, run{seg: seg, to: seg.used, count: 1}, p.queue.push) > 0, nil
}

// PublishCommandsTo sends commands of a store to one peer, one after the other and for the price of one. It
// returns how many were queued. For the rest it is like PublishCommandTo.
func (e *Endpoint) PublishCommandsTo(peer wire.EndpointID, topic string, payloads iter.Seq[[]byte]) (queued int, err error) {
	if err := e.checkPublish(topic); err != nil {
		return 0, err
	}
	p, err := e.receiver(peer, wire.TypeCommand, topic)
	if p == nil || err != nil {
		return 0, err
	}
	var frames []byte
	count := 0
	for payload := range payloads {
		if err = e.checkSize(wire.TypeCommand, topic, len(payload)); err != nil {
			break
		}
		start := len(frames)
		frames = wire.AppendEnvelopeHeader(frames, e.id, peer, wire.TypeCommand, wire.DefaultTTL, topic)
		frames = wire.EndFrame(append(frames, payload...), start)
		count++
	}
	if count == 0 {
		return 0, err
	}
	seg := adopt(frames)
	defer seg.release()
	return e.address(p, wire.TypeCommand, topic, run{seg: seg, to: len(frames), count: count}, p.queue.push), err
}

// receiver returns the peer with an id, or nil, and an error if the rules keep a message from it.
func (e *Endpoint) receiver(id wire.EndpointID, t wire.MessageType, topic string) (*peer, error) {
	p := e.routes.Load().byID[id]
	if p == nil {
		return nil, nil
	}
	return p, p.mayReceive(t, []byte(topic))
}

// address queues messages for p alone, with push, and returns how many were queued.
func (e *Endpoint) address(p *peer, t wire.MessageType, topic string, r run, push func(run) int) int {
	e.outbox.flush(p.queue) // what was published before goes first
	e.traffic.counter([]byte(topic)).published(r.count, r.size())
	e.processed[t].Add(uint64(r.count))
	return push(r)
}

// addressed returns a segment that holds one message for one node.
func addressed(from, to wire.EndpointID, t wire.MessageType, topic string, head, shared []byte) *segment {
	var tail []byte
	if len(shared) >= copyBelow {
		shared, tail = nil, shared
	}
	frame := make([]byte, 0, wire.FrameHeaderLen+wire.EnvelopeHeaderLen+len(topic)+len(head)+len(shared))
	frame = wire.AppendEnvelopeHeader(frame, from, to, t, wire.DefaultTTL, topic)
	frame = append(append(frame, head...), shared...)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-wire.FrameHeaderLen+len(tail)))
	seg := adopt(frame)
	seg.tail = tail
	return seg
}

// begin finds the receivers of topic. If there are none, or with an error, buf is nil; otherwise a frame
// begins at start in buf, and its payload is to be appended and committed.
func (e *Endpoint) begin(ctx context.Context, cache *routeCache, topic string) (buf []byte, start int, r *route, err error) {
	if err := e.checkPublish(topic); err != nil {
		return nil, 0, nil, err
	}
	if buf, r, err = e.outbox.begin(ctx, &e.routes, cache, topic); buf == nil {
		return nil, 0, nil, err
	}
	start = len(buf)
	return wire.AppendEnvelopeHeader(buf, e.id, wire.EndpointID{}, cache.kind, wire.DefaultTTL, topic), start, r, nil
}

// commit ends what begin began.
func (e *Endpoint) commit(buf []byte, start int, r *route) (receivers int, err error) {
	if err := e.checkBody(r.kind, len(buf)-start-wire.FrameHeaderLen); err != nil {
		e.outbox.discard(r)
		return 0, err
	}
	e.outbox.commit(wire.EndFrame(buf, start), r)
	return len(r.targets), nil
}

// checkPayload refuses a payload that receivers could not read or would not accept.
func (e *Endpoint) checkPayload(topic string, payload []byte) error {
	if err := e.checkSize(wire.TypeData, topic, len(payload)); err != nil {
		return err
	}
	return data.Validate(payload)
}

// checkSize is checkBody for a message with a topic and a payload of size bytes.
func (e *Endpoint) checkSize(t wire.MessageType, topic string, size int) error {
	return e.checkBody(t, wire.EnvelopeHeaderLen+len(topic)+size)
}

// checkBody refuses a frame that a node with the limits of this one would not take.
func (e *Endpoint) checkBody(t wire.MessageType, size int) error {
	if limit := e.opts.limit(t); size > limit {
		return fmt.Errorf("%w: %v in a frame of %d bytes, at most %d are accepted (see WithMaxFrame)", ErrTooLarge, t, size, limit)
	}
	return nil
}
