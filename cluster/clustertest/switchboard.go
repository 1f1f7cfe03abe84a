// Package clustertest holds what the tests of nodes and of their roles share: a switchboard that connects the
// nodes of a cluster in one process and breaks off their connections, and waiting for what must come.
package clustertest

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/memnet"
)

// A Switchboard connects the nodes of a test over loopback: whatever port the layout says, the kernel chooses
// another. It can break off all connections of a node, as the end of its process does.
type Switchboard struct {
	layout   *layout.Layout
	listenAt func(ctx context.Context, network, addr string) (net.Listener, error)
	dialTo   func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex
	at    map[string]string            // where nodes listen, by the port of the layout
	conns map[string]map[net.Conn]bool // by node
}

// New returns a switchboard for the nodes of a layout.
func New(l *layout.Layout) *Switchboard {
	return &Switchboard{
		layout: l, listenAt: new(net.ListenConfig).Listen, dialTo: new(net.Dialer).DialContext,
		at: make(map[string]string), conns: make(map[string]map[net.Conn]bool),
	}
}

// Virtually makes the connections in memory, for clusters that have more of them than a process may have
// sockets, and for the bubbles of testing/synctest.
func (b *Switchboard) Virtually() {
	n := memnet.New(64 << 10)
	b.listenAt, b.dialTo = n.Listen, n.Dial
}

// Node makes a node, which ends with the test. It dials lost peers again at once.
func (b *Switchboard) Node(t testing.TB, name string, opts ...cluster.Option) *cluster.Node {
	t.Helper()
	wiring := cluster.WithEndpoint(
		endpoint.WithSecurity(endpoint.PlainTCP()), endpoint.WithRetry(10*time.Millisecond),
		endpoint.WithListenFunc(func(ctx context.Context, network, addr string) (net.Listener, error) {
			return b.listen(ctx, name, network, addr)
		}),
		endpoint.WithDialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
			return b.dial(ctx, name, network, addr)
		}))
	n, err := cluster.New(b.layout, name, append([]cluster.Option{wiring}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(Limited(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	return n
}

// Run starts nodes.
func Run(t testing.TB, nodes ...*cluster.Node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.Start(Limited(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *Switchboard) listen(ctx context.Context, name, network, addr string) (net.Listener, error) {
	l, err := b.listenAt(ctx, network, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at[port] = l.Addr().String()
	return &tracked{l, b, name}, nil
}

func (b *Switchboard) dial(ctx context.Context, name, network, addr string) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(addr)
	b.mu.Lock()
	at := b.at[port]
	b.mu.Unlock()
	if at == "" {
		return nil, syscall.ECONNREFUSED
	}
	c, err := b.dialTo(ctx, network, at)
	if err == nil {
		b.track(name, c)
	}
	return c, err
}

// tracked is a listener that lets a switchboard know of its connections.
type tracked struct {
	net.Listener
	board *Switchboard
	name  string
}

func (l *tracked) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.board.track(l.name, c)
	}
	return c, err
}

func (b *Switchboard) track(name string, c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns[name] == nil {
		b.conns[name] = make(map[net.Conn]bool)
	}
	b.conns[name][c] = true
}

// HangUp ends a node as the end of its process does, without leave: its connections break off.
func (b *Switchboard) HangUp(n *cluster.Node) {
	b.mu.Lock()
	conns := b.conns[n.Name()]
	b.conns[n.Name()] = nil
	for port, at := range b.at {
		if addr := n.Addr(); addr != nil && at == addr.String() {
			delete(b.at, port)
		}
	}
	b.mu.Unlock()
	now, cancel := context.WithCancel(context.Background())
	cancel() // no time to take leave
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Close(now)
	}()
	for c := range conns {
		c.Close()
	}
	<-done
}
