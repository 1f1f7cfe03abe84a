package fuzz

import (
	"context"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/logs"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// FuzzReceiver has a logger take any bytes at all as a message, twice, and then a row of a good peer, which must be
// written.
func FuzzReceiver(f *testing.F) {
	create := zeek.LogCreate{
		Stream: "Test::LOG", Writer: "Log::WRITER_ASCII", Info: zeek.WriterInfo{Path: "test", Config: data.Table()},
		Fields: []zeek.Field{{Name: "ts", Type: uint64(zeek.LogTime)}, {Name: "msg", Type: uint64(zeek.LogString)}},
	}
	row := zeek.AppendLogText(zeek.AppendLogTime(zeek.AppendRecord(nil, 2), time.Unix(1, 0)), zeek.LogString, "text")
	write := zeek.AppendLogWrite(nil, "Test::LOG", "Log::WRITER_ASCII", "test", row)
	addPayloads(f, func(payload []byte) { f.Add(payload) })
	f.Add(create.AppendMessage(nil))
	f.Add(write)
	f.Add(append(zeek.AppendBatchHead(nil, 2), append(create.AppendMessage(nil), write...)...))
	f.Add(append(zeek.AppendBatchHead(nil, 1), append(zeek.AppendBatchHead(nil, 1), write...)...))
	f.Fuzz(func(t *testing.T, payload []byte) {
		sink := &counter{}
		r := logs.NewReceiver(logs.ReceiverOptions{Shards: 1}, sink)
		good, other := wire.EndpointID{1}, wire.EndpointID{2}
		r.Take(good, create.AppendMessage(nil))
		for range 2 {
			r.Take(other, payload)
			r.Take(good, write)
		}
		r.Forget(other)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if s := r.Status(); s.Rows < 2 || s.Rows != uint64(sink.rows) || s.Lost > 0 || s.Held > 0 || s.Waiting > 0 {
			t.Fatalf("%d rows of the sink: %+v", sink.rows, s)
		}
	})
}

// A counter is a sink that formats rows and counts those that suit.
type counter struct{ rows int }

type counterWriter struct {
	*counter
	format logs.Format
}

func (c *counter) Open(_ context.Context, s *logs.Schema) (logs.Writer, error) {
	f, err := logs.NewFormat(s, logs.DefaultOptions())
	return &counterWriter{c, f}, err
}

func (c *counter) Close(context.Context) error { return nil }

func (w *counterWriter) Write(rows [][]byte) error {
	var refused *logs.RefusedRows
	for _, row := range rows {
		if _, err := w.format.Row(nil, row); err != nil {
			if refused == nil {
				refused = &logs.RefusedRows{First: err}
			}
			refused.Rows++
			continue
		}
		w.rows++
	}
	if refused != nil {
		return refused
	}
	return nil
}

func (w *counterWriter) Flush() error { return nil }
func (w *counterWriter) Close() error { return nil }
