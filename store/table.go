package store

import (
	"errors"
	"fmt"
	"iter"

	"github.com/tidwall/btree"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A table is the contents of a store: entries by the canonical encoding of their keys, in the order of
// its bytes.
//
// One goroutine changes a table; nobody reads one that changes. A version for others to read is made by
// [table.copy].
type table struct {
	entries btree.Map[string, entry]
	bytes   int // of all keys and values
}

// An entry is what stands under a key. The value shares one piece of memory with the key.
type entry struct {
	value  string // encoded, in canonical form
	expiry int64  // nanoseconds since 1970 UTC; 0: never
}

var errDuplicateKey = errors.New("two entries have one key")

// copy returns a table of the same contents that can be changed. It takes no time that depends on their
// size: the two share what neither changes. The table copied must not be changed any more, and may be
// read by many goroutines.
//
// This rests on btree.Map as follows. Copy gives both maps new numbers, and whoever changes a map copies
// each node first that bears another number. To read a map looks at no number: it is safe beside a Copy.
func (t *table) copy() *table {
	return &table{entries: *t.entries.Copy(), bytes: t.bytes}
}

// get returns the entry under a key. It does not allocate.
func (t *table) get(key []byte) (e entry, ok bool) {
	return t.entries.Get(stringOf(key))
}

// lookup returns the entry under a key.
func (t *table) lookup(key data.Value) (entry, bool) {
	var buf [64]byte
	return t.get(data.AppendValue(buf[:0], key))
}

// set puts a value under a key and returns what was there. It keeps neither key nor value.
func (t *table) set(key, value []byte, expiry int64) (old entry, existed bool) {
	k, v := joined(key, value)
	old, existed = t.entries.Set(k, entry{value: v, expiry: expiry})
	t.bytes += len(value) - len(old.value)
	if !existed {
		t.bytes += len(key)
	}
	return old, existed
}

// joined returns copies of key and value in one piece of memory.
func joined(key, value []byte) (k, v string) {
	b := make([]byte, len(key)+len(value))
	copy(b[copy(b, key):], value)
	s := stringOf(b)
	return s[:len(key)], s[len(key):]
}

// erase removes the entry under a key and returns it.
func (t *table) erase(key []byte) (old entry, existed bool) {
	k := stringOf(key)
	if old, existed = t.entries.Get(k); existed { // a Delete in vain would copy nodes
		t.entries.Delete(k)
		t.bytes -= len(key) + len(old.value)
	}
	return old, existed
}

// clear removes all entries and returns a table that has them, to be read only.
func (t *table) clear() (before *table) {
	before = &table{entries: t.entries, bytes: t.bytes}
	t.entries.Clear() // lets go of all nodes, so that none of before's is changed
	t.bytes = 0
	return before
}

// len returns the number of entries.
func (t *table) len() int { return t.entries.Len() }

// size returns how many bytes all keys and values take.
func (t *table) size() int { return t.bytes }

// all returns all entries in the order of the bytes of their keys.
func (t *table) all() iter.Seq2[string, entry] {
	return func(yield func(string, entry) bool) { t.entries.Scan(yield) }
}

// from returns the entries whose keys are not less than key, in the order of all.
func (t *table) from(key string) iter.Seq2[string, entry] {
	return func(yield func(string, entry) bool) { t.entries.Ascend(key, yield) }
}

// appendSnapshot appends all keys and values by turns, as they stand in an ack_clone.
func (t *table) appendSnapshot(dst []byte) []byte {
	for key, e := range t.all() {
		dst = append(append(dst, key...), e.value...)
	}
	return dst
}

// tableOf returns the contents of a snapshot. It checks all of it and keeps none of its memory. Two equal
// keys are an error, unless they have a NaN: a real master takes those any number of times (STORE.md
// section 6.1), and the last one stays.
func tableOf(snapshot wire.Snapshot) (*table, error) {
	t := new(table)
	err := snapshot.Each(func(key, value []byte) (err error) {
		if key, err = canonicalValue(key); err == nil {
			value, err = canonicalValue(value)
		}
		if err != nil {
			return fmt.Errorf("entry %d of %d: %w", t.len()+1, snapshot.Len, err)
		}
		if err = t.load(key, value, 0); err != nil && data.HasNaN(key) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return t.compact(), nil
}

// compact returns a table of the same contents without the room that the nodes of one leave that was
// loaded in the order of its keys: half of all.
func (t *table) compact() *table {
	c := t.copy()
	c.entries.ScanMut(func(string, entry) bool { return true }) // copies the nodes, to their size
	return c
}

// load is set for an entry that is new, fast if its key is greater than all others.
func (t *table) load(key, value []byte, expiry int64) error {
	k, v := joined(key, value)
	old, existed := t.entries.Load(k, entry{value: v, expiry: expiry})
	if existed {
		t.bytes += len(value) - len(old.value)
		return errDuplicateKey
	}
	t.bytes += len(key) + len(value)
	return nil
}
