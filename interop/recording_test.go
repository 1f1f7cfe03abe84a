package interop

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
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// versions are the directories of testdata with the recordings of one scripted peer and of values.
var versions = []string{"wire", "wire-2.8.0-dev.97", "wire-2.6.0", "wire-2.3.8"}

// A row is one line of a recording.
type row struct {
	// Of a connection.
	Dir string `json:"dir"`
	Hex string `json:"hex"`
	Msg string `json:"msg"`
	// Of a store.
	Note string `json:"note"`
	// Of values.jsonl.
	Name     string `json:"name"`
	FrameHex string `json:"frame_hex"`
	Payload  string `json:"payload_hex"`

	frame []byte         // nil if the line holds none
	from  handshake.Role // of a connection: who sent it
}

// A recording is one file of testdata.
type recording struct {
	name string // under testdata
	rows []row
}

// scenario returns the name of the file without directory and extensions.
func (r recording) scenario() string {
	name, _, _ := strings.Cut(filepath.Base(r.name), ".")
	return name
}

// version returns the directory of the file.
func (r recording) version() string {
	dir, _, _ := strings.Cut(r.name, "/")
	return dir
}

// recordings reads the files of testdata that match pattern, of which there must be n.
func recordings(t testing.TB, pattern string, n int) []recording {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) != n {
		t.Fatalf("testdata/%s: %d files, want %d (%v)", pattern, len(files), n, err)
	}
	var all []recording
	for _, name := range files {
		all = append(all, readRecording(t, name))
	}
	return all
}

func readRecording(t testing.TB, name string) recording {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var in io.Reader = file
	if filepath.Ext(name) == ".gz" {
		if in, err = gzip.NewReader(file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	rec := recording{name: filepath.ToSlash(strings.TrimPrefix(name, "testdata"+string(filepath.Separator)))}
	lines := bufio.NewReader(in)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var r row
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%s:%d: %v", name, number, err)
			}
			if strings.HasPrefix(r.Dir, "node") || strings.HasPrefix(r.Dir, "listener") {
				r.from = handshake.Listener
			}
			if !strings.HasSuffix(r.Dir, " error") { // then it is text
				if r.frame, err = hex.DecodeString(r.Hex + r.FrameHex); err != nil {
					t.Fatalf("%s:%d: %v", name, number, err)
				}
			}
			rec.rows = append(rec.rows, r)
		}
		if errors.Is(err, io.EOF) {
			return rec
		}
		if err != nil {
			t.Fatalf("%s:%d: %v", name, number, err)
		}
	}
}

// body returns what follows the length of a frame, which must be right.
func body(t testing.TB, frame []byte) []byte {
	t.Helper()
	b, rest, _, err := wire.NextFrame(frame, len(frame))
	if err != nil || b == nil || len(rest) > 0 {
		t.Fatalf("%x: not one frame: %v", frame, err)
	}
	return b
}
