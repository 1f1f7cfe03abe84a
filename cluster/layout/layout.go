package layout

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// A Layout says which nodes a cluster has, and what holds for all of them.
type Layout struct {
	Options  Options
	Nodes    []Node      // by name, byte by byte
	Stores   []StoreInfo // by name
	Version  Version     // of Zeek
	Warnings []string    // what is odd, with its place
	Source   string      // the file
}

// Node returns the node of that name, or nil.
func (l *Layout) Node(name string) *Node {
	for i := range l.Nodes {
		if l.Nodes[i].Name == name {
			return &l.Nodes[i]
		}
	}
	return nil
}

// Sorted returns the nodes of a type in the order in which Zeek goes through them: by name, byte by byte, so that
// worker-10 is before worker-2 (section 2.2).
func (l *Layout) Sorted(t NodeType) []Node { return l.among(t, func(*Node) bool { return true }) }

// among returns the nodes of a type that are wanted, by name.
func (l *Layout) among(t NodeType, wanted func(*Node) bool) []Node {
	var nodes []Node
	for i := range l.Nodes {
		if n := &l.Nodes[i]; n.Type == t && wanted(n) {
			nodes = append(nodes, *n)
		}
	}
	slices.SortFunc(nodes, byName)
	return nodes
}

// count returns how many nodes of a type there are.
func (l *Layout) count(t NodeType) (n int) {
	for i := range l.Nodes {
		if l.Nodes[i].Type == t {
			n++
		}
	}
	return n
}

func byName(a, b Node) int { return strings.Compare(a.Name, b.Name) }

// Listens returns where the node of that name listens: on the port of the layout, at Broker::default_listen_address,
// which is not the address in the layout (sections 1.3, 4.1). It returns false if the node does not listen.
func (l *Layout) Listens(name string) (addr string, ok bool) {
	n := l.Node(name)
	if n == nil || !n.Listens() {
		return "", false
	}
	return net.JoinHostPort(l.Options.DefaultListenAddress, strconv.Itoa(int(n.Port.Number))), true
}

// dialOrder is the order in which a node dials others, by type; within one, by name.
var dialOrder = [...]NodeType{Logger, Proxy, Manager, TimeMachine}

// Dials returns whom the node of that name dials, in this order: all loggers, all proxies, its manager, and up to Zeek
// 7.0 its time machine, as far as its type dials them at all (section 4.1).
func (l *Layout) Dials(name string) []Node {
	from := l.Node(name)
	if from == nil {
		return nil
	}
	var nodes []Node
	for _, t := range dialOrder {
		nodes = append(nodes, l.among(t, func(to *Node) bool { return l.dials(from, to) })...)
	}
	return nodes
}

// DialedBy returns who dials the node of that name: managers, proxies, workers, each by name.
func (l *Layout) DialedBy(name string) []Node {
	to := l.Node(name)
	if to == nil {
		return nil
	}
	var nodes []Node
	for _, t := range []NodeType{Manager, Proxy, Worker} {
		nodes = append(nodes, l.among(t, func(from *Node) bool { return l.dials(from, to) })...)
	}
	return nodes
}

// dials reports whether a node dials another.
func (l *Layout) dials(from, to *Node) bool {
	switch to.Type {
	case Logger:
		return from.Type == Manager || from.Type == Proxy || from.Type == Worker
	case Proxy:
		return from.Type == Worker
	case Manager:
		return (from.Type == Proxy || from.Type == Worker) && from.Manager == to.Name
	case TimeMachine:
		return (from.Type == Manager || from.Type == Worker) && from.TimeMachine == to.Name && l.Version.HasTimeMachine()
	}
	return false
}
