package interop

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A link is a wire between two nodes on plain TCP that can be cut and mended, and can lose frames. It
// takes connections for the node at target.
type link struct {
	addr string

	mu     sync.Mutex
	target string
	down   bool
	lost   func(e wire.Envelope) bool // nil: nothing is lost
	conns  map[net.Conn]struct{}
	pumps  sync.WaitGroup
}

// newLink returns a link to target that works.
func newLink(t *testing.T, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{addr: listener.Addr().String(), target: target, conns: make(map[net.Conn]struct{})}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.connect(conn)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-accepting
		l.cut()
		l.pumps.Wait()
	})
	return l
}

// cut ends all connections. Who connects from now on is turned away.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for conn := range l.conns {
		conn.Close()
	}
	clear(l.conns)
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// retarget leads connections from now on to another node.
func (l *link) retarget(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

// lose makes the link lose envelopes for which such is true; nil: none.
func (l *link) lose(such func(e wire.Envelope) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = such
}

func (l *link) connect(in net.Conn) {
	l.mu.Lock()
	target := l.target
	l.mu.Unlock()
	out, err := net.Dial("tcp", target)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || l.down {
		in.Close()
		if err == nil {
			out.Close()
		}
		return
	}
	l.conns[in], l.conns[out] = struct{}{}, struct{}{}
	l.pumps.Go(func() { l.pump(in, out) })
	l.pumps.Go(func() { l.pump(out, in) })
}

// pump passes frames on until one of the connections ends, and ends both.
func (l *link) pump(from, to net.Conn) {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		from.Close()
		to.Close()
		delete(l.conns, from)
		delete(l.conns, to)
	}()
	r := bufio.NewReader(from)
	for handshake := true; ; {
		frame := make([]byte, wire.FrameHeaderLen)
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(frame))
		frame = append(frame, make([]byte, n)...)
		if _, err := io.ReadFull(r, frame[wire.FrameHeaderLen:]); err != nil {
			return
		}
		body := frame[wire.FrameHeaderLen:]
		if handshake {
			_, err := wire.ParseHandshake(body)
			handshake = err == nil
		}
		if e, err := wire.ParseEnvelope(body); !handshake && err == nil && l.loses(e) {
			continue
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

func (l *link) loses(e wire.Envelope) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost != nil && l.lost(e)
}
