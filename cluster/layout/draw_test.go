package layout

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// drawn are the layouts that are drawn. The files of testdata are as the versions of Zeek's tools write them.
func drawn(t testing.TB) map[string]*Layout {
	t.Helper()
	all := make(map[string]*Layout)
	for _, pattern := range []string{"testdata/*.zeek", "testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			l, err := Load(file, nil, WithResolver(lookup))
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))] = l
		}
	}
	big := &Layout{Version: Version{8, 2, 0}, Options: DefaultOptions(Version{8, 2, 0})}
	big.Options.ManagerIsLogger = false
	add := func(t NodeType, n int) {
		for i := range n {
			node := Node{Name: fmt.Sprintf("%s-%d", t.Word(), i+1), Type: t, IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(t)}), Port: tcp(uint16(27760 + 100*int(t) + i))}
			if t == Worker || t == Proxy {
				node.Manager = "manager-1"
			}
			big.Nodes = append(big.Nodes, node)
		}
	}
	add(Logger, 4)
	add(Manager, 1)
	add(Proxy, 4)
	add(Worker, 41)
	slices.SortFunc(big.Nodes, byName)
	if warnings, err := big.Check(); err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	all["fifty"] = big
	return all
}

// golden compares with a golden file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (if it is meant so: go test -update)\n%s", file, diff)
	}
}

// What is drawn is what the golden files have, each time.
func TestDrawings(t *testing.T) {
	for name, l := range drawn(t) {
		t.Run(name, func(t *testing.T) {
			l.Source = name
			golden(t, name+".txt", []byte(Text(l)))
			golden(t, name+".json", l.JSON())
			golden(t, name+".svg", SVG(l))
			again := SVG(l)
			if string(again) != string(SVG(l)) || !json.Valid(l.JSON()) {
				t.Error("two drawings differ, or the JSON is none")
			}
			wellFormed(t, SVG(l))
		})
	}
}

// What the versions of Zeek's tools write is read without more warnings than it deserves.
func TestGenerated(t *testing.T) {
	const metrics = " is not read: nothing but Cluster::nodes and Cluster::manager_is_logger belongs into a layout"
	all := drawn(t)
	for name, want := range map[string][]string{
		"zeekctl-5.0": {}, "zeekctl-7.0": {}, "generator-9.0": {},
		"zeekctl-8.2":   {"zeekctl-8.2.zeek:14:1: event zeek_init is not run here"},
		"generator-8.2": {"generator-8.2.zeek:15:7: Telemetry::metrics_address" + metrics, "generator-8.2.zeek:16:7: Telemetry::metrics_port" + metrics},
	} {
		got := []string{}
		for _, w := range all[name].Warnings {
			got = append(got, strings.TrimPrefix(w, "testdata/"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if ip := all["generator-9.0"].Node("c-w-01-worker-1").IP; ip != netip.MustParseAddr("10.0.0.2") {
		t.Error(ip)
	}
	file := filepath.Join("testdata", "generator-9.0.zeek")
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ParseZeek("f", src) // nobody looks up names
	if err == nil || !strings.HasPrefix(err.Error(), "f:16:23: $ip: saw the result of blocking_lookup_hostname, which only Zeek can tell, want an address") {
		t.Error(err)
	}
	_, err = ParseZeek("f", src, WithResolver(func(string) ([]netip.Addr, error) { return nil, errNoHost }))
	if !errors.Is(err, errNoHost) || !strings.HasPrefix(err.Error(), `f:16:23: host "c-mgr" cannot be looked up: no such host`) {
		t.Error(err)
	}
}

func wellFormed(t testing.TB, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
}

// What is written natively is read as the same, and written as the same again.
func TestNativeRoundTrip(t *testing.T) {
	for name, l := range drawn(t) {
		text := l.Native()
		back, err := ParseNative(name, text)
		if err != nil {
			t.Errorf("%s: %v in\n%s", name, err, text)
			continue
		}
		if diff := cmp.Diff(same(l), same(back), byNetip); diff != "" {
			t.Errorf("%s: %s in\n%s", name, diff, text)
		}
		if string(back.Native()) != string(text) {
			t.Errorf("%s: %s, not %s", name, back.Native(), text)
		}
	}
}

// same returns the layout without what belongs to its file.
func same(l *Layout) Layout {
	c := *l
	c.Source, c.Warnings = "", nil
	return c
}

// An empty layout, which only a program can make, can be drawn, too, and so can names that do harm.
func TestDrawHarm(t *testing.T) {
	empty := &Layout{Version: Newest}
	wellFormed(t, SVG(empty))
	if text := Text(empty); !strings.HasPrefix(text, "Zeek 9.0, 0 nodes: \n") && !strings.HasPrefix(text, "Zeek 9.0, 0 nodes:\n") {
		t.Error(text)
	}
	harm := &Layout{Version: Newest, Nodes: []Node{{Name: "\x1b[2J\x00\xff</text>", Type: 77}, {Name: "", Type: Worker, Manager: "x"}}}
	wellFormed(t, SVG(harm))
	if text := Text(harm) + string(SVG(harm)); strings.ContainsAny(text, "\x1b\x00") || !utf8.ValidString(text) || strings.Contains(text, "FF</text>") {
		t.Errorf("%q", text)
	}
}
