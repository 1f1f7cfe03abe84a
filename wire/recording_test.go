package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recordedFrames calls f with the body of every frame that real nodes sent, and of every frame that
// a scripted peer sent to them.
func recordedFrames(t *testing.T, pattern string, f func(t *testing.T, where string, frame []byte)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../interop/testdata", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings match %s: %v", pattern, err)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = file
		if strings.HasSuffix(name, ".gz") {
			if r, err = gzip.NewReader(file); err != nil {
				t.Fatal(err)
			}
		}
		lines := bufio.NewReader(r)
		for number := 1; ; number++ {
			line, err := lines.ReadBytes('\n')
			if len(line) == 0 && err != nil {
				break
			}
			var row struct {
				Hex   string `json:"hex"`
				Frame string `json:"frame_hex"`
				Msg   string `json:"msg"`
				Dir   string `json:"dir"`
			}
			if err := json.Unmarshal(line, &row); err != nil {
				t.Fatalf("%s:%d: %v", name, number, err)
			}
			if strings.HasSuffix(row.Dir, "error") {
				continue // not a frame but how the recorded connection ended
			}
			frame, err := hex.DecodeString(row.Hex + row.Frame)
			if err != nil {
				t.Fatalf("%s:%d: %v", name, number, err)
			}
			if len(frame) > 0 {
				f(t, filepath.Base(name)+": "+row.Msg, frame)
			}
		}
		file.Close()
	}
}

func TestRecordedHandshakes(t *testing.T) {
	seen := map[HandshakeType]int{}
	recordedFrames(t, "wire*/handshake-*.jsonl", func(t *testing.T, where string, frame []byte) {
		body, rest, _, err := NextFrame(frame, len(frame))
		if err != nil || len(rest) > 0 {
			t.Fatalf("%s: %v, %d bytes left", where, err, len(rest))
		}
		if e, err := ParseEnvelope(body); err == nil && e.TTL <= DefaultTTL {
			return // phase 3
		}
		msg, err := ParseHandshake(body)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		seen[msg.HandshakeType()]++
		if got := msg.AppendFrame(nil); !bytes.Equal(got, frame) {
			t.Errorf("%s: got %x, want %x", where, got, frame)
		}
	})
	for typ := TypeHello; typ <= TypeOriginatorAck; typ++ {
		if typ != TypeDropConn && seen[typ] == 0 {
			t.Errorf("no %v among the recordings", typ)
		}
	}
}

// Each refusal that the reference answers with drop_conn, we answer with the same code and text.
func TestRecordedRefusals(t *testing.T) {
	for _, name := range []string{"truncated-hello", "unknown-tag", "data-before-hello", "wrong-magic"} {
		var parseErr error
		refused := false
		recordedFrames(t, "wire/reject-"+name+".jsonl", func(t *testing.T, where string, frame []byte) {
			msg, err := ParseHandshake(frame[FrameHeaderLen:])
			if drop, ok := msg.(DropConn); ok {
				refused = true
				bad, ok := parseErr.(*HandshakeError)
				if !ok || bad.Code != drop.Code || bad.Description != drop.Description {
					t.Errorf("%s: our error %#v, theirs %v %q", where, parseErr, drop.Code, drop.Description)
				}
				if got := drop.AppendFrame(nil); !bytes.Equal(got, frame) {
					t.Errorf("%s: got %x, want %x", where, got, frame)
				}
			}
			if err != nil {
				parseErr = err
			}
		})
		if !refused {
			t.Errorf("%s: no refusal recorded", name)
		}
	}
}

func TestRecordedEnvelopes(t *testing.T) {
	seen := map[MessageType]int{}
	recordedFrames(t, "zeek/*/links/*.jsonl.gz", func(t *testing.T, where string, frame []byte) {
		body := frame[FrameHeaderLen:]
		if msg, err := ParseHandshake(body); err == nil {
			if got := msg.AppendFrame(nil); !bytes.Equal(got, frame) {
				t.Errorf("%s: got %x, want %x", where, got, frame)
			}
			return
		}
		e, err := ParseEnvelope(body)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		seen[e.Type]++
		if got := AppendEnvelope(nil, e); !bytes.Equal(got, frame) {
			t.Fatalf("%s: got %x, want %x", where, got, frame)
		}
		if e.Type == TypeRoutingUpdate {
			filter, err := ParseFilter(e.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if got := AppendRoutingUpdate(nil, e.Sender, e.Receiver, filter); !bytes.Equal(got, frame) {
				t.Errorf("routing update: got %x, want %x", got, frame)
			}
			if e.Receiver.IsZero() {
				t.Error("a routing update without receiver")
			}
		}
	})
	t.Log(seen)
}
