package logs

import "testing"

// Rows of one sender into memory: the recorded mix of logs of a worker, and the connections alone.
func BenchmarkFormat(b *testing.B) {
	for _, format := range []string{"tsv", "json"} {
		_, all := sentLogs(b, format, "worker-1")
		o := DefaultOptions()
		o.JSON = format == "json"
		formats := map[*recordedLog]Format{}
		var conns []recordedRow
		for _, r := range all {
			if formats[r.log] == nil {
				formats[r.log] = mustFormat(b, r.log.schema, o)
			}
			if r.log.schema.Path == "conn" {
				conns = append(conns, r)
			}
		}
		for name, rows := range map[string][]recordedRow{"mix": all, "conn": conns} {
			b.Run(format+"/"+name, func(b *testing.B) {
				type job struct {
					f      Format
					packed []byte
				}
				jobs := make([]job, len(rows))
				for i, r := range rows {
					jobs[i] = job{formats[r.log], r.packed}
				}
				dst := make([]byte, 0, 1<<20)
				b.ReportAllocs()
				var written, i int
				for b.Loop() {
					var err error
					if dst, err = jobs[i].f.Row(dst, jobs[i].packed); err != nil {
						b.Fatal(err)
					}
					if len(dst) > 1<<19 {
						written += len(dst)
						dst = dst[:0]
					}
					if i++; i == len(jobs) {
						i = 0
					}
				}
				b.SetBytes(int64((written + len(dst)) / b.N))
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}
