package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each message as a real node sent it: it parses, is written back byte for byte, and is refused if cut
// short anywhere or followed by anything.
func TestHandshakeMessages(t *testing.T) {
	node := EndpointID(bytes.Repeat([]byte{0x88}, IDLen))
	node[6] = 0x48
	for _, c := range []struct {
		frame string
		want  Handshake
	}{
		{"00000017" + "06" + "5a45454b" + "88888888888848888888888888888888" + "0101", Hello{Sender: node, Min: 1, Max: 1}},
		{"00000005" + "07" + "5a45454b", Probe{}},
		{"00000016" + "08" + "5a45454b" + "88888888888848888888888888888888" + "01", VersionSelect{Sender: node, Version: 1}},
		{"0000002b" + "09" + "5a45454b" + "88888888888848888888888888888888" + "27" + "14726564756e64616e7420636f6e6e656374696f6e",
			DropConn{Sender: node, Code: CodeRedundantConnection, Description: "redundant connection"}},
		{"00000011" + "0a" + "02" + "052f74657374" + "082f666f6f2f626172", OriginatorSyn{Filter: []string{"/test", "/foo/bar"}}},
		{"00000008" + "0b" + "01" + "052f74657374", ResponderSynAck{Filter: []string{"/test"}}},
		{"00000001" + "0c", OriginatorAck{}},
	} {
		frame := unhex(t, c.frame)
		body := frame[FrameHeaderLen:]
		name := c.want.HandshakeType().String()
		msg, err := ParseHandshake(body)
		if d := cmp.Diff(c.want, msg); err != nil || d != "" {
			t.Errorf("%s: %v, %s", name, err, d)
		}
		if got := c.want.AppendFrame([]byte("before")); string(got) != "before"+string(frame) {
			t.Errorf("%s: got %x, want %x", name, got, frame)
		}
		refused := func(how string, body []byte, code Code, cause error) {
			t.Helper()
			var bad *HandshakeError
			if _, err := ParseHandshake(body); !errors.As(err, &bad) || bad.Code != code || !errors.Is(err, cause) {
				t.Errorf("%s %s: %v, want code %v and %v", name, how, err, code, cause)
			}
		}
		for end := 1; end < len(body); end++ {
			refused("cut short", body[:end], CodeInvalidMessage, errTruncated)
		}
		refused("with a byte left over", append(bytes.Clone(body), 0), CodeInvalidMessage, errTrailing)
		if len(body) >= 1+len(magic) && c.want.HandshakeType() < TypeOriginatorSyn {
			wrong := bytes.Clone(body)
			wrong[1] ^= 1
			refused("with a wrong magic number", wrong, CodeWrongMagicNumber, errWrongMagic)
		}
	}
	for name, body := range map[string][]byte{"nothing": {}, "type 5": {5}, "type 13": {13, 0}} {
		var bad *HandshakeError
		if _, err := ParseHandshake(body); !errors.As(err, &bad) || bad.Code != CodeInvalidMessage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The text of a refusal is kept up to a bound, whatever its length, and must be there.
func TestDropConnDescription(t *testing.T) {
	for _, size := range []int{0, 127, 128, maxDescription, maxDescription + 1, 1 << 20} {
		frame := DropConn{Code: 255, Description: strings.Repeat("x", size)}.AppendFrame(nil)
		msg, err := ParseHandshake(frame[FrameHeaderLen:])
		if drop, _ := msg.(DropConn); err != nil || len(drop.Description) != min(size, maxDescription) || drop.Code != 255 {
			t.Errorf("%d bytes: %v, %d kept", size, err, len(drop.Description))
		}
		if size > 0 {
			if _, err := ParseHandshake(frame[FrameHeaderLen : len(frame)-1]); !errors.Is(err, errTruncated) {
				t.Errorf("%d bytes, one missing: %v", size, err)
			}
		}
	}
	if got := Code(255).String(); got != "unknown error code 255" {
		t.Error(got)
	}
}
