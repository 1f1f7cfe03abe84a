package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A memoryLog is a backend that keeps everything in memory, and survives a master.
type memoryLog struct {
	mu      sync.Mutex
	state   store.State
	records map[string]store.Record
	fail    error // of Commit
	commits int
}

func newMemoryLog() *memoryLog {
	return &memoryLog{state: store.State{Writers: make(map[wire.EntityID]uint64)}, records: make(map[string]store.Record)}
}

func (l *memoryLog) State() (store.State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, nil
}

func (l *memoryLog) Load(yield func(store.Record) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

func (l *memoryLog) Commit(b *store.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	l.commits++
	if b.Clear {
		clear(l.records)
	}
	for _, c := range b.Changes {
		if c.Erase {
			delete(l.records, string(c.Key))
		} else {
			l.records[string(c.Key)] = store.Record{Key: []byte(string(c.Key)), Value: []byte(string(c.Value)), Expiry: c.Expiry}
		}
	}
	l.state.Master, l.state.Mark = b.Master, b.Mark
	for _, w := range b.Writers {
		if w.Seq == 0 {
			delete(l.state.Writers, w.Writer)
		} else {
			l.state.Writers[w.Writer] = w.Seq
		}
	}
	return nil
}

func (l *memoryLog) Close() error { return nil }

func (l *memoryLog) failWith(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func attachMaster(t testing.TB, ep *endpoint.Endpoint, opts ...store.Option) *store.Store {
	t.Helper()
	s, err := store.AttachMaster(ep, "test", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func attachClone(t testing.TB, ep *endpoint.Endpoint, opts ...store.Option) *store.Store {
	t.Helper()
	s, err := store.AttachClone(ep, "test", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func count(n int) data.Value { return data.Count(uint64(n)) }

// same waits until two stores have the same contents.
func same(t testing.TB, ctx context.Context, a, b *store.Store) {
	t.Helper()
	for {
		x, y := contentsOf(t, ctx, a), contentsOf(t, ctx, b)
		if x.Equal(y) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d entries and %d, which differ; %+v; %+v", x.Len(), y.Len(), a.Status(), b.Status())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func contentsOf(t testing.TB, ctx context.Context, s *store.Store) data.Value {
	t.Helper()
	all, err := s.All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var entries []data.Entry
	for k, v := range all {
		entries = append(entries, data.Entry{Key: k, Value: v})
	}
	return data.Table(entries...)
}

// A burst of writes at a clone all arrives, though it is larger than every queue on the way.
func TestBurst(t *testing.T) {
	ctx := within(t, 60*time.Second)
	a, b := pair(t)
	master, clone := attachMaster(t, a), attachClone(t, b)
	const n = 30_000
	var all []*store.Pending
	for i := range n {
		p, err := clone.Submit(ctx, store.PutOp(count(i), count(i)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	for i, p := range all {
		if o, err := p.Wait(ctx); o != store.Applied || err != nil {
			t.Fatalf("put %d: %v, %v", i, o, err)
		}
	}
	if got := master.Status().Entries; got != n {
		t.Errorf("%d entries", got)
	}
	same(t, ctx, master, clone)
}

// What a clone writes before there is a master goes to it when there is one.
func TestCloneBeforeMaster(t *testing.T) {
	ctx := within(t, 20*time.Second)
	a, b := pair(t)
	clone := attachClone(t, b, store.WithMaxGetDelay(10*time.Millisecond))
	if _, err := clone.Get(ctx, count(1)); !errors.Is(err, store.ErrStale) {
		t.Errorf("a query without a master: %v", err)
	}
	p, err := clone.Submit(ctx, store.IncrementOp(count(1), count(1)))
	if err != nil {
		t.Fatal(err)
	}
	master := attachMaster(t, a)
	if o, err := p.Wait(ctx); o != store.Applied || err != nil {
		t.Fatal(o, err)
	}
	same(t, ctx, master, clone)
}

// A master that is restarted with its backend goes on where it was, and its clone with it: nothing is
// lost, nothing is executed twice.
func TestMasterRestart(t *testing.T) {
	for _, identity := range []string{"same", "other"} {
		t.Run(identity, func(t *testing.T) {
			ctx := within(t, 60*time.Second)
			log := newMemoryLog()
			b := node(t, endpoint.WithRetry(10*time.Millisecond))
			clone := attachClone(t, b)
			var addr string
			var applied, unknown int
			for life := range 3 {
				var opts []endpoint.Option
				if identity == "same" {
					id, err := store.EndpointID(log)
					if err != nil {
						t.Fatal(err)
					}
					opts = append(opts, endpoint.WithID(id))
				}
				a := node(t, opts...)
				if life == 0 {
					l, err := a.Listen(ctx, "127.0.0.1:0")
					if err != nil {
						t.Fatal(err)
					}
					addr = l.String()
					if _, err := b.Peer(addr); err != nil {
						t.Fatal(err)
					}
				} else {
					relisten(t, ctx, a, addr)
				}
				master, err := store.AttachMaster(a, "test", store.WithBackend(log))
				if err != nil {
					t.Fatal(err)
				}
				var all []*store.Pending
				for i := range 1000 {
					p, err := clone.Submit(ctx, store.IncrementOp(data.String("n"), count(1)))
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, p)
					if _, err := clone.Submit(ctx, store.PutOp(count(i), count(life))); err != nil {
						t.Fatal(err)
					}
				}
				for i, p := range all {
					switch o, err := p.Wait(ctx); {
					case errors.Is(err, store.ErrOutcomeUnknown) && identity == "other" && life > 0:
						unknown++ // it was sent to the last master before the clone saw that this was gone
					case o != store.Applied || err != nil:
						t.Fatalf("life %d, increment %d: %v, %v", life, i, o, err)
					default:
						applied++
					}
				}
				v, err := clone.Get(ctx, data.String("n"))
				if n, _ := v.AsCount(); err != nil || n < uint64(applied) || n > uint64(applied+unknown) {
					t.Errorf("life %d: %v, %v; %d increments were applied, of %d nobody knows", life, v, err, applied, unknown)
				}
				same(t, ctx, master, clone)
				if err := master.Close(); err != nil {
					t.Error(err)
				}
				a.Close(ctx)
				// What is asked for while there is no master waits.
				p, err := clone.Submit(ctx, store.PutOp(data.String(fmt.Sprint("between", life)), count(life)))
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if life < 2 {
						if o, err := p.Wait(ctx); o != store.Applied || err != nil {
							t.Errorf("put between lives: %v, %v", o, err)
						}
					}
				}()
			}
			if identity == "same" && clone.Status().Attaches != 1 {
				t.Errorf("the clone attached %d times", clone.Status().Attaches)
			}
		})
	}
}

// relisten listens at an address that was in use a moment ago.
func relisten(t testing.TB, ctx context.Context, ep *endpoint.Endpoint, addr string) {
	t.Helper()
	for {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			if err := ep.Serve(l); err != nil {
				t.Fatal(err)
			}
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// While the backend fails the store stands still: it acknowledges nothing, serves reads, and says why.
// When the backend works again it goes on, with nothing lost.
func TestBackendFails(t *testing.T) {
	ctx := within(t, 30*time.Second)
	a, b := pair(t)
	log := newMemoryLog()
	master, clone := attachMaster(t, a, store.WithBackend(log)), attachClone(t, b)
	if o, err := clone.Put(ctx, count(1), count(1)); o != store.Applied || err != nil {
		t.Fatal(o, err)
	}
	full := errors.New("no space left on device")
	log.failWith(full)
	p, err := clone.Submit(ctx, store.PutOp(count(2), count(2)))
	if err != nil {
		t.Fatal(err)
	}
	for !errors.Is(master.Status().Err, full) {
		select {
		case <-ctx.Done():
			t.Fatal("the status does not tell of the failure")
		case <-time.After(time.Millisecond):
		}
	}
	if _, err := master.Get(ctx, count(1)); err != nil {
		t.Error(err)
	}
	if _, err := master.Get(ctx, count(2)); !errors.Is(err, store.ErrNoSuchKey) {
		t.Errorf("what is not durable is visible: %v", err)
	}
	select {
	case <-p.Done():
		t.Error("what is not durable was acknowledged")
	default:
	}
	log.failWith(nil)
	if o, err := p.Wait(ctx); o != store.Applied || err != nil {
		t.Error(o, err)
	}
	same(t, ctx, master, clone)
}

// An entry vanishes when its time is over, at the master and at its clones, also after a restart.
func TestExpiry(t *testing.T) {
	ctx := within(t, 30*time.Second)
	log := newMemoryLog()
	a, b := pair(t)
	master, clone := attachMaster(t, a, store.WithBackend(log)), attachClone(t, b)
	for _, c := range []struct {
		key string
		d   time.Duration
	}{{"soon", 50 * time.Millisecond}, {"now", 0}, {"before", -time.Second}, {"later", time.Hour}, {"cancelled", 300 * time.Millisecond}} {
		if o, err := clone.Put(ctx, data.String(c.key), count(1), store.Expires(c.d)); o != store.Applied || err != nil {
			t.Fatal(o, err)
		}
	}
	if o, err := clone.Increment(ctx, data.String("cancelled"), count(1)); o != store.Applied || err != nil {
		t.Fatal(o, err)
	}
	want := map[string]store.UpdateKind{"soon": store.Expired, "now": store.Expired, "before": store.Expired}
	for u, err := range clone.Watch(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if u.Kind == store.Expired {
			key, _ := u.Key().AsString()
			delete(want, key)
		} else if u.Kind == store.Snapshot {
			for key := range want {
				there := false
				for k := range u.Entries() {
					there = there || k.Equal(data.String(key))
				}
				if !there {
					delete(want, key)
				}
			}
		}
		if len(want) == 0 {
			break
		}
	}
	same(t, ctx, master, clone)
	if ok, err := master.Exists(ctx, data.String("later")); !ok || err != nil {
		t.Error(ok, err)
	}
	master.Close()
	c := node(t)
	again := attachMaster(t, c, store.WithBackend(log))
	if n := again.Status().Entries; n != 2 {
		t.Errorf("%d entries after the restart, want 2: later and cancelled", n)
	}
}

// One endpoint has one master or clone of a store, and a peer's master keeps others from beginning.
func TestAttachTwice(t *testing.T) {
	a, b := pair(t)
	attachMaster(t, a)
	if _, err := store.AttachMaster(a, "test"); !errors.Is(err, store.ErrMasterExists) {
		t.Errorf("second master: %v", err)
	}
	if _, err := store.AttachClone(a, "test"); !errors.Is(err, store.ErrNoSuchMaster) {
		t.Errorf("clone beside its master: %v", err)
	}
	ctx := within(t, 10*time.Second)
	for len(b.Subscribers("test/<$>/data/master")) == 0 {
		select {
		case <-ctx.Done():
			t.Fatal("the master's topic was not announced")
		case <-time.After(time.Millisecond):
		}
	}
	if _, err := store.AttachMaster(b, "test"); !errors.Is(err, store.ErrMasterExists) {
		t.Errorf("master beside a peer's: %v", err)
	}
	if _, err := store.AttachMaster(b, ""); err == nil {
		t.Error("a store without a name")
	}
}
