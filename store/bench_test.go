package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/pebble"
	"github.com/zeekpeer/zeekpeer/store/sqlite"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// BenchmarkPutFromClone puts from a clone, pipelined: each is acknowledged, after it is durable, and visible
// at the clone before the end.
func BenchmarkPutFromClone(b *testing.B) {
	for _, backend := range []string{"memory", "pebble", "sqlite"} {
		b.Run(backend, func(b *testing.B) {
			benchWrites(b, benchBackend(b, backend), func(i int) store.Op {
				return store.PutOp(data.String(fmt.Sprintf("key-%d", i%100_000)), data.Count(uint64(i)))
			}, store.Applied)
		})
	}
}

// benchBackend opens a backend in a new directory, as an option.
func benchBackend(b *testing.B, name string) []store.Option {
	var backend store.Backend
	var err error
	switch path := filepath.Join(b.TempDir(), "store"); name {
	case "pebble":
		backend, err = pebble.Open(path)
	case "sqlite":
		backend, err = sqlite.Open(path)
	default:
		return nil
	}
	if err != nil {
		b.Fatal(err)
	}
	return []store.Option{store.WithBackend(backend)}
}

// BenchmarkPutUniqueFromClone is the same with put_unique, which is answered.
func BenchmarkPutUniqueFromClone(b *testing.B) {
	benchWrites(b, nil, func(i int) store.Op {
		return store.PutUniqueOp(data.String(fmt.Sprintf("key-%d", i)), data.Count(uint64(i)))
	}, store.Applied)
}

func benchWrites(b *testing.B, opts []store.Option, op func(i int) store.Op, want store.Outcome) {
	ctx := context.Background()
	a, c := pair(b)
	master, err := store.AttachMaster(a, "bench", opts...)
	if err != nil {
		b.Fatal(err)
	}
	defer master.Close()
	clone, err := store.AttachClone(c, "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer clone.Close()
	if err := clone.WaitReady(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	pending := make(chan *store.Pending, 1<<16)
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for p := range pending {
			if o, err := p.Wait(ctx); err != nil || o != want {
				failed <- fmt.Errorf("%v, %v", o, err)
				return
			}
		}
	}()
	i := 0
	for b.Loop() {
		p, err := clone.Submit(ctx, op(i))
		if err != nil {
			b.Fatal(err)
		}
		pending <- p
		i++
	}
	close(pending)
	if err := <-failed; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "puts/s")
}

// million puts a million entries, of some 60 bytes each, into a master.
func million(b *testing.B, master *store.Store) {
	ctx := context.Background()
	var last *store.Pending
	for i := range 1_000_000 {
		var err error
		last, err = master.Submit(ctx, store.PutOp(data.String(fmt.Sprintf("host-%08d.example.net", i)), data.Vector(data.Count(uint64(i)), data.String("seen"))))
		if err != nil {
			b.Fatal(err)
		}
	}
	if _, err := last.Wait(ctx); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAttachMillion attaches clones to a master with a million entries until they are ready, one
// alone and 50 together, over TLS. It reports how much the process grew besides what the clones hold.
func BenchmarkAttachMillion(b *testing.B) {
	for _, clones := range []int{1, 50} {
		b.Run(fmt.Sprint(clones), func(b *testing.B) { benchAttach(b, clones) })
	}
}

func benchAttach(b *testing.B, clones int) {
	ctx := context.Background()
	a := node(b, endpoint.WithSecurity(endpoint.AnonymousTLS()))
	addr, err := a.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	master, err := store.AttachMaster(a, "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer master.Close()
	million(b, master)
	for b.Loop() {
		var ready sync.WaitGroup
		for range clones {
			ready.Go(func() {
				ep, err := endpoint.New()
				if err != nil {
					b.Error(err)
					return
				}
				defer ep.Close(ctx)
				if _, err := ep.Peer(addr.String()); err != nil {
					b.Error(err)
					return
				}
				clone, err := store.AttachClone(ep, "bench")
				if err != nil {
					b.Error(err)
					return
				}
				defer clone.Close()
				if err := clone.WaitReady(ctx); err != nil {
					b.Error(err)
				}
				if n := clone.Status().Entries; n != 1_000_000 {
					b.Errorf("%d entries", n)
				}
			})
		}
		ready.Wait()
	}
}

// BenchmarkLag has a master make 10,000 updates a second while 50 clones follow, and reports after what
// time an update is seen by a clone: the median and the 99th percentile of all at all clones.
func BenchmarkLag(b *testing.B) {
	const clones, rate, burst = 50, 10_000, 10
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a := node(b)
	addr, err := a.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	master, err := store.AttachMaster(a, "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer master.Close()
	lags := make([][]time.Duration, clones)
	var watching, ready sync.WaitGroup
	updates := 0
	for i := range clones {
		ep := node(b)
		if _, err := ep.Peer(addr.String()); err != nil {
			b.Fatal(err)
		}
		clone, err := store.AttachClone(ep, "bench")
		if err != nil {
			b.Fatal(err)
		}
		defer clone.Close()
		ready.Add(1)
		watching.Go(func() {
			for u := range clone.Watch(ctx) {
				if u.Kind == store.Snapshot {
					ready.Done()
					continue
				}
				if sent, ok := u.Value().AsTime(); ok {
					lags[i] = append(lags[i], time.Since(sent))
				} else {
					return
				}
			}
		})
	}
	ready.Wait()
	ticker := time.NewTicker(time.Second * burst / rate)
	defer ticker.Stop()
	for b.Loop() {
		<-ticker.C
		for range burst {
			if _, err := master.Put(ctx, data.Count(uint64(updates%1000)), data.Time(time.Now()), store.NoWait()); err != nil {
				b.Fatal(err)
			}
			updates++
		}
	}
	if _, err := master.Put(ctx, data.String("end"), data.None(), store.NoWait()); err != nil {
		b.Fatal(err)
	}
	watching.Wait()
	all := slices.Concat(lags...)
	slices.Sort(all)
	if len(all) != clones*updates {
		b.Fatalf("%d updates were seen of %d at %d clones", len(all), updates, clones)
	}
	b.ReportMetric(all[len(all)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(all[len(all)*99/100].Seconds()*1000, "p99-ms")
	b.ReportMetric(float64(updates)/b.Elapsed().Seconds(), "updates/s")
}
