package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A tally is what became of increments of which each has a key to itself, besides one that all share.
type tally struct {
	name      string
	submitted []time.Time
	pending   []*store.Pending
}

func (w *tally) key(i int) data.Value { return data.String(fmt.Sprint(w.name, " ", i)) }

var shared = data.String("shared")

// write submits the next two increments.
func (w *tally) write(t testing.TB, s *store.Store) {
	t.Helper()
	for _, key := range []data.Value{w.key(len(w.submitted)), shared} {
		p, err := s.Submit(t.Context(), store.IncrementOp(key, count(1)))
		if err != nil {
			t.Fatal(err)
		}
		w.pending = append(w.pending, p)
	}
	w.submitted = append(w.submitted, time.Now())
}

// check waits for the outcomes and compares them with what the master has then. It returns how many
// increments of the shared key were applied, and of how many that is not known. Want says what is wrong
// with the outcome of a write that was submitted at a time.
func (w *tally) check(t testing.TB, ctx context.Context, master *store.Store, want func(at time.Time, o store.Outcome, err error) error) (applied, unknown uint64) {
	t.Helper()
	var wrong []error
	for i, p := range w.pending {
		o, err := p.Wait(ctx)
		if err := want(w.submitted[i/2], o, err); err != nil {
			wrong = append(wrong, fmt.Errorf("write %d: %w", i, err))
		}
		if i%2 == 1 { // of the shared key
			if err == nil {
				applied++
			} else if errors.Is(err, store.ErrOutcomeUnknown) {
				unknown++
			}
			continue
		}
		v, _ := master.Get(ctx, w.key(i/2))
		n, _ := v.AsCount()
		if err == nil && n != 1 || errors.Is(err, store.ErrNoSuchMaster) && n != 0 || n > 1 {
			wrong = append(wrong, fmt.Errorf("write %d: %v, %w, but it was executed %d times", i, o, err, n))
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%s: %d of %d outcomes are wrong, first: %v", w.name, len(wrong), len(w.pending), wrong[0])
	}
	return applied, unknown
}

func wantApplied(_ time.Time, o store.Outcome, err error) error {
	if o != store.Applied || err != nil {
		return fmt.Errorf("%v, %w", o, err)
	}
	return nil
}

// outcomeName names what became of a write.
func outcomeName(o store.Outcome, err error) string {
	for _, known := range []error{store.ErrOutcomeUnknown, store.ErrNoSuchMaster} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return fmt.Sprint(o)
}

// A network falls apart while both sides write, and is whole again later. Writes that waited no longer
// than the mutation buffer interval are executed once; others end with an error that says whether they
// may have been. Then all have the same.
func TestPartition(t *testing.T) {
	const buffer = 2 * time.Minute
	for _, d := range []time.Duration{5 * time.Second, time.Minute, 400 * time.Second} {
		t.Run(d.String(), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				ctx := t.Context()
				a, b, c := n.node(t, "a"), n.node(t, "b"), n.node(t, "c")
				serve(t, a, "a")
				master := attachMaster(t, a)
				peered(t, b, "a")
				peered(t, c, "a")
				cut, well := attachClone(t, b), attachClone(t, c)
				var before, during, beside, after tally
				before.name, during.name, beside.name, after.name = "before", "during", "beside", "after"
				for range 10 {
					before.write(t, cut)
				}
				a1, _ := before.check(t, ctx, master, wantApplied)
				n.Part("a", "b")
				start := time.Now()
				for time.Since(start) < d {
					if o, err := master.Put(ctx, data.String(fmt.Sprint("master ", time.Since(start))), count(1)); o != store.Applied || err != nil {
						t.Fatal(o, err)
					}
					during.write(t, cut)
					beside.write(t, well)
					time.Sleep(time.Second)
					_, err := cut.Get(ctx, before.key(0))
					if silent := cut.Status().Silence; silent < store.DefaultStaleInterval-time.Second && err != nil {
						t.Errorf("a query after %v: %v", silent, err)
					} else if silent > store.DefaultStaleInterval+time.Second && !errors.Is(err, store.ErrStale) {
						t.Errorf("a query after %v: %v", silent, err)
					}
				}
				n.Heal("a", "b")
				healed := time.Now()
				if err := cut.WaitIdle(ctx); err != nil {
					t.Fatal(err)
				}
				t.Logf("idle %v after a partition of %v", time.Since(healed), d)
				for range 10 {
					after.write(t, cut)
				}
				a2, _ := beside.check(t, ctx, master, wantApplied)
				a3, _ := after.check(t, ctx, master, wantApplied)
				outcomes := make(map[string]int)
				a4, unknown := during.check(t, ctx, master, func(at time.Time, o store.Outcome, err error) error {
					outcomes[outcomeName(o, err)]++
					ended := errors.Is(err, store.ErrOutcomeUnknown) || errors.Is(err, store.ErrNoSuchMaster)
					switch waited := healed.Sub(at); {
					case waited < buffer-10*time.Second:
						return wantApplied(at, o, err)
					case waited > buffer+time.Second && !ended, err != nil && !ended:
						return fmt.Errorf("after %v: %v, %w", waited, o, err)
					}
					return nil
				})
				t.Log(outcomes)
				applied := a1 + a2 + a3 + a4
				v, err := master.Get(ctx, shared)
				if got, _ := v.AsCount(); err != nil || got < applied || got > applied+unknown {
					t.Errorf("%v, %v: %d were applied, and of %d it is not known", v, err, applied, unknown)
				}
				same(t, ctx, master, cut)
				same(t, ctx, master, well)
				if got := well.Status().Attaches; got != 1 {
					t.Errorf("the clone that was well attached %d times", got)
				}
			})
		})
	}
}

// A hangingLog is a backend whose Commit does not return while it hangs.
type hangingLog struct {
	*memoryLog
	mu   sync.Mutex
	hang chan struct{}
}

func (l *hangingLog) hanging(hang bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if hang {
		l.hang = make(chan struct{})
	} else {
		close(l.hang)
	}
}

func (l *hangingLog) Commit(b *store.Batch) error {
	l.mu.Lock()
	hang := l.hang
	l.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return l.memoryLog.Commit(b)
}

// A master hangs whose node is well: the connections stand, pings are answered, and nothing comes. Its
// clones answer from their copies, and end what waits too long. When it goes on, so do they.
func TestHungMaster(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		ctx := t.Context()
		a, b := n.node(t, "a"), n.node(t, "b")
		serve(t, a, "a")
		log := &hangingLog{memoryLog: newMemoryLog()}
		master := attachMaster(t, a, store.WithBackend(log))
		peered(t, b, "a")
		clone := attachClone(t, b)
		w := tally{name: "w"}
		w.write(t, clone)
		w.check(t, ctx, master, wantApplied)
		log.hanging(true)
		hung := time.Now()
		w.write(t, clone)
		time.Sleep(100 * time.Second)
		w.write(t, clone)
		if got := clone.Status().Silence; got < 90*time.Second {
			t.Errorf("after 100 s it was silent for %v", got)
		}
		if _, err := clone.Get(ctx, w.key(0)); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second)
		if o, err := w.pending[2].Wait(ctx); !errors.Is(err, store.ErrOutcomeUnknown) {
			t.Errorf("after 130 s: %v, %v", o, err)
		}
		select {
		case <-w.pending[4].Done():
			t.Error("a write ended that had waited 30 s only")
		default:
		}
		log.hanging(false)
		w.write(t, clone)
		if err := clone.WaitIdle(ctx); err != nil {
			t.Error(err)
		}
		w.check(t, ctx, master, func(at time.Time, o store.Outcome, err error) error {
			if at.Equal(hung) {
				return nil
			}
			return wantApplied(at, o, err)
		})
		same(t, ctx, master, clone)
		if master, clone := master.Status().Attaches, clone.Status().Attaches; master != 1 || clone != 1 {
			t.Errorf("%d attaches at the master, %d of the clone", master, clone)
		}
	})
}

// A clone does not read while the master has much to say, so that its queue there overflows. When it
// reads again it gets what it missed, and meanwhile others notice nothing.
func TestSlowClone(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		ctx := t.Context()
		a := n.node(t, "a", endpoint.WithPeerQueue(endpoint.QueueLimits{Messages: 1000}))
		b, c := n.node(t, "b"), n.node(t, "c")
		serve(t, a, "a")
		master := attachMaster(t, a)
		peered(t, b, "a")
		peered(t, c, "a")
		slow, fast := attachClone(t, b), attachClone(t, c)
		same(t, ctx, master, slow)
		n.Stall("b", true)
		for i := range 10_000 {
			if o, err := master.Put(ctx, count(i%3000), data.String(strings.Repeat("x", i%100))); o != store.Applied || err != nil {
				t.Fatal(o, err)
			}
			if i%100 == 0 {
				// What the writer of a peer has written counts in its queue until it looks for more.
				same(t, ctx, master, fast)
			}
		}
		dropped := uint64(0)
		for _, p := range a.Peers() {
			if p.ID == b.ID() {
				dropped = p.Dropped[endpoint.DropQueueFull]
			} else if len(p.Dropped) > 0 {
				t.Errorf("dropped for the other one: %v", p.Dropped)
			}
		}
		if dropped == 0 {
			t.Fatal("nothing was dropped")
		}
		n.Stall("b", false)
		same(t, ctx, master, slow)
		if err := master.WaitIdle(ctx); err != nil {
			t.Error(err)
		}
		if slow, fast := slow.Status().Attaches, fast.Status().Attaches; slow != 1 || fast != 1 {
			t.Errorf("%d attaches of the slow one, %d of the other", slow, fast)
		}
	})
}

// fill puts n entries of so many bytes into a master.
func fill(t testing.TB, s *store.Store, n, size int) {
	t.Helper()
	value := data.String(strings.Repeat("v", size))
	var last *store.Pending
	for i := range n {
		var err error
		if last, err = s.Submit(t.Context(), store.PutOp(data.String(fmt.Sprint("fill ", i)), value)); err != nil {
			t.Fatal(err)
		}
	}
	if o, err := last.Wait(t.Context()); o != store.Applied || err != nil {
		t.Fatal(o, err)
	}
}

// Many clones attach at once to a large store. It is encoded once for all, though it changes meanwhile,
// and sent to four at a time.
func TestAttachTogether(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		ctx := t.Context()
		var log logBook
		a := n.node(t, "a")
		serve(t, a, "a")
		master := attachMaster(t, a, log.option())
		fill(t, master, 1000, 5000)
		const many = 12
		var nodes []*endpoint.Endpoint
		for i := range many {
			nodes = append(nodes, n.node(t, fmt.Sprint("n", i)))
			peered(t, nodes[i], "a")
		}
		for i := range nodes {
			n.Stall(fmt.Sprint("n", i), true)
		}
		var clones []*store.Store
		for _, ep := range nodes {
			clones = append(clones, attachClone(t, ep))
		}
		synctest.Wait()
		for range 5 {
			if _, err := master.Increment(ctx, shared, count(1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := log.lines("clone attaches"); len(got) != 4 {
			t.Errorf("the contents were sent to %d clones that read nothing: %q", len(got), got)
		}
		for i := range nodes {
			n.Stall(fmt.Sprint("n", i), false)
		}
		for _, clone := range clones {
			if err := clone.WaitReady(ctx); err != nil {
				t.Error(err)
			}
			same(t, ctx, master, clone)
		}
		events := make(map[string]int)
		for _, line := range log.lines("clone attaches") {
			events[strings.TrimSpace(line[strings.LastIndex(line, "event="):])]++
		}
		if len(events) != 1 {
			t.Errorf("the contents were sent as of these events, so often: %v", events)
		}
		t.Log(events)
	})
}

// A clone that attaches while there are 10,000 updates a second gets the true contents.
func TestAttachUnderLoad(t *testing.T) {
	for _, size := range []int{10, 5000} { // small contents are sent at once, large ones are encoded beside
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				ctx := t.Context()
				a, b := n.node(t, "a"), n.node(t, "b")
				serve(t, a, "a")
				master := attachMaster(t, a)
				fill(t, master, 1000, size)
				peered(t, b, "a")
				stop := make(chan struct{})
				var writing sync.WaitGroup
				writing.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						case <-time.After(10 * time.Millisecond):
						}
						for j := range 100 {
							op := store.PutOp(data.String(fmt.Sprint("fill ", (i*37+j)%1500)), count(i))
							switch j % 10 {
							case 0:
								op = store.IncrementOp(shared, count(1))
							case 1:
								op = store.EraseOp(data.String(fmt.Sprint("fill ", (i*31+j)%1500)))
							}
							if _, err := master.Submit(ctx, op); err != nil {
								t.Error(err)
								return
							}
						}
					}
				})
				for range 5 {
					clone, err := store.AttachClone(b, "test")
					if err != nil {
						t.Fatal(err)
					}
					if err := clone.WaitReady(ctx); err != nil {
						t.Fatal(err)
					}
					time.Sleep(333 * time.Millisecond)
					if got := clone.Status(); got.Attaches != 1 || got.Rejected != 0 {
						t.Errorf("%+v", got)
					}
					if err := clone.Close(); err != nil {
						t.Fatal(err)
					}
				}
				clone := attachClone(t, b)
				if err := clone.WaitReady(ctx); err != nil {
					t.Fatal(err)
				}
				close(stop)
				writing.Wait()
				same(t, ctx, master, clone)
			})
		})
	}
}

// The master is replaced by another one with other contents. The clone turns to it: what was not sent
// goes there, and so does what can be repeated; of the rest nobody can tell.
func TestMasterReplaced(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		ctx := t.Context()
		a, b, c := n.node(t, "a"), n.node(t, "b"), n.node(t, "c")
		serve(t, a, "a")
		serve(t, b, "b")
		first := attachMaster(t, a)
		peered(t, c, "a", "b")
		clone := attachClone(t, c)
		if o, err := clone.Put(ctx, data.String("old"), count(1)); o != store.Applied || err != nil {
			t.Fatal(o, err)
		}
		n.Part("a", "c") // the clone does not notice
		lost := make(map[string]*store.Pending)
		for name, op := range map[string]store.Op{
			"put": store.PutOp(data.String("put"), count(1)), "erase": store.EraseOp(data.String("there")),
			"increment": store.IncrementOp(data.String("n"), count(1)), "unique": store.PutUniqueOp(data.String("u"), count(1)),
		} {
			p, err := clone.Submit(ctx, op)
			if err != nil {
				t.Fatal(err)
			}
			lost[name] = p
		}
		synctest.Wait()
		first.Close()
		a.Close(ctx)
		second := attachMaster(t, b)
		if o, err := second.Put(ctx, data.String("there"), count(1)); o != store.Applied || err != nil {
			t.Fatal(o, err)
		}
		for name, want := range map[string]error{"put": nil, "erase": nil, "increment": store.ErrOutcomeUnknown, "unique": store.ErrOutcomeUnknown} {
			if o, err := lost[name].Wait(ctx); !errors.Is(err, want) || want == nil && o != store.Applied {
				t.Errorf("%s: %v, %v", name, o, err)
			}
		}
		if o, err := clone.Increment(ctx, data.String("n"), count(1)); o != store.Applied || err != nil {
			t.Error(o, err)
		}
		same(t, ctx, second, clone)
		if got := contentsOf(t, ctx, second); !got.Equal(data.Table(
			data.Entry{Key: data.String("n"), Value: count(1)}, data.Entry{Key: data.String("put"), Value: count(1)})) {
			t.Errorf("%v", got)
		}
	})
}

// There are two masters that do not know each other. A clone of both heeds the one that it found first,
// says so, and writes to it alone; when that is gone, it turns to the other.
func TestTwoMasters(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		ctx := t.Context()
		var log logBook
		a, b, c := n.node(t, "a"), n.node(t, "b"), n.node(t, "c")
		serve(t, a, "a")
		serve(t, b, "b")
		masters := map[string]*store.Store{"a": attachMaster(t, a), "b": attachMaster(t, b)}
		peered(t, c, "a", "b")
		clone := attachClone(t, c, log.option())
		if err := clone.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		here, there := "a", "b"
		if clone.Status().Master == masters["b"].Status().Master {
			here, there = "b", "a"
		}
		w := tally{name: "w"}
		for i := range 100 {
			w.write(t, clone)
			if o, err := masters[there].Put(ctx, data.String("wrong"), count(i)); o != store.Applied || err != nil {
				t.Fatal(o, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		w.check(t, ctx, masters[here], wantApplied)
		same(t, ctx, masters[here], clone)
		if got := masters[there].Status().Entries; got != 1 {
			t.Errorf("the other master has %d entries, want the one of its own", got)
		}
		if got := clone.Status(); got.Attaches != 1 || got.Rejected == 0 {
			t.Errorf("%+v", got)
		}
		if len(log.lines("second master")) == 0 {
			t.Error("the clone does not warn")
		}
		masters[here].Close()
		map[string]*endpoint.Endpoint{"a": a, "b": b}[here].Close(ctx)
		if o, err := clone.Put(ctx, data.String("at the other"), count(1)); o != store.Applied || err != nil {
			t.Error(o, err)
		}
		same(t, ctx, masters[there], clone)
	})
}
