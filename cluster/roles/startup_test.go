package roles_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/roles"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// TestStartUp: when all have seen whom they dial, the manager tells all that the cluster has started. A manager that
// starts again learns that it had.
func TestStartUp(t *testing.T) {
	for _, version := range []string{"6.0", "8.0", "8.2"} {
		t.Run(version, func(t *testing.T) {
			b := newBoard(newLayout(t, version, ""))
			states, nodes := make(map[string]*roles.State), make(map[string]*cluster.Node)
			start := func(name string) {
				nodes[name], states[name] = b.node(t, name, roles.WithExperimental())
			}
			for _, name := range []string{"worker-2", "manager", "proxy-1", "logger-1"} {
				start(name)
			}
			if err := nodes["manager"].WaitNodes(clustertest.Limited(t), "worker-2", "proxy-1", "logger-1"); err != nil {
				t.Fatal(err)
			}
			for name, s := range states {
				if s.Status().Started {
					t.Errorf("%s: started without worker-1", name)
				}
			}
			start("worker-1")
			for name, s := range states {
				clustertest.Until(t, "start at "+name, func() bool { return s.Status().Started })
			}
			if err := nodes["manager"].Close(clustertest.Limited(t)); err != nil {
				t.Fatal(err)
			}
			start("manager")
			clustertest.Until(t, "start at manager", func() bool { return states["manager"].Status().Started })
		})
	}
}

// TestNoStartUp: nodes of versions without these events, and such as were not asked to, say nothing.
func TestNoStartUp(t *testing.T) {
	for version, opts := range map[string][]roles.Option{"5.2": {roles.WithExperimental()}, "8.2": nil} {
		w := watch(t, version, "manager", opts...)
		w.say(t, "Cluster::Experimental::node_fully_connected", str("worker-1"), str("x"), data.Bool(true))
		w.settle(t)
		if w.state.Status().Started || len(w.events("Cluster::Experimental::cluster_started")) > 0 {
			t.Error(version)
		}
	}
}

// say says hello as a node, from the witness.
func (w *witness) hello(t *testing.T, name string) {
	t.Helper()
	if n, err := w.ep.PublishEvent(clustertest.Limited(t), w.node.NodeIDTopic(w.node.ID()), "Cluster::hello", str(name), str(w.ep.ID().String())); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
}

// messages returns the texts of cluster.log.
func (w *witness) messages() []string {
	var all []string
	for _, row := range w.rows("Cluster::LOG") {
		r := zeek.ReadRecord(row)
		r.Next()
		r.Next()
		c, _ := r.Next()
		all = append(all, string(c.Text()))
	}
	return all
}

// TestStartUpEvents: what is said, when, and where, in each version.
func TestStartUpEvents(t *testing.T) {
	started := map[string][]string{
		"6.0":   {"zeek/cluster/logger []", "zeek/cluster/manager []", "zeek/cluster/proxy []", "zeek/cluster/worker []", "zeek/cluster/time_machine []"},
		"8.0":   {"zeek/cluster/logger []", "zeek/cluster/manager []", "zeek/cluster/proxy []", "zeek/cluster/worker []"},
		"8.0.7": {"zeek/cluster/experimental/started []"}, "8.1.1": {"zeek/cluster/logger []", "zeek/cluster/manager []", "zeek/cluster/proxy []", "zeek/cluster/worker []"},
		"8.1.2": {"zeek/cluster/experimental/started []"}, "8.2": {"zeek/cluster/experimental/started []"},
	}
	const event = "Cluster::Experimental::node_fully_connected"
	for version, want := range started {
		w := watch(t, version, "manager", roles.WithExperimental())
		for _, name := range []string{"worker-1", "worker-2", "proxy-1"} {
			w.say(t, event, str(name), str("x"), data.Bool(false))
		}
		checkEvents(t, w, "Cluster::Experimental::cluster_started")
		w.hello(t, "logger-1") // which the manager dials, and speaks for
		checkEvents(t, w, "Cluster::Experimental::cluster_started", want...)
		checkEvents(t, w, event, "zeek/cluster/manager [manager, "+w.node.ID().String()+", F]")
		w.say(t, event, str("worker-1"), str("x"), data.Bool(true))
		w.failed(t, 0)
		checkEvents(t, w, "Cluster::Experimental::cluster_started", want...) // once
	}
	w := watch(t, "8.2", "worker-1", roles.WithExperimental())
	me := "zeek/cluster/manager [worker-1, " + w.node.ID().String() + ", "
	for _, name := range []string{"proxy-1", "manager", "worker-2"} {
		w.hello(t, name)
	}
	checkEvents(t, w, event)
	w.hello(t, "logger-1")
	checkEvents(t, w, event, me+"F]")
	w.say(t, "Cluster::Experimental::cluster_started")
	checkEvents(t, w, event, me+"F]")
	w.failed(t, 0)
}

// TestStartUpRecorded: the nodes of a recorded cluster say the same as ours in their places.
func TestStartUpRecorded(t *testing.T) {
	l, err := layout.ParseNative("recorded", []byte(`
zeek_version: 8.2.2
nodes:
  manager: {type: manager, address: 127.0.0.1, port: 1}
  logger-1: {type: logger, address: 127.0.0.1, port: 2, manager: manager}
  proxy-1: {type: proxy, address: 127.0.0.1, port: 3}
  worker-1: {type: worker, address: 127.0.0.1, port: 4}
`))
	if err != nil {
		t.Fatal(err)
	}
	kept := func(all []string) []string {
		return slices.DeleteFunc(all, func(s string) bool { return s != "fully connected" && s != "cluster connected" })
	}
	links := map[string]string{"manager": "manager_to_logger-1-0", "proxy-1": "proxy-1_to_logger-1-0", "worker-1": "worker-1_to_logger-1-0"}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		recording := new(witness)
		for _, f := range recorded(t, recordings[0], links[name]) {
			if f.dialer {
				recording.hear(t, f.topic, f.payload)
			}
		}
		n, state := newBoard(l).node(t, name, roles.WithExperimental())
		w := witnessOf(t, n, state)
		for _, other := range slices.Backward([]string{"manager", "logger-1", "proxy-1", "worker-1"}) {
			if other != name {
				w.hello(t, other)
			}
			if name == "manager" {
				w.say(t, "Cluster::Experimental::node_fully_connected", str(other), str("x"), data.Bool(false))
			}
		}
		w.settle(t)
		if got, want := kept(w.messages()), kept(recording.messages()); !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("%s: %q, the recording has %q", name, got, want)
		}
	}
}
