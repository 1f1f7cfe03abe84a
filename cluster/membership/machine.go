// Package membership knows who of a cluster is there: what a node does when peers come, go and say
// hello (CLUSTER.md section 4). It is a plain state machine, without network and clock: what happens
// goes in, and what is to be done comes out.
package membership

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire"
)

// A Machine is the membership as one node sees it. It is not safe for concurrent use.
type Machine struct {
	layout *layout.Layout
	self   layout.Node
	id     wire.EndpointID
	peers  map[wire.EndpointID]struct{}
	ids    map[string]string // of the nodes that said hello and are there, by name
	active map[layout.NodeType]map[string]struct{}
	out    []Action
}

// An ActionKind says what is to be done.
type ActionKind uint8

const (
	// AnnounceMasters: publish Broker::announce_masters, with the names of the tables that this node keeps
	// for others, to Topic.
	AnnounceMasters ActionKind = iota + 1
	// Hello: publish Cluster::hello, with name and id of this node, to Topic.
	Hello
	// NodeUp: a node has come; raise Cluster::node_up(Name, ID).
	NodeUp
	// NodeDown: a node has gone; raise Cluster::node_down(Name, ID).
	NodeDown
	// Log: write Text to the log of the cluster.
	Log
	// Warn: something is wrong that somebody should look after: Text.
	Warn
)

var actionNames = [...]string{"", "announce masters", "hello", "node_up", "node_down", "log", "warn"}

// String returns the name of the kind.
func (k ActionKind) String() string {
	if int(k) < len(actionNames) && k > 0 {
		return actionNames[k]
	}
	return fmt.Sprintf("ActionKind(%d)", uint8(k))
}

// An Action is something to be done.
type Action struct {
	Kind  ActionKind
	Topic string // of AnnounceMasters and Hello
	Name  string // of a node: with NodeUp and NodeDown
	ID    string // its id as it said it
	Text  string // of Log and Warn
}

// String returns the action in one line.
func (a Action) String() string {
	switch a.Kind {
	case NodeUp, NodeDown:
		return fmt.Sprintf("%v %s %s", a.Kind, a.Name, a.ID)
	case Log, Warn:
		return fmt.Sprintf("%v %s", a.Kind, a.Text)
	}
	return fmt.Sprintf("%v to %s", a.Kind, a.Topic)
}

// New returns the machine of the node of that name in a layout, whose endpoint has the id.
func New(l *layout.Layout, name string, id wire.EndpointID) (*Machine, error) {
	n := l.Node(name)
	if n == nil {
		return nil, fmt.Errorf("'%s' is not a valid node in the Cluster::nodes configuration of %s", name, l.Source)
	}
	return &Machine{
		layout: l, self: *n, id: id,
		peers:  make(map[wire.EndpointID]struct{}),
		ids:    make(map[string]string),
		active: make(map[layout.NodeType]map[string]struct{}),
	}, nil
}

// PeerAdded says that a peering has come about. Nobody answers a hello: each side says it once for each
// peering. The result is valid until the next call of any method.
func (m *Machine) PeerAdded(peer wire.EndpointID) []Action {
	m.out = m.out[:0]
	if _, again := m.peers[peer]; again {
		return nil
	}
	m.peers[peer] = struct{}{}
	topic := NodeIDTopic(m.layout, peer)
	if m.self.Type == layout.Manager {
		m.out = append(m.out, Action{Kind: AnnounceMasters, Topic: topic})
	}
	return append(m.out, Action{Kind: Hello, Topic: topic})
}

// Peered tells whether there is a peering of which [Machine.PeerAdded] was told.
func (m *Machine) Peered(peer wire.EndpointID) bool {
	_, ok := m.peers[peer]
	return ok
}

// PeerLost says that a peering has ended, but not because this node wanted it to.
func (m *Machine) PeerLost(peer wire.EndpointID) []Action {
	m.out = m.out[:0]
	delete(m.peers, peer)
	id := peer.String()
	for _, name := range slices.Sorted(maps.Keys(m.ids)) {
		if m.ids[name] != id {
			continue
		}
		delete(m.ids, name)
		delete(m.active[m.layout.Node(name).Type], id)
		m.out = append(m.out, Action{Kind: Log, Text: "node down: " + name}, Action{Kind: NodeDown, Name: name, ID: id})
		break
	}
	return m.out
}

// PeerRemoved says that this node has ended a peering. As in Zeek nobody is told that a node is down
// (CLUSTER.md section 4.5).
func (m *Machine) PeerRemoved(peer wire.EndpointID) { delete(m.peers, peer) }

// maxID bounds an id that somebody says, in bytes. Those of Broker have 36; those of other backends of Zeek begin with
// a name. It goes into logs, and to terminals.
const maxID = 256

// ReceiveHello takes what a peer said: the name and id of a node, which Zeek believes whoever says it. Here
// it is warned of an id that is not the peer's own, for that node will never be seen going.
func (m *Machine) ReceiveHello(from wire.EndpointID, name, id string) []Action {
	m.out = m.out[:0]
	if len(id) > maxID || strings.ContainsFunc(id, unicode.IsControl) {
		m.warn("hello from peer %v ignored: %.*q (%d bytes) is no id, want at most %d bytes without control characters", from, maxID, id, len(id), maxID)
		return m.out
	}
	node := m.layout.Node(name)
	if node == nil {
		if len(name) > maxID {
			name = fmt.Sprintf("%q... (%d bytes)", name[:maxID], len(name))
		}
		m.warn("Got Cluster::hello msg from unexpected node: %s", name)
		return m.out
	}
	if id != from.String() {
		m.warn("hello from %s names the id %s, but the peer that said it is %v: when it goes, %s will not be down", name, id, from, name)
	}
	known := m.ids[name]
	if known != "" && known != id {
		m.warn("Got Cluster::hello msg from duplicate node:%s", name)
		delete(m.active[node.Type], known) // Zeek goes on counting the old one
	}
	m.ids[name] = id
	if m.active[node.Type] == nil {
		m.active[node.Type] = make(map[string]struct{})
	}
	m.active[node.Type][id] = struct{}{}
	m.out = append(m.out, Action{Kind: Log, Text: fmt.Sprintf("got hello from %s (%s)", name, id)})
	if known == "" {
		m.out = append(m.out, Action{Kind: NodeUp, Name: name, ID: id})
	}
	return m.out
}

func (m *Machine) warn(format string, args ...any) {
	m.out = append(m.out, Action{Kind: Warn, Text: fmt.Sprintf(format, args...)})
}

// Self returns the entry of this node in the layout.
func (m *Machine) Self() layout.Node { return m.self }

// ID returns the id of the node of that name that is connected, "" if there is none.
func (m *Machine) ID(name string) string { return m.ids[name] }

// Name returns the name of the node with an id, "" if nobody said hello with it.
func (m *Machine) Name(id string) string {
	for name, known := range m.ids {
		if known == id {
			return name
		}
	}
	return ""
}

// ActiveCount returns how many nodes of a type are there, as far as this node can see: a worker never
// counts other workers, to whom it has no peering. Of workers it is what Zeek up to 6.0 has as
// Cluster::worker_count.
func (m *Machine) ActiveCount(t layout.NodeType) int { return len(m.active[t]) }

// NodeCount returns how many nodes of a type the layout has.
func (m *Machine) NodeCount(t layout.NodeType) int { return len(m.layout.Sorted(t)) }
