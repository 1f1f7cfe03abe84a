package fuzz

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
)

// Every parser of layouts takes every text. What is accepted passes the check of layouts, is drawn well-formed, and is
// read as the same when it is written natively.
func FuzzLayout(f *testing.F) {
	for _, pattern := range []string{"*.zeek", "*.yaml"} {
		files, err := filepath.Glob(filepath.Join("..", "cluster", "layout", "testdata", pattern))
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	const manager = `["m"] = [$node_type=Cluster::MANAGER, $ip=10.0.0.1, $p=1/tcp]`
	for _, text := range []string{
		"@if ( Version::number > 80000 && ! T || getenv(\"A\") == \"\" )\nredef Cluster::nodes = {" + manager + "};\n@else\nredef A::b += 1;\n@endif",
		"module Cluster; export { const p = count_to_port(5 + 1, tcp); redef nodes += table(\"m\" = Node($node_type=MANAGER, $ip=[::1], $p=p)); }",
		"redef Cluster::nodes = {" + manager + "}; redef Cluster::nodes -= { [\"m\"] }; event a() { print \"}\"; } type x: record { a: count; };",
		"redef Cluster::nodes = {[\"<<\\x01\\\"\xc2\x85\xe2\x80\xa8\xf0\x9f\x98\x80 #: [{\"] = [$node_type=Cluster::MANAGER, $ip=[fe80::1], $zone_id=\"1\", $p=0/tcp, $interface=\"~\"]};",
		"redef Cluster::nodes = {" + manager + "}; redef Cluster::stores += { [\"a\"] = [$backend=Broker::SQLITE, $options=[$sqlite=[$path=\"null\"]], $clone_stale_interval=1.5 min] }; redef Cluster::retry_interval = 0.1 usec;",
		"# zeek_version: 7.0\n[DEFAULT]\nhost=10.0.0.1\n[m]\ntype=manager\n[p]\ntype: proxy\n[w]\ntype=worker\nlb_procs=3\nlb_method=interfaces\nlb_interfaces=a,b,\n  c\ninterface=%%\n",
		"nodes: {m: {type: manager, address: 1.1.1.1}, w: {type: worker, address: \"::1%lo\", manager: null}}\noptions: {node: \"m\", default_backend: pebble}",
	} {
		f.Add(text)
	}
	resolve := func(host string) ([]netip.Addr, error) {
		if strings.Contains(host, "x") {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("10.0.0.1")}, nil
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			return // longer ones only take longer
		}
		if l, err := layout.ParseZeek("f", []byte(text), layout.WithResolver(resolve)); err == nil {
			checkLayout(t, l)
		}
		if l, err := layout.ParseNative("f", []byte(text)); err == nil {
			checkLayout(t, l)
		}
		o, err := layout.ParseZeekctlCfg("f", []byte(text))
		if err != nil {
			o = layout.NodeCfgOptions{}
		}
		o.Resolve = resolve
		if l, err := layout.ParseNodeCfg("f", []byte(text), o); err == nil && len(l.Nodes) < 1000 {
			checkLayout(t, l)
		}
	})
}

func checkLayout(t *testing.T, l *layout.Layout) {
	t.Helper()
	if _, err := l.Check(); err != nil {
		t.Fatalf("accepted, but %v", err)
	}
	layout.Text(l)
	if !json.Valid(l.JSON()) {
		t.Fatalf("not JSON: %s", l.JSON())
	}
	for d := xml.NewDecoder(strings.NewReader(string(layout.SVG(l)))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, layout.SVG(l))
		}
	}
	native := l.Native()
	back, err := layout.ParseNative("f", native)
	if err != nil {
		t.Fatalf("%v in\n%s", err, native)
	}
	ignore := cmpopts.IgnoreFields(layout.Layout{}, "Warnings", "Source")
	if diff := cmp.Diff(l, back, ignore, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s in\n%s", diff, native)
	}
	if again := back.Native(); string(again) != string(native) {
		t.Fatalf("%s\n not\n%s", again, native)
	}
}
