package interop

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// ourSite is one of our nodes.
type ourSite struct{ *endpoint.Endpoint }

func startOurSite(t *testing.T, args ...string) site {
	var opts []endpoint.Option
	if slices.Contains(args, asByDefault) {
		opts = append(opts, endpoint.WithSecurity(endpoint.AnonymousTLS()))
	}
	return ourSite{newEndpoint(t, opts...)}
}

func (o ourSite) listen(t *testing.T) string {
	t.Helper()
	return listen(t, o.Endpoint)
}

func (o ourSite) peer(t *testing.T, addr string) {
	t.Helper()
	connect(t, o.Endpoint, addr)
}

// attachMaster makes the node the master of a store: in memory, or in one of our backends.
func (o ourSite) attachMaster(t *testing.T, name, backend string) replica {
	t.Helper()
	var opts []store.Option
	if open := durable[backend]; open != nil {
		b, err := open(filepath.Join(t.TempDir(), "store"))
		if err != nil {
			t.Fatal(err)
		}
		opts = append(opts, store.WithBackend(b))
	}
	s, err := store.AttachMaster(o.Endpoint, name, opts...)
	return newOurStore(t, s, err)
}

func (o ourSite) attachClone(t *testing.T, name string) replica {
	t.Helper()
	s, err := store.AttachClone(o.Endpoint, name)
	return newOurStore(t, s, err)
}

// ourStore is a master or a clone at one of our nodes.
type ourStore struct {
	*store.Store

	mu       sync.Mutex
	happened []storeEvent
}

func newOurStore(t *testing.T, s *store.Store, err error) *ourStore {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	o := &ourStore{Store: s}
	updates := s.Watch(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for u, err := range updates {
			if err != nil && !errors.Is(err, store.ErrClosed) {
				t.Errorf("%s %v: watch: %v", s.Name(), s.Status().Role, err)
			}
			o.note(u)
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%+v", s.Status())
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		<-watched
	})
	return o
}

// note keeps an update as the events of a real node are kept.
func (o *ourStore) note(u store.Update) {
	e := storeEvent{what: u.Kind.String() + " " + u.Key().String(), publisher: u.Publisher.String()}
	switch u.Kind {
	case store.Inserted:
		e.what += " " + u.Value().String()
	case store.Updated:
		e.what += " " + u.Old().String() + " " + u.Value().String()
	case store.Erased, store.Expired:
	default:
		return
	}
	if u.Kind == store.Inserted || u.Kind == store.Updated {
		e.expiry = data.None().String()
		if u.HasExpiry {
			e.expiry = data.Timespan(u.Expiry).String()
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.happened = append(o.happened, e)
}

func (o *ourStore) do(t *testing.T, op storeOp) bool {
	t.Helper()
	p, err := o.Submit(deadline(t), ourOp(t, op))
	if err != nil {
		t.Fatalf("%v: %v", op, err)
	}
	if op.call != "put_unique" {
		return true
	}
	outcome, err := p.Wait(deadline(t))
	if err != nil {
		t.Fatalf("%v: %v", op, err)
	}
	return outcome == store.Applied
}

// ourOp returns the operation of ours for one of Broker's.
func ourOp(t *testing.T, op storeOp) store.Op {
	t.Helper()
	var made store.Op
	a := op.args
	switch op.call {
	case "put":
		made = store.PutOp(a[0], a[1])
	case "put_unique":
		made = store.PutUniqueOp(a[0], a[1])
	case "erase":
		return store.EraseOp(a[0])
	case "clear":
		return store.ClearOp()
	case "increment":
		made = store.IncrementOp(a[0], a[1])
	case "decrement":
		made = store.DecrementOp(a[0], a[1])
	case "append":
		s, ok := a[1].AsString()
		if !ok {
			t.Fatalf("%v cannot be asked of ours", op)
		}
		made = store.AppendOp(a[0], s)
	case "insert_into":
		if made = store.InsertIntoOp(a[0], a[1]); len(a) > 2 {
			made = store.InsertEntryOp(a[0], a[1], a[2])
		}
	case "remove_from":
		made = store.RemoveFromOp(a[0], a[1])
	case "push":
		made = store.PushOp(a[0], a[1])
	case "pop":
		made = store.PopOp(a[0])
	default:
		t.Fatalf("%v: no such operation", op)
	}
	if op.expires {
		made = made.Expiring(op.expiry)
	}
	return made
}

func (o *ourStore) get(t *testing.T, key data.Value) (data.Value, bool) {
	t.Helper()
	v, err := o.Get(deadline(t), key)
	if err != nil && !errors.Is(err, store.ErrNoSuchKey) {
		t.Fatalf("get %v: %v", key, err)
	}
	return v, err == nil
}

func (o *ourStore) contents(t *testing.T) data.Value {
	t.Helper()
	all, err := o.All(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	var entries []data.Entry
	for key, value := range all {
		entries = append(entries, data.Entry{Key: key, Value: value})
	}
	return data.Table(entries...)
}

func (o *ourStore) idle(t *testing.T) {
	t.Helper()
	if err := o.WaitIdle(deadline(t)); err != nil {
		t.Fatal(err)
	}
}

func (o *ourStore) events(t *testing.T) []storeEvent {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	taken := o.happened
	o.happened = nil
	return taken
}

func (o *ourStore) index(t *testing.T, key, index data.Value) (data.Value, bool) {
	t.Helper()
	v, err := o.Index(deadline(t), key, index)
	return v, err == nil
}
