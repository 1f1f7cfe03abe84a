package store_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func openState(t *testing.T, dir string) store.Backend {
	t.Helper()
	b, err := store.OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func stateOf(t *testing.T, b store.Backend) store.State {
	t.Helper()
	s, err := b.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// crashedState returns what is found after a crash: in a copy of the files.
func crashedState(t *testing.T, dir string) store.State {
	t.Helper()
	other := t.TempDir()
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	b := openState(t, other)
	s := stateOf(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	b := openState(t, dir)
	if s := stateOf(t, b); !s.Master.IsZero() || s.Mark != 0 || len(s.Writers) > 0 {
		t.Errorf("new: %+v", s)
	}
	if _, err := store.OpenState(dir); err == nil || !strings.Contains(err.Error(), "another process") || !strings.Contains(err.Error(), dir) {
		t.Errorf("twice: %v", err)
	}
	master := wire.EntityID{Endpoint: wire.NewEndpointID(), Object: math.MaxUint64}
	written := 0
	var last os.FileInfo
	for mark := uint64(0); mark <= 25_000; mark += 5 {
		err := b.Commit(&store.Batch{Master: master, Mark: mark, Changes: []store.Change{{Record: store.Record{
			Key: data.AppendNone(nil), Value: data.AppendNone(nil)}}}, Writers: []store.WriterMark{{Writer: master, Seq: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "state"))
		if err != nil {
			t.Fatal(err)
		}
		if last == nil || !os.SameFile(last, info) {
			written++
			if s := crashedState(t, dir); s.Master != master || s.Mark < mark || s.Mark > mark+10_000 {
				t.Errorf("after a crash at mark %d: %+v", mark, s)
			}
		}
		last = info
	}
	if written != 3 {
		t.Errorf("the file was written %d times for 5001 commits: want 3", written)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Close() == nil || b.Commit(&store.Batch{}) == nil || b.Load(nil) == nil {
		t.Error("a closed backend works")
	}
	b = openState(t, dir)
	if s := stateOf(t, b); s.Master != master || s.Mark != 25_000 || len(s.Writers) > 0 {
		t.Errorf("opened again: %+v", s)
	}
	if err := b.Load(func(store.Record) error { t.Error("a record"); return nil }); err != nil {
		t.Error(err)
	}
	other := wire.EntityID{Endpoint: wire.NewEndpointID(), Object: 1}
	if err := b.Commit(&store.Batch{Master: other, Mark: math.MaxUint64 - 1}); err != nil {
		t.Fatal(err)
	}
	if s := crashedState(t, dir); s.Master != other || s.Mark != math.MaxUint64-1 {
		t.Errorf("another master: %+v", s)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStateUnusable(t *testing.T) {
	const good = "zeekpeer store state, format 1\nmaster 123e4567-e89b-42d3-a456-426614174000/7\nmark 9\n"
	for _, text := range []string{"", "x", strings.Replace(good, "format 1", "format 2", 1), good[:len(good)-1], good + "x",
		strings.Replace(good, "9", "09", 1), strings.Replace(good, "123e", "12ze", 1), strings.Replace(good, "/7", "/-7", 1), strings.ToUpper(good)} {
		dir := t.TempDir()
		path := filepath.Join(dir, "state")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := store.OpenState(dir)
		if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("%q: %v", text, err)
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != text {
			t.Errorf("%q became %q, %v", text, left, err)
		}
		if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
			t.Fatal(err)
		}
		b := openState(t, dir) // and the lock is free
		if s := stateOf(t, b); s.Mark != 9 || s.Master.Object != 7 {
			t.Errorf("%+v", s)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file, filepath.Join(file, "below")} {
		if _, err := store.OpenState(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%q: %v", dir, err)
		}
	}
}
