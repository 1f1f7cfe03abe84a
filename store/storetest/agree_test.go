package storetest_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/pebble"
	"github.com/zeekpeer/zeekpeer/store/sqlite"
	"github.com/zeekpeer/zeekpeer/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// All backends hold the same after the same batches, however often they are closed and opened between.
func TestBackendsAgree(t *testing.T) {
	dir := t.TempDir()
	for seed := range uint64(5) {
		openers := map[string]func() (store.Backend, error){
			"pebble": func() (store.Backend, error) { return pebble.Open(filepath.Join(dir, fmt.Sprint("p", seed))) },
			"sqlite": func() (store.Backend, error) { return sqlite.Open(filepath.Join(dir, fmt.Sprint("s", seed))) },
			"sqlite with WAL": func() (store.Backend, error) {
				return sqlite.Open(filepath.Join(dir, fmt.Sprint("w", seed)), sqlite.WithJournal(sqlite.JournalWAL))
			},
		}
		backends := map[string]store.Backend{}
		reopen := func(name string) {
			if b := backends[name]; b != nil {
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
			b, err := openers[name]()
			if err != nil {
				t.Fatal(err)
			}
			backends[name] = b
		}
		names := slices.Sorted(maps.Keys(openers))
		for _, name := range names {
			reopen(name)
		}
		model := storetest.NewContents()
		random := rand.New(rand.NewPCG(seed, 3))
		batches := storetest.NewGenerator(seed)
		for range 60 {
			batch := batches.Batch(40)
			if err := model.Commit(batch); err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if err := backends[name].Commit(batch); err != nil {
					t.Fatalf("seed %d, %s: %v", seed, name, err)
				}
				if random.IntN(6) == 0 {
					reopen(name)
					storetest.Equal(t, backends[name], model)
				}
			}
		}
		for _, name := range names {
			reopen(name)
			storetest.Equal(t, backends[name], model)
			if err := backends[name].Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
