package channel

import (
	"fmt"
	"maps"
	"slices"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A MasterHost does what a [Master] decides.
type MasterHost interface {
	// Send sends a command on the topic of the clones: to one endpoint, or to all if it is zero. The
	// event is the command's kind and fields; it must not be changed, and is valid during the call. It
	// leaves when the writes that were executed until [Master.Acknowledge] are durable, and the
	// number of the newest event with them.
	Send(to wire.EndpointID, seq uint64, receiver wire.EntityID, event []byte)
	// Peer tells whether an endpoint is a direct peer.
	Peer(id wire.EndpointID) bool
	// Write executes the next write of a writer. The command is valid during the call. If err is not
	// nil, the write makes no sense and fails.
	Write(writer wire.EntityID, c *wire.Command, err error)
	// Attach wants [Master.Attached] to be called once the contents were sent to a clone.
	Attach(clone wire.EntityID)
	// Entries calls yield for some entries of the store, from a key on (from the first if it is nil),
	// until it returns false.
	Entries(from []byte, yield func(key, value []byte) bool)
	// Event gives an event of the master's own to [Master.Produce], in its turn. It is valid during the
	// call.
	Event(event []byte)
	// Rejected counts a command that was not acted upon.
	Rejected(sender wire.EntityID, err error)
}

// A Master is the master's side of the channels of one store: the producer of events, and a consumer
// for every writer.
//
// The host hands in what there is by Receive and Tick, asks by Executed what to make durable together
// with the effects of the writes and the number of the newest event, and calls Acknowledge in the end,
// each time.
type Master struct {
	cfg      Config
	self     wire.EntityID
	host     MasterHost
	events   *Producer
	writers  map[wire.EntityID]*writer
	attaches map[wire.EntityID]*attach
	refills  map[wire.EntityID]*refill
	pass     pass                              // for the refills
	room     int                               // for what writers send early, all together
	ahead    []*writer                         // got ahead, or want an answer, since the last Acknowledge
	left     []wire.EntityID                   // writers forgotten since the last Acknowledge
	kept     uint64                            // calls of Keep
	from     wire.EndpointID                   // the peer whose command is being taken
	crowds   map[wire.EndpointID]crowd         // what came by each peer
	clones   map[wire.EntityID]wire.EndpointID // by which peer the clones came that attach or have a path
	answers  wire.EntityID                     // who reads the write that is being executed, by its endpoint, and its number
	buf      []byte
}

// A crowd counts the entities that came by one peer, so that none takes the place of all others.
type crowd struct{ writers, clones int }

// A writer is one that this master executes writes of.
type writer struct {
	entity   wire.EntityID
	via      wire.EndpointID // the peer by which it came
	stream   *Consumer
	lastSeen int
	marked   uint64 // what of it is durable
	acked    uint64 // what it was told
	ahead    bool   // it is in Master.ahead
	owed     bool   // it is told how far it is, even if that is known
	restored bool   // known from a former life of the master, and not heard of since
}

// An attach is a clone that waits for the contents, or got them lately.
type attach struct {
	sent  bool
	quiet int // the tick until which requests that are repeated are ignored
}

// Bounds of what the entities of others may take.
const (
	maxWriters = 1 << 16
	maxClones  = 1 << 14
	maxPerPeer = 1 << 10 // of each of the two
)

// writerTimeout is how many timeouts a writer may be silent before it is forgotten. Clones that have
// nothing to write say nothing, so it is long.
const writerTimeout = 72 // one hour by default

// NewMaster returns the master's side for an entity. Of a former life of the same entity it takes the
// highest number that an event may have had (0: there was none), and the last writes executed.
func NewMaster(cfg Config, self wire.EntityID, mark uint64, writers map[wire.EntityID]uint64, host MasterHost) *Master {
	cfg = cfg.WithDefaults()
	m := &Master{
		cfg: cfg, self: self, host: host,
		events:   NewProducer(cfg, max(mark, 1), mark > 0),
		writers:  make(map[wire.EntityID]*writer),
		attaches: make(map[wire.EntityID]*attach),
		refills:  make(map[wire.EntityID]*refill),
		room:     cfg.MaxBuffer,
		crowds:   make(map[wire.EndpointID]crowd),
		clones:   make(map[wire.EntityID]wire.EndpointID),
	}
	for entity, seq := range writers {
		m.from = entity.Endpoint
		w := m.addWriter(entity, seq, 0)
		w.restored = true
	}
	return m
}

// Seq returns the number of the newest event.
func (m *Master) Seq() uint64 { return m.events.seq }

// Produce sends an event to all clones. The event is a command's kind and fields. If it is called while
// a write of one of our clones is executed, the event answers that: it carries the endpoint of the
// writer and the number of the write in place of a receiver, which no node looks at in an event.
func (m *Master) Produce(event []byte) {
	answers := m.answers
	if wire.CommandKind(event[0]) == wire.CommandPutUniqueResult {
		answers = wire.EntityID{} // it says so itself
	}
	seq := m.events.Produce(event, answers.Object)
	m.host.Send(wire.EndpointID{}, seq, answers, event)
	m.giveUp(m.events.relieve())
}

// Attached says that a clone was sent the contents as of an event, and for how many ticks it may be
// busy with them: until then its requests to attach are not answered again.
func (m *Master) Attached(clone wire.EntityID, offset uint64, busy int) {
	a := m.attaches[clone]
	if a == nil {
		return // it has said goodbye
	}
	a.sent, a.quiet = true, m.events.tick+busy
	delete(m.refills, clone)
	m.events.attach(clone, offset, 0)
}

// AttachFailed says that a clone could not be sent the contents. It will ask again, and is heard after
// so many ticks.
func (m *Master) AttachFailed(clone wire.EntityID, wait int) {
	if a := m.attaches[clone]; a != nil {
		a.sent, a.quiet = true, m.events.tick+wait
	}
}

// Attaching tells whether a clone has not said that it has the contents that it asked for.
func (m *Master) Attaching(clone wire.EntityID) bool { return m.attaches[clone] != nil }

// Paths calls yield for every clone, in the order of their entities, with the last event that it has
// acknowledged (0: it is attaching) and for how many ticks it has been silent.
func (m *Master) Paths(yield func(clone wire.EntityID, acked uint64, silent int)) {
	for _, p := range m.events.paths {
		if !p.entity.Endpoint.IsZero() {
			yield(p.entity, p.acked, m.events.tick-p.lastSeen)
		}
	}
}

// Writers returns how many writers there are.
func (m *Master) Writers() int { return len(m.writers) }

// Keep makes the master keep the events after the newest for consumers that will be attached at that
// number. Release ends it.
func (m *Master) Keep() (offset uint64, release func()) {
	// A path that no consumer has: nobody acknowledges for it.
	m.kept++
	entity := wire.EntityID{Object: m.kept}
	m.events.attach(entity, m.events.seq, 0)
	return m.events.seq, func() { m.events.detach(entity) }
}

// Receive takes a command that came on the topic of the master from a peer.
func (m *Master) Receive(from wire.EndpointID, payload []byte) {
	h, err := wire.ParseCommandHeader(payload)
	if err != nil {
		m.host.Rejected(wire.EntityID{Endpoint: from}, err)
		return
	}
	// A peer speaks for itself, or passes on what a node says that is no peer of ours.
	if h.Sender.Endpoint != from && (h.Sender.Endpoint.IsZero() || m.host.Peer(h.Sender.Endpoint)) {
		m.host.Rejected(h.Sender, fmt.Errorf("%v in the name of %v came from %v", h.Kind, h.Sender, from))
		return
	}
	if !h.Receiver.IsZero() && h.Receiver != m.self {
		m.host.Rejected(h.Sender, fmt.Errorf("%v for another master, %v", h.Kind, h.Receiver))
		return
	}
	m.from = from
	if numbered(h) {
		m.write(h, payload)
		return
	}
	c, err := wire.ParseCommand(payload)
	if err != nil {
		m.host.Rejected(h.Sender, err)
		return
	}
	switch c.Kind {
	case wire.CommandAttachWriter:
		m.attachWriter(&c)
	case wire.CommandKeepalive:
		m.writerKeepalive(&c)
	case wire.CommandRetransmitFailed:
		if w := m.writers[c.Sender]; w != nil {
			w.lastSeen = m.events.tick
			w.stream.Lost(c.Num)
			m.drain(w)
		}
	case wire.CommandCumulativeAck:
		if p := m.known(&c, c.Num); p != nil {
			m.acknowledged(p, c.Num)
		}
	case wire.CommandNack:
		m.nack(&c)
	default:
		m.host.Rejected(c.Sender, fmt.Errorf("%v on the topic of the master", c.Kind))
	}
}

// numbered tells whether a command is one of a stream. One of a kind that does not exist is, too, if it
// has a number: it counts, and then fails.
func numbered(h wire.CommandHeader) bool {
	return h.Kind.Action() || h.Kind > wire.CommandRetransmitFailed && h.Seq != 0
}

// write takes an action of a writer.
func (m *Master) write(h wire.CommandHeader, payload []byte) {
	w := m.writers[h.Sender]
	if w == nil {
		m.host.Rejected(h.Sender, fmt.Errorf("%v by a writer that is not attached", h.Kind))
		return
	}
	w.lastSeen, w.restored = m.events.tick, false
	if ahead := h.Seq - w.stream.next; h.Seq > w.stream.next && ahead > maxAhead {
		m.host.Rejected(h.Sender, fmt.Errorf("%v with the number %d, %d ahead of what is expected", h.Kind, h.Seq, ahead))
		return
	}
	if w.stream.Push(h.Seq, payload) {
		m.execute(w, payload)
		m.drain(w)
	}
}

// drain executes what came early and is due now.
func (m *Master) drain(w *writer) {
	m.getsAhead(w)
	for {
		payload, lost, ok := w.stream.Pop()
		if !ok {
			return
		}
		if lost {
			m.host.Rejected(w.entity, fmt.Errorf("write %d is lost: the writer has it no more", w.stream.next-1))
			continue
		}
		m.execute(w, payload)
	}
}

// silent tells whether a writer seems to be gone: then it is left alone until it says something.
func (m *Master) silent(w *writer) bool { return m.events.tick-w.lastSeen >= m.cfg.Timeout }

// abandon gives up writes that a clone of Zeek does not send again: it has given this master up, and
// will send nothing any more (STORE.md section 8.2 i).
func (m *Master) abandon(w *writer) {
	m.host.Rejected(w.entity, fmt.Errorf("up to %d writes from %d on are lost: the writer does not send them again", w.stream.Behind(), w.stream.next))
	w.stream.skipGaps(func() { m.drain(w) })
	m.getsAhead(w)
}

// getsAhead has a writer looked at by Executed and Acknowledge.
func (m *Master) getsAhead(w *writer) {
	if !w.ahead {
		w.ahead = true
		m.ahead = append(m.ahead, w)
	}
}

// owe has a writer be told how far it is, once that is durable.
func (m *Master) owe(w *writer) {
	w.owed = true
	m.getsAhead(w)
}

// execute has a write executed. One that makes no sense fails and is done with, or it would be asked
// for again for ever.
func (m *Master) execute(w *writer, payload []byte) {
	c, err := wire.ParseCommand(payload)
	if err == nil && (c.Kind == wire.CommandExpire || c.Kind == wire.CommandPutUniqueResult) {
		err = fmt.Errorf("%v is nothing that a clone can ask for", c.Kind)
	}
	if Native(w.entity) && c.Publisher == w.entity {
		m.answers = wire.EntityID{Endpoint: w.entity.Endpoint, Object: w.stream.next - 1}
	}
	m.host.Write(w.entity, &c, err)
	m.answers = wire.EntityID{}
}

func (m *Master) addWriter(entity wire.EntityID, offset uint64, heartbeat int) *writer {
	w := &writer{entity: entity, via: m.from, stream: newConsumer(m.cfg, &m.room), lastSeen: m.events.tick, marked: offset, acked: offset}
	w.stream.Handshake(offset, heartbeat)
	m.writers[entity] = w
	m.count(w.via, 1, 0)
	return w
}

// attachWriter begins to execute the writes of a writer, or finds that it does already.
func (m *Master) attachWriter(c *wire.Command) {
	w := m.writers[c.Sender]
	switch {
	case w != nil:
		// What it does not offer any more will not come.
		if possibleOffset(c.Num) {
			w.stream.skipTo(c.Num + 1)
			m.drain(w)
		}
	case !possibleOffset(c.Num) || m.crowded():
		m.host.Rejected(c.Sender, fmt.Errorf("attach_writer at %d refused, with %d writers, %d by this peer", c.Num, len(m.writers), m.crowds[m.from].writers))
		return
	default:
		w = m.addWriter(c.Sender, c.Num, int(c.Heartbeat))
	}
	w.lastSeen, w.restored = m.events.tick, false
	m.owe(w)
}

// writerKeepalive notes how far a writer is. A writer that is not known is taken back if it is one of
// our clones: a node of Zeek never attaches its writer twice.
func (m *Master) writerKeepalive(c *wire.Command) {
	w := m.writers[c.Sender]
	if w == nil {
		if m.events.path(c.Sender) == nil || !possibleOffset(c.Num) || m.crowded() {
			m.host.Rejected(c.Sender, fmt.Errorf("keepalive by a writer that is not attached"))
			return
		}
		// What it still has is asked for; of the rest it says that it has it no more.
		w = m.addWriter(c.Sender, max(c.Num, maxAdopted+1)-maxAdopted, 0)
	}
	w.lastSeen, w.restored = m.events.tick, false
	w.stream.Keepalive(c.Num)
	if Native(w.entity) && w.stream.Behind() == 0 {
		m.owe(w) // it says so because it does not know
	}
}

// maxAdopted is how many writes before its newest are asked of a writer that is taken back.
const maxAdopted = 1 << 17

// known returns the path to the sender of an acknowledgement or nack. A clone that is not known but
// speaks to this master and has events of it is taken back: it was lost for too long, or attached to
// a former life of this master (STORE.md section 8.2 j).
func (m *Master) known(c *wire.Command, has uint64) *path {
	if p := m.events.path(c.Sender); p != nil {
		return p
	}
	if c.Receiver != m.self || has == 0 || m.attaches[c.Sender] != nil || m.overrun() {
		return nil
	}
	if has > m.events.seq {
		m.host.Rejected(c.Sender, fmt.Errorf("it has events up to %d, this master only up to %d", has, m.events.seq))
		if Native(c.Sender) {
			m.sendTo(c.Sender, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandRetransmitFailed}, Num: has + 1})
		}
		return nil
	}
	m.addClone(c.Sender)
	m.events.attach(c.Sender, has, has)
	p := m.events.path(c.Sender)
	if has < m.events.seq {
		m.keepalive(p) // so that it asks for what it misses
	}
	return p
}

func (m *Master) acknowledged(p *path, seq uint64) {
	if seq > m.events.seq {
		m.host.Rejected(p.entity, fmt.Errorf("acknowledges event %d of %d", seq, m.events.seq))
		return
	}
	m.events.ack(p, seq)
	if p.acked > 0 {
		delete(m.attaches, p.entity)
	}
}

// nack answers a clone that misses something.
func (m *Master) nack(c *wire.Command) {
	seqs := c.Missing
	if seqs.Len() == 0 {
		return
	}
	for i := 1; i < seqs.Len(); i++ {
		if seqs.At(i) < seqs.At(i-1) {
			m.goodbye(c.Sender)
			return
		}
	}
	if seqs.At(0) == 0 {
		if !c.Receiver.IsZero() && !Native(c.Sender) {
			// So asks one that has a master already, and heeds no answer (STORE.md section 3.6).
			m.host.Rejected(c.Sender, fmt.Errorf("a broken clone, which takes no contents any more: restart that node"))
			return
		}
		m.wantsAttach(c.Sender)
		return
	}
	p := m.known(c, seqs.At(0)-1)
	if p == nil {
		return
	}
	if seqs.At(0) > m.events.seq {
		m.host.Rejected(c.Sender, fmt.Errorf("nack of event %d of %d", seqs.At(0), m.events.seq))
		return
	}
	m.acknowledged(p, seqs.At(0)-1)
	p.lastSeen, p.repaired = m.events.tick, m.events.tick
	if seqs.At(0) <= p.acked {
		// It has this one, and asks whether it is known here.
		if Native(p.entity) {
			m.keepalive(p)
		} else {
			m.retransmitFailed(p, seqs.At(0))
		}
		return
	}
	if _, _, ok := m.events.Event(seqs.At(0)); !ok {
		m.answerGone(p, seqs)
		return
	}
	m.resend(p, seqs)
}

// resend sends events again. What is not kept, or too much, is left for the next nack.
func (m *Master) resend(p *path, seqs wire.SeqList) {
	size := 0
	for i := range min(seqs.Len(), maxResend) {
		event, answers, ok := m.events.Event(seqs.At(i))
		if size += len(event); !ok || size > maxResendBytes && i > 0 {
			return
		}
		var receiver wire.EntityID
		if answers != 0 {
			// An action ends with its publisher.
			receiver.Endpoint, receiver.Object = wire.EndpointID(event[len(event)-wire.EntityIDLen:]), answers
		}
		m.host.Send(p.entity.Endpoint, seqs.At(i), receiver, event)
	}
}

// goodbye gives up a clone or writer that sent an unsorted nack, which is how one leaves.
func (m *Master) goodbye(entity wire.EntityID) {
	m.forget(entity)
	if m.writers[entity] != nil {
		m.forgetWriter(entity)
	}
}

// forget gives a clone up.
func (m *Master) forget(clone wire.EntityID) {
	m.events.detach(clone)
	delete(m.attaches, clone)
	delete(m.refills, clone)
	if via, known := m.clones[clone]; known {
		delete(m.clones, clone)
		m.count(via, 0, -1)
	}
}

// addClone notes by which peer a clone came, until it neither attaches nor has a path.
func (m *Master) addClone(clone wire.EntityID) {
	if _, known := m.clones[clone]; !known {
		m.clones[clone] = m.from
		m.count(m.from, 0, 1)
	}
}

// count counts writers and clones that come by a peer, or go.
func (m *Master) count(via wire.EndpointID, writers, clones int) {
	c := m.crowds[via]
	c.writers += writers
	c.clones += clones
	if m.crowds[via] = c; c == (crowd{}) {
		delete(m.crowds, via)
	}
}

// crowded tells whether no more writers may come by the peer that speaks, and overrun whether no more
// clones.
func (m *Master) crowded() bool {
	return len(m.writers) >= maxWriters || m.crowds[m.from].writers >= maxPerPeer
}

func (m *Master) overrun() bool {
	return len(m.clones) >= maxClones || m.crowds[m.from].clones >= maxPerPeer
}

// giveUp forgets clones to which the producer leads no more.
func (m *Master) giveUp(lost []wire.EntityID) {
	for _, entity := range lost {
		m.forget(entity)
		if !entity.Endpoint.IsZero() { // else it is one of Keep
			m.host.Rejected(entity, fmt.Errorf("clone given up: silent for too long, or too far behind"))
		}
	}
}

func (m *Master) forgetWriter(entity wire.EntityID) {
	m.writers[entity].stream.close()
	m.count(m.writers[entity].via, -1, 0)
	delete(m.writers, entity)
	m.left = append(m.left, entity)
}

// wantsAttach answers a request for the contents: a clone attaches, did not get the answer, or begins
// anew (STORE.md section 8.2 m).
func (m *Master) wantsAttach(clone wire.EntityID) {
	a := m.attaches[clone]
	if a != nil && (!a.sent || m.events.tick < a.quiet) {
		return
	}
	if _, known := m.clones[clone]; !known && m.overrun() {
		m.host.Rejected(clone, fmt.Errorf("attach refused with %d clones, %d by this peer", len(m.clones), m.crowds[m.from].clones))
		return
	}
	m.addClone(clone)
	m.attaches[clone] = &attach{}
	m.host.Attach(clone)
}

// Executed calls yield for the writers whose mark has changed since the last call of Acknowledge: with
// the number of the last write that was executed, or 0 if the writer is known no more.
func (m *Master) Executed(yield func(writer wire.EntityID, seq uint64)) {
	for _, entity := range m.left {
		yield(entity, 0)
	}
	for _, w := range m.ahead {
		if m.writers[w.entity] == w && w.stream.next-1 != w.marked {
			yield(w.entity, w.stream.next-1)
		}
	}
}

// Acknowledge tells the writers what is done, once that is durable and the events that tell of it were
// produced.
func (m *Master) Acknowledge() {
	for _, w := range m.ahead {
		w.ahead = false
		if m.writers[w.entity] != w {
			continue
		}
		w.marked = w.stream.next - 1
		if w.owed || w.marked != w.acked {
			m.ackWriter(w)
		}
		if missing := w.stream.Missing(); missing != nil {
			m.ask(w, missing)
		}
	}
	clear(m.ahead)
	m.ahead, m.left = m.ahead[:0], m.left[:0]
}

// ackWriter tells a writer which of its writes are done. One of ours is also told which event it has to
// see before it knows the outcome: that is the number of the command, which has none otherwise.
func (m *Master) ackWriter(w *writer) {
	w.acked, w.owed = w.stream.next-1, false
	seq := uint64(0)
	if Native(w.entity) {
		seq = m.events.seq
	}
	m.buf = wire.AppendCommandBody(m.buf[:0], &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandCumulativeAck}, Num: w.acked})
	m.host.Send(w.entity.Endpoint, seq, w.entity, m.buf)
}

func (m *Master) ask(w *writer, missing wire.SeqList) {
	m.sendTo(w.entity, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandNack}, Missing: missing})
}

// Tick lets a tick pass.
func (m *Master) Tick() {
	keepalive, lost := m.events.advance()
	if keepalive {
		m.buf = wire.AppendCommandBody(m.buf[:0], &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandKeepalive}, Num: m.events.seq})
		m.host.Send(wire.EndpointID{}, 0, wire.EntityID{}, m.buf)
	}
	m.giveUp(lost)
	if m.events.tick%m.cfg.Heartbeat == 0 {
		for _, p := range m.events.paths {
			// Nodes of Zeek heed only keepalives that are addressed to them (STORE.md section 8.2 l).
			if p.acked != m.events.seq && !p.entity.Endpoint.IsZero() && m.events.tick-p.repaired >= m.cfg.Heartbeat {
				m.keepalive(p)
			}
		}
	}
	for _, w := range m.sortedWriters() {
		if m.events.tick-w.lastSeen >= writerTimeout*m.cfg.Timeout {
			m.forgetWriter(w.entity)
			continue
		}
		if m.silent(w) {
			w.stream.close() // others need the room, and it has to send all of that again in any case
			continue
		}
		ack, missing := w.stream.Advance()
		if missing != nil {
			m.ask(w, missing)
		} else if ack && !w.restored && !Native(w.entity) || w.stream.next-1 != w.acked {
			m.owe(w)
		}
		if !Native(w.entity) && w.stream.stuck() > m.cfg.Timeout+10*m.cfg.Heartbeat {
			m.abandon(w)
		}
	}
	m.advanceRefills()
	for clone, a := range m.attaches {
		if a.sent && m.events.tick >= a.quiet && m.events.path(clone) == nil {
			m.forget(clone)
		}
	}
}

func (m *Master) keepalive(p *path) {
	m.sendTo(p.entity, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandKeepalive}, Num: m.events.seq})
}

// sendTo sends a control command to one entity.
func (m *Master) sendTo(entity wire.EntityID, c *wire.Command) {
	m.buf = wire.AppendCommandBody(m.buf[:0], c)
	m.host.Send(entity.Endpoint, 0, entity, m.buf)
}

// sortedWriters returns the writers in an order that does not depend on chance.
func (m *Master) sortedWriters() []*writer {
	writers := slices.AppendSeq(make([]*writer, 0, len(m.writers)), maps.Values(m.writers))
	slices.SortFunc(writers, func(a, b *writer) int { return a.entity.Compare(b.entity) })
	return writers
}

// Idle tells whether every clone has every event and every writer's writes are executed as far as they
// are known.
func (m *Master) Idle() bool {
	for _, w := range m.writers {
		if w.stream.Behind() > 0 && !m.silent(w) {
			return false
		}
	}
	return len(m.attaches) == 0 && m.events.idle()
}
