package capture

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire"
)

var idA = mustID("64770b6b-fa08-4cca-99f7-992948add76d")

// conversation returns what the originator of a peering says: a handshake, then n messages.
func conversation(n int) (frames [][]byte) {
	frames = append(frames,
		wire.Hello{Sender: idA, Min: 1, Max: 1}.AppendFrame(nil),
		wire.VersionSelect{Sender: idA, Version: 1}.AppendFrame(nil),
		wire.OriginatorSyn{Filter: []string{"/a"}}.AppendFrame(nil),
		wire.OriginatorAck{}.AppendFrame(nil))
	for i := range n {
		payload := append([]byte{5, 3}, fmt.Sprintf("%03d", i)...)
		frames = append(frames, wire.AppendEnvelope(nil, wire.Envelope{Sender: idA, Type: wire.TypeData, TTL: 16, Topic: []byte("/a/b"), Payload: payload}))
	}
	return frames
}

// A seen is what a stream emitted.
type seen struct {
	frames [][]byte
	notes  []string
}

func (s *seen) emit(f *Frame, _ int, note string) {
	if f != nil {
		s.frames = append(s.frames, wire.EndFrame(append(wire.BeginFrame(nil), f.Body...), 0))
	} else {
		s.notes = append(s.notes, note)
	}
}

// TestStreamPieces: however the bytes come in pieces, the frames are the same.
func TestStreamPieces(t *testing.T) {
	frames := conversation(20)
	all := bytes.Join(frames, nil)
	rapid.Check(t, func(t *rapid.T) {
		s := NewStream(true)
		var got seen
		for rest := all; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			if rapid.Bool().Draw(t, "small") {
				n = min(n, 7)
			}
			s.Feed(rest[:n], got.emit)
			rest = rest[n:]
		}
		s.End(got.emit)
		if diff := cmp.Diff(frames, got.frames); diff != "" || len(got.notes) > 0 {
			t.Fatalf("%s\nnotes %q", diff, got.notes)
		}
	})
}

// TestStreamLoss: where bytes are missing, no more than the frames that they are of and their
// neighbours are, and what follows is read.
func TestStreamLoss(t *testing.T) {
	frames := conversation(20)
	all := bytes.Join(frames, nil)
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, len(all)-200).Draw(t, "from")
		n := rapid.IntRange(1, 100).Draw(t, "missing")
		s := NewStream(true)
		var got seen
		s.Feed(all[:from], got.emit)
		s.Lose()
		s.Feed(all[from+n:], got.emit)
		s.End(got.emit)
		var want [][]byte
		at, afterAck := 0, false
		for i, f := range frames {
			if at+len(f) <= from {
				want = append(want, f)
			} else if at >= from+n {
				// Behind a gap, a message of the handshake without a magic number cannot be told from noise.
				afterAck = afterAck || i < 2 || i > 3
				if afterAck {
					want = append(want, f)
				}
			}
			at += len(f)
		}
		if diff := cmp.Diff(want, got.frames); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestStreamMiddle: a stream that is joined in the middle finds the next frame, unless what is said
// there is not Broker's.
func TestStreamMiddle(t *testing.T) {
	frames := conversation(3)
	all := bytes.Join(frames, nil)
	start := len(all) - 2*len(frames[4]) - 10
	s := NewStream(false)
	var got seen
	s.Feed(all[start:], got.emit)
	s.End(got.emit)
	if diff := cmp.Diff(frames[5:], got.frames); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"10 bytes passed over that belong to no frame"}, got.notes); diff != "" {
		t.Error(diff)
	}
}

// TestStreamGarbage: a stream in which the lengths are wrong finds its way back, whatever stands in
// between.
func TestStreamGarbage(t *testing.T) {
	frames := conversation(8)
	for _, garbage := range []string{"x", "\x7f\xff\xff\xffrubbish", strings.Repeat("\x00\x00\x00\x30", 40), "\x00\x00\x00\x05\x63\x01\x02\x03\x04\x00\x00\x00\x02\x01\x01"} {
		s := NewStream(true)
		var got seen
		s.Feed(bytes.Join(frames[:8], nil), got.emit)
		s.Feed([]byte(garbage), got.emit)
		s.Feed(bytes.Join(frames[8:], nil), got.emit)
		s.End(got.emit)
		last := frames[len(frames)-1]
		if n := len(got.frames); n < 9 || !bytes.Equal(got.frames[n-1], last) {
			t.Errorf("after %q: %d frames, not the last; %q", garbage, n, got.notes)
		}
	}
}

// TestStreamLarge: a frame that is too large is named and passed over.
func TestStreamLarge(t *testing.T) {
	frames := conversation(2)
	large := wire.AppendEnvelopeHeader(nil, idA, wire.EndpointID{}, wire.TypeData, 16, "/a/b")
	const size = MaxFrame + 1000
	s := NewStream(true)
	var got seen
	s.Feed(bytes.Join(frames, nil), got.emit)
	s.Feed(append([]byte{size >> 24, size >> 16 & 0xff, size >> 8 & 0xff, size & 0xff}, large[4:]...), got.emit)
	rest := size - (len(large) - 4)
	for chunk := make([]byte, 1<<20); rest > 0; rest -= min(rest, len(chunk)) {
		s.Feed(chunk[:min(rest, len(chunk))], got.emit)
		if s.Buffered() > 1<<16 {
			t.Fatalf("%d bytes of the large frame are kept", s.Buffered())
		}
	}
	s.Feed(frames[5], got.emit)
	if diff := cmp.Diff(append(frames, frames[5]), got.frames); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{fmt.Sprintf("a frame of %d bytes, too large to show", size)}, got.notes); diff != "" {
		t.Error(diff)
	}
}

// TestStreamForeign: those who do not speak Broker's protocol are named once.
func TestStreamForeign(t *testing.T) {
	for first, want := range map[string]string{
		"\x16\x03\x01\x02\x00\x01\x00":          "TLS: cannot be read",
		"\x15\x03\x03\x00\x02\x02\x28":          "TLS: cannot be read",
		"GET / HTTP/1.1\r\n":                    "HTTP: cannot be read",
		"SSH-2.0-OpenSSH_9.7\r\n":               "SSH: cannot be read",
		"\x00\x00\x00\x10\x99 something else":   "not the protocol of Broker: cannot be read",
		"\xff\xff\xff\xff\x06 something larger": "not the protocol of Broker: cannot be read",
	} {
		s := NewStream(true)
		var got seen
		for i := range len(first) {
			s.Feed([]byte(first[i:i+1]), got.emit)
		}
		s.Feed(bytes.Join(conversation(3), nil), got.emit)
		s.End(got.emit)
		if diff := cmp.Diff([]string{want}, got.notes); diff != "" || len(got.frames) > 0 || !s.Foreign() {
			t.Errorf("%q: %s, %d frames", first, diff, len(got.frames))
		}
	}
}
