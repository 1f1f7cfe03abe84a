package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
)

func encoded(v data.Value) []byte { return data.AppendValue(nil, v) }

func snapshotOf(t *table) wire.Snapshot {
	return wire.Snapshot{Len: t.len(), Bytes: t.appendSnapshot(nil)}
}

// numbered returns a table of n entries.
func numbered(n int) *table {
	t := new(table)
	for i := range n {
		t.set(encoded(data.Count(uint64(i))), encoded(data.String(fmt.Sprintf("value %d", i))), 0)
	}
	return t
}

// A model is what a table has, in a map.
type model map[string]entry

// equals complains of all in which a table differs from the model.
func (m model) equals(t *table) error {
	size := 0
	for key, want := range m {
		size += len(key) + len(want.value)
		if got, ok := t.get([]byte(key)); !ok || got != want {
			return fmt.Errorf("%x: got %v, %v; want %v", key, got, ok, want)
		}
	}
	if t.len() != len(m) || t.size() != size {
		return fmt.Errorf("%d entries of %d bytes, want %d of %d", t.len(), t.size(), len(m), size)
	}
	keys := slices.Sorted(maps.Keys(m))
	var got []string
	var want []byte
	for key, e := range t.all() {
		got = append(got, key)
		want = append(append(want, key...), e.value...)
	}
	if !slices.Equal(got, keys) {
		return fmt.Errorf("keys %q, want %q", got, keys)
	}
	if snapshot := t.appendSnapshot([]byte("x")); string(snapshot) != "x"+string(want) {
		return fmt.Errorf("snapshot %x", snapshot)
	}
	for at := range keys {
		var rest []string
		for key := range t.from(keys[at]) {
			rest = append(rest, key)
		}
		if !slices.Equal(rest, keys[at:]) {
			return fmt.Errorf("from %q: %q", keys[at], rest)
		}
	}
	return nil
}

// A table is a map whose versions stay as they were.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			table *table
			model model
		}
		now := version{new(table), model{}}
		var before []version
		text := rapid.StringN(0, 3, -1)
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h", "", "aa", "ab"}).Draw(t, "key")
			if rapid.IntRange(0, 3).Draw(t, "any") == 0 {
				key = text.Draw(t, "any key")
			}
			was, had := now.model[key]
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				before = append(before, version{now.table, maps.Clone(now.model)})
				now.table = now.table.copy()
			case 1, 2, 3:
				old, existed := now.table.erase([]byte(key))
				if old != was || existed != had {
					t.Fatalf("erase %q: %v, %v; want %v, %v", key, old, existed, was, had)
				}
				delete(now.model, key)
			case 4:
				if rapid.IntRange(0, 9).Draw(t, "clear") == 0 {
					before = append(before, version{now.table.clear(), now.model})
					now.model = model{}
				}
			case 5:
				now.table = now.table.compact()
			default:
				e := entry{value: text.Draw(t, "value"), expiry: rapid.Int64Range(0, 3).Draw(t, "expiry")}
				k, v := []byte(key), []byte(e.value)
				old, existed := now.table.set(k, v, e.expiry)
				if old != was || existed != had {
					t.Fatalf("set %q: %v, %v; want %v, %v", key, old, existed, was, had)
				}
				for _, b := range [][]byte{k, v} {
					for i := range b {
						b[i] = '!' // is not kept
					}
				}
				now.model[key] = e
			}
		}
		for i, v := range append(before, now) {
			if err := v.model.equals(v.table); err != nil {
				t.Fatalf("version %d of %d: %v", i+1, len(before)+1, err)
			}
		}
	})
}

// Versions are read by many while the next one is made, with all that can happen to the nodes of the
// tree; the race detector watches.
func TestTableVersionsAreReadWhileChanging(t *testing.T) {
	const keys = 5000
	key := func(i int) []byte { return encoded(data.Count(uint64(i))) }
	now := numbered(keys)
	var readers sync.WaitGroup
	for round := range 40 {
		version, size := now, now.len()
		for range 4 {
			readers.Go(func() {
				n := 0
				for k, e := range version.all() {
					if n++; n%100 == 0 {
						if got, ok := version.get([]byte(k)); !ok || got != e {
							t.Errorf("round %d: %x: got %v, %v; want %v", round, k, got, ok, e)
						}
					}
				}
				for range version.from(string(key(keys / 2))) {
					n++
				}
				if n < size {
					t.Errorf("round %d: %d entries, want %d", round, n, size)
				}
			})
		}
		now = version.copy()
		for i := range keys / 4 {
			at := (i*4 + round) % keys
			if round%3 == 0 {
				now.erase(key(at))
			} else {
				now.set(key(at+round%2*keys), key(round), 0)
			}
		}
		if round == 20 {
			now.clear()
		}
	}
	readers.Wait()
}

func TestTableOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		m := model{}
		sorted := rapid.Bool().Draw(t, "sorted")
		entries := rapid.MapOf(rapid.String(), datatest.Value(2)).Draw(t, "entries")
		names := slices.Sorted(maps.Keys(entries))
		if !sorted {
			names = rapid.Permutation(names).Draw(t, "order")
		}
		for _, name := range names {
			key := data.Vector(data.String(name))
			b = append(append(b, encoded(key)...), encoded(entries[name])...)
			m[string(encoded(key))] = entry{value: string(encoded(entries[name]))}
		}
		got, err := tableOf(wire.Snapshot{Len: len(m), Bytes: b})
		if err != nil {
			t.Fatal(err)
		}
		clear(b) // is not kept
		if err := m.equals(got); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTableOfNonsense(t *testing.T) {
	nan := encoded(data.Real(math.NaN()))
	for name, tc := range map[string]struct {
		entries []byte
		len     int
		want    error
		keys    int
	}{
		"nothing":                      {nil, 0, nil, 0},
		"other forms":                  {[]byte{1, 7, 12, 2, 1, 1, 1, 0}, 1, nil, 1},
		"more than announced":          {[]byte{1, 0, 0, 1, 1, 0}, 1, nil, 1},
		"less than announced":          {[]byte{1, 0, 0}, 2, data.ErrTruncated, 0},
		"one key twice":                {[]byte{1, 0, 0, 1, 0, 0}, 2, errDuplicateKey, 0},
		"one key twice, not in order":  {[]byte{1, 1, 0, 1, 0, 0, 1, 1, 0}, 3, errDuplicateKey, 0},
		"one key in two forms":         {[]byte{1, 1, 0, 1, 7, 0}, 2, errDuplicateKey, 0},
		"duplicates in a key":          {[]byte{12, 2, 0, 0, 0}, 1, data.ErrDuplicate, 0},
		"duplicates in a value":        {[]byte{0, 12, 2, 0, 0}, 1, data.ErrDuplicate, 0},
		"NaN, which is a key of many":  {bytes.Join([][]byte{nan, {0}, nan, {1, 1}}, nil), 2, nil, 1},
		"no value":                     {[]byte{1, 0}, 1, data.ErrTruncated, 0},
		"a protocol that there is not": {[]byte{8, 0, 80, 9, 0, 8, 0, 80, 1, 0}, 2, nil, 2},
	} {
		got, err := tableOf(wire.Snapshot{Len: tc.len, Bytes: tc.entries})
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
		if err == nil && got.len() != tc.keys {
			t.Errorf("%s: %d keys, want %d", name, got.len(), tc.keys)
		}
	}
}

// What real masters sent to clones is in canonical form, and taken over as it is.
func TestTableOfRecordings(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "interop", "testdata", "store*", "*.jsonl.gz"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d recordings: %v", len(files), err)
	}
	snapshots, entries := 0, 0
	for _, name := range files {
		for _, row := range commands(t, name) {
			if row.command.Kind != wire.CommandAckClone {
				continue
			}
			m := model{}
			if err := row.command.Snapshot.Each(func(key, value []byte) error {
				m[string(key)] = entry{value: string(value)}
				return nil
			}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			got, err := tableOf(row.command.Snapshot)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if err := m.equals(got); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			snapshots++
			entries += got.len()
		}
	}
	if snapshots < 20 || entries < 40 {
		t.Errorf("only %d snapshots with %d entries", snapshots, entries)
	}
}

func TestTableDoesNotAllocateToRead(t *testing.T) {
	table := numbered(1000)
	key := encoded(data.Count(7))
	buf := table.appendSnapshot(nil)
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := table.get(key); !ok {
			t.Error("not found")
		}
		table.appendSnapshot(buf[:0])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTableSet(b *testing.B) {
	const n = 1_000_000
	full := numbered(n)
	value := encoded(data.String("another value"))
	for _, every := range []int{1, 1000} {
		for _, key := range []struct {
			name string
			of   func(i int) uint64
		}{
			{"replacing", func(i int) uint64 { return uint64(i) * 7919 % n }},
			{"new", func(i int) uint64 { return n + uint64(i)*7919%n }},
		} {
			b.Run(fmt.Sprintf("%s/copyEvery=%d", key.name, every), func(b *testing.B) {
				b.ReportAllocs()
				t := full.copy()
				for i := 0; b.Loop(); i++ {
					if i%every == 0 {
						t = t.copy()
					}
					t.set(encoded(data.Count(key.of(i))), value, 0)
				}
			})
		}
	}
}

func BenchmarkTableGet(b *testing.B) {
	const n = 1_000_000
	t := numbered(n)
	key := encoded(data.Count(n / 3))
	b.ReportAllocs()
	for b.Loop() {
		t.get(key)
	}
}

func BenchmarkTableOf(b *testing.B) {
	s := snapshotOf(numbered(1_000_000))
	b.SetBytes(int64(len(s.Bytes)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tableOf(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTableSnapshot(b *testing.B) {
	t := numbered(1_000_000)
	buf := t.appendSnapshot(nil)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		buf = t.appendSnapshot(buf[:0])
	}
}

func BenchmarkTableMemory(b *testing.B) {
	s := snapshotOf(numbered(1_000_000))
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		t, err := tableOf(s)
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "B/entry")
		runtime.KeepAlive(t)
	}
}
