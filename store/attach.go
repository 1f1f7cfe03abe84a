package store

import (
	"errors"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

// How clones get the contents. Small ones are encoded and sent at once. Large ones are encoded beside the
// store, which goes on, and then sent to a few clones at a time: all of them share the same bytes, and
// get the events since then, which are kept for them.
const (
	largeContents = 1 << 20
	maxSending    = 4
)

// sendRate is how many bytes a tick are reckoned with when large contents are sent, before the clone's
// request for them is taken for a new one.
const sendRate = 1 << 20

// A snapshot is all entries as of an event, encoded.
type snapshot struct {
	version *table
	offset  uint64 // the number of that event
	since   int    // the tick at which that was
	release func() // gives up the events since then
	bytes   []byte
}

// Attach wants the contents to be sent to a clone.
func (m *master) Attach(clone wire.EntityID) { m.waiting = append(m.waiting, clone) }

// attachClones sends the contents to clones that wait for them, after what came of the batch is visible.
func (m *master) attachClones() {
	if len(m.waiting) == 0 {
		if m.snapshot != nil && len(m.sending) == 0 {
			m.snapshot.release()
			m.snapshot = nil
		}
		return
	}
	if m.table.size() < largeContents {
		c := snapshot{version: m.table, offset: m.channel.Seq(), bytes: m.table.appendSnapshot(nil)}
		for _, clone := range m.waiting {
			m.sendContents(clone, &c)
		}
		m.waiting = m.waiting[:0]
		return
	}
	switch {
	case m.encoding:
	case m.snapshot == nil || m.snapshot.outdated(m.channel.Seq(), m.ticks):
		m.encode()
	default:
		for len(m.waiting) > 0 && len(m.sending) < maxSending {
			clone := m.waiting[0]
			m.waiting = m.waiting[1:]
			m.sendContents(clone, m.snapshot)
		}
	}
}

// When contents are encoded anew rather than sent to another clone, which would have to be sent all events
// since then besides.
const (
	maxOutdated = 100_000 // events
	maxAge      = 100     // ticks, if there were events
)

func (s *snapshot) outdated(seq uint64, ticks int) bool {
	return seq-s.offset > maxOutdated || seq != s.offset && ticks-s.since > maxAge
}

// encode begins to encode the contents as they are now.
func (m *master) encode() {
	if m.snapshot != nil {
		m.snapshot.release()
		m.snapshot = nil
	}
	c := &snapshot{version: m.table, since: m.ticks}
	c.offset, c.release = m.channel.Keep()
	m.encoding = true
	m.wg.Go(func() {
		c.bytes = c.version.appendSnapshot(make([]byte, 0, c.version.size()))
		m.inbox.call(func() { m.encoding, m.snapshot = false, c })
	})
}

// sendContents sends the contents to one clone.
func (m *master) sendContents(clone wire.EntityID, c *snapshot) {
	cmd := wire.Command{
		CommandHeader: wire.CommandHeader{Seq: c.offset, Sender: m.self, Receiver: clone, Kind: wire.CommandAckClone},
		Num:           c.offset, Heartbeat: uint16(m.opts.heartbeat), Snapshot: wire.Snapshot{Len: c.version.len()},
	}
	if !m.channel.Attaching(clone) {
		return // it has said goodbye meanwhile
	}
	m.out.flush(m.ep, m.topic) // first what happened before
	busy := 10 + len(c.bytes)/sendRate
	queued, err := m.ep.PublishCommandTo(clone.Endpoint, m.topic, wire.AppendCommand(nil, &cmd), c.bytes)
	switch {
	case errors.Is(err, endpoint.ErrTooLarge):
		m.opts.log.Error("the store is too large to be sent to a clone; see endpoint.WithMaxFrame", "store", m.name, "clone", clone, "bytes", len(c.bytes), "err", err)
		m.channel.AttachFailed(clone, 100)
	case err != nil || !queued:
		m.opts.log.Info("clone cannot attach: it is no direct peer, or does not read what waits for it", "store", m.name, "clone", clone, "err", err)
		m.channel.AttachFailed(clone, busy)
	default:
		m.attaches++
		m.news = true
		m.opts.log.Info("clone attaches", "store", m.name, "clone", clone, "entries", c.version.len(), "bytes", len(c.bytes), "event", c.offset)
		m.channel.Attached(clone, c.offset, busy)
		if len(c.bytes) >= largeContents {
			m.sending[clone] = m.ticks + busy
		}
	}
}
