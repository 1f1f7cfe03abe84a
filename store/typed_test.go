package store_test

import (
	"errors"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func TestTyped(t *testing.T) {
	ctx := t.Context()
	s, err := store.AttachMaster(node(t), "typed")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	type key struct {
		Host netip.Addr
		Port data.TransportPort
	}
	type conn struct {
		UID     string    `zeek:"uid"`
		Start   time.Time `zeek:"start"`
		Service *string   `zeek:"service"`
		Tags    []string  `zeek:"tags,set"`
	}
	k := key{netip.MustParseAddr("192.0.2.1"), data.TransportPort{Number: 443, Proto: data.ProtoTCP}}
	want := conn{UID: "C1", Start: time.Unix(7, 0).UTC(), Tags: []string{"a", "bb"}}
	if o, err := store.Put(ctx, s, k, want); o != store.Applied || err != nil {
		t.Fatal(o, err)
	}
	got, err := store.Get[conn](ctx, s, k)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want, +got):\n%s", err, diff)
	}
	// It is what Zeek would find: a record under a vector.
	if v, err := s.Get(ctx, data.Vector(data.Addr(k.Host), data.Port(443, data.ProtoTCP))); err != nil || v.Len() != 4 {
		t.Errorf("as a value: %v, %v", v, err)
	}
	// Keys are found in whatever order their sets are given.
	if _, err := store.Put(ctx, s, map[int]struct{}{3: {}, -1: {}, 2: {}}, "set"); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Get[string](ctx, s, data.Set(data.Int(2), data.Int(3), data.Int(-1))); got != "set" || err != nil {
		t.Errorf("under a set: %q, %v", got, err)
	}

	var field *data.FieldError
	if _, err := store.Get[int](ctx, s, k); !errors.As(err, &field) {
		t.Errorf("a record as an int: %v", err)
	}
	if _, err := store.Get[conn](ctx, s, "nothing"); !errors.Is(err, store.ErrNoSuchKey) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := store.Get[conn](ctx, s, netip.Addr{}); !errors.As(err, &field) {
		t.Errorf("under no address: %v", err)
	}
	if _, err := store.Put(ctx, s, netip.Addr{}, 1); !errors.As(err, &field) {
		t.Errorf("put under no address: %v", err)
	}
	if _, err := store.Put(ctx, s, 1, netip.Addr{}); !errors.As(err, &field) {
		t.Errorf("put no address: %v", err)
	}
	if _, err := store.Put(ctx, s, math.NaN(), 1); !errors.Is(err, store.ErrNaNKey) {
		t.Errorf("put under NaN: %v", err)
	}

	// What does not fit is told, and hides nothing.
	entries, failed := 0, 0
	for e, err := range store.All[key, conn](ctx, s) {
		if err != nil {
			if failed++; !errors.As(err, &field) {
				t.Error(err)
			}
			continue
		}
		if entries++; e.Key != k || cmp.Diff(want, e.Value) != "" {
			t.Errorf("got %+v", e)
		}
	}
	if entries != 1 || failed != 1 {
		t.Errorf("%d entries and %d errors", entries, failed)
	}
	for _, err := range store.All[data.Value, int](ctx, s) {
		if !errors.As(err, &field) {
			t.Errorf("values that do not fit: %v", err)
		}
		break
	}
	s.Close()
	for _, err := range store.All[key, conn](ctx, s) {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	}
	if _, err := store.Get[conn](ctx, s, k); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}
