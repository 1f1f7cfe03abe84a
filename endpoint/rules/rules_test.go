package rules

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// example is the file of the package's documentation.
func example(t testing.TB) string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(string(doc), "\n") {
		line = strings.TrimPrefix(line, "//")
		switch {
		case strings.HasPrefix(line, "\trules:"):
			lines = []string{line[1:]}
		case len(lines) > 0 && strings.HasPrefix(line, "\t"):
			lines = append(lines, line[1:])
		case len(lines) > 0 && line == "":
			lines = append(lines, "")
		case len(lines) > 0:
			return strings.Join(lines, "\n")
		}
	}
	t.Fatal("no example in doc.go")
	return ""
}

func load(t testing.TB, text string) *Rules {
	t.Helper()
	r, err := Load(write(t, filepath.Join(t.TempDir(), "access.yaml"), text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var sensor = wire.EndpointID{0x18, 0xab, 0x3d, 0x51, 0, 0x6e, 0x4e, 0x20, 0x82, 0x8b, 0xf7, 2, 0x12, 0x76, 0x8b, 0x71}

// The example of the documentation says what the documentation says.
func TestExample(t *testing.T) {
	r := load(t, example(t))
	worker := endpoint.Access{
		Publish: []string{"zeek/cluster/", "zeek/logs/"}, Subscribe: []string{"zeek/cluster/"}, Commands: []string{"zeek/known/"}, NoIdentifiers: true,
	}
	dashboard := endpoint.Access{Publish: []string{}, Commands: []string{}, Subscribe: []string{"zeek/alerts/"}}
	refused := endpoint.Access{Refuse: true}
	for _, c := range []struct {
		name string
		who  endpoint.Identity
		rule string
		want endpoint.Access
	}{
		{"worker", endpoint.Identity{Names: []string{"worker-17"}, ID: sensor}, "workers", worker},
		{"worker, by another name", endpoint.Identity{Names: []string{"x", "Worker-A.example"}}, "workers", worker},
		{"not quite a worker", endpoint.Identity{Names: []string{"my-worker-1"}}, "default", refused},
		{"dashboard", endpoint.Identity{Addr: "10.1.2.3:555", WebSocket: true}, "dashboards", dashboard},
		{"dashboard over IPv6", endpoint.Identity{Addr: "[fd00::1%eth0]:555", WebSocket: true}, "dashboards", dashboard},
		{"dashboard, IPv4 as IPv6", endpoint.Identity{Addr: "[::ffff:10.1.2.3]:555", WebSocket: true}, "dashboards", dashboard},
		{"dashboard from elsewhere", endpoint.Identity{Addr: "11.1.2.3:555", WebSocket: true}, "default", refused},
		{"peer from there", endpoint.Identity{Addr: "10.1.2.3:555"}, "default", refused},
		{"sensor", endpoint.Identity{ID: sensor, Addr: "10.1.2.3:1"}, "the old sensor", endpoint.Access{NoLogs: true}},
		{"nobody", endpoint.Identity{}, "default", refused},
		{"address that is none", endpoint.Identity{Addr: "pipe", WebSocket: true}, "default", refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule, access := r.Decide(c.who)
			if !strings.Contains(rule, c.rule) || !reflect.DeepEqual(access, c.want) || !reflect.DeepEqual(r.Access(c.who), c.want) {
				t.Errorf("%s: %+v, want %s: %+v", rule, access, c.rule, c.want)
			}
		})
	}
	want := `rule 1 "workers" (line 2): certificate worker-*
    may publish data under ["zeek/cluster/" "zeek/logs/"]
    may receive what is under ["zeek/cluster/"]
    may send commands to stores under ["zeek/known/"]
    may not change identifiers
    authenticated: the name is proved by a certificate
rule 2 "dashboards" (line 9): WebSocket clients, address 10.0.0.0/8 or fd00::/8
    may not publish data under any topic
    may receive what is under ["zeek/alerts/"]
    may not send commands to stores under any topic
    NOT AUTHENTICATED: ids and addresses can be made up; a guard against mistakes only
rule 3 "the old sensor" (line 14): id 18ab3d51-006e-4e20-828b-f70212768b71
    may publish data under any topic
    may receive what is under any topic
    may send commands to stores under any topic
    may not create or write logs
    NOT AUTHENTICATED: ids and addresses can be made up; a guard against mistakes only
default (line 19)
    refused
`
	if diff := cmp.Diff(want, r.Describe()); diff != "" {
		t.Error(diff)
	}
}

// The first rule that matches holds, and all its conditions must.
func TestFirstMatch(t *testing.T) {
	r := load(t, `
rules:
  - match: {cert: [a, "b?"], addr: 192.0.2.7}
    read_only: true
  - match: {cert: "[a-c]"}
    publish: []
  - match: {websocket: false}
    commands: [x/]
    logs: allow
default: {}
`)
	for _, c := range []struct {
		who  endpoint.Identity
		want string
	}{
		{endpoint.Identity{Names: []string{"a"}, Addr: "192.0.2.7:1"}, "rule 1"},
		{endpoint.Identity{Names: []string{"B2"}, Addr: "192.0.2.7:1"}, "rule 1"},
		{endpoint.Identity{Names: []string{"b"}, Addr: "192.0.2.7:1"}, "rule 2"},
		{endpoint.Identity{Names: []string{"a"}, Addr: "192.0.2.8:1"}, "rule 2"},
		{endpoint.Identity{Names: []string{"d"}, Addr: "192.0.2.7:1"}, "rule 3"},
		{endpoint.Identity{Names: []string{"d"}, WebSocket: true}, "default"},
	} {
		rule, access := r.Decide(c.who)
		if !strings.HasPrefix(rule, c.want) {
			t.Errorf("%+v: %s, want %s", c.who, rule, c.want)
		}
		if c.want == "rule 2" && (access.Publish == nil || access.Commands == nil || len(access.Publish)+len(access.Commands) > 0) {
			t.Errorf("publish without commands: %+v", access)
		}
		if c.want == "rule 3" && !reflect.DeepEqual(access, endpoint.Access{Commands: []string{"x/"}}) {
			t.Errorf("commands alone: %+v", access)
		}
	}
}

// What is wrong in a file is told with its place and what was expected.
func TestErrors(t *testing.T) {
	const tail = "\ndefault: {}\n"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", `f: no rules: want a list under "rules:"`},
		{"only comments", "# nothing\n", "no rules"},
		{"no YAML", "rules: [", "f:1:8: "},
		{"tab", "rules:\n\t- x", "f:2:1: "},
		{"list at the top", "- a", `f:1:1: file: a list, want a mapping with rules, default`},
		{"unknown at the top", "rule: []" + tail, `f:1:1: file: unknown field "rule", want rules, default`},
		{"no default", "rules: []", "f: no default: say what holds"},
		{"default without value", "default:\n", "default: nothing there, want a mapping"},
		{"default with match", "default: {match: {cert: x}}", `f:1:11: default: unknown field "match"`},
		{"rules no list", "rules: {a: b}" + tail, "f:1:8: rules: a mapping, want a list of rules"},
		{"rule no mapping", "rules:\n  - hello" + tail, `f:2:5: rule 1: got "hello", want a mapping with name, match`},
		{"unknown in a rule", "rules:\n  - match: {cert: x}\n    publsh: [a]" + tail, `f:3:5: rule 1: unknown field "publsh", want name, match, refuse, publish`},
		{"twice", "rules:\n  - match: {cert: x}\n    logs: deny\n    logs: deny" + tail, `f:4:5: `},
		{"no match", "rules:\n  - refuse: true" + tail, "rule 1: no match, want whom it is for"},
		{"empty match", "rules:\n  - match: {}\n    refuse: true" + tail, "f:2:12: rule 1: match: empty, want cert, id, addr or websocket"},
		{"unknown in a match", "rules:\n  - match: {certs: x}" + tail, `f:2:13: rule 1: match: unknown field "certs", want cert, id, addr, websocket`},
		{"alias", "rules:\n  - match: {cert: *worker}" + tail, "f:2:19: rule 1: match: cert: an alias, want a text; a text that begins with * must be in quotes"},
		{"pattern", "rules:\n  - match: {cert: \"[a\"}" + tail, `rule 1: match: cert: "[a": not a pattern`},
		{"nobody", "rules:\n  - match: {cert: []}" + tail, "rule 1: match: cert: an empty list matches nobody"},
		{"number", "rules:\n  - match: {cert: [a, 17]}" + tail, `f:2:23: rule 1: match: cert: "17" is no text, put it in quotes`},
		{"id", "rules:\n  - match: {id: 18ab}" + tail, `f:2:17: rule 1: match: id: "18ab": `},
		{"address", "rules:\n  - match: {addr: example.com}" + tail, `"example.com": want an address such as 10.0.0.1 or a network`},
		{"address in a network", "rules:\n  - match: {addr: 10.0.0.1/8}" + tail, "want the network, 10.0.0.0/8, or the address alone"},
		{"zone", "rules:\n  - match: {addr: \"fe80::1%eth0\"}" + tail, "want the address without"},
		{"IPv4 as IPv6", "rules:\n  - match: {addr: \"::ffff:10.0.0.0/104\"}" + tail, "want it as IPv4"},
		{"websocket", "rules:\n  - match: {websocket: \"yes\"}" + tail, `rule 1: match: websocket: got "\"yes\"", want true or false`},
		{"refuse", "default: {refuse: 1}", `f:1:19: default: refuse: got "1", want true or false`},
		{"refuse and more", "default: {refuse: true, publish: [a]}", "f:1:25: default: publish makes no sense with refuse"},
		{"read-only and more", "default: {read_only: true, logs: deny}", "default: logs makes no sense with read_only"},
		{"topics no list", "default: {publish: a}", `default: publish: got "a", want a list of topics, [] for none; leave the field out for all`},
		{"topics nothing", "default:\n  publish:\n", "want a list of topics"},
		{"topic of none", "default: {publish: [\"\"]}", "every topic begins so"},
		{"topic too long", "default: {publish: [" + strings.Repeat("x", 70_000) + "]}", "70000 bytes, at most 65535"},
		{"deny", "default: {logs: no}", `default: logs: got "no", want deny or allow`},
		{"never reached", "rules:\n  - match: {cert: x}\n  - match: {cert: X}\n    refuse: true" + tail, "f:3:5: rule 2 never holds: rule 1 (line 2) matches the same"},
		{"two documents", "default: {}\n---\ndefault: {}\n", "f:3:1: a second document"},
		{"merge key", "x: &x {a: b}\ndefault: {<<: *x}", "is no field"},
		{"tag", "default: !!map {}", "default: "},
		{"many brackets", strings.Repeat("[", 1<<16), "f:1:17: more than 16 mappings or lists within each other"},
		{"many braces", strings.Repeat("{a: ", 1<<16), "f:1:65: more than 16 mappings"},
		{"brackets that do not match", strings.Repeat("[}", 1<<16), "f:1:33: more than 16 mappings"},
		{"lists in a line", strings.Repeat("- ", 1<<16), "f:1:33: more than 16 mappings"},
		{"lists in lines", nested("-\n"), "f:17:17: more than 16 mappings"},
		{"mappings in lines", nested("a:\n"), "f:17:17: more than 16 mappings"},
		{"keys", strings.Repeat("? ", 1<<16), "f:1:33: more than 16 mappings"},
		{"tags", strings.Repeat("!a ", 1<<16), "f:1:"},
		{"anchors", strings.Repeat("&a ", 1<<16), "f:1:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := parse("f", []byte(c.text))
			var e *Error
			if set != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	// All that is wrong is told at once.
	_, err := parse("f", []byte("rules:\n  - match: {cert: 1}\n    logs: maybe\n"))
	if got := strings.Count(err.Error(), "\n") + 1; got != 3 {
		t.Errorf("%d errors, want 3: %v", got, err)
	}
}

// What cannot be read leaves the rules as they were; what can replaces them, for peers that are there, too.
func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.yaml")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	r, err := Load(write(t, path, "default: {publish: [/a]}"))
	if err != nil {
		t.Fatal(err)
	}
	node, err := endpoint.New(endpoint.WithAccess(r.Access))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close(context.Background())
	other, err := endpoint.New(endpoint.WithRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	sub, err := node.Subscribe([]string{"/"})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := node.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	peering, err := other.Peer(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peering.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	// publish sends to both topics and returns which one is received.
	publish := func() (topic string) {
		t.Helper()
		for _, topic := range []string{"/a", "/b"} {
			if n, err := other.PublishEvent(t.Context(), topic, "hello"); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		for m := range sub.Messages(t.Context()) {
			return m.Topic()
		}
		return ""
	}
	if got := publish(); got != "/a" {
		t.Errorf("received %s, want /a", got)
	}
	write(t, path, "default: {publish: [/b}")
	if err := r.Reload(); err == nil || !strings.HasPrefix(err.Error(), path+":1:") {
		t.Errorf("error %v", err)
	}
	node.ReloadAccess()
	if got := publish(); got != "/a" {
		t.Errorf("received %s, want /a", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	// What was published is dispatched before the new rules hold.
	if _, err := other.Ping(t.Context(), node.ID()); err != nil {
		t.Fatal(err)
	}
	write(t, path, "default: {publish: [/b]}")
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	node.ReloadAccess()
	if got := publish(); got != "/b" {
		t.Errorf("received %s, want /b", got)
	}
	write(t, path, strings.Repeat("#", maxFile+1))
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("error %v", err)
	}
}

// nested returns a hundred lines, each within the one before.
func nested(line string) string {
	var b strings.Builder
	for i := range 100 {
		b.WriteString(strings.Repeat(" ", i) + line)
	}
	return b.String()
}

// Whatever is in a file: it is rules, or errors of this package.
func FuzzParse(f *testing.F) {
	f.Add(example(f))
	f.Add("default: {refuse: true}\nrules: [{match: {cert: [a, b], id: x, addr: ::1, websocket: true}, logs: deny}]")
	f.Add("a: &a [*a]\n? [x]\n: !!str |\n  z\n<<: *a")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := parse("f", []byte(text))
		var e *Error
		if (set == nil) != (err != nil) || err != nil && !errors.As(err, &e) {
			t.Fatalf("%v, %v", set, err)
		}
		if set != nil {
			r := &Rules{}
			r.set.Store(set)
			r.Describe()
			r.Access(endpoint.Identity{Names: []string{"a"}, Addr: "10.0.0.1:1"})
		}
	})
}
