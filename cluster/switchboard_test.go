package cluster_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come. It is there to fail and not to hang.
const patience = time.Minute

// limited returns a context for what must come.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A switchboard connects the nodes of a test over loopback: whatever port the layout says, the kernel chooses
// another. It can break off all connections of a node, as the end of its process does.
type switchboard struct {
	layout *layout.Layout
	opts   []cluster.Option
	memory *memNet // instead of loopback; nil otherwise

	mu    sync.Mutex
	at    map[string]string            // where nodes listen, by the port of the layout
	conns map[string]map[net.Conn]bool // by node
}

// newSwitchboard returns a cluster of so many nodes of each type, plus what else the layout is to have. Lost
// peers are dialed again at once, and logs are sent at once, too.
func newSwitchboard(t testing.TB, loggers, proxies, workers int, more string) *switchboard {
	t.Helper()
	var text strings.Builder
	text.WriteString("zeek_version: 8.2\nnodes:\n  manager: {type: manager, address: 127.0.0.1, port: 1}\n")
	port := 1
	for _, kind := range []struct {
		name string
		n    int
	}{{"logger", loggers}, {"proxy", proxies}, {"worker", workers}} {
		for i := range kind.n {
			text.WriteString("  " + kind.name + "-" + strconv.Itoa(i+1) + ": {type: " + kind.name + ", address: 127.0.0.1")
			if port++; kind.name != "worker" {
				text.WriteString(", port: " + strconv.Itoa(port))
			}
			text.WriteString("}\n")
		}
	}
	l, err := layout.ParseNative("layout of "+t.Name(), []byte(text.String()+more))
	if err != nil {
		t.Fatal(err)
	}
	return &switchboard{
		layout: l, at: make(map[string]string), conns: make(map[string]map[net.Conn]bool),
		opts: []cluster.Option{cluster.WithLogBatches(400, 5*time.Millisecond)},
	}
}

// node makes a node, which ends with the test.
func (b *switchboard) node(t testing.TB, name string, opts ...cluster.Option) *cluster.Node {
	t.Helper()
	wiring := cluster.WithEndpoint(
		endpoint.WithSecurity(endpoint.PlainTCP()), endpoint.WithRetry(10*time.Millisecond),
		endpoint.WithListenFunc(func(ctx context.Context, network, addr string) (net.Listener, error) {
			return b.listen(ctx, name, network, addr)
		}),
		endpoint.WithDialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
			return b.dial(ctx, name, network, addr)
		}))
	n, err := cluster.New(b.layout, name, append(append([]cluster.Option{wiring}, b.opts...), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	return n
}

// start makes nodes and starts them.
func (b *switchboard) start(t testing.TB, names ...string) []*cluster.Node {
	t.Helper()
	var nodes []*cluster.Node
	for _, name := range names {
		nodes = append(nodes, b.node(t, name))
	}
	run(t, nodes...)
	return nodes
}

func run(t testing.TB, nodes ...*cluster.Node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.Start(limited(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *switchboard) listen(ctx context.Context, name, network, addr string) (net.Listener, error) {
	var l net.Listener
	var err error
	if b.memory != nil {
		l = b.memory.listen()
	} else {
		var config net.ListenConfig
		l, err = config.Listen(ctx, network, "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at[port] = l.Addr().String()
	return &tracked{l, b, name}, nil
}

func (b *switchboard) dial(ctx context.Context, name, network, addr string) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(addr)
	b.mu.Lock()
	at := b.at[port]
	b.mu.Unlock()
	if at == "" {
		return nil, syscall.ECONNREFUSED
	}
	var c net.Conn
	var err error
	if b.memory != nil {
		c, err = b.memory.dial(at)
	} else {
		var dialer net.Dialer
		c, err = dialer.DialContext(ctx, network, at)
	}
	if err == nil {
		b.track(name, c)
	}
	return c, err
}

// tracked is a listener that lets a switchboard know of its connections.
type tracked struct {
	net.Listener
	board *switchboard
	name  string
}

func (l *tracked) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.board.track(l.name, c)
	}
	return c, err
}

func (b *switchboard) track(name string, c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns[name] == nil {
		b.conns[name] = make(map[net.Conn]bool)
	}
	b.conns[name][c] = true
}

// hangUp ends a node as the end of its process does, without leave: its connections break off.
func (b *switchboard) hangUp(t testing.TB, n *cluster.Node) {
	t.Helper()
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

// until waits until a condition holds, which something else than a clock brings about.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never came about: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// greeted waits until a node knows others.
func greeted(t testing.TB, n *cluster.Node, names ...string) {
	t.Helper()
	if err := n.WaitNodes(limited(t), names...); err != nil {
		t.Fatal(err)
	}
}

// gone waits until a node knows that another has gone.
func gone(t testing.TB, n *cluster.Node, name string) {
	t.Helper()
	until(t, name+" down at "+n.Name(), func() bool { return n.NodeID(name) == "" })
}
