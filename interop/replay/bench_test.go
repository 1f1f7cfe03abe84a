package replay

import (
	"context"
	"os"
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// BenchmarkPlay plays a recorded worker, re-batched as a busy one sends, against a node that throws away
// what comes. One operation is all of its rows.
func BenchmarkPlay(b *testing.B) {
	for name, size := range map[string]int{"as recorded": 0, "batches of 400": 400} {
		b.Run(name, func(b *testing.B) {
			file, err := os.Open(recordings + "worker-1_to_logger-1-0.jsonl.gz")
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			links, err := Load(file)
			if err != nil {
				b.Fatal(err)
			}
			to, err := endpoint.New(plain...)
			if err != nil {
				b.Fatal(err)
			}
			defer to.Close(context.Background())
			sub, err := to.Subscribe([]string{"zeek/"}, endpoint.AllowBlockingStores(), endpoint.WithQueue(endpoint.QueueLimits{Policy: endpoint.Block}))
			if err != nil {
				b.Fatal(err)
			}
			addr, err := to.Listen(b.Context(), "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			go func() {
				for range sub.Messages(context.Background()) {
				}
			}()
			var count Count
			if err := links[0].Play(b.Context(), addr.String(), Options{Times: b.N, Rebatch: size, Endpoint: plain}, &count); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(count.Bytes.Load()) / int64(b.N))
			b.ReportMetric(float64(count.Rows.Load())/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
