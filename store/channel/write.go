package channel

import (
	"bytes"

	"github.com/zeekpeer/zeekpeer/wire"
)

// An Outcome says what became of a write of a clone.
type Outcome uint8

// The outcomes.
const (
	// Pending: nothing is known yet.
	Pending Outcome = iota
	// Applied: the master has executed the write.
	Applied
	// NoEffect: the master has dealt with the write, and it changed nothing: there was nothing to erase,
	// the key existed already, or it failed.
	NoEffect
	// Unknown: the write was sent, and nobody can tell whether it was executed.
	Unknown
	// Unsent: the write was not sent to any master, and will not be.
	Unsent
)

// A Write is an action that a clone asks its master for. The clone numbers and sends it, and keeps it
// until it knows the outcome.
type Write struct {
	// Command is the action: its kind, key, value and so on. Sequence number, entities and the request id
	// are filled in by the clone.
	Command wire.Command
	// Tag is for the caller.
	Tag any

	since   int    // the tick at which it was submitted
	settled bool   // the outcome was told
	dead    bool   // it waited too long: it is not sent again
	vague   bool   // an event that may have told of it was taken for one before it
	until   uint64 // of one that is acknowledged: the event before which its effect shows, if it has any; 0: not known
}

// repeatable tells whether executing the write a second time, at a master that does not know of the
// first time, leads where the first would have.
func (w *Write) repeatable() bool {
	switch w.Command.Kind {
	case wire.CommandPut, wire.CommandErase, wire.CommandClear:
		return true
	}
	return false
}

// sure tells whether the write cannot but have its effect once the master has dealt with it.
func (w *Write) sure() bool {
	return w.Command.Kind == wire.CommandPut || w.Command.Kind == wire.CommandClear
}

// matches tells whether an event that this clone's writer is the publisher of may be the effect of the
// write. Of a failed add or subtract no master but ours tells, so the event of a later put of the same
// key is taken for its effect.
func (w *Write) matches(c *wire.Command) bool {
	switch w.Command.Kind {
	case wire.CommandPut, wire.CommandPutUnique:
		return c.Kind == wire.CommandPut && bytes.Equal(w.Command.Key, c.Key) && bytes.Equal(w.Command.Value, c.Value)
	case wire.CommandAdd, wire.CommandSubtract:
		return c.Kind == wire.CommandPut && bytes.Equal(w.Command.Key, c.Key)
	case wire.CommandErase:
		return c.Kind == wire.CommandErase && bytes.Equal(w.Command.Key, c.Key)
	case wire.CommandClear:
		return c.Kind == wire.CommandClear
	}
	return false
}
