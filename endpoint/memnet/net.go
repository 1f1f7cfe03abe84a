// Package memnet is a network in memory, for tests of what dials and listens. Its connections take no
// sockets, and the goroutines that wait on them are idle for testing/synctest: in a bubble, time stands still
// as long as anybody has something to do, what takes 30 seconds takes them exactly, and synctest.Wait
// returns when all that was sent has arrived. Its hosts can be parted, and their connections be cut.
package memnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Net is a network of hosts. They need not be made: whatever stands before the port of an address is one.
type Net struct {
	buffer int

	mu        sync.Mutex
	ports     int // how many were chosen
	listeners map[string]*listener
	dials     []Dial
	parted    map[[2]string]bool
}

// A Dial is an attempt to connect.
type Dial struct {
	At   time.Time
	Addr string
	Conn *Conn // the dialer's end; nil if nobody listened
}

// New returns a network whose connections hold so many bytes in each direction before writing blocks.
func New(buffer int) *Net {
	return &Net{buffer: buffer, listeners: make(map[string]*listener), parted: make(map[[2]string]bool)}
}

// Listen is a function for endpoint.WithListenFunc. It chooses a port if that is 0.
func (n *Net) Listen(_ context.Context, _, addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if host, ok := strings.CutSuffix(addr, ":0"); ok {
		addr = n.port(host)
	}
	if n.listeners[addr] != nil {
		return nil, syscall.EADDRINUSE
	}
	l := &listener{net: n, addr: address(addr), backlog: make(chan *Conn, 1024), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

// port returns an address at a host that nobody has.
func (n *Net) port(host string) string {
	n.ports++
	return fmt.Sprintf("%s:%d", host, 1024+n.ports)
}

// Dial is a function for endpoint.WithDialFunc, at the host 127.0.0.1.
func (n *Net) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.DialFrom("127.0.0.1")(ctx, network, addr)
}

// DialFrom returns a function for endpoint.WithDialFunc, at a host.
func (n *Net) DialFrom(host string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.dials = append(n.dials, Dial{At: time.Now(), Addr: addr})
		dial := &n.dials[len(n.dials)-1]
		if n.parted[between(host, hostOf(addr))] {
			n.mu.Unlock()
			<-ctx.Done()
			n.mu.Lock()
			return nil, ctx.Err()
		}
		l := n.listeners[addr]
		if l == nil || ctx.Err() != nil {
			return nil, errors.Join(syscall.ECONNREFUSED, ctx.Err())
		}
		a, b := newConns(address(n.port(host)), l.addr, n.buffer)
		select {
		case l.backlog <- b:
			dial.Conn = a
			return a, nil
		default:
			return nil, syscall.ECONNREFUSED
		}
	}
}

// Dials returns all attempts to connect so far.
func (n *Net) Dials() []Dial {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Dial(nil), n.dials...)
}

// Part makes a network of two hosts between which nothing goes through, until Heal: what is sent waits, as in
// TCP, and nobody is told.
func (n *Net) Part(a, b string) { n.part(a, b, true) }

// Heal ends what Part began. What waits arrives.
func (n *Net) Heal(a, b string) { n.part(a, b, false) }

func (n *Net) part(a, b string, parted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.parted[between(a, b)] = parted
	n.each(func(c *Conn) {
		if c.between() == between(a, b) {
			c.stalled = parted
		}
	})
}

// Stall keeps a host from reading from the connections that it has, or lets it again.
func (n *Net) Stall(host string, stalled bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.each(func(c *Conn) {
		if hostOf(string(c.local)) == host {
			c.stalled = stalled
		}
	})
}

// Cut resets all connections between two hosts. What was on the way is lost.
func (n *Net) Cut(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.each(func(c *Conn) {
		if c.between() == between(a, b) {
			c.reset, c.in = true, nil
		}
	})
}

// each changes the ends of all connections.
func (n *Net) each(change func(c *Conn)) {
	for _, d := range n.dials {
		if d.Conn != nil {
			d.Conn.both(change)
		}
	}
}

// between names a pair of hosts, in whatever order.
func between(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

func hostOf(addr string) string {
	host, _, _ := strings.Cut(addr, ":")
	return host
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

type listener struct {
	net     *Net
	addr    address
	backlog chan *Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, string(l.addr))
		l.net.mu.Unlock()
		close(l.closed)
	})
	return nil
}
