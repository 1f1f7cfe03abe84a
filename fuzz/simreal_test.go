package fuzz

import (
	"maps"
	"slices"

	"github.com/zeekpeer/zeekpeer/wire"
)

// What nodes of Zeek do, with all its limits, written from STORE.md sections 3.3 to 3.7 and sharing
// nothing with package channel.

// A realProducer is section 3.3.
type realProducer struct {
	host          realHost
	seq           uint64
	tick          int
	lastBroadcast int
	buf           []realEvent
	paths         []*realPath
}

type realEvent struct {
	seq  uint64
	body []byte
}

type realPath struct {
	handle        wire.EntityID
	offset, acked uint64
	lastSeen      int
	handshake     []byte // until it is acknowledged
}

type realHost interface {
	sendEvent(to wire.EntityID, seq uint64, body []byte) // to all if zero
	sendControl(to wire.EntityID, c wire.Command)        // to all if zero
	handshake(offset uint64) []byte
	sendHandshake(to wire.EntityID, offset uint64, body []byte)
	dropped(handle wire.EntityID)
}

const realHeartbeat, realTimeout = 5, 500

func newRealProducer(host realHost) *realProducer {
	return &realProducer{host: host, seq: 1, tick: 1, lastBroadcast: 1}
}

func (p *realProducer) find(h wire.EntityID) *realPath {
	if i := slices.IndexFunc(p.paths, func(path *realPath) bool { return path.handle == h }); i >= 0 {
		return p.paths[i]
	}
	return nil
}

func (p *realProducer) produce(body []byte) {
	if len(p.paths) == 0 {
		return
	}
	p.seq++
	p.buf = append(p.buf, realEvent{p.seq, body})
	p.lastBroadcast = p.tick
	p.host.sendEvent(wire.EntityID{}, p.seq, body)
}

func (p *realProducer) add(h wire.EntityID) {
	if p.find(h) != nil {
		return
	}
	path := &realPath{handle: h, offset: p.seq, lastSeen: p.tick, handshake: p.host.handshake(p.seq)}
	p.paths = append(p.paths, path)
	p.host.sendHandshake(h, path.offset, path.handshake)
}

func (p *realProducer) ack(h wire.EntityID, n uint64) {
	lowest := n
	for _, path := range p.paths {
		if path.handle != h {
			lowest = min(lowest, path.acked)
			continue
		}
		if path.acked > n {
			return
		}
		path.lastSeen = p.tick
		path.handshake = nil
		path.acked = n
	}
	p.trim(lowest)
}

func (p *realProducer) trim(upTo uint64) {
	p.buf = slices.DeleteFunc(p.buf, func(e realEvent) bool { return e.seq <= upTo })
}

func (p *realProducer) nack(h wire.EntityID, missing wire.SeqList) {
	path := p.find(h)
	switch {
	case missing.Len() == 0:
		return
	case path == nil:
		if missing.Len() == 1 && missing.At(0) == 0 {
			p.add(h)
		}
		return
	}
	for i := 1; i < missing.Len(); i++ {
		if missing.At(i) < missing.At(i-1) {
			p.drop(path)
			return
		}
	}
	if missing.At(0) == 0 {
		path.lastSeen = p.tick
		body := path.handshake
		if body == nil {
			body = p.host.handshake(path.offset)
		}
		p.host.sendHandshake(h, path.offset, body)
		return
	}
	path.lastSeen = p.tick
	p.ack(h, missing.At(0)-1)
	for i := range missing.Len() {
		if at := slices.IndexFunc(p.buf, func(e realEvent) bool { return e.seq == missing.At(i) }); at >= 0 {
			p.host.sendEvent(h, p.buf[at].seq, p.buf[at].body)
		} else {
			p.host.sendControl(h, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandRetransmitFailed}, Num: missing.At(i)})
		}
	}
}

func (p *realProducer) drop(path *realPath) {
	p.paths = slices.DeleteFunc(p.paths, func(other *realPath) bool { return other == path })
	p.host.dropped(path.handle)
	if len(p.paths) == 0 {
		p.buf = nil
		return
	}
	lowest := p.paths[0].acked
	for _, path := range p.paths {
		lowest = min(lowest, path.acked)
	}
	p.trim(lowest)
}

func (p *realProducer) advance() {
	p.tick++
	if p.lastBroadcast+realHeartbeat == p.tick {
		p.lastBroadcast = p.tick
		p.host.sendControl(wire.EntityID{}, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandKeepalive}, Num: p.seq})
	}
	for _, path := range slices.Clone(p.paths) {
		if p.tick-path.lastSeen >= realTimeout {
			p.drop(path)
		}
	}
}

// A realConsumer is section 3.4.
type realConsumer struct {
	next, last   uint64
	buf          map[uint64][]byte // nil: lost
	tick, idle   int
	lastTickNext uint64
	heartbeat    int
	nackTimeout  int

	consume func(seq uint64, body []byte)
	lost    func(seq uint64) (broken bool)
	sendAck func(n uint64)
	nack    func(missing wire.SeqList)
}

func (c *realConsumer) reset(nackTimeout int) {
	c.next, c.last, c.buf, c.idle, c.nackTimeout = 0, 0, map[uint64][]byte{}, 0, nackTimeout
}

func (c *realConsumer) handshake(offset uint64, heartbeat int) {
	if c.next != 0 {
		return
	}
	c.next, c.last, c.heartbeat = offset+1, offset+1, heartbeat
	maps.DeleteFunc(c.buf, func(n uint64, _ []byte) bool { return n <= offset })
	c.advance()
	c.sendAck(c.next - 1)
}

// advance consumes what has become contiguous.
func (c *realConsumer) advance() {
	for {
		body, ok := c.buf[c.next]
		if !ok {
			return
		}
		delete(c.buf, c.next)
		if body == nil && c.lost(c.next) {
			return
		}
		if body != nil {
			c.consume(c.next, body)
		}
		c.next++
		c.last = max(c.last, c.next)
	}
}

func (c *realConsumer) event(n uint64, body []byte) {
	if n < c.next {
		return
	}
	if n > c.next {
		c.last = max(c.last, n)
	}
	if _, ok := c.buf[n]; !ok {
		c.buf[n] = slices.Clone(body)
	}
	c.advance()
}

func (c *realConsumer) retransmitFailed(n uint64) {
	if n >= c.next {
		c.buf[n] = nil
		c.advance()
	}
}

func (c *realConsumer) keepalive(n uint64) {
	if c.next != 0 && n != 0 {
		c.last = max(c.last, n+1)
	}
}

func (c *realConsumer) ticked() {
	c.tick++
	progress := c.next != c.lastTickNext
	c.lastTickNext = c.next
	switch {
	case c.next == 0:
		if c.idle++; c.idle >= c.nackTimeout {
			c.idle = 0
			c.nack(wire.AppendSeq(nil, 0))
		}
		return
	case progress:
		c.idle = 0
	default:
		if c.idle++; c.next < c.last && c.idle >= c.nackTimeout {
			c.idle = 0
			var missing wire.SeqList
			for n := c.next; n < c.last; n++ {
				if _, ok := c.buf[n]; !ok {
					missing = wire.AppendSeq(missing, n)
				}
			}
			c.nack(missing)
			return
		}
	}
	if c.tick%c.heartbeat == 0 {
		c.sendAck(c.next - 1)
	}
}

// A realClone is a clone of Zeek: section 3.5 to 3.7.
type realClone struct {
	s        *simulation
	self     wire.EndpointID
	entity   wire.EntityID
	user     uint64
	ops      uint32
	requests uint64
	dead     bool // the process
	gaveUp   bool // it found no master in ten seconds
	broken   bool
	since    int64
	source   wire.EntityID // its master, for life
	events   realConsumer
	writes   *realProducer
	stalled  [][]byte
	contents map[string]string
}

func newRealClone(s *simulation, self wire.EndpointID, user uint64) *realClone {
	c := &realClone{s: s, self: self, entity: wire.EntityID{Endpoint: self, Object: 7}, user: user, since: s.now, contents: map[string]string{}}
	c.events = realConsumer{
		heartbeat: realHeartbeat,
		consume: func(_ uint64, body []byte) {
			cmd, err := wire.ParseCommand(body)
			if err != nil {
				s.fail("%s gets %x: %v", s.name(self), body, err)
			}
			simApply(c.contents, &cmd)
		},
		lost: func(seq uint64) bool {
			c.broken = true
			c.events.reset(5)
			return true
		},
		sendAck: func(n uint64) {
			c.control(c.source.Endpoint, c.source, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandCumulativeAck}, Num: n})
		},
		nack: func(missing wire.SeqList) {
			to := c.source.Endpoint
			if missing.At(0) == 0 {
				to = wire.EndpointID{}
			}
			c.control(to, c.source, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandNack}, Missing: missing})
		},
	}
	c.events.reset(2)
	c.events.nack(wire.AppendSeq(nil, 0))
	s.ticks(c, func(elapsed int) {
		for range elapsed {
			c.tick()
		}
	})
	return c
}

func (c *realClone) tick() {
	if c.gaveUp {
		return
	}
	if c.source.IsZero() && c.s.now-c.since > 10000 {
		c.gaveUp = true
		return
	}
	c.events.ticked()
	if c.writes != nil {
		c.writes.advance()
		if c.writes.lastBroadcast == c.writes.tick { // a heartbeat was due
			for _, path := range c.writes.paths {
				if path.acked == 0 {
					c.sendHandshake(path.handle, path.offset, path.handshake)
				}
			}
		}
	}
}

func (c *realClone) id() wire.EndpointID       { return c.self }
func (c *realClone) master() bool              { return false }
func (c *realClone) alive() bool               { return !c.dead }
func (c *realClone) peerAdded(wire.EndpointID) {}
func (c *realClone) peerLost(wire.EndpointID)  {}

func (c *realClone) control(to wire.EndpointID, receiver wire.EntityID, cmd wire.Command) {
	cmd.Sender, cmd.Receiver = c.entity, receiver
	c.s.send(c, to, wire.AppendCommand(nil, &cmd))
}

// sendEvent and the others make it the host of its writer, which says everything to all.
func (c *realClone) sendEvent(_ wire.EntityID, seq uint64, body []byte) {
	c.s.send(c, wire.EndpointID{}, append(wire.AppendCommandHeader(nil, seq, c.entity, c.source), body...))
}

func (c *realClone) sendControl(to wire.EntityID, cmd wire.Command) {
	c.control(wire.EndpointID{}, to, cmd)
}

func (c *realClone) handshake(offset uint64) []byte {
	return wire.AppendCommandBody(nil, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAttachWriter}, Num: offset, Heartbeat: realHeartbeat})
}

func (c *realClone) sendHandshake(to wire.EntityID, offset uint64, body []byte) {
	c.s.send(c, wire.EndpointID{}, append(wire.AppendCommandHeader(nil, 0, c.entity, to), body...))
}

func (c *realClone) dropped(wire.EntityID) {}

func (c *realClone) receive(_ wire.EndpointID, payload []byte) {
	cmd, err := wire.ParseCommand(payload)
	if err != nil || c.gaveUp || c.events.next != 0 && cmd.Sender != c.source {
		return
	}
	switch {
	case cmd.Kind.Action():
		c.events.event(cmd.Seq, payload)
	case cmd.Receiver != c.entity:
	case cmd.Kind == wire.CommandAckClone:
		if !c.source.IsZero() {
			return
		}
		c.source = cmd.Sender
		// A real clone applies what came early before the snapshot; our masters send none before.
		contents := map[string]string{}
		err := cmd.Snapshot.Each(func(key, value []byte) error {
			contents[string(key)] = string(value)
			return nil
		})
		if err != nil {
			c.s.fail("snapshot: %v", err)
		}
		c.contents = contents
		c.events.handshake(cmd.Num, int(cmd.Heartbeat))
		c.writes = newRealProducer(c)
		c.writes.add(c.source)
		for _, body := range c.stalled {
			c.writes.produce(body)
		}
		c.stalled = nil
	case cmd.Kind == wire.CommandKeepalive:
		c.events.keepalive(cmd.Num)
	case cmd.Kind == wire.CommandRetransmitFailed:
		c.events.retransmitFailed(cmd.Num)
	case c.writes == nil:
	case cmd.Kind == wire.CommandCumulativeAck:
		c.writes.ack(cmd.Sender, cmd.Num)
	case cmd.Kind == wire.CommandNack:
		c.writes.nack(cmd.Sender, cmd.Missing)
	}
}

func (c *realClone) do(cmd wire.Command) {
	c.ops++
	cmd.Publisher = c.entity
	switch cmd.Kind {
	case wire.CommandPutUnique:
		c.requests++
		cmd.Who, cmd.RequestID = wire.EntityID{Endpoint: c.self, Object: 8}, c.requests
		fallthrough
	case wire.CommandPut, wire.CommandAdd:
		cmd.HasExpiry, cmd.Expiry = true, opNumber(c.user, c.ops)
	}
	body := wire.AppendCommandBody(nil, &cmd)
	if c.writes == nil {
		c.stalled = append(c.stalled, body)
	} else {
		c.writes.produce(body)
	}
}

// A realMaster is a master of Zeek in memory. It does not survive its process.
type realMaster struct {
	s       *simulation
	self    wire.EndpointID
	dead    bool
	events  *realProducer
	writers map[wire.EntityID]*realConsumer
	order   []wire.EntityID
	table   map[string]string
	ledger  *ledger
}

func newRealMaster(s *simulation, self wire.EndpointID) *realMaster {
	m := &realMaster{s: s, self: self, dead: true, writers: map[wire.EntityID]*realConsumer{}, table: map[string]string{}, ledger: newLedger()}
	m.events = newRealProducer(m)
	m.ledger.apart = true // it executes what is meant for others
	return m
}

func (m *realMaster) start() {
	m.dead = false
	m.s.ticks(m, func(int) {
		m.events.advance()
		for _, writer := range m.order {
			if w := m.writers[writer]; w != nil {
				w.ticked()
			}
		}
	})
}

func (m *realMaster) stop() {
	m.dead = true
	m.s.cutAll(m)
}

func (m *realMaster) id() wire.EndpointID         { return m.self }
func (m *realMaster) master() bool                { return true }
func (m *realMaster) alive() bool                 { return !m.dead }
func (m *realMaster) peerAdded(wire.EndpointID)   {}
func (m *realMaster) peerLost(wire.EndpointID)    {}
func (m *realMaster) entity() wire.EntityID       { return wire.EntityID{Endpoint: m.self, Object: 7} }
func (m *realMaster) contents() map[string]string { return m.table }
func (m *realMaster) executed() *ledger           { return m.ledger }

// restless: a real master asks for ever for writes of clones that are gone.
func (m *realMaster) restless() string { return "" }

func (m *realMaster) send(to wire.EndpointID, seq uint64, receiver wire.EntityID, body []byte) {
	m.s.send(m, to, append(wire.AppendCommandHeader(nil, seq, m.entity(), receiver), body...))
}

func (m *realMaster) sendEvent(to wire.EntityID, seq uint64, body []byte) {
	m.send(to.Endpoint, seq, wire.EntityID{}, body)
}

func (m *realMaster) sendControl(to wire.EntityID, c wire.Command) {
	m.send(to.Endpoint, 0, to, wire.AppendCommandBody(nil, &c))
}

func (m *realMaster) handshake(offset uint64) []byte {
	return wire.AppendCommandBody(nil, &wire.Command{
		CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone}, Num: offset, Heartbeat: realHeartbeat, Snapshot: simSnapshot(m.table),
	})
}

func (m *realMaster) sendHandshake(to wire.EntityID, offset uint64, body []byte) {
	m.send(to.Endpoint, offset, to, body)
}

func (m *realMaster) dropped(handle wire.EntityID) { delete(m.writers, handle) }

func (m *realMaster) receive(_ wire.EndpointID, payload []byte) {
	c, err := wire.ParseCommand(payload)
	if err != nil {
		return
	}
	w := m.writers[c.Sender]
	switch {
	case c.Kind.Action():
		if w != nil {
			w.event(c.Seq, payload)
		}
	case c.Kind == wire.CommandAttachWriter:
		if w == nil {
			m.attachWriter(c.Sender, c.Num, int(c.Heartbeat))
		}
	case c.Kind == wire.CommandCumulativeAck:
		m.events.ack(c.Sender, c.Num)
	case c.Kind == wire.CommandNack:
		m.events.nack(c.Sender, c.Missing)
	case w == nil:
	case c.Kind == wire.CommandKeepalive:
		w.keepalive(c.Num)
	case c.Kind == wire.CommandRetransmitFailed:
		w.retransmitFailed(c.Num)
	}
}

func (m *realMaster) attachWriter(writer wire.EntityID, offset uint64, heartbeat int) {
	w := &realConsumer{
		consume: func(seq uint64, body []byte) {
			c, err := wire.ParseCommand(body)
			if err == nil {
				m.execute(simWrite{writer, seq}, &c)
			}
		},
		lost: func(uint64) bool { return false },
		sendAck: func(n uint64) {
			m.sendControl(writer, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandCumulativeAck}, Num: n})
		},
		nack: func(missing wire.SeqList) {
			m.sendControl(writer, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandNack}, Missing: missing})
		},
	}
	w.reset(2)
	m.writers[writer] = w
	m.order = append(m.order, writer)
	w.handshake(offset, heartbeat)
}

func (m *realMaster) do(c wire.Command) {
	c.Publisher = m.entity()
	m.execute(simWrite{}, &c)
}

func (m *realMaster) execute(w simWrite, c *wire.Command) {
	event := simExecute(m.table, c)
	m.ledger.record(m.s, w, c, event != nil)
	if event != nil {
		m.events.produce(wire.AppendCommandBody(nil, event))
	}
	if c.Kind == wire.CommandPutUnique {
		m.events.produce(wire.AppendCommandBody(nil, &wire.Command{
			CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUniqueResult}, Inserted: event != nil, Who: c.Who, RequestID: c.RequestID, Publisher: m.entity(),
		}))
	}
}
