package channel

import (
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire"
)

// An attach is a clone that waits for the contents, or got them lately.
type attach struct {
	sent  bool
	quiet int // the tick until which requests that are repeated are ignored
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

// Keep makes the master keep the events after the newest for consumers that will be attached at that
// number. Release ends it.
func (m *Master) Keep() (offset uint64, release func()) {
	// A path that no consumer has: nobody acknowledges for it.
	m.kept++
	entity := wire.EntityID{Object: m.kept}
	m.events.attach(entity, m.events.seq, 0)
	return m.events.seq, func() { m.events.detach(entity) }
}

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

// giveUp forgets clones to which the producer leads no more.
func (m *Master) giveUp(lost []wire.EntityID) {
	for _, entity := range lost {
		m.forget(entity)
		if !entity.Endpoint.IsZero() { // else it is one of Keep
			m.host.Rejected(entity, fmt.Errorf("clone given up: silent for too long, or too far behind"))
		}
	}
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

func (m *Master) keepalive(p *path) {
	m.sendTo(p.entity, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandKeepalive}, Num: m.events.seq})
}

// advanceClones lets a tick pass for the clones.
func (m *Master) advanceClones() {
	if m.events.tick%m.cfg.Heartbeat == 0 {
		for _, p := range m.events.paths {
			// Nodes of Zeek heed only keepalives that are addressed to them (STORE.md section 8.2 l).
			if p.acked != m.events.seq && !p.entity.Endpoint.IsZero() && m.events.tick-p.repaired >= m.cfg.Heartbeat {
				m.keepalive(p)
			}
		}
	}
	for clone, a := range m.attaches {
		if a.sent && m.events.tick >= a.quiet && m.events.path(clone) == nil {
			m.forget(clone)
		}
	}
}
