package channel

import (
	"fmt"
	"maps"
	"slices"

	"github.com/zeekpeer/zeekpeer/wire"
)

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

// writerTimeout is how many timeouts a writer may be silent before it is forgotten. Clones that have
// nothing to write say nothing, so it is long.
const writerTimeout = 72 // one hour by default

// Writers returns how many writers there are.
func (m *Master) Writers() int { return len(m.writers) }

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

func (m *Master) forgetWriter(entity wire.EntityID) {
	m.writers[entity].stream.close()
	m.count(m.writers[entity].via, -1, 0)
	delete(m.writers, entity)
	m.left = append(m.left, entity)
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

// sortedWriters returns the writers in an order that does not depend on chance.
func (m *Master) sortedWriters() []*writer {
	writers := slices.AppendSeq(make([]*writer, 0, len(m.writers)), maps.Values(m.writers))
	slices.SortFunc(writers, func(a, b *writer) int { return a.entity.Compare(b.entity) })
	return writers
}

// advanceWriters lets a tick pass for the writers.
func (m *Master) advanceWriters() {
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
}
