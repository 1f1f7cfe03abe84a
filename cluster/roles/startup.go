package roles

import (
	"context"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// The events of policy/frameworks/cluster/experimental (CLUSTER.md section 4.7).
const (
	connectedEvent = "Cluster::Experimental::node_fully_connected"
	startedEvent   = "Cluster::Experimental::cluster_started"
	startedTopic   = "zeek/cluster/experimental/started"
)

// hasStartedTopic tells whether managers publish that the cluster has started on a topic for it: from 8.2, and in
// later patches of 8.0 and 8.1. Before, they publish it on those of all types of nodes, which reaches nodes of
// every version.
func hasStartedTopic(v layout.Version) bool {
	first := layout.Version{Major: 8, Minor: 0, Patch: 7}
	if v.Major == 8 && v.Minor == 1 {
		first = layout.Version{Major: 8, Minor: 1, Patch: 2}
	}
	return v.Compare(first) >= 0
}

// A startUp is how far the start of the cluster has come. Only handlers use it, which are called one at a time.
type startUp struct {
	*role
	asked  bool            // to take part
	dialed map[string]bool // whom this node dials and has not yet seen
	nodes  map[string]bool // at the manager: who has not yet seen whom it dials
}

// startUp takes part in the start-up events, if it was asked for.
func (r *role) startUp() {
	s := &startUp{role: r, dialed: make(map[string]bool), nodes: make(map[string]bool)}
	on(r, connectedEvent, func(ctx context.Context, args struct {
		Name, ID  string
		Resending bool
	}) error {
		return s.connected(ctx, args.Name, args.Resending)
	})
	on(r, startedEvent, func(context.Context, struct{}) error {
		r.setStarted()
		return nil
	})
	if s.asked = r.opts.experimental && r.layout.Version.HasNodeCounts(); !s.asked { // both are there from 6.0
		return
	}
	r.say("takes part in the start-up events")
	for _, n := range r.layout.Dials(r.self.Name) {
		s.dialed[n.Name] = true
	}
	manager := r.self.Type == layout.Manager
	if manager {
		for _, n := range r.layout.Nodes { // also zeekctl's own entry, so that its clusters never start, as with Zeek
			s.nodes[n.Name] = true
		}
	}
	r.node.OnMember(func(up bool, name, id string) {
		if up {
			s.up(name, id)
		}
	})
	if manager && len(s.dialed) == 0 {
		s.fullyConnected(r.self.Name)
	}
}

// isStarted tells whether the cluster has started, as far as this node knows.
func (s *State) isStarted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started
}

func (s *State) setStarted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
}

// up takes a node that has come. What Zeek says when the last comes whom it dials, it says again whenever its
// manager comes.
func (s *startUp) up(name, id string) {
	if n := s.layout.Node(name); s.self.Type == layout.Manager && n != nil && n.Type == layout.Logger && n.Manager == "" {
		s.fullyConnected(name) // a logger that knows no manager cannot say so itself
	}
	if !s.dialed[name] && (s.self.Manager == "" || name != s.self.Manager) {
		return
	}
	delete(s.dialed, name)
	if len(s.dialed) > 0 {
		return
	}
	resending := s.isStarted()
	s.fullyConnected(s.self.Name)
	err := s.publish(context.Background(), s.layout.Options.ManagerTopic, connectedEvent, data.String(s.self.Name), data.String(s.node.ID().String()), data.Bool(resending))
	if err != nil {
		s.opts.log.Warn("manager not told that this node is fully connected", "node", s.self.Name, "err", err)
	}
}

// fullyConnected is the event at the node that raises it itself.
func (s *startUp) fullyConnected(name string) {
	s.node.Log("fully connected")
	if err := s.connected(context.Background(), name, s.isStarted()); err != nil {
		s.opts.log.Warn("nodes not told that the cluster has started", "node", s.self.Name, "err", err)
	}
}

// connected is what a manager does when a node says that it has seen all whom it dials. If a node says that it had
// seen the cluster start before, then the manager is what has started again.
func (s *startUp) connected(ctx context.Context, name string, resending bool) error {
	if s.self.Type != layout.Manager || !s.asked {
		return nil
	}
	if resending {
		s.setStarted()
	}
	delete(s.nodes, name)
	if s.isStarted() || len(s.nodes) > 0 {
		return nil
	}
	s.setStarted()
	s.node.Log("cluster connected")
	topics := []string{startedTopic}
	if !hasStartedTopic(s.layout.Version) {
		topics = s.node.BroadcastTopics()
	}
	for _, topic := range topics {
		if err := s.publish(ctx, topic, startedEvent); err != nil {
			return err
		}
	}
	return nil
}
