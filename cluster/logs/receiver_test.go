package logs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// linkPayloads returns the payloads of the messages that a node sent to the recorded logger.
func linkPayloads(t testing.TB, format, node string) (payloads [][]byte) {
	t.Helper()
	lines := bufio.NewReader(bytes.NewReader(gunzip(t, recordings+format+"/links/"+node+"_to_logger-1-0.jsonl.gz")))
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return payloads
		}
		var row struct{ Dir, Hex string }
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		frame, err := hex.DecodeString(row.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if row.Dir != "dialer->listener" || len(frame) < wire.FrameHeaderLen {
			continue
		}
		if e, err := wire.ParseEnvelope(frame[wire.FrameHeaderLen:]); err == nil && e.Type == wire.TypeData {
			payloads = append(payloads, e.Payload)
		}
	}
}

var senders = []string{"worker-1", "manager", "proxy-1"}

// newFiles makes files in a directory, in UTC.
func newFiles(t testing.TB, o FilesOptions) *Files {
	t.Helper()
	if o.Format == (Options{}) {
		o.Format = DefaultOptions()
	}
	o.Format.Location = time.UTC
	f, err := NewFiles(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func closeReceiver(t testing.TB, r *Receiver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// settle lets two seconds go by for a receiver in a bubble of package synctest, whose default is to hand on in one, and
// waits until all has been done that is due then.
func settle() {
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

// someone returns the id of a peer.
func someone(n byte) wire.EndpointID { return wire.EndpointID{15: n + 1} }

// record returns a logger, and what it has said.
func record() (*slog.Logger, func() string) {
	var w lockedBuffer
	return slog.New(slog.NewTextHandler(&w, nil)), w.String
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *lockedBuffer) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *lockedBuffer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// body returns the lines of a file that are no header and no footer, and the others without the times.
func body(file []byte) (lines, meta []string) {
	for line := range strings.Lines(string(file)) {
		switch {
		case !strings.HasPrefix(line, "#"):
			lines = append(lines, line)
		case strings.HasPrefix(line, "#open"), strings.HasPrefix(line, "#close"):
			meta = append(meta, line[:strings.IndexByte(line, '\t')])
		default:
			meta = append(meta, line)
		}
	}
	return lines, meta
}

// checkRecorded compares the files in a directory with those that the recorded logger wrote.
func checkRecorded(t *testing.T, dir, format string) {
	t.Helper()
	own := map[string]int{"broker": 6, "cluster": 8, "reporter": 1, "stats": 1} // rows of the logger itself
	names, err := filepath.Glob(recordings + format + "/logs/*.log.gz")
	if err != nil || len(names) == 0 {
		t.Fatal(err, len(names))
	}
	var want, got []string
	for _, name := range names {
		file := strings.TrimSuffix(filepath.Base(name), ".gz")
		path := strings.TrimSuffix(file, ".log")
		written, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Error(err)
			continue
		}
		wantLines, wantMeta := body(gunzip(t, name))
		gotLines, gotMeta := body(written)
		if !slices.Equal(gotMeta, wantMeta) {
			t.Errorf("%s: header and footer\n%q\nwant\n%q", file, gotMeta, wantMeta)
		}
		count := map[string]int{}
		for _, line := range wantLines {
			count[line]++
		}
		for _, line := range gotLines {
			if count[line]--; count[line] < 0 {
				t.Errorf("%s: row is not in the recorded file: %s", file, line)
			}
		}
		missing := 0
		for line, n := range count {
			if missing += max(n, 0); n > 0 && own[path] == 0 {
				t.Errorf("%s: row is missing: %s", file, line)
			}
		}
		if missing != own[path] {
			t.Errorf("%s: %d rows are missing, want %d", file, missing, own[path])
		}
		if own[path] == 0 && sentBy(t, format, path) == 1 && !slices.Equal(gotLines, wantLines) {
			t.Errorf("%s: rows in another order", file)
		}
		want = append(want, file)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

var sent = map[string]map[string]*recordedLog{}

// sentBy returns how many nodes sent rows of a log.
func sentBy(t *testing.T, format, path string) (n int) {
	for _, node := range senders {
		if sent[format+node] == nil {
			sent[format+node], _ = sentLogs(t, format, node)
		}
		if l := sent[format+node][path]; l != nil && len(l.rows) > 0 {
			n++
		}
	}
	return n
}

// What the recorded nodes sent becomes the recorded files.
func TestReceiverRecorded(t *testing.T) {
	for _, format := range []string{"tsv", "json"} {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			o := DefaultOptions()
			o.JSON = format == "json"
			r := NewReceiver(ReceiverOptions{}, newFiles(t, FilesOptions{Dir: dir, Format: o}))
			for i, node := range senders {
				for _, payload := range linkPayloads(t, format, node) {
					r.Take(someone(byte(i)), payload)
				}
			}
			closeReceiver(t, r)
			checkRecorded(t, dir, format)
			s := r.Status()
			if len(s.Refused) > 0 || s.Lost > 0 || s.HeldTotal > 0 || s.Conflicts > 0 || s.Rows < 2213 {
				t.Errorf("%+v", s)
			}
			if _, err := json.Marshal(s); err != nil {
				t.Error(err)
			}
		})
	}
}

// testLog is a LogCreate of columns ts and msg, or of those given.
func testLog(path string, columns ...zeek.Field) zeek.LogCreate {
	if len(columns) == 0 {
		columns = []zeek.Field{{Name: "ts", Type: uint64(zeek.LogTime)}, {Name: "msg", Type: uint64(zeek.LogString)}}
	}
	return zeek.LogCreate{
		Stream: "Test::LOG", Writer: "Log::WRITER_ASCII", Fields: columns,
		Info: zeek.WriterInfo{Path: path, Config: data.Table()},
	}
}

// testRow is a row of testLog.
func testRow(path, msg string) []byte {
	row := zeek.AppendLogFloat(zeek.AppendRecord(nil, 2), zeek.LogTime, 1700000000.5)
	row = zeek.AppendLogText(row, zeek.LogString, msg)
	return zeek.AppendLogWrite(nil, "Test::LOG", "Log::WRITER_ASCII", path, row)
}

// batchOf puts messages into a batch.
func batchOf(messages ...[]byte) []byte {
	return append(zeek.AppendBatchHead(nil, len(messages)), bytes.Join(messages, nil)...)
}

// memory is a sink that keeps rows as text.
type memory struct {
	mu     sync.Mutex
	opened []*Schema
	lines  map[string][]string // by path
	gate   chan struct{}       // if not nil, each Write takes one token
}

func newMemory() *memory { return &memory{lines: make(map[string][]string)} }

type memoryWriter struct {
	*memory
	schema *Schema
	format Format
}

func (m *memory) Open(_ context.Context, s *Schema) (Writer, error) {
	f, err := NewFormat(s, DefaultOptions())
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened = append(m.opened, s)
	return &memoryWriter{m, s, f}, nil
}

func (m *memory) Close(context.Context) error { return nil }

func (m *memory) of(path string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.lines[path])
}

func (w *memoryWriter) Write(rows [][]byte) error {
	if w.gate != nil {
		<-w.gate
	}
	var refused *RefusedRows
	for _, row := range rows {
		text, err := w.format.Row(nil, row)
		if err != nil {
			if refused == nil {
				refused = &RefusedRows{First: err}
			}
			refused.Rows++
			continue
		}
		w.mu.Lock()
		w.lines[w.schema.Path] = append(w.lines[w.schema.Path], string(text))
		w.mu.Unlock()
	}
	if refused != nil {
		return refused
	}
	return nil
}

func (w *memoryWriter) Flush() error { return nil }
func (w *memoryWriter) Close() error { return nil }

// testLine is what a row of testLog becomes.
func testLine(msg string) string { return "1700000000.500000\t" + msg + "\n" }

func TestReceiverMessages(t *testing.T) {
	create := testLog("test").AppendMessage(nil)
	event := zeek.Event{Name: "my_event"}.AppendMessage(nil)
	deep := testRow("test", "deep")
	for range maxNesting + 1 {
		deep = batchOf(deep)
	}
	for _, test := range []struct {
		name    string
		sent    [][]byte
		lines   []string
		refused map[string]uint64
	}{
		{"alone", [][]byte{create, testRow("test", "a")}, []string{"a"}, nil},
		{"batch", [][]byte{create, batchOf(testRow("test", "a"), testRow("test", "b"))}, []string{"a", "b"}, nil},
		{"all in one batch", [][]byte{batchOf(create, testRow("test", "a"))}, []string{"a"}, nil},
		{"nested", [][]byte{batchOf(create, batchOf(testRow("test", "a"), batchOf(testRow("test", "b"))), testRow("test", "c"))}, []string{"a", "b", "c"}, nil},
		{"empty batch", [][]byte{create, batchOf(), testRow("test", "a")}, []string{"a"}, nil},
		{"event between", [][]byte{create, batchOf(testRow("test", "a"), event, testRow("test", "b")), event}, []string{"a", "b"}, nil},
		{"create again", [][]byte{create, testRow("test", "a"), create, testRow("test", "b")}, []string{"a", "b"}, nil},
		{"create late", [][]byte{testRow("test", "a"), testRow("test", "b"), create, testRow("test", "c")}, []string{"a", "b", "c"}, nil},
		{"never created", [][]byte{testRow("test", "a"), batchOf(testRow("test", "b"))}, nil, map[string]uint64{"row without LogCreate": 2}},
		{"other path", [][]byte{create, testRow("other", "a"), testRow("test", "b")}, []string{"b"}, map[string]uint64{"row without LogCreate": 1}},
		{"too deep", [][]byte{create, deep, testRow("test", "a")}, []string{"a"}, map[string]uint64{"message": 1}},
		{"cut short", [][]byte{create, batchOf(testRow("test", "a"), testRow("test", "b")[:60]), testRow("test", "c")}, []string{"a", "c"}, map[string]uint64{"message": 1}},
		{"left over", [][]byte{create, append(testRow("test", "a"), 0)}, []string{"a"}, map[string]uint64{"message": 1}},
		{"empty", [][]byte{{}, {0}, []byte("no message"), create}, nil, map[string]uint64{"message": 3}},
		{"batch of 2^31", [][]byte{create, append(zeek.AppendBatchHead(nil, 1<<31-1), testRow("test", "a")...)}, nil, map[string]uint64{"message": 1}},
		{"row cut short", [][]byte{create, zeek.AppendLogWrite(nil, "Test::LOG", "Log::WRITER_ASCII", "test", []byte{0, 0, 0, 2, 0}), testRow("test", "a")}, []string{"a"}, map[string]uint64{"row": 1}},
		{"row of 2^31 columns", [][]byte{create, zeek.AppendLogWrite(nil, "Test::LOG", "Log::WRITER_ASCII", "test", []byte{0x80, 0, 0, 0}), testRow("test", "a")}, []string{"a"}, map[string]uint64{"row": 1}},
		{"row too long", [][]byte{create, testRow("test", strings.Repeat("x", maxRow)), testRow("test", "a")}, []string{"a"}, map[string]uint64{"row": 1}},
		{"bad paths", [][]byte{
			testLog("../etc/passwd").AppendMessage(nil), testLog("/dev/null").AppendMessage(nil), testLog("a\x00b").AppendMessage(nil),
			testLog(strings.Repeat("x", 300)).AppendMessage(nil), testLog("").AppendMessage(nil), testLog(".hidden").AppendMessage(nil), create, testRow("test", "a"),
		}, []string{"a"}, map[string]uint64{"LogCreate": 6}},
		{"huge create", [][]byte{testLog("test", slices.Repeat([]zeek.Field{{Name: strings.Repeat("x", 200), Type: 7}}, 6000)...).AppendMessage(nil)}, nil, map[string]uint64{"LogCreate": 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			sink := newMemory()
			log, said := record()
			r := NewReceiver(ReceiverOptions{Log: log}, sink)
			for _, payload := range test.sent {
				r.Take(someone(1), payload)
			}
			closeReceiver(t, r)
			var want []string
			for _, msg := range test.lines {
				want = append(want, testLine(msg))
			}
			if got := sink.of("test"); !slices.Equal(got, want) {
				t.Errorf("rows %q, want %q", got, want)
			}
			s := r.Status()
			if !maps.Equal(s.Refused, test.refused) {
				t.Errorf("refused %v, want %v", s.Refused, test.refused)
			}
			if told := strings.Count(said(), "level=WARN"); (told > 0) != (len(test.refused) > 0) {
				t.Errorf("told %d times:\n%s", told, said())
			}
			if s.Rows != uint64(len(want)) || s.Held != 0 || s.Waiting != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A row that its LogCreate does not suit costs that row alone, and is told of once for each peer and log.
func TestReceiverRefusesOnce(t *testing.T) {
	sink := newMemory()
	log, said := record()
	r := NewReceiver(ReceiverOptions{Log: log}, sink)
	r.Take(someone(1), testLog("test").AppendMessage(nil))
	bad := zeek.AppendLogWrite(nil, "Test::LOG", "Log::WRITER_ASCII", "test", zeek.AppendLogCount(zeek.AppendRecord(nil, 1), 7))
	for range 100 {
		r.Take(someone(1), batchOf(testRow("test", "a"), bad, testRow("test", "b")))
	}
	closeReceiver(t, r)
	if got := len(sink.of("test")); got != 200 {
		t.Errorf("%d rows, want 200", got)
	}
	if s := r.Status(); s.Refused["row"] != 100 || s.Rows != 200 || s.Logs[0].Refused != 100 {
		t.Errorf("%+v", s)
	}
	if n := strings.Count(said(), "level=WARN"); n != 1 || !strings.Contains(said(), "Test::LOG") || !strings.Contains(said(), someone(1).String()) {
		t.Errorf("told %d times:\n%s", n, said())
	}
}

// Ten senders with columns of their own lose nothing: each set of columns has a file.
func TestReceiverConflict(t *testing.T) {
	dir := t.TempDir()
	log, said := record()
	r := NewReceiver(ReceiverOptions{Log: log}, newFiles(t, FilesOptions{Dir: dir}))
	const peers, rows = 10, 50
	for p := range peers {
		columns := []zeek.Field{{Name: "ts", Type: uint64(zeek.LogTime)}}
		for c := range p {
			columns = append(columns, zeek.Field{Name: fmt.Sprintf("c%d", c), Type: uint64(zeek.LogCount)})
		}
		r.Take(someone(byte(p)), testLog("test", columns...).AppendMessage(nil))
	}
	for i := range rows {
		for p := range peers {
			row := zeek.AppendLogFloat(zeek.AppendRecord(nil, p+1), zeek.LogTime, 1700000000)
			for range p {
				row = zeek.AppendLogCount(row, uint64(i))
			}
			r.Take(someone(byte(p)), zeek.AppendLogWrite(nil, "Test::LOG", "Log::WRITER_ASCII", "test", row))
		}
	}
	closeReceiver(t, r)
	for p := range peers {
		name := "test.log"
		if p > 0 {
			name = fmt.Sprintf("test-%d.log", p+1)
		}
		file, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		lines, meta := body(file)
		if len(lines) != rows || len(meta) != 9 {
			t.Errorf("%s: %d rows and %d other lines:\n%s", name, len(lines), len(meta), file)
		}
		for i, line := range lines {
			if want := "1700000000.000000" + strings.Repeat(fmt.Sprintf("\t%d", i), p) + "\n"; line != want {
				t.Errorf("%s: row %q, want %q", name, line, want)
			}
		}
	}
	if s := r.Status(); s.Conflicts != peers-1 || s.Rows != peers*rows {
		t.Errorf("%+v", s)
	}
	if n := strings.Count(said(), "a file of their own"); n != peers-1 {
		t.Errorf("told %d times:\n%s", n, said())
	}
}

// A peer that comes back with other columns, while nobody has the old ones, goes on under the old name; what was
// there is completed and set aside.
func TestReceiverChangedColumns(t *testing.T) {
	dir := t.TempDir()
	r := NewReceiver(ReceiverOptions{}, newFiles(t, FilesOptions{Dir: dir}))
	r.Take(someone(1), testLog("test").AppendMessage(nil))
	r.Take(someone(1), testRow("test", "a"))
	r.Take(someone(1), testLog("test", zeek.Field{Name: "n", Type: uint64(zeek.LogCount)}).AppendMessage(nil))
	r.Take(someone(1), zeek.AppendLogWrite(nil, "Test::LOG", "Log::WRITER_ASCII", "test", zeek.AppendLogCount(zeek.AppendRecord(nil, 1), 7)))
	closeReceiver(t, r)
	names := map[string]string{}
	for _, e := range must(os.ReadDir(dir))(t) {
		if !e.IsDir() {
			lines, meta := body(must(os.ReadFile(filepath.Join(dir, e.Name())))(t))
			names[e.Name()] = strings.Join(lines, "") + meta[len(meta)-1]
		}
	}
	if len(names) != 2 || names["test.log"] != "7\n#close" {
		t.Errorf("%q", names)
	}
	delete(names, "test.log")
	for name, text := range names {
		if text != testLine("a")+"#close" || !strings.HasPrefix(name, "test.2") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// After an upgrade of all nodes, one by one, the log has its name again from the next rotation on.
func TestReceiverUpgrade(t *testing.T) { synctest.Test(t, testReceiverUpgrade) }

func testReceiverUpgrade(t *testing.T) {
	dir, now := t.TempDir(), newClock(t, "2026-01-02 03:24:05")
	f := newFiles(t, FilesOptions{Dir: dir, Now: now.now, Rotate: time.Hour})
	r := NewReceiver(ReceiverOptions{}, f)
	count := func(n uint64) []byte {
		return zeek.AppendLogWrite(nil, "Test::LOG", "Log::WRITER_ASCII", "test", zeek.AppendLogCount(zeek.AppendRecord(nil, 1), n))
	}
	changed := testLog("test", zeek.Field{Name: "n", Type: uint64(zeek.LogCount)}).AppendMessage(nil)
	for p := range byte(2) {
		r.Take(someone(p), testLog("test").AppendMessage(nil))
		r.Take(someone(p), testRow("test", "a"))
	}
	for p := range byte(2) {
		r.Forget(someone(p))
		r.Take(someone(p+2), changed)
		r.Take(someone(p+2), count(1))
	}
	await := func(rotated uint64) {
		t.Helper()
		settle()
		if n := f.rotated.Load(); n != rotated {
			t.Fatalf("%d files rotated, want %d", n, rotated)
		}
	}
	await(1) // the one with the old columns, of which nobody is left
	now.set(t, "2026-01-02 04:00:00")
	await(2)
	r.Take(someone(2), count(2))
	closeReceiver(t, r)
	files := map[string]string{}
	for _, name := range must(filepath.Glob(filepath.Join(dir, "*.log")))(t) {
		lines, _ := body(must(os.ReadFile(name))(t))
		files[filepath.Base(name)] = strings.Join(lines, "")
	}
	want := map[string]string{
		"test.2026-01-02-03-24-05.log": testLine("a") + testLine("a"), "test-2.2026-01-02-03-24-05.log": "1\n1\n", "test.2026-01-02-04-00-00.log": "2\n",
	}
	if !maps.Equal(files, want) {
		t.Errorf("%q, want %q", files, want)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A great many distinct paths, with and without LogCreate, hurt nobody else.
func TestReceiverManyPaths(t *testing.T) {
	sink := newMemory()
	r := NewReceiver(ReceiverOptions{MaxLogs: 198}, sink)
	r.Take(someone(1), testLog("good").AppendMessage(nil))
	paths := 100_000
	if os.Getenv("ZEEKPEER_LONG_TESTS") != "" {
		paths = 1_000_000
	}
	for i := range paths {
		path := fmt.Sprint("p", i)
		if i%100 == 0 {
			r.Take(someone(2), testLog(path).AppendMessage(nil))
			r.Take(someone(1), testRow("good", "x"))
		}
		r.Take(someone(2), testRow(path, "y"))
	}
	s := r.Status()
	if len(s.Logs) != 100 || s.Refused["LogCreate"] != uint64(paths/100-99) || s.Held > maxHeldRows {
		t.Errorf("%d logs, refused %v, %d held", len(s.Logs), s.Refused, s.Held)
	}
	if len(r.peers[someone(2)].sources) > 99 || len(r.peers[someone(2)].told) > maxToldOfOne {
		t.Errorf("%d logs and %d refusals of one peer", len(r.peers[someone(2)].sources), len(r.peers[someone(2)].told))
	}
	// Those of a peer that is gone make room.
	r.Forget(someone(2))
	r.Take(someone(1), testLog("late").AppendMessage(nil))
	r.Take(someone(1), testRow("late", "z"))
	closeReceiver(t, r)
	if got := len(sink.of("good")); got != paths/100 {
		t.Errorf("%d rows of the other peer, want %d", got, paths/100)
	}
	if got := sink.of("late"); len(got) != 1 {
		t.Errorf("%q", got)
	}
	if s := r.Status(); s.Rows+s.Refused["row without LogCreate"] != uint64(paths+paths/100+1) {
		t.Errorf("%d rows written, refused %v", s.Rows, s.Refused)
	}
}

// While the sink takes nothing, what waits is bounded and the sender is held back; then all goes on, and nothing is
// lost.
func TestReceiverHoldsBack(t *testing.T) { synctest.Test(t, testReceiverHoldsBack) }

func testReceiverHoldsBack(t *testing.T) {
	sink := newMemory()
	sink.gate = make(chan struct{})
	r := NewReceiver(ReceiverOptions{Buffer: 1 << 20, Shards: 1}, sink)
	r.Take(someone(1), testLog("test").AppendMessage(nil))
	const rows = 20_000
	msg := strings.Repeat("x", 200)
	took := make(chan struct{})
	go func() {
		defer close(took)
		for range rows {
			r.Take(someone(1), testRow("test", msg))
		}
	}()
	synctest.Wait()
	if s := r.Status(); s.HeldBack == 0 || s.Waiting > 1<<20 {
		t.Fatalf("held back %d times, %d bytes wait", s.HeldBack, s.Waiting)
	}
	close(sink.gate)
	<-took
	closeReceiver(t, r)
	if got := len(sink.of("test")); got != rows {
		t.Errorf("%d rows, want %d", got, rows)
	}
}

// When it is to end and the sink takes nothing, it gives up, and says what is lost.
func TestReceiverGivesUp(t *testing.T) {
	r := NewReceiver(ReceiverOptions{Shards: 1}, stuck{})
	r.Take(someone(1), testLog("test").AppendMessage(nil))
	r.Take(someone(1), batchOf(testRow("test", "a"), testRow("test", "b")))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := r.Close(ctx); err == nil || r.Status().Lost != 2 || r.Status().Rows != 0 {
		t.Errorf("%v: %+v", err, r.Status())
	}
}

// stuck is a sink that takes nothing, ever.
type stuck struct{}

func (stuck) Open(ctx context.Context, _ *Schema) (Writer, error) { return stuckWriter{ctx}, nil }
func (stuck) Close(context.Context) error                         { return nil }

type stuckWriter struct{ ctx context.Context }

func (w stuckWriter) Write(rows [][]byte) error {
	<-w.ctx.Done()
	return &LostRows{len(rows), w.ctx.Err()}
}
func (stuckWriter) Flush() error { return nil }
func (stuckWriter) Close() error { return nil }
