package channel

import (
	"fmt"

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

// Bounds of what the entities of others may take.
const (
	maxWriters = 1 << 16
	maxClones  = 1 << 14
	maxPerPeer = 1 << 10 // of each of the two
)

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

// Tick lets a tick pass.
func (m *Master) Tick() {
	keepalive, lost := m.events.advance()
	if keepalive {
		m.buf = wire.AppendCommandBody(m.buf[:0], &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandKeepalive}, Num: m.events.seq})
		m.host.Send(wire.EndpointID{}, 0, wire.EntityID{}, m.buf)
	}
	m.giveUp(lost)
	m.advanceClones()
	m.advanceWriters()
	m.advanceRefills()
}

// sendTo sends a control command to one entity.
func (m *Master) sendTo(entity wire.EntityID, c *wire.Command) {
	m.buf = wire.AppendCommandBody(m.buf[:0], c)
	m.host.Send(entity.Endpoint, 0, entity, m.buf)
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
