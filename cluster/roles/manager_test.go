package roles_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/cluster/roles"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// TestManagerForwardsOptions: what is set at one node is told to all, in the order of the topics, and to nodes that
// come later.
func TestManagerForwardsOptions(t *testing.T) {
	for version, topics := range map[string][]string{
		"5.2": {"worker", "proxy", "logger"},
		"7.0": {"logger", "manager", "proxy", "worker", "time_machine"},
		"8.2": {"logger", "manager", "proxy", "worker"},
	} {
		w := watch(t, version, "manager")
		w.say(t, "Config::cluster_set_option", str("A::b"), list(data.Count(1)), str("x"))
		var want []string
		for _, topic := range topics {
			want = append(want, "zeek/cluster/"+topic+" [A::b, [1], x]")
		}
		checkEvents(t, w, "Config::cluster_set_option", want...)
		w.say(t, "Config::cluster_set_option", str("A::a"), none, str(""))
		w.settle(t)
		before := len(w.events("Config::cluster_set_option"))
		// The witness is worker-2 from now on.
		if n, err := w.ep.PublishEvent(clustertest.Limited(t), w.node.NodeIDTopic(w.node.ID()), "Cluster::hello", str("worker-2"), str(w.ep.ID().String())); err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		w.failed(t, 0)
		if got := w.events("Config::cluster_set_option")[before:]; !slices.Equal(got, []string{"zeek/cluster/node/worker-2/ [A::a, nil, ]", "zeek/cluster/node/worker-2/ [A::b, [1], x]"}) {
			t.Errorf("%s: %q", version, got)
		}
	}
}

// TestOptionsEverywhere: an option that is set at a worker arrives at all nodes, and at one that starts later.
func TestOptionsEverywhere(t *testing.T) {
	b := newBoard(newLayout(t, "8.2", ""))
	states := make(map[string]*roles.State)
	nodes := make(map[string]*cluster.Node)
	for _, name := range []string{"manager", "logger-1", "proxy-1", "worker-1"} {
		nodes[name], states[name] = b.node(t, name)
	}
	wait := func(name string, others ...string) {
		if err := nodes[name].WaitNodes(clustertest.Limited(t), others...); err != nil {
			t.Fatal(err)
		}
	}
	wait("manager", "logger-1", "proxy-1", "worker-1")
	wait("worker-1", "manager")
	has := func(name string) {
		clustertest.Until(t, "option at "+name, func() bool { v, _, ok := states[name].Option("A::b"); return ok && v.Equal(str("y")) })
	}
	if n, err := nodes["worker-1"].Publish(clustertest.Limited(t), "zeek/cluster/manager", "Config::cluster_set_option", str("A::b"), str("y"), str("")); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	for name := range states {
		has(name)
	}
	nodes["worker-2"], states["worker-2"] = b.node(t, "worker-2")
	has("worker-2")
}

// TestManagerRelays: a manager passes on what no proxy does, which notices are suppressed, which certificates are logged,
// and changes of tables.
func TestManagerRelays(t *testing.T) {
	suppression := []data.Value{when, data.Timespan(time.Hour), data.Enum("Scan::Port_Scan"), str("id")}
	for version, event := range map[string]string{
		"5.0": "Notice::manager_begin_suppression", "7.0": "Notice::manager_begin_suppression", "7.1": "Notice::begin_suppression", "8.0": "Notice::begin_suppression",
		"8.1": "Notice::suppression_batch_internal", "9.0": "Notice::suppression_batch_internal",
	} {
		w := watch(t, version, "manager")
		heard, args := "Notice::begin_suppression", suppression
		if strings.HasSuffix(event, "internal") {
			heard, args = event, []data.Value{list(list(suppression...))}
		}
		w.say(t, event, args...)
		w.say(t, event, args[:len(args)-1]...)
		w.failed(t, 1)
		want := data.Vector(args...).String()
		checkEvents(t, w, heard, "zeek/cluster/worker "+want, "zeek/cluster/proxy "+want)
	}
	w := watch(t, "8.2", "manager")
	w.say(t, "sync_remove_expected_data", host("10.0.0.1"), tcp(21))
	w.say(t, "dcc_transfer_add", host("10.0.0.1"), tcp(21), list(when))
	w.say(t, "Cluster::forward_table_change_infos", list(str("A::t")), list(list(str("x"))), str("zeek/table/A::t"))
	w.say(t, "Cluster::forward_table_change_infos", list(str("A::t")), none, str("zeek/table/A::t"))
	w.say(t, "Intel::insert_indicator", list())
	w.say(t, "X509::log_cert_hashes_internal", data.Set(list(str("hash"), data.Bool(false), data.Bool(true))))
	w.failed(t, 1)
	checkEvents(t, w, "sync_remove_expected_data", "zeek/cluster/worker [10.0.0.1, 21/tcp]")
	checkEvents(t, w, "dcc_transfer_add", "zeek/cluster/worker [10.0.0.1, 21/tcp, [2023-11-14T22:13:20.123456Z]]")
	checkEvents(t, w, "Cluster::table_change_infos", "zeek/table/A::t [[A::t], [[x]]]")
	checkEvents(t, w, "Intel::insert_indicator")
	checkEvents(t, w, "X509::log_cert_hashes_internal", "zeek/cluster/worker [{[hash, F, T]}]")
}

// TestStores: a node makes the stores of the layout whose masters are at it; the manager of 5.x also those that workers
// then keep what is known in.
func TestStores(t *testing.T) {
	const stores = "stores:\n  a: {}\n  b: {master_node: proxy-1}\n"
	for _, c := range []struct {
		version, name string
		want          []string
	}{
		{"5.2", "manager", []string{"a", "zeek/known/certs", "zeek/known/hosts", "zeek/known/services"}},
		{"6.0", "manager", []string{"a"}},
		{"5.2", "proxy-1", []string{"b"}},
		{"5.2", "worker-1", nil},
	} {
		n, _ := newBoard(newLayout(t, c.version, stores)).node(t, c.name)
		var got []string
		for _, s := range n.Status().Stores {
			got = append(got, s.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s of %s: %q, want %q", c.name, c.version, got, c.want)
		}
	}
	l := newLayout(t, "8.2", "stores:\n  a: {backend: sqlite}\n")
	n, err := cluster.New(l, "manager", cluster.WithEndpoint(endpoint.WithSecurity(endpoint.PlainTCP())))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	if _, err := roles.Install(n); err == nil || !strings.Contains(err.Error(), "without the backend Broker::SQLITE") {
		t.Error(err)
	}
}

// TestWhatTheyDo: each type says what it does, and a manager what it does not.
func TestWhatTheyDo(t *testing.T) {
	l := newLayout(t, "8.2", "stores:\n  a: {}\n")
	for name, want := range map[string][]string{
		"manager":  {"hosts the stores a", "passes on: suppressed notices", "hands options", "control requests", "start-up events", "does not do", "intel"},
		"proxy-1":  {"known hosts, services and certificates", "software", "passes on to workers", "control requests", "start-up events"},
		"worker-1": {"SumStats", "control requests", "start-up events"},
		"logger-1": {"counts the rows", "control requests", "start-up events"},
	} {
		n, err := cluster.New(l, name, cluster.WithEndpoint(endpoint.WithSecurity(endpoint.PlainTCP())))
		if err != nil {
			t.Fatal(err)
		}
		does, err := roles.Install(n, roles.WithExperimental())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(strings.Join(does, "\n"), w) {
				t.Errorf("%s: %q lacks %q", name, does, w)
			}
		}
		if _, err := roles.Install(n, roles.WithMemory(1)); err == nil {
			t.Error("a memory of one byte")
		}
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
