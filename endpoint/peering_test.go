package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// Whoever takes leave, in whichever way, has everything delivered that it published before; the other
// side is told so.
func TestLeaveDelivers(t *testing.T) {
	for name, leave := range map[string]func(ctx context.Context, e *endpoint.Endpoint, p *endpoint.Peering, id wire.EndpointID){
		"Peering.Unpeer": func(ctx context.Context, _ *endpoint.Endpoint, p *endpoint.Peering, _ wire.EndpointID) { p.Unpeer(ctx) },
		"Endpoint.Unpeer": func(ctx context.Context, e *endpoint.Endpoint, _ *endpoint.Peering, id wire.EndpointID) {
			if !e.Unpeer(ctx, id) {
				t.Error("was no peer")
			}
		},
		"Close": func(ctx context.Context, e *endpoint.Endpoint, _ *endpoint.Peering, _ wire.EndpointID) {
			if err := e.Close(ctx); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				const published = 3000
				a, b := n.node(t), n.node(t, endpoint.WithRetry(0))
				sub := subscribe(t, a, []string{"/x"}, endpoint.WithStatus())
				statuses := subscribe(t, b, nil, endpoint.WithStatus())
				p := connect(t, b, listen(t, a))
				synctest.Wait()
				for i := range uint64(published) {
					publish(t, b, fmt.Sprintf("/x/%d", i/500%2), i, 1)
				}
				start := time.Now()
				leave(t.Context(), b, p, a.ID())
				if took := time.Since(start); took > 0 {
					t.Errorf("took %v", took)
				}
				all := arrived(t, sub)
				if len(all) != published+2 {
					t.Fatalf("%d events, want %d messages between two statuses", len(all), published)
				}
				for i, ev := range all[1 : published+1] {
					if got := count(t, ev.Message); got != uint64(i) {
						t.Fatalf("message %d is %d", i, got)
					}
				}
				if last := all[published+1].Status; last == nil || last.Code != endpoint.PeerLost || !errors.Is(last.Err, endpoint.ErrBye) {
					t.Errorf("in the end %v", last)
				}
				equal(t, "at the side that left", codes(statusesOf(t, statuses)), []string{"peer_added", "peer_removed"})
				if len(a.Peers())+len(b.Peers()) > 0 || b.Unpeer(t.Context(), a.ID()) {
					t.Error("still peers")
				}
			})
		})
	}
}

// Until it has the answer to its BYE, a node that leaves receives what the other one has sent before.
func TestLeaveReceives(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		sub := subscribe(t, node, []string{"/x"}, endpoint.WithStatus())
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID(), "/x")
		publish(t, node, "/x/last", 1, 1)
		left := make(chan bool)
		go func() { left <- node.Unpeer(t.Context(), raw.id) }()
		all := raw.received(t)
		if len(all) != 2 || string(all[0].Topic) != "/x/last" || all[1].Type != wire.TypePing || !wire.IsBye(all[1].Payload) || len(all[1].Payload) != wire.ByeLen {
			t.Fatalf("received %+v", all)
		}
		var wrong [8]byte
		raw.write(t, raw.data("/x/1", data.AppendCount(nil, 1)),
			wire.AppendPong(nil, raw.id, node.ID(), wire.AppendBye(nil, wrong)), // of somebody else
			raw.data("/x/2", data.AppendCount(nil, 1)))
		time.Sleep(2 * time.Second)
		raw.write(t, raw.data("/x/3", data.AppendCount(nil, 1)), wire.AppendPong(nil, raw.id, node.ID(), all[1].Payload))
		if !<-left {
			t.Error("was no peer")
		}
		var got []string
		for _, ev := range arrived(t, sub) {
			if ev.Status != nil {
				got = append(got, ev.Status.Code.String())
			} else {
				got = append(got, ev.Message.Topic())
			}
		}
		equal(t, "events", got, []string{"peer_added", "/x/1", "/x/2", "/x/3", "peer_removed"})
	})
}

// A peer's BYE is answered with its own payload, behind all that was queued, and is no loss.
func TestAnswerBye(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		statuses := subscribe(t, node, nil, endpoint.WithStatus())
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
		bye := wire.AppendBye(nil, [8]byte{1, 2, 3})
		raw.write(t, wire.AppendPing(nil, raw.id, node.ID(), bye))
		if all := raw.received(t); len(all) != 1 || all[0].Type != wire.TypePong || string(all[0].Payload) != string(bye) || all[0].Receiver != raw.id {
			t.Errorf("received %+v", all)
		}
		raw.Close()
		equal(t, "statuses", codes(statusesOf(t, statuses), endpoint.ErrBye), []string{"peer_added", "peer_lost: " + endpoint.ErrBye.Error()})
	})
}

// A peer that does not answer BYE is left after 3 seconds, or as soon as the context ends; also if it
// does not even read.
func TestLeaveWithoutAnswer(t *testing.T) {
	for _, c := range []struct {
		stuck bool
		limit time.Duration // of the context
		want  time.Duration
	}{{false, time.Hour, 3 * time.Second}, {true, time.Hour, 3 * time.Second}, {false, time.Second, time.Second}, {true, time.Second, time.Second}} {
		for _, close := range []bool{false, true} {
			t.Run(fmt.Sprintf("stuck %v limit %v close %v", c.stuck, c.limit, close), func(t *testing.T) {
				onMemNet(t, func(t *testing.T, n *memNet) {
					node := n.node(t)
					statuses := subscribe(t, node, nil, endpoint.WithStatus())
					raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID(), "/x")
					for i := 0; c.stuck && i < 50; i++ {
						if _, err := publishBulk(t.Context(), node, i); err != nil {
							t.Fatal(err)
						}
					}
					start := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), c.limit)
					defer cancel()
					if close {
						if err := node.Close(ctx); (err != nil) != (c.limit < c.want+1) {
							t.Error(err)
						}
					} else {
						node.Unpeer(ctx, raw.id)
					}
					if took := time.Since(start); took != c.want {
						t.Errorf("took %v", took)
					}
					equal(t, "statuses", codes(statusesOf(t, statuses)), []string{"peer_added", "peer_removed"})
				})
			})
		}
	}
}

// Two nodes that leave each other at the same time do not wait for each other.
func TestLeaveAtOnce(t *testing.T) {
	for name, leave := range map[string]func(ctx context.Context, e, other *endpoint.Endpoint){
		"unpeer": func(ctx context.Context, e, other *endpoint.Endpoint) { e.Unpeer(ctx, other.ID()) },
		"close":  func(ctx context.Context, e, other *endpoint.Endpoint) { e.Close(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				onMemNet(t, func(t *testing.T, n *memNet) {
					a, b := n.pair(t, endpoint.WithRetry(0))
					start := time.Now()
					var both sync.WaitGroup
					both.Go(func() { leave(t.Context(), a, b) })
					both.Go(func() { leave(t.Context(), b, a) })
					both.Wait()
					if took := time.Since(start); took > 0 {
						t.Fatalf("took %v", took)
					}
				})
			}
		})
	}
}

// A node that publishes while its peer leaves is told that it left, not that a connection broke.
func TestLeaveBusyPeer(t *testing.T) {
	for range 20 {
		busy, leaving := newEndpoint(t), newEndpoint(t, endpoint.WithRetry(0))
		statuses := subscribe(t, busy, nil, endpoint.WithStatus())
		sub := subscribe(t, leaving, []string{"/x"})
		p := connect(t, leaving, listen(t, busy))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var publisher sync.WaitGroup
		stop := make(chan struct{})
		publisher.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					busy.PublishEvent(ctx, "/x", "e", bulk)
				}
			}
		})
		for range sub.Messages(ctx) {
			break // it flows
		}
		p.Unpeer(ctx)
		for ev := range statuses.Events(ctx) {
			if ev.Status.Code == endpoint.PeerAdded {
				continue
			}
			if !errors.Is(ev.Status.Err, endpoint.ErrBye) {
				t.Errorf("status %v", ev.Status)
			}
			break
		}
		close(stop)
		publisher.Wait()
	}
}

// After the side that dialed has taken leave nobody dials any more, neither side.
func TestUnpeerIsFinal(t *testing.T) {
	for name, leave := range map[string]func(ctx context.Context, e, other *endpoint.Endpoint, p *endpoint.Peering){
		"Peering.Unpeer":  func(ctx context.Context, _, _ *endpoint.Endpoint, p *endpoint.Peering) { p.Unpeer(ctx) },
		"Endpoint.Unpeer": func(ctx context.Context, e, other *endpoint.Endpoint, _ *endpoint.Peering) { e.Unpeer(ctx, other.ID()) },
	} {
		t.Run(name, func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				a, b := n.node(t), n.node(t)
				p := connect(t, b, listen(t, a))
				listen(t, b)
				leave(t.Context(), b, a, p)
				<-p.Done()
				time.Sleep(time.Hour)
				if got := len(n.Dials()); got != 1 || len(a.Peers())+len(b.Peers()) > 0 {
					t.Errorf("dialed %d times; peers %v, %v", got, a.Peers(), b.Peers())
				}
				if _, err := p.Wait(t.Context()); !errors.Is(err, endpoint.ErrClosed) {
					t.Errorf("wait: %v", err)
				}
				p.Unpeer(t.Context()) // once more does no harm
			})
		})
	}
}

// The side that accepted does not dial back when it has left or lost a peer; the side that dialed comes
// back after its interval.
func TestDialerComesBack(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		a, b := n.node(t), n.node(t)
		statuses := subscribe(t, b, nil, endpoint.WithStatus())
		addr := listen(t, a)
		listen(t, b)
		connect(t, b, addr)
		synctest.Wait()
		a.Unpeer(t.Context(), b.ID())
		time.Sleep(2 * time.Second)
		n.Dials()[1].Conn.Close() // the connection breaks
		time.Sleep(2 * time.Second)
		equal(t, "statuses", codes(statusesOf(t, statuses), endpoint.ErrBye), []string{
			"peer_added", "peer_lost: " + endpoint.ErrBye.Error(), "peer_added", "peer_lost", "peer_added",
		})
		for _, d := range n.Dials() {
			if d.Addr != addr {
				t.Errorf("dialed back: %v", d.Addr)
			}
		}
		if got := len(n.Dials()); got != 3 {
			t.Errorf("dialed %d times", got)
		}
	})
}

// A node that is not there is dialed for ever, at the interval give or take a twentieth, and found when
// it is there; then the peering's error is gone.
func TestRedialForEver(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		const interval = 10 * time.Second
		node := n.node(t, endpoint.WithRetry(time.Hour))
		late := n.node(t, endpoint.WithID(middleID))
		p, err := node.Peer("127.0.0.1:4711", endpoint.RetryEvery(interval))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
		defer cancel()
		var peerErr *endpoint.PeerError
		if _, err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &peerErr) || peerErr.Op != "dial" || peerErr.Addr != p.Addr() {
			t.Errorf("wait: %v", err)
		}
		all := n.Dials()
		shortest, longest := time.Hour, time.Duration(0)
		for i := range all[1:] {
			gap := all[i+1].At.Sub(all[i].At)
			shortest, longest = min(shortest, gap), max(longest, gap)
		}
		if len(all) < 1000 || shortest < interval*95/100 || longest > interval*105/100 || longest-shortest < interval/20 {
			t.Errorf("dialed %d times in three hours, every %v to %v", len(all), shortest, longest)
		}
		if _, err := late.Listen(t.Context(), "127.0.0.1:4711"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if id, err := p.Wait(t.Context()); id != middleID || err != nil || p.Err() != nil {
			t.Errorf("%v, %v, %v", id, err, p.Err())
		}
		if waited := time.Since(start); waited > interval*105/100 {
			t.Errorf("waited %v", waited)
		}
	})
}

// With an interval of zero an address is dialed once, whether that succeeds or not.
func TestDialOnce(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node, other := n.node(t, endpoint.WithRetry(0)), n.node(t)
		absent, err := node.Peer("127.0.0.1:4711")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := absent.Wait(t.Context()); err == nil || absent.Err() == nil {
			t.Errorf("wait: %v, %v", err, absent.Err())
		}
		<-absent.Done()
		present := connect(t, node, listen(t, other))
		synctest.Wait()
		other.Unpeer(t.Context(), node.ID())
		<-present.Done()
		time.Sleep(time.Hour)
		if got := len(n.Dials()); got != 2 {
			t.Errorf("dialed %d times", got)
		}
	})
}

// Unpeer returns at once, whatever the dialing is at: waiting for the next try, in the handshake, or
// about to tell that it has a peer.
func TestUnpeerAtAnyMoment(t *testing.T) {
	t.Run("between tries", func(t *testing.T) {
		onMemNet(t, func(t *testing.T, n *memNet) {
			p, err := n.node(t).Peer("127.0.0.1:4711", endpoint.RetryEvery(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			unpeersAtOnce(t, p)
		})
	})
	t.Run("handshake", func(t *testing.T) {
		onMemNet(t, func(t *testing.T, n *memNet) {
			l, err := n.Listen(t.Context(), "tcp", "127.0.0.1:4711")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			node := n.node(t)
			statuses := subscribe(t, node, nil, endpoint.WithStatus())
			p, err := node.Peer("127.0.0.1:4711")
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			unpeersAtOnce(t, p)
			if all := statusesOf(t, statuses); len(all) > 0 {
				t.Errorf("statuses %v", all)
			}
		})
	})
	t.Run("peered this moment", func(t *testing.T) {
		onMemNet(t, func(t *testing.T, n *memNet) {
			// The log line stands between the end of the handshake and the first ping.
			added, goOn := make(chan struct{}), make(chan struct{})
			node := n.node(t, endpoint.WithLogger(slog.New(logHook(func(r slog.Record) {
				if r.Message == "peer added" {
					close(added)
					<-goOn
				}
			}))))
			p, err := node.Peer(listen(t, n.node(t)))
			if err != nil {
				t.Fatal(err)
			}
			<-added
			time.AfterFunc(time.Second, func() { close(goOn) })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			done := make(chan struct{})
			go func() {
				p.Unpeer(ctx)
				close(done)
			}()
			select {
			case <-done:
			case <-time.After(time.Hour):
				t.Error("Unpeer hangs")
			}
			if peers := node.Peers(); len(peers) > 0 {
				t.Errorf("peers %+v", peers)
			}
		})
	})
}

func unpeersAtOnce(t *testing.T, p *endpoint.Peering) {
	t.Helper()
	start := time.Now()
	p.Unpeer(t.Context())
	if took := time.Since(start); took > 0 {
		t.Errorf("took %v", took)
	}
}

// A closed endpoint has nothing left: no peers, no listeners, its subscriptions over; and it refuses
// everything.
func TestAfterClose(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		a, b := n.pair(t)
		sub := subscribe(t, a, []string{"/x"})
		time.Sleep(time.Second)
		publish(t, b, "/x/1", 1, 1)
		synctest.Wait()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if err := a.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		equal(t, "what had come before", topicsOf(t, sub), []string{"/x/1"})
		for range sub.Messages(t.Context()) { // ends by itself
		}
		if !errors.Is(sub.Err(), endpoint.ErrClosed) {
			t.Errorf("subscription: %v", sub.Err())
		}
		for what, try := range map[string]func() error{
			"listen":     func() error { _, err := a.Listen(t.Context(), "127.0.0.1:0"); return err },
			"peer":       func() error { _, err := a.Peer("127.0.0.1:1"); return err },
			"subscribe":  func() error { _, err := a.Subscribe(nil); return err },
			"wait peers": func() error { return a.WaitPeers(t.Context(), 1) },
		} {
			if err := try(); !errors.Is(err, endpoint.ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := a.PublishEvent(t.Context(), "/x", "e"); !errors.Is(err, endpoint.ErrClosed) {
			t.Errorf("publish: %v", err)
		}
		if _, err := a.Ping(t.Context(), b.ID()); !errors.Is(err, endpoint.ErrNotPeered) {
			t.Errorf("ping: %v", err)
		}
	})
}

// A peer whose connection has died silently is lost when it has said nothing for 30 seconds, pings
// included, by default. An idle one that answers pings stays for ever.
func TestSilentPeer(t *testing.T) {
	for _, c := range []struct {
		opts              []endpoint.Option
		interval, timeout time.Duration
	}{
		{nil, 10 * time.Second, 30 * time.Second},
		{[]endpoint.Option{endpoint.WithPing(time.Second, 2*time.Second)}, time.Second, 2 * time.Second},
	} {
		t.Run(c.timeout.String(), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				a, b := n.node(t, c.opts...), n.node(t)
				statuses := subscribe(t, a, nil, endpoint.WithStatus())
				connect(t, b, listen(t, a))
				time.Sleep(time.Hour + c.interval/2)
				if all := statusesOf(t, statuses); len(all) != 1 {
					t.Fatalf("statuses %v", all)
				}
				n.Dials()[0].Conn.Part()
				start := time.Now()
				for ev := range statuses.Events(t.Context()) {
					if s := ev.Status; s.Code != endpoint.PeerLost || !errors.Is(s.Err, endpoint.ErrTimeout) || s.Last.RTT != 0 {
						t.Errorf("status %v, %+v", s, s.Last)
					}
					break
				}
				// It may have spoken up to an interval before, and is looked at once an interval.
				if took := time.Since(start); took < c.timeout-c.interval || took > c.timeout+c.interval {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// Ping measures, and says so when the peer is gone.
func TestPing(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
		time.AfterFunc(5*time.Second, func() {
			for _, e := range raw.received(t) {
				raw.write(t, wire.AppendPong(nil, raw.id, node.ID(), e.Payload))
			}
		})
		if rtt, err := node.Ping(t.Context(), raw.id); rtt != 5*time.Second || err != nil {
			t.Errorf("%v, %v", rtt, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := node.Ping(ctx, raw.id); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no answer: %v", err)
		}
		time.AfterFunc(time.Second, func() { raw.Close() })
		_, err := node.Ping(t.Context(), raw.id)
		if want := fmt.Sprintf("ping %v: not a peer", raw.id); !errors.Is(err, endpoint.ErrNotPeered) || len(err.Error()) < len(want) || err.Error()[:len(want)] != want || containsVerb(err) {
			t.Errorf("connection lost: %v", err)
		}
	})
}

// containsVerb tells whether an error was put together wrongly.
func containsVerb(err error) bool {
	for _, c := range err.Error() {
		if c == '%' {
			return true
		}
	}
	return false
}
