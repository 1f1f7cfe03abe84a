package store_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// randomValue returns a value of any kind; a container holds others.
func randomValue(r *rand.Rand, depth int) data.Value {
	n := 8
	if depth > 0 {
		n = 11
	}
	some := func() (all []data.Value) {
		for range r.IntN(4) {
			all = append(all, randomValue(r, depth-1))
		}
		return all
	}
	switch r.IntN(n) {
	case 0:
		return data.None()
	case 1:
		return data.Bool(r.IntN(2) == 0)
	case 2:
		return data.Count(r.Uint64N(100))
	case 3:
		return data.Int(r.Int64N(100) - 50)
	case 4:
		return data.Real(float64(r.IntN(10)) / 4)
	case 5:
		return data.String(fmt.Sprint("s", r.IntN(10)))
	case 6:
		return data.Timespan(time.Duration(r.Int64N(1000)))
	case 7:
		return data.Timestamp(r.Int64N(1000))
	case 8:
		return data.Vector(some()...)
	case 9:
		return data.Set(some()...)
	}
	var entries []data.Entry
	for _, k := range some() {
		entries = append(entries, data.Entry{Key: k, Value: randomValue(r, depth-1)})
	}
	return data.Table(entries...)
}

func randomOp(r *rand.Rand) store.Op {
	key := data.Count(r.Uint64N(20))
	if r.IntN(4) == 0 {
		key = randomValue(r, 2)
	}
	var op store.Op
	switch r.IntN(14) {
	case 0, 1, 2:
		op = store.PutOp(key, randomValue(r, 2))
	case 3:
		op = store.PutUniqueOp(key, randomValue(r, 1))
	case 4:
		return store.EraseOp(key)
	case 5:
		op = store.IncrementOp(key, randomValue(r, 0))
	case 6:
		op = store.DecrementOp(key, randomValue(r, 0))
	case 7:
		op = store.AppendOp(key, "more")
	case 8:
		op = store.InsertIntoOp(key, randomValue(r, 1))
	case 9:
		op = store.InsertEntryOp(key, randomValue(r, 0), randomValue(r, 1))
	case 10:
		op = store.RemoveFromOp(key, randomValue(r, 0))
	case 11:
		op = store.PushOp(key, randomValue(r, 1))
	case 12:
		op = store.PopOp(key)
	case 13:
		if r.IntN(20) == 0 {
			return store.ClearOp()
		}
		op = store.PutOp(key, data.Count(0))
	}
	if r.IntN(3) == 0 {
		op = op.Expiring(time.Duration(r.Int64N(int64(3 * time.Minute))))
	}
	return op
}

// The same operations, of the master and of a clone, with restarts between them and time that passes,
// lead to the same outcomes and to the same contents, whatever keeps them. In the bubbles that they are
// done in it is the same time, so that entries also expire at the same.
func TestBackendsAgree(t *testing.T) {
	for seed := range uint64(fromEnv("ZEEKPEER_AGREE_SEEDS", 2)) {
		var want string
		for _, kind := range []string{"memory", "pebble", "sqlite"} {
			t.Run(fmt.Sprint(kind, seed), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "store")
				memory := newMemoryLog()
				open := func() (store.Backend, error) {
					if kind == "memory" {
						return memory, nil
					}
					return openBackend(kind, path)
				}
				var got string
				onMemNet(t, func(t *testing.T, n *memNet) { got = doRandomly(t, n, seed, open) })
				if want == "" {
					want = got
				}
				if got != want {
					i := 0
					for i < min(len(got), len(want)) && got[i] == want[i] {
						i++
					}
					t.Errorf("it differs from memory, at byte %d: %.500q, not %.500q", i, got[max(0, i-100):], want[max(0, i-100):])
				}
			})
		}
	}
}

// doRandomly does random operations, and returns what came of them.
func doRandomly(t *testing.T, n *memNet, seed uint64, open func() (store.Backend, error)) string {
	var did bytes.Buffer
	random := rand.New(rand.NewPCG(seed, 0))
	far := n.node(t, "c")
	if _, err := far.Peer("m:1"); err != nil {
		t.Fatal(err)
	}
	clone := attachClone(t, far)
	for range 5 {
		b, err := open()
		if err != nil {
			t.Fatal(err)
		}
		id, err := store.EndpointID(b)
		if err != nil {
			t.Fatal(err)
		}
		ep := n.node(t, "m", endpoint.WithID(id))
		master := attachMaster(t, ep, store.WithBackend(b))
		fmt.Fprintf(&did, "%v\n", contentsOf(t, t.Context(), master))
		serve(t, ep, "m")
		// The time until they are peers depends on chance.
		if err := far.WaitPeers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		sleepTo(30 * time.Second)
		for range 20 {
			who := master
			if random.IntN(2) == 0 {
				who = clone
			}
			var all []*store.Pending
			for range random.IntN(20) {
				p, err := who.Submit(t.Context(), randomOp(random))
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, p)
			}
			for _, p := range all {
				o, err := p.Wait(t.Context())
				fmt.Fprintln(&did, who.Role(), o, err)
			}
			time.Sleep(time.Duration(random.IntN(4)) * 500 * time.Millisecond)
			synctest.Wait()
			same(t, t.Context(), master, clone)
			fmt.Fprintf(&did, "%v %v\n", time.Now(), contentsOf(t, t.Context(), master))
		}
		if err := master.Close(); err != nil {
			t.Fatal(err)
		}
		ep.Close(t.Context())
		sleepTo(time.Minute)
	}
	return did.String()
}

// sleepTo sleeps to the next time that is a multiple of d.
func sleepTo(d time.Duration) { time.Sleep(time.Until(time.Now().Truncate(d).Add(d))) }
