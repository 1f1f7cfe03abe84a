package endpoint

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/topic"
	"github.com/zeekpeer/zeekpeer/wire"
)

// An Endpoint is one node. All its methods may be called from several goroutines at a time.
type Endpoint struct {
	id       wire.EndpointID
	opts     options
	log      *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	start    time.Time
	wg       sync.WaitGroup
	registry registry
	pending  *pendingConns
	outbox   outbox

	routes        atomic.Pointer[routes]
	filterVersion atomic.Uint64 // counts the changes of this node's filter
	filterCache   atomic.Pointer[filterAt]
	announce      announcer
	largeBytes    atomic.Int64
	writers       atomic.Int64 // of peers, that are awake
	pings         pingWaiters
	traffic       trafficTable
	taps          atomic.Pointer[[]*Tap]           // nil if there is none
	processed     [wire.TypePong + 1]atomic.Uint64 // messages received or published
	refusals      atomic.Uint64                    // connections accepted that did not become peerings
	refusalLogged atomic.Int64                     // when one was last warned of, on the endpoint's clock
	failures      atomic.Uint64                    // attempts to dial that did not

	mu        sync.Mutex // guards what follows, and changes of routes
	listeners []net.Listener
	subs      map[*Subscription]struct{}
	watchers  []*Subscription // those with statuses
	peerCount chan struct{}   // closed and replaced when a peer is added
	ended     Stats           // of peers that there were
	lost      uint64          // messages, by the queues of subscriptions that there were
	closing   bool
	closed    chan struct{}
}

// New makes a node. It neither listens nor dials before it is told to.
func New(opts ...Option) (*Endpoint, error) {
	o := defaults()
	for _, opt := range opts {
		opt(&o)
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	e := &Endpoint{
		id: o.id, opts: o, log: o.log, start: time.Now(),
		registry:  registry{limit: o.maxPeers, slots: make(map[wire.EndpointID]*slot)},
		pending:   newPendingConns(o.maxPending),
		subs:      make(map[*Subscription]struct{}),
		peerCount: make(chan struct{}),
		closed:    make(chan struct{}),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.traffic.topics = make(map[string]*topicCounter)
	e.routes.Store(&routes{traffic: &e.traffic})
	e.outbox.processed = &e.processed
	e.outbox.data.kind, e.outbox.commands.kind = wire.TypeData, wire.TypeCommand
	e.filterCache.Store(&filterAt{})
	e.pings.waiting = make(map[string]*pingWaiter)
	e.announce.send = e.announceFilter
	return e, nil
}

// ID returns the id of the node.
func (e *Endpoint) ID() wire.EndpointID { return e.id }

// now returns the nanoseconds since the endpoint was made, on the monotonic clock.
func (e *Endpoint) now() int64 { return int64(time.Since(e.start)) }

// Close ends the node: it stops listening and dialing, sends what is queued and takes leave of each
// peer, for 3 seconds at the most or until ctx ends, and closes all subscriptions. It returns when
// no goroutine of the node is left.
func (e *Endpoint) Close(ctx context.Context) error {
	e.mu.Lock()
	if e.closing {
		e.mu.Unlock()
		select {
		case <-e.closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e.closing = true
	listeners := e.listeners
	e.mu.Unlock()

	e.registry.close()
	for _, l := range listeners {
		l.Close()
	}
	e.announce.stop()
	e.outbox.flushAll()
	var leaving sync.WaitGroup
	for _, p := range e.registry.peers() {
		leaving.Go(func() { p.leave(ctx) })
	}
	leaving.Wait()
	e.cancel()
	e.pending.closeAll()
	e.wg.Wait()
	e.mu.Lock()
	subs := make([]*Subscription, 0, len(e.subs))
	for s := range e.subs {
		subs = append(subs, s)
	}
	e.mu.Unlock()
	for _, s := range subs {
		s.queue.close()
	}
	for _, t := range e.allTaps() {
		t.queue.close()
	}
	close(e.closed)
	return ctx.Err()
}

// addPeer lets a peer take part, and tells of it.
func (e *Endpoint) addPeer(p *peer, version uint64) {
	e.mu.Lock()
	filter := *p.filter.Load()
	old := e.routes.Load()
	e.routes.Store(old.withPeers(old.peers.InsertAll(filter, p), with(old.byID, p)))
	close(e.peerCount)
	e.peerCount = make(chan struct{})
	watchers := e.watchers
	e.mu.Unlock()
	if e.filterVersion.Load() != version {
		p.lane.filterChanged() // the handshake carried an older one
	}
	s := &Status{Code: PeerAdded, Peer: p.id, Addr: p.addr, Dialed: p.dialed, Filter: filter}
	e.log.Info("peer added", "peer", p.id, "addr", p.addr, "dialed", p.dialed, "filter", filter)
	tell(watchers, s)
}

// removePeer takes a peer that has ended out of all tables, and tells of it.
func (e *Endpoint) removePeer(p *peer) {
	e.mu.Lock()
	old := e.routes.Load()
	e.routes.Store(old.withPeers(old.peers.RemoveAll(*p.filter.Load(), p), without(old.byID, p)))
	e.outbox.flush(p.queue) // from here on nothing is published to it
	last := p.info()
	e.ended.add(&last)
	e.ended.PeeringsEnded++
	watchers := e.watchers
	e.mu.Unlock()
	s := &Status{Code: PeerLost, Peer: p.id, Addr: p.addr, Dialed: p.dialed, Last: &last, Err: p.cause}
	if p.removed {
		s.Code, s.Err = PeerRemoved, nil
	}
	e.log.Info(s.Code.String(), "peer", p.id, "addr", p.addr, "err", p.cause, "undelivered", last.Dropped[DropPeeringEnded])
	tell(watchers, s)
}

// setPeerFilter replaces what a peer is subscribed to.
func (e *Endpoint) setPeerFilter(p *peer, filter []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := *p.filter.Load()
	if slices.Equal(before, filter) {
		return
	}
	old := e.routes.Load()
	if old.byID[p.id] == p { // not while it is being removed
		e.routes.Store(old.withPeers(old.peers.RemoveAll(before, p).InsertAll(filter, p), old.byID))
	}
	p.filter.Store(&filter) // who sees it in Peers can rely on it
}

// report tells those who watch of something that concerns no peer.
func (e *Endpoint) report(s *Status) {
	e.mu.Lock()
	watchers := e.watchers
	e.mu.Unlock()
	tell(watchers, s)
}

func tell(watchers []*Subscription, s *Status) {
	for _, w := range watchers {
		w.queue.pushStatus(s)
	}
}

func with(peers map[wire.EndpointID]*peer, p *peer) map[wire.EndpointID]*peer {
	all := make(map[wire.EndpointID]*peer, len(peers)+1)
	for id, other := range peers {
		all[id] = other
	}
	all[p.id] = p
	return all
}

func without(peers map[wire.EndpointID]*peer, p *peer) map[wire.EndpointID]*peer {
	all := make(map[wire.EndpointID]*peer, len(peers))
	for id, other := range peers {
		if other != p {
			all[id] = other
		}
	}
	return all
}

// filterAt is the filter of this node at a version.
type filterAt struct {
	version uint64
	filter  topic.Filter
}

// filter returns what this node is subscribed to, minimal and sorted.
func (e *Endpoint) filter() []string {
	version := e.filterVersion.Load()
	if cached := e.filterCache.Load(); cached.version == version {
		return cached.filter
	}
	filter := e.routes.Load().subs.Filter()
	e.filterCache.Store(&filterAt{version, filter})
	return filter
}
