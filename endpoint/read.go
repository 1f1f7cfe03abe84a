package endpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/zeekpeer/zeekpeer/topic"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A dispatcher hands the frames of one peer to the subscriptions. Adjacent frames of one topic make a
// run; a frame that begins like the one before, sender, receiver, type and topic alike, costs one
// comparison.
type dispatcher struct {
	p      *peer
	cache  routeCache
	header []byte // what the frames of the open run begin with
	route  *route // where they go; nil if no run is open
	run    run
	limit  int // bytes of any frame
	most   int // bytes of a frame that continues the open run
	access *Access
}

// read reads and dispatches until the connection ends.
func (p *peer) read() error {
	d := &dispatcher{p: p, limit: max(p.ep.opts.maxFrame, p.ep.opts.maxCommand)}
	for {
		need, err := d.frames()
		if err != nil {
			return err
		}
		if err := p.in.read(need); err != nil {
			return err
		}
		p.touch()
	}
}

// frames dispatches all whole frames that were read. It returns how many bytes the next one wants.
func (d *dispatcher) frames() (need int, err error) {
	in := d.p.in
	b, at, start := in.seg.filled(), in.at, in.at
	snap := d.p.ep.routes.Load()
	d.reset(snap)
	if d.p.ep.taps.Load() != nil {
		d.tap()
	}
	count := 0
	for {
		if len(b)-at < wire.FrameHeaderLen {
			need = wire.FrameHeaderLen
			break
		}
		size := binary.BigEndian.Uint32(b[at:])
		if uint64(size) > uint64(d.limit) {
			err = &wire.FrameTooLargeError{Len: size, Limit: d.limit}
			break
		}
		n := int(size)
		end := at + wire.FrameHeaderLen + n
		if end > len(b) {
			need = wire.FrameHeaderLen + n
			break
		}
		body := b[at+wire.FrameHeaderLen : end : end]
		if len(d.header) > 0 && len(body) >= len(d.header) && len(body) <= d.most && bytes.Equal(body[:len(d.header)], d.header) {
			d.extend(at, end)
		} else {
			d.frame(snap, body, at, end)
		}
		at = end
		count++
	}
	d.flush()
	in.at = at
	d.p.framesIn.Add(uint64(count))
	d.p.bytesIn.Add(uint64(at - start))
	return need, err
}

// reset forgets where frames went if the subscriptions have changed.
func (d *dispatcher) reset(snap *routes) {
	if access := d.p.access.Load(); d.cache.snap != snap || d.access != access {
		d.header, d.route, d.access = nil, nil, access
	}
}

// extend adds a frame to the open run.
func (d *dispatcher) extend(from, to int) {
	if d.run.count == 0 {
		d.run.from = from
	}
	d.run.to = to
	d.run.count++
}

// flush hands the open run over.
func (d *dispatcher) flush() {
	if d.run.count == 0 {
		return
	}
	d.run.seg = d.p.in.seg
	d.route.traffic.received(d.run.count, d.run.to-d.run.from)
	kind := wire.MessageType(d.header[wire.TypeOffset])
	d.p.ep.processed[kind].Add(uint64(d.run.count))
	for _, s := range d.route.subs {
		if s.takes(kind) {
			d.hand(s.queue)
		}
	}
	d.run = run{}
}

// hand pushes the open run to one subscription, waiting for room if it asks for that.
func (d *dispatcher) hand(q *queue) {
	if q.limits.Policy != Block {
		d.p.drop(DropSubscriberFull, d.run.count-q.push(d.run))
		return
	}
	for r := d.run; r.count > 0; {
		n, space := q.roomFor()
		if space != nil {
			d.p.paused.Store(true)
			select {
			case <-space:
			case <-d.p.stopped:
				d.p.drop(DropPeeringEnded, r.count)
				return
			}
			d.p.paused.Store(false)
			d.p.touch()
			continue
		}
		part := r
		if n < r.count {
			part.keep(n)
			r.skip(n)
		} else {
			r.count = 0
		}
		q.pushExpected(part)
	}
}

// frame handles a frame that does not continue the open run.
func (d *dispatcher) frame(snap *routes, body []byte, from, to int) {
	d.flush()
	d.header, d.route = nil, nil
	if len(body) == 0 {
		return // as the reference does
	}
	e, err := wire.ParseEnvelope(body)
	if err != nil {
		d.p.malformed(err)
		return
	}
	if e.Sender != d.p.id {
		if d.p.drops[DropForgedSender].Add(1) == 1 {
			d.p.ep.log.Warn("frame under another node's id dropped; more are only counted", "peer", d.p.id, "addr", d.p.addr, "sender", e.Sender)
		}
		return
	}
	switch e.Type {
	case wire.TypeData, wire.TypeCommand:
		d.message(snap, e, body, from, to)
	default:
		if err := d.p.control(e); err != nil {
			d.p.malformed(err)
		}
	}
}

// message routes a data message or a command.
func (d *dispatcher) message(snap *routes, e wire.Envelope, body []byte, from, to int) {
	p := d.p
	limit := p.ep.opts.limit(e.Type)
	if len(body) > limit {
		p.malformed(fmt.Errorf("%v of %d bytes, at most %d accepted", e.Type, len(body), limit))
		return
	}
	if bytes.HasPrefix(e.Topic, []byte(topic.LocalPrefix)) {
		p.malformed(fmt.Errorf("%v on %q, a topic that never leaves a node", e.Type, e.Topic))
		return
	}
	if d.access != nil {
		if err := d.access.mayPublish(e.Type, e.Topic, e.Payload); err != nil {
			p.denied(err)
			return
		}
	}
	r := d.cache.receive(snap, e.Topic)
	forwarded := p.ep.opts.forward && e.Receiver != p.ep.id && d.forward(snap, r, e, p.in.seg.mem[from:to])
	if !e.Receiver.IsZero() && e.Receiver != p.ep.id {
		r.traffic.received(1, to-from)
		p.ep.processed[e.Type].Add(1)
		if !forwarded {
			p.drop(DropNotForUs, 1)
		}
		return
	}
	header := body[:wire.EnvelopeHeaderLen+len(e.Topic)]
	deliver := false
	for _, s := range r.subs {
		deliver = deliver || s.takes(e.Type)
	}
	if !deliver {
		r.traffic.received(1, to-from)
		p.ep.processed[e.Type].Add(1)
		if !forwarded {
			p.drop(DropNoSubscriber, 1)
		}
		return
	}
	d.route, d.most = r, limit
	d.header = append(d.header[:0], header...)
	d.extend(from, to)
	if forwarded || d.access != nil && d.access.perMessage() {
		// The next frame has to be forwarded or looked into, too: it must not take the short way.
		d.flush()
		d.header = nil
	}
}

// forward sends a message on to other peers. It reports whether there were any.
func (d *dispatcher) forward(snap *routes, r *route, e wire.Envelope, frame []byte) bool {
	p := d.p
	var targets []*queue
	if e.Receiver.IsZero() {
		for _, other := range r.peers {
			if other != p {
				targets = append(targets, other.queue)
			}
		}
	} else if other := snap.byID[e.Receiver]; other != nil && other != p {
		targets = append(targets, other.queue)
	}
	if len(targets) == 0 {
		return false
	}
	if !e.Receiver.IsZero() {
		if err := snap.byID[e.Receiver].mayReceive(e.Type, e.Topic); err != nil {
			p.denied(err)
			return true
		}
	}
	if e.TTL <= 1 {
		p.drop(DropTTL, 1)
		return true
	}
	if e.Type == wire.TypeData {
		if err := data.Validate(e.Payload); err != nil {
			if p.drops[DropInvalidPayload].Add(1) == 1 {
				p.ep.log.Warn("message not forwarded; more are only counted", "peer", p.id, "addr", p.addr, "topic", string(e.Topic), "err", err)
			}
			return true
		}
	}
	p.ep.outbox.forward(targets, p.ep.id, frame, e.TTL-1)
	return true
}

// control handles routing updates, pings and pongs.
func (p *peer) control(e wire.Envelope) error {
	p.ep.processed[e.Type].Add(1)
	switch e.Type {
	case wire.TypeRoutingUpdate:
		filter, err := wire.ParseFilter(e.Payload)
		if err != nil {
			return fmt.Errorf("routing_update: %w", err)
		}
		p.wants(filter)
	case wire.TypePing:
		if wire.IsBye(e.Payload) {
			p.saidBye.Store(true)
		}
		if len(e.Payload) <= smallPong && p.writeNow(wire.AppendPong(nil, p.ep.id, p.id, e.Payload)) {
			return nil
		}
		if !p.lane.pong(p.ep.id, p.id, e.Payload) {
			p.drop(DropPongFlood, 1)
		}
		p.queue.signal()
	case wire.TypePong:
		switch {
		case len(e.Payload) == clockLen:
			if rtt := p.ep.now() - int64(binary.BigEndian.Uint64(e.Payload)); rtt >= 0 && rtt < int64(time.Hour) {
				p.rtt.Store(rtt)
			}
		case p.byeSent.Load() && wire.IsBye(e.Payload) && bytes.HasSuffix(e.Payload, p.byeToken[:]):
			p.parted.Store(true)
			p.end(nil, true)
		}
		p.ep.pongReceived(p, e.Payload)
	}
	return nil
}

// malformed counts a frame that cannot be used, and tells of the first.
func (p *peer) malformed(err error) {
	if p.drops[DropMalformed].Add(1) == 1 {
		p.ep.log.Warn("frame dropped; more are only counted", "peer", p.id, "addr", p.addr, "err", err)
	}
}
