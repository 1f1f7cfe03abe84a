package cluster_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

var myFields = []zeek.Field{{Name: "n", Type: uint64(zeek.LogCount)}, {Name: "text", Type: uint64(zeek.LogString)}}

func row(n uint64, text string) []byte {
	return zeek.AppendLogText(zeek.AppendLogCount(zeek.AppendRecord(nil, 2), n), zeek.LogString, text)
}

// rows rings when a fakeLogger has taken something.
var rows clustertest.Bell

// A fakeLogger keeps what a logger of Zeek would write, and is as strict: a row of a log that the peer has not made
// known before is an error.
type fakeLogger struct {
	mu      sync.Mutex
	known   map[string]bool
	rows    map[string]int // by stream and text
	batches int
	wrong   []string
}

func newFakeLogger(n *cluster.Node) *fakeLogger {
	l := &fakeLogger{known: make(map[string]bool), rows: make(map[string]int)}
	n.OnLogs(l.take)
	return l
}

func (l *fakeLogger) take(from wire.EndpointID, payload []byte) {
	defer rows.Ring()
	l.mu.Lock()
	defer l.mu.Unlock()
	m, err := zeek.Parse(payload)
	if err != nil {
		l.wrong = append(l.wrong, err.Error())
		return
	}
	switch m := m.(type) {
	case zeek.LogCreate:
		l.known[from.String()+m.Stream+m.Info.Path] = true
	case zeek.Batch:
		l.batches++
		for _, m := range m {
			w := m.(zeek.LogWrite)
			if !l.known[from.String()+w.Stream+w.Path] {
				l.wrong = append(l.wrong, "row of an unknown log "+w.Stream)
			}
			r := zeek.ReadRecord(w.Packed)
			text := ""
			for c, ok := r.Next(); ok; c, ok = r.Next() {
				if c.Type == zeek.LogString {
					text = string(c.Text())
				}
			}
			l.rows[w.Stream+" "+text]++
		}
	}
}

// of returns the texts of the rows of a log.
func (l *fakeLogger) of(stream string) (texts []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(l.rows)) {
		if text, ok := strings.CutPrefix(key, stream+" "); ok {
			for range l.rows[key] {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

func (l *fakeLogger) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) > 0 {
		t.Errorf("the logger met %d times %q", len(l.wrong), l.wrong[0])
	}
}

func open(t *testing.T, n *cluster.Node) *cluster.LogStream {
	t.Helper()
	s, err := n.NewLogStream("My::LOG", "my", myFields)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, s *cluster.LogStream, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := s.Write(row(uint64(i), fmt.Sprintf("%05d", i))); err != nil {
			t.Fatal(err)
		}
	}
}

// numbers are the texts that write makes.
func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("%05d", i))
	}
	return all
}

// TestLogsWait: rows wait for a logger, which learns of the log before its first row, whenever it comes.
func TestLogsWait(t *testing.T) {
	for _, roundRobin := range []string{"true", "false"} {
		t.Run(roundRobin, func(t *testing.T) {
			b := newSwitchboard(t, 2, 0, 1, "options:\n  enable_round_robin_logging: "+roundRobin+"\n")
			worker := b.start(t, "worker-1")[0]
			s := open(t, worker)
			write(t, s, 0, 1000)
			first := b.node(t, "logger-1")
			one := newFakeLogger(first)
			clustertest.Run(t, first)
			rows.Until(t, "what waited", func() bool { return len(one.of("My::LOG")) >= 1000 })
			write(t, s, 1000, 2000)
			rows.Until(t, "what came then", func() bool { return len(one.of("My::LOG")) >= 2000 })
			if got := one.of("My::LOG"); !slices.Equal(got, numbers(0, 2000)) {
				t.Errorf("%d rows", len(got))
			}
			second := b.node(t, "logger-2")
			two := newFakeLogger(second)
			clustertest.Run(t, second)
			greeted(t, worker, "logger-2")
			write(t, s, 2000, 3000)
			if roundRobin == "true" {
				rows.Until(t, "all rows", func() bool { return len(one.of("My::LOG"))+len(two.of("My::LOG")) >= 3000 })
				if n := len(two.of("My::LOG")); n < 490 || n > 510 { // rows of cluster.log have turns, too
					t.Errorf("%d rows at the second logger", n)
				}
			} else {
				rows.Until(t, "all rows at both", func() bool { return len(one.of("My::LOG")) >= 3000 && len(two.of("My::LOG")) >= 1000 })
				if got := two.of("My::LOG"); !slices.Equal(got, numbers(2000, 3000)) {
					t.Errorf("%d rows at the second logger", len(got))
				}
			}
			one.check(t)
			two.check(t)
			if st := worker.Status(); st.RowsLost != 0 || st.RowsSent < 3000 {
				t.Errorf("%d rows sent, %d lost", st.RowsSent, st.RowsLost)
			}
			if st := first.Status(); st.LogWrites == 0 || st.Malformed != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestLoggerDies: what comes after it is known that a logger is gone goes to the others.
func TestLoggerDies(t *testing.T) {
	b := newSwitchboard(t, 2, 0, 1, "")
	first, second, worker := b.node(t, "logger-1"), b.node(t, "logger-2"), b.node(t, "worker-1")
	one, two := newFakeLogger(first), newFakeLogger(second)
	clustertest.Run(t, first, second, worker)
	greeted(t, worker, "logger-1", "logger-2")
	s := open(t, worker)
	write(t, s, 0, 100)
	rows.Until(t, "all rows", func() bool { return len(one.of("My::LOG"))+len(two.of("My::LOG")) == 100 })
	share := len(one.of("My::LOG")) // rows of cluster.log have turns, too
	if share < 40 || share > 60 {
		t.Errorf("%d rows at the first logger", share)
	}
	b.HangUp(first)
	gone(t, worker, "logger-1")
	write(t, s, 100, 200)
	rows.Until(t, "the rest at one", func() bool { return len(two.of("My::LOG")) >= 200-share })
	b.HangUp(second)
	gone(t, worker, "logger-2")
	write(t, s, 200, 300)
	again := b.node(t, "logger-2")
	three := newFakeLogger(again)
	clustertest.Run(t, again)
	rows.Until(t, "what waited", func() bool { return len(three.of("My::LOG")) >= 100 })
	if got := three.of("My::LOG"); !slices.Equal(got, numbers(200, 300)) {
		t.Errorf("%d rows", len(got))
	}
	for _, l := range []*fakeLogger{one, two, three} {
		l.check(t)
	}
}

// TestLogsBounded: no more rows wait than may; the oldest are lost, counted, and told of once.
func TestLogsBounded(t *testing.T) {
	b := newSwitchboard(t, 1, 0, 1, "")
	var log clustertest.Log
	worker := b.node(t, "worker-1", cluster.WithHeldRows(100), cluster.WithLogBatches(10, time.Hour), cluster.WithLogger(log.Logger()))
	clustertest.Run(t, worker)
	s := open(t, worker)
	write(t, s, 0, 1000)
	worker.FlushLogs()
	if st := worker.Status(); st.RowsLost != 900 || log.Count("more than 100 rows wait") == 0 {
		t.Errorf("%d rows lost", st.RowsLost)
	}
	logger := b.node(t, "logger-1")
	l := newFakeLogger(logger)
	clustertest.Run(t, logger)
	greeted(t, worker, "logger-1")
	worker.FlushLogs()
	rows.Until(t, "the newest", func() bool { return len(l.of("My::LOG")) >= 100 })
	if got := l.of("My::LOG"); !slices.Equal(got, numbers(900, 1000)) {
		t.Errorf("%d rows", len(got))
	}
	l.mu.Lock()
	if l.batches < 10 {
		t.Errorf("%d batches", l.batches)
	}
	l.mu.Unlock()
	// What waits is sent at the end.
	write(t, s, 1000, 1005)
	if err := worker.Close(clustertest.Limited(t)); err != nil {
		t.Fatal(err)
	}
	rows.Until(t, "the last", func() bool { return len(l.of("My::LOG")) >= 105 })
	l.check(t)
}

// TestLargeRows: rows that are too large for one message together go in several; one that is too large alone is lost,
// and holds up no others.
func TestLargeRows(t *testing.T) {
	b := newSwitchboard(t, 1, 0, 1, "")
	var log clustertest.Log
	worker := b.node(t, "worker-1", cluster.WithLogBatches(1000, time.Hour), cluster.WithLogger(log.Logger()), cluster.WithEndpoint(endpoint.WithMaxFrame(64<<10, 64<<10)))
	logger := b.node(t, "logger-1")
	l := newFakeLogger(logger)
	clustertest.Run(t, worker)
	clustertest.Run(t, logger)
	greeted(t, worker, "logger-1")
	worker.FlushLogs() // cluster.log
	s, sent := open(t, worker), worker.Status().RowsSent
	for i := range uint64(10) {
		size := 20 << 10
		if i == 4 {
			size = 100 << 10
		}
		if err := s.Write(row(i, fmt.Sprint(i)+strings.Repeat("x", size))); err != nil {
			t.Fatal(err)
		}
	}
	worker.FlushLogs()
	if st := worker.Status(); st.RowsSent-sent != 9 || st.RowsLost != 1 || st.RowsWaiting != 0 || log.Count("row of a log lost") == 0 {
		t.Errorf("%d rows sent, %d lost, %d wait", st.RowsSent-sent, st.RowsLost, st.RowsWaiting)
	}
	rows.Until(t, "the rows", func() bool { return len(l.of("My::LOG")) >= 9 })
	l.check(t)
}

// TestClusterLog: what happens in the cluster stands in its log, in Zeek's words.
func TestClusterLog(t *testing.T) {
	b := newSwitchboard(t, 1, 1, 2, "")
	l := b.node(t, "logger-1")
	logger := newFakeLogger(l)
	clustertest.Run(t, l)
	manager := b.start(t, "manager")[0]
	unwritten := b.node(t, "worker-1", cluster.WithLogPolicy(func(stream string, row []byte) bool {
		r := zeek.ReadRecord(row)
		return stream != "Cluster::LOG" || r.Len() != 3
	}))
	clustertest.Run(t, unwritten)
	greeted(t, manager, "worker-1", "logger-1")
	greeted(t, unwritten, "manager", "logger-1")
	create(t, manager, "a")
	create(t, unwritten, "a")
	b.HangUp(unwritten)
	gone(t, manager, "worker-1")
	want := []string{
		"created master store: a",
		"got hello from logger-1 (" + l.ID().String() + ")",
		"got hello from worker-1 (" + unwritten.ID().String() + ")",
		"initiate peering with 127.0.0.1:2/tcp, retry=1.0 sec, status=T",
		"listening on :1/tcp",
		"node down: worker-1",
	}
	rows.Until(t, "the rows of cluster.log", func() bool { return len(logger.of("Cluster::LOG")) >= len(want) })
	if got := logger.of("Cluster::LOG"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	logger.check(t)
}

// TestBadRows: rows that would make a logger give up are refused.
func TestBadRows(t *testing.T) {
	b := newSwitchboard(t, 1, 0, 1, "")
	n := b.start(t, "worker-1")[0]
	s := open(t, n)
	for _, c := range []struct {
		row  []byte
		want string
	}{
		{zeek.AppendLogCount(zeek.AppendRecord(nil, 1), 1), "a row of 1 values, the log has 2 columns"},
		{zeek.AppendLogCount(zeek.AppendLogText(zeek.AppendRecord(nil, 2), zeek.LogString, "x"), 1), "column n: a value of type string, want count"},
		{row(1, "x")[:20], "My::LOG"},
		{append(row(1, "x"), 0), "My::LOG"},
		{nil, "My::LOG"},
	} {
		if err := s.Write(c.row); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if again := open(t, n); again != s || len(again.Fields()) != 2 {
		t.Error("two streams of one log")
	}
	for _, fields := range [][]zeek.Field{nil, myFields[:1], {{Name: "x", Type: uint64(zeek.LogVector)}}, {{Name: "x", Type: 99}}} {
		if _, err := n.NewLogStream("My::LOG", "my", fields); err == nil {
			t.Errorf("columns %+v", fields)
		}
	}
	if _, err := n.NewLogStream("", "my", myFields); err == nil {
		t.Error("a log without stream")
	}
}
