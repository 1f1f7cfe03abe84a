package endpoint

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// replaceAfter is how long a peer has to answer when a new connection under its id comes in. The
// reference never asks, and refuses a node that comes back after a power loss until TCP gives up.
const replaceAfter = 2 * time.Second

// A registry sees to it that there is one connection between two nodes (PROTOCOL.md section 3). Each
// node that is known by id has a slot, which one connection holds, from the handshake to the end of
// the peering.
type registry struct {
	mu     sync.Mutex
	limit  int // of slots
	slots  map[wire.EndpointID]*slot
	closed bool
}

// A slot is held by the connection that is, or becomes, the peering with one node.
type slot struct {
	id      wire.EndpointID
	peer    *peer         // nil during the handshake
	settled chan struct{} // closed when the handshake is over, either way
	free    chan struct{} // closed when the slot is given up
}

// admit claims the slot of a node for a connection whose handshake has just told who it is. It waits
// for a handshake with that node that is under way, and asks a peer whether it still lives. The error
// says why nobody is let in.
func (g *registry) admit(ctx context.Context, id wire.EndpointID) (*slot, handshake.Verdict, error) {
	for {
		g.mu.Lock()
		if g.closed {
			g.mu.Unlock()
			return nil, handshake.ShuttingDown, ErrClosed
		}
		s := g.slots[id]
		if s == nil && len(g.slots) >= g.limit {
			g.mu.Unlock()
			return nil, handshake.NotWelcome, fmt.Errorf("%w: %d (see WithMaxPeers)", ErrTooManyPeers, g.limit)
		}
		if s == nil {
			s = &slot{id: id, settled: make(chan struct{}), free: make(chan struct{})}
			g.slots[id] = s
			g.mu.Unlock()
			return s, handshake.Proceed, nil
		}
		p := s.peer
		g.mu.Unlock()
		if p == nil {
			select {
			case <-s.settled:
			case <-ctx.Done():
				return nil, handshake.Redundant, nil
			}
			continue
		}
		probe, cancel := context.WithTimeout(ctx, replaceAfter)
		alive := p.answers(probe)
		cancel()
		if alive || ctx.Err() != nil {
			return nil, handshake.Redundant, nil
		}
		p.end(ErrReplaced, false)
		select {
		case <-s.free:
		case <-ctx.Done():
			return nil, handshake.Redundant, nil
		}
	}
}

// settle turns a slot into a peering. It fails if the registry has been closed meanwhile.
func (g *registry) settle(s *slot, p *peer) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	s.peer = p
	close(s.settled)
	return true
}

// give gives up a slot.
func (g *registry) give(s *slot) {
	g.mu.Lock()
	if g.slots[s.id] == s {
		delete(g.slots, s.id)
	}
	if s.peer == nil {
		close(s.settled)
	}
	close(s.free)
	g.mu.Unlock()
}

// slotOf returns the slot of a node, or nil.
func (g *registry) slotOf(id wire.EndpointID) *slot {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.slots[id]
}

// peers returns all peers.
func (g *registry) peers() []*peer {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*peer, 0, len(g.slots))
	for _, s := range g.slots {
		if s.peer != nil {
			all = append(all, s.peer)
		}
	}
	return all
}

// close refuses every further connection.
func (g *registry) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
}
