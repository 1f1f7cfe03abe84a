package storetest

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/zeekpeer/zeekpeer/store"
)

// Run does random batches with backends that open returns, which must hold what was committed to them
// before, and compares them with a model.
func Run(t *testing.T, open func() (store.Backend, error)) {
	t.Helper()
	reopen := func() store.Backend {
		b, err := open()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := reopen()
	model := NewContents()
	random := rand.New(rand.NewPCG(7, 7))
	batches := NewGenerator(7)
	Equal(t, b, model)
	for range 200 {
		batch := batches.Batch(30)
		for range 1 + random.IntN(2) { // the same batch again changes nothing
			if err := errors.Join(b.Commit(batch), model.Commit(batch)); err != nil {
				t.Fatal(err)
			}
		}
		if random.IntN(10) == 0 {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			b = reopen()
			Equal(t, b, model)
		}
	}
	sentinel := errors.New("enough")
	if err := b.Load(func(store.Record) error { return sentinel }); !errors.Is(err, sentinel) {
		t.Errorf("Load ends with %v: want the error of the caller", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(&store.Batch{}); err == nil {
		t.Error("a closed backend commits")
	}
	if err := b.Close(); err == nil {
		t.Error("a closed backend closes")
	}
}

// Equal fails the test if the backend, just opened, does not hold the contents that are wanted.
func Equal(t *testing.T, b store.Backend, want *Contents) {
	t.Helper()
	got, err := Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := got.Diff(want); diff != "" {
		t.Fatal(diff)
	}
}
