package fuzz

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/zeekpeer/zeekpeer/store/channel"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// execute does what an action says to the contents of a store, and returns the command that tells of
// it; none if it had no effect. Only counts can be added to.
func simExecute(contents map[string]string, c *wire.Command) (event *wire.Command) {
	key := string(c.Key)
	old, there := contents[key]
	put := func(value []byte) *wire.Command {
		contents[key] = string(value)
		return &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPut}, Key: c.Key, Value: value, Publisher: c.Publisher, HasExpiry: c.HasExpiry, Expiry: c.Expiry}
	}
	switch c.Kind {
	case wire.CommandPut:
		return put(c.Value)
	case wire.CommandPutUnique:
		if !there {
			return put(c.Value)
		}
	case wire.CommandErase:
		if there {
			delete(contents, key)
			return &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandErase}, Key: c.Key, Publisher: c.Publisher}
		}
	case wire.CommandClear:
		clear(contents)
		return &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandClear}, Publisher: c.Publisher}
	case wire.CommandAdd:
		if !there {
			old = string(data.AppendCount(nil, 0))
		}
		if data.Kind(old[0]) == data.KindCount {
			return put(data.AppendCount(nil, binary.BigEndian.Uint64([]byte(old[1:]))+binary.BigEndian.Uint64(c.Value[1:])))
		}
	}
	return nil
}

// simApply does what an event says to the contents of a clone.
func simApply(contents map[string]string, c *wire.Command) {
	switch c.Kind {
	case wire.CommandPut:
		contents[string(c.Key)] = string(c.Value)
	case wire.CommandErase, wire.CommandExpire:
		delete(contents, string(c.Key))
	case wire.CommandClear:
		clear(contents)
	}
}

func simSnapshot(contents map[string]string) wire.Snapshot {
	var b []byte
	for _, key := range slices.Sorted(maps.Keys(contents)) {
		b = append(append(b, key...), contents[key]...)
	}
	return wire.Snapshot{Len: len(contents), Bytes: b}
}

// A disk is what survives a crash of a master.
type disk struct {
	master   wire.EntityID
	mark     uint64
	contents map[string]string
	writers  map[wire.EntityID]uint64
}

func (d *disk) clone() *disk {
	return &disk{d.master, d.mark, maps.Clone(d.contents), maps.Clone(d.writers)}
}

// A ledger knows what a master has executed: it sees more than any of the nodes.
type ledger struct {
	done   map[uint64]bool   // by the number of an operation: whether it had an effect
	writes map[simWrite]bool // the same by writer and number
	last   map[uint64]uint64 // of each user the last operation executed
	undo   []func()          // what is not committed
	apart  bool              // clones had other masters meanwhile, and repeat what they do not know to be done
}

type simWrite struct {
	writer wire.EntityID
	seq    uint64
}

func newLedger() *ledger {
	return &ledger{done: map[uint64]bool{}, writes: map[simWrite]bool{}, last: map[uint64]uint64{}}
}

// record notes that an operation was executed, and checks that it is for the first time, and in the
// order of the user.
func (l *ledger) record(s *simulation, w simWrite, c *wire.Command, effect bool) {
	if _, again := l.writes[w]; again {
		s.fail("write %d of %s is executed again", w.seq, s.entity(w.writer))
	}
	if w.seq != 0 {
		l.writes[w] = effect
		l.undo = append(l.undo, func() { delete(l.writes, w) })
	}
	op := uint64(c.Expiry)
	if op == 0 || l.apart && c.Kind == wire.CommandPut {
		return
	}
	if _, again := l.done[op]; again {
		s.fail("operation %d.%d is executed again", op>>32, uint32(op))
	}
	user := op >> 32
	before := l.last[user]
	if before > op {
		s.fail("operation %d.%d is executed after %d", op>>32, uint32(op), uint32(before))
	}
	l.last[user], l.done[op] = op, effect
	l.undo = append(l.undo, func() {
		l.last[user] = before
		delete(l.done, op)
	})
}

// forget takes back what was not committed.
func (l *ledger) forget() {
	for i := len(l.undo) - 1; i >= 0; i-- {
		l.undo[i]()
	}
	l.undo = nil
}

// A simSend is a command that leaves once what it tells of is durable.
type simSend struct {
	to      wire.EndpointID
	payload []byte
}

// A mastery is a node with a master of ours. It takes what waits as one batch, executes it, commits
// it, and then tells of it.
type mastery struct {
	s       *simulation
	cfg     channel.Config
	self    wire.EndpointID
	m       *channel.Master
	dead    bool
	life    int // counts the starts
	durable *disk
	now     *disk // with what is not committed
	ledger  *ledger
	inbox   []func()
	busy    bool
	outbox  []simSend
	wants   []wire.EntityID
	crash   int // in which phase of the next batch it crashes; 0: in none
}

func newMastery(s *simulation, cfg channel.Config, self wire.EndpointID, object uint64) *mastery {
	return &mastery{s: s, cfg: cfg, self: self, dead: true, ledger: newLedger(), durable: &disk{
		master: channel.NativeEntity(self, object), contents: map[string]string{}, writers: map[wire.EntityID]uint64{},
	}}
}

func (m *mastery) entity() wire.EntityID       { return m.durable.master }
func (m *mastery) contents() map[string]string { return m.durable.contents }
func (m *mastery) executed() *ledger           { return m.ledger }

// restless says what the master is still doing.
func (m *mastery) restless() string {
	switch {
	case m.dead:
		return "it is dead"
	case m.busy:
		return "it is busy"
	case !m.m.Idle():
		return "it is not idle"
	}
	return ""
}

func (m *mastery) id() wire.EndpointID { return m.self }
func (m *mastery) master() bool        { return true }
func (m *mastery) alive() bool         { return !m.dead }

// start begins a life with what is on the disk.
func (m *mastery) start() {
	m.s.note("start", m.self, wire.EndpointID{}, nil)
	m.dead, m.busy, m.crash = false, false, 0
	m.life++
	m.inbox, m.outbox, m.wants = nil, nil, nil
	m.now = m.durable.clone()
	m.ledger.forget()
	m.m = channel.NewMaster(m.cfg, m.durable.master, m.durable.mark, m.now.writers, m)
	life := m.life
	m.s.ticks(&simLife{m, life}, func(int) { m.take(m.m.Tick) })
}

// A simLife is one life of a node that may have several.
type simLife struct {
	*mastery
	life int
}

func (l *simLife) alive() bool { return !l.dead && l.mastery.life == l.life }

// stop ends a life without a word.
func (m *mastery) stop() {
	m.s.note("crash", m.self, wire.EndpointID{}, nil)
	m.dead = true
	m.s.cutAll(m)
}

func (m *mastery) take(do func()) {
	m.inbox = append(m.inbox, do)
	if !m.busy {
		m.busy = true
		m.later(m.s.between(0, 2), m.batch)
	}
}

// later has something done if the node is still in the same life.
func (m *mastery) later(ms int64, do func()) {
	life := m.life
	m.s.after(ms, func() {
		if !m.dead && m.life == life {
			do()
		}
	})
}

func (m *mastery) batch() {
	for _, do := range m.inbox {
		do()
	}
	m.inbox = m.inbox[:0]
	if m.crash == 1 {
		m.stop()
		return
	}
	changed := m.m.Seq() != m.now.mark
	m.m.Executed(func(writer wire.EntityID, seq uint64) {
		changed = true
		if seq == 0 {
			delete(m.now.writers, writer)
		} else {
			m.now.writers[writer] = seq
		}
	})
	if !changed {
		m.done()
		return
	}
	m.later(m.s.between(0, 20), func() {
		m.now.mark = m.m.Seq()
		m.durable = m.now.clone()
		clear(m.ledger.undo)
		m.ledger.undo = m.ledger.undo[:0]
		m.done()
	})
}

func (m *mastery) done() {
	m.m.Acknowledge()
	m.attach()
	if m.crash == 2 {
		m.outbox = m.outbox[:m.s.rand.IntN(len(m.outbox)+1)]
	}
	for _, send := range m.outbox {
		m.s.send(m, send.to, send.payload)
	}
	m.outbox = m.outbox[:0]
	if m.crash == 2 {
		m.stop()
		return
	}
	m.busy = false
	if len(m.inbox) > 0 {
		m.busy = true
		m.later(0, m.batch)
	}
}

// attach sends the contents to those who wait for them, at once or a while later.
func (m *mastery) attach() {
	if len(m.wants) == 0 {
		return
	}
	clones, contents := m.wants, simSnapshot(m.now.contents)
	m.wants = nil
	send := func(offset uint64) {
		for _, clone := range clones {
			if m.s.chance(0.1) {
				m.m.AttachFailed(clone, int(m.s.between(0, 30)))
				continue
			}
			body := wire.AppendCommandBody(nil, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone}, Num: offset, Heartbeat: 5, Snapshot: contents})
			m.Send(clone.Endpoint, offset, clone, body)
			m.m.Attached(clone, offset, int(m.s.between(0, 10)))
		}
	}
	if m.s.chance(0.5) {
		send(m.m.Seq())
		return
	}
	offset, release := m.m.Keep()
	if offset != m.m.Seq() {
		m.s.fail("Keep keeps from %d, not %d", offset, m.m.Seq())
	}
	m.later(m.s.between(1, 1000), func() {
		m.take(func() {
			send(offset)
			release()
		})
	})
}

func (m *mastery) receive(from wire.EndpointID, payload []byte) {
	m.take(func() { m.m.Receive(from, payload) })
}
func (m *mastery) peerAdded(wire.EndpointID) {}
func (m *mastery) peerLost(wire.EndpointID)  {}

// do executes an operation of the master's own user.
func (m *mastery) do(c wire.Command) {
	m.take(func() {
		c.Publisher = m.durable.master
		m.execute(simWrite{}, &c)
	})
}

func (m *mastery) execute(w simWrite, c *wire.Command) (event *wire.Command) {
	event = simExecute(m.now.contents, c)
	m.ledger.record(m.s, w, c, event != nil)
	if event != nil {
		m.Event(wire.AppendCommandBody(nil, event))
	}
	return event
}

// Send, Peer, Write, Attach, Entries, Event and Rejected make it a host.
func (m *mastery) Send(to wire.EndpointID, seq uint64, receiver wire.EntityID, event []byte) {
	m.outbox = append(m.outbox, simSend{to, append(wire.AppendCommandHeader(nil, seq, m.durable.master, receiver), event...)})
}

func (m *mastery) Peer(id wire.EndpointID) bool { return m.s.peers(m, id) }

func (m *mastery) Write(writer wire.EntityID, c *wire.Command, err error) {
	if err != nil {
		m.s.fail("write of %s: %v", m.s.entity(writer), err)
	}
	event := m.execute(simWrite{writer, c.Seq}, c)
	switch {
	case c.Kind == wire.CommandPutUnique:
		m.result(event != nil, c.Who, c.RequestID)
	case event == nil && channel.Native(writer):
		m.result(false, writer, c.Seq)
	}
}

func (m *mastery) result(inserted bool, who wire.EntityID, request uint64) {
	m.Event(wire.AppendCommandBody(nil, &wire.Command{
		CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUniqueResult}, Inserted: inserted, Who: who, RequestID: request, Publisher: m.durable.master,
	}))
}

func (m *mastery) Attach(clone wire.EntityID) { m.wants = append(m.wants, clone) }

func (m *mastery) Entries(from []byte, yield func(key, value []byte) bool) {
	for _, key := range slices.Sorted(maps.Keys(m.now.contents)) {
		if key >= string(from) && !yield([]byte(key), []byte(m.now.contents[key])) {
			return
		}
	}
}

func (m *mastery) Event(event []byte) { m.m.Produce(event) }

func (m *mastery) Rejected(sender wire.EntityID, err error) {
	m.s.note("reject", m.self, sender.Endpoint, []byte(err.Error()))
}
