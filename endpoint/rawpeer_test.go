package endpoint_test

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// A rawPeer is a peer made of bytes: it does the handshake, and what comes then is up to the test.
type rawPeer struct {
	net.Conn
	r      *bufio.Reader
	id     wire.EndpointID // its own
	remote wire.EndpointID
	filter []string // of the remote
}

// readFrame returns the body of the next frame.
func (p *rawPeer) readFrame() ([]byte, error) {
	var header [wire.FrameHeaderLen]byte
	if _, err := io.ReadFull(p.r, header[:]); err != nil {
		return nil, err
	}
	body := make([]byte, int(header[0])<<24|int(header[1])<<16|int(header[2])<<8|int(header[3]))
	_, err := io.ReadFull(p.r, body)
	return body, err
}

// shake performs the handshake as id.
func shake(conn net.Conn, role handshake.Role, id wire.EndpointID, filter ...string) (*rawPeer, error) {
	p := &rawPeer{Conn: conn, r: bufio.NewReaderSize(conn, 64<<10), id: id}
	m := handshake.New(role, id, func() []string { return filter })
	out := m.Start()
	for {
		if _, err := conn.Write(out.Send); err != nil {
			return nil, err
		}
		switch {
		case out.Err != nil:
			return nil, out.Err
		case out.Peered:
			p.remote, p.filter = m.Remote(), m.Filter()
			return p, nil
		case out.Identified:
			out = m.Decide(handshake.Proceed)
		default:
			frame, err := p.readFrame()
			if err != nil {
				return nil, err
			}
			out = m.Frame(frame)
		}
	}
}

// dialRaw peers with the node at addr.
func dialRaw(t testing.TB, addr string, filter ...string) *rawPeer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	p, err := shake(conn, handshake.Dialer, wire.NewEndpointID(), filter...)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Time{})
	return p
}

// data returns a frame with a data message from p.
func (p *rawPeer) data(topic string, payload []byte) []byte {
	return wire.AppendEnvelope(nil, wire.Envelope{
		Sender: p.id, Type: wire.TypeData, TTL: wire.DefaultTTL, Topic: []byte(topic), Payload: payload,
	})
}

// write sends frames.
func (p *rawPeer) write(t testing.TB, frames ...[]byte) {
	t.Helper()
	p.SetWriteDeadline(time.Now().Add(patience))
	for _, f := range frames {
		if _, err := p.Write(f); err != nil {
			t.Fatal(err)
		}
	}
}
