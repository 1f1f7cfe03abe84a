package endpoint_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// hops returns what p has received as lines of sender, receiver, TTL, topic and number.
func (p *rawPeer) hops(t *testing.T, names map[wire.EndpointID]string) (lines []string) {
	t.Helper()
	for _, e := range p.received(t) {
		if e.Type != wire.TypeData {
			continue
		}
		v, err := data.DecodeValue(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := v.AsCount()
		lines = append(lines, fmt.Sprintf("%s>%s %d %s %d", names[e.Sender], names[e.Receiver], e.TTL, e.Topic, n))
	}
	return lines
}

// A forwarding node passes on what a peer sends to the others that are subscribed, or to the one that
// it is for: as its own sender, with one hop less to go, never back, and not when the hops are used up.
// Others do not.
func TestForwarding(t *testing.T) {
	for _, forwarding := range []bool{false, true} {
		t.Run(fmt.Sprint(forwarding), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				var opts []endpoint.Option
				if forwarding {
					opts = append(opts, endpoint.WithForwarding())
				}
				node := n.node(t, opts...)
				local := subscribe(t, node, []string{"/x"})
				addr := listen(t, node)
				from := n.dialRaw(t, addr, wire.NewEndpointID(), "/x", "/y") // subscribed itself
				to := n.dialRaw(t, addr, wire.NewEndpointID(), "/x")
				other := n.dialRaw(t, addr, wire.NewEndpointID(), "/y")
				names := map[wire.EndpointID]string{{}: "all", node.ID(): "node", from.id: "from", to.id: "to", other.id: "other"}
				everybody := wire.EndpointID{}
				from.write(t, slices.Concat(
					from.envelope(everybody, 16, "/x", 1), from.envelope(everybody, 16, "/x", 2), // alike: one must not hide the other
					from.envelope(everybody, 2, "/x", 3),
					from.envelope(everybody, 1, "/x", 4), from.envelope(everybody, 0, "/x", 5), // no hop left
					from.envelope(everybody, 16, "/y", 6),
					from.envelope(everybody, 16, "/z", 7),                                   // nobody
					from.envelope(other.id, 16, "/x", 8), from.envelope(to.id, 16, "/z", 9), // whether subscribed or not
					from.envelope(node.ID(), 16, "/x", 10),
					from.envelope(from.id, 16, "/x", 11), from.envelope(wire.NewEndpointID(), 16, "/x", 12), // nobody
				))
				var got []string
				for _, ev := range arrived(t, local) {
					if ev.Message.Sender() != from.id {
						t.Errorf("sender %v", ev.Message.Sender())
					}
					got = append(got, fmt.Sprint(count(t, ev.Message)))
				}
				equal(t, "here", got, []string{"1", "2", "3", "4", "5", "10"})
				var wantTo, wantOther []string
				want := map[endpoint.DropReason]uint64{endpoint.DropNoSubscriber: 2, endpoint.DropNotForUs: 4}
				if forwarding {
					wantTo = []string{"node>all 15 /x 1", "node>all 15 /x 2", "node>all 1 /x 3", "node>to 15 /z 9"}
					wantOther = []string{"node>all 15 /y 6", "node>other 15 /x 8"}
					want = map[endpoint.DropReason]uint64{endpoint.DropNoSubscriber: 1, endpoint.DropNotForUs: 2, endpoint.DropTTL: 2}
				}
				equal(t, "at the subscriber", to.hops(t, names), wantTo)
				equal(t, "at the other", other.hops(t, names), wantOther)
				equal(t, "back", from.hops(t, names), nil)
				for _, p := range node.Peers() {
					if p.ID == from.id && fmt.Sprint(p.Dropped) != fmt.Sprint(want) {
						t.Errorf("dropped %v, want %v", p.Dropped, want)
					}
				}
			})
		})
	}
}

// Along a chain of nodes that forward, a message comes once, from the last hop. What a node publishes
// goes to its peers alone otherwise.
func TestForwardingChain(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		const length = 5
		nodes := make([]*endpoint.Endpoint, length)
		subs := make([]*endpoint.Subscription, length)
		for i := range nodes {
			nodes[i] = n.node(t, endpoint.WithForwarding())
			subs[i] = subscribe(t, nodes[i], []string{"/x"})
			if i > 0 {
				connect(t, nodes[i], listen(t, nodes[i-1]))
			}
		}
		synctest.Wait()
		publish(t, nodes[0], "/x", 1, 1)
		for i, sub := range subs {
			got := arrived(t, sub)
			if i == 0 && len(got) > 0 || i > 0 && (len(got) != 1 || got[0].Message.Sender() != nodes[i-1].ID()) {
				t.Errorf("node %d received %d messages", i, len(got))
			}
		}
	})
}

// In a ring a message ends with its TTL.
func TestForwardingRing(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		nodes, subs := ring(t, n)
		publish(t, nodes[0], "/x", 1, 2)
		// It goes both ways around, 16 hops each, of which every third leads to where it began.
		for i, want := range []int{10, 11, 11} {
			if got := len(arrived(t, subs[i])); got != want {
				t.Errorf("node %d received %d messages, want %d", i, got, want)
			}
		}
	})
}

// ring returns three nodes that forward and are each other's peers, with a subscription each.
func ring(t *testing.T, n *memNet, opts ...endpoint.Option) (nodes []*endpoint.Endpoint, subs []*endpoint.Subscription) {
	t.Helper()
	var addrs []string
	for range 3 {
		e := n.node(t, append(opts, endpoint.WithForwarding())...)
		nodes = append(nodes, e)
		subs = append(subs, subscribe(t, e, []string{"/x"}, endpoint.WithStatus()))
		addrs = append(addrs, listen(t, e))
	}
	for i, e := range nodes {
		connect(t, e, addrs[(i+1)%3])
	}
	synctest.Wait()
	for i, sub := range subs {
		if all := statusesOf(t, sub); len(all) != 2 {
			t.Fatalf("node %d: %v", i, all)
		}
	}
	return nodes, subs
}

// A ring of three forwarding nodes with all queues full still moves: all three flood it through queues
// of a few messages, and neither they nor the forwarding ever wait for each other for ever. When they
// stop it runs empty, no peering is lost, and the next message passes.
func TestForwardingRingWithFullQueues(t *testing.T) {
	for _, policy := range []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Block} {
		t.Run(policy.String(), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				limits := endpoint.QueueLimits{Messages: 3, Policy: policy, BlockTimeout: time.Hour}
				nodes, subs := ring(t, n, endpoint.WithPeerQueue(limits))
				// What waits for a subscriber holds up the reading from peers, at times.
				slow := make([]*endpoint.Subscription, len(nodes))
				for i, e := range nodes {
					slow[i] = subscribe(t, e, []string{"/x"}, endpoint.WithQueue(limits))
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				start := time.Now()
				var readers, publishers sync.WaitGroup
				for i, e := range nodes {
					readers.Go(func() {
						for range slow[i].Messages(ctx) {
						}
					})
					for p := range 2 {
						publishers.Go(func() {
							for j := range 200 {
								if got, err := e.PublishEvent(ctx, fmt.Sprintf("/x/%d", j/10%3+p), "e", data.Count(uint64(j)), bulk); got != 2 || err != nil {
									t.Errorf("queued for %d, %v", got, err)
									return
								}
							}
						})
					}
				}
				publishers.Wait()
				synctest.Wait()
				if took := time.Since(start); took > 0 {
					t.Errorf("stood still for %v", took)
				}
				dropped := uint64(0)
				for i, sub := range subs {
					if all := statusesOf(t, sub); len(all) > 0 {
						t.Errorf("node %d: %v", i, all)
					}
					for _, p := range nodes[i].Peers() {
						if p.Queued > 0 {
							t.Errorf("node %d: %d messages still wait", i, p.Queued)
						}
						dropped += p.Dropped[endpoint.DropQueueFull]
					}
				}
				if dropped == 0 {
					t.Error("the queues were never full")
				}
				publish(t, nodes[0], "/x/after", 1, 2)
				for i, sub := range subs {
					if got := topicsOf(t, sub); !slices.Contains(got, "/x/after") {
						t.Errorf("node %d received %d messages afterwards", i, len(got))
					}
				}
				cancel()
				readers.Wait()
			})
		})
	}
}
