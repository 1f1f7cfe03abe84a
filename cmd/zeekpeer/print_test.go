package main

import (
	"io"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// BenchmarkPrint: one small event, as each --output.
func BenchmarkPrint(b *testing.B) {
	payload := zeek.AppendEvent(nil, "event_1x", data.Count(42), data.String("test"))
	for _, format := range []string{"text", "json", "none"} {
		b.Run(format, func(b *testing.B) {
			p := newPrinter(io.Discard, format)
			b.ReportAllocs()
			for b.Loop() {
				if invalid, failed := p.message("/bench/x", payload); invalid != nil || failed != nil {
					b.Fatal(invalid, failed)
				}
			}
		})
	}
}
