package cluster

import (
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
)

// Status says how a node is.
type Status struct {
	Name  string         `json:"name"`
	Type  string         `json:"type"`
	ID    string         `json:"id"`
	Addr  string         `json:"addr,omitempty"` // where it listens
	Peers int            `json:"peers"`
	Nodes []MemberStatus `json:"nodes"` // all of the layout but itself
	Pools []PoolStatus   `json:"pools"`

	Hellos    uint64            `json:"hellos"` // received
	NodeUps   uint64            `json:"node_up"`
	NodeDowns uint64            `json:"node_down"`
	Events    uint64            `json:"events"`    // received
	Failed    uint64            `json:"failed"`    // events whose arguments did not suit, or whose handlers failed
	Malformed uint64            `json:"malformed"` // messages that cannot be read
	Unhandled map[string]uint64 `json:"unhandled,omitempty"`
	LogWrites uint64            `json:"log_writes"` // messages with rows, received
	RowsSent  uint64            `json:"log_rows_sent"`
	RowsLost  uint64            `json:"log_rows_lost"`
	// RowsWaiting is how many rows wait for others to go with, or for a logger.
	RowsWaiting int            `json:"log_rows_waiting"`
	Dropped     uint64         `json:"dropped"` // messages lost by full queues
	Stores      []store.Status `json:"stores,omitempty"`
}

// MemberStatus says whether a node of the layout is there.
type MemberStatus struct {
	Name string `json:"name"`
	Type string `json:"type"`
	ID   string `json:"id,omitempty"` // "" if it is not there
}

// PoolStatus says who is in a pool.
type PoolStatus struct {
	Topic string   `json:"topic"`
	Nodes []string `json:"nodes"`
	Alive int      `json:"alive"`
}

// Status returns how the node is.
func (n *Node) Status() Status {
	stats := n.ep.Stats()
	s := Status{
		Name: n.self.Name, Type: n.self.Type.Word(), ID: n.ep.ID().String(), Peers: stats.Peers,
		Hellos: n.counts.hellos.Load(), NodeUps: n.counts.ups.Load(), NodeDowns: n.counts.downs.Load(),
		Events: n.counts.events.Load(), Failed: n.counts.failed.Load(), Malformed: n.counts.malformed.Load(),
		Unhandled: n.Unhandled(), LogWrites: n.counts.logWrites.Load(),
	}
	if addr := n.Addr(); addr != nil {
		s.Addr = addr.String()
	}
	s.Dropped = stats.Dropped[endpoint.DropQueueFull] + stats.Dropped[endpoint.DropSubscriberFull]
	for _, st := range n.Stores() {
		s.Stores = append(s.Stores, st.Status())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range []layout.NodeType{layout.Manager, layout.Logger, layout.Proxy, layout.Worker, layout.TimeMachine, layout.Control} {
		for _, node := range n.layout.Sorted(t) {
			if node.Name != n.self.Name {
				s.Nodes = append(s.Nodes, MemberStatus{node.Name, node.Type.Word(), n.members.ID(node.Name)})
			}
		}
	}
	for _, l := range n.logs {
		s.RowsWaiting += l.waiting()
	}
	// In this order, so that no row is neither here nor there.
	s.RowsSent, s.RowsLost = n.counts.rowsSent.Load(), n.counts.rowsLost.Load()
	for _, p := range n.pools {
		s.Pools = append(s.Pools, PoolStatus{p.Spec.Topic, p.Names(), p.Alive()})
	}
	return s
}

// OnLogs has f called for every LogCreate, LogWrite and batch that a peer sends, by the goroutine that takes what
// comes: it must be quick. The payload is valid during the call.
func (n *Node) OnLogs(f func(from wire.EndpointID, payload []byte)) { n.logger.Store(&f) }
