package channel

import (
	"errors"
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A CloneHost does what a [Clone] decides.
type CloneHost interface {
	// Send sends a command on the topic of the master: to one endpoint, or to all if it is zero. The
	// event is the command's kind and fields, valid during the call.
	Send(to wire.EndpointID, seq uint64, sender, receiver wire.EntityID, event []byte)
	// Install replaces the contents by a snapshot of the master. After an error the clone looks on for
	// a master, with the contents that it had.
	Install(master wire.EntityID, s wire.Snapshot) error
	// Apply executes the next event of the master. The command is valid during the call. After an error the
	// contents are not the master's any more, and the clone attaches again.
	Apply(c *wire.Command) error
	// Settled says what became of a write.
	Settled(w *Write, o Outcome)
	// Rejected counts a command that was not acted upon, and what else went wrong.
	Rejected(sender wire.EntityID, err error)
	// Leaving says that the clone gives up its place at a master and looks for one anew, and why.
	Leaving(master wire.EntityID, why string)
}

// A Clone is the clone's side of the channels of one store. It has two entities: the consumer of
// events, which is a new one at each attach, and the writer, which stays the same, so that a write is
// never executed twice by one master (STORE.md section 8.2 h, i).
type Clone struct {
	cfg    Config
	host   CloneHost
	entity func() wire.EntityID // makes a new consumer entity
	tick   int

	master    wire.EntityID // zero: none was found yet
	present   bool          // its endpoint is a peer
	heard     int           // the tick at which it last spoke
	consumer  wire.EntityID
	stream    *Consumer
	attached  bool // the contents are those of master, and the stream goes on
	candidate wire.EntityID
	retry     int // the tick from which an attach is tried, after a failure
	failures  int
	probes    int    // that a master of Zeek has not answered
	held      bool   // no writes are sent until the stream has come to catchUp
	catchUp   uint64 // 0: not known yet

	writer writerSide
	buf    []byte
}

// Intervals of a clone, in ticks.
const (
	// foreignSilence is how long a master is silent before the word of another one is heeded. Masters say
	// something every five ticks.
	foreignSilence = 15
	// longSilence is how long a master of ours is silent before the clone makes sure, when it hears of it
	// again, that no events are missing.
	longSilence = 100
	// forgottenSilence is how long a clone is out of touch before it has to reckon with a master that has
	// given it up without a word.
	forgottenSilence = 300
	// maxUnanswered is how many nacks in a row a living master may leave unanswered.
	maxUnanswered = 15
	// probeInterval is how often a master of Zeek is asked for the last event that it has acknowledged, and
	// maxProbes how often in vain. It answers, unless it has given this clone up.
	probeInterval = 100
	maxProbes     = 3
	// slowRetry is the longest time between two attempts to attach.
	slowRetry = 50
)

// NewClone returns the clone's side. Writes are sent by the writer entity; entity makes the consumer
// entities, all of the same endpoint.
func NewClone(cfg Config, writer wire.EntityID, entity func() wire.EntityID, host CloneHost) *Clone {
	c := &Clone{cfg: cfg.WithDefaults(), host: host, entity: entity}
	c.writer = writerSide{clone: c, entity: writer, seq: 1, offset: 1}
	c.renew()
	return c
}

// renew begins a new life as a consumer.
func (c *Clone) renew() {
	c.consumer = c.entity()
	c.stream = NewConsumer(c.cfg)
	c.attached, c.probes, c.held = false, 0, false
	c.candidate = wire.EntityID{}
}

// Attached tells whether the contents follow those of a master.
func (c *Clone) Attached() bool { return c.attached }

// Master returns the master whose contents the clone has; zero if it never had any.
func (c *Clone) Master() wire.EntityID { return c.master }

// Silence returns for how many ticks nothing was heard of the master.
func (c *Clone) Silence() int { return c.tick - c.heard }

// Next returns the number of the event that is expected, and Behind how many are known to be missing.
func (c *Clone) Next() uint64   { return c.stream.Next() }
func (c *Clone) Behind() uint64 { return c.stream.Behind() }

// Consumer and Writer return the two entities.
func (c *Clone) Consumer() wire.EntityID { return c.consumer }
func (c *Clone) Writer() wire.EntityID   { return c.writer.entity }

// Idle tells whether the clone has every event that it knows of and no write is under way.
func (c *Clone) Idle() bool { return c.attached && c.stream.Behind() == 0 && c.writer.idle() }

// PeerAdded says that an endpoint has become a peer that may have the master, or is one already and
// has subscribed to the master's topic.
func (c *Clone) PeerAdded(id wire.EndpointID) {
	if !c.master.IsZero() && id == c.master.Endpoint && !c.present {
		c.present = true
		if c.attached && !Native(c.master) && c.Silence() > forgottenSilence {
			// It gives clones up after 50 s and never says so.
			c.leave("the master may have given this clone up")
		}
		if c.attached {
			c.catchesUp()
		}
	}
	if !c.attached {
		c.ask()
	}
}

// catchesUp goes on with a master that was out of reach. One of ours may not have the events that were
// missed any more. Then the clone has to attach again, and learns nothing of writes that are executed
// before that: so it finds out first, and sends writes then.
func (c *Clone) catchesUp() {
	c.ack()
	if !Native(c.master) {
		c.writer.resume()
		return
	}
	c.writer.suspend()
	c.held, c.catchUp = true, 0
	c.nack(wire.AppendSeq(nil, c.stream.next-1)) // it answers how far it is
}

// caughtUp lets the writes go on once everything has come.
func (c *Clone) caughtUp() {
	if c.held && c.catchUp != 0 && c.stream.next >= c.catchUp {
		c.held = false
		c.writer.resume()
	}
}

// PeerLost says that an endpoint is no peer any more.
func (c *Clone) PeerLost(id wire.EndpointID) {
	if id == c.master.Endpoint {
		c.present = false
		c.writer.suspend()
	}
}

// leave ends the life as a consumer and begins another. The contents stay.
func (c *Clone) leave(why string) {
	c.host.Leaving(c.master, why)
	if c.attached && c.present {
		c.goodbye(c.consumer)
	}
	c.renew()
}

// goodbye tells the master that one of our entities has left (STORE.md section 8.2 i).
func (c *Clone) goodbye(entity wire.EntityID) {
	c.sendTo(entity, &wire.Command{
		CommandHeader: wire.CommandHeader{Kind: wire.CommandNack}, Missing: wire.AppendSeq(wire.AppendSeq(nil, 2), 1),
	})
}

// Close says goodbye to the master.
func (c *Clone) Close() {
	if c.attached && c.present {
		c.goodbye(c.consumer)
	}
	c.writer.close()
}

// Receive takes a command that came on the topic of the clones from a peer.
func (c *Clone) Receive(from wire.EndpointID, payload []byte) {
	h, err := wire.ParseCommandHeader(payload)
	if err != nil {
		c.host.Rejected(wire.EntityID{Endpoint: from}, err)
		return
	}
	// A clone can attach to nobody but a direct peer, so a master speaks for itself.
	if h.Sender.Endpoint != from {
		c.host.Rejected(h.Sender, fmt.Errorf("%v in the name of %v came from %v", h.Kind, h.Sender, from))
		return
	}
	ours := c.attached && h.Sender == c.master
	if ours {
		silence := c.Silence()
		c.heard, c.present = c.tick, true
		if silence >= longSilence && Native(c.master) {
			c.catchesUp()
		}
	} else if !c.heed(h) {
		return
	}
	if numbered(h) {
		c.event(h, payload)
		return
	}
	cmd, err := wire.ParseCommand(payload)
	if err != nil {
		c.host.Rejected(h.Sender, err)
		return
	}
	switch {
	case cmd.Kind == wire.CommandAckClone:
		if cmd.Receiver == c.consumer && !c.attached {
			c.attach(&cmd)
		}
	case cmd.Kind == wire.CommandKeepalive && (h.Receiver.IsZero() || h.Receiver == c.consumer || h.Receiver == c.writer.entity):
		if ours {
			c.stream.Keepalive(cmd.Num)
			c.writer.upTo(c.stream.last)
			if c.held && c.catchUp == 0 {
				c.catchUp = c.stream.last
			}
		}
	case cmd.Kind == wire.CommandRetransmitFailed && h.Receiver == c.consumer:
		if ours && cmd.Num < c.stream.next {
			c.probes = 0
		} else if ours {
			c.leave(fmt.Sprintf("the master has event %d no more", cmd.Num))
			c.ask()
		}
	case cmd.Kind == wire.CommandCumulativeAck && h.Receiver == c.writer.entity:
		if !ours || !Native(h.Sender) {
			h.Seq = 0
		} else {
			c.stream.Keepalive(h.Seq)
		}
		c.writer.acknowledged(h.Sender, cmd.Num, h.Seq)
	case cmd.Kind == wire.CommandNack && h.Receiver == c.writer.entity:
		c.writer.nack(h.Sender, cmd.Missing)
	}
}

// heed tells whether to go on with a command whose sender is not the master that the clone is attached
// to. If that one is gone or silent and this is another one, the clone turns to it.
func (c *Clone) heed(h wire.CommandHeader) bool {
	if !c.attached {
		return true
	}
	if c.present && c.Silence() < foreignSilence {
		if h.Receiver.IsZero() || numbered(h) {
			c.host.Rejected(h.Sender, errTwoMasters)
		}
		return false
	}
	if h.Kind == wire.CommandKeepalive || numbered(h) {
		c.leave(fmt.Sprintf("there is another master, %v", h.Sender))
		c.ask()
	}
	return false
}

var errTwoMasters = errors.New("a second master of the store speaks; it is not heeded while the first does")

// event takes an event of the master.
func (c *Clone) event(h wire.CommandHeader, payload []byte) {
	if !c.attached {
		// It may come before the contents, but only of one master at a time.
		if c.candidate.IsZero() {
			c.candidate = h.Sender
		}
		if h.Sender == c.candidate && h.Seq > 0 {
			c.stream.Push(h.Seq, payload)
		}
		return
	}
	if next := c.stream.next; h.Seq > next && h.Seq-next > maxAhead {
		c.host.Rejected(h.Sender, fmt.Errorf("%v with the number %d, %d ahead of what is expected", h.Kind, h.Seq, h.Seq-next))
		return
	}
	if h.Seq < c.stream.next {
		c.probes = 0
	}
	newest := h.Seq >= c.stream.last
	if c.stream.Push(h.Seq, payload) && c.apply(payload) {
		c.drain()
	}
	if newest {
		c.writer.upTo(c.stream.last)
	}
}

// drain applies what came early and is due now.
func (c *Clone) drain() {
	for {
		payload, lost, ok := c.stream.Pop()
		if !ok {
			break
		}
		if lost {
			c.leave("an event is lost")
			return
		}
		if !c.apply(payload) {
			return
		}
	}
}

// apply executes an event. One that makes no sense leaves contents that are not the master's: then the
// clone attaches again, for to ask for it again would bring the same.
func (c *Clone) apply(payload []byte) bool {
	cmd, err := wire.ParseCommand(payload)
	if err == nil {
		err = c.host.Apply(&cmd)
	}
	if err != nil {
		c.host.Rejected(cmd.Sender, err)
		c.failed()
		c.leave("an event of the master makes no sense")
		return false
	}
	c.writer.observe(&cmd)
	return true
}

// failed makes the clone wait before it attaches again, longer each time.
func (c *Clone) failed() {
	c.failures++
	c.retry = c.tick + min(c.cfg.NackTimeout<<min(c.failures, 8), slowRetry)
}

// attach takes the contents of a master.
func (c *Clone) attach(cmd *wire.Command) {
	if !possibleOffset(cmd.Num) {
		c.host.Rejected(cmd.Sender, fmt.Errorf("ack_clone with the offset %d", cmd.Num))
		return
	}
	if err := c.host.Install(cmd.Sender, cmd.Snapshot); err != nil {
		c.host.Rejected(cmd.Sender, fmt.Errorf("contents refused: %w", err))
		c.failed()
		c.renew()
		return
	}
	if c.candidate != cmd.Sender {
		c.stream = NewConsumer(c.cfg) // what came early is another master's
	}
	previous := c.master
	c.master, c.attached, c.present, c.heard = cmd.Sender, true, true, c.tick
	c.stream.Handshake(cmd.Num, int(cmd.Heartbeat))
	c.writer.turn(previous)
	c.drain()
	if !c.attached {
		return
	}
	c.failures = 0
	c.ack()
	c.writer.resume()
}

// Tick lets ticks pass, more than one if the caller was late.
func (c *Clone) Tick(elapsed int) {
	elapsed = max(elapsed, 1)
	suspended := elapsed > forgottenSilence
	c.tick += elapsed
	if suspended && c.attached && !Native(c.master) {
		c.leave("this process was held up, and the master may have given this clone up")
	}
	if !c.attached && c.tick < c.retry {
		c.writer.advance()
		return
	}
	ack, missing := c.stream.Advance()
	switch {
	case !c.attached && missing != nil:
		c.ask()
	case missing != nil && c.stream.asked > maxUnanswered && c.Silence() < foreignSilence:
		c.leave("the master does not answer what is asked of it")
		c.ask()
	case missing != nil:
		c.nack(missing)
	case ack && c.attached:
		c.ack()
	}
	c.probe()
	c.writer.advance()
}

// probe finds out whether a master of Zeek still takes this clone for one of its own. It gives clones up
// that it has not heard of for 50 s and does not tell; if those were all, it does not even number its
// events any more, and nobody can see that they are missing.
func (c *Clone) probe() {
	if !c.attached || !c.present || Native(c.master) || c.tick%probeInterval != 0 || c.Silence() >= foreignSilence {
		return
	}
	if c.probes == maxProbes {
		c.leave("the master has given this clone up")
		c.ask()
		return
	}
	c.probes++
	c.nack(wire.AppendSeq(nil, c.stream.next-1))
}

// Flush sends what became due by what was received since the last call.
func (c *Clone) Flush() {
	if c.attached {
		if missing := c.stream.Missing(); missing != nil {
			c.nack(missing)
		}
	}
	c.caughtUp()
	c.writer.settle()
	c.writer.pump()
}

// Submit takes a write. It is sent by the next Flush, or when there is a master.
func (c *Clone) Submit(w *Write) { c.writer.submit(w) }

// Waiting returns how many writes are kept: those without an outcome, and those that the master has not
// acknowledged.
func (c *Clone) Waiting() int { return c.writer.waiting() }

// ask asks whoever is the master for the contents.
func (c *Clone) ask() {
	c.send(wire.EndpointID{}, 0, c.consumer, wire.EntityID{}, &wire.Command{
		CommandHeader: wire.CommandHeader{Kind: wire.CommandNack}, Missing: wire.AppendSeq(nil, 0),
	})
}

func (c *Clone) ack() {
	c.sendTo(c.consumer, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandCumulativeAck}, Num: c.stream.next - 1})
}

func (c *Clone) nack(missing wire.SeqList) {
	c.sendTo(c.consumer, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandNack}, Missing: missing})
}

// sendTo sends a control command of one of our entities to the master.
func (c *Clone) sendTo(sender wire.EntityID, cmd *wire.Command) {
	c.send(c.master.Endpoint, 0, sender, c.master, cmd)
}

func (c *Clone) send(to wire.EndpointID, seq uint64, sender, receiver wire.EntityID, cmd *wire.Command) {
	c.buf = wire.AppendCommandBody(c.buf[:0], cmd)
	c.host.Send(to, seq, sender, receiver, c.buf)
}
