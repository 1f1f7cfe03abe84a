package roles_test

import (
	"maps"
	"testing"

	"github.com/zeekpeer/zeekpeer/cluster/roles"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// TestLoggerRecorded: of what three nodes sent to a logger of Zeek, ours counts each row.
func TestLoggerRecorded(t *testing.T) {
	w := watch(t, "8.2", "logger-1")
	want := make(map[string]roles.LogsStatus)
	for _, link := range []string{"manager_to_logger-1-0", "proxy-1_to_logger-1-0", "worker-1_to_logger-1-0"} {
		for _, f := range recorded(t, recordings[0], link) {
			m, err := zeek.Parse(f.payload)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.(zeek.Event); ok || !f.dialer {
				continue
			}
			w.send(t, f.payload)
			all, ok := m.(zeek.Batch)
			if !ok {
				all = zeek.Batch{m}
			}
			for _, m := range all {
				switch m := m.(type) {
				case zeek.LogCreate:
					s := want[m.Stream]
					s.Creates++
					want[m.Stream] = s
				case zeek.LogWrite:
					s := want[m.Stream]
					s.Rows++
					want[m.Stream] = s
				}
			}
		}
	}
	w.failed(t, 0)
	if got := w.state.Status().Logs; !maps.Equal(got, want) || len(want) < 30 {
		t.Errorf("%d streams: %v\nwant %v", len(want), got, want)
	}
	if n := w.state.Status().LogErrors; n != 0 {
		t.Errorf("%d errors", n)
	}
}

// TestLoggerBadInput: what is no message is counted, and what there is too much of is counted together.
func TestLoggerBadInput(t *testing.T) {
	w := watch(t, "8.2", "logger-1")
	write := zeek.LogWrite{Stream: "A::LOG", Writer: "Log::WRITER_ASCII", Path: "a", Packed: []byte{0, 0, 0, 0}}
	w.send(t, write.AppendMessage(nil)) // alone, as Zeek never sends it
	var nested zeek.Message = write
	for range 3 {
		nested = zeek.Batch{nested, zeek.Batch{}}
	}
	w.send(t, nested.AppendMessage(nil))
	for range 10 {
		nested = zeek.Batch{nested}
	}
	w.send(t, nested.AppendMessage(nil))
	message := func(content data.Value) []byte {
		return data.AppendValue(nil, list(data.Count(1), data.Count(3), content))
	}
	w.send(t, message(list()))
	w.send(t, message(list(str("A::LOG"))))
	w.send(t, message(str("A::LOG")))
	w.send(t, data.AppendValue(nil, list(data.Count(1), data.Count(5), list(list(data.Count(1), data.Count(3))))))
	for i := range 1100 {
		write.Stream = "B" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		w.send(t, write.AppendMessage(nil))
	}
	w.settle(t)
	s := w.state.Status()
	if s.Logs["A::LOG"].Rows != 2 || s.LogErrors != 5 || len(s.Logs) != 1025 || s.Logs["(other streams)"].Rows != 77 {
		t.Errorf("A::LOG %+v, %d errors, %d streams, others %+v", s.Logs["A::LOG"], s.LogErrors, len(s.Logs), s.Logs["(other streams)"])
	}
}
