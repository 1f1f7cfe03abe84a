package store

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// What may wait for a reader of changes that is slow. Beyond it the reader gets the contents anew.
const (
	maxPendingChanges = 8192
	maxPendingBytes   = 16 << 20 // of keys and values, old ones included
)

// UpdateKind says what an [Update] tells.
type UpdateKind uint8

const (
	// Snapshot is all of the contents: the first update, and one in place of changes that are not told,
	// since the reader is slow or a clone found another master.
	Snapshot UpdateKind = iota
	// Inserted is a value under a key that had none.
	Inserted
	// Updated is a value in place of an old one, which may be equal.
	Updated
	// Erased is a value that was removed.
	Erased
	// Expired is a value whose time was over.
	Expired
)

var updateNames = [...]string{"snapshot", "insert", "update", "erase", "expire"}

// String returns Broker's name of the event (STORE.md section 5.6).
func (k UpdateKind) String() string {
	if int(k) < len(updateNames) {
		return updateNames[k]
	}
	return "unknown update"
}

// An Update is a change of a store, or all of its contents. It is immutable and may be kept, but a
// Snapshot keeps a whole version of the store in memory.
type Update struct {
	Kind      UpdateKind
	HasExpiry bool          // of an insert or update: whether its operation came with an expiry
	Expiry    time.Duration // which counts from its execution at the master
	Publisher wire.EntityID // whose user caused the change; of an expiry the master; zero for a Snapshot

	key, value, old string // encoded
	version         *table // of a Snapshot
}

// Key returns the key that the change is about.
func (u Update) Key() data.Value { return decoded(u.key) }

// Value returns the value after an insert or update.
func (u Update) Value() data.Value { return decoded(u.value) }

// Old returns the value before an update, an erase or an expiry.
func (u Update) Old() data.Value { return decoded(u.old) }

// Entries returns the contents that a Snapshot tells, in no particular order. They do not change.
func (u Update) Entries() iter.Seq2[data.Value, data.Value] { return u.version.values() }

// Len returns the number of entries of a Snapshot.
func (u Update) Len() int {
	if u.version == nil {
		return 0
	}
	return u.version.len()
}

// values returns all entries, decoded. The table may be nil.
func (t *table) values() iter.Seq2[data.Value, data.Value] {
	return func(yield func(key, value data.Value) bool) {
		if t == nil {
			return
		}
		for key, e := range t.all() {
			if !yield(decoded(key), decoded(e.value)) {
				return
			}
		}
	}
}

// decoded returns a value that a table keeps, none if there is none.
func decoded(encoded string) data.Value {
	// It was checked when it came, but may have grown beyond what is decoded by default.
	v, _ := data.Decoder{MaxValues: len(encoded) + 1}.Decode(bytesOf(encoded))
	return v
}

// A change is an update as the goroutine of the store publishes it.
type change struct {
	Update
	cleared *table // of a clear: what was removed; nothing else is set then but the publisher
}

// cost is what a change keeps in memory, roughly.
func (c *change) cost() int {
	n := len(c.key) + len(c.value) + len(c.old)
	if c.cleared != nil {
		n += c.cleared.size()
	}
	return n
}

// watchers passes changes on to those who watch a store. The zero value has none.
type watchers struct {
	count   atomic.Int32 // of readers
	noting  noting       // of the goroutine that publishes
	mu      sync.Mutex
	readers map[*reader]struct{}
	closed  bool
	err     error // why
}

// noting says whether the changes that lead to the next version are noted.
type noting uint8

const (
	undecided noting = iota
	no
	yes
)

// A reader is one loop over updates. What it has to give is a snapshot, or else changes.
type reader struct {
	wake     chan struct{} // has a signal if there is something new
	snapshot *table        // to be given before all else
	given    *table        // the last snapshot that was given, until the next publish
	pending  []change
	bytes    int // of pending
}

// watched tells whether it is worth to note the changes that lead to the next version. Its first answer
// holds until that is published: a reader that comes meanwhile must not get a part of them.
func (w *watchers) watched() bool {
	if w.noting == undecided {
		if w.noting = no; w.count.Load() > 0 {
			w.noting = yes
		}
	}
	return w.noting == yes
}

// publish passes on the changes that led to a version; readers get all of it instead, if watched was
// false. Like watched it is called by one goroutine, once for each version that differs from the one
// before, after current, as given to watch, returns the version.
func (w *watchers) publish(version *table, changes []change) {
	if !w.watched() {
		w.reset(version)
		return
	}
	w.each(version, func(r *reader) { r.add(version, changes) })
}

// reset is publish in place of changes that nobody noted: every reader gets all of the version.
func (w *watchers) reset(version *table) {
	w.each(version, func(r *reader) { r.restart(version) })
}

// each calls do for the readers that were given the version before.
func (w *watchers) each(version *table, do func(*reader)) {
	w.noting = undecided
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.readers {
		given := r.given
		switch r.given = nil; {
		case given == version: // it began between the store and this call, and has it all
			continue
		case r.snapshot != nil:
			r.snapshot = version
		default:
			do(r)
		}
		r.signal()
	}
}

// close ends every loop over updates, after what waits, and all that begin later.
func (w *watchers) close(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed, w.err = true, err
	for r := range w.readers {
		r.signal()
	}
}

func (r *reader) add(version *table, changes []change) {
	for i := range changes {
		r.bytes += changes[i].cost()
	}
	if len(r.pending)+len(changes) > maxPendingChanges || r.bytes > maxPendingBytes {
		r.restart(version)
		return
	}
	r.pending = append(r.pending, changes...)
}

func (r *reader) restart(version *table) {
	r.snapshot, r.pending, r.bytes = version, nil, 0
}

func (r *reader) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// watch returns the updates from now on, where now is when the loop over them begins: a Snapshot of the
// version that current returns, and the changes that follow it, each once. It ends when ctx does, and
// with the error that close was given.
func (w *watchers) watch(ctx context.Context, current func() *table) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		r := &reader{wake: make(chan struct{}, 1)}
		w.enter(r, current)
		defer w.leave(r)
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.wake:
			}
			snapshot, changes, closed := w.take(r)
			if snapshot != nil && !yield(Update{Kind: Snapshot, version: snapshot}, nil) {
				return
			}
			for i := range changes {
				if ctx.Err() != nil || !changes[i].each(yield) {
					return
				}
			}
			if closed {
				if w.err != nil {
					yield(Update{}, w.err)
				}
				return
			}
		}
	}
}

func (w *watchers) enter(r *reader, current func() *table) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		// First the count and then the version: what is published without looking at readers is in it.
		w.count.Add(1)
		r.snapshot = current()
		if w.readers == nil {
			w.readers = make(map[*reader]struct{})
		}
		w.readers[r] = struct{}{}
	}
	r.signal()
}

func (w *watchers) leave(r *reader) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, entered := w.readers[r]; entered {
		delete(w.readers, r)
		w.count.Add(-1)
	}
}

func (w *watchers) take(r *reader) (snapshot *table, changes []change, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	snapshot, changes = r.snapshot, r.pending
	if snapshot != nil {
		r.given = snapshot
	}
	r.snapshot, r.pending, r.bytes = nil, nil, 0
	return snapshot, changes, w.closed
}

// each yields the updates that a change stands for: of a clear, one for each key, in their order.
func (c *change) each(yield func(Update, error) bool) bool {
	if c.cleared == nil {
		return yield(c.Update, nil)
	}
	type removed struct {
		key     data.Value
		encoded string
		old     string
	}
	all := make([]removed, 0, c.cleared.len())
	for key, e := range c.cleared.all() {
		all = append(all, removed{decoded(key), key, e.value})
	}
	slices.SortFunc(all, func(a, b removed) int { return a.key.Compare(b.key) })
	for _, one := range all {
		u := Update{Kind: Erased, Publisher: c.Publisher, key: one.encoded, old: one.old}
		if !yield(u, nil) {
			return false
		}
	}
	return true
}
