package fuzz

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A message of the handshake parses to something that is written and read back the same, or is
// refused with the code and text for a drop_conn.
func FuzzHandshake(f *testing.F) {
	for _, msg := range handshakes() {
		f.Add(msg.AppendFrame(nil)[wire.FrameHeaderLen:])
	}
	addFrames(f, func(body []byte) {
		if body[0] <= byte(wire.TypeOriginatorAck) {
			f.Add(body)
		}
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		var msg wire.Handshake
		var err error
		bounded(t, len(body), func() { msg, err = wire.ParseHandshake(body) })
		if err != nil {
			var bad *wire.HandshakeError
			switch {
			case msg != nil || !errors.As(err, &bad):
				t.Fatalf("%v, %v", msg, err)
			case bad.Code != wire.CodeInvalidMessage && bad.Code != wire.CodeWrongMagicNumber, bad.Description == "", bad.Error() == "":
				t.Fatalf("%+v", bad)
			case len(body) > 0 && byte(bad.Type) != body[0]:
				t.Fatalf("%v, seen was %d", bad.Type, body[0])
			}
			return
		}
		if byte(msg.HandshakeType()) != body[0] {
			t.Fatalf("%d parses as %v", body[0], msg.HandshakeType())
		}
		frame := msg.AppendFrame(nil)
		again, rest, _, err := wire.NextFrame(frame, len(frame))
		if err != nil || len(rest) > 0 || len(again) > len(body) {
			t.Fatalf("%x is written as %x: %v", body, frame, err)
		}
		back, err := wire.ParseHandshake(again)
		if err != nil || !cmp.Equal(msg, back) {
			t.Fatalf("%v is read back as %v, %v", msg, back, err)
		}
		// Only lengths have more than one encoding, and only the text of a drop_conn is cut.
		if len(again) == len(body) && !bytes.Equal(again, body) {
			t.Fatalf("got %x, want %x", again, body)
		}
	})
}
