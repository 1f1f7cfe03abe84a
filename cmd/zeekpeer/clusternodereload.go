package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
)

// A layoutChange is something that is otherwise in a layout than it was.
type layoutChange struct {
	text    string
	restart bool // it has an effect on the node, which it has to be restarted for
}

// changedLayout says what has changed in a layout, and what of it matters to the node of that name while it runs: all
// that a node makes of its layout, it makes when it starts.
func changedLayout(was, is *layout.Layout, self string) (changes []layoutChange, err error) {
	before, err := layoutTree(was)
	if err != nil {
		return nil, err
	}
	after, err := layoutTree(is)
	if err != nil {
		return nil, err
	}
	add := func(restart bool, format string, args ...any) {
		changes = append(changes, layoutChange{fmt.Sprintf(format, args...), restart})
	}
	if was.Version != is.Version {
		add(true, "the version of Zeek was %v, is %v", was.Version, is.Version)
	}
	for _, c := range differences(before.options, after.options) {
		add(c.key != "node", "option %s was %v, is %v", c.key, text(c.was), text(c.is))
	}
	dialed := make(map[string]bool)
	for _, n := range append(was.Dials(self), is.Dials(self)...) {
		dialed[n.Name] = true
	}
	for _, name := range keysOf(before.nodes, after.nodes) {
		old, is := before.nodes[name], after.nodes[name]
		switch {
		case old == nil:
			add(true, "node %s is new", name)
			continue
		case is == nil:
			add(true, "node %s is gone", name)
			continue
		}
		for _, c := range differences(old, is) {
			switch c.key {
			case "dials", "listens": // they follow from the rest
			case "interface", "metrics_port", "lb_filter":
				add(false, "%s of %s was %v, is %v", c.key, name, text(c.was), text(c.is))
			case "address", "zone_id", "port":
				add(name == self || dialed[name], "%s of %s was %v, is %v", c.key, name, text(c.was), text(c.is))
			case "manager", "time_machine":
				add(name == self, "%s of %s was %v, is %v", c.key, name, text(c.was), text(c.is))
			default:
				add(true, "%s of %s was %v, is %v", c.key, name, text(c.was), text(c.is))
			}
		}
	}
	for _, name := range keysOf(before.stores, after.stores) {
		switch old, is := before.stores[name], after.stores[name]; {
		case old == nil:
			add(true, "store %s is new", name)
		case is == nil:
			add(true, "store %s is gone", name)
		case len(differences(old, is)) > 0:
			add(true, "store %s is another", name)
		}
	}
	return changes, nil
}

func text(v any) string {
	if v == nil || v == "" {
		return "unset"
	}
	return fmt.Sprint(v)
}

// A tree is a layout as it is shown to programs.
type tree struct {
	options       map[string]any
	nodes, stores map[string]map[string]any
}

func layoutTree(l *layout.Layout) (tree, error) {
	var all struct {
		Options       map[string]any
		Nodes, Stores []map[string]any
	}
	if err := json.Unmarshal(l.JSON(), &all); err != nil {
		return tree{}, fmt.Errorf("%s as JSON: %w", l.Source, err)
	}
	byName := func(list []map[string]any) map[string]map[string]any {
		m := make(map[string]map[string]any, len(list))
		for _, e := range list {
			m[fmt.Sprint(e["name"])] = e
		}
		return m
	}
	return tree{all.Options, byName(all.Nodes), byName(all.Stores)}, nil
}

// A difference is a key of two maps under which they differ.
type difference struct {
	key     string
	was, is any
}

func differences(was, is map[string]any) (all []difference) {
	for _, key := range keysOf(was, is) {
		if fmt.Sprint(was[key]) != fmt.Sprint(is[key]) {
			all = append(all, difference{key, was[key], is[key]})
		}
	}
	return all
}

// keysOf returns the keys of two maps, in order.
func keysOf[V any](a, b map[string]V) []string {
	keys := append(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b))...)
	slices.Sort(keys)
	return slices.Compact(keys)
}
