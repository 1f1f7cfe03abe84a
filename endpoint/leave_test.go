package endpoint_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

// A peer that has taken leave may end its connection any way it likes: with a reset, if we sent it
// something meanwhile.
func TestResetAfterBye(t *testing.T) {
	e := newEndpoint(t)
	sub, err := e.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, listen(t, e))
	if _, err := p.Write(wire.AppendPing(nil, p.id, p.remote, wire.AppendBye(nil, [8]byte{1}))); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := p.readFrame()
		if err != nil {
			t.Fatal(err)
		}
		if pong, err := wire.ParseEnvelope(frame); err == nil && pong.Type == wire.TypePong {
			break
		}
	}
	p.Conn.(*net.TCPConn).SetLinger(0) // Close resets
	p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ev := range sub.Events(ctx) {
		switch ev.Status.Code {
		case endpoint.PeerAdded:
			continue
		case endpoint.PeerLost:
			if !errors.Is(ev.Status.Err, endpoint.ErrBye) {
				t.Errorf("lost: %v", ev.Status.Err)
			}
		default:
			t.Errorf("status %v", ev.Status)
		}
		return
	}
	t.Error("the peer was not lost")
}
