package store

import (
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// Status says how a store is.
type Status struct {
	Name    string
	Role    Role
	Entries int
	Bytes   int // of all keys and values, encoded

	// Master is the entity of the master; at a clone zero until it has found one.
	Master wire.EntityID
	// Ready tells whether queries are answered.
	Ready bool
	// Seq is the number of the newest event that was produced, or at a clone seen.
	Seq uint64
	// Lag is, at a clone, how many events it knows of and has not seen; at a master, how many the slowest
	// clone has not acknowledged.
	Lag uint64
	// Silence is, at a clone, for how long it has not heard of its master.
	Silence time.Duration
	// Waiting is, at a clone, the number of its operations that have no outcome.
	Waiting int
	// Clones are, at a master, those that are attached.
	Clones []CloneStatus
	// Writers is, at a master, how many writers it knows.
	Writers int
	// Attaches counts how often this clone has attached, or how often clones did at this master.
	Attaches uint64
	// Rejected counts commands that were not acted upon, and what else was wrong with what others sent.
	Rejected uint64
	// Rivals are, at a master, peers that have a master of the same store. Each has contents of its own.
	Rivals []wire.EndpointID
	// Err is why a master does not get on: its backend fails.
	Err error
}

// CloneStatus says how a clone is, as its master sees it.
type CloneStatus struct {
	Clone  wire.EntityID
	Acked  uint64 // the last event that it has acknowledged; 0: it is attaching
	Lag    uint64 // events that it has not acknowledged
	Silent time.Duration
}

// Status returns how the store is: its contents at this moment, the rest as of the last tick. It never
// waits.
func (s *Store) Status() Status {
	status := *s.status.Load()
	version := s.version.Load()
	status.Entries, status.Bytes = version.len(), version.size()
	select {
	case <-s.gate.Load().open:
		status.Ready = true
	default:
		status.Ready = false
	}
	return status
}

func (s *Store) updateStatus() {
	s.news = false
	status := &Status{Name: s.name, Role: s.role}
	s.replica.fill(status)
	s.status.Store(status)
}
