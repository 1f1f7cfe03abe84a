package roles_test

import (
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/cluster/roles"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func checkEvents(t *testing.T, w *witness, name string, want ...string) {
	t.Helper()
	w.settle(t)
	if got := w.events(name); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

// TestSumStats: a worker has no keys and no results, and says so each time it is asked.
func TestSumStats(t *testing.T) {
	for _, version := range []string{"5.0", "9.0"} {
		w := watch(t, version, "worker-1")
		key := list(str("k"), host("10.0.0.1"))
		w.say(t, "SumStats::cluster_ss_request", str("u1"), str("scan"), data.Bool(true))
		w.say(t, "SumStats::get_a_key", str("u1"), str("scan"), data.Bool(true))
		w.say(t, "SumStats::cluster_get_result", str("u2"), str("scan"), key, data.Bool(false))
		w.say(t, "SumStats::cluster_get_result", str("u3"), str("scan"), key, data.Bool(true))
		w.say(t, "SumStats::cluster_threshold_crossed", str("scan"), key, data.Count(1))
		checkEvents(t, w, "SumStats::send_no_key", "zeek/cluster/manager [u1, scan]")
		checkEvents(t, w, "SumStats::cluster_send_result", "zeek/cluster/manager [u2, scan, [k, 10.0.0.1], {}, F]", "zeek/cluster/manager [u3, scan, [k, 10.0.0.1], {}, T]")
		s := w.state.Status()
		if s.Ignored["SumStats::cluster_ss_request"] != 1 || s.Ignored["SumStats::cluster_threshold_crossed"] != 1 || len(s.Ignored) != 2 || s.Answered < 3 {
			t.Errorf("%+v", s)
		}
		w.say(t, "SumStats::get_a_key", str("u1"), str("scan"))
		w.say(t, "SumStats::cluster_get_result", str("u1"), data.Count(1), key, data.Bool(true))
		w.failed(t, 2)
	}
}

// TestControl: all nodes answer control requests, where their version does.
func TestControl(t *testing.T) {
	for version, suffix := range map[string]string{"5.0": "", "7.2": "", "8.0": "/proxy-1"} {
		var ended atomic.Int32
		var c clock
		c.Store(1_700_000_000_500_000_000)
		w := watch(t, version, "proxy-1", roles.WithShutdown(func() { ended.Add(1) }), roles.WithClock(c.now))
		topic := func(kind string) string { return "zeek/control/" + kind + "_response" + suffix + " " }
		for _, id := range []string{"Cluster::node", "X::y", "X::z"} {
			w.say(t, "Config::cluster_set_option", str("X::y"), data.Set(data.Count(2), data.Count(1)), str("test"))
			w.say(t, "Control::id_value_request", str(id))
		}
		checkEvents(t, w, "Control::id_value_response", topic("id_value")+"[Cluster::node, proxy-1]", topic("id_value")+"[X::y, {1, 2}]", topic("id_value")+"[X::z, <unknown id>]")
		if got := w.events("Control::net_stats_response")[0]; got != topic("net_stats")+`[1700000000.500000 recvd=0 dropped=0 link=0\x0a]` {
			t.Errorf("%q", got)
		}
		// zeekctl publishes on a topic of its own.
		if n, err := w.ep.PublishEvent(clustertest.Limited(t), "zeek/control/"+w.node.ID().String(), "Control::peer_status_request"); err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		w.settle(t)
		status := w.events("Control::peer_status_response")
		if len(status) != 1 || !regexp.MustCompile(`^`+regexp.QuoteMeta(topic("peer_status"))+`\[1700000000\.500000 peer=`+w.ep.ID().String()+` host=127\.0\.0\.1 status=Broker::PEERED\\x0a\]$`).MatchString(status[0]) {
			t.Errorf("%q", status)
		}
		w.say(t, "Control::configuration_update_request")
		checkEvents(t, w, "Control::configuration_update_response", topic("configuration_update")+"[]")
		w.say(t, "Control::shutdown_request")
		checkEvents(t, w, "Control::shutdown_response", topic("shutdown")+"[]")
		if ended.Load() != 1 {
			t.Errorf("ended %d times", ended.Load())
		}
		w.say(t, "Control::shutdown_request", str("now"))
		w.say(t, "Control::id_value_request")
		w.failed(t, 2)
	}
	w := watch(t, "8.2", "worker-1")
	w.say(t, "Control::shutdown_request")
	checkEvents(t, w, "Control::shutdown_response", "zeek/control/shutdown_response/worker-1 []")
}

// TestHarmless: events with which a node has nothing to do are counted apart from those that it has no handler for.
func TestHarmless(t *testing.T) {
	for _, name := range []string{"worker-1", "proxy-1", "logger-1", "manager"} {
		w := watch(t, "8.2", name)
		for range 2 {
			w.say(t, "Cluster::table_change_infos", list(), list())
			w.say(t, "Broker::announce_masters", data.Set())
			w.say(t, "Intel::match_remote", list())
		}
		w.say(t, "Cluster::Experimental::cluster_started")
		w.say(t, "Cluster::Experimental::node_fully_connected", str("worker-1"), str("x"), data.Bool(false))
		w.failed(t, 0)
		s := w.state.Status()
		if s.Ignored["Cluster::table_change_infos"] != 2 || s.Ignored["Broker::announce_masters"] != 2 || len(s.Ignored) != 2 || !s.Started {
			t.Errorf("%s: %+v", name, s)
		}
		if u := w.node.Unhandled(); u["Intel::match_remote"] != 2 || len(u) != 1 {
			t.Errorf("%s: %v", name, u)
		}
	}
}

// TestOptionsRemembered: nodes remember what options are set to, up to a bound.
func TestOptionsRemembered(t *testing.T) {
	w := watch(t, "8.2", "worker-1")
	set := func(id string, v data.Value) { w.say(t, "Config::cluster_set_option", str(id), v, str("here")) }
	set("A::b", data.Count(1))
	set("A::b", data.Count(2))
	set("A::none", none)
	big := str(strings.Repeat("x", 5<<20))
	for range 2 { // the second time in place of the first
		for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
			set(id, big)
		}
	}
	w.failed(t, 0)
	set("m", big)
	w.say(t, "Config::cluster_set_option", str("A::b"), data.Count(2))
	w.failed(t, 2)
	if _, _, ok := w.state.Option("m"); ok {
		t.Error("there was no room for m")
	}
	if v, location, ok := w.state.Option("A::b"); !ok || location != "here" || !v.Equal(data.Count(2)) {
		t.Errorf("%v %q %v", v, location, ok)
	}
	if o := w.state.Status().Options; len(o) != 14 || o["A::none"] != "nil" {
		t.Errorf("%d options", len(o))
	}
	checkEvents(t, w, "Config::cluster_set_option") // it is not passed on
}
