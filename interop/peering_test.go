package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// We dial a node, as originator and as responder.
func TestNodeDialed(t *testing.T) {
	asBoth(t, func(t *testing.T, program string, id wire.EndpointID) {
		n := startNode(t, program, "pong")
		e := newEndpoint(t, endpoint.WithID(id))
		w := watch(t, e, nodeTopic)
		connect(t, e, n.addr)
		s := w.status(t, endpoint.PeerAdded)
		if p := onlyPeer(t, e); !p.Dialed || p.ID != s.Peer || !slices.Equal(p.Filter, []string{nodeTopic}) {
			t.Errorf("peer %+v, status %v", p, s)
		}
		answers(t, e, w, nodeTopic+"/x")
	})
}

// A node dials us, sends its pings, takes leave and ends.
func TestNodeDials(t *testing.T) {
	asBoth(t, func(t *testing.T, program string, id wire.EndpointID) {
		e := newEndpoint(t, endpoint.WithID(id))
		w := watch(t, e, nodeTopic)
		const pings, size = 50, 3000
		addr := listen(t, e)
		n := launchNode(t, program, "ping", freeAddr(t), dialing(addr),
			fmt.Sprintf("--num-messages=%d", pings), fmt.Sprintf("--payload-size=%d", size))
		s := w.status(t, endpoint.PeerAdded)
		if p := onlyPeer(t, e); p.Dialed || p.ID != s.Peer {
			t.Errorf("peer %+v, status %v", p, s)
		}
		for want := uint64(0); want <= pings; {
			v, err := w.message(t).Value()
			if err != nil {
				t.Fatal(err)
			}
			parts := v.Elems()
			if len(parts) != 3 || !parts[0].Equal(data.String("ping")) {
				t.Fatalf("got %v", v)
			}
			got, _ := parts[1].AsCount()
			if got == 0 { // sent until it is answered
				want = max(want, 1)
			} else if got != want || parts[2].Len() != size {
				t.Fatalf("ping %d with %d bytes, want %d with %d", got, parts[2].Len(), want, size)
			} else {
				want++
			}
			publish(t, e, nodeTopic, pongValue(int(got)))
		}
		if err := n.wait(t); err != nil {
			t.Errorf("the node ended with %v", err)
		}
		if s := w.status(t, endpoint.PeerLost); !errors.Is(s.Err, endpoint.ErrBye) {
			t.Errorf("lost: %v", s.Err)
		}
	})
}

// We take leave, in two ways, and come back.
func TestNodeUnpeered(t *testing.T) {
	withNodes(t, func(t *testing.T, program string) {
		pipe := launchPipe(t, program, freeAddr(t))
		pipe.accepts(t)
		e := newEndpoint(t)
		w := watch(t, e)
		for round := range 4 {
			p := connect(t, e, pipe.addr)
			s := w.status(t, endpoint.PeerAdded)
			hears(t, e, pipe, fmt.Sprintf("round %d", round))
			if round%2 == 0 {
				p.Unpeer(deadline(t))
			} else if !e.Unpeer(deadline(t), s.Peer) {
				t.Fatal("not a peer")
			}
			if last := w.status(t, endpoint.PeerRemoved); last.Peer != s.Peer {
				t.Errorf("%v, was %v", last, s)
			}
			<-p.Done()
			pipe.await(t, "peer_added", round+1)
			pipe.await(t, "peer_lost", round+1)
		}
	})
}

// A ping that says BYE is answered when all that came before has been delivered, and answered at once.
func TestNodeAnswersBye(t *testing.T) {
	withNodes(t, func(t *testing.T, program string) {
		n := startNode(t, program, "relay")
		e := newEndpoint(t)
		w := watch(t, e, nodeTopic)
		connect(t, e, n.addr)
		raw, err := dialRaw(t, n.addr, identities[0].id)
		if err != nil {
			t.Fatal(err)
		}
		raw.pinged(t, "")
		raw.send(t, dataFrame(raw, nodeTopic, wire.EndpointID{}, data.String("last words")))
		raw.pinged(t, string(wire.AppendBye(nil, [8]byte{1, 2, 3})))
		raw.Close()
		if v, err := w.message(t).Value(); err != nil || !v.Equal(data.String("last words")) {
			t.Errorf("got %v, %v", v, err)
		}
	})
}

// A node takes leave when it is told to stop, and does not when it is killed.
func TestNodeLeaves(t *testing.T) {
	withNodes(t, func(t *testing.T, program string) {
		e := newEndpoint(t)
		w := watch(t, e, nodeTopic)
		for _, how := range []string{"stop", "terminate", "kill"} {
			n := startNode(t, program, "relay")
			p := connect(t, e, n.addr)
			w.status(t, endpoint.PeerAdded)
			switch how {
			case "stop":
				// It may have begun to listen for peers before it subscribed.
				n.repeat(t, func() {
					if _, err := e.Publish(t.Context(), nodeTopic, data.String("stop")); err != nil {
						t.Error(err)
					}
				})
				if err := n.wait(t); err != nil {
					t.Errorf("the node ended with %v", err)
				}
			case "terminate":
				n.terminate(t)
				if err := n.wait(t); err == nil {
					t.Error("ended well when terminated: does it take leave now?")
				}
			case "kill":
				n.kill()
			}
			s := w.status(t, endpoint.PeerLost)
			if bye := errors.Is(s.Err, endpoint.ErrBye); bye != (how == "stop") {
				t.Errorf("%s: %v", how, s.Err)
			}
			p.Unpeer(deadline(t)) // stops dialing
		}
	})
}

// repeat does something until the process ends.
func (p *process) repeat(t *testing.T, do func()) {
	t.Helper()
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	timeout := time.After(patience)
	for {
		do()
		select {
		case <-ticker.C:
		case <-p.exited:
			return
		case <-timeout:
			t.Fatalf("%s does not end", p.cmd)
		}
	}
}

// A node is killed and comes back under another id: we dial again and go on.
func TestNodeRestarts(t *testing.T) {
	asBoth(t, func(t *testing.T, program string, id wire.EndpointID) {
		n := startNode(t, program, "pong")
		e := newEndpoint(t, endpoint.WithID(id))
		w := watch(t, e, nodeTopic)
		connect(t, e, n.addr)
		before := w.status(t, endpoint.PeerAdded)
		for range 3 {
			answers(t, e, w, nodeTopic)
			n.kill()
			if s := w.status(t, endpoint.PeerLost); s.Peer != before.Peer {
				t.Errorf("lost %v, had %v", s.Peer, before.Peer)
			}
			n = launchNode(t, program, "pong", n.addr)
			after := w.status(t, endpoint.PeerAdded)
			if after.Peer == before.Peer {
				t.Errorf("came back as %v", after.Peer)
			}
			before = after
		}
		answers(t, e, w, nodeTopic)
	})
}

// We end, with leave or without, and come back under another id: the node that dialed us dials again.
func TestNodeDialsAgain(t *testing.T) {
	withNodes(t, func(t *testing.T, program string) {
		for _, leave := range []bool{true, false} {
			t.Run(map[bool]string{true: "leave", false: "crash"}[leave], func(t *testing.T) {
				t.Parallel() // it waits for 10 s
				l := &abruptListener{}
				e := newEndpoint(t, endpoint.WithListenFunc(l.listen))
				w := watch(t, e)
				addr := listen(t, e)
				pipe := launchPipe(t, program, freeAddr(t), pipeDialing(addr)) // broker-node dials once only
				before := w.status(t, endpoint.PeerAdded)
				hears(t, e, pipe, "before")

				if !leave {
					l.cut()
					w.status(t, endpoint.PeerLost)
				}
				if err := e.Close(deadline(t)); err != nil {
					t.Fatal(err)
				}
				again := newEndpoint(t)
				w = watch(t, again)
				if _, err := again.Listen(t.Context(), addr); err != nil {
					t.Fatal(err)
				}
				after := w.status(t, endpoint.PeerAdded)
				if after.Peer != before.Peer {
					t.Errorf("%v dialed again as %v", before.Peer, after.Peer)
				}
				hears(t, again, pipe, "after")
			})
		}
	})
}

// An abruptListener can end its connections and itself without anybody's leave.
type abruptListener struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *abruptListener) listen(ctx context.Context, network, addr string) (net.Listener, error) {
	var config net.ListenConfig
	var err error
	l.Listener, err = config.Listen(ctx, network, addr)
	return l, err
}

func (l *abruptListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, conn)
		l.mu.Unlock()
	}
	return conn, err
}

func (l *abruptListener) cut() {
	l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		conn.Close()
	}
}

// A second connection under the id of a peer is refused with the recorded code, and the first stays.
func TestNodeRefusesRedundant(t *testing.T) {
	asBoth(t, func(t *testing.T, program string, id wire.EndpointID) {
		n := startNode(t, program, "relay")
		first, err := dialRaw(t, n.addr, id)
		if err != nil {
			t.Fatal(err)
		}
		first.pinged(t, "before")
		scenario := "reject-redundant-peer-is-responder"
		if id.Compare(first.remote) < 0 {
			scenario = "reject-redundant-peer-is-originator"
		}
		var want wire.DropConn
		for _, r := range recordings(t, "wire/"+scenario+".jsonl", 1)[0].rows {
			if len(r.frame) > 0 {
				if msg, _ := wire.ParseHandshake(body(t, r.frame)); msg.HandshakeType() == wire.TypeDropConn {
					want = msg.(wire.DropConn)
				}
			}
		}
		for range 3 {
			_, err = dialRaw(t, n.addr, id)
			var got *handshake.DroppedError
			if !errors.As(err, &got) || got.Code != want.Code || got.Description != want.Description || got.Remote != first.remote {
				t.Fatalf("refused with %v, want %v %q", err, want.Code, want.Description)
			}
			first.pinged(t, "after")
		}
	})
}

// Both dial each other. Whichever connection is first, one peering comes of it, on both sides the
// same: each message comes once, and neither side loses a peer.
func TestNodeDialsAtOnce(t *testing.T) {
	asBoth(t, func(t *testing.T, program string, id wire.EndpointID) {
		for _, order := range []string{"ours first", "its first", "race"} {
			for _, kind := range []string{"node", "pipe"} {
				t.Run(order+"/"+kind, func(t *testing.T) {
					rounds, collisions := 1, 0
					if order == "race" {
						rounds = 5
					}
					for range rounds {
						if dialAtOnce(t, program, id, order, kind) {
							collisions++
						}
					}
					t.Logf("%d of %d times both connections were there", collisions, rounds)
				})
			}
		}
	})
}

// dialAtOnce reports whether there were two connections.
func dialAtOnce(t *testing.T, program string, id wire.EndpointID, order, kind string) (collided bool) {
	t.Helper()
	ours, its := newGate(order != "its first"), newGate(order != "ours first")
	defer ours.open()
	defer its.open()
	e := newEndpoint(t, endpoint.WithID(id),
		endpoint.WithListenFunc(its.listen), endpoint.WithDialFunc(ours.dial), endpoint.WithRetry(time.Millisecond))
	w := watch(t, e, nodeTopic)
	dialed := listen(t, e) // before a port is chosen that is only free as long as nobody takes it
	addr := freeAddr(t)
	var n *node
	if kind == "pipe" {
		n = launchPipe(t, program, addr, pipeDialing(dialed))
	} else {
		n = launchNode(t, program, "pong", addr, dialing(dialed))
	}
	defer n.kill()
	p, err := e.Peer(addr)
	if err != nil {
		t.Fatal(err)
	}
	added := w.status(t, endpoint.PeerAdded)
	late := map[string]*gate{"ours first": its, "its first": ours}[order]
	if late != nil {
		if added.Dialed != (order == "ours first") {
			t.Fatalf("dialed by us: %v", added.Dialed)
		}
		wait(t, late.arrived)
		late.open()
		wait(t, late.ended)
	}
	if peer, err := p.Wait(deadline(t)); err != nil || peer != added.Peer {
		t.Fatalf("peered with %v, want %v: %v", peer, added.Peer, err)
	}
	ping(t, e, added.Peer)
	if kind == "pipe" {
		hears(t, e, n, "hello")
		n.await(t, "peer_added", 1)
		if out := n.String(); strings.Count(out, "peer_added") != 1 || strings.Contains(out, "peer_lost") {
			t.Error("the pipe has seen something else than one peer added")
		}
	} else {
		answers(t, e, w, nodeTopic) // each once
	}
	if got := onlyPeer(t, e); got.ID != added.Peer || got.Dialed != added.Dialed {
		t.Errorf("peer %+v, want %v", got, added)
	}
	select {
	case <-its.arrived:
		collided = true
	default:
	}
	p.Unpeer(deadline(t))
	if !added.Dialed {
		e.Unpeer(deadline(t), added.Peer)
	}
	w.status(t, endpoint.PeerRemoved)
	return collided
}

// A gate holds connections back until it is opened.
type gate struct {
	opened  chan struct{}
	open    func()
	arrived chan struct{} // closed when a connection is there
	arrive  func()
	ended   chan struct{} // closed when a connection has been closed on our side
	end     func()
}

func newGate(open bool) *gate {
	g := &gate{opened: make(chan struct{}), arrived: make(chan struct{}), ended: make(chan struct{})}
	g.open = sync.OnceFunc(func() { close(g.opened) })
	g.arrive = sync.OnceFunc(func() { close(g.arrived) })
	g.end = sync.OnceFunc(func() { close(g.ended) })
	if open {
		g.open()
	}
	return g
}

// dial connects first and waits then.
func (g *gate) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	g.arrive()
	select {
	case <-g.opened:
		return gatedConn{conn, g}, nil
	case <-ctx.Done():
		conn.Close()
		return nil, ctx.Err()
	}
}

func (g *gate) listen(ctx context.Context, network, addr string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, network, addr)
	return gatedListener{l, g}, err
}

type gatedListener struct {
	net.Listener
	gate *gate
}

func (l gatedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.gate.arrive()
	<-l.gate.opened
	return gatedConn{conn, l.gate}, nil
}

type gatedConn struct {
	net.Conn
	gate *gate
}

func (c gatedConn) Close() error {
	defer c.gate.end()
	return c.Conn.Close()
}

// wait waits until a channel is closed.
func wait(t *testing.T, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-deadline(t).Done():
		t.Fatal("waited in vain")
	}
}
