package layout

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func names(nodes []Node) string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.Name)
	}
	return strings.Join(all, " ")
}

// Who listens, who dials whom and in which order (section 4.1).
func TestWho(t *testing.T) {
	const src = `
  c: {type: control, address: 1.1.1.1, port: 1}
  l-1: {type: logger, address: 1.1.1.1, port: 2, manager: m-1}
  l-10: {type: logger, address: 1.1.1.1, port: 3}
  l-2: {type: logger, address: 1.1.1.1, port: 4}
  m-1: {type: manager, address: 1.1.1.1, port: 5, time_machine: t}
  m-2: {type: manager, address: 1.1.1.1, port: 6}
  p-2: {type: proxy, address: 1.1.1.1, port: 8, time_machine: t}
  p-10: {type: proxy, address: 1.1.1.1, port: 7, manager: m-2}
  w-1: {type: worker, address: 1.1.1.1, port: 9, manager: m-1, time_machine: t}
  w-2: {type: worker, address: 1.1.1.1, manager: m-2}
  t: {type: time_machine, address: 1.1.1.1, port: 10}
`
	for version, timeMachine := range map[string]bool{"5.0": true, "7.0": true, "7.1": false, "8.2": false} {
		l, err := ParseNative("f", []byte("zeek_version: "+version+"\noptions: {default_listen_address: \"::1\"}\nnodes:"+src))
		if err != nil {
			t.Fatal(err)
		}
		tm := func(s string) string {
			if timeMachine {
				return strings.TrimSpace(s + " t")
			}
			return s
		}
		for name, want := range map[string][2]string{
			"c":    {"", ""},
			"l-1":  {"", "m-1 m-2 p-10 p-2 w-1 w-2"},
			"l-10": {"", "m-1 m-2 p-10 p-2 w-1 w-2"},
			"m-1":  {tm("l-1 l-10 l-2"), "w-1"},
			"m-2":  {"l-1 l-10 l-2", "p-10 w-2"},
			"p-10": {"l-1 l-10 l-2 m-2", "w-1 w-2"},
			"p-2":  {"l-1 l-10 l-2", "w-1 w-2"},
			"w-1":  {tm("l-1 l-10 l-2 p-10 p-2 m-1"), ""},
			"w-2":  {"l-1 l-10 l-2 p-10 p-2 m-2", ""},
			"none": {"", ""},
		} {
			if dials, dialedBy := names(l.Dials(name)), names(l.DialedBy(name)); dials != want[0] || dialedBy != want[1] {
				t.Errorf("%s: %s dials %q and is dialed by %q, want %q", version, name, dials, dialedBy, want)
			}
		}
		if got := names(l.DialedBy("t")); got != map[bool]string{true: "m-1 w-1"}[timeMachine] {
			t.Errorf("%s: t is dialed by %q", version, got)
		}
		for name, want := range map[string]string{"c": "[::1]:1", "l-1": "[::1]:2", "w-2": "", "t": "[::1]:10", "none": ""} {
			if got, ok := l.Listens(name); got != want || ok != (want != "") {
				t.Errorf("%s listens at %q, want %q", name, got, want)
			}
		}
		if got := names(l.Sorted(Logger)); got != "l-1 l-10 l-2" {
			t.Error(got)
		}
	}
}

func TestNodeNames(t *testing.T) {
	n := Node{IP: netip.MustParseAddr("fe80::1"), ZoneID: "eth0", Port: tcp(5)}
	if got := n.DialAddr(); got != "[fe80::1%eth0]:5" {
		t.Error(got)
	}
	n.IP = netip.MustParseAddr("10.0.0.1") // has no zones
	if got := n.DialAddr(); got != "10.0.0.1:5" {
		t.Error(got)
	}
	for text, want := range map[interface{ String() string }]string{
		None: "Cluster::NONE", TimeMachine: "Cluster::TIME_MACHINE", NodeType(9): "Cluster::TYPE_9",
		Memory: "Broker::MEMORY", Backend(9): "Broker::BACKEND_9",
	} {
		if text.String() != want {
			t.Errorf("%v, want %s", text, want)
		}
	}
	if Control < Logger && Logger < Manager && Manager < Proxy && Proxy < Worker && Worker < TimeMachine && None < Control {
		return
	}
	t.Error("the types are not in Zeek's order")
}

// What cannot work is an error, what Zeek puts up with is a warning.
func TestCheck(t *testing.T) {
	const m, lg, p, w = "m: {type: manager, address: 1.1.1.1, port: 1}", "l: {type: logger, address: 1.1.1.1, port: 2}",
		"p: {type: proxy, address: 1.1.1.1, port: 3}", "w: {type: worker, address: 1.1.1.1}"
	for _, c := range []struct {
		nodes   string // separated by |
		options string
		want    string // what is told, each error with a !
	}{
		{m + "|" + lg + "|" + p + "|" + w, "", ""},
		{m + "|" + p + "|" + w, "", ""},
		{lg, "", `there is no manager: nobody decides, and stores have no master`},
		{m + "|" + w, "", `there is no proxy: what workers send to proxies`},
		{m + "|" + lg, "manager_is_logger: true", `manager_is_logger is T although there are loggers`},
		{m, "manager_is_logger: false", `nobody writes logs`},
		{m + "|n: {type: manager, address: 1.1.1.1, port: 4}", "", `there are 2 managers: what belongs to all is at the first, "m"`},
		{m + "|" + p + "|w: {type: worker, address: 1.1.1.1, manager: null}", "", `5:3: a worker without a manager dials none`},
		{m + "|" + p + "|w: {type: worker, address: 1.1.1.1, manager: x}", "", `!5:48: node "w" names "x" as its manager, which is not a node`},
		{m + "|" + p + "|w: {type: worker, address: 1.1.1.1, manager: p}", "", `!5:48: node "w" names "p" as its manager, which is a proxy`},
		{m + "|l: {type: logger, address: 1.1.1.1, port: 2, manager: x}", "", `4:57: node "l" names "x" as its manager, which is not a node; a logger dials none`},
		{m + "|l: {type: logger, address: 1.1.1.1}", "", `!4:3: logger "l" has no port, but manager, proxies and workers dial it`},
		{m + "|p: {type: proxy, address: 1.1.1.1}|" + w, "", `!4:3: proxy "p" has no port, but workers dial it`},
		{"m: {type: manager, address: 1.1.1.1}|" + p, "", `!3:3: manager "m" has no port, but "p" dials it`},
		{"m: {type: manager, address: 1.1.1.1}|" + lg, "", ``},
		{m + "|" + p + "|w: {type: worker, address: 1.1.1.1, port: 0/tcp}", "", `5:45: node "w" listens on whatever port its system chooses`},
		{m + "|p: {type: proxy, address: 1.1.1.1, port: 0/tcp}|" + w, "", `!4:44: proxy "p" has no port`},
		{m + "|p: {type: proxy, address: 1.1.1.1, port: 3/udp}", "", `!4:44: node "p" is to listen on 3/udp, want a TCP port`},
		{m + "|p: {type: proxy, address: 1.1.1.1, port: 3, metrics_port: 3/udp}", "", `!4:61: node "p" has its metrics at 3/udp, want a TCP port`},
		{m + "|p: {type: proxy, address: 1.1.1.1, port: 1}", "", `!4:44: "m" and "p" would both listen at 1.1.1.1:1`},
		{m + "|p: {type: proxy, address: \"::ffff:1.1.1.1\", port: 1}", "", `!"m" and "p" would both listen at 1.1.1.1:1`},
		{m + "|p: {type: proxy, address: 1.1.1.2, port: 1}", "", ``},
		{m + "|c: {type: control, address: 1.1.1.1, port: 1}", "", `3:46: "c" and "m" both have 1.1.1.1:1`},
		{m + "|p: {type: proxy, address: 1.1.1.1, port: 3, metrics_port: 1}", "", `4:61: "p" has its metrics at port 1 of 1.1.1.1, where "m" is`},
		{m + "|p: {type: proxy, address: 0.0.0.0, port: 3}", "", `4:29: node "p": others dial 0.0.0.0, which leads to themselves`},
		{m + "|p: {type: proxy, address: \"ff02::1\", port: 3}", "", `!4:29: node "p": ff02::1 is a multicast address, which nobody can dial`},
		{m + "|p: {type: proxy, address: 1.1.1.1, zone_id: x, port: 3}", "", `4:47: node "p": zone "x" means nothing with an IPv4 address`},
		{m + "|p: {type: proxy, address: \"fe80::1\", port: 3}", "", `4:29: node "p": fe80::1 is a link-local address without a zone`},
		{m + `|"": {type: proxy, address: 1.1.1.1, port: 3}`, "", `!4:3: a node has an empty name, which means not clustered`},
		{m + `|"a\0": {type: proxy, address: 1.1.1.1, port: 3}`, "", `!4:3: the name "a\x00" is not UTF-8, or has a NUL`},
		{m + `|"a<$>": {type: proxy, address: 1.1.1.1, port: 3}`, "", `!4:3: the name "a<$>" has <$>, which no topic may have`},
		{m + `|m/x: {type: proxy, address: 1.1.1.1, port: 3}`, "", `4:3: "m" also receives what is sent to "m/x", as their topics begin alike`},
		{m + `|` + strings.Repeat("x", 65520) + `: {type: proxy, address: 1.1.1.1, port: 3}`, "", `!is too long: its topic would have 65539 bytes, at most 65535`},
		{m + `|p: {type: proxy, address: 1.1.1.1, port: 3, interface: "a\0"}`, "", `!node "p": "a\x00" is not UTF-8, or has a NUL`},
		{m, `default_store_dir: "a\0"`, `!default_store_dir: "a\x00" is not UTF-8, or has a NUL`},
		{m, `logger_topic: ` + strings.Repeat("x", 40000), `!logger_topic has 40000 bytes, at most 32767`},
	} {
		text := "zeek_version: 8.2\nnodes:\n  " + strings.ReplaceAll(c.nodes, "|", "\n  ") + "\n"
		if c.options != "" {
			text += "options: {" + c.options + "}\n"
		}
		l, err := ParseNative("f", []byte(text))
		want, isError := strings.CutPrefix(c.want, "!")
		told := ""
		switch {
		case isError && err != nil:
			told = err.Error()
		case !isError && err == nil:
			told = strings.Join(l.Warnings, "\n")
		default:
			t.Errorf("%s %s\n got %v", c.nodes, c.options, err)
			continue
		}
		if !strings.Contains(told, want) || strings.Contains(told, "\n") || want == "" && told != "" {
			t.Errorf("%s %s\n got %s\nwant %s", c.nodes, c.options, told, want)
		}
	}
}

// A program's layout is checked, too.
func TestCheckMadeUp(t *testing.T) {
	ip := netip.MustParseAddr("1.1.1.1")
	l := &Layout{Version: Newest, Options: DefaultOptions(Newest), Nodes: []Node{
		{Name: "a", Type: Manager, IP: ip, Port: tcp(1)}, {Name: "a", Type: Manager, IP: ip, Port: tcp(2)},
		{Name: "b", Type: 9, IP: ip.WithZone("")}, {Name: "c", Type: Worker}, {Name: "d\xff", Type: Control, IP: netip.MustParseAddr("fe80::1%x")},
	}}
	l.Options.DefaultBackend = 9
	_, err := l.Check()
	want := `layout: two nodes are named "a"
layout: node "b" is of type Cluster::TYPE_9, which cannot be clustered
layout: node "c" has no address
layout: the name "d\xff" is not UTF-8, or has a NUL
layout: node "d\xff": a zone within the address, want it as zone_id
layout: default_backend: there is no Broker::BACKEND_9`
	if err == nil || err.Error() != want {
		t.Error(cmp.Diff(want, err.Error()))
	}
	if _, err := (&Layout{Source: "x"}).Check(); err == nil || !strings.HasPrefix(err.Error(), "x: there are no nodes") {
		t.Error(err)
	}
}

// Environment variables are read as Zeek reads them, and have its precedence (section 1.3).
func TestEnv(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const nodes = "redef Cluster::nodes = {" + managerEntry + "};\n"
	plain := write("plain.zeek", nodes)
	says := write("says.zeek", nodes+`redef Cluster::node = "manager"; redef Broker::default_listen_address = "1.1.1.1"; redef Cluster::retry_interval = 7 sec; redef Broker::default_listen_retry = 8 sec;`)
	native := write("says.yaml", "zeek_version: 8.2\nnodes: {manager: {type: manager, address: 1.1.1.1}}\noptions: {node: manager, default_listen_address: 1.1.1.1, retry_interval: 7s, default_listen_retry: 8s}")
	type result struct {
		node, listen   string
		retry, listen2 time.Duration
		warning        string
	}
	for _, c := range []struct {
		path, env string
		want      result
	}{
		{plain, "", result{"", "", time.Second, time.Second, ""}},
		{says, "", result{"manager", "1.1.1.1", 7 * time.Second, 8 * time.Second, ""}},
		{native, "", result{"manager", "1.1.1.1", 7 * time.Second, 8 * time.Second, ""}},
		{plain, "CLUSTER_NODE=manager ZEEK_DEFAULT_LISTEN_ADDRESS=2.2.2.2", result{"manager", "2.2.2.2", time.Second, time.Second, ""}},
		{says, "CLUSTER_NODE=x ZEEK_DEFAULT_LISTEN_ADDRESS=2.2.2.2", result{"manager", "1.1.1.1", 7 * time.Second, 8 * time.Second, ""}},
		{native, "CLUSTER_NODE=x ZEEK_DEFAULT_LISTEN_ADDRESS=2.2.2.2", result{"manager", "1.1.1.1", 7 * time.Second, 8 * time.Second, ""}},
		{plain, "CLUSTER_NODE=x", result{"x", "", time.Second, time.Second, `"x", which this process is to be, is not a node of the layout: Zeek would end`}},
		{says, "ZEEK_DEFAULT_CONNECT_RETRY=3 ZEEK_DEFAULT_LISTEN_RETRY=0.5", result{"manager", "1.1.1.1", 3 * time.Second, 500 * time.Millisecond, ""}},
		{native, "ZEEK_DEFAULT_CONNECT_RETRY=3 ZEEK_DEFAULT_LISTEN_RETRY=0", result{"manager", "1.1.1.1", 3 * time.Second, 0, ""}},
		{plain, "ZEEK_DEFAULT_CONNECT_RETRY= ZEEK_DEFAULT_LISTEN_RETRY=", result{"", "", 0, time.Second, ""}},
		{plain, "ZEEK_DEFAULT_CONNECT_RETRY=2.9", result{"", "", 2 * time.Second, time.Second, ""}},
		{plain, "ZEEK_DEFAULT_CONNECT_RETRY=0.5", result{"", "", 0, time.Second, ""}},
		{plain, "ZEEK_DEFAULT_CONNECT_RETRY=x5", result{"", "", 0, time.Second, ""}},
		{plain, "ZEEK_DEFAULT_CONNECT_RETRY=\t+5sec", result{"", "", 5 * time.Second, time.Second, ""}},
		{plain, "ZEEK_DEFAULT_CONNECT_RETRY=-5", result{"", "", 0, time.Second, `ZEEK_DEFAULT_CONNECT_RETRY is "-5": a negative interval is taken for 0, one attempt only`}},
		{plain, "ZEEK_DEFAULT_LISTEN_RETRY=x", result{"", "", time.Second, 0, `ZEEK_DEFAULT_LISTEN_RETRY is "x", want seconds: taken for 0, one attempt only`}},
		{plain, "ZEEK_DEFAULT_LISTEN_RETRY=-1", result{"", "", time.Second, 0, `ZEEK_DEFAULT_LISTEN_RETRY is "-1", want seconds`}},
		{plain, "ZEEK_DEFAULT_LISTEN_RETRY=1e300", result{"", "", time.Second, 0, `ZEEK_DEFAULT_LISTEN_RETRY is "1e300", want seconds`}},
	} {
		env := func(key string) (string, bool) {
			for _, pair := range strings.Split(c.env, " ") {
				if k, v, ok := strings.Cut(pair, "="); ok && k == key {
					return v, true
				}
			}
			return "", false
		}
		l, err := Load(c.path, env, ForVersion(Version{8, 2, 0}))
		if err != nil {
			t.Fatal(err)
		}
		o := &l.Options
		got := result{o.Node, o.DefaultListenAddress, o.ConnectRetry(), o.DefaultListenRetry, c.want.warning}
		if got != c.want || !strings.Contains(strings.Join(l.Warnings, "\n"), c.want.warning) {
			t.Errorf("%s %q: %+v, want %+v; warnings %q", filepath.Base(c.path), c.env, got, c.want, l.Warnings)
		}
	}
	for text, want := range map[string]int32{"": 0, "-": 0, "12": 12, " \n-7x": -7, "--5": 0, "99999999999": 1215752191, "99999999999999999999": -1, "-99999999999999999999": 0} {
		if got := atoi(text); got != want {
			t.Errorf("atoi(%q) is %d, want %d", text, got, want)
		}
	}
}

// A file is what its name says, else what it looks like.
func TestKindOf(t *testing.T) {
	for _, c := range [][3]string{
		{"a.zeek", "nodes:", "zeek"}, {"a.bro", "", "zeek"}, {"node.cfg", "nodes:", "cfg"}, {"a.yaml", "redef", "native"}, {"a.yml", "", "native"},
		{"a", "# c\n\nredef Cluster::nodes", "zeek"}, {"a", "\ufeff@load x", "zeek"}, {"a", "module Cluster;", "zeek"},
		{"a", "; c\n[manager]\n", "cfg"}, {"a", "# c\nzeek_version: 8.2", "native"}, {"a", "", "native"}, {"a", "#", "native"},
	} {
		if got := kindOf(c[0], []byte(c[1])); got != c[2] {
			t.Errorf("%q is %s, want %s", c[:2], got, c[2])
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.zeek"), nil); !os.IsNotExist(err) && !strings.Contains(err.Error(), "none.zeek") {
		t.Error(err)
	}
}

func TestStore(t *testing.T) {
	l, err := ParseNative("f", []byte(`
zeek_version: 8.2
nodes:
  m-1: {type: manager, address: 1.1.1.1, port: 1}
  m-2: {type: manager, address: 1.1.1.1, port: 2}
  p: {type: proxy, address: 1.1.1.1, port: 3}
options: {default_store_dir: /d}
stores:
  own: {backend: sqlite, path: /own}
  mine: {master_node: p, clone_stale_interval: 1s}
  pebbles: {backend: pebble}
`))
	if err != nil {
		t.Fatal(err)
	}
	const resync, stale, mutation = 10 * time.Second, 5 * time.Minute, 2 * time.Minute
	for _, c := range []struct {
		name       string
		persistent bool
		want       StoreInfo
	}{
		{"x", false, StoreInfo{"x", "m-1", Memory, "", resync, stale, mutation}},
		{"zeek/known/hosts", true, StoreInfo{"zeek/known/hosts", "m-1", SQLite, "/d/zeek/known/hosts.sqlite", resync, stale, mutation}},
		{"own", false, StoreInfo{"own", "m-1", SQLite, "/own", resync, stale, mutation}},
		{"own", true, StoreInfo{"own", "m-1", SQLite, "/own", resync, stale, mutation}},
		{"mine", true, StoreInfo{"mine", "p", SQLite, "/d/mine.sqlite", resync, time.Second, mutation}},
		{"pebbles", false, StoreInfo{"pebbles", "m-1", Pebble, "/d/pebbles.pebble", resync, stale, mutation}},
	} {
		if got, err := l.Store(c.name, c.persistent); err != nil || got != c.want {
			t.Errorf("%+v %v, want %+v", got, err, c.want)
		}
	}
	l.Options.DefaultStoreDir, l.Options.DefaultMasterNode = "", "p"
	if got, err := l.Store("x", true); err != nil || got.Path != "x.sqlite" || got.MasterNode != "p" {
		t.Error(got, err)
	}
	l.Options.DefaultMasterNode = "y"
	if _, err := l.Store("x", true); err == nil || err.Error() != `store "x": its master is to be on "y", which is not a node of the layout` {
		t.Error(err)
	}
	if _, err := (&Layout{}).Store("x", true); err == nil || !strings.Contains(err.Error(), "there is no manager to have the master") {
		t.Error(err)
	}
}
