package endpoint

import (
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// Listen accepts peers at addr, such as "127.0.0.1:9999", "[fe80::1%eth0]:9999" or ":0", and returns
// the address with the port that it got.
func (e *Endpoint) Listen(ctx context.Context, addr string) (net.Addr, error) {
	l, err := e.opts.listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := e.Serve(l); err != nil {
		l.Close()
		return nil, err
	}
	return l.Addr(), nil
}

// Serve accepts peers from l, in the background, until the endpoint is closed, which closes l.
func (e *Endpoint) Serve(l net.Listener) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return ErrClosed
	}
	e.listeners = append(e.listeners, l)
	e.warnOpen(l.Addr())
	e.wg.Go(func() { e.accept(l) })
	return nil
}

// How long accept waits after an error, such as having no file descriptors left.
const (
	acceptRetry    = 5 * time.Millisecond
	acceptRetryMax = time.Second
)

func (e *Endpoint) accept(l net.Listener) {
	wait := acceptRetry
	for {
		conn, err := l.Accept()
		if err != nil {
			if e.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			e.log.Warn("accepting a connection failed", "addr", l.Addr(), "err", err, "retry", wait)
			select {
			case <-time.After(wait):
			case <-e.ctx.Done():
				return
			}
			wait = min(2*wait, acceptRetryMax)
			continue
		}
		wait = acceptRetry
		e.pending.add(conn)
		e.wg.Go(func() { e.serveConn(conn) })
	}
}

func (e *Endpoint) serveConn(conn net.Conn) {
	defer conn.Close()
	addr := conn.RemoteAddr().String()
	out := e.connect(e.ctx, conn, handshake.Listener, addr)
	evicted := e.pending.remove(conn)
	switch {
	case out.peer != nil:
		e.servePeer(out.peer, out.slot)
	case out.redundant:
		e.log.Debug("redundant connection refused", "peer", out.slot.id, "addr", addr)
	case evicted:
		e.refusals.Add(1)
		e.log.Debug("connection closed for newer ones, too many are in their handshake", "addr", addr)
	case e.ctx.Err() == nil:
		e.refused(addr, out.err)
	}
}

// refused tells of a connection that did not become a peering.
func (e *Endpoint) refused(addr string, err error) {
	e.refusals.Add(1)
	s := &Status{Code: PeerInvalid, Addr: addr, Err: err}
	var pe *PeerError
	if errors.As(err, &pe) {
		s.Peer = pe.ID
	}
	e.logRefusal(addr, err)
	e.report(s)
}

// refusalLogInterval is how often a refused connection is warned of at the most: whoever scans ports
// must not fill a disk. The others are logged for those who debug, and counted.
const refusalLogInterval = int64(time.Second)

func (e *Endpoint) logRefusal(addr string, err error) {
	now, last := e.now(), e.refusalLogged.Load()
	if last != 0 && now-last < refusalLogInterval || !e.refusalLogged.CompareAndSwap(last, now) {
		e.log.Debug("connection refused", "addr", addr, "err", err)
		return
	}
	e.log.Warn("connection refused", "addr", addr, "err", err, "refused", e.refusals.Load())
}

// pendingConns holds the accepted connections whose handshake is not over. If there are too many, the
// one that has been silent longest goes: a node that means it needs milliseconds.
type pendingConns struct {
	limit int

	mu     sync.Mutex
	silent list.List // of net.Conn that have not told who they are, the oldest first
	conns  map[net.Conn]*list.Element
}

func newPendingConns(limit int) *pendingConns {
	return &pendingConns{limit: limit, conns: make(map[net.Conn]*list.Element)}
}

func (p *pendingConns) add(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent.Len() >= p.limit {
		oldest := p.silent.Remove(p.silent.Front()).(net.Conn)
		delete(p.conns, oldest)
		oldest.Close()
	}
	p.conns[conn] = p.silent.PushBack(conn)
}

// know protects a connection that has told who it is.
func (p *pendingConns) know(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if el := p.conns[conn]; el != nil {
		p.silent.Remove(el)
		p.conns[conn] = nil
	}
}

// remove takes out a connection whose handshake is over. It reports whether it had to go before.
func (p *pendingConns) remove(conn net.Conn) (evicted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	el, ok := p.conns[conn]
	if el != nil {
		p.silent.Remove(el)
	}
	delete(p.conns, conn)
	return !ok
}

// closeAll closes all of them.
func (p *pendingConns) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close()
	}
}
