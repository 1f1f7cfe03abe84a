package endpoint_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

// noise returns n bytes that are no value and do not repeat.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	if n > 0 {
		b[0] = 0xff
	}
	return b
}

// publishCommand publishes a command and fails the test unless it is queued for so many.
func publishCommand(t testing.TB, e *endpoint.Endpoint, topic string, payload []byte, receivers int) {
	t.Helper()
	if got, err := e.PublishCommand(topic, payload); got != receivers || err != nil {
		t.Fatalf("command on %s: queued for %d, %v; want %d", topic, got, err, receivers)
	}
}

// commandTo publishes a command to one peer and fails the test unless it is queued, or is not, as wanted.
func commandTo(t testing.TB, e *endpoint.Endpoint, to wire.EndpointID, topic string, head, shared []byte, want bool) {
	t.Helper()
	if queued, err := e.PublishCommandTo(to, topic, head, shared); queued != want || err != nil {
		t.Fatalf("command on %s: queued %v, %v; want %v", topic, queued, err, want)
	}
}

// told returns what p has received, but control messages, as lines of type, receiver, topic and payload.
func (p *rawPeer) told(t *testing.T) (lines []string) {
	t.Helper()
	for _, e := range p.received(t) {
		if e.Type == wire.TypeData || e.Type == wire.TypeCommand {
			to := "all"
			if e.Receiver == p.id {
				to = "one"
			}
			lines = append(lines, fmt.Sprintf("%v %s %s %x", e.Type, to, e.Topic, e.Payload))
		}
	}
	return lines
}

// Commands go to the peers whose filter matches and to subscriptions with loopback that ask for commands.
// Data on the same topic keeps its place among them, and each is counted under its type.
func TestPublishCommand(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		tap, err := node.Tap(endpoint.QueueLimits{})
		if err != nil {
			t.Fatal(err)
		}
		defer tap.Close()
		addr := listen(t, node)
		in, out := n.dialRaw(t, addr, wire.NewEndpointID(), "s/"), n.dialRaw(t, addr, wire.NewEndpointID(), "t/")
		subs := map[string]*endpoint.Subscription{
			"loopback":             subscribe(t, node, []string{"s/"}, endpoint.WithLoopback()),
			"commands":             subscribe(t, node, []string{"s/"}, endpoint.WithCommands()),
			"loopback of commands": subscribe(t, node, []string{"s/"}, endpoint.WithLoopback(), endpoint.WithCommands()),
		}
		for range 2 {
			publish(t, node, "s/x", 1, 3)
			publishCommand(t, node, "s/x", []byte{0xff, 1}, 2)
			publishCommand(t, node, "s/x", []byte{0xff, 2}, 2)
			commandTo(t, node, in.id, "s/x", []byte{0xff}, []byte{3}, true)
			commandTo(t, node, out.id, "s/x", []byte{0xff, 4}, nil, true)
			publishCommand(t, node, "nobody", []byte{5}, 0)
		}
		turn := []string{"data all s/x 020000000000000001", "command all s/x ff01", "command all s/x ff02", "command one s/x ff03"}
		equal(t, "at the subscriber", in.told(t), slices.Repeat(turn, 2))
		equal(t, "at the other", out.told(t), slices.Repeat([]string{"command one s/x ff04"}, 2))
		for name, want := range map[string][]string{
			"loopback":             slices.Repeat([]string{"data"}, 2),
			"commands":             nil,
			"loopback of commands": slices.Repeat([]string{"data", "command", "command"}, 2),
		} {
			var got []string
			for _, ev := range arrived(t, subs[name]) {
				got = append(got, ev.Message.Type().String())
			}
			equal(t, name, got, want)
		}
		processed := node.Stats().Processed
		if processed[wire.TypeData] != 2 || processed[wire.TypeCommand] != 8 {
			t.Errorf("processed %v", processed)
		}
		for _, topic := range node.Topics() {
			if topic.Topic == "s/x" && topic.MessagesOut != 10 {
				t.Errorf("%+v", topic)
			}
		}
		seen := 0
		for f := range tap.Frames(t.Context()) {
			if e, err := wire.ParseEnvelope(f.Body); err == nil && e.Type == wire.TypeCommand {
				if seen++; seen == 8 {
					break
				}
			}
		}
	})
}

// What is refused, and with which error.
func TestPublishCommandRefused(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t, endpoint.WithMaxFrame(2000, 5000), fixed(endpoint.Access{Subscribe: []string{"s/"}}))
		silent, closed := n.node(t, endpoint.WithReadOnly()), n.node(t)
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID(), "s/")
		if err := closed.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		head := wire.EnvelopeHeaderLen + len("s/x")
		for _, c := range []struct {
			name  string
			node  *endpoint.Endpoint
			topic string
			size  int
			want  error
		}{
			{"read-only", silent, "s/x", 1, endpoint.ErrReadOnly},
			{"closed", closed, "s/x", 1, endpoint.ErrClosed},
			{"long topic", n.node(t), strings.Repeat("s", 1<<16), 1, endpoint.ErrTopic},
			{"local topic", node, "<$>/local/x", 1, endpoint.ErrTopic},
			{"too large", node, "s/x", 5001 - head, endpoint.ErrTooLarge},
			{"the largest", node, "s/x", 5000 - head, nil},
		} {
			payload := noise(c.size)
			if _, err := c.node.PublishCommand(c.topic, payload); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			if queued, err := c.node.PublishCommandTo(raw.id, c.topic, payload[:1], payload[1:]); !errors.Is(err, c.want) || queued != (c.want == nil) {
				t.Errorf("%s: queued %v, %v", c.name, queued, err)
			}
		}
		var denied *endpoint.AccessError
		if queued, err := node.PublishCommandTo(raw.id, "t/x", nil, nil); queued || !errors.As(err, &denied) {
			t.Errorf("what it may not receive: %v, %v", queued, err)
		}
		commandTo(t, node, wire.NewEndpointID(), "s/x", nil, nil, false)
		if got := raw.told(t); len(got) != 2 {
			t.Errorf("%d received", len(got))
		}
	})
}

// The memory set aside for large messages is never less than the largest command.
func TestReceiveMemoryOfCommands(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		a, b := n.pair(t, endpoint.WithMaxFrame(2000, 1<<20), endpoint.WithMaxReceiveMemory(0))
		sub := subscribe(t, b, []string{"s/"}, endpoint.WithCommands())
		commandTo(t, a, b.ID(), "s/x", nil, noise(1<<20-wire.EnvelopeHeaderLen-len("s/x")), true)
		equal(t, "messages", topicsOf(t, sub), []string{"s/x"})
	})
}

// Whatever the policy of a full queue: commands do not wait, and each is received or counted. Large ones
// are one message as well.
func TestPublishCommandNeverWaits(t *testing.T) {
	for _, policy := range []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Block} {
		for _, large := range []bool{false, true} {
			t.Run(fmt.Sprint(policy, " large ", large), func(t *testing.T) {
				onMemNet(t, func(t *testing.T, n *memNet) {
					node := n.node(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Messages: 5, Policy: policy}))
					raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID(), "s/")
					start := time.Now()
					shared := noise(1000)
					if large {
						shared = noise(100_000)
					}
					const turns = 50
					for i := range turns {
						publishCommand(t, node, "s/x", shared[:1000], 1)
						if _, err := node.PublishCommandTo(raw.id, "s/x", []byte{byte(i)}, shared); err != nil {
							t.Fatal(err)
						}
						synctest.Wait()
					}
					if time.Since(start) > 0 {
						t.Error("it waited")
					}
					got := raw.received(t)
					if lost := raw.about(t, node).Dropped[endpoint.DropQueueFull]; len(got)+int(lost) != 2*turns || lost == 0 {
						t.Errorf("%d received, %d dropped of %d", len(got), lost, 2*turns)
					}
					last := -1
					for _, e := range got {
						if !e.Receiver.IsZero() {
							if !bytes.Equal(e.Payload[1:], shared) || int(e.Payload[0]) <= last {
								t.Fatalf("%d after %d, or another payload", e.Payload[0], last)
							}
							last = int(e.Payload[0])
						}
					}
					if oldest := policy == endpoint.DropOldest; oldest != (last == turns-1) {
						t.Errorf("the last received is %d", last)
					}
				})
			})
		}
	}
}

// A message larger than all that a queue may hold goes also behind others that wait, drops none of them
// nor of those behind, and ends no peering. A second one for the same peer has to wait for the first.
func TestPublishCommandLargerThanQueue(t *testing.T) {
	for _, policy := range []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Disconnect, endpoint.Block} {
		t.Run(policy.String(), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				node := n.node(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Bytes: 400_000, Policy: policy}))
				raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID(), "s/")
				snapshot := noise(2_000_000)
				var want []string
				some := func() {
					for range 50 {
						publishCommand(t, node, "s/x", snapshot[:1000], 1)
						want = append(want, "1000")
					}
					synctest.Wait()
				}
				some()
				some() // fills the connection, so that what follows waits
				for range 2 {
					commandTo(t, node, raw.id, "s/x", []byte("12"), snapshot, true)
					want = append(want, "2000002")
					commandTo(t, node, raw.id, "s/x", nil, snapshot, false)
					some()
					if info := raw.about(t, node); info.QueuedBytes < len(snapshot) {
						t.Errorf("%d bytes queued", info.QueuedBytes)
					}
					var got []string
					for _, e := range raw.received(t) {
						got = append(got, fmt.Sprint(len(e.Payload)))
					}
					equal(t, "lengths", got, want)
					want = nil
				}
				info := raw.about(t, node)
				if info.Dropped[endpoint.DropQueueFull] != 2 || info.QueuedBytes != 0 {
					t.Errorf("dropped %v, %d bytes queued", info.Dropped, info.QueuedBytes)
				}
			})
		})
	}
}

// What several peers share arrives at each, byte for byte and in its place, whatever protects it; a tap sees
// it in one piece.
func TestPublishCommandShared(t *testing.T) {
	for name, security := range securities(t) {
		t.Run(name, func(t *testing.T) {
			node := newEndpoint(t, endpoint.WithSecurity(security))
			tap, err := node.Tap(endpoint.QueueLimits{})
			if err != nil {
				t.Fatal(err)
			}
			defer tap.Close()
			addr := listen(t, node)
			var clones []*endpoint.Endpoint
			var subs []*endpoint.Subscription
			for range 3 {
				e := newEndpoint(t, endpoint.WithSecurity(security))
				subs = append(subs, subscribe(t, e, []string{"s/"}, endpoint.WithCommands(), endpoint.WithQueue(lossless)))
				connect(t, e, addr)
				clones = append(clones, e)
			}
			if err := node.WaitPeers(t.Context(), len(clones)); err != nil {
				t.Fatal(err)
			}
			shared := noise(3_000_000)
			sizes := []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, len(shared)}
			for _, size := range sizes {
				publishCommand(t, node, "s/x", []byte("before"), len(clones))
				for _, e := range clones {
					commandTo(t, node, e.ID(), "s/x", []byte("head"), shared[:size], true)
				}
			}
			var readers sync.WaitGroup
			for _, sub := range subs {
				readers.Go(func() {
					i := 0
					for m := range sub.Messages(t.Context()) {
						want := []byte("before")
						if i%2 == 1 {
							want = append([]byte("head"), shared[:sizes[i/2]]...)
						}
						if !bytes.Equal(m.Payload(), want) || m.Direct() != (i%2 == 1) || m.Type() != wire.TypeCommand {
							t.Errorf("message %d: %v of %d bytes, want %d", i, m.Type(), len(m.Payload()), len(want))
							return
						}
						if i++; i == 2*len(sizes) {
							return
						}
					}
				})
			}
			whole := 0
			for f := range tap.Frames(t.Context()) {
				e, err := wire.ParseEnvelope(f.Body)
				if err == nil && e.Type == wire.TypeCommand && bytes.Equal(e.Payload, append([]byte("head"), shared...)) {
					if whole++; whole == len(clones) {
						break
					}
				}
			}
			readers.Wait()
			for _, info := range node.Peers() {
				if want := uint64(2 * len(sizes)); info.FramesOut != want {
					t.Errorf("%d frames sent, want %d", info.FramesOut, want)
				}
			}
		})
	}
}

// A connection that ends in the middle of a large message: what came before it was sent, it and what
// waited behind it is lost, each counted once.
func TestPublishCommandCutShort(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		statuses := subscribe(t, node, nil, endpoint.WithStatus())
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID(), "s/")
		raw.received(t)
		before := raw.about(t, node).BytesOut
		publishCommand(t, node, "s/x", noise(100), 1)
		commandTo(t, node, raw.id, "s/x", noise(10), noise(1_000_000), true)
		publishCommand(t, node, "s/x", noise(100), 1)
		commandTo(t, node, raw.id, "s/x", noise(10), noise(1_000_000), true)
		synctest.Wait()
		raw.Close()
		all := statusesOf(t, statuses)
		last := all[len(all)-1].Last
		if last == nil || last.FramesOut != 1 || last.Dropped[endpoint.DropPeeringEnded] != 3 || last.BytesOut-before != buffer {
			t.Fatalf("%+v", last)
		}
	})
}

// Subscribers follows what peers say they are subscribed to, as far as the rules allow it.
func TestSubscribers(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t, fixed(endpoint.Access{Subscribe: []string{"s/", "t/"}}))
		addr := listen(t, node)
		a := n.dialRaw(t, addr, wire.NewEndpointID(), "s/", "s/x", "u/")
		b := n.dialRaw(t, addr, wire.NewEndpointID(), "t/")
		check := func(topic string, want ...*rawPeer) {
			t.Helper()
			ids := []wire.EndpointID{}
			for _, p := range want {
				ids = append(ids, p.id)
			}
			got := node.Subscribers(topic)
			slices.SortFunc(got, wire.EndpointID.Compare)
			slices.SortFunc(ids, wire.EndpointID.Compare)
			if !slices.Equal(got, ids) {
				t.Errorf("subscribers of %s: %v, want %v", topic, got, ids)
			}
		}
		check("s/x", a)
		check("t/x", b)
		check("u/x")
		b.write(t, wire.AppendRoutingUpdate(nil, b.id, b.remote, []string{"s/x/"}))
		synctest.Wait()
		check("s/x/y", a, b)
		check("s/x", a)
		check("t/x")
		a.Close()
		synctest.Wait()
		check("s/x/y", b)
	})
}

// A subscription to commands and statuses learns of a peer, and of what it is subscribed to, before its
// first command; by then the peer is found under that topic.
func TestStatusBeforeCommands(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		sub := subscribe(t, node, []string{"s/"}, endpoint.WithCommands(), endpoint.WithStatus())
		addr := listen(t, node)
		var want, got []string
		for range 20 {
			raw := n.dialRaw(t, addr, wire.NewEndpointID(), "s/master")
			raw.write(t, wire.AppendEnvelope(nil, wire.Envelope{Sender: raw.id, Type: wire.TypeCommand, TTL: 16, Topic: []byte("s/clone"), Payload: []byte{1}}))
			if synctest.Wait(); !slices.Equal(node.Subscribers("s/master"), []wire.EndpointID{raw.id}) {
				t.Error("not found")
			}
			raw.Close()
			synctest.Wait()
			want = append(want, fmt.Sprint("peer_added ", raw.id, " [s/master]"), fmt.Sprint("command ", raw.id), fmt.Sprint("peer_lost ", raw.id, " []"))
		}
		for _, ev := range arrived(t, sub) {
			if s := ev.Status; s != nil {
				got = append(got, fmt.Sprint(s.Code, " ", s.Peer, " ", s.Filter))
			} else {
				got = append(got, fmt.Sprint(ev.Message.Type(), " ", ev.Message.Sender()))
			}
		}
		equal(t, "events", got, want)
	})
}

// A node that forwards passes commands on as it does data, without a look into them.
func TestForwardingCommands(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		hub := n.node(t, endpoint.WithForwarding())
		subscribe(t, hub, []string{"s/"}) // tells of what is behind the hub
		addr := listen(t, hub)
		from, to := n.node(t), n.dialRaw(t, addr, wire.NewEndpointID(), "s/")
		connect(t, from, addr)
		synctest.Wait()
		publishCommand(t, from, "s/x", []byte{0xff, 1}, 1)
		commandTo(t, from, to.id, "s/x", nil, []byte{0xff, 2}, false) // no peer of its own
		commandTo(t, from, hub.ID(), "s/x", nil, []byte{0xff, 3}, true)
		equal(t, "behind the hub", to.told(t), []string{"command all s/x ff01"})
	})
}
