package endpoint

import (
	"context"
	"slices"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// PeerInfo is what an endpoint knows of a peer.
type PeerInfo struct {
	ID     wire.EndpointID
	Addr   string   // as dialed, or as seen
	Names  []string // of its certificate; none without TLS with certificates
	Dialed bool     // this node dialed
	Since  time.Time
	Filter []string      // what the peer is subscribed to; not to be changed
	RTT    time.Duration // of the last ping, 0 if none was answered yet

	FramesIn, BytesIn   uint64
	FramesOut, BytesOut uint64
	Queued              int // messages that wait to be sent
	QueuedBytes         int // bytes of memory that they keep
	Dropped             map[DropReason]uint64
}

// Peers returns all peers, ordered by id.
func (e *Endpoint) Peers() []PeerInfo {
	byID := e.routes.Load().byID
	all := make([]PeerInfo, 0, len(byID))
	for _, p := range byID {
		all = append(all, p.info())
	}
	slices.SortFunc(all, func(a, b PeerInfo) int { return a.ID.Compare(b.ID) })
	return all
}

func (p *peer) info() PeerInfo {
	info := PeerInfo{
		ID: p.id, Addr: p.addr, Names: p.names, Dialed: p.dialed, Since: p.since, Filter: *p.filter.Load(), RTT: time.Duration(p.rtt.Load()),
		FramesIn: p.framesIn.Load(), BytesIn: p.bytesIn.Load(), FramesOut: p.framesOut.Load(), BytesOut: p.bytesOut.Load(),
		Dropped: make(map[DropReason]uint64),
	}
	info.Queued, info.QueuedBytes = p.queue.depth()
	for reason := range DropReason(numDropReasons) {
		if n := p.drops[reason].Load(); n > 0 {
			info.Dropped[reason] = n
		}
	}
	dropped, late := p.queue.dropped.Load(), p.queue.late.Load()
	if dropped > 0 {
		info.Dropped[DropQueueFull] = dropped
	}
	if late > 0 {
		info.Dropped[DropPeeringEnded] += late
	}
	return info
}

// Subscribers returns the peers that are subscribed to topic at this moment, in no order.
func (e *Endpoint) Subscribers(topic string) []wire.EndpointID {
	peers := e.routes.Load().peers.Match([]byte(topic), nil)
	ids := make([]wire.EndpointID, len(peers))
	for i, p := range peers {
		ids[i] = p.id
	}
	return ids
}

// WaitPeers waits until the node has n peers at least.
func (e *Endpoint) WaitPeers(ctx context.Context, n int) error {
	for {
		e.mu.Lock()
		have, more := len(e.routes.Load().byID), e.peerCount
		e.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return ErrClosed
		}
	}
}

// Unpeer takes leave of a peer, whoever dialed. What is queued is sent first, as far as ctx and 3
// seconds allow. An address that this node keeps dialing is dialed again unless it is this
// connection; use [Peering.Unpeer] to stop that. It reports whether the node was a peer.
func (e *Endpoint) Unpeer(ctx context.Context, id wire.EndpointID) bool {
	p := e.routes.Load().byID[id]
	if p == nil {
		return false
	}
	e.outbox.flush(p.queue)
	p.leave(ctx)
	return true
}
