package storetest

import (
	"fmt"
	"testing"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// Puts returns a batch of n puts of different keys, from the given one on, with values of 100 bytes.
func Puts(from, n int) *store.Batch {
	b := &store.Batch{Master: wire.EntityID{Object: 1}, Mark: uint64(from + n)}
	for i := range n {
		b.Changes = append(b.Changes, store.Change{Record: store.Record{
			Key:   data.AppendString(nil, fmt.Sprintf("key %08d", from+i)),
			Value: data.AppendString(nil, fmt.Sprintf("%0100d", from+i)),
		}})
	}
	b.Writers = []store.WriterMark{{Writer: wire.EntityID{Object: 2}, Seq: uint64(from + n)}}
	return b
}

// opened returns what open does, until the benchmark ends.
func opened(b *testing.B, open func() (store.Backend, error)) store.Backend {
	b.Helper()
	backend, err := open()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := backend.Close(); err != nil {
			b.Error(err)
		}
	})
	return backend
}

// BenchmarkCommit measures commits of batches of several sizes to a backend that open returns.
func BenchmarkCommit(b *testing.B, open func() (store.Backend, error)) {
	backend := opened(b, open)
	for _, size := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(size, " puts"), func(b *testing.B) {
			n := 0
			for b.Loop() {
				b.StopTimer()
				batch := Puts(n*size%1_000_000, size)
				b.StartTimer()
				if err := backend.Commit(batch); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n*size)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkLoad measures reading a million records from a backend that open returns.
func BenchmarkLoad(b *testing.B, open func() (store.Backend, error)) {
	backend := opened(b, open)
	const records = 1_000_000
	for from := 0; from < records; from += 10_000 {
		if err := backend.Commit(Puts(from, 10_000)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		n := 0
		if err := backend.Load(func(store.Record) error { n++; return nil }); err != nil || n != records {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "records/s")
}
