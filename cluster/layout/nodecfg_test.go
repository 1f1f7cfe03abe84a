package layout

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const cluster = `# Example
[logger-2]
type=logger
host=10.0.0.2

[manager]
TYPE = manager
Host: manager.example

[worker-b]
type=worker
host=2001:db8::7
interface=eth1
zone_id=eth9
af_packet.fanout=5
lb_method=interfaces
lb_procs=3
lb_interfaces=eth1, eth2 ,
   eth3

; a comment
[proxy-1]
type=proxy
host=fe80::1%%eth0

[logger-1]
type=logger
host=10.0.0.1
env_vars=A=1,B=2

[worker-a]
type=worker
host=both.example
interface=eth0
`

var hosts = map[string][]netip.Addr{
	"manager.example": {netip.MustParseAddr("10.0.0.1")},
	"both.example":    {netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("::ffff:10.0.0.9"), netip.MustParseAddr("10.0.0.10")},
	"empty.example":   {},
	"c-mgr":           {netip.MustParseAddr("10.0.0.1")},
	"c-w-01":          {netip.MustParseAddr("::ffff:10.0.0.2"), netip.MustParseAddr("::1")},
}

var errNoHost = errors.New("no such host")

func lookup(host string) ([]netip.Addr, error) {
	if addrs, ok := hosts[host]; ok {
		return addrs, nil
	}
	return nil, errNoHost
}

// Each generation of zeekctl has its own order of ports. The nodes of a type are in the order of the file.
func TestNodeCfgPorts(t *testing.T) {
	for _, c := range []struct {
		version string
		o       NodeCfgOptions
		want    string // name:port:metrics in the order of ports
	}{
		{"5.0", NodeCfgOptions{}, "control:47760 logger-2:47761 logger-1:47762 manager:47763 proxy-1:47764 worker-b-1:47765 worker-b-2:47766 worker-b-3:47767 worker-a:47768"},
		{"5.1", NodeCfgOptions{}, "control:47760 logger-2:47761 logger-1:47762 manager:47763 proxy-1:47764 worker-b-1:47765 worker-b-2:47766 worker-b-3:47767 worker-a:47768"},
		{"5.2", NodeCfgOptions{}, "control:27760 logger-2:27761 logger-1:27762 manager:27763 proxy-1:27764 worker-b-1:27765 worker-b-2:27766 worker-b-3:27767 worker-a:27768"},
		{"6.2", NodeCfgOptions{ZeekPort: 100, MetricsPort: 5}, "control:100 logger-2:101 logger-1:102 manager:103 proxy-1:104 worker-b-1:105 worker-b-2:106 worker-b-3:107 worker-a:108"},
		{"7.0", NodeCfgOptions{}, "control:27760 manager:27761:9991 logger-2:27762:9992 logger-1:27763:9993 proxy-1:27764:9994 worker-b-1:27765:9995 worker-b-2:27766:9996 worker-b-3:27767:9997 worker-a:27768:9998"},
		{"8.0", NodeCfgOptions{MetricsPort: -1}, "control:27760 manager:27761 logger-2:27762 logger-1:27763 proxy-1:27764 worker-b-1:27765 worker-b-2:27766 worker-b-3:27767 worker-a:27768"},
		{"8.0", NodeCfgOptions{ClusterBackend: "ZeroMQ", MetricsPort: 1}, "control:27762 manager:27763:1 logger-2:27764:2 logger-1:27765:3 proxy-1:27766:4 worker-b-1:27767:5 worker-b-2:27768:6 worker-b-3:27769:7 worker-a:27770:8"},
		{"8.2", NodeCfgOptions{MetricsPort: -1}, "control:27762 manager:27763 logger-2:27764 logger-1:27765 proxy-1:27766 worker-b-1:27767 worker-b-2:27768 worker-b-3:27769 worker-a:27770"},
		{"8.2", NodeCfgOptions{ClusterBackend: "broker", MetricsPort: -1}, "control:27760 manager:27761 logger-2:27762 logger-1:27763 proxy-1:27764 worker-b-1:27765 worker-b-2:27766 worker-b-3:27767 worker-a:27768"},
	} {
		t.Run(c.version+c.o.ClusterBackend, func(t *testing.T) {
			c.o.Version, c.o.Resolve = mustVersion(t, c.version), lookup
			l, err := ParseNodeCfg("node.cfg", []byte(cluster), c.o)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, len(l.Nodes))
			for i := range l.Nodes {
				n := &l.Nodes[i]
				rank := 0
				for k := range l.Nodes {
					if l.Nodes[k].Port.Number < n.Port.Number {
						rank++
					}
				}
				got[rank] = fmt.Sprintf("%s:%d", n.Name, n.Port.Number)
				if n.MetricsPort.Number != 0 {
					got[rank] += fmt.Sprintf(":%d", n.MetricsPort.Number)
				}
			}
			if diff := cmp.Diff(strings.Fields(c.want), got); diff != "" {
				t.Error(diff)
			}
			zeromq := strings.Contains(strings.Join(l.Warnings, "\n"), "ZeroMQ")
			if want := c.o.ClusterBackend == "ZeroMQ" || c.version == "8.2" && c.o.ClusterBackend == ""; zeromq != want {
				t.Errorf("warnings %q", l.Warnings)
			}
		})
	}
}

func TestNodeCfg(t *testing.T) {
	o := NodeCfgOptions{Version: Version{7, 0, 0}, Resolve: lookup, MetricsPort: -1, StoreDir: "/stores", TimeMachineHost: netip.MustParseAddr("10.0.0.99")}
	l, err := ParseNodeCfg("node.cfg", []byte(cluster), o)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	want := []Node{
		{Name: "control", Type: Control, IP: addr("10.0.0.1"), Port: tcp(27760)},
		{Name: "logger-1", Type: Logger, IP: addr("10.0.0.1"), Port: tcp(27763)},
		{Name: "logger-2", Type: Logger, IP: addr("10.0.0.2"), Port: tcp(27762)},
		{Name: "manager", Type: Manager, IP: addr("10.0.0.1"), Port: tcp(27761)},
		{Name: "proxy-1", Type: Proxy, IP: addr("fe80::1"), Port: tcp(27764), Manager: "manager"},
		{Name: "time-machine", Type: TimeMachine, IP: addr("10.0.0.99"), Port: tcp(47757)},
		{Name: "worker-a", Type: Worker, IP: addr("10.0.0.9"), Port: tcp(27768), Manager: "manager", Interface: "eth0"},
		{Name: "worker-b-1", Type: Worker, IP: addr("2001:db8::7"), ZoneID: "eth9", Port: tcp(27765), Manager: "manager", Interface: "eth3"},
		{Name: "worker-b-2", Type: Worker, IP: addr("2001:db8::7"), ZoneID: "eth9", Port: tcp(27766), Manager: "manager", Interface: "eth2"},
		{Name: "worker-b-3", Type: Worker, IP: addr("2001:db8::7"), ZoneID: "eth9", Port: tcp(27767), Manager: "manager", Interface: "eth1"},
	}
	if diff := cmp.Diff(want, l.Nodes, byNetip); diff != "" {
		t.Error(diff)
	}
	if l.Options.ManagerIsLogger || l.Options.DefaultStoreDir != "/stores" {
		t.Errorf("%+v", l.Options)
	}
	if diff := cmp.Diff([]string{`node.cfg:24:1: node "proxy-1": fe80::1 is a link-local address without a zone, give it one as zone_id`}, l.Warnings); diff != "" {
		t.Error(diff)
	}
	var lines []string // without loggers
	for _, line := range strings.Split(cluster, "\n") {
		lines = append(lines, strings.ReplaceAll(line, "logger", "worker"))
	}
	l, err = ParseNodeCfg("node.cfg", []byte("\ufeff# zeek_version: 6.0\r\n"+strings.Join(lines, "\r\n")), NodeCfgOptions{Resolve: lookup})
	if err != nil || !l.Options.ManagerIsLogger || l.Version != (Version{6, 0, 0}) || len(l.Sorted(Worker)) != 6 {
		t.Errorf("%+v, %v", l, err)
	}
}

// Every error, with its place.
func TestNodeCfgErrors(t *testing.T) {
	const rest = "\n[m]\ntype=manager\nhost=1.1.1.1\n[p]\ntype=proxy\nhost=1.1.1.2\n"
	for src, want := range map[string]string{
		"":                                          "node.cfg: there is no manager",
		"\xfe\xff":                                  "node.cfg: the file is UTF-16",
		"type=worker":                               `node.cfg:1:1: saw "type=worker", want a section such as [manager] first`,
		"[a]\nfoo":                                  `node.cfg:2:1: saw "foo", want key=value, or a section in brackets`,
		"[a]\n= x":                                  `node.cfg:2:1: saw "= x", want key=value`,
		"[]\n":                                      `node.cfg:1:1: saw "[]", want a section`,
		"[a]\ntype=worker\n[a]\ntype=proxy":         `node.cfg:3:1: two sections are named "a", the other is at line 1`,
		"[a]\ntype=worker\nTYPE=proxy":              `node.cfg:3:1: "type" is there twice, the other is at line 2`,
		"[a]\ntype=worker\nhost=%(b)s":              `node.cfg:3:1: "host": a percent sign in "%(b)s", want %% for one`,
		"[a]\nhost=1.1.1.1":                         `node.cfg:1:1: node "a" has no type, want manager, logger, proxy or worker`,
		"[a]\ntype=wroker\nhost=1.1.1.1":            `node.cfg:2:1: node "a": unknown type "wroker", want manager, logger, proxy or worker`,
		"[a]\ntype=control\nhost=1.1.1.1":           `node.cfg:2:1: node "a": unknown type "control"`,
		"[a]\ntype=worker":                          `node.cfg:1:1: node "a" has no host`,
		"[a]\ntype=worker\nhost=x.example":          `node.cfg:3:1: host "x.example" cannot be looked up: no such host`,
		"[a]\ntype=worker\nhost=empty.example":      `node.cfg:3:1: host "empty.example" has no address`,
		"[a]\ntype=standalone\nhost=1.1.1.1":        `node.cfg:1:1: node "a" is standalone: there is no cluster to be in`,
		"[a]\ntype=standalone\nhost=1.1.1.1" + rest: `node.cfg:1:1: node "a" is standalone, want no other node beside it`,
		"[m]\ntype=manager\nhost=1.1.1.1":           `node.cfg: there is no proxy, want one at least`,
		"[n]\ntype=manager\nhost=1.1.1.1" + rest:    `node.cfg:4:1: a second manager, "m", want one`,
		"[a]\ntype=worker\nhost=1.1.1.1\nlb_method=custom" + rest:                                               `node.cfg:4:1: node "a" has lb_method, want lb_procs, too`,
		"[a]\ntype=logger\nhost=1.1.1.1\nlb_procs=2" + rest:                                                     `node.cfg:4:1: node "a": lb_procs is for workers only`,
		"[a]\ntype=worker\nhost=1.1.1.1\nlb_procs=0\nlb_method=custom" + rest:                                   `node.cfg:4:1: node "a": lb_procs is "0", want a number from 1 to 4096`,
		"[a]\ntype=worker\nhost=1.1.1.1\nlb_procs=5000\nlb_method=custom" + rest:                                `node.cfg:4:1: node "a": lb_procs is "5000", want a number from 1 to 4096`,
		"[a]\ntype=worker\nhost=1.1.1.1\nlb_procs=x\nlb_method=custom" + rest:                                   `node.cfg:4:1: node "a": lb_procs is "x", want`,
		"[a]\ntype=worker\nhost=1.1.1.1\nlb_procs=2" + rest:                                                     `node.cfg:1:1: node "a": lb_method is "", want af_packet, pf_ring, myricom, custom, interfaces`,
		"[a]\ntype=worker\nhost=1.1.1.1\nlb_procs=2\nlb_method=x" + rest:                                        `node.cfg:5:1: node "a": lb_method is "x", want af_packet`,
		"[a]\ntype=worker\nhost=1.1.1.1\nlb_procs=2\nlb_method=interfaces\nlb_interfaces=a" + rest:              `node.cfg:6:1: node "a": lb_interfaces is "a", want 2 of them, as lb_procs says`,
		"[a]\ntype=worker\nhost=1.1.1.1\nlb_procs=1\nlb_method=interfaces" + rest:                               `node.cfg:1:1: node "a": lb_interfaces is "", want 1 of them`,
		"[a]\ntype=worker\nhost=1.1.1.1\nlb_procs=1\nlb_method=custom\n[a-1]\ntype=worker\nhost=1.1.1.1" + rest: `node.cfg:6:1: two nodes are named "a-1", the other is of line 1`,
		"[control]\ntype=worker\nhost=1.1.1.1" + rest:                                                           `node.cfg:1:1: a node is named control, which zeekctl keeps for itself`,
		"[w]\ntype=worker\nhost=1.1.1.1\n" + strings.ReplaceAll(rest, "1.1.1.1", "127.0.0.1"):                   `node.cfg:3:1: node "w" is at 1.1.1.1, which cannot reach the manager at 127.0.0.1`,
		"[w]\ntype=worker\nhost=224.0.0.1\n" + rest:                                                             `node.cfg:3:1: node "w": 224.0.0.1 is a multicast address, which nobody can dial`,
	} {
		_, err := ParseNodeCfg("node.cfg", []byte(src), NodeCfgOptions{Version: Version{7, 0, 0}, Resolve: lookup})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", src, err, want)
		}
		if strings.Contains(want, "no such host") && !errors.Is(err, errNoHost) {
			t.Error("the error of the look-up is lost")
		}
	}
	_, err := ParseNodeCfg("node.cfg", []byte(rest), NodeCfgOptions{Version: Version{7, 0, 0}, ZeekPort: 65535})
	if err == nil || err.Error() != "node.cfg: there are more nodes than ports up to 65535, want a lower ZeekPort or MetricsPort" {
		t.Error(err)
	}
	l, err := ParseNodeCfg("node.cfg", []byte("[DEFAULT]\nhost=1.1.1.1\nfoo=1\n[m]\ntype=manager\n[p]\ntype=proxy\nfoo=2\nhost:1.1.1.3\n"), NodeCfgOptions{Version: Version{7, 0, 0}})
	if err != nil || l.Node("m").IP != netip.MustParseAddr("1.1.1.1") || l.Node("p").IP != netip.MustParseAddr("1.1.1.3") ||
		!cmp.Equal(l.Warnings, []string{`node.cfg:3:1: unknown key "foo" is not read (and 1 more)`}) {
		t.Errorf("%+v %v", l, err)
	}
}

func TestZeekctlCfg(t *testing.T) {
	o, err := ParseZeekctlCfg("zeekctl.cfg", []byte(`# ZeekPort = 1
ZeekPort = 30000
metricsport=0
ClusterBackend = Broker
TimeMachineHost = 10.0.0.9
TimeMachinePort = 5/tcp
SpoolDir = /opt/zeek/spool
MailTo = root@localhost
`))
	want := NodeCfgOptions{ZeekPort: 30000, MetricsPort: -1, ClusterBackend: "Broker", TimeMachineHost: netip.MustParseAddr("10.0.0.9"), TimeMachinePort: tcp(5), StoreDir: "/opt/zeek/spool/stores"}
	if o.Resolve = nil; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, o, byNetip); diff != "" {
		t.Error(diff)
	}
	for src, want := range map[string]string{
		"ZeekPort":            `zeekctl.cfg:1:1: saw "ZeekPort", want key = value`,
		"\n  ZeekPort = x":    `zeekctl.cfg:2:3: ZeekPort: saw "x", want a port up to 65535`,
		"ZeekPort = 0":        `zeekctl.cfg:1:1: ZeekPort is 0, want the first port of the cluster`,
		"MetricsPort=70000":   `zeekctl.cfg:1:1: MetricsPort: saw "70000", want a port up to 65535`,
		"ClusterBackend=NATS": `zeekctl.cfg:1:1: ClusterBackend: saw "NATS", want Broker or ZeroMQ`,
		"TimeMachineHost=x":   `zeekctl.cfg:1:1: TimeMachineHost: saw "x", want an address`,
		"TimeMachinePort=x":   `zeekctl.cfg:1:1: TimeMachinePort: saw "x", want a port such as 47757/tcp`,
	} {
		if _, err := ParseZeekctlCfg("zeekctl.cfg", []byte(src)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", src, err, want)
		}
	}
	if o, err := ParseZeekctlCfg("f", []byte("SpoolDir=${ZeekBase}/spool")); err != nil || o.StoreDir != "" {
		t.Error(o, err)
	}
}

// Load reads the zeekctl.cfg beside a node.cfg.
func TestLoadNodeCfg(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	path := write("node.cfg", "[m]\ntype=manager\nhost=1.1.1.1\n[p]\ntype=proxy\nhost=1.1.1.2\n")
	port := func(opts ...Option) uint16 {
		l, err := Load(path, nil, append(opts, ForVersion(Version{8, 2, 0}))...)
		if err != nil {
			t.Fatal(err)
		}
		return l.Node("m").Port.Number
	}
	if got := port(); got != 27763 {
		t.Error(got)
	}
	write("zeekctl.cfg", "ClusterBackend = Broker\nZeekPort = 5000\n")
	if got := port(); got != 5001 {
		t.Error(got)
	}
	if got := port(WithNodeCfg(NodeCfgOptions{ZeekPort: 6000, ClusterBackend: "Broker"})); got != 6001 {
		t.Error(got)
	}
	write("zeekctl.cfg", "nonsense\n")
	if _, err := Load(path, nil); err == nil || !strings.Contains(err.Error(), "zeekctl.cfg:1:1: saw") {
		t.Error(err)
	}
}
