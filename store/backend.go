package store

import "github.com/zeekpeer/zeekpeer/wire"

// A Backend keeps the contents of a master durable. The master has all of them in memory besides: it
// reads a backend once, at its start, and from then on only writes to it.
//
// One master at a time uses a backend, from one goroutine. Opening one locks its files.
type Backend interface {
	// State returns what the last master left. It is called before Load.
	State() (State, error)
	// Load calls yield for every record, in any order, and ends with its first error. The bytes of a
	// record are valid during the call.
	Load(yield func(Record) error) error
	// Commit returns once the batch is durable, all of it, or fails with none of it. After an error
	// it may be called again with the same batch, for example when there is room on the disk again.
	Commit(b *Batch) error
	// Close gives up the files and the locks on them.
	Close() error
}

// A Record is one entry of a store. Key and Value are encoded values (STORE.md section 2.1), in the
// one form that [data.AppendValue] writes.
type Record struct {
	Key, Value []byte
	Expiry     int64 // nanoseconds since 1970 UTC; 0: never
}

// State is what a master has to find again to be the same master after a restart (STORE.md section
// 8.2 j).
type State struct {
	// Master is the master's entity; zero if no master of ours has used the backend.
	Master wire.EntityID
	// Mark is the highest number that an event of the master may have had.
	Mark uint64
	// Writers has the number of the last write of each writer that was executed.
	Writers map[wire.EntityID]uint64
}

// A Batch is what a master wants to be durable before it tells anybody.
type Batch struct {
	Clear   bool     // remove all records, before Changes
	Changes []Change // in their order: of several with one key the last counts
	Master  wire.EntityID
	Mark    uint64
	Writers []WriterMark
}

// A Change sets a record or erases the one with its key.
type Change struct {
	Record
	Erase bool
}

// A WriterMark says which write of a writer was executed last. With the number 0 the writer is to be
// forgotten.
type WriterMark struct {
	Writer wire.EntityID
	Seq    uint64
}
