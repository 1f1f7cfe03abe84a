package cluster_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// links are who knows whom in a cluster of five.
var links = map[string][]string{
	"manager":  {"logger-1", "proxy-1", "worker-1", "worker-2"},
	"logger-1": {"manager", "proxy-1", "worker-1", "worker-2"},
	"proxy-1":  {"logger-1", "manager", "worker-1", "worker-2"},
	"worker-1": {"logger-1", "manager", "proxy-1"},
	"worker-2": {"logger-1", "manager", "proxy-1"},
}

// five starts the five nodes, in whatever order, and waits until they have greeted each other.
func five(t *testing.T, b *switchboard, opts ...cluster.Option) map[string]*cluster.Node {
	t.Helper()
	nodes := make(map[string]*cluster.Node)
	for name := range links {
		nodes[name] = b.node(t, name, opts...)
	}
	for _, n := range nodes {
		clustertest.Run(t, n)
	}
	for name, n := range nodes {
		greeted(t, n, links[name]...)
	}
	return nodes
}

// members keeps what a node's OnMember was told.
type members struct {
	bell clustertest.Bell
	mu   sync.Mutex
	all  []string
}

func (m *members) watch(n *cluster.Node) {
	n.OnMember(func(up bool, name, id string) {
		defer m.bell.Ring()
		m.mu.Lock()
		defer m.mu.Unlock()
		what := "down "
		if up {
			what = "up "
		}
		m.all = append(m.all, what+name+" "+id)
	})
}

func (m *members) told() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all)
}

// await waits until so much was told, and returns it.
func (m *members) await(t *testing.T, n int) []string {
	t.Helper()
	m.bell.Until(t, "news of members", func() bool { return len(m.told()) >= n })
	return m.told()
}

// TestHello: all nodes greet each other, once for each peering, and know who is there.
func TestHello(t *testing.T) {
	b := newSwitchboard(t, 1, 1, 2, "")
	nodes := five(t, b)
	for name, n := range nodes {
		s := n.Status()
		peers := len(links[name])
		if s.Hellos != uint64(peers) || s.NodeUps != uint64(peers) || s.NodeDowns != 0 || s.Peers != peers || s.Malformed+s.Failed != 0 || s.Dropped != 0 || len(s.Unhandled) != 0 {
			t.Errorf("%s: %+v", name, s)
		}
		for _, other := range links[name] {
			if id := n.NodeID(other); id != nodes[other].ID().String() || n.NodeIDToNode(id) != other {
				t.Errorf("%s has id %s at %s", other, id, name)
			}
		}
		for kind, want := range map[layout.NodeType]int{layout.Worker: 2, layout.Logger: 1, layout.Proxy: 1, layout.Manager: 1} {
			if n.NodeCount(kind) != want {
				t.Errorf("%s: %d of %v in the layout", name, n.NodeCount(kind), kind)
			}
			if n.LocalNodeType() == kind {
				want = 0 // it does not count itself, and has no peering with its like
			}
			if n.ActiveNodeCount(kind) != want {
				t.Errorf("%s: %d of %v active, want %d", name, n.ActiveNodeCount(kind), kind, want)
			}
		}
	}
	m := nodes["manager"]
	if got := m.NodeTopic("worker-1"); got != "zeek/cluster/node/worker-1/" || !m.IsEnabled() || m.Name() != "manager" || m.Layout() != b.layout {
		t.Error(got)
	}
	if got, want := m.NodeIDTopic(m.ID()), "zeek/cluster/nodeid/"+m.ID().String()+"/"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := len(m.BroadcastTopics()); got != 4 {
		t.Errorf("%d broadcast topics", got)
	}
	if m.NodeID("nobody") != "" || m.NodeIDToNode("nobody") != "" {
		t.Error("nobody is there")
	}
}

// TestRestart: a node whose process dies is down everywhere, and up again with another id.
func TestRestart(t *testing.T) {
	for _, name := range []string{"worker-1", "proxy-1", "logger-1", "manager"} {
		t.Run(name, func(t *testing.T) {
			b := newSwitchboard(t, 1, 1, 2, "")
			nodes := make(map[string]*cluster.Node)
			news := make(map[string]*members)
			for n := range links {
				nodes[n], news[n] = b.node(t, n), new(members)
				news[n].watch(nodes[n])
			}
			for n := range links {
				clustertest.Run(t, nodes[n])
			}
			for n := range links {
				greeted(t, nodes[n], links[n]...)
			}
			before := nodes[name].ID().String()
			b.HangUp(nodes[name])
			for _, other := range links[name] {
				gone(t, nodes[other], name)
			}
			again := b.start(t, name)[0]
			greeted(t, again, links[name]...)
			for _, other := range links[name] {
				greeted(t, nodes[other], name)
				want := []string{"up " + name + " " + before, "down " + name + " " + before, "up " + name + " " + again.ID().String()}
				told := news[other].await(t, len(links[other])+2)
				if got := slices.DeleteFunc(told, func(s string) bool { return !strings.Contains(s, " "+name+" ") }); !slices.Equal(got, want) {
					t.Errorf("%s was told %q, want %q", other, got, want)
				}
				if s := nodes[other].Status(); s.NodeDowns != 1 {
					t.Errorf("%s: %d nodes down", other, s.NodeDowns)
				}
			}
		})
	}
}

// TestLeave: a node that takes leave is down, too.
func TestLeave(t *testing.T) {
	nodes := five(t, newSwitchboard(t, 1, 1, 2, ""))
	if err := nodes["worker-2"].Close(clustertest.Limited(t)); err != nil {
		t.Fatal(err)
	}
	for _, other := range links["worker-2"] {
		gone(t, nodes[other], "worker-2")
	}
	if n := nodes["manager"].ActiveNodeCount(layout.Worker); n != 1 {
		t.Errorf("%d workers", n)
	}
}

// stranger peers with a node as an endpoint that says what it likes.
func stranger(t *testing.T, n *cluster.Node, opts ...endpoint.Option) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(append([]endpoint.Option{endpoint.WithSecurity(endpoint.PlainTCP())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(clustertest.Limited(t)) })
	if _, err := e.Peer(n.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if err := e.WaitPeers(clustertest.Limited(t), 1); err != nil {
		t.Fatal(err)
	}
	return e
}

func say(t *testing.T, e *endpoint.Endpoint, topic, event string, args ...data.Value) {
	t.Helper()
	if n, err := e.PublishEvent(clustertest.Limited(t), topic, event, args...); err != nil || n == 0 {
		t.Fatalf("%s on %s: %d receivers, %v", event, topic, n, err)
	}
}

// TestBadHellos: hellos that are none, of nobody, and of nodes that are there already. The node stays up.
func TestBadHellos(t *testing.T) {
	b := newSwitchboard(t, 1, 1, 2, "")
	var log clustertest.Log
	manager, news := b.node(t, "manager", cluster.WithLogger(log.Logger())), new(members)
	news.watch(manager)
	clustertest.Run(t, manager)
	worker := b.start(t, "worker-1")[0]
	greeted(t, manager, "worker-1")
	s := stranger(t, manager)
	mine := manager.NodeIDTopic(manager.ID())
	for _, c := range []struct {
		args []data.Value
		want string
	}{
		{[]data.Value{data.String("worker-1")}, "message dropped"},
		{[]data.Value{data.Count(1), data.String(s.ID().String())}, ""},
		{nil, ""},
		{[]data.Value{data.String("worker-9"), data.String(s.ID().String())}, "Got Cluster::hello msg from unexpected node: worker-9"},
		{[]data.Value{data.String("worker-1"), data.String(s.ID().String())}, "Got Cluster::hello msg from duplicate node:worker-1"},
		{[]data.Value{data.String("worker-2"), data.String("somebody")}, "names the id somebody"},
	} {
		say(t, s, mine, "Cluster::hello", c.args...)
		log.Await(t, c.want)
	}
	greeted(t, manager, "worker-2")
	if manager.NodeID("worker-1") != s.ID().String() || manager.NodeID("worker-2") != "somebody" {
		t.Errorf("ids %s, %s", manager.NodeID("worker-1"), manager.NodeID("worker-2"))
	}
	if st := manager.Status(); st.Malformed != 3 || st.Hellos != 4 || st.NodeUps != 2 {
		t.Errorf("%+v", st)
	}
	if n := manager.ActiveNodeCount(layout.Worker); n != 2 {
		t.Errorf("%d workers", n)
	}
	// The first worker-1 goes unnoticed, the stranger takes the name with it, and what never was a peer stays.
	if err := worker.Close(clustertest.Limited(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(clustertest.Limited(t)); err != nil {
		t.Fatal(err)
	}
	gone(t, manager, "worker-1")
	if manager.NodeID("worker-2") != "somebody" {
		t.Error("worker-2 went")
	}
	told := news.await(t, 3)
	want := []string{"up worker-1 " + worker.ID().String(), "up worker-2 somebody", "down worker-1 " + s.ID().String()}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// TestStatus: who is in the pools, and who is there.
func TestStatus(t *testing.T) {
	nodes := five(t, newSwitchboard(t, 1, 1, 2, ""))
	s := nodes["worker-1"].Status()
	if s.Name != "worker-1" || s.Type != "worker" || s.Addr != "" || s.ID != nodes["worker-1"].ID().String() {
		t.Errorf("%+v", s)
	}
	var names []string
	for _, n := range s.Nodes {
		names = append(names, n.Name)
		if (n.ID != "") != (n.Name != "worker-2") {
			t.Errorf("%+v", n)
		}
	}
	if want := []string{"manager", "logger-1", "proxy-1", "worker-2"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	want := []cluster.PoolStatus{
		{Topic: "zeek/cluster/pool/logger", Nodes: []string{"logger-1"}, Alive: 1},
		{Topic: "zeek/cluster/pool/proxy", Nodes: []string{"proxy-1"}, Alive: 1},
		{Topic: "zeek/cluster/pool/worker", Nodes: []string{"worker-1", "worker-2"}, Alive: 1},
	}
	if !reflect.DeepEqual(s.Pools, want) {
		t.Errorf("%+v", s.Pools)
	}
	if m := nodes["manager"].Status(); m.Addr != nodes["manager"].Addr().String() {
		t.Errorf("the manager listens at %q", m.Addr)
	}
}

// TestMisuse: what cannot be is refused, with the reason.
func TestMisuse(t *testing.T) {
	b := newSwitchboard(t, 1, 1, 1, "")
	for _, c := range []struct {
		name string
		opt  cluster.Option
		want string
	}{
		{"worker-7", cluster.WithoutPools(), "'worker-7' is not a valid node in the Cluster::nodes configuration of layout of TestMisuse"},
		{"worker-1", cluster.WithLogBatches(0, 1), "log batches of 0 rows"},
		{"worker-1", cluster.WithHeldRows(-1), "-1 rows that are held"},
		{"worker-1", cluster.WithHandlerQueue(0), "0 events that wait for handlers"},
		{"worker-1", cluster.WithEndpoint(endpoint.WithSecurity(endpoint.Security{})), "no security"},
	} {
		if _, err := cluster.New(b.layout, c.name, c.opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	n := b.start(t, "worker-1")[0]
	if err := n.Start(clustertest.Limited(t)); err == nil {
		t.Error("started twice")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := n.WaitNodes(ctx, "manager", "logger-1"); err == nil || !strings.Contains(err.Error(), "worker-1 misses [manager logger-1]") {
		t.Error(err)
	}
	for range 2 {
		if err := n.Close(clustertest.Limited(t)); err != nil {
			t.Error(err)
		}
	}
	if err := n.WaitNodes(clustertest.Limited(t), "manager"); err == nil {
		t.Error("a closed node waits")
	}
	if err := n.Start(clustertest.Limited(t)); err == nil {
		t.Error("started after its end")
	}
}

// TestPortTaken: a node tries again to listen, as long as it may, and says so.
func TestPortTaken(t *testing.T) {
	taken, err := endpoint.New()
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close(clustertest.Limited(t))
	addr, err := taken.Listen(clustertest.Limited(t), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(addr.String(), ":")
	for retry, want := range map[string]string{"0s": "manager cannot listen at 127.0.0.1:" + port, "1h": "next try in 1h0m0s"} {
		l, err := layout.ParseNative("layout", []byte("zeek_version: 8.2\nnodes:\n  manager: {type: manager, address: 127.0.0.1, port: "+port+"}\noptions:\n  default_listen_address: 127.0.0.1\n  default_listen_retry: "+retry+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		var log clustertest.Log
		n, err := cluster.New(l, "manager", cluster.WithLogger(log.Logger()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		started := make(chan error, 1)
		go func() { started <- n.Start(ctx) }()
		if retry == "1h" {
			log.Await(t, want)
		}
		if retry == "1h" {
			cancel()
		}
		if err := <-started; err == nil || !strings.Contains(err.Error(), "manager cannot listen at 127.0.0.1:"+port) {
			t.Error(err)
		}
		cancel()
		if err := n.Close(clustertest.Limited(t)); err != nil {
			t.Error(err)
		}
	}
}
