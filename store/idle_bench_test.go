//go:build unix

package store_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/store"
)

// BenchmarkIdle has 100 clones of one master do nothing for ten seconds, and reports what a clone and its share
// of the master, and both of their nodes, cost of one core.
func BenchmarkIdle(b *testing.B) {
	const clones, idle = 100, 10 * time.Second
	a := node(b)
	addr, err := a.Listen(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	master, err := store.AttachMaster(a, "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer master.Close()
	for range clones {
		ep := node(b)
		if _, err := ep.Peer(addr.String()); err != nil {
			b.Fatal(err)
		}
		clone, err := store.AttachClone(ep, "bench")
		if err != nil {
			b.Fatal(err)
		}
		defer clone.Close()
		if err := clone.WaitReady(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		before := cpuTime(b)
		time.Sleep(idle)
		b.ReportMetric(float64(cpuTime(b)-before)/float64(idle)/clones*100, "%core/clone")
	}
}

// cpuTime returns what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
