package cluster_test

import (
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
)

// A size is how many nodes a cluster has, besides its manager.
type size struct{ workers, loggers, proxies int }

// descriptors is how many sockets the peerings of a cluster want in one process.
func (s size) descriptors() int {
	return 2 * (s.workers*(s.loggers+s.proxies+1) + s.proxies*(s.loggers+1) + s.loggers)
}

// long skips what takes long, or much of the machine.
func long(t testing.TB) {
	t.Helper()
	if os.Getenv("ZEEKPEER_LONG_TESTS") == "" {
		t.Skip("a large cluster; set ZEEKPEER_LONG_TESTS=1")
	}
}

// grow starts a whole cluster, and waits until all have greeted all their peers, each once.
func grow(t *testing.T, b *switchboard) map[string]*cluster.Node {
	t.Helper()
	b.opts = nil // what is there by default
	begun := time.Now()
	nodes := make(map[string]*cluster.Node)
	for _, kind := range []layout.NodeType{layout.Logger, layout.Manager, layout.Proxy, layout.Worker} {
		for _, n := range b.layout.Sorted(kind) {
			nodes[n.Name] = b.node(t, n.Name)
			clustertest.Run(t, nodes[n.Name])
		}
	}
	hellos := 0
	for _, n := range nodes {
		names := peersOf(b.layout, n.Name())
		greeted(t, n, names...)
		s := n.Status()
		if s.Hellos != uint64(len(names)) || s.NodeUps != s.Hellos || s.Peers != len(names) || s.Dropped+s.NodeDowns != 0 {
			t.Errorf("%s: %d hellos, %d up, %d down, %d dropped, of %d peers", n.Name(), s.Hellos, s.NodeUps, s.NodeDowns, s.Dropped, len(names))
		}
		hellos += len(names)
	}
	took := time.Since(begun)
	m := memory()
	t.Logf("%d nodes, %d hellos in %v, %d MB of memory in use, %d MB from the system, %d goroutines",
		len(nodes), hellos, took.Round(time.Millisecond), (m.HeapInuse+m.StackInuse)>>20, m.Sys>>20, runtime.NumGoroutine())
	return nodes
}

func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// peersOf returns whom a node has peerings with.
func peersOf(l *layout.Layout, name string) (names []string) {
	for _, n := range append(l.Dials(name), l.DialedBy(name)...) {
		names = append(names, n.Name)
	}
	return names
}

// lose breaks off the connections of a node, and returns how long it takes until all its peers know.
func lose(t *testing.T, b *switchboard, nodes map[string]*cluster.Node, name string) time.Duration {
	t.Helper()
	lost := nodes[name]
	delete(nodes, name)
	peers := slices.DeleteFunc(peersOf(b.layout, name), func(other string) bool { return nodes[other] == nil })
	begun := time.Now()
	b.HangUp(lost)
	for _, other := range peers {
		gone(t, nodes[other], name)
	}
	took := time.Since(begun)
	t.Logf("%d peers of %s know after %v that it is down", len(peers), name, took.Round(time.Microsecond))
	for _, other := range peers {
		if s := nodes[other].Status(); s.NodeDowns == 0 {
			t.Errorf("%s: no node_down", other)
		}
	}
	return took
}

// onLoopback grows a cluster over TCP, in at most so many bytes of memory unless that is 0, and loses nodes of it.
func onLoopback(t *testing.T, s size, most uint64) {
	b := newSwitchboard(t, s.loggers, s.proxies, s.workers, "")
	t.Logf("%d descriptors", s.descriptors())
	nodes := grow(t, b)
	if m := memory(); most > 0 && m.Sys > most {
		t.Errorf("%d MB of memory from the system, want at most %d", m.Sys>>20, most>>20)
	}
	for _, name := range []string{"worker-1", "proxy-1", "logger-1", "manager"} {
		lose(t, b, nodes, name)
	}
}

func TestCluster(t *testing.T) { onLoopback(t, size{workers: 20, loggers: 3, proxies: 2}, 0) }

func TestLargeCluster(t *testing.T) {
	long(t)
	onLoopback(t, size{workers: 250, loggers: 10, proxies: 5}, 600<<20)
}

// inMemory does the same on a virtual network, where time stands still while anybody has something to do: what
// passes is waiting, and nobody may wait for more than a second to learn of a loss.
func inMemory(t *testing.T, s size) {
	synctest.Test(t, func(t *testing.T) {
		b := newSwitchboard(t, s.loggers, s.proxies, s.workers, "")
		b.Virtually()
		nodes := grow(t, b)
		for _, name := range []string{"worker-1", "proxy-1", "logger-1", "manager"} {
			if took := lose(t, b, nodes, name); took > time.Second {
				t.Errorf("the loss of %s is known after %v", name, took)
			}
		}
	})
}

func TestVirtualCluster(t *testing.T) { inMemory(t, size{workers: 40, loggers: 4, proxies: 3}) }

func TestLargeVirtualCluster(t *testing.T) {
	long(t)
	inMemory(t, size{workers: 500, loggers: 20, proxies: 10})
}
