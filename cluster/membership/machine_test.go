package membership_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/membership"
	"github.com/zeekpeer/zeekpeer/wire"
)

// fourNodes is the layout of the recorded cluster.
func fourNodes(v layout.Version) *layout.Layout {
	l := &layout.Layout{Version: v, Options: layout.DefaultOptions(v), Source: "test"}
	l.Options.ManagerIsLogger = false
	for i, n := range []layout.Node{
		{Name: "logger-1", Type: layout.Logger, Manager: "manager"}, {Name: "manager", Type: layout.Manager},
		{Name: "proxy-1", Type: layout.Proxy, Manager: "manager"}, {Name: "worker-1", Type: layout.Worker, Manager: "manager"},
	} {
		n.IP = netip.MustParseAddr("127.0.0.1")
		n.Port = layout.Port{Number: uint16(27760 + i), Proto: 1}
		l.Nodes = append(l.Nodes, n)
	}
	return l
}

func id(n byte) wire.EndpointID { return wire.EndpointID{0: n, 15: n} }

func machine(t testing.TB, l *layout.Layout, name string) *membership.Machine {
	t.Helper()
	m, err := membership.New(l, name, id(0xff))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func lines(actions []membership.Action) (all []string) {
	for _, a := range actions {
		all = append(all, a.String())
	}
	return all
}

// What a node does when peers come, say hello and go: CLUSTER.md sections 4.2 to 4.5.
func TestHello(t *testing.T) {
	topic := "zeek/cluster/nodeid/" + id(1).String() + "/"
	for _, c := range []struct {
		name string
		self string
		do   func(m *membership.Machine) []membership.Action
		want []string
	}{
		{"hello to a peer", "worker-1", func(m *membership.Machine) []membership.Action { return m.PeerAdded(id(1)) }, []string{"hello to " + topic}},
		{"a manager announces first", "manager", func(m *membership.Machine) []membership.Action { return m.PeerAdded(id(1)) }, []string{"announce masters to " + topic, "hello to " + topic}},
		{"once for each peering", "worker-1", func(m *membership.Machine) []membership.Action {
			m.PeerAdded(id(1))
			return m.PeerAdded(id(1))
		}, nil},
		{"again after the peering was lost", "worker-1", func(m *membership.Machine) []membership.Action {
			m.PeerAdded(id(1))
			m.PeerLost(id(1))
			return m.PeerAdded(id(1))
		}, []string{"hello to " + topic}},
		{"hello of a node", "manager", func(m *membership.Machine) []membership.Action {
			return m.ReceiveHello(id(1), "worker-1", id(1).String())
		}, []string{
			"log got hello from worker-1 (" + id(1).String() + ")", "node_up worker-1 " + id(1).String(),
		}},
		{"hello of nobody", "manager", func(m *membership.Machine) []membership.Action {
			return m.ReceiveHello(id(1), "worker-9", id(1).String())
		}, []string{
			"warn Got Cluster::hello msg from unexpected node: worker-9",
		}},
		{"hello of nobody with a long name", "manager", func(m *membership.Machine) []membership.Action {
			return m.ReceiveHello(id(1), strings.Repeat("x", 64<<10), id(1).String())
		}, []string{
			`warn Got Cluster::hello msg from unexpected node: "` + strings.Repeat("x", 256) + `"... (65536 bytes)`,
		}},
		{"hello with a long id", "manager", func(m *membership.Machine) []membership.Action {
			return m.ReceiveHello(id(1), "worker-1", strings.Repeat("x", 257))
		}, []string{
			"warn hello from peer " + id(1).String() + ` ignored: "` + strings.Repeat("x", 256) + `" (257 bytes) is no id, want at most 256 bytes without control characters`,
		}},
		{"hello with an id for terminals", "manager", func(m *membership.Machine) []membership.Action {
			return m.ReceiveHello(id(1), "worker-1", "\x1b[2J")
		}, []string{
			"warn hello from peer " + id(1).String() + ` ignored: "\x1b[2J" (4 bytes) is no id, want at most 256 bytes without control characters`,
		}},
		{"hello again", "manager", func(m *membership.Machine) []membership.Action {
			m.ReceiveHello(id(1), "worker-1", id(1).String())
			return m.ReceiveHello(id(1), "worker-1", id(1).String())
		}, []string{"log got hello from worker-1 (" + id(1).String() + ")"}},
		{"hello of another instance", "manager", func(m *membership.Machine) []membership.Action {
			m.ReceiveHello(id(1), "worker-1", id(1).String())
			return m.ReceiveHello(id(2), "worker-1", id(2).String())
		}, []string{"warn Got Cluster::hello msg from duplicate node:worker-1", "log got hello from worker-1 (" + id(2).String() + ")"}},
		{"hello with a foreign id", "manager", func(m *membership.Machine) []membership.Action { return m.ReceiveHello(id(1), "worker-1", "me") }, []string{
			"warn hello from worker-1 names the id me, but the peer that said it is " + id(1).String() + ": when it goes, worker-1 will not be down",
			"log got hello from worker-1 (me)", "node_up worker-1 me",
		}},
		{"a node goes", "manager", func(m *membership.Machine) []membership.Action {
			m.ReceiveHello(id(1), "worker-1", id(1).String())
			return m.PeerLost(id(1))
		}, []string{"log node down: worker-1", "node_down worker-1 " + id(1).String()}},
		{"a peer goes that said nothing", "manager", func(m *membership.Machine) []membership.Action { return m.PeerLost(id(1)) }, nil},
		{"the first of two instances goes", "manager", func(m *membership.Machine) []membership.Action {
			m.ReceiveHello(id(1), "worker-1", id(1).String())
			m.ReceiveHello(id(2), "worker-1", id(2).String())
			return m.PeerLost(id(1))
		}, nil},
		{"removed by us", "manager", func(m *membership.Machine) []membership.Action {
			m.ReceiveHello(id(1), "worker-1", id(1).String())
			m.PeerRemoved(id(1))
			return m.PeerLost(id(2))
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, lines(c.do(machine(t, fourNodes(layout.Newest), c.self)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	m := machine(t, fourNodes(layout.Newest), "manager")
	check := func(want int) {
		t.Helper()
		if got := m.ActiveCount(layout.Worker); got != want {
			t.Errorf("%d workers are active, want %d", got, want)
		}
	}
	check(0)
	m.ReceiveHello(id(1), "worker-1", id(1).String())
	check(1)
	m.ReceiveHello(id(2), "worker-1", id(2).String())
	check(1)
	m.PeerLost(id(1))
	check(1)
	m.PeerLost(id(2))
	check(0)
	if m.NodeCount(layout.Worker) != 1 || m.ID("worker-1") != "" || m.Name(id(2).String()) != "" {
		t.Error("the worker is not gone")
	}
	if _, err := membership.New(fourNodes(layout.Newest), "worker-2", id(1)); err == nil || !strings.Contains(err.Error(), "'worker-2' is not a valid node") {
		t.Errorf("a name that is not in the layout: %v", err)
	}
}

// What each role subscribes to, and in which order: CLUSTER.md sections 3.2 to 3.4.
func TestSubscriptions(t *testing.T) {
	nodeid := "zeek/cluster/nodeid/" + id(0xff).String() + "/"
	for _, c := range []struct {
		version, self string
		pools         []string
		want          []string
	}{
		{"8.2", "worker-1", []string{"zeek/cluster/pool/worker"}, []string{"zeek/cluster/pool/worker", "zeek/cluster/worker", nodeid, "zeek/cluster/node/worker-1/", "zeek/table/"}},
		{"8.0", "logger-1", []string{"zeek/cluster/pool/logger"}, []string{"zeek/cluster/pool/logger", "zeek/cluster/logger", nodeid, "zeek/cluster/node/logger-1/", "zeek/logs/"}},
		{"7.0", "logger-1", nil, []string{"zeek/cluster/logger", "zeek/logs/", nodeid, "zeek/cluster/node/logger-1/"}},
		{"7.0", "manager", nil, []string{"zeek/cluster/manager", nodeid, "zeek/cluster/node/manager/"}},
		{"6.0", "proxy-1", nil, []string{
			"zeek/cluster/proxy", nodeid, "zeek/cluster/node/proxy-1/",
			"bro/cluster/proxy", "bro" + nodeid[len("zeek"):], "bro/cluster/node/proxy-1/",
		}},
	} {
		v, err := layout.ParseVersion(c.version)
		if err != nil {
			t.Fatal(err)
		}
		if got := machine(t, fourNodes(v), c.self).Subscriptions(c.pools); !slices.Equal(got, c.want) {
			t.Errorf("%s of Zeek %s: got %q, want %q", c.self, c.version, got, c.want)
		}
	}
}

// The rows of cluster.log that tell of listening and dialing: CLUSTER.md section 4.1.
func TestTexts(t *testing.T) {
	l := fourNodes(layout.Version{Major: 7})
	if got, want := membership.ListeningText(l, l.Nodes[1]), "listening on :27761/tcp"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := membership.PeeringText(l, l.Nodes[1]), "initiate peering with 127.0.0.1:27761/tcp, retry=1.0 min, status=T"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for d, want := range map[time.Duration]string{
		time.Second: "1.0 sec", 30 * time.Second: "30.0 secs", time.Minute: "1.0 min", 90 * time.Second: "1.5 mins", 0: "0 secs",
		2 * time.Hour: "2.0 hrs", 250 * time.Millisecond: "250.0 msecs",
	} {
		if got := membership.Interval(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
