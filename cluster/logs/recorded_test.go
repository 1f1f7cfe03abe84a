package logs

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A recordedLog is what one node sent to the logger of the recorded cluster for one log.
type recordedLog struct {
	schema *Schema
	rows   [][]byte
}

// A recordedRow is one row of all logs, in the order of its sender.
type recordedRow struct {
	log    *recordedLog
	packed []byte
}

func gunzip(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	b, err := io.ReadAll(zip)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

const recordings = "../../interop/testdata/zeek/8.2.2-"

// sentLogs returns what a node sent to the logger, by path, and all its rows in order.
func sentLogs(t testing.TB, format, node string) (map[string]*recordedLog, []recordedRow) {
	t.Helper()
	logs := map[string]*recordedLog{}
	var order []recordedRow
	lines := bufio.NewReader(bytes.NewReader(gunzip(t, recordings+format+"/links/"+node+"_to_logger-1-0.jsonl.gz")))
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return logs, order
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
		e, err := wire.ParseEnvelope(frame[wire.FrameHeaderLen:])
		if err != nil || e.Type != wire.TypeData {
			continue
		}
		m, err := zeek.Parse(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		batch, ok := m.(zeek.Batch)
		if !ok {
			batch = zeek.Batch{m}
		}
		for _, m := range batch {
			switch m := m.(type) {
			case zeek.LogCreate:
				s, err := NewSchema(m)
				if err != nil {
					t.Fatal(err)
				}
				if len(s.Refused) > 0 {
					t.Errorf("%s: refused: %q", s.Path, s.Refused)
				}
				if had := logs[s.Path]; had != nil {
					if !had.schema.Equal(s) {
						t.Errorf("%s: another schema", s.Path)
					}
					continue
				}
				logs[s.Path] = &recordedLog{schema: s}
			case zeek.LogWrite:
				l := logs[m.Path]
				if l == nil || l.schema.Stream != m.Stream {
					t.Fatalf("a row of %s without LogCreate", m.Path)
				}
				l.rows = append(l.rows, m.Packed)
				order = append(order, recordedRow{l, m.Packed})
			}
		}
	}
}

func mustFormat(t testing.TB, s *Schema, o Options) Format {
	t.Helper()
	f, err := NewFormat(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ownRows is how many rows the logger of the recorded cluster wrote of its own.
var ownRows = map[string]int{"broker": 6, "cluster": 8, "reporter": 1, "stats": 1}

// What the nodes of the recorded cluster sent makes the files that its logger wrote: the header and
// footer, each row as it is there, the rows of one sender in their order, and no row more. In four files
// the rows that the logger wrote of its own are left over.
func TestRecordedFiles(t *testing.T) {
	for _, format := range []string{"tsv", "json"} {
		t.Run(format, func(t *testing.T) {
			o := DefaultOptions()
			o.JSON, o.Location = format == "json", time.UTC
			schemas := map[string]*Schema{} // by path
			left := map[string][][]byte{}   // lines of the file that nobody sent so far
			for _, node := range []string{"worker-1", "manager", "proxy-1"} {
				logs, _ := sentLogs(t, format, node)
				for path, l := range logs {
					f := mustFormat(t, l.schema, o)
					if had := schemas[path]; had == nil {
						header, lines, footer, opened, closed := splitFile(t, gunzip(t, recordings+format+"/logs/"+path+".log.gz"))
						if got := f.Header(nil, opened); string(got) != string(header) {
							t.Errorf("%s: header\n%s\nwant\n%s", path, got, header)
						}
						if got := f.Footer(nil, closed); string(got) != string(footer) {
							t.Errorf("%s: footer %q, want %q", path, got, footer)
						}
						schemas[path], left[path] = l.schema, lines
					} else if !had.Equal(l.schema) {
						t.Errorf("%s: %s has another schema", path, node)
					}
					at := 0
					for i, packed := range l.rows {
						got, err := f.Row([]byte("before"), packed)
						line, ok := bytes.CutPrefix(got, []byte("before"))
						if err != nil || !ok {
							t.Fatalf("%s: row %d: %q, %v", path, i, got, err)
						}
						found := slices.IndexFunc(left[path][at:], func(want []byte) bool { return bytes.Equal(want, line) })
						if found < 0 {
							t.Fatalf("%s: row %d of %s is not in the file, or not behind those before it:\n%s\nthe next there:\n%s",
								path, i, node, line, bytes.Join(left[path][at:min(len(left[path]), at+1)], nil))
						}
						at += found
						left[path] = slices.Delete(left[path], at, at+1)
					}
				}
			}
			for path, lines := range left {
				if len(lines) != ownRows[path] {
					t.Errorf("%s: %d lines nobody sent, want %d:\n%s", path, len(lines), ownRows[path], bytes.Join(lines, nil))
				}
			}
			files, _ := filepath.Glob(recordings + format + "/logs/*.log.gz")
			if len(files) != len(schemas) {
				t.Errorf("%d files of %d logs", len(files), len(schemas))
			}
		})
	}
}

// splitFile cuts a file into header, lines with their ends, and footer, and reads the times in these.
func splitFile(t testing.TB, file []byte) (header []byte, lines [][]byte, footer []byte, opened, closed time.Time) {
	t.Helper()
	for line := range bytes.Lines(file) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "\t")
		at, err := time.Parse("2006-01-02-15-04-05", value)
		switch {
		case line[0] != '#':
			lines = append(lines, line)
			continue
		case key == "#open":
			opened = at
		case key == "#close":
			closed, footer = at, line
			continue
		default:
			err = nil
		}
		if err != nil {
			t.Fatal(err)
		}
		header = append(header, line...)
	}
	return header, lines, footer, opened, closed
}
