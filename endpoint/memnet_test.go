package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// A memNet is a network in memory. Nodes on it live in a bubble of testing/synctest, in which time
// stands still as long as anybody has something to do: what takes 30 seconds takes them exactly, and
// synctest.Wait returns when all that was sent has arrived.
type memNet struct {
	mu        sync.Mutex
	ports     int
	listeners map[string]*memListener
	dials     []memDial
}

// A memDial is an attempt to connect.
type memDial struct {
	at   time.Time
	addr string
	conn *memConn // the dialer's end; nil if nobody listened
}

// onMemNet runs a test in a bubble with a network of its own.
func onMemNet(t *testing.T, test func(t *testing.T, n *memNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, &memNet{listeners: make(map[string]*memListener)})
	})
}

// node returns a node on the network. Unlike newEndpoint's, it retries after the default second.
func (n *memNet) node(t *testing.T, opts ...endpoint.Option) *endpoint.Endpoint {
	t.Helper()
	return newEndpoint(t, append([]endpoint.Option{
		endpoint.WithDialFunc(n.dial), endpoint.WithListenFunc(n.listen), endpoint.WithRetry(time.Second),
	}, opts...)...)
}

// pair returns two nodes that are peers. The second has dialed.
func (n *memNet) pair(t *testing.T, opts ...endpoint.Option) (a, b *endpoint.Endpoint) {
	t.Helper()
	a, b = n.node(t, opts...), n.node(t, opts...)
	connect(t, b, listen(t, a))
	synctest.Wait()
	return a, b
}

func (n *memNet) listen(_ context.Context, _, addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if host, ok := strings.CutSuffix(addr, ":0"); ok {
		n.ports++
		addr = fmt.Sprintf("%s:%d", host, n.ports)
	}
	if n.listeners[addr] != nil {
		return nil, syscall.EADDRINUSE
	}
	l := &memListener{net: n, addr: memAddr(addr), backlog: make(chan *memConn, 128), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

func (n *memNet) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[addr]
	n.dials = append(n.dials, memDial{at: time.Now(), addr: addr})
	if l == nil || ctx.Err() != nil {
		return nil, errors.Join(syscall.ECONNREFUSED, ctx.Err())
	}
	n.ports++
	a, b := newMemConns(memAddr(fmt.Sprintf("127.0.0.1:%d", n.ports)), l.addr)
	select {
	case l.backlog <- b:
	default:
		return nil, syscall.ECONNREFUSED
	}
	n.dials[len(n.dials)-1].conn = a
	return a, nil
}

// dialed returns all attempts to connect so far.
func (n *memNet) dialed() []memDial {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]memDial(nil), n.dials...)
}

// dialRaw peers with the node at addr, as id.
func (n *memNet) dialRaw(t *testing.T, addr string, id wire.EndpointID, filter ...string) *rawPeer {
	t.Helper()
	conn, err := n.dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p, err := shake(conn, handshake.Dialer, id, filter...)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return p
}

// received returns what the node sends to p until nothing moves any more.
func (p *rawPeer) received(t *testing.T) (all []wire.Envelope) {
	t.Helper()
	ended := make(chan error)
	go func() {
		for {
			body, err := p.readFrame()
			if err != nil {
				ended <- err
				return
			}
			e, err := wire.ParseEnvelope(body)
			if err != nil {
				ended <- err
				return
			}
			all = append(all, e)
		}
	}()
	synctest.Wait()
	p.SetReadDeadline(time.Now())
	defer p.SetReadDeadline(time.Time{})
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return all
}

// messages returns the topics of the data messages among what received returns.
func (p *rawPeer) messages(t *testing.T) (topics []string) {
	t.Helper()
	for _, e := range p.received(t) {
		if e.Type == wire.TypeData {
			topics = append(topics, string(e.Topic))
		}
	}
	return topics
}

// arrived returns all that has come to a subscription when nothing moves any more.
func arrived(t *testing.T, sub *endpoint.Subscription) (all []endpoint.Event) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ev := range sub.Events(ctx) {
			if ev.Status == nil {
				ev.Message = ev.Message.Clone()
			}
			all = append(all, ev)
		}
	}()
	synctest.Wait()
	cancel()
	<-done
	return all
}

// topicsOf returns the topics of the messages that have come to a subscription.
func topicsOf(t *testing.T, sub *endpoint.Subscription) (topics []string) {
	t.Helper()
	for _, ev := range arrived(t, sub) {
		if ev.Status == nil {
			topics = append(topics, ev.Message.Topic())
		}
	}
	return topics
}

// statusesOf returns the statuses that have come to a subscription.
func statusesOf(t *testing.T, sub *endpoint.Subscription) (all []endpoint.Status) {
	t.Helper()
	for _, ev := range arrived(t, sub) {
		if ev.Status != nil {
			all = append(all, *ev.Status)
		}
	}
	return all
}

type memAddr string

func (memAddr) Network() string  { return "tcp" }
func (a memAddr) String() string { return string(a) }

type memListener struct {
	net     *memNet
	addr    memAddr
	backlog chan *memConn
	once    sync.Once
	closed  chan struct{}
}

func (l *memListener) Addr() net.Addr { return l.addr }

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, string(l.addr))
		l.net.mu.Unlock()
		close(l.closed)
	})
	return nil
}

// memBuffer is how many bytes a connection holds in each direction before writing blocks.
const memBuffer = 64 << 10

// A memLink is what the two ends of a connection share.
type memLink struct {
	mu      sync.Mutex
	changed *sync.Cond
	cut     bool
}

// A memConn is one end of a connection in memory.
type memConn struct {
	link          *memLink
	other         *memConn
	local, remote memAddr

	// The link's lock guards what follows.
	in      []byte // what has arrived
	closed  bool
	readBy  memDeadline
	writeBy memDeadline
}

func newMemConns(dialer, listener memAddr) (a, b *memConn) {
	link := new(memLink)
	link.changed = sync.NewCond(&link.mu)
	a = &memConn{link: link, local: dialer, remote: listener}
	b = &memConn{link: link, local: listener, remote: dialer, other: a}
	a.other = b
	return a, b
}

// cut makes the connection one whose other end is gone, for both ends: what is written vanishes,
// nothing comes, and nothing tells.
func (c *memConn) cut() {
	c.link.mu.Lock()
	c.link.cut = true
	c.link.changed.Broadcast()
	c.link.mu.Unlock()
}

func (c *memConn) Read(b []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case len(c.in) > 0 && !c.link.cut:
			n := copy(b, c.in)
			c.in = c.in[n:]
			c.link.changed.Broadcast()
			return n, nil
		case c.other.closed && !c.link.cut:
			return 0, io.EOF
		case c.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		}
		c.link.changed.Wait()
	}
}

func (c *memConn) Write(b []byte) (n int, err error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		switch {
		case n == len(b):
			return n, nil
		case c.closed:
			return n, net.ErrClosed
		case c.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		case c.link.cut:
			return len(b), nil
		case c.other.closed:
			return n, syscall.EPIPE
		}
		if room := memBuffer - len(c.other.in); room > 0 {
			part := b[n:][:min(room, len(b)-n)]
			c.other.in = append(c.other.in, part...)
			n += len(part)
			c.link.changed.Broadcast()
			continue
		}
		c.link.changed.Wait()
	}
}

func (c *memConn) Close() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.closed = true
	c.link.changed.Broadcast()
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

func (c *memConn) setDeadline(d *memDeadline, t time.Time) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.at = t; !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), func() {
			c.link.mu.Lock()
			c.link.changed.Broadcast()
			c.link.mu.Unlock()
		})
	}
	return nil
}
