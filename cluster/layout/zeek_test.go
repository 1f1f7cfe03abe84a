package layout

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// byNetip compares what cmp cannot look into.
var byNetip = cmpopts.EquateComparable(netip.Addr{})

// The place holder of scripts for nodes that make a whole, and what they are.
const (
	managerEntry = `["manager"] = [$node_type=Cluster::MANAGER, $ip=10.0.0.1, $p=1/tcp]`
	loggerEntry  = `["logger"] = [$node_type=Cluster::LOGGER, $ip=10.0.0.1, $p=2/tcp]`
	proxyEntry   = `["proxy"] = [$node_type=Cluster::PROXY, $ip=10.0.0.1, $p=3/tcp, $manager="manager"]`
)

var (
	managerNode = Node{Name: "manager", Type: Manager, IP: netip.MustParseAddr("10.0.0.1"), Port: tcp(1)}
	loggerNode  = Node{Name: "logger", Type: Logger, IP: netip.MustParseAddr("10.0.0.1"), Port: tcp(2)}
	proxyNode   = Node{Name: "proxy", Type: Proxy, IP: netip.MustParseAddr("10.0.0.1"), Port: tcp(3), Manager: "manager"}
)

// parse82 reads a script for Zeek 8.2.
func parse82(src string) (*Layout, error) {
	return ParseZeek("l.zeek", []byte(src), ForVersion(Version{8, 2, 0}))
}

// What one worker says of itself, in every way there is.
func TestZeekNodes(t *testing.T) {
	worker := Node{Name: "w", Type: Worker, IP: netip.MustParseAddr("10.0.0.7"), Port: tcp(47765), Manager: "manager"}
	with := func(change func(n *Node)) Node {
		n := worker
		change(&n)
		return n
	}
	const base = `$node_type=Cluster::WORKER, $manager="manager", `
	entry := func(fields string) string { return `redef Cluster::nodes += { ["w"] = [` + base + fields + `] };` }
	v6 := with(func(n *Node) { n.IP = netip.MustParseAddr("2001:db8::7") })
	for _, c := range []struct {
		name, src string
		want      Node
	}{
		{"plain", entry(`$ip=10.0.0.7, $p=47765/tcp`), worker},
		{"comma at the end of the record", entry(`$ip=10.0.0.7, $p=47765/tcp,`), worker},
		{"comma at the end of the table", `redef Cluster::nodes += { ["w"] = [` + base + `$ip=10.0.0.7, $p=47765/tcp], };`, worker},
		{"blanks and line ends", "redef\n\tCluster::nodes\n+=\n{\n[ \"w\" ]\n=\n[ $node_type = Cluster::WORKER ,\n$manager = \"manager\",$ip =10.0.0.7, $p= 47765/tcp ]\n}\n;\n", worker},
		{"comments", "# a\nredef Cluster::nodes += { # b } ;\n##! c\n[\"w\"] = [" + base + "#\n$ip=10.0.0.7, $p=47765/tcp] } # d\n; #", worker},
		{"type", `redef Cluster::nodes: table[string] of Cluster::Node += { ["w"] = [` + base + `$ip=10.0.0.7, $p=47765/tcp] };`, worker},
		{"attributes", `redef Cluster::nodes += { ["w"] = [` + base + `$ip=10.0.0.7, $p=47765/tcp] } &redef &default=[$ip=1.2.3.4];`, worker},
		{"table()", `redef Cluster::nodes += table( ["w"] = [` + base + `$ip=10.0.0.7, $p=47765/tcp], );`, worker},
		{"index without brackets", `redef Cluster::nodes += { "w" = [` + base + `$ip=10.0.0.7, $p=47765/tcp] };`, worker},
		{"constructor", `redef Cluster::nodes += { ["w"] = Cluster::Node(` + base + `$ip=10.0.0.7, $p=47765/tcp) };`, worker},
		{"constructor in table()", `redef Cluster::nodes += table(["w"] = Cluster::Node(` + base + `$ip=10.0.0.7, $p=47765/tcp));`, worker},
		{"module", `module Cluster; redef nodes += { ["w"] = Node($node_type=WORKER, $manager="manager", $ip=10.0.0.7, $p=47765/tcp) }; module GLOBAL;`, worker},
		{"export", `export { redef Cluster::nodes += { ["w"] = [` + base + `$ip=10.0.0.7, $p=47765/tcp] }; }`, worker},
		{"parentheses", entry(`$ip=(10.0.0.7), $p=((47765/tcp))`), worker},
		{"no port", entry(`$ip=10.0.0.7`), with(func(n *Node) { n.Port = Port{} })},
		{"port 0/unknown", entry(`$ip=10.0.0.7, $p=0/unknown`), with(func(n *Node) { n.Port = Port{} })},
		{"IPv6", entry(`$ip=[2001:db8::7], $p=47765/tcp`), v6},
		{"IPv6 in capitals", entry(`$ip=[2001:DB8:0::7], $p=47765/tcp`), v6},
		{"IPv4 as IPv6", entry(`$ip=[::ffff:10.0.0.7], $p=47765/tcp`), worker},
		{"zone", entry(`$ip=[fe80::7], $zone_id="eth0", $p=47765/tcp`), with(func(n *Node) { n.IP, n.ZoneID = netip.MustParseAddr("fe80::7"), "eth0" })},
		{"metrics", entry(`$ip=10.0.0.7, $p=47765/tcp, $metrics_port=9995/tcp`), with(func(n *Node) { n.MetricsPort = tcp(9995) })},
		{"to_addr and to_port", entry(`$ip=to_addr("10.0.0.7"), $p=to_port("47765/tcp")`), worker},
		{"to_addr in brackets", entry(`$ip=to_addr("[2001:db8::7]"), $p=47765/tcp`), v6},
		{"to_addr without", entry(`$ip=to_addr("2001:db8::7"), $p=47765/tcp`), v6},
		{"count_to_port", entry(`$ip=10.0.0.7, $p=count_to_port(47765, tcp)`), worker},
		{"to_count", entry(`$ip=10.0.0.7, $p=count_to_port(to_count("47765"), tcp)`), worker},
		{"sums", entry(`$ip=10.0.0.7, $p=count_to_port(47000 + 766 - 1, tcp)`), worker},
		{"strings put together", entry(`$ip=to_addr("10.0." + "0.7"), $p=47765/tcp`), worker},
		{"constants", `const here = 10.0.0.7 &redef; global p: port = 47765/tcp; option w = "w"; redef Cluster::nodes += { [w] = [` + base + `$ip=here, $p=p] };`, worker},
		{"a constant redefined", `const here = 10.0.0.8 &redef; redef here = 10.0.0.7;` + entry(`$ip=here, $p=47765/tcp`), worker},
		{"a constant of a module", `module Site; const here = 10.0.0.7; redef Cluster::nodes += { ["w"] = [` + base + `$ip=here, $p=47765/tcp] };`, worker},
		{"a field of a constant", `const all = [$here=10.0.0.7];` + entry(`$ip=all$here, $p=47765/tcp`), worker},
		{"escapes", `redef Cluster::nodes += { ["\x77"] = [$node_type=Cluster::WORKER, $manager="\155anag\er", $ip=10.0.0.7, $p=47765/tcp] };`, worker},
		{"an element of a table", `const all: table[string] of addr = { ["a"] = 10.0.0.8, ["b"] = 10.0.0.7 };` + entry(`$ip=all["b"], $p=47765/tcp`), worker},
		{"an element of a vector", `const all = vector(10.0.0.8, 10.0.0.7);` + entry(`$ip=(all as vector of addr)[1], $p=47765/tcp`), worker},
		{"a table that grows", `const all: table[string] of Host &ordered &redef; redef all += { ["a"] = [$ip=10.0.0.8] }; redef all += { ["b"] = [$ip=10.0.0.7] };` + entry(`$ip=all["b"]$ip, $p=47765/tcp`), worker},
		{"all escapes", `redef Cluster::nodes += { ["w"] = [` + base + `$ip=10.0.0.7, $p=47765/tcp, $interface="\a\b\f\v\n\t\r\x4\x\101\7\\\"#"] };`, with(func(n *Node) { n.Interface = "\a\b\f\v\n\t\r\x04xA\a\\\"#" })},
		{"replaced", entry(`$ip=10.0.0.8, $p=1/tcp`) + entry(`$ip=10.0.0.7, $p=47765/tcp`), worker},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := parse82("redef Cluster::nodes = {" + managerEntry + "," + proxyEntry + "};" + c.src)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Node{managerNode, proxyNode, c.want}, l.Nodes, byNetip); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// = replaces, += adds, -= removes.
func TestZeekRedefs(t *testing.T) {
	for src, want := range map[string][]Node{
		`redef Cluster::nodes = {};` + "redef Cluster::nodes += {" + managerEntry + "};":                                                          {managerNode},
		"redef Cluster::nodes = {" + loggerEntry + "}; redef Cluster::nodes = {" + managerEntry + "};":                                            {managerNode},
		"redef Cluster::nodes = {" + loggerEntry + "," + managerEntry + `}; redef Cluster::nodes -= { ["logger"] };`:                              {managerNode},
		"redef Cluster::nodes = {" + loggerEntry + "," + managerEntry + `}; redef Cluster::nodes -= { "logger" };`:                                {managerNode},
		"redef Cluster::nodes = {" + loggerEntry + "," + managerEntry + `}; redef Cluster::nodes -= table("logger", "other");`:                    {managerNode},
		"redef Cluster::nodes = {" + managerEntry + `}; redef Cluster::nodes += table(); ;; redef Cluster::nodes += {` + loggerEntry + `};`:       {loggerNode, managerNode},
		"redef Cluster::nodes = {" + proxyEntry + "," + managerEntry + `}; redef Cluster::nodes -= { ["proxy"] = [$ip=1.1.1.1] };`:                {managerNode},
		"\ufeffredef Cluster::nodes = {" + managerEntry + "};":                                                                                    {managerNode},
		strings.ReplaceAll("@pragma push ignore-deprecations\n# c\nredef Cluster::nodes = {\n"+managerEntry+",\n};\n@pragma pop\n", "\n", "\r\n"): {managerNode},
	} {
		l, err := parse82(src)
		if err != nil {
			t.Errorf("%s\n%v", src, err)
			continue
		}
		if diff := cmp.Diff(want, l.Nodes, byNetip); diff != "" {
			t.Errorf("%s\n%s", src, diff)
		}
	}
}

// Options and stores that do not belong into a layout are applied, and warned of.
func TestZeekOptions(t *testing.T) {
	l, err := parse82(`# the whole
redef Cluster::nodes = {` + managerEntry + `,` + loggerEntry + `};
redef Cluster::manager_is_logger = F;
redef Cluster::retry_interval = 1.5 min;
redef Cluster::default_store_dir = "/var/lib/zeek";
redef Cluster::default_backend = Broker::SQLITE;
redef Cluster::default_master_node = "logger";
redef Cluster::enable_round_robin_logging = F;
redef Cluster::worker_topic = "site/worker";
redef Broker::default_listen_retry = 5secs;
redef Broker::default_listen_address = "127.0.0.1";
redef Cluster::stores += {
	["a"] = [$backend=Broker::MEMORY, $clone_stale_interval=2 hrs],
	["b"] = Cluster::StoreInfo($master_node="manager", $options=Broker::BackendOptions($sqlite=[$path="/b"]), $clone_resync_interval=500 msec, $clone_mutation_buffer_interval=1day),
	["c"] = [$name="c"],
};
redef Cluster::stores -= { ["c"] };
redef Telemetry::metrics_port = Cluster::local_node_metrics_port();
redef Site::local_nets += { 10.0.0.0/8, [fe80::]/10 };
redef Notice::emailed_types += { /a"b/ };
redef record Cluster::Node += { site: string &optional; };
redef enum Log::ID += { LOG };
`)
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultOptions(l.Version)
	want.ManagerIsLogger, want.EnableRoundRobinLogging = false, false
	want.RetryInterval, want.DefaultListenRetry, want.DefaultListenAddress = 90*time.Second, 5*time.Second, "127.0.0.1"
	want.DefaultStoreDir, want.DefaultBackend, want.DefaultMasterNode, want.WorkerTopic = "/var/lib/zeek", SQLite, "logger", "site/worker"
	if diff := cmp.Diff(want, l.Options); diff != "" {
		t.Error(diff)
	}
	stores := []StoreInfo{
		{"a", "logger", Memory, "", 10 * time.Second, 2 * time.Hour, 2 * time.Minute},
		{"b", "manager", SQLite, "/b", 500 * time.Millisecond, 5 * time.Minute, 24 * time.Hour},
	}
	if diff := cmp.Diff(stores, l.Stores); diff != "" {
		t.Error(diff)
	}
	var warned []string
	for _, w := range l.Warnings {
		_, rest, _ := strings.Cut(w, ": ")
		name, _, _ := strings.Cut(rest, " ")
		warned = append(warned, name)
	}
	if diff := cmp.Diff([]string{
		"Cluster::retry_interval", "Cluster::default_store_dir", "Cluster::default_backend", "Cluster::default_master_node",
		"Cluster::enable_round_robin_logging", "Cluster::worker_topic", "Broker::default_listen_retry", "Broker::default_listen_address",
		"Cluster::stores", "Cluster::stores", "Telemetry::metrics_port", "Site::local_nets", "Notice::emailed_types",
	}, warned); diff != "" {
		t.Error(diff)
	}
}

// Conditions that can be decided choose; what cannot be decided must not matter.
func TestZeekConditions(t *testing.T) {
	for cond, want := range map[string]bool{
		`@if ( Version::number >= 80200 )`:                                            true,
		`@if ( Version::number < 80200 )`:                                             false,
		`@if ( Version::at_least("7.1") )`:                                            true,
		`@if ( Version::at_least("8.2.1") )`:                                          false,
		`@if ( Version::at_least("3.0.0") )`:                                          true,
		`@if ( ! Version::at_least("9.0") )`:                                          true,
		`@if ( Version::info$major == 8 && Version::info$minor != 1 )`:                true,
		`@if ( Version::info$version_number > 80200 )`:                                false,
		`@if ( zeek_version() == "8.2" )`:                                             true,
		`@if ( getenv("SITE") == "" )`:                                                true,
		`@if ( getenv("SITE") != "" || F )`:                                           false,
		`@if ( T )`:                                                                   true,
		`@if ( F )`:                                                                   false,
		`@if ( ( ( T && ! F ) ) )`:                                                    true,
		`@if ( Cluster::node == "x" && F )`:                                           false,
		`@if ( T || Foo::bar )`:                                                       true,
		`@if ( Cluster::manager_is_logger )`:                                          true,
		`@if ( Cluster::default_backend == Broker::MEMORY )`:                          true,
		`@if ( Cluster::retry_interval >= 1 sec && Cluster::retry_interval < 2 secs)`: true,
		`@if ( 0.5 < 1 && "a" < "b" && "b" >= "a" && 1 <= 1 )`:                        true,
		`@if ( 1.1.1.1 == 1.1.1.2 || 1/tcp == 1/udp || T == F )`:                      false,
		`@if ( Cluster::WORKER != Cluster::PROXY && -1 < 0 )`:                         true,
		`@ifdef ( Cluster::nodes )`:                                                   true,
		`@ifdef ( Cluster::WORKER )`:                                                  true,
		`@ifdef ( Cluster::TIME_MACHINE )`:                                            false,
		`@ifdef ( Cluster::time_machine_topic )`:                                      false,
		`@ifdef ( Cluster::worker_count )`:                                            false,
		`@ifndef ( Cluster::worker_count )`:                                           true,
		`@ifdef ( Cluster::broadcast_topics )`:                                        true,
		"const mine = 1;\n@ifdef ( mine )":                                            true,
		"@load base/frameworks/cluster\n  @if(T) ":                                    true,
		"@if ( F )\n@if ( T )\n@else\n@endif\n}}} \"\n@else\n@endif\n@if (T)":         true,
		"@if ( T )\n@else\n@if ( T )\n@else\n@endif\n}}}\n@endif\n@if (F)":            false,
	} {
		src := cond + "\nredef Cluster::nodes = {" + managerEntry + "};\n@else\nredef Cluster::nodes = {" + managerEntry + "," + loggerEntry + "};\n@endif\n"
		l, err := parse82(src)
		if err != nil {
			t.Errorf("%s: %v", cond, err)
			continue
		}
		if got := len(l.Nodes) == 1; got != want {
			t.Errorf("%s is %v, want %v", cond, got, want)
		}
	}
	within := "redef Cluster::nodes = {\n" + managerEntry + ",\n@if ( Version::number < 70000 )\n" + proxyEntry + ",\n@else\n" + loggerEntry + ",\n@endif\n};"
	l, err := parse82(within)
	if err != nil || len(l.Nodes) != 2 || l.Nodes[0].Name != "logger" {
		t.Errorf("an @if within a table: %v, %v", l, err)
	}
	for _, cond := range []string{`@if ( Cluster::node == "x" )`, "@ifdef ( Site::here )", "@if ( lookup(1) > 2 )", "@if ( -lookup(1) == 2 )", "@if ( ! Site::b )", "@if ( 1 == T )", "@if ( 1/tcp < 2/tcp )", "@if ( {} == {} )"} {
		l, err := parse82("redef Cluster::nodes = {" + managerEntry + "};\n" + cond + "\nredef Telemetry::metrics_port = 1/tcp;\n@else\nredef A::b = 2;\n@endif\n")
		if err != nil || len(l.Nodes) != 1 || !strings.HasPrefix(l.Warnings[0], "l.zeek:2:1: the @if") {
			t.Errorf("%s: %v, %v", cond, l, err)
		}
		l, err = parse82("const c = T &redef;\n" + cond + "\nredef c = F;\n@endif\n@if ( c )\n@endif\nredef Cluster::nodes = {" + managerEntry + "};")
		if err != nil || len(l.Warnings) != 2 || l.Warnings[1] != "l.zeek:5:1: the @if of line 5 depends on c, which only Zeek can tell" {
			t.Errorf("%s: %v, %v", cond, l, err)
		}
		_, err = parse82(cond + "\nredef Cluster::nodes = {" + managerEntry + "};\n@endif\n")
		if err == nil || !strings.HasPrefix(err.Error(), "l.zeek:2:7: whether and how Cluster::nodes is changed cannot be told (the @if") {
			t.Errorf("%s: %v", cond, err)
		}
	}
	env := func(key string) (string, bool) { return "worker-1", key == "CLUSTER_NODE" }
	l, _, err = parseZeek("l.zeek", []byte("@if ( Cluster::node == \"worker-1\" && getenv(\"CLUSTER_NODE\") == Cluster::node )\nredef Cluster::nodes = {"+managerEntry+"};\n@endif"), settings{env: env, version: Newest})
	if err != nil || len(l.Nodes) != 1 {
		t.Errorf("Cluster::node is known: %v, %v", l, err)
	}
}

// What generators write besides, and people, is skipped.
func TestZeekSkips(t *testing.T) {
	l, err := parse82(`@load base/frameworks/telemetry/options
@load-sigs ./x.sig
redef Cluster::nodes = {` + managerEntry + `};
event zeek_init() &priority=-10
	{
	if ( getenv("ZEEKCTL_DISABLE_LISTEN") == "" && (Cluster::local_node_type() == Cluster::MANAGER || ! Cluster::is_enabled()) )
		{
		Cluster::listen_websocket([$listen_addr=127.0.0.1, $listen_port=27759/tcp]);
		print "}", "\"{"; # }
		}
	}
event later();
hook Cluster::connect_node_hook(n: Cluster::NamedNode) { break; }
function f(a: count): count { return |x| + a * 2 % 3; }
type R: record { a: count; b: table[count] of string; };
global g: function(x: count): bool;
global p = /[a-z]+;/ | /b/;
const t: table[string] of count = { ["a"] = 1, } &default=0;
redef Cluster::nodes += {` + loggerEntry + `};
redef Cluster::manager_is_logger = F;
`)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Nodes) != 2 || l.Options.ManagerIsLogger {
		t.Errorf("%+v", l)
	}
	if diff := cmp.Diff([]string{
		"l.zeek:4:1: event zeek_init is not run here", "l.zeek:12:1: event later is not run here",
		"l.zeek:13:1: hook Cluster::connect_node_hook is not run here", "l.zeek:14:1: function f is not run here",
	}, l.Warnings); diff != "" {
		t.Error(diff)
	}
}

// Every error, with its place.
func TestZeekErrors(t *testing.T) {
	node := func(fields string) string { return `redef Cluster::nodes = {["w"] = [` + fields + `]};` }
	deep := strings.Repeat("(", 200)
	for src, want := range map[string]string{
		``:                         "l.zeek: there are no nodes",
		"\xff\xfer\x00":            "l.zeek: the file is UTF-16, want UTF-8: save it as such",
		"foo":                      `l.zeek:1:1: saw "foo", want redef, const, event or a directive at the beginning of a line`,
		"\n  é":                    `l.zeek:2:3: saw "é", want redef`,
		"redef 1;":                 `l.zeek:1:7: saw "1", want the name of an option behind redef`,
		"redef Cluster::nodes;":    `l.zeek:1:21: saw ";", want =, += or -= behind Cluster::nodes`,
		"redef Cluster::nodes = {": `l.zeek:1:25: saw the end of the file, want a value`,
		"redef Cluster::nodes = {\n[\"w\"] = [$ip=1.1.1.1, }":                   `l.zeek:2:23: saw "}", want a field, such as $ip=10.0.0.1, or "]" for the "[" of line 2`,
		"redef Cluster::nodes = {\n[\"w\"] = [$ip=1.1.1.1]\n":                   `l.zeek:3:1: saw the end of the file, want "," or "}" for the "{" of line 1`,
		"redef Cluster::nodes = {\n[\"w\"] = [$ip=1.1.1.1]\n[\"x\"]":            `l.zeek:3:1: saw "[", want "," or "}" for the "{" of line 1`,
		"redef Cluster::nodes = {}":                                             `l.zeek:1:26: saw the end of the file, want ";" at the end of the redef`,
		"redef Cluster::nodes = 5;":                                             `l.zeek:1:24: saw the number 5, want a table for Cluster::nodes`,
		"redef Cluster::nodes = foo();":                                         `l.zeek:1:24: saw the result of foo, which only Zeek can tell, want a table for Cluster::nodes`,
		`redef Cluster::nodes = { "w" };`:                                       `l.zeek:1:26: Cluster::nodes: want ["name"] first`,
		`redef Cluster::nodes = { ["w"] };`:                                     `l.zeek:1:26: Cluster::nodes: "w" has nothing, want = and a record`,
		`redef Cluster::nodes = { ["w", "x"] = [$ip=1.1.1.1] };`:                `l.zeek:1:26: Cluster::nodes: want ["name"] first`,
		`redef Cluster::nodes = { [1] = [$ip=1.1.1.1] };`:                       `l.zeek:1:26: Cluster::nodes: want ["name"] first`,
		`redef Cluster::nodes = { ["w"] = 1.1.1.1 };`:                           `l.zeek:1:34: Cluster::nodes: saw the address 1.1.1.1 for "w", want a record such as [$ip=10.0.0.1]`,
		`redef Cluster::nodes = { ["w"] = Cluster::Node(1) };`:                  `l.zeek:1:34: Cluster::Node wants fields, such as $node_type=Cluster::WORKER`,
		`redef Cluster::nodes = { ["w"] = Cluster::Node() };`:                   `l.zeek:1:26: node "w" has no $node_type`,
		`redef Cluster::nodes = { ["w] = 1 };`:                                  `l.zeek:1:27: "\"" is the beginning of a string that is not closed within its line`,
		"redef Cluster::nodes = {" + managerEntry + ",\n" + managerEntry + "};": `l.zeek:2:1: two nodes are named "manager", the other is at line 1`,
		node(`$ip=1.1.1.1`):                                                     `l.zeek:1:25: node "w" has no $node_type`,
		node(`$node_type=Cluster::WORKER`):                                      `l.zeek:1:25: node "w" has no $ip`,
		node(`$ip=1.1.1.1, $ip=1.1.1.2, $node_type=Cluster::WORKER`):            `l.zeek:1:47: node "w" has $ip twice`,
		node(`$ip=1.1.1.1, $node_type=Cluster::WORKR`):                          `l.zeek:1:58: $node_type: saw Cluster::WORKR, which only Zeek can tell, want Cluster::LOGGER, MANAGER, PROXY, WORKER or CONTROL`,
		node(`$ip=1.1.1.1, $node_type=Broker::MEMORY`):                          `l.zeek:1:58: $node_type: saw Broker::MEMORY, want`,
		node(`$ip=1.1.1.1, $node_type="WORKER"`):                                `l.zeek:1:58: $node_type: saw the string "WORKER", want`,
		node(`$ip=1.1.1.1, $node_type=Cluster::NONE`):                           `l.zeek:1:47: node "w" is of type Cluster::NONE, which cannot be clustered`,
		node(`$ip="1.1.1.1", $node_type=Cluster::WORKER`):                       `l.zeek:1:38: $ip: saw the string "1.1.1.1", want an address, such as 10.0.0.1 or [2001:db8::1]`,
		node(`$ip=1.1.1.256, $node_type=Cluster::WORKER`):                       `l.zeek:1:38: "1.1.1.256" is not an IPv4 address`,
		node(`$ip=1.1.1, $node_type=Cluster::WORKER`):                           `l.zeek:1:38: "1.1.1" is not an IPv4 address`,
		node(`$ip=[::1::2], $node_type=Cluster::WORKER`):                        `l.zeek:1:38: "[::1::2]" is not an IPv6 address`,
		node(`$ip=[fe80::1%eth0], $node_type=Cluster::WORKER`):                  `l.zeek:1:38: "[fe80::1%eth0]" is a zone within an address, want it as $zone_id`,
		node(`$ip=localhost, $node_type=Cluster::WORKER`):                       `l.zeek:1:38: $ip: saw localhost, which only Zeek can tell, want an address`,
		node(`$ip=1.1.1.1, $p=47760`):                                           `l.zeek:1:50: $p: saw the number 47760, want a port, such as 27760/tcp`,
		node(`$ip=1.1.1.1, $p=65536/tcp`):                                       `l.zeek:1:50: "65536/tcp" is not a port, want a number up to 65535 and /tcp, /udp, /icmp or /unknown`,
		node(`$ip=1.1.1.1, $p=1/tcpp`):                                          `l.zeek:1:50: "1/tcpp" is not a port, want`,
		node(`$ip=1.1.1.1, $p=5 min`):                                           `l.zeek:1:50: $p: saw the interval 5m0s, want a port`,
		node(`$ip=1.1.1.1, $p=T`):                                               `l.zeek:1:50: $p: saw T, want a port`,
		node(`$ip=1.1.1.1, $p=1/udp, $node_type=Cluster::WORKER`):               `l.zeek:1:47: node "w" is to listen on 1/udp, want a TCP port, or 0/unknown for none`,
		node(`$ip=1.1.1.1, $manager=1/tcp`):                                     `l.zeek:1:56: $manager: saw the port 1/tcp, want a string`,
		node(`$ip=1.1.1.1, $manager={}`):                                        `l.zeek:1:56: $manager: saw a table, want a string`,
		node(`$ip=to_addr("x")`):                                                `l.zeek:1:38: to_addr: "x" is not an address, want one such as 10.0.0.1 or 2001:db8::1`,
		node(`$p=to_port("x")`):                                                 `l.zeek:1:37: to_port: "x" is not a port, want one such as 47760/tcp`,
		node(`$p=count_to_port(70000, tcp)`):                                    `l.zeek:1:37: count_to_port: the number 70000 and tcp are not a port`,
		node(`$p=count_to_port(to_count("x"), tcp)`):                            `l.zeek:1:51: to_count: "x" is not a number`,
		node(`ip=1.1.1.1`):                                                      `l.zeek:1:36: saw "=", want "," or "]" for the "[" of line 1`,
		node(`$ip=1.1.1.1, p=1/tcp`):                                            `l.zeek:1:47: saw "p", want a field, such as $ip=10.0.0.1, or "]" for the "[" of line 1`,
		node(`$1=1.1.1.1`):                                                      `l.zeek:1:35: saw "1", want the name of a field behind $`,
		node(`$ip 1.1.1.1`):                                                     `l.zeek:1:38: saw "1.1.1.1", want = behind $ip`,
		node(`$ip=1.1.1.1 $p=1/tcp`):                                            `l.zeek:1:48: saw "=", want "," or "]" for the "[" of line 1`,
		node(`$ip=,`):                                                           `l.zeek:1:38: saw ",", want a value`,
		node(`$a=!5`):                                                           `l.zeek:1:38: saw the number 5 behind !, want T or F`,
		node(`$a=-T`):                                                           `l.zeek:1:38: saw T behind -, want a number`,
		node(`$a=b$5`):                                                          `l.zeek:1:39: saw "5", want the name of a field behind $`,
		node(`$a=(5`):                                                           `l.zeek:1:39: saw "]", want an operator, or ")" for the "(" of line 1`,
		node(`$a=99999999999999999999 days`):                                    `l.zeek:1:37: "99999999999999999999 days" is too long an interval`,
		"const t = {[\"a\"]=1.1.1.1};" + node(`$ip=t["b"]`):                     `$ip: saw an element of a table or vector, which only Zeek can tell`,
		"const t = {[\"a\"]=1.1.1.1};" + node(`$ip=t[]`):                        `$ip: saw an element of a table or vector, which only Zeek can tell`,
		"const t = 5; redef t -= 1;" + node(`$ip=t`):                            `$ip: saw the result of -=, which only Zeek can tell`,
		node(`$ip=(1.1.1.1 as 5)`):                                              `saw "5", want the name of a type`,
		node(`$a=` + deep):                                                      `more than 100 expressions within each other`,
		"redef Cluster::nodes = {" + strings.Repeat("[", 1<<16):                 `more than 100 expressions within each other`,
		"redef Cluster::nodes = {" + strings.Repeat("{", 1<<16):                 `more than 100 expressions within each other`,
		"redef A::b = {" + strings.Repeat("{", 1<<16):                           `want ";" at the end of a redef`,
		"event a() {" + strings.Repeat("{(", 1<<16):                             `want "}" for the event`,
		node(`$a=` + strings.Repeat("!", 200)):                                  `more than 100 expressions within each other`,
		"redef Cluster::manager_is_logger = 1;":                                 `l.zeek:1:36: Cluster::manager_is_logger: saw the number 1, want T or F`,
		"redef Cluster::manager_is_logger += T;":                                `l.zeek:1:34: saw "+=", want = for Cluster::manager_is_logger`,
		"redef Cluster::retry_interval = 5;":                                    `l.zeek:1:33: Cluster::retry_interval: saw the number 5, want an interval, such as 10 secs`,
		"redef Cluster::default_backend = 5;":                                   `l.zeek:1:34: Cluster::default_backend: saw the number 5, want Broker::MEMORY or Broker::SQLITE`,
		"redef Cluster::worker_topic = 5;":                                      `l.zeek:1:31: Cluster::worker_topic: saw the number 5, want a string`,
		`redef Cluster::stores = { ["a"] = [$backend=1] };`:                     `l.zeek:1:45: $backend: saw the number 1, want Broker::MEMORY or Broker::SQLITE`,
		`redef A::b = {`:                                                        `l.zeek:1:15: saw the end of the file, want ";" at the end of a redef that begins at line 1`,
		"const 5 = 5;":                                                          `l.zeek:1:7: saw "5", want a name`,
		"const a = 5":                                                           `l.zeek:1:12: saw the end of the file, want ";" at the end of a declaration that begins at line 1`,
		"const a = 5 & 5":                                                       `l.zeek:1:16: saw the end of the file, want ";" at the end of a declaration that begins at line 1`,
		"module 5;":                                                             `l.zeek:1:8: saw "5", want the name of a module`,
		"module A":                                                              `l.zeek:1:9: saw the end of the file, want ";" behind the module`,
		"export [":                                                              `l.zeek:1:8: saw "[", want "{" behind export`,
		"\nexport { ;":                                                          `l.zeek:2:11: saw the end of the file, want "}" for the "{" of line 2`,
		"event a() {\n{ }":                                                      `l.zeek:2:4: saw the end of the file, want "}" for the event of line 1`,
		"@if ( T )\n":                                                           `l.zeek:2:1: saw the end of the file, want @endif for the @if of line 1`,
		"@if ( F )\n":                                                           `l.zeek:2:1: saw the end of the file, want @endif for the @if of line 1`,
		"@if ( F )\n@else\n":                                                    `l.zeek:3:1: saw the end of the file, want @endif for the @if of line 1`,
		"@if ( T )\n@else\n":                                                    `l.zeek:3:1: saw the end of the file, want @endif for the @if of line 1`,
		"@if T\n":                                                               `l.zeek:1:5: saw "T", want "(" behind @if`,
		"@if ( T\n":                                                             `l.zeek:2:1: saw the end of the file, want ")" for the "(" of line 1`,
		"@if ( T\n@endif":                                                       `l.zeek:2:1: saw @endif, want ")" for the "(" of line 1`,
		"@if ( )\n@endif":                                                       `l.zeek:1:7: saw the end of the condition, want a value`,
		"@if ( T T )\n@endif":                                                   `l.zeek:1:9: saw "T", want ")" at the end of the condition`,
		"@ifdef ( 5 )\n@endif":                                                  `l.zeek:1:10: saw "5", want one name`,
		"@ifdef ( )\n@endif":                                                    `l.zeek:1:10: saw the end of the condition, want one name`,
		"@else":                                                                 `l.zeek:1:1: @else without @if`,
		"@endif":                                                                `l.zeek:1:1: @endif without @if`,
		"@if ( F )\n@else\n@else\n@endif":                                       `l.zeek:3:1: @else without @if`,
		"@if ( T )\n@else\n@else\n@endif":                                       `l.zeek:3:6: a second @else for the @if of line 1`,
		strings.Repeat("@if ( T )\n", 200):                                      `l.zeek:101:1: more than 100 @if within each other`,
		"# zeek_version: 4.0\n":                                                 `l.zeek:1:17: zeek_version: version 4.0 of Zeek is too old, the oldest that works is 5.0`,
	} {
		opts := []Option{ForVersion(Version{8, 2, 0})}
		if strings.HasPrefix(src, "# zeek_version") {
			opts = nil
		}
		_, err := ParseZeek("l.zeek", []byte(src), opts...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", quoted(src), err, want)
		}
	}
}

// All that is wrong is told at once, but not without end.
func TestManyErrors(t *testing.T) {
	var b strings.Builder
	b.WriteString("redef Cluster::nodes = {\n")
	for i := range 30 {
		fmt.Fprintf(&b, "[\"w-%d\"] = [$p=1],\n", i)
	}
	b.WriteString("};")
	_, err := parse82(b.String())
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxErrors+1 || lines[maxErrors] != fmt.Sprintf("l.zeek: and %d more errors", 3*30-maxErrors) {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}

// Fields that a version does not have are kept, and warned of once.
func TestZeekFieldsByVersion(t *testing.T) {
	const src = `redef Cluster::nodes = {
["manager"] = [$node_type=Cluster::MANAGER, $ip=10.0.0.1, $p=1/tcp, $time_machine="tm", $metrics_port=5/tcp],
["p"] = [$node_type=Cluster::PROXY, $ip=10.0.0.1, $p=2/tcp, $manager="manager"],
["tm"] = [$node_type=Cluster::TIME_MACHINE, $ip=10.0.0.1, $p=47757/tcp],
["w-1"] = [$node_type=Cluster::WORKER, $ip=10.0.0.1, $interface="eth0", $manager="manager", $time_machine="tm", $lb_filter="ip", $site=1, $id="x"],
["w-2"] = [$node_type=Cluster::WORKER, $ip=10.0.0.1, $interface="eth1", $manager="manager"],
};
`
	older := []string{
		"l.zeek:2:69: Zeek 6.0 has no $metrics_port, it is there since 7.0",
	}
	both := []string{
		"l.zeek:5:126: unknown field $site of nodes is not read, there are node_type, ip, zone_id, p, interface, manager, time_machine, id, metrics_port, lb_filter",
		`l.zeek:5:135: node "w-1": $id is not read, Zeek sets it while the node is connected`,
	}
	newer := []string{
		"l.zeek:2:69: Zeek 8.0 has no $time_machine, the layout looks like one of Zeek 7.0 or older (and 1 more)",
		"l.zeek:4:21: Zeek 8.0 has no Cluster::TIME_MACHINE, the layout looks like one of Zeek 7.0 or older",
		"l.zeek:5:54: Zeek 8.0 has no $interface, the layout looks like one of Zeek 7.0 or older (and 1 more)",
		"l.zeek:5:111: Zeek 8.0 has no $lb_filter, the layout looks like one of Zeek 7.0 or older",
	}
	for version, want := range map[string][]string{"6.0": append(older, both...), "7.0": both, "8.0": append(newer, both...)} {
		l, err := ParseZeek("l.zeek", []byte("# zeek_version: "+version+"\n"+src[:0]+src), ForVersion(mustVersion(t, version)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			var line, column int
			if _, err := fmt.Sscanf(want[i], "l.zeek:%d:%d:", &line, &column); err == nil {
				_, rest, _ := strings.Cut(want[i], ": ")
				want[i] = fmt.Sprintf("l.zeek:%d: %s", line+1, rest)
			}
		}
		got := make([]string, len(l.Warnings))
		for i, w := range l.Warnings {
			var line, column int
			fmt.Sscanf(w, "l.zeek:%d:%d:", &line, &column)
			_, rest, _ := strings.Cut(w, ": ")
			got[i] = fmt.Sprintf("l.zeek:%d: %s", line, rest)
		}
		if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
			t.Errorf("%s: %s", version, diff)
		}
		w := l.Node("w-1")
		if w.Interface != "eth0" || w.LBFilter != "ip" || w.TimeMachine != "tm" || l.Node("manager").MetricsPort != tcp(5) {
			t.Errorf("%s: %+v", version, w)
		}
		if dials := len(l.Dials("manager")); dials != map[bool]int{true: 1, false: 0}[l.Version.HasTimeMachine()] {
			t.Errorf("%s: the manager dials %d", version, dials)
		}
	}
}

// The version is told by whoever reads, else by a comment, else it is the newest.
func TestZeekVersion(t *testing.T) {
	const src = "redef Cluster::nodes = {" + managerEntry + "};"
	for _, c := range []struct {
		comment, told, want, warning string
	}{
		{"", "", "9.0", "l.zeek: the layout does not say which version"},
		{"# zeek_version: 7.0.1\n", "", "7.0.1", ""},
		{"\n ## zeek_version = 7.0.1 or so\n", "", "7.0.1", ""},
		{"# zeek_version: 7.0.1\n", "8.0", "8.0", ""},
		{"# zeek_version: 9.1\n", "", "9.1", "l.zeek:1:17: Zeek 9.1 is newer than 9.0"},
		{"# zeek_version: 9.0.4\n", "", "9.0.4", ""},
	} {
		var opts []Option
		if c.told != "" {
			opts = append(opts, ForVersion(mustVersion(t, c.told)))
		}
		l, err := ParseZeek("l.zeek", []byte(c.comment+src), opts...)
		if err != nil {
			t.Fatal(err)
		}
		if warnings := strings.Join(l.Warnings, "\n"); l.Version.String() != c.want || !strings.HasPrefix(warnings, c.warning) || c.warning == "" && warnings != "" {
			t.Errorf("%q %q: %v, %s", c.comment, c.told, l.Version, warnings)
		}
	}
}
