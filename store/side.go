package store

import (
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A side is what a master and a clone have in common: contents that are changed by a batch and then
// published, commands that are sent and operations that are settled after that.
type side struct {
	*Store
	topic string // on which the other side listens

	table   *table // the published version, or one that is being changed
	changed bool   // it is being changed
	renewed bool   // it is another one altogether, and not a changed version
	changes []change
	out     outbox
	settled []settlement

	attaches uint64
	rejected uint64
	warned   time.Time // of a command that was rejected
}

// A settlement is an operation of a local user whose outcome is told at the end of the batch.
type settlement struct {
	p   *Pending
	o   Outcome
	err error
}

// edit makes the contents a version that may be changed, and tells whether somebody watches.
func (s *side) edit() (watched bool) {
	if !s.changed {
		s.table, s.changed = s.table.copy(), true
	}
	return !s.renewed && s.watchers.watched()
}

// publish lets readers see the contents as they are now.
func (s *side) publish() {
	if !s.changed {
		return
	}
	s.version.Store(s.table)
	if s.renewed {
		s.watchers.reset(s.table)
	} else {
		s.watchers.publish(s.table, s.changes)
	}
	s.changed, s.renewed = false, false
	clear(s.changes)
	s.changes = s.changes[:0]
}

// send sends what is to be sent, and then settles operations.
func (s *side) send() {
	s.out.flush(s.ep, s.topic)
	for _, done := range s.settled {
		done.p.settle(done.o, done.err)
	}
	clear(s.settled)
	s.settled = s.settled[:0]
}

// Rejected counts a command that was not acted upon, and warns of one a second.
func (s *side) Rejected(sender wire.EntityID, err error) {
	s.rejected++
	if now := time.Now(); now.Sub(s.warned) >= time.Second {
		s.warned = now
		s.opts.log.Warn("store command not acted upon", "store", s.name, "sender", sender, "err", err, "so far", s.rejected)
	}
}
