package cluster_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A switchboard makes the nodes of a layout with the same options.
type switchboard struct {
	*clustertest.Switchboard
	layout *layout.Layout
	opts   []cluster.Option
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
	return &switchboard{clustertest.New(l), l, []cluster.Option{cluster.WithLogBatches(400, 5*time.Millisecond)}}
}

// node makes a node, which ends with the test.
func (b *switchboard) node(t testing.TB, name string, opts ...cluster.Option) *cluster.Node {
	t.Helper()
	return b.Node(t, name, append(b.opts[:len(b.opts):len(b.opts)], opts...)...)
}

// start makes nodes and starts them.
func (b *switchboard) start(t testing.TB, names ...string) []*cluster.Node {
	t.Helper()
	var nodes []*cluster.Node
	for _, name := range names {
		nodes = append(nodes, b.node(t, name))
	}
	clustertest.Run(t, nodes...)
	return nodes
}

// greeted waits until a node knows others.
func greeted(t testing.TB, n *cluster.Node, names ...string) {
	t.Helper()
	if err := n.WaitNodes(clustertest.Limited(t), names...); err != nil {
		t.Fatal(err)
	}
}

// gone waits until a node knows that another has gone.
func gone(t testing.TB, n *cluster.Node, name string) {
	t.Helper()
	clustertest.Until(t, name+" down at "+n.Name(), func() bool { return n.NodeID(name) == "" })
}
