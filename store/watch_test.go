package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A contents is what a store of strings has.
type contents map[string]string

// A publisher is a store reduced to what watchers see of it.
type publisher struct {
	watchers
	version atomic.Pointer[table]
	work    *table
	changes []change
}

func newPublisher() *publisher {
	p := new(publisher)
	p.version.Store(new(table))
	p.begin()
	return p
}

func (p *publisher) begin() { p.work, p.changes = p.version.Load().copy(), nil }

func (p *publisher) commit() {
	p.version.Store(p.work)
	p.publish(p.work, p.changes)
	p.begin()
}

func (p *publisher) note(c change) {
	if p.watched() {
		p.changes = append(p.changes, c)
	}
}

func (p *publisher) put(k, v string) {
	key, value := encoded(data.String(k)), encoded(data.String(v))
	u := Update{Kind: Inserted, key: string(key), value: string(value)}
	if old, existed := p.work.set(key, value, 0); existed {
		u.Kind, u.old = Updated, old.value
	}
	p.note(change{Update: u})
}

func (p *publisher) erase(k string) {
	key := encoded(data.String(k))
	if old, existed := p.work.erase(key); existed {
		p.note(change{Update: Update{Kind: Erased, key: string(key), old: old.value}})
	}
}

func (p *publisher) clear() { p.note(change{cleared: p.work.clear()}) }

// follow applies an update to m as a reader would, and complains of what does not fit.
func follow(m contents, u Update) error {
	text := func(v data.Value) string { s, _ := v.AsString(); return s }
	if u.Kind == Snapshot {
		clear(m)
		for k, v := range u.Entries() {
			m[text(k)] = text(v)
		}
		if len(m) != u.Len() {
			return fmt.Errorf("a snapshot of %d entries says that it has %d", len(m), u.Len())
		}
		return nil
	}
	key, old := text(u.Key()), text(u.Old())
	before, existed := m[key]
	if existed == (u.Kind == Inserted) || before != old {
		return fmt.Errorf("%v of %q, old value %q, to %v with %q", u.Kind, key, old, existed, before)
	}
	if u.Kind == Erased || u.Kind == Expired {
		delete(m, key)
	} else {
		m[key] = text(u.Value())
	}
	return nil
}

func contentsOf(t *table) contents {
	m := make(contents)
	follow(m, Update{Kind: Snapshot, version: t})
	return m
}

// next returns the next update, which there must be.
func next(t *testing.T, pull func() (Update, error, bool)) Update {
	t.Helper()
	u, err, ok := pull()
	if err != nil || !ok {
		t.Fatalf("no update: %v", err)
	}
	return u
}

func TestWatch(t *testing.T) {
	p := newPublisher()
	p.put("a", "1")
	p.commit()
	pull, stop := iter.Pull2(p.watch(t.Context(), p.version.Load))
	defer stop()
	u := next(t, pull)
	if u.Kind != Snapshot || u.Len() != 1 {
		t.Fatalf("the first update is %v with %d entries", u.Kind, u.Len())
	}
	p.put("b", "2")
	p.put("a", "3")
	p.erase("b")
	p.commit()
	for _, want := range []Update{
		{Kind: Inserted, key: "b", value: "2"}, {Kind: Updated, key: "a", value: "3", old: "1"}, {Kind: Erased, key: "b", old: "2"},
	} {
		u := next(t, pull)
		key, _ := u.Key().AsString()
		value, _ := u.Value().AsString()
		old, _ := u.Old().AsString()
		if u.Kind != want.Kind || key != want.key || value != want.value || old != want.old || u.Len() != 0 {
			t.Errorf("got %v %q %q %q, want %+v", u.Kind, key, value, old, want)
		}
		for range u.Entries() {
			t.Error("a change has entries")
		}
	}
	closed := errors.New("closed")
	p.put("c", "4")
	p.commit()
	p.close(closed)
	if u := next(t, pull); u.Kind != Inserted {
		t.Errorf("before the end: %v", u.Kind)
	}
	if _, err, ok := pull(); err != closed || !ok {
		t.Errorf("at the end: %v", err)
	}
	if _, _, ok := pull(); ok {
		t.Error("something comes after the end")
	}
	for _, err := range p.watch(t.Context(), p.version.Load) {
		if err != closed {
			t.Errorf("of what is closed: %v", err)
		}
	}
	if n := p.count.Load(); n != 0 {
		t.Errorf("%d readers are left", n)
	}
}

// A clear is one erase for each key, in the order of the keys and not of their encodings.
func TestWatchClear(t *testing.T) {
	p := newPublisher()
	pull, stop := iter.Pull2(p.watch(t.Context(), p.version.Load))
	defer stop()
	next(t, pull)
	who := wire.EntityID{Object: 7}
	keys := []data.Value{data.Int(-1), data.Int(1), data.String("aa"), data.String("b"), setOf(1)}
	for _, k := range keys {
		p.work.set(encoded(k), encoded(data.String("old")), 0)
	}
	p.note(change{Update: Update{Publisher: who}, cleared: p.work.clear()})
	p.put("after", "x")
	p.commit()
	for _, want := range keys {
		u := next(t, pull)
		if u.Kind != Erased || !u.Key().Equal(want) || !u.Old().Equal(data.String("old")) || u.Publisher != who {
			t.Errorf("got %v %v %v, want an erase of %v", u.Kind, u.Key(), u.Old(), want)
		}
	}
	if u := next(t, pull); u.Kind != Inserted || p.version.Load().len() != 1 {
		t.Errorf("after the clear: %v, %d entries", u.Kind, p.version.Load().len())
	}
}

// Who is too slow gets a snapshot instead of what waited, and follows from there.
func TestWatchTooSlow(t *testing.T) {
	for name, fill := range map[string]func(p *publisher){
		"many batches": func(p *publisher) {
			for i := range maxPendingChanges + 1 {
				p.put(fmt.Sprint(i%10), fmt.Sprint(i))
				p.commit()
			}
		},
		"one batch": func(p *publisher) {
			for i := range maxPendingChanges + 1 {
				p.put(fmt.Sprint(i%10), fmt.Sprint(i))
			}
			p.commit()
		},
		"large values": func(p *publisher) {
			for i := range 3 {
				p.put(fmt.Sprint(i), string(make([]byte, maxPendingBytes/2)))
				p.commit()
			}
		},
		"clear of much": func(p *publisher) {
			p.put("k", string(make([]byte, maxPendingBytes)))
			p.commit()
			p.clear()
			p.commit()
		},
		"reset": func(p *publisher) {
			p.put("x", "before")
			p.commit()
			p.work.set(encoded(data.String("x")), encoded(data.String("after")), 0)
			p.version.Store(p.work)
			p.reset(p.work)
			p.begin()
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher()
			pull, stop := iter.Pull2(p.watch(t.Context(), p.version.Load))
			defer stop()
			next(t, pull)
			fill(p)
			for r := range p.readers {
				if len(r.pending) > maxPendingChanges || r.bytes > maxPendingBytes {
					t.Errorf("%d changes of %d bytes wait", len(r.pending), r.bytes)
				}
			}
			p.put("last", "one")
			p.commit()
			m := make(contents)
			snapshots := 0
			for m["last"] == "" {
				u := next(t, pull)
				if err := follow(m, u); err != nil {
					t.Fatal(err)
				}
				if u.Kind == Snapshot {
					snapshots++
				}
			}
			if snapshots != 1 || !maps.Equal(m, contentsOf(p.version.Load())) {
				t.Errorf("%d snapshots, and then %d entries, want %d", snapshots, len(m), p.version.Load().len())
			}
		})
	}
}

// Who comes while a version is made, or between its being seen and its being published, misses nothing
// and is told nothing twice.
func TestWatchComesBetween(t *testing.T) {
	for name, step := range map[string]func(p *publisher, come func()){
		"before the version is seen": func(p *publisher, come func()) {
			p.put("a", "1")
			come()
			p.put("b", "2")
			p.commit()
		},
		"before it is published": func(p *publisher, come func()) {
			p.put("a", "1")
			p.put("b", "2")
			p.version.Store(p.work)
			come()
			p.publish(p.work, p.changes)
			p.begin()
		},
		"before it is published, as the second": func(p *publisher, come func()) {
			for range p.watch(t.Context(), p.version.Load) {
				p.put("a", "1")
				p.put("b", "2")
				p.version.Store(p.work)
				come()
				p.publish(p.work, p.changes)
				p.begin()
				break
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher()
			pull, stop := iter.Pull2(p.watch(t.Context(), p.version.Load))
			defer stop()
			m := make(contents)
			read := func() {
				if err := follow(m, next(t, pull)); err != nil {
					t.Fatal(err)
				}
			}
			step(p, read)
			p.put("c", "3")
			p.commit()
			for m["c"] == "" {
				read()
			}
			if !maps.Equal(m, contentsOf(p.version.Load())) {
				t.Errorf("got %v", m)
			}
		})
	}
}

// As many readers that come and go as there may be, each follows without a gap and without a change
// told twice, whenever it comes.
func TestWatchWhileChanging(t *testing.T) {
	p := newPublisher()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers, began sync.WaitGroup
	for i := range 8 {
		began.Add(1)
		readers.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				m := make(contents)
				updates := 0
				for u, err := range p.watch(ctx, p.version.Load) {
					if err != nil {
						t.Error(err)
						return
					}
					if err := follow(m, u); err != nil {
						t.Errorf("reader %d, update %d: %v", i, updates, err)
						return
					}
					if updates++; round == 0 && updates == 1 {
						began.Done()
					}
					if m["end"] != "" {
						if want := contentsOf(p.version.Load()); !maps.Equal(m, want) {
							t.Errorf("reader %d ended with %v, want %v", i, m, want)
						}
						return
					}
					if i%2 == 0 && updates == 10*(i+1) {
						break // to come again
					}
				}
			}
		})
	}
	began.Wait()
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		for range r.IntN(4) {
			switch k := fmt.Sprint(r.IntN(20)); r.IntN(20) {
			case 0:
				p.clear()
			case 1, 2, 3, 4, 5:
				p.erase(k)
			default:
				p.put(k, fmt.Sprint(r.Int64()))
			}
		}
		p.commit()
	}
	p.put("end", "x")
	p.commit()
	readers.Wait()
	if n := p.count.Load(); n != 0 {
		t.Errorf("%d readers are left", n)
	}
}

func TestWatchEndsWithContext(t *testing.T) {
	p := newPublisher()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	updates := 0
	for _, err := range p.watch(ctx, p.version.Load) {
		if err != nil {
			t.Error(err)
		}
		updates++
		cancel()
	}
	if updates != 1 || p.count.Load() != 0 {
		t.Errorf("%d updates, %d readers left", updates, p.count.Load())
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, readers := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			p := newPublisher()
			ctx, cancel := context.WithCancel(b.Context())
			var wg, began sync.WaitGroup
			for range readers {
				began.Add(1)
				wg.Go(func() {
					first := true
					for range p.watch(ctx, p.version.Load) {
						if first {
							began.Done()
							first = false
						}
					}
				})
			}
			began.Wait()
			one := change{Update: Update{Kind: Inserted, key: "\x01\x01", value: "\x00"}}
			versions := [2]*table{p.work, p.work.copy()}
			changes := []change{one}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.watched()
				p.publish(versions[i%2], changes)
			}
			cancel()
			wg.Wait()
		})
	}
}
