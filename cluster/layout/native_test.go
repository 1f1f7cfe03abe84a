package layout

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// example is the file of the package's documentation.
func example(t testing.TB) string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), "//\tzeek_version: 8.2\n")
	text, _, ok := strings.Cut(text, "\n//\n// zeek_version is")
	if !ok {
		t.Fatal("no example in doc.go")
	}
	text = strings.ReplaceAll(strings.ReplaceAll("\n"+text, "\n//\t", "\n"), "\n//", "\n")
	return "zeek_version: 8.2\n" + text
}

// The example of the documentation means what the documentation says.
func TestNative(t *testing.T) {
	l, err := ParseNative("example", []byte(example(t)))
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	want := &Layout{
		Source: "example", Version: Version{8, 2, 0}, Options: DefaultOptions(Version{8, 2, 0}),
		Nodes: []Node{
			{Name: "logger-1", Type: Logger, IP: addr("10.0.0.1"), Port: tcp(27761)},
			{Name: "manager", Type: Manager, IP: addr("10.0.0.1"), Port: tcp(27760)},
			{Name: "proxy-1", Type: Proxy, IP: addr("10.0.0.2"), Port: tcp(27762), Manager: "manager"},
			{Name: "worker-1", Type: Worker, IP: addr("10.0.0.7"), Manager: "manager", Interface: "eth0"},
			{Name: "worker-2", Type: Worker, IP: addr("fe80::7"), ZoneID: "eth1", Manager: "manager", MetricsPort: tcp(9991)},
		},
		Stores: []StoreInfo{
			{"verdicts", "proxy-1", Pebble, "", 30 * time.Second, 5 * time.Minute, 2 * time.Minute},
			{"zeek/known/hosts", "", SQLite, "/var/lib/zeek/hosts.sqlite", 10 * time.Second, 5 * time.Minute, 2 * time.Minute},
		},
	}
	want.Options.RetryInterval, want.Options.DefaultStoreDir, want.Options.ManagerIsLogger = 5*time.Second, "/var/lib/zeek/stores", false
	if diff := cmp.Diff(want, l, byNetip); diff != "" {
		t.Error(diff)
	}
}

// What may be written in several ways.
func TestNativeForms(t *testing.T) {
	const nodes = "\nnodes:\n  m: {type: manager, address: 10.0.0.1, port: 1}\n  p: {type: proxy, address: 10.0.0.1, port: 2}\n"
	for _, c := range []struct {
		src  string
		want func(l *Layout) bool
	}{
		{"zeek_version: 8.10" + nodes, func(l *Layout) bool { return l.Version == Version{8, 10, 0} }},
		{"zeek_version: '8.2.2'" + nodes, func(l *Layout) bool { return l.Version == Version{8, 2, 2} }},
		{"\ufeffzeek_version: 8.2.2\r\n" + strings.ReplaceAll(nodes, "\n", "\r\n"), func(l *Layout) bool { return l.Version == Version{8, 2, 2} }},
		{"zeek_version: 7.0" + nodes + "  w: {type: worker, address: 1.1.1.1, port: 0/unknown, metrics_port: 9/tcp}", func(l *Layout) bool {
			return l.Node("w").Port == Port{} && l.Node("w").MetricsPort == tcp(9) && l.Node("w").Manager == "m"
		}},
		{"zeek_version: 7.0" + nodes + "  w: {type: worker, address: 1.1.1.1, manager: null}", func(l *Layout) bool { return l.Node("w").Manager == "" }},
		{"zeek_version: 7.0" + nodes + "  w: {type: worker, address: 1.1.1.1, manager: ~}", func(l *Layout) bool { return l.Node("w").Manager == "" }},
		{"zeek_version: 7.0" + nodes + "  n: {type: manager, address: 1.1.1.1, port: 3}", func(l *Layout) bool { return l.Node("p").Manager == "" }},
		{"zeek_version: 7.0" + nodes + "  \"1\":\n    type: worker\n    address: \"::1\"", func(l *Layout) bool { return l.Node("1").IP == netip.IPv6Loopback() }},
		{"zeek_version: 7.0" + nodes + "options: {retry_interval: 90 secs, default_listen_retry: 1.5min, manager_is_logger: false}", func(l *Layout) bool {
			return l.Options.RetryInterval == 90*time.Second && l.Options.DefaultListenRetry == 90*time.Second && !l.Options.ManagerIsLogger
		}},
		{"zeek_version: 7.0" + nodes + "options: {default_backend: pebble, default_master_node: p}\nstores: {a: {}, b: {backend: memory, master_node: \"\"}}", func(l *Layout) bool {
			return l.Stores[0].Backend == Pebble && l.Stores[0].MasterNode == "p" && l.Stores[1].Backend == Memory && l.Stores[1].MasterNode == ""
		}},
	} {
		l, err := ParseNative("f", []byte(c.src))
		if err != nil || !c.want(l) {
			t.Errorf("%s\n%+v, %v", c.src, l, err)
			continue
		}
		back, err := ParseNative("f", l.Native())
		if err != nil {
			t.Errorf("%v in\n%s", err, l.Native())
		} else if diff := cmp.Diff(same(l), same(back), byNetip); diff != "" {
			t.Errorf("%s in\n%s", diff, l.Native())
		}
	}
}

// nested returns mappings within each other, each in a line of its own.
func nested(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i+1) + "a:\n")
	}
	return b.String()
}

// Every error, with its place.
func TestNativeErrors(t *testing.T) {
	node := func(fields string) string { return "zeek_version: 8.2\nnodes:\n  w: {" + fields + "}\n" }
	whole := node("type: manager, address: 1.1.1.1, port: 1")
	for src, want := range map[string]string{
		strings.Repeat("x", maxNative+1):     "f.yaml: 1048577 bytes, at most 1048576",
		strings.Repeat("[", 1<<16):           "f.yaml:1:17: more than 16 mappings or lists within each other",
		strings.Repeat("{a: ", 1<<16):        "f.yaml:1:65: more than 16 mappings or lists within each other",
		strings.Repeat("[}", 1<<16):          "f.yaml:1:33: more than 16 mappings or lists within each other",
		"a:\n" + nested(100):                 "f.yaml:17:17: more than 16 mappings or lists within each other",
		strings.Repeat("- ", 1<<16):          "f.yaml:1:3: an anchor, tag, directive, key with ? or list within a list, which layouts do not have",
		"? a":                                "f.yaml:1:1: an anchor, tag",
		"a: &b c":                            "f.yaml:1:4: an anchor, tag",
		"!a b: c":                            "f.yaml:1:1: an anchor, tag",
		"%YAML 1.2\n---\na: b":               "f.yaml:1:1: an anchor, tag",
		"nodes: {<<: {}}":                    "f.yaml:1:9: an anchor, tag",
		"":                                   "f.yaml: an empty file, want zeek_version and nodes",
		"\xff\xfe":                           "f.yaml: the file is UTF-16",
		"x":                                  `f.yaml:1:1: file: saw "x", want a mapping with zeek_version, options, nodes, stores`,
		"[]":                                 `f.yaml:1:1: file: a list, want a mapping`,
		"{":                                  `f.yaml:1:1: `,
		"a: b: c":                            `f.yaml:1:`,
		whole + "---\na: b":                  `f.yaml:5:1: a second document, want one`,
		whole + "node: 5":                    `f.yaml:4:1: file: unknown field "node", want zeek_version, options, nodes, stores`,
		whole + "5: 5":                       `f.yaml:4:1: file: "5" is no key, want zeek_version`,
		"zeek_version: 8.2":                  `f.yaml: there are no nodes`,
		"nodes: {}":                          `f.yaml: there are no nodes`,
		"zeek_version: 8":                    `f.yaml:1:15: zeek_version: "8": not a version of Zeek, want one such as 8.2 or 8.2.2`,
		"zeek_version: 4.2":                  `f.yaml:1:15: zeek_version: version 4.2 of Zeek is too old`,
		"zeek_version: [8.2]":                `f.yaml:1:15: zeek_version: a list, want a version such as 8.2`,
		"zeek_version:":                      `zeek_version: nothing there, want a version such as 8.2`,
		"nodes: 5":                           `f.yaml:1:8: nodes: saw "5", want a mapping with names`,
		"nodes: {w: 5}":                      `f.yaml:1:12: node "w": saw "5", want a mapping with type, address, port`,
		"nodes: {w: }":                       `node "w": nothing there, want a mapping with type, address, port`,
		"nodes: {w: {}, w: {}}":              `f.yaml:1:`,
		node(""):                             `f.yaml:3:3: node "w" has no type`,
		node("type: worker"):                 `f.yaml:3:3: node "w" has no address`,
		node("type: wroker"):                 `f.yaml:3:13: node "w": type: saw "wroker", want manager, logger, proxy, worker, control or time_machine`,
		node("type: none, address: 1.1.1.1"): `f.yaml:3:13: node "w" is of type Cluster::NONE, which cannot be clustered`,
		node("type: [worker]"):               `f.yaml:3:13: node "w": type: a list, want manager`,
		node("type: {a: b}"):                 `node "w": type: a mapping, want manager`,
		node("type: *a"):                     `f.yaml:`,
		node("adress: 1.1.1.1"):              `f.yaml:3:7: node "w": unknown field "adress", want type, address, port`,
		node("address: localhost"):           `f.yaml:3:16: node "w": address: saw "localhost", want an IP address, such as 10.0.0.1 or 2001:db8::1`,
		node("address: 10"):                  `f.yaml:3:16: node "w": address: saw "10", want an IP address`,
		node("port: 0"):                      `f.yaml:3:13: node "w": port: saw "0", want a port from 1 to 65535; without the field there is none`,
		node("port: 65536"):                  `f.yaml:3:13: node "w": port: saw "65536", want a port`,
		node("port: x"):                      `f.yaml:3:13: node "w": port: saw "x", want a port`,
		node("port: true"):                   `f.yaml:3:13: node "w": port: saw "true", want a port`,
		node("metrics_port: x"):              `f.yaml:3:21: node "w": metrics_port: saw "x", want a port`,
		node("interface: 5"):                 `f.yaml:3:18: node "w": interface: "5" is no text, put it in quotes if you mean it`,
		node("interface:"):                   `node "w": interface: nothing there, want a text`,
		node("manager: true"):                `f.yaml:3:16: node "w": manager: "true" is no text`,
		node("type: worker, address: 1.1.1.1, manager: x"): `f.yaml:3:48: node "w" names "x" as its manager, which is not a node`,
		whole + "options: {foo: 5}":                        `f.yaml:4:11: options: unknown field "foo", want default_backend, default_master_node`,
		whole + "options: {manager_is_logger: 5}":          `f.yaml:4:30: manager_is_logger: saw "5", want true or false`,
		whole + "options: {retry_interval: 5}":             `f.yaml:4:27: retry_interval: "5": not an interval, want one such as 1s, 1m30s or 2 min`,
		whole + "options: {retry_interval: -1s}":           `f.yaml: retry_interval is negative, want 0 for no further attempt`,
		whole + "options: {default_backend: rocksdb}":      `f.yaml:4:28: default_backend: saw "rocksdb", want memory, sqlite or pebble`,
		whole + "options: {worker_topic: \"\"}":            `f.yaml: worker_topic is empty, with which every topic begins`,
		whole + "options: {worker_topic: a<$>}":            `f.yaml: worker_topic: "a<$>" has <$>, which no topic may have`,
		whole + "options: {default_master_node: x}":        `f.yaml: default_master_node is "x", which is not a node`,
		whole + "stores: {a: {backend: x}}":                `f.yaml:4:23: store "a": backend: saw "x", want memory, sqlite or pebble`,
		whole + "stores: {a: {master_node: x}}":            `f.yaml: store "a": its master is to be on "x", which is not a node`,
		whole + "stores: {a: {path: 5}}":                   `f.yaml:4:20: store "a": path: "5" is no text`,
		whole + "stores: {a: {clone_stale_interval: -5s}}": `f.yaml: store "a": an interval is negative`,
		whole + "stores: {a: {clone_resync_interval: x}}":  `f.yaml:4:37: store "a": clone_resync_interval: "x": not an interval`,
		whole + "stores: {\"\": {}}":                       `f.yaml: store "": its name or path is empty, not UTF-8, or has a NUL`,
	} {
		_, err := ParseNative("f.yaml", []byte(src))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", quoted(src), err, want)
		}
	}
}
