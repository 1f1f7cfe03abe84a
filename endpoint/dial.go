package endpoint

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// A Peering keeps this node peered with the node at an address: it dials, and dials again when the
// peering is lost, until it is told to stop.
type Peering struct {
	ep     *Endpoint
	addr   string
	retry  time.Duration
	cancel context.CancelFunc
	ctx    context.Context
	done   chan struct{}

	mu      sync.Mutex
	peer    *peer
	id      wire.EndpointID
	err     error
	changed chan struct{} // closed and replaced at every change
	over    bool
}

// PeerOption changes how one address is dialed.
type PeerOption func(*Peering)

// RetryEvery sets the interval at which the address is dialed again, instead of the endpoint's. Zero
// means to dial once.
func RetryEvery(d time.Duration) PeerOption { return func(p *Peering) { p.retry = d } }

// InZone sets the zone of a link-local IPv6 address, if addr does not name one.
func InZone(zone string) PeerOption {
	return func(p *Peering) {
		if host, port, err := net.SplitHostPort(p.addr); err == nil && zone != "" {
			if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
				p.addr = net.JoinHostPort(host+"%"+zone, port)
			}
		}
	}
}

// Peer starts to keep this node peered with the node at addr, such as "127.0.0.1:9999" or
// "[fe80::1%eth0]:9999". It returns at once; [Peering.Wait] waits for the peering.
func (e *Endpoint) Peer(addr string, opts ...PeerOption) (*Peering, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, &PeerError{Addr: addr, Op: "dial", Err: err}
	}
	p := &Peering{ep: e, addr: addr, retry: e.opts.retry, done: make(chan struct{}), changed: make(chan struct{})}
	for _, opt := range opts {
		opt(p)
	}
	p.ctx, p.cancel = context.WithCancel(e.ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		p.cancel()
		return nil, ErrClosed
	}
	e.wg.Go(func() {
		defer close(p.done)
		defer p.cancel()
		p.keep()
	})
	return p, nil
}

// Addr returns the address that is dialed.
func (p *Peering) Addr() string { return p.addr }

// Wait waits until the nodes are peered, over this connection or another, and returns the id of the
// peer. If the address is dialed once only and that failed, it returns the error.
func (p *Peering) Wait(ctx context.Context) (wire.EndpointID, error) {
	for {
		p.mu.Lock()
		id, err, over, changed := p.id, p.err, p.over, p.changed
		p.mu.Unlock()
		switch {
		case !id.IsZero():
			return id, nil
		case over && err != nil:
			return id, err
		case over:
			return id, ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if err != nil {
				return id, errors.Join(ctx.Err(), err)
			}
			return id, ctx.Err()
		}
	}
}

// Done is closed when the address is no longer dialed.
func (p *Peering) Done() <-chan struct{} { return p.done }

// Err returns the last error, nil while the nodes are peered.
func (p *Peering) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Unpeer takes leave of the peer and stops dialing. What is queued is sent first, as far as ctx and 3
// seconds allow.
func (p *Peering) Unpeer(ctx context.Context) {
	p.mu.Lock()
	current, changed := p.peer, p.changed
	p.mu.Unlock()
	p.cancel()
	for {
		if current != nil {
			current.leave(ctx)
		}
		select {
		case <-changed: // a handshake that was about to end well may have made a peer
		case <-p.done:
			return
		}
		p.mu.Lock()
		current, changed = p.peer, p.changed
		p.mu.Unlock()
	}
}

func (p *Peering) set(current *peer, id wire.EndpointID, err error) {
	p.mu.Lock()
	p.peer, p.id, p.err = current, id, err
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
}

// keep dials until the peering is removed on purpose.
func (p *Peering) keep() {
	defer func() {
		p.mu.Lock()
		p.over, p.peer, p.id = true, nil, wire.EndpointID{}
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}()
	for p.ctx.Err() == nil {
		removed := p.once()
		if removed || p.retry <= 0 {
			return
		}
		select {
		case <-time.After(jitter(p.retry)):
		case <-p.ctx.Done():
		}
	}
}

// jitter spreads an interval by a tenth, so that the nodes of a cluster do not dial in step.
func jitter(d time.Duration) time.Duration {
	return d - d/20 + time.Duration(rand.Int64N(int64(d/10)+1))
}

// once dials, and serves the peering to its end. It reports whether it was ended on purpose.
func (p *Peering) once() (removed bool) {
	e := p.ep
	ctx, cancel := context.WithTimeout(p.ctx, e.opts.dialTimeout)
	conn, err := e.opts.dial(ctx, "tcp", p.addr)
	cancel()
	if err != nil {
		p.failed(&PeerError{Addr: p.addr, Op: "dial", Err: err})
		return false
	}
	defer conn.Close()
	out := e.connect(p.ctx, conn, handshake.Dialer, p.addr)
	switch {
	case out.err != nil:
		p.failed(out.err)
		return false
	case out.redundant:
		conn.Close()
		return p.follow(out.slot)
	}
	p.set(out.peer, out.peer.id, nil)
	e.servePeer(out.peer, out.slot)
	p.set(nil, wire.EndpointID{}, out.peer.cause)
	return out.peer.removed
}

// follow waits for the end of the peering that another connection has made.
func (p *Peering) follow(s *slot) (removed bool) {
	select {
	case <-s.settled:
	case <-p.ctx.Done():
		return false
	}
	if s.peer == nil {
		return false // its handshake failed
	}
	p.set(s.peer, s.id, nil)
	select {
	case <-s.free:
	case <-p.ctx.Done():
	}
	p.set(nil, wire.EndpointID{}, nil)
	return false
}

func (p *Peering) failed(err error) {
	if p.ctx.Err() != nil {
		return
	}
	p.ep.failures.Add(1)
	p.set(nil, wire.EndpointID{}, err)
	p.ep.log.Info("peer unavailable", "addr", p.addr, "err", err, "retry", p.retry)
	p.ep.report(&Status{Code: PeerUnavailable, Addr: p.addr, Dialed: true, Err: err})
}
