package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/pebble"
	"github.com/zeekpeer/zeekpeer/store/sqlite"
	"github.com/zeekpeer/zeekpeer/store/storetest"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func closeBackend(t *testing.T, b store.Backend) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// From one kind of backend to another and back, everything arrives.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	openPebble := func(name string) store.Backend {
		b, err := pebble.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	openSQLite := func(name string) store.Backend {
		b, err := sqlite.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	model := storetest.NewContents()
	src := openSQLite("a")
	batch := &store.Batch{Master: wire.EntityID{Object: 1}, Mark: 5}
	for i := range 10_000 {
		batch.Changes = append(batch.Changes, store.Change{Record: store.Record{
			Key: data.AppendCount(nil, uint64(i)), Value: data.AppendString(nil, strings.Repeat("v", i/10)), Expiry: int64(i % 3),
		}})
		if i < 10 {
			batch.Writers = append(batch.Writers, store.WriterMark{Writer: wire.EntityID{Object: uint64(i)}, Seq: uint64(i) + 1})
		}
	}
	if err := errors.Join(src.Commit(batch), model.Commit(batch)); err != nil {
		t.Fatal(err)
	}
	for i, open := range []func(string) store.Backend{openPebble, openPebble, openSQLite} {
		dst := open(string(rune('b' + i)))
		var reported []int
		if err := store.Copy(t.Context(), dst, src, func(n int) { reported = append(reported, n) }); err != nil {
			t.Fatal(err)
		}
		if n := len(reported); n < 3 || reported[n-1] != 10_000 {
			t.Errorf("progress: %v", reported)
		}
		if err := store.Copy(t.Context(), dst, src, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("into one that is not empty: %v", err)
		}
		storetest.Equal(t, dst, model)
		closeBackend(t, src)
		src = dst
	}
	closeBackend(t, src)
}

func TestCopyEnds(t *testing.T) {
	dir := t.TempDir()
	src, err := pebble.Open(filepath.Join(dir, "src"))
	if err != nil {
		t.Fatal(err)
	}
	defer closeBackend(t, src)
	for i := range 10 {
		batch := &store.Batch{Master: wire.EntityID{Object: 1}, Mark: 5}
		for j := range 1000 {
			batch.Changes = append(batch.Changes, store.Change{Record: store.Record{
				Key: data.AppendString(nil, fmt.Sprint(i, " ", j)), Value: data.AppendNone(nil)}})
		}
		if err := src.Commit(batch); err != nil {
			t.Fatal(err)
		}
	}
	dst, err := sqlite.Open(filepath.Join(dir, "dst"))
	if err != nil {
		t.Fatal(err)
	}
	defer closeBackend(t, dst)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	if err := store.Copy(ctx, dst, src, func(int) { cancel(enough) }); !errors.Is(err, enough) {
		t.Errorf("interrupted: %v", err)
	}
	got, err := storetest.Read(dst)
	if err != nil || len(got.Records) == 0 || len(got.Records) == 10_000 || !got.State.Master.IsZero() {
		t.Errorf("interrupted copy: %d records, master %v, %v", len(got.Records), got.State.Master, err)
	}
	state, err := store.OpenState(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer closeBackend(t, state)
	if err := store.Copy(t.Context(), state, src, nil); err == nil || !strings.Contains(err.Error(), "keeps no records") {
		t.Errorf("into the state alone: %v", err)
	}
}
