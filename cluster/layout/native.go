package layout

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/zeekpeer/zeekpeer/internal/yamlfile"
)

// ParseNative reads a native layout, which the documentation of the package describes. file is for errors, which are
// [*Error], joined.
func ParseNative(file string, src []byte, opts ...Option) (*Layout, error) {
	l, _, err := parseNative(file, src, newSettings(opts))
	return l, err
}

// parseNative returns besides the layout which options it sets, by full name.
func parseNative(file string, src []byte, s settings) (l *Layout, set map[string]bool, err error) {
	p := &nativeParser{
		report: &report{file: file}, settings: s, l: &Layout{Source: file},
		set: make(map[string]bool), places: make(map[string]map[string]place),
	}
	if bytesAreUTF16(src) {
		return nil, nil, &Error{File: file, Err: errUTF16}
	}
	if len(src) > maxNative {
		return nil, nil, &Error{File: file, Err: fmt.Errorf("%d bytes, at most %d", len(src), maxNative)}
	}
	err = yamlfile.Parse(strings.TrimPrefix(string(src), "\ufeff"), yamlfile.Plain, p.document)
	if wrong, ok := errors.AsType[*yamlfile.Error](err); ok {
		if errors.Is(err, yamlfile.ErrNotPlain) {
			err = fmt.Errorf("%w, which layouts do not have; put a text that begins so in quotes", yamlfile.ErrNotPlain)
		}
		return nil, nil, &Error{File: file, Line: wrong.Line, Column: wrong.Column, Err: err}
	}
	if p.l.Warnings, err = p.end(); err != nil {
		return nil, nil, err
	}
	return p.l, p.set, nil
}

// maxNative bounds a native layout: ten thousand nodes. The YAML parser takes longer than in proportion for more.
const maxNative = 1 << 20

type nativeParser struct {
	*report
	settings
	l      *Layout
	set    map[string]bool
	places map[string]map[string]place // of the fields of nodes, under their names in Zeek
}

func nodePlace(n ast.Node) place {
	line, column := yamlfile.Position(n)
	return place{line, column}
}

// A pair is a key of a mapping with its value.
type pair struct {
	key   string
	at    place
	value ast.Node
}

// pairs returns what a mapping has, in its order. known are the keys that it may have, none for any.
func (p *nativeParser) pairs(n ast.Node, what string, known ...string) (all []pair) {
	want := strings.Join(known, ", ")
	if want == "" {
		want = "names"
	}
	values, ok := yamlfile.Pairs(n)
	if !ok {
		p.unexpected(n, what, "a mapping with "+want)
		return nil
	}
	seen := make(map[string]place)
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			p.fail(nodePlace(v.Key), "%s: %s is no key, want %s; put it in quotes if you mean it", what, quoted(strings.TrimSpace(v.Key.String())), want)
			continue
		}
		at := nodePlace(key)
		first, twice := seen[key.Value]
		switch {
		case len(known) > 0 && !slices.Contains(known, key.Value):
			p.fail(at, "%s: unknown field %s, want %s", what, quoted(key.Value), want)
		case twice:
			p.fail(at, "%s: %s is there twice, the other is at line %d", what, quoted(key.Value), first.line)
		default:
			seen[key.Value] = at
			all = append(all, pair{key.Value, at, v.Value})
		}
	}
	return all
}

// unexpected notes a value of the wrong kind.
func (p *nativeParser) unexpected(n ast.Node, what, want string) {
	saw := yamlfile.KindOf(n)
	switch saw {
	case yamlfile.Alias:
		saw += ", which is not followed"
	case "":
		saw = "saw " + quoted(strings.TrimSpace(n.String()))
	}
	p.fail(nodePlace(n), "%s: %s, want %s", what, saw, want)
}

// text returns the value of a scalar that is a text.
func (p *nativeParser) text(n ast.Node, what string) string {
	text, ok := yamlfile.Text(n)
	if ok {
		return text
	}
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		p.fail(nodePlace(n), "%s: %s is no text, put it in quotes if you mean it", what, quoted(n.String()))
	default:
		p.unexpected(n, what, "a text")
	}
	return ""
}

// parsed returns what parse makes of a scalar as it is written, and the zero value with a note if it is wrong.
func parsed[T any](p *nativeParser, n ast.Node, what, want string, parse func(string) (T, error)) (v T) {
	text := ""
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.IntegerNode, *ast.FloatNode:
		text = n.GetToken().Value
	default:
		p.unexpected(n, what, want)
		return v
	}
	v, err := parse(text)
	if err != nil {
		var zero T
		p.fail(nodePlace(n), "%s: %w", what, err)
		return zero
	}
	return v
}

// among returns a parser of one of some words.
func among[T any](parse func(string) (T, bool), want string) func(string) (T, error) {
	return func(text string) (T, error) {
		v, ok := parse(text)
		if !ok {
			return v, fmt.Errorf("saw %s, want %s", quoted(text), want)
		}
		return v, nil
	}
}

const (
	wantBackend = "memory, sqlite or pebble"
	wantPort    = "a port from 1 to 65535"
	wantType    = "manager, logger, proxy, worker, control or time_machine"
	wantAddress = "an IP address, such as 10.0.0.1 or 2001:db8::1"
)

func (p *nativeParser) document(body ast.Node, more []ast.Node) {
	for _, n := range more {
		p.fail(nodePlace(n), "a second document, want one")
	}
	if body == nil {
		p.fail(place{}, "an empty file, want zeek_version and nodes")
		return
	}
	all := p.pairs(body, "file", "zeek_version", "options", "nodes", "stores")
	find := func(key string) ast.Node {
		if i := slices.IndexFunc(all, func(f pair) bool { return f.key == key }); i >= 0 {
			return all[i].value
		}
		return nil
	}
	l := p.l
	switch n := find("zeek_version"); {
	case p.version != (Version{}):
		l.Version = p.known(p.report, place{}, p.version)
	case n == nil:
		l.Version = assumeNewest(p.report, `"zeek_version: 8.2"`)
	default:
		if l.Version = parsed(p, n, "zeek_version", "a version such as 8.2", ParseVersion); l.Version != (Version{}) {
			p.known(p.report, nodePlace(n), l.Version)
		}
	}
	l.Options = DefaultOptions(l.Version)
	if n := find("nodes"); n != nil {
		p.nodes(n)
	} else {
		p.fail(place{}, "there are no nodes")
	}
	l.Options.ManagerIsLogger = l.count(Logger) == 0
	if n := find("options"); n != nil {
		p.options(n)
	}
	if n := find("stores"); n != nil {
		p.stores(n)
	}
	if len(p.errs) > 0 {
		return
	}
	l.check(p.report, func(name, field string) place {
		if at, ok := p.places[name][field]; ok {
			return at
		}
		return p.places[name][""]
	})
}

func (p *nativeParser) nodes(n ast.Node) {
	implied := make(map[string]bool) // those whose manager is the only one
	for _, f := range p.pairs(n, "nodes") {
		node, says := p.node(f)
		implied[f.key] = !says["manager"] && (node.Type == Worker || node.Type == Proxy)
		p.l.Nodes = append(p.l.Nodes, node)
	}
	slices.SortFunc(p.l.Nodes, byName)
	if managers := p.l.Sorted(Manager); len(managers) == 1 {
		for i := range p.l.Nodes {
			if n := &p.l.Nodes[i]; implied[n.Name] {
				n.Manager = managers[0].Name
			}
		}
	}
}

// node reads a node, and returns which fields it has.
func (p *nativeParser) node(f pair) (n Node, says map[string]bool) {
	n.Name = f.key
	says = make(map[string]bool)
	at := map[string]place{"": f.at}
	p.places[f.key] = at
	inZeek := map[string]string{"type": "node_type", "address": "ip", "port": "p"}
	for _, v := range p.pairs(f.value, "node "+quoted(f.key), "type", "address", "port", "manager", "interface", "zone_id", "metrics_port", "time_machine", "lb_filter") {
		says[v.key] = true
		at[v.key] = nodePlace(v.value)
		if zeek := inZeek[v.key]; zeek != "" {
			at[zeek] = at[v.key]
		}
		what := "node " + quoted(f.key) + ": " + v.key
		switch v.key {
		case "type":
			n.Type = parsed(p, v.value, what, wantType, among(parseType, wantType))
		case "address":
			n.IP = parsed(p, v.value, what, wantAddress, among(func(s string) (netip.Addr, bool) {
				a, err := netip.ParseAddr(s)
				if a.Zone() != "" {
					n.ZoneID = a.Zone()
				}
				return a.Unmap().WithZone(""), err == nil
			}, wantAddress))
		case "port":
			n.Port = parsed(p, v.value, what, wantPort, parseNativePort)
		case "metrics_port":
			n.MetricsPort = parsed(p, v.value, what, wantPort, parseNativePort)
		case "manager":
			if yamlfile.KindOf(v.value) != yamlfile.Nothing { // null is none, and not the only one
				n.Manager = p.text(v.value, what)
			}
		case "interface":
			n.Interface = p.text(v.value, what)
		case "zone_id":
			n.ZoneID = p.text(v.value, what)
		case "time_machine":
			n.TimeMachine = p.text(v.value, what)
		case "lb_filter":
			n.LBFilter = p.text(v.value, what)
		}
	}
	for _, must := range []string{"type", "address"} {
		if !says[must] {
			p.fail(f.at, "node %s has no %s", quoted(f.key), must)
		}
	}
	return n, says
}

// parseNativePort parses a TCP port as a number alone, or any as Zeek writes it.
func parseNativePort(text string) (Port, error) {
	full := text
	if !strings.Contains(text, "/") {
		full += "/tcp"
	}
	port, ok := parsePort(full)
	if !ok || port == tcp(0) && full != text {
		return Port{}, fmt.Errorf("saw %s, want %s; without the field there is none", quoted(text), wantPort)
	}
	return port, nil
}

func (p *nativeParser) options(n ast.Node) {
	names := make([]string, len(optionTable))
	for i := range optionTable {
		names[i] = optionTable[i].name
	}
	for _, f := range p.pairs(n, "options", names...) {
		o := &optionTable[slices.Index(names, f.key)]
		p.set[o.module+"::"+o.name] = true
		switch to := o.field(&p.l.Options).(type) {
		case *string:
			*to = p.text(f.value, f.key)
		case *bool:
			b, ok := f.value.(*ast.BoolNode)
			if !ok {
				p.unexpected(f.value, f.key, "true or false")
				continue
			}
			*to = b.Value
		case *Backend:
			*to = parsed(p, f.value, f.key, wantBackend, among(parseBackend, wantBackend))
		case *time.Duration:
			*to = parsed(p, f.value, f.key, "an interval such as 1s", parseInterval)
		}
	}
}

func (p *nativeParser) stores(n ast.Node) {
	drafts := make(map[string]*storeDraft)
	for _, f := range p.pairs(n, "stores") {
		d := &storeDraft{info: StoreInfo{Name: f.key}, set: make(map[string]bool)}
		drafts[f.key] = d
		s := &d.info
		for _, v := range p.pairs(f.value, "store "+quoted(f.key), "backend", "path", "master_node", "clone_resync_interval", "clone_stale_interval", "clone_mutation_buffer_interval") {
			what := "store " + quoted(f.key) + ": " + v.key
			d.set[v.key] = true
			switch v.key {
			case "backend":
				s.Backend = parsed(p, v.value, what, wantBackend, among(parseBackend, wantBackend))
			case "path":
				d.set["options"] = true
				s.Path = p.text(v.value, what)
			case "master_node":
				s.MasterNode = p.text(v.value, what)
			case "clone_resync_interval":
				s.CloneResyncInterval = parsed(p, v.value, what, "an interval such as 10s", parseInterval)
			case "clone_stale_interval":
				s.CloneStaleInterval = parsed(p, v.value, what, "an interval such as 5m", parseInterval)
			case "clone_mutation_buffer_interval":
				s.CloneMutationBufferInterval = parsed(p, v.value, what, "an interval such as 2m", parseInterval)
			}
		}
	}
	p.l.Stores = assemble(&p.l.Options, drafts)
}
