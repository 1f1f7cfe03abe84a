package store_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A store that is closed says so to everybody, and at once.
func TestClosed(t *testing.T) {
	ctx := within(t, 10*time.Second)
	a, b := pair(t)
	master, clone := attachMaster(t, a), attachClone(t, b)
	if err := clone.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*store.Store{clone, master} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for what, f := range map[string]func() error{
			"get":        func() error { _, err := s.Get(ctx, count(1)); return err },
			"keys":       func() error { _, err := s.Keys(ctx); return err },
			"put":        func() error { _, err := s.Put(ctx, count(1), count(1)); return err },
			"submit":     func() error { _, err := s.Submit(ctx, store.ClearOp()); return err },
			"wait ready": func() error { return s.WaitReady(ctx) },
			"wait idle":  func() error { return s.WaitIdle(ctx) },
			"watch": func() (ended error) {
				for _, err := range s.Watch(ctx) {
					ended = errors.Join(ended, err)
				}
				return ended
			},
		} {
			if err := f(); !errors.Is(err, store.ErrClosed) {
				t.Errorf("%v of a %v: %v", what, s.Role(), err)
			}
		}
		if s.Status().Name != s.Name() {
			t.Errorf("status of a %v: %+v", s.Role(), s.Status())
		}
		if err := s.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	}
}

// With a context that has ended nothing is written, and nobody waits.
func TestEndedContext(t *testing.T) {
	a, _ := pair(t)
	master := attachMaster(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := master.Put(ctx, count(1), count(1)); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("put: %v", err)
	}
	if err := master.WaitIdle(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if n := master.Status().Entries; n != 0 {
		t.Errorf("%d entries", n)
	}
}

// A brokenBackend commits who the master is, and then nothing any more.
type brokenBackend struct {
	store.Backend
	commits atomic.Int32
	tried   chan struct{} // closed when a batch was refused
	second  atomic.Bool   // the second operation was tried
}

var errBroken = errors.New("broken")

func (b *brokenBackend) Commit(batch *store.Batch) error {
	for _, c := range batch.Changes {
		if bytes.Equal(c.Key, data.AppendValue(nil, count(2))) {
			b.second.Store(true)
		}
	}
	switch b.commits.Add(1) {
	case 1:
		return b.Backend.Commit(batch)
	case 2:
		close(b.tried)
	}
	return errBroken
}

// A store that is closed while its backend fails commits nothing any more: the memory of the batch that was
// given up is used again, and who asked for it was told.
func TestClosedWhileBackendFails(t *testing.T) {
	ctx := within(t, 30*time.Second)
	for range 10 { // what waits when it is closed may be seen first
		b := &brokenBackend{Backend: newMemoryLog(), tried: make(chan struct{})}
		master, err := store.AttachMaster(node(t), "test", store.WithBackend(b))
		if err != nil {
			t.Fatal(err)
		}
		first, err := master.Submit(ctx, store.PutOp(count(1), count(1)))
		if err != nil {
			t.Fatal(err)
		}
		<-b.tried
		second, err := master.Submit(ctx, store.PutOp(count(2), count(2)))
		if err != nil {
			t.Fatal(err)
		}
		if err := master.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := first.Wait(ctx); !errors.Is(err, store.ErrClosed) || !errors.Is(err, store.ErrOutcomeUnknown) || !errors.Is(err, errBroken) {
			t.Errorf("the first: %v", err)
		}
		if _, err := second.Wait(ctx); !errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrOutcomeUnknown) {
			t.Errorf("the second: %v", err)
		}
		if b.second.Load() {
			t.Fatal("something was committed after the end")
		}
	}
}
