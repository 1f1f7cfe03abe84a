package wire

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each type of message as a real node or its scripted peer sent it.
func TestEnvelopes(t *testing.T) {
	const peer, node, all = "00000000000040008000000000000001", "88888888888848888888888888888888", "00000000000000000000000000000000"
	peerID, nodeID := EndpointID(unhex(t, peer)), EndpointID(unhex(t, node))
	token := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	for _, c := range []struct {
		frame string
		want  Envelope
		again []byte // by the function for the type
	}{
		{"00000033" + peer + all + "01" + "0010" + "0005" + "2f74657374" + "02000000000000002a",
			Envelope{Sender: peerID, Type: TypeData, TTL: 16, Topic: []byte("/test"), Payload: []byte{2, 0, 0, 0, 0, 0, 0, 0, 42}}, nil},
		{"0000003f" + peer + node + "03" + "0010" + "0003" + "3c243e" + "03052f74657374082f666f6f2f626172062f6164646564",
			Envelope{Sender: peerID, Receiver: nodeID, Type: TypeRoutingUpdate, TTL: 16, Topic: []byte("<$>"), Payload: []byte("\x03\x05/test\x08/foo/bar\x06/added")},
			AppendRoutingUpdate(nil, peerID, nodeID, []string{"/test", "/foo/bar", "/added"})},
		{"00000033" + peer + node + "04" + "0010" + "0003" + "3c243e" + "425945" + "0102030405060708",
			Envelope{Sender: peerID, Receiver: nodeID, Type: TypePing, TTL: 16, Topic: []byte("<$>"), Payload: []byte("BYE\x01\x02\x03\x04\x05\x06\x07\x08")},
			AppendPing(nil, peerID, nodeID, AppendBye(nil, token))},
		{"00000032" + node + peer + "05" + "0010" + "0003" + "3c243e" + "68656c6c6f2070696e67",
			Envelope{Sender: nodeID, Receiver: peerID, Type: TypePong, TTL: 16, Topic: []byte("<$>"), Payload: []byte("hello ping")},
			AppendPong(nil, nodeID, peerID, []byte("hello ping"))},
		{"00000026" + peer + all + "02" + "ffff" + "0001" + "78", // by hand: the smallest command
			Envelope{Sender: peerID, Type: TypeCommand, TTL: 0xffff, Topic: []byte("x"), Payload: []byte{}}, nil},
	} {
		frame := unhex(t, c.frame)
		body, rest, _, err := NextFrame(frame, len(frame))
		if err != nil || len(rest) > 0 {
			t.Fatalf("%s: %v, %d bytes left", c.frame, err, len(rest))
		}
		e, err := ParseEnvelope(body)
		if d := cmp.Diff(c.want, e); err != nil || d != "" {
			t.Errorf("%v: %v, %s", c.want.Type, err, d)
		}
		if got := AppendEnvelope(nil, e); !bytes.Equal(got, frame) {
			t.Errorf("%v: got %x, want %x", e.Type, got, frame)
		}
		if c.again != nil && !bytes.Equal(c.again, frame) {
			t.Errorf("%v: got %x, want %x", e.Type, c.again, frame)
		}
		for end := range EnvelopeHeaderLen + len(e.Topic) {
			if _, err := ParseEnvelope(body[:end]); !errors.Is(err, ErrEnvelope) {
				t.Errorf("%v cut at %d: %v", e.Type, end, err)
			}
		}
	}
}

func TestBadEnvelopes(t *testing.T) {
	good := AppendEnvelope(nil, Envelope{Type: TypeData, Topic: []byte("/t"), Payload: []byte{0}})[FrameHeaderLen:]
	change := func(at int, b ...byte) []byte { return slices.Replace(bytes.Clone(good), at, at+len(b), b...) }
	for name, body := range map[string][]byte{
		"nothing":                          nil,
		"type 0":                           change(TypeOffset, 0),
		"type 6":                           change(TypeOffset, 6),
		"a topic one byte too long":        change(TopicLenOffset, 0, 4),
		"a topic far longer than the rest": change(TopicLenOffset, 0xff, 0xff),
	} {
		if e, err := ParseEnvelope(body); !errors.Is(err, ErrEnvelope) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	if e, err := ParseEnvelope(change(TopicLenOffset, 0, 3)); err != nil || len(e.Topic) != 3 || len(e.Payload) != 0 {
		t.Errorf("a topic up to the end: %+v, %v", e, err)
	}
	long := Envelope{Type: TypeData, Topic: []byte(strings.Repeat("x", MaxTopicLen)), Payload: []byte{1}}
	if e, err := ParseEnvelope(AppendEnvelope(nil, long)[FrameHeaderLen:]); err != nil || !cmp.Equal(e, long) {
		t.Errorf("the longest topic: %d bytes, %v", len(e.Topic), err)
	}
}

func TestIsBye(t *testing.T) {
	bye := string(AppendBye(nil, [8]byte{}))
	for payload, want := range map[string]bool{bye: true, bye + "x": false, bye[:10]: false, "BYE": false, "": false, "bye" + bye[3:]: false} {
		if IsBye([]byte(payload)) != want {
			t.Errorf("%q: want %v", payload, want)
		}
	}
}
