package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint/certs"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// maxHandshakeFrame bounds a frame of the handshake. The largest is a filter.
const maxHandshakeFrame = 256 << 10

// maxStrangerFrame bounds it before the other node has told its id: a filter comes only after that.
const maxStrangerFrame = 4 << 10

// maxHandshakeFrames bounds how many frames a handshake may take; probes may repeat.
const maxHandshakeFrames = 16

// An outcome is how a connection attempt ended: with a peering, with the finding that there is one,
// or with an error.
type outcome struct {
	peer      *peer // ours to run
	slot      *slot
	redundant bool // there is, or is about to be, another connection; slot is that one's
	err       error
}

// connect performs the handshake on a new connection and makes it a peer. The caller closes raw if
// no peer comes of it.
func (e *Endpoint) connect(ctx context.Context, raw net.Conn, role handshake.Role, addr string) outcome {
	ctx, cancel := context.WithTimeout(ctx, e.opts.handshakeTimeout)
	defer cancel()
	// A deadline in the past ends whatever read or write is under way.
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, names, err := e.opts.security.secure(ctx, raw, role)
	if err != nil {
		return outcome{err: &PeerError{Addr: addr, Op: "handshake", Err: explainSecurity(ctx, err)}}
	}
	in := newFrameReader(conn, &e.largeBytes, e.opts.maxLarge)
	var version uint64 // of the filter as the peer was told
	m := handshake.New(role, e.id, func() []string {
		version = e.filterVersion.Load()
		return handshakeFilter(e.filter(), &version)
	})
	claimed, err := e.shake(ctx, m, in, conn, func(id wire.EndpointID) (*slot, handshake.Verdict, error) {
		if e.opts.access != nil && e.opts.access(Identity{Names: names, ID: id, Addr: conn.RemoteAddr().String()}).Refuse {
			return nil, handshake.NotWelcome, ErrNotWelcome
		}
		e.pending.know(raw)
		return e.registry.admit(ctx, id)
	})
	if err == nil && !stop() {
		err = ctx.Err() // too late: that deadline may be set at any moment from now on
	}
	if err == nil {
		raw.SetDeadline(time.Time{})
		p := e.newPeer(m, raw, in, addr, names, role == handshake.Dialer)
		if e.registry.settle(claimed, p) {
			e.addPeer(p, version)
			p.applyRules(true)
			return outcome{peer: p, slot: claimed}
		}
		err = ErrClosed
	}
	if claimed != nil {
		e.registry.give(claimed)
	}
	in.release()
	if s := e.redundantTo(m, err); s != nil {
		return outcome{redundant: true, slot: s}
	}
	return outcome{err: &PeerError{Addr: addr, ID: m.Remote(), Op: "handshake", Err: e.explain(ctx, err, in, role)}}
}

// handshakeFilter returns as much of a filter as fits a frame of the handshake. If that is not all of
// it, version becomes that of no filter, so that the rest follows as a routing update.
func handshakeFilter(filter []string, version *uint64) []string {
	const overhead = 6 // the type and the count
	size := overhead
	for i, name := range filter {
		if size += len(name) + 3; size > maxHandshakeFrame {
			*version = ^uint64(0)
			return filter[:i]
		}
	}
	return filter
}

// shake drives the machine until it is done. It returns the slot that it claimed, even with an error.
func (e *Endpoint) shake(ctx context.Context, m *handshake.Machine, in *frameReader, conn net.Conn, admit func(wire.EndpointID) (*slot, handshake.Verdict, error)) (claimed *slot, err error) {
	out := m.Start()
	var why error // the other node is refused, where that is not said by what it is answered
	for frames := 0; ; {
		if len(out.Send) > 0 {
			if _, err := conn.Write(out.Send); err != nil && out.Err == nil {
				return claimed, err
			}
		}
		switch {
		case out.Err != nil && why != nil:
			return claimed, fmt.Errorf("%w: %w", out.Err, why)
		case out.Err != nil:
			return claimed, out.Err
		case out.Peered:
			return claimed, nil
		case out.Identified:
			var verdict handshake.Verdict
			claimed, verdict, why = admit(m.Remote())
			out = m.Decide(verdict)
		default:
			if frames++; frames > maxHandshakeFrames {
				return claimed, fmt.Errorf("more than %d frames in a handshake", maxHandshakeFrames)
			}
			limit := maxHandshakeFrame
			if claimed == nil {
				limit = maxStrangerFrame
			}
			frame, err := in.next(limit)
			if err != nil {
				return claimed, err
			}
			out = m.Frame(frame)
		}
	}
}

// redundantTo returns the slot of the other connection if err says that there is one: because this
// node said so, or because the other one did and this node knows of one. A refusal that this node
// knows no reason for means that the other one has not noticed yet that the old connection is gone.
func (e *Endpoint) redundantTo(m *handshake.Machine, err error) *slot {
	var drop *handshake.DroppedError
	switch {
	case errors.Is(err, handshake.ErrRedundant):
		return e.registry.slotOf(m.Remote())
	case errors.As(err, &drop) && drop.Code == wire.CodeRedundantConnection:
		return e.registry.slotOf(drop.Remote)
	}
	return nil
}

// explain makes of an error of the handshake what people can act upon.
func (e *Endpoint) explain(ctx context.Context, err error, in *frameReader, role handshake.Role) error {
	seen := in.first
	if foreign := wire.DescribeForeign(seen); foreign != "" {
		return fmt.Errorf("%w: the peer speaks %s", ErrForeign, foreign)
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		if len(seen) == 0 && role == handshake.Dialer {
			return fmt.Errorf("%w: the peer accepted the connection and said nothing%s", ErrTimeout, e.hint())
		}
		return fmt.Errorf("%w: the handshake did not end (%d bytes received)", ErrTimeout, in.received)
	case (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) && len(seen) == 0 && role == handshake.Dialer:
		return fmt.Errorf("the peer closed the connection without a word%s", e.hint())
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the peer closed the connection during the handshake (%d bytes received)", in.received)
	}
	var large *wire.FrameTooLargeError
	if errors.As(err, &large) {
		return fmt.Errorf("%w: it began with % x", ErrForeign, seen[:min(len(seen), 16)])
	}
	return certs.Explain(err) // under TLS 1.3 a dialer learns only now that it was refused
}

// hint says what it may mean if a listener says nothing: a plain one speaks first.
func (e *Endpoint) hint() string {
	if e.opts.security.name == "off" {
		return "; it may have TLS on, this node has it off"
	}
	return ""
}

// explainSecurity makes of an error of the TLS handshake what people can act upon.
func explainSecurity(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, ErrForeign):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: the TLS handshake did not end: %w", ErrTimeout, err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the peer closed the connection during the TLS handshake: %w", err)
	}
	return err
}

func (e *Endpoint) newPeer(m *handshake.Machine, raw net.Conn, in *frameReader, addr string, names []string, dialed bool) *peer {
	p := &peer{
		ep: e, id: m.Remote(), addr: addr, names: names, dialed: dialed, raw: raw, conn: in.conn, in: in,
		queue: newQueue(e.opts.peerQueue), since: time.Now(),
		stopped: make(chan struct{}), done: make(chan struct{}),
	}
	p.queue.onOverflow = func() {
		p.end(fmt.Errorf("%w: the peer reads too slowly", ErrOverflow), false)
	}
	p.received, p.sent = link{peer: p}, link{peer: p, sent: true}
	p.now = newNowWriter(in.conn)
	p.askRules() // if it is no longer welcome, applyRules ends it
	p.wanted = m.Filter()
	filter, _ := p.narrow(p.wanted)
	p.filter.Store(&filter)
	return p
}

// servePeer runs a peer to its end and takes it out of all tables.
func (e *Endpoint) servePeer(p *peer, s *slot) {
	p.run()
	e.removePeer(p)
	e.registry.give(s)
}
