package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// pair returns two endpoints that are peers over loopback.
func pair(t testing.TB) (a, b *endpoint.Endpoint) {
	t.Helper()
	a, b = node(t), node(t)
	addr, err := a.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Peer(addr.String()); err != nil {
		t.Fatal(err)
	}
	if err := b.WaitPeers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func node(t testing.TB, opts ...endpoint.Option) *endpoint.Endpoint {
	t.Helper()
	ep, err := endpoint.New(append([]endpoint.Option{endpoint.WithSecurity(endpoint.PlainTCP())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close(context.Background()) })
	return ep
}

func TestMasterAndClone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	a, b := pair(t)
	master, err := store.AttachMaster(a, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if o, err := master.Put(ctx, data.String("before"), data.Count(1)); o != store.Applied || err != nil {
		t.Fatal(o, err)
	}
	clone, err := store.AttachClone(b, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer clone.Close()
	if v, err := clone.Get(ctx, data.String("before")); err != nil || !v.Equal(data.Count(1)) {
		t.Fatal(v, err)
	}
	for _, step := range []struct {
		op   store.Op
		want store.Outcome
	}{
		{store.PutOp(data.String("k"), data.Count(5)), store.Applied},
		{store.IncrementOp(data.String("k"), data.Count(2)), store.Applied},
		{store.IncrementOp(data.String("k"), data.Int(2)), store.NoEffectOrFailed},
		{store.PutUniqueOp(data.String("k"), data.Count(2)), store.NoEffectOrFailed},
		{store.PutUniqueOp(data.String("u"), data.Count(2)), store.Applied},
		{store.EraseOp(data.String("nothing")), store.NoEffectOrFailed},
		{store.EraseOp(data.String("u")), store.Applied},
	} {
		p, err := clone.Submit(ctx, step.op)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Wait(ctx); got != step.want || err != nil {
			t.Errorf("%+v: %v, %v", step.op, got, err)
		}
	}
	if v, err := clone.Get(ctx, data.String("k")); err != nil || !v.Equal(data.Count(7)) {
		t.Error(v, err)
	}
	if v, err := master.Get(ctx, data.String("k")); err != nil || !v.Equal(data.Count(7)) {
		t.Error(v, err)
	}
	if _, err := clone.Get(ctx, data.String("u")); !errors.Is(err, store.ErrNoSuchKey) {
		t.Error(err)
	}
	if o, err := clone.Clear(ctx); o != store.Applied || err != nil {
		t.Error(o, err)
	}
	if err := clone.WaitIdle(ctx); err != nil {
		t.Error(err)
	}
	if err := master.WaitIdle(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("%+v", master.Status())
	t.Logf("%+v", clone.Status())
}
