package endpoint

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// pingWaiters are the calls of Ping that wait for their pongs, by peer and payload.
type pingWaiters struct {
	mu      sync.Mutex
	waiting map[string]*pingWaiter
}

type pingWaiter struct {
	peer *peer
	came chan time.Time
}

// Ping sends a ping to a peer and returns how long the answer took.
func (e *Endpoint) Ping(ctx context.Context, id wire.EndpointID) (time.Duration, error) {
	p := e.routes.Load().byID[id]
	if p == nil {
		return 0, fmt.Errorf("ping %v: %w", id, ErrNotPeered)
	}
	token := newToken()
	payload := append([]byte("PING"), token[:]...)
	w := &pingWaiter{peer: p, came: make(chan time.Time, 1)}
	e.pings.mu.Lock()
	e.pings.waiting[string(payload)] = w
	e.pings.mu.Unlock()
	defer func() {
		e.pings.mu.Lock()
		delete(e.pings.waiting, string(payload))
		e.pings.mu.Unlock()
	}()
	sent := time.Now()
	if frame := wire.AppendPing(nil, e.id, id, payload); !p.writeNow(frame) {
		if !p.lane.request(frame) {
			return 0, fmt.Errorf("ping %v: %w: it takes no more pings", id, ErrFull)
		}
		p.queue.signal()
	}
	select {
	case came := <-w.came:
		return came.Sub(sent), nil
	case <-p.stopped:
		return 0, fmt.Errorf("ping %v: %w: the peering ended", id, ErrNotPeered)
	case <-ctx.Done():
		return 0, fmt.Errorf("ping %v: %w", id, ctx.Err())
	}
}

// pongReceived wakes the call that waits for a pong.
func (e *Endpoint) pongReceived(p *peer, payload []byte) {
	e.pings.mu.Lock()
	w := e.pings.waiting[string(payload)]
	e.pings.mu.Unlock()
	if w != nil && w.peer == p {
		select {
		case w.came <- time.Now():
		default:
		}
	}
}
