package storetest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// FullDisk opens a backend below a small disk, fills the disk, and looks that the backend lives through
// it: commits fail while there is no room, also after others, and succeed when there is.
func FullDisk(t *testing.T, open func(dir string) (store.Backend, error)) {
	t.Helper()
	OnSmallDisk(t, 16<<20, func(dir string) {
		b, err := open(dir)
		if err != nil {
			t.Fatal(err)
		}
		model := NewContents()
		batches := NewGenerator(5)
		for range 5 {
			batch := batches.Batch(30)
			if err := errors.Join(b.Commit(batch), model.Commit(batch)); err != nil {
				t.Fatal(err)
			}
		}
		ballast := filepath.Join(dir, "ballast")
		if err := fill(ballast); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("filling the disk: %v", err)
		}
		batch := batches.Batch(30)
		batch.Changes = append(batch.Changes, store.Change{Record: store.Record{
			Key: data.AppendNone(nil), Value: data.AppendString(nil, strings.Repeat("x", 1<<20))}})
		for range 5 {
			if err := b.Commit(batch); err == nil {
				t.Fatal("commits to a full disk")
			} else {
				t.Log(err)
			}
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := errors.Join(b.Commit(batch), model.Commit(batch)); err != nil {
				t.Fatal(err)
			}
			batch = batches.Batch(30)
		}
		for range 2 {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if b, err = open(dir); err != nil {
				t.Fatal(err)
			}
			Equal(t, b, model)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// fill writes a file until there is no more room.
func fill(path string) error {
	f, err := os.Create(path)
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	return errors.Join(err, f.Close())
}
