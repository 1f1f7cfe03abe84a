//go:build unix

package logs

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// workload returns the LogCreates that the recorded worker sent, and its rows as messages: as they came, or in
// batches of n rows of one log; only of one path, if that is given.
func workload(b testing.TB, format, only string, n int) (creates, messages [][]byte, rows int) {
	b.Helper()
	writes := map[string][][]byte{}
	for _, payload := range linkPayloads(b, format, "worker-1") {
		m, err := zeek.Parse(payload)
		if err != nil {
			b.Fatal(err)
		}
		batch, isBatch := m.(zeek.Batch)
		if _, ok := m.(zeek.LogCreate); ok {
			creates = append(creates, payload)
		}
		if !isBatch {
			continue
		}
		if n == 0 {
			messages, rows = append(messages, payload), rows+len(batch)
			continue
		}
		for _, m := range batch {
			if w, ok := m.(zeek.LogWrite); ok && (only == "" || w.Path == only) {
				writes[w.Path] = append(writes[w.Path], w.AppendMessage(nil))
			}
		}
	}
	// The mix is that of many workers: 40 times the rows of one, so that batches are full.
	for _, all := range writes {
		var batch [][]byte
		for range 40 {
			for _, w := range all {
				if batch = append(batch, w); len(batch) == n {
					messages, rows, batch = append(messages, append(zeek.AppendBatchHead(nil, n), bytes.Join(batch, nil)...)), rows+n, nil
				}
			}
		}
		if len(batch) > 0 {
			messages, rows = append(messages, append(zeek.AppendBatchHead(nil, len(batch)), bytes.Join(batch, nil)...)), rows+len(batch)
		}
	}
	return creates, messages, rows
}

// Rows of one sender, from the bytes of messages to files on a RAM disk.
func BenchmarkReceiver(b *testing.B) {
	for _, test := range []struct {
		name, format, only string
		batch              int
	}{
		{"recorded/tsv", "tsv", "", 0}, {"recorded/json", "json", "", 0},
		{"batches/tsv/mix", "tsv", "", 400}, {"batches/tsv/conn", "tsv", "conn", 400}, {"batches/json/mix", "json", "", 400},
	} {
		creates, messages, rows := workload(b, test.format, test.only, test.batch)
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			shm := "/dev/shm"
			if _, err := os.Stat(shm); err != nil {
				shm = ""
			}
			dir, err := os.MkdirTemp(shm, "logs")
			if err != nil {
				b.Fatal(err)
			}
			defer os.RemoveAll(dir)
			o := DefaultOptions()
			o.JSON = test.format == "json"
			r := NewReceiver(ReceiverOptions{}, newFiles(b, FilesOptions{Dir: dir, Format: o}))
			for _, c := range creates {
				r.Take(someone(1), c)
			}
			total, written, start := 0, 0, cpuTime()
			for b.Loop() {
				for _, m := range messages {
					r.Take(someone(1), m)
				}
				total += rows
				if written += rows; written > 4_000_000 { // of the memory that a RAM disk is
					b.StopTimer()
					emptyFiles(b, dir)
					written = 0
					b.StartTimer()
				}
			}
			closeReceiver(b, r)
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(total)/(cpuTime()-start).Seconds(), "rows/cpu-s")
			b.ReportMetric(0, "ns/op")
			if s := r.Status(); s.Rows < uint64(total) || len(s.Refused) > 0 {
				b.Fatalf("%d rows of %d, refused %v", s.Rows, total, s.Refused)
			}
		})
	}
}

// cpuTime returns how long this process has kept processors busy.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// emptyFiles makes the files in a directory empty, which their writers, who append, do not see.
func emptyFiles(b *testing.B, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			if err := os.Truncate(dir+"/"+e.Name(), 0); err != nil {
				b.Fatal(err)
			}
		}
	}
}
