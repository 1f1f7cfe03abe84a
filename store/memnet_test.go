package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// A memNet is a network of hosts in memory, between which connections can be parted and cut. It lives in
// a bubble of testing/synctest, in which time stands still as long as anybody has something to do: a
// partition of 400 seconds takes them exactly, and costs nothing.
type memNet struct {
	mu        sync.Mutex
	changed   *sync.Cond
	ports     int
	listeners map[string]*memListener
	conns     []*memConn
	parted    map[[2]string]bool
}

// onMemNet runs a test in a bubble with a network of its own.
func onMemNet(t *testing.T, test func(t *testing.T, n *memNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &memNet{listeners: make(map[string]*memListener), parted: make(map[[2]string]bool)}
		n.changed = sync.NewCond(&n.mu)
		test(t, n)
	})
}

// node returns a node on a host that has no other.
func (n *memNet) node(t testing.TB, host string, opts ...endpoint.Option) *endpoint.Endpoint {
	t.Helper()
	return node(t, append([]endpoint.Option{
		endpoint.WithListenFunc(func(_ context.Context, _, addr string) (net.Listener, error) { return n.listen(addr) }),
		endpoint.WithDialFunc(func(ctx context.Context, _, addr string) (net.Conn, error) { return n.dial(ctx, host, addr) }),
	}, opts...)...)
}

// serve makes a node listen at its host.
func serve(t testing.TB, ep *endpoint.Endpoint, host string) {
	t.Helper()
	if _, err := ep.Listen(t.Context(), host+":1"); err != nil {
		t.Fatal(err)
	}
}

// peered makes a node keep peered with those on the hosts, and returns when nothing moves any more.
func peered(t testing.TB, ep *endpoint.Endpoint, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		if _, err := ep.Peer(host + ":1"); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
}

func (n *memNet) listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil {
		return nil, syscall.EADDRINUSE
	}
	host, _, err := net.SplitHostPort(addr)
	l := &memListener{net: n, host: host, addr: memAddr(addr)}
	n.listeners[addr] = l
	return l, err
}

func (n *memNet) dial(ctx context.Context, host, addr string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if n.parted[between(host, to)] {
		n.mu.Unlock()
		<-ctx.Done()
		n.mu.Lock()
		return nil, ctx.Err()
	}
	l := n.listeners[addr]
	if l == nil || ctx.Err() != nil {
		return nil, errors.Join(syscall.ECONNREFUSED, ctx.Err())
	}
	n.ports++
	local := memAddr(fmt.Sprintf("%s:%d", host, 1000+n.ports))
	a := &memConn{net: n, host: host, peer: to, local: local, remote: l.addr}
	b := &memConn{net: n, host: to, peer: host, local: l.addr, remote: local, other: a}
	a.other = b
	n.conns = append(n.conns, a, b)
	l.backlog = append(l.backlog, b)
	n.changed.Broadcast()
	return a, nil
}

func between(a, b string) [2]string {
	if b < a {
		a, b = b, a
	}
	return [2]string{a, b}
}

// part makes a network of two hosts between which nothing goes through: what is sent waits, as in TCP,
// and nobody is told. heal ends it.
func (n *memNet) part(a, b string) { n.setParted(a, b, true) }
func (n *memNet) heal(a, b string) { n.setParted(a, b, false) }

func (n *memNet) setParted(a, b string, parted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.parted[between(a, b)] = parted
	for _, c := range n.conns {
		if between(c.host, c.peer) == between(a, b) {
			c.stalled = parted
		}
	}
	n.changed.Broadcast()
}

// stall keeps a host from reading, as long as it lasts.
func (n *memNet) stall(host string, stalled bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		if c.host == host {
			c.stalled = stalled
		}
	}
	n.changed.Broadcast()
}

// cut breaks all connections between two hosts, with all that was on the way.
func (n *memNet) cut(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		if between(c.host, c.peer) == between(a, b) {
			c.broken, c.in = true, nil
		}
	}
	n.changed.Broadcast()
}

type memAddr string

func (memAddr) Network() string  { return "tcp" }
func (a memAddr) String() string { return string(a) }

type memListener struct {
	net     *memNet
	host    string
	addr    memAddr
	backlog []*memConn
	closed  bool
}

func (l *memListener) Addr() net.Addr { return l.addr }

func (l *memListener) Accept() (net.Conn, error) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	for len(l.backlog) == 0 && !l.closed {
		l.net.changed.Wait()
	}
	if l.closed {
		return nil, net.ErrClosed
	}
	c := l.backlog[0]
	l.backlog = l.backlog[1:]
	return c, nil
}

func (l *memListener) Close() error {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.closed = true
	delete(l.net.listeners, string(l.addr))
	l.net.changed.Broadcast()
	return nil
}

// memBuffer is how many bytes a connection holds in each direction before writing blocks.
const memBuffer = 256 << 10

// A memConn is one end of a connection. The lock of the network guards all of it.
type memConn struct {
	net             *memNet
	other           *memConn
	host, peer      string
	local, remote   memAddr
	in              []byte // what has arrived
	stalled         bool   // and is not handed out
	broken, closed  bool
	readBy, writeBy memDeadline
}

func (c *memConn) Read(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.broken:
			return 0, syscall.ECONNRESET
		case len(c.in) > 0 && !c.stalled:
			n := copy(b, c.in)
			c.in = c.in[n:]
			c.net.changed.Broadcast()
			return n, nil
		case c.other.closed && !c.stalled:
			return 0, io.EOF
		case c.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		}
		c.net.changed.Wait()
	}
}

func (c *memConn) Write(b []byte) (n int, err error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case n == len(b):
			return n, nil
		case c.closed:
			return n, net.ErrClosed
		case c.broken:
			return n, syscall.ECONNRESET
		case c.other.closed && !c.stalled:
			return n, syscall.EPIPE
		case c.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		}
		if room := memBuffer - len(c.other.in); room > 0 {
			part := b[n:][:min(room, len(b)-n)]
			c.other.in = append(c.other.in, part...)
			n += len(part)
			c.net.changed.Broadcast()
			continue
		}
		c.net.changed.Wait()
	}
}

func (c *memConn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.closed = true
	c.readBy.stop()
	c.writeBy.stop()
	c.net.changed.Broadcast()
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) RemoteAddr() net.Addr { return c.remote }

func (c *memConn) SetDeadline(t time.Time) error {
	c.setDeadline(&c.readBy, t)
	return c.setDeadline(&c.writeBy, t)
}
func (c *memConn) SetReadDeadline(t time.Time) error  { return c.setDeadline(&c.readBy, t) }
func (c *memConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeBy, t) }

// A memDeadline is a time from which on an operation fails; the timer wakes those that wait.
type memDeadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *memDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *memDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (c *memConn) setDeadline(d *memDeadline, t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	d.stop()
	if d.at = t; !t.IsZero() && !c.closed {
		d.timer = time.AfterFunc(time.Until(t), func() {
			c.net.mu.Lock()
			c.net.changed.Broadcast()
			c.net.mu.Unlock()
		})
	}
	return nil
}
