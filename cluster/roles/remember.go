package roles

import (
	"log/slog"
	"time"
)

// day is how long proxies remember: the create_expire of the tables in Zeek's scripts.
const day = 24 * time.Hour

// entryCost is what an entry of a memory takes besides what its key and value point at, in bytes, roughly.
const entryCost = 192

// What a string and a map take in an entry besides what is in them, in bytes, roughly.
const (
	textCost = 32
	mapCost  = 256
)

// A memory is a table of a proxy: each entry is there for a day from when it was made, whatever happens to it
// later, as in tables with &create_expire. Zeek's own are cleared a little late and without a bound; here
// the oldest entry goes when the memory is full.
type memory[K comparable, V any] struct {
	name  string
	limit int // bytes
	log   *slog.Logger

	entries        map[K]*entry[K, V]
	oldest, newest *entry[K, V]
	bytes          int
	forgotten      uint64 // entries that went before their time
}

// An entry is one thing remembered, in a list by age.
type entry[K comparable, V any] struct {
	key   K
	value V
	made  time.Time
	cost  int
	next  *entry[K, V] // the next younger
}

func newMemory[K comparable, V any](name string, limit int, log *slog.Logger) *memory[K, V] {
	return &memory[K, V]{name: name, limit: limit, log: log, entries: make(map[K]*entry[K, V])}
}

// get returns the value under a key, nil if there is none.
func (m *memory[K, V]) get(key K, now time.Time) *V {
	for m.oldest != nil && now.Sub(m.oldest.made) >= day {
		m.drop()
	}
	if e := m.entries[key]; e != nil {
		return &e.value
	}
	return nil
}

// add makes an entry, which must not be there. cost is what the key and value point at, in bytes.
func (m *memory[K, V]) add(key K, value V, cost int, now time.Time) *V {
	e := &entry[K, V]{key: key, value: value, made: now, cost: entryCost}
	if m.newest == nil {
		m.oldest = e
	} else {
		m.newest.next = e
	}
	m.newest = e
	m.entries[key] = e
	m.bytes += entryCost
	m.grow(key, cost)
	return &e.value
}

// grow says that the value under a key has grown by so many bytes. The oldest entries make room for it: this
// one, too, if it is the only one.
func (m *memory[K, V]) grow(key K, cost int) {
	if e := m.entries[key]; e != nil {
		e.cost += cost
		m.bytes += cost
	}
	for m.bytes > m.limit {
		m.drop()
		if m.forgotten++; m.forgotten == 1 {
			m.log.Warn("memory is full: the oldest entries are forgotten, and may be logged again within the day; more is only counted", "memory", m.name, "bytes", m.limit)
		}
	}
}

// drop forgets the oldest entry.
func (m *memory[K, V]) drop() {
	e := m.oldest
	if m.oldest = e.next; m.oldest == nil {
		m.newest = nil
	}
	m.bytes -= e.cost
	delete(m.entries, e.key)
}

// status says how full the memory is.
func (m *memory[K, V]) status() MemoryStatus {
	return MemoryStatus{Name: m.name, Entries: len(m.entries), Bytes: m.bytes, Forgotten: m.forgotten}
}
