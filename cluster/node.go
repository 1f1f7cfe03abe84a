package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/membership"
	"github.com/zeekpeer/zeekpeer/cluster/pool"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
)

// A Node is a node of a cluster. It may be used by many goroutines.
type Node struct {
	layout *layout.Layout
	self   layout.Node
	opts   options
	ep     *endpoint.Endpoint
	sub    *endpoint.Subscription

	// Held while a store or a log is made, which may take long; taken before mu. They are two because dispatch
	// makes a log, and a store can take minutes to load.
	makingStore, makingLog sync.Mutex

	mu      sync.Mutex // guards the following
	members *membership.Machine
	pools   []*pool.Pool
	news    chan struct{} // closed when members changes
	stores  map[string]*store.Store
	logs    map[logKey]*LogStream
	started bool
	closed  bool

	handlers  handlers
	work      chan job
	queued    atomic.Int64  // bytes of the events in work
	room      chan struct{} // that something was taken from work
	unhandled unhandled
	counts    counts

	toldOfFailure, toldOfHello told

	addr   atomic.Pointer[net.TCPAddr]
	logger atomic.Pointer[func(from wire.EndpointID, payload []byte)]

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

var errClosed = errors.New("the node is closed")

// counts counts what a node has seen.
type counts struct {
	hellos, ups, downs            atomic.Uint64
	events, failed, malformed     atomic.Uint64
	rowsSent, rowsLost, logWrites atomic.Uint64
}

// New makes the node of that name in a layout. It does nothing until [Node.Start].
func New(l *layout.Layout, name string, opts ...Option) (*Node, error) {
	n := &Node{
		layout: l, opts: defaults(), stores: make(map[string]*store.Store), logs: make(map[logKey]*LogStream),
		news: make(chan struct{}),
	}
	for _, opt := range opts {
		opt(&n.opts)
	}
	if err := n.opts.validate(); err != nil {
		return nil, err
	}
	var err error
	if n.pools, err = pool.Assign(l, name, append(pool.Defaults(), n.opts.pools...)); err != nil {
		return nil, err
	}
	base := []endpoint.Option{endpoint.WithLogger(n.opts.log), endpoint.WithRetry(l.Options.ConnectRetry())}
	if n.ep, err = endpoint.New(append(base, n.opts.endpoint...)...); err != nil {
		return nil, err
	}
	if n.members, err = membership.New(l, name, n.ep.ID()); err != nil {
		n.ep.Close(context.Background())
		return nil, err
	}
	n.self = n.members.Self()
	n.work, n.room = make(chan job, n.opts.queue), make(chan struct{}, 1)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	var mine []string
	for _, p := range n.pools {
		if p.Has(name) && !n.opts.outOfPools {
			mine = append(mine, p.Spec.Topic)
		}
	}
	// Everything must be subscribed to before the first peer comes: it says hello at once.
	topics := append(n.members.Subscriptions(mine), n.opts.topics...)
	if n.sub, err = n.ep.Subscribe(topics, endpoint.WithStatus(), endpoint.AllowBlockingStores()); err != nil {
		n.cancel()
		n.ep.Close(context.Background())
		return nil, err
	}
	return n, nil
}

// Start makes the node listen and dial, as its type does: first it listens, then it dials the loggers, the
// proxies and its manager. It returns once it listens; who is dialed comes when it can be reached, and is
// dialed again for ever. Handlers that are registered before see everything.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	if n.started || n.closed {
		n.mu.Unlock()
		return errors.New("a node is started once")
	}
	n.started = true
	n.wg.Go(n.dispatch) // with the lock held, so that a Close at the same time waits for them
	n.wg.Go(n.handle)
	n.wg.Go(n.flushLogs)
	n.mu.Unlock()
	if addr, ok := n.layout.Listens(n.self.Name); ok {
		if err := n.listen(ctx, addr); err != nil {
			return err
		}
		n.Log(membership.ListeningText(n.layout, n.self))
	}
	for _, to := range n.layout.Dials(n.self.Name) {
		if !to.Listens() {
			n.warn(fmt.Sprintf("%s listens on no port, and is not dialed", to.Name))
			continue
		}
		if _, err := n.ep.Peer(to.DialAddr()); err != nil {
			return fmt.Errorf("%s at %s: %w", to.Name, to.DialAddr(), err)
		}
		n.Log(membership.PeeringText(n.layout, to))
	}
	return nil
}

// listen binds the port, again and again as Zeek does if it is taken.
func (n *Node) listen(ctx context.Context, addr string) error {
	for {
		at, err := n.ep.Listen(ctx, addr)
		if err == nil {
			if tcp, ok := at.(*net.TCPAddr); ok {
				n.addr.Store(tcp)
			}
			return nil
		}
		retry := n.layout.Options.DefaultListenRetry
		if retry <= 0 {
			return fmt.Errorf("%s cannot listen at %s: %w", n.self.Name, addr, err)
		}
		n.warn(fmt.Sprintf("cannot listen at %s, next try in %v: %v", addr, retry, err))
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return fmt.Errorf("%s cannot listen at %s: %w", n.self.Name, addr, err)
		case <-n.ctx.Done():
			return endpoint.ErrClosed
		}
	}
}

// Close sends what logs wait, takes leave of all peers, and ends the node with its stores. ctx bounds
// both. It waits for the handlers that run, so none of them may call it.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	stores := n.stores
	n.stores = nil
	n.mu.Unlock()
	defer context.AfterFunc(ctx, n.cancel)() // with a queue that blocks, logs are sent only while there is time
	n.FlushLogs()
	var err error
	for _, s := range stores {
		err = errors.Join(err, s.Close())
	}
	n.cancel()
	err = errors.Join(err, n.ep.Close(ctx))
	n.wg.Wait()
	n.handlers.wait()
	return err
}

// Name returns the name of the node.
func (n *Node) Name() string { return n.self.Name }

// ID returns the id of its endpoint, by which it is known while it runs.
func (n *Node) ID() wire.EndpointID { return n.ep.ID() }

// Endpoint returns the endpoint of the node.
func (n *Node) Endpoint() *endpoint.Endpoint { return n.ep }

// Layout returns the layout, which must not be changed.
func (n *Node) Layout() *layout.Layout { return n.layout }

// Addr returns where the node listens; nil if it does not.
func (n *Node) Addr() *net.TCPAddr { return n.addr.Load() }

// LocalNodeType returns the type of this node.
func (n *Node) LocalNodeType() layout.NodeType { return n.self.Type }

// IsEnabled tells whether this is a node of a cluster. It is: without a name there is no Node.
func (n *Node) IsEnabled() bool { return n.self.Name != "" }

// NodeTopic returns the topic on which the node of that name alone listens.
func (n *Node) NodeTopic(name string) string { return membership.NodeTopic(n.layout, name) }

// NodeIDTopic returns the topic on which the instance with an id alone listens.
func (n *Node) NodeIDTopic(id wire.EndpointID) string {
	return membership.NodeIDTopic(n.layout, id)
}

// BroadcastTopics returns the topics that reach all nodes to which this one has a peering.
func (n *Node) BroadcastTopics() []string { return membership.BroadcastTopics(n.layout) }

// NodeCount returns how many nodes of a type the layout has.
func (n *Node) NodeCount(t layout.NodeType) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.members.NodeCount(t)
}

// ActiveNodeCount returns how many nodes of a type are there, as far as this one sees.
func (n *Node) ActiveNodeCount(t layout.NodeType) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.members.ActiveCount(t)
}

// NodeID returns the id of the node of that name; "" if it is not there.
func (n *Node) NodeID(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.members.ID(name)
}

// NodeIDToNode returns the name of the node with an id; "" if none is there.
func (n *Node) NodeIDToNode(id string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.members.Name(id)
}

// WaitNodes waits until all nodes of those names are there.
func (n *Node) WaitNodes(ctx context.Context, names ...string) error {
	for {
		n.mu.Lock()
		missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return n.members.ID(name) != "" })
		news := n.news
		n.mu.Unlock()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("%s misses %v: %w", n.self.Name, missing, ctx.Err())
		case <-n.ctx.Done():
			return endpoint.ErrClosed
		}
	}
}

// warn logs what is wrong.
func (n *Node) warn(text string) { n.opts.log.Warn(text, "node", n.self.Name) }
