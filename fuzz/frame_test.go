package fuzz

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/topic"
	"github.com/zeekpeer/zeekpeer/wire"
)

// A stream splits into the same frames however it is cut, and never wants more than the next frame.
func FuzzFrames(f *testing.F) {
	var stream []byte
	for _, msg := range handshakes() {
		f.Add(msg.AppendFrame(nil), []byte{1, 3}, uint16(100))
		stream = msg.AppendFrame(stream)
	}
	f.Add(stream, []byte{5}, uint16(1000))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff}, []byte{}, uint16(1))
	f.Fuzz(func(t *testing.T, stream, cuts []byte, limit uint16) {
		wantBodies, wantRest, wantErr := split(t, stream, nil, int(limit))
		bodies, rest, err := split(t, stream, cuts, int(limit))
		if (err == nil) != (wantErr == nil) || !slices.EqualFunc(bodies, wantBodies, bytes.Equal) {
			t.Fatalf("in one piece %d frames, %v; in pieces %d frames, %v", len(wantBodies), wantErr, len(bodies), err)
		}
		if err == nil && !bytes.Equal(rest, wantRest) {
			t.Fatalf("rest %x, in one piece %x", rest, wantRest)
		}
		var again []byte
		for _, body := range bodies {
			start := len(again)
			again = wire.EndFrame(append(wire.BeginFrame(again), body...), start)
		}
		if !bytes.HasPrefix(stream, again) || err == nil && len(again)+len(rest) != len(stream) {
			t.Fatal("the frames are not the stream")
		}
	})
}

// split reads frames from a stream that arrives in pieces of the given sizes.
func split(t *testing.T, stream, cuts []byte, limit int) (bodies [][]byte, rest []byte, err error) {
	end := 0 // of what has arrived
	for at := 0; ; {
		body, after, need, err := wire.NextFrame(stream[at:end:end], limit)
		switch have := end - at; {
		case err != nil:
			var tooLarge *wire.FrameTooLargeError
			if !errors.As(err, &tooLarge) || uint64(tooLarge.Len) <= uint64(limit) {
				t.Fatal(err)
			}
			return bodies, after, err
		case body != nil:
			if len(body) > limit || have != wire.FrameHeaderLen+len(body)+len(after) || cap(body) > len(body) {
				t.Fatalf("%d bytes become a body of %d and a rest of %d", have, len(body), len(after))
			}
			bodies = append(bodies, body)
			at += wire.FrameHeaderLen + len(body)
			continue
		case need <= have || need > wire.FrameHeaderLen+limit:
			t.Fatalf("%d bytes wanted while there are %d and frames are up to %d", need, have, limit)
		case end == len(stream):
			return bodies, stream[at:], nil
		}
		step := len(stream)
		if len(cuts) > 0 {
			step, cuts = 1+int(cuts[0]), cuts[1:]
		}
		end = min(end+step, len(stream))
	}
}

// An envelope that parses is written back byte for byte, and what travels in it parses or is refused.
func FuzzEnvelope(f *testing.F) {
	for _, frame := range [][]byte{
		wire.AppendEnvelope(nil, wire.Envelope{Sender: smallID, Type: wire.TypeCommand, TTL: 16, Topic: []byte("/a"), Payload: []byte{0}}),
		wire.AppendRoutingUpdate(nil, smallID, largeID, []string{"/a", "/b"}),
		wire.AppendPing(nil, smallID, largeID, wire.AppendBye(nil, [8]byte{1, 2})),
		wire.AppendPong(nil, smallID, largeID, nil),
	} {
		f.Add(frame[wire.FrameHeaderLen:])
	}
	addFrames(f, func(body []byte) { f.Add(body) })
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := wire.ParseEnvelope(body)
		if err != nil {
			if !errors.Is(err, wire.ErrEnvelope) {
				t.Fatal(err)
			}
			return
		}
		if got := wire.AppendEnvelope(nil, e); !bytes.Equal(got[wire.FrameHeaderLen:], body) {
			t.Fatalf("got %x, want %x", got, body)
		}
		if cap(e.Topic) > len(e.Topic) {
			t.Fatal("appending to the topic overwrites the payload")
		}
		switch e.Type {
		case wire.TypeRoutingUpdate:
			checkFilter(t, e.Payload)
		case wire.TypePing:
			if want := len(e.Payload) == wire.ByeLen && bytes.HasPrefix(e.Payload, []byte("BYE")); wire.IsBye(e.Payload) != want {
				t.Fatalf("%q says BYE: want %v", e.Payload, want)
			}
		}
	})
}

// A filter is within its bounds, is written no longer than it was read, and matches what any of its
// topics matches.
func FuzzFilter(f *testing.F) {
	for _, filter := range [][]string{{}, {""}, {"/a", "/ab", "/a"}, {strings.Repeat("x", 300)}, make([]string, 200)} {
		f.Add(wire.AppendFilter(nil, filter))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f.Add([]byte{0x80, 0x80, 0x04, 0}) // as many topics as there may be, in one byte
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) { checkFilter(t, b) })
}

func checkFilter(t *testing.T, b []byte) {
	var filter []string
	var err error
	bounded(t, len(b), func() { filter, err = wire.ParseFilter(b) })
	if err != nil {
		return
	}
	size := 0
	for _, prefix := range filter {
		size += len(prefix)
	}
	if len(filter) > wire.MaxFilterEntries || size > wire.MaxFilterBytes {
		t.Fatalf("%d topics of %d bytes", len(filter), size)
	}
	again := wire.AppendFilter(nil, filter)
	back, err := wire.ParseFilter(again)
	if err != nil || !slices.Equal(back, filter) || len(again) > len(b) {
		t.Fatalf("%q is written as %x and read as %q, %v", filter, again, back, err)
	}
	minimal := topic.NewFilter(filter...)
	if len(minimal) > len(filter) || !slices.IsSorted(minimal) {
		t.Fatalf("%q becomes %q", filter, minimal)
	}
	for _, name := range filter[:min(len(filter), 20)] {
		for _, name := range []string{name, name + "x", name[:len(name)/2], "/"} {
			want := slices.ContainsFunc(filter, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
			if minimal.Matches(name) != want {
				t.Fatalf("%q matches %q: want %v", filter, name, want)
			}
		}
	}
}
