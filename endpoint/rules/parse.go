package rules

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/zeekpeer/zeekpeer/internal/yamlfile"
	"github.com/zeekpeer/zeekpeer/wire"
)

// parse reads the rules in text. It notes what is wrong and goes on, so that one look at the errors is enough.
func parse(name string, text []byte) (set *ruleSet, err error) {
	p := &fileParser{file: name}
	err = yamlfile.Parse(string(text), yamlfile.Any, func(body ast.Node, more []ast.Node) { set = p.ruleSet(body, more) })
	if wrong, ok := errors.AsType[*yamlfile.Error](err); ok {
		return nil, &Error{File: name, Line: wrong.Line, Column: wrong.Column, Err: err}
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return set, nil
}

type fileParser struct {
	file string
	errs []error
}

// fail notes an error at a place.
func (p *fileParser) fail(at ast.Node, format string, args ...any) {
	e := &Error{File: p.file, Err: fmt.Errorf(format, args...)}
	e.Line, e.Column = yamlfile.Position(at)
	p.errs = append(p.errs, e)
}

// A field is a key of a mapping with its value.
type field struct {
	key   string
	at    ast.Node // the key
	value ast.Node
}

// fields returns the fields of a mapping, in their order. what names the mapping in errors, known are the
// keys that it may have.
func (p *fileParser) fields(n ast.Node, what string, known ...string) (all []field) {
	pairs, ok := yamlfile.Pairs(n)
	if !ok {
		p.unexpected(n, what, "a mapping with "+strings.Join(known, ", "))
		return nil
	}
	seen := make(map[string]bool)
	for _, pair := range pairs {
		key, ok := pair.Key.(*ast.StringNode)
		switch {
		case !ok:
			p.fail(pair.Key, "%s: %s is no field, want %s", what, pair.Key, strings.Join(known, ", "))
		case !slices.Contains(known, key.Value):
			p.fail(key, "%s: unknown field %q, want %s", what, key.Value, strings.Join(known, ", "))
		case seen[key.Value]:
			p.fail(key, "%s: field %q is there twice", what, key.Value)
		default:
			seen[key.Value] = true
			all = append(all, field{key.Value, key, pair.Value})
		}
	}
	return all
}

// unexpected notes a value of the wrong kind.
func (p *fileParser) unexpected(n ast.Node, what, want string) {
	switch kind := yamlfile.KindOf(n); kind {
	case yamlfile.Alias:
		p.fail(n, "%s: an alias, want %s; a text that begins with * must be in quotes", what, want)
	case "":
		p.fail(n, "%s: got %s, want %s", what, clipped(n.String()), want)
	default:
		p.fail(n, "%s: %s, want %s", what, kind, want)
	}
}

// clipped returns what fits an error.
func clipped(s string) string {
	if s = strings.TrimSpace(s); len(s) > 40 {
		s = s[:40] + "..."
	}
	return fmt.Sprintf("%q", s)
}

func (p *fileParser) ruleSet(body ast.Node, more []ast.Node) *ruleSet {
	for _, n := range more {
		p.fail(n, "a second document, want one")
	}
	if body == nil {
		p.fail(nil, "%w", errEmpty)
		return nil
	}
	set := &ruleSet{}
	hasDefault := false
	conditions := make(map[string]string) // the rule that has them first
	for _, f := range p.fields(body, "file", "rules", "default") {
		if f.key == "default" {
			hasDefault = true
			set.byDefault = p.rule(f.value, "default", "default", false)
			continue
		}
		list, ok := f.value.(*ast.SequenceNode)
		if !ok {
			p.unexpected(f.value, "rules", "a list of rules")
			continue
		}
		for i, n := range list.Values {
			title := fmt.Sprintf("rule %d", i+1)
			r := p.rule(n, title, title, true)
			if first := conditions[r.match.String()]; first != "" && r.match.String() != "" {
				p.fail(n, "%s never holds: %s matches the same", title, first)
			}
			conditions[r.match.String()] = r.title
			set.rules = append(set.rules, r)
		}
	}
	if !hasDefault {
		p.fail(nil, "no default: say what holds for who matches no rule, such as \"default: {refuse: true}\", or \"default: {}\" for everything")
	}
	return set
}

// rule reads a rule, or the default, which has neither name nor match.
func (p *fileParser) rule(n ast.Node, what, title string, matches bool) (r rule) {
	line, _ := yamlfile.Position(n)
	r.title = fmt.Sprintf("%s (line %d)", title, line)
	known := []string{"refuse", "publish", "subscribe", "commands", "logs", "identifiers", "read_only"}
	if matches {
		known = append([]string{"name", "match"}, known...)
	}
	a := &r.access
	readOnly, says := false, map[string]ast.Node{}
	for _, f := range p.fields(n, what, known...) {
		says[f.key] = f.at
		name := what + ": " + f.key
		switch f.key {
		case "name":
			if text, ok := p.text(f.value, name); ok {
				r.title = fmt.Sprintf("%s %q (line %d)", title, text, line)
			}
		case "match":
			r.match = p.match(f.value, name)
		case "refuse":
			a.Refuse = p.truth(f.value, name)
		case "read_only":
			readOnly = p.truth(f.value, name)
		case "publish":
			a.Publish = p.prefixes(f.value, name)
		case "subscribe":
			a.Subscribe = p.prefixes(f.value, name)
		case "commands":
			a.Commands = p.prefixes(f.value, name)
		case "logs":
			a.NoLogs = p.denial(f.value, name)
		case "identifiers":
			a.NoIdentifiers = p.denial(f.value, name)
		}
	}
	if matches && says["match"] == nil {
		p.fail(n, "%s: no match, want whom it is for; what holds for all others is \"default:\" below the list", what)
	}
	pointless := func(because string, fields ...string) {
		for _, key := range fields {
			if says[key] != nil {
				p.fail(says[key], "%s: %s makes no sense with %s", what, key, because)
			}
		}
	}
	switch {
	case a.Refuse:
		pointless("refuse", "publish", "subscribe", "commands", "logs", "identifiers", "read_only")
	case readOnly:
		pointless("read_only", "publish", "commands", "logs", "identifiers")
		a.Publish, a.Commands = []string{}, []string{}
	case says["publish"] != nil && says["commands"] == nil:
		a.Commands = []string{}
	}
	return r
}

func (p *fileParser) match(n ast.Node, what string) (m match) {
	if mapping, ok := n.(*ast.MappingNode); ok && len(mapping.Values) == 0 {
		p.fail(n, "%s: empty, want cert, id, addr or websocket; what holds for all others is \"default:\" below the list", what)
	}
	for _, f := range p.fields(n, what, "cert", "id", "addr", "websocket") {
		name := what + ": " + f.key
		switch f.key {
		case "cert":
			m.certs = list(p, f.value, name, "a pattern", func(s string) (string, error) {
				if _, err := path.Match(s, ""); err != nil || s == "" {
					return "", errors.New("not a pattern, want a name in which *, ? and [a-z] stand for characters")
				}
				return strings.ToLower(s), nil
			})
		case "id":
			m.ids = list(p, f.value, name, "an endpoint id", wire.ParseEndpointID)
		case "addr":
			m.nets = list(p, f.value, name, "an address or a network", parseNet)
		case "websocket":
			truth := p.truth(f.value, name)
			m.websocket = &truth
		}
	}
	return m
}

// parseNet parses an address or a network.
func parseNet(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, errors.New("a zone, want the address without")
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	n, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return n, errors.New("want an address such as 10.0.0.1 or a network such as 10.0.0.0/8")
	case n.Addr().Is4In6():
		return n, errors.New("an IPv4 network as IPv6, want it as IPv4")
	case n != n.Masked():
		return n, fmt.Errorf("an address within a network, want the network, %v, or the address alone", n.Masked())
	}
	return n, nil
}

// text returns the value of a scalar that is a text.
func (p *fileParser) text(n ast.Node, what string) (string, bool) {
	text, ok := yamlfile.Text(n)
	if ok {
		return text, true
	}
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		p.fail(n, "%s: %s is no text, put it in quotes if you mean it", what, clipped(n.String()))
	default:
		p.unexpected(n, what, "a text")
	}
	return "", false
}

// list reads a text or a list of texts, each of which parse understands.
func list[T any](p *fileParser, n ast.Node, what, want string, parse func(string) (T, error)) []T {
	nodes := []ast.Node{n}
	if s, ok := n.(*ast.SequenceNode); ok {
		if nodes = s.Values; len(nodes) == 0 {
			p.fail(n, "%s: an empty list matches nobody, want %s", what, want)
		}
	}
	all := make([]T, 0, len(nodes))
	for _, n := range nodes {
		text, ok := p.text(n, what)
		if !ok {
			continue
		}
		x, err := parse(text)
		if err != nil {
			p.fail(n, "%s: %s: %w", what, clipped(text), err)
			continue
		}
		all = append(all, x)
	}
	return all
}

// prefixes reads a list of prefixes of topics, which may be empty but is never nil.
func (p *fileParser) prefixes(n ast.Node, what string) []string {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		p.unexpected(n, what, "a list of topics, [] for none; leave the field out for all")
		return []string{}
	}
	if len(s.Values) == 0 {
		return []string{}
	}
	return list(p, n, what, "a topic", func(s string) (string, error) {
		switch {
		case s == "":
			return "", errors.New("every topic begins so; leave the field out to allow all")
		case len(s) > wire.MaxTopicLen:
			return "", fmt.Errorf("%d bytes, at most %d", len(s), wire.MaxTopicLen)
		}
		return s, nil
	})
}

func (p *fileParser) truth(n ast.Node, what string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		p.unexpected(n, what, "true or false")
		return false
	}
	return b.Value
}

// denial reads "deny" or "allow".
func (p *fileParser) denial(n ast.Node, what string) bool {
	s, ok := n.(*ast.StringNode)
	if !ok || s.Value != "deny" && s.Value != "allow" {
		p.unexpected(n, what, "deny or allow")
		return false
	}
	return s.Value == "deny"
}
