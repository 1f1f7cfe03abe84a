package endpoint

import (
	"context"
	"fmt"
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
	buf, start, r, err := e.begin(ctx, &e.outbox.cache, topic)
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
	buf, start, r, err := e.begin(ctx, &e.outbox.cache, topic)
	if buf == nil {
		return 0, err
	}
	return e.commit(zeek.AppendEvent(buf, name, args...), start, r)
}

// PublishPayload sends an encoded value. It is checked first, so that nothing goes out that a
// receiver could not read. For the rest it is like Publish.
func (e *Endpoint) PublishPayload(ctx context.Context, topic string, payload []byte) (receivers int, err error) {
	return e.publishPayload(ctx, &e.outbox.cache, topic, payload)
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
	p := e.routes.Load().byID[peer]
	if p == nil {
		return false, nil
	}
	if err := p.mayReceive([]byte(topic)); err != nil {
		return false, err
	}
	frame := wire.AppendEnvelope(nil, wire.Envelope{
		Sender: e.id, Receiver: peer, Type: wire.TypeData, TTL: wire.DefaultTTL, Topic: []byte(topic), Payload: payload,
	})
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
	e.outbox.flush(p.queue) // what was published before goes first
	e.traffic.counter([]byte(topic)).published(1, len(frame))
	e.processed[wire.TypeData].Add(1)
	seg := adopt(frame)
	defer seg.release()
	return push(run{seg: seg, to: len(frame), count: 1}) > 0, nil
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
	return wire.AppendEnvelopeHeader(buf, e.id, wire.EndpointID{}, wire.TypeData, wire.DefaultTTL, topic), start, r, nil
}

// commit ends what begin began.
func (e *Endpoint) commit(buf []byte, start int, r *route) (receivers int, err error) {
	if err := e.checkSize(len(buf) - start - wire.FrameHeaderLen); err != nil {
		e.outbox.discard(r)
		return 0, err
	}
	e.outbox.commit(wire.EndFrame(buf, start), r)
	return len(r.targets), nil
}

// checkPayload refuses a payload that receivers could not read or would not accept.
func (e *Endpoint) checkPayload(topic string, payload []byte) error {
	if err := e.checkSize(wire.EnvelopeHeaderLen + len(topic) + len(payload)); err != nil {
		return err
	}
	return data.Validate(payload)
}

// checkSize refuses a frame that would end the peering with a node that has the limits of this one.
func (e *Endpoint) checkSize(body int) error {
	if body > e.opts.maxFrame {
		return fmt.Errorf("%w: a frame of %d bytes, at most %d are accepted (see WithMaxFrame)", ErrTooLarge, body, e.opts.maxFrame)
	}
	return nil
}
