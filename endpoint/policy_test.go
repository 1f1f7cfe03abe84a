package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// bulk makes a message so large that a handful of them fill a connection that nobody reads from.
var bulk = data.String(strings.Repeat("x", 10<<10))

// publishBulk publishes a numbered large message.
func publishBulk(ctx context.Context, e *endpoint.Endpoint, n int) (int, error) {
	return e.PublishEvent(ctx, "/x", "bulk", data.Count(uint64(n)), bulk)
}

// numbersOf returns the numbers of the large messages that p receives until nothing moves any more.
func (p *rawPeer) numbersOf(t *testing.T) (numbers []int) {
	t.Helper()
	for _, e := range p.received(t) {
		if e.Type == wire.TypeData {
			numbers = append(numbers, numberOf(t, e.Payload))
		}
	}
	return numbers
}

func numberOf(t *testing.T, payload []byte) int {
	t.Helper()
	view, err := zeek.ParseEventView(payload)
	if err != nil {
		t.Fatal(err)
	}
	return int(view.Args.Count())
}

// upTo returns the numbers from first to last.
func upTo(first, last int) (all []int) {
	for i := first; i <= last; i++ {
		all = append(all, i)
	}
	return all
}

// A peer that does not read loses what its queue's policy says, every message is accounted for, and
// another peer gets everything.
func TestPeerThatDoesNotRead(t *testing.T) {
	const published, limit = 100, 10
	for _, policy := range []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Disconnect} {
		t.Run(policy.String(), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				node := n.node(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Messages: limit, Policy: policy}))
				statuses := subscribe(t, node, nil, endpoint.WithStatus())
				addr := listen(t, node)
				stuck := n.dialRaw(t, addr, wire.NewEndpointID(), "/x")
				good := n.node(t)
				sub := subscribe(t, good, []string{"/x"})
				connect(t, good, addr)
				synctest.Wait()
				for i := range published {
					if _, err := publishBulk(t.Context(), node, i); err != nil {
						t.Fatal(err)
					}
					synctest.Wait() // so that the good one never has more than one to read
				}
				if got := len(arrived(t, sub)); got != published {
					t.Errorf("the other peer got %d messages", got)
				}
				if policy == endpoint.Disconnect {
					if all := statusesOf(t, statuses); len(all) != 3 || all[2].Code != endpoint.PeerLost || all[2].Peer != stuck.id || !errors.Is(all[2].Err, endpoint.ErrOverflow) {
						t.Errorf("statuses %v", all)
					}
					if len(node.Peers()) != 1 {
						t.Errorf("peers %v", node.Peers())
					}
					return
				}
				i := slices.IndexFunc(node.Peers(), func(p endpoint.PeerInfo) bool { return p.ID == stuck.id })
				full := node.Peers()[i]
				if full.Queued != limit {
					t.Errorf("%d messages wait, want %d", full.Queued, limit)
				}
				got := stuck.numbersOf(t)
				lost := int(full.Dropped[endpoint.DropQueueFull])
				if lost == 0 || len(got)+lost != published {
					t.Errorf("%d received, %d dropped, of %d", len(got), lost, published)
				}
				under := 0 // way, when the queue ran full
				for under < len(got) && got[under] == under {
					under++
				}
				switch rest := got[under:]; policy {
				case endpoint.DropNewest:
					if len(rest) > 0 {
						t.Errorf("got %v, want the first ones", got)
					}
				case endpoint.DropOldest:
					if !slices.Equal(rest, upTo(published-len(rest), published-1)) || len(rest) == 0 {
						t.Errorf("got %v, want what was under way, and the last ones", got)
					}
				}
				// It reads again, and all is well.
				if queued, err := publishBulk(t.Context(), node, published); queued != 2 || err != nil {
					t.Errorf("queued for %d, %v", queued, err)
				}
				if got := stuck.numbersOf(t); !slices.Equal(got, []int{published}) {
					t.Errorf("got %v", got)
				}
			})
		})
	}
}

// With Block a publisher waits, as long as its context and the timeout allow; then nothing is queued for
// anyone. It goes on by itself when the peer reads again, and nothing is lost.
func TestBlockedPublisher(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		const limit = 10
		node := n.node(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Messages: limit, Policy: endpoint.Block, BlockTimeout: 20 * time.Second}))
		addr := listen(t, node)
		good := n.node(t)
		sub := subscribe(t, good, []string{"/x"})
		connect(t, good, addr)
		stuck := n.dialRaw(t, addr, wire.NewEndpointID(), "/x")
		elsewhere := n.dialRaw(t, addr, wire.NewEndpointID(), "/y")

		start := time.Now()
		queued := 0
		for ; ; queued++ {
			ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
			got, err := publishBulk(ctx, node, queued)
			cancel()
			if err != nil {
				if got != 0 || !errors.Is(err, endpoint.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("queued for %d, %v", got, err)
				}
				break
			}
			if got != 2 {
				t.Errorf("queued for %d", got)
			}
		}
		if waited := time.Since(start); waited != 7*time.Second {
			t.Errorf("waited %v", waited)
		}
		if queued < limit {
			t.Errorf("only %d queued", queued)
		}
		start = time.Now()
		if got, err := publishBulk(t.Context(), node, queued); got != 0 || !errors.Is(err, endpoint.ErrFull) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("queued for %d, %v", got, err)
		}
		if waited := time.Since(start); waited != 20*time.Second {
			t.Errorf("waited %v", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if queued, err := node.PublishTo(ctx, stuck.id, "/x", data.AppendCount(nil, 1)); queued || !errors.Is(err, endpoint.ErrFull) {
			t.Errorf("direct message: %v, %v", queued, err)
		}
		// What does not concern the stuck peer does not wait.
		publish(t, node, "/y", 1, 1)
		equal(t, "elsewhere", elsewhere.messages(t), []string{"/y"})
		if got := len(arrived(t, sub)); got != queued {
			t.Errorf("the other peer got %d messages, want %d", got, queued)
		}

		// Several wait, and all go on when the peer reads.
		const publishers, each = 5, 10
		var all sync.WaitGroup
		for p := range publishers {
			all.Go(func() {
				for i := range each {
					if got, err := publishBulk(t.Context(), node, 1000*p+i); got != 2 || err != nil {
						t.Errorf("queued for %d, %v", got, err)
					}
				}
			})
		}
		time.Sleep(time.Second) // they are stuck
		got := stuck.numbersOf(t)
		all.Wait()
		if len(got) != queued+publishers*each {
			t.Fatalf("got %d messages, want %d", len(got), queued+publishers*each)
		}
		next := make(map[int]int)
		for i, n := range got {
			if i < queued && n != i || i >= queued && n%1000 != next[n/1000] {
				t.Fatalf("message %d is %d", i, n)
			} else if i >= queued {
				next[n/1000]++
			}
		}
		if got := len(arrived(t, sub)); got != publishers*each {
			t.Errorf("the other peer got %d messages, want %d", got, publishers*each)
		}
		for _, p := range node.Peers() {
			if len(p.Dropped) > 0 {
				t.Errorf("%v: dropped %v", p.ID, p.Dropped)
			}
		}
	})
}

// A publisher that waits for a peer goes on when that peer is gone.
func TestBlockedByLostPeer(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Messages: 5, Policy: endpoint.Block}))
		stuck := n.dialRaw(t, listen(t, node), wire.NewEndpointID(), "/x")
		start := time.Now()
		time.AfterFunc(10*time.Second, func() { stuck.Close() })
		for i := 0; ; i++ {
			queued, err := publishBulk(t.Context(), node, i)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if queued == 0 {
				break
			}
		}
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}

// PublishTo tells whether the queue took the message.
func TestPublishToFullQueue(t *testing.T) {
	for policy, want := range map[endpoint.Policy]bool{endpoint.DropOldest: true, endpoint.DropNewest: false} {
		onMemNet(t, func(t *testing.T, n *memNet) {
			node := n.node(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Messages: 20, Policy: policy}))
			stuck := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
			payload := data.AppendValue(nil, bulk)
			for range 100 {
				if _, err := node.PublishTo(t.Context(), stuck.id, "/x", payload); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if queued, err := node.PublishTo(t.Context(), stuck.id, "/x", payload); queued != want || err != nil {
				t.Errorf("%v: queued is %v, %v", policy, queued, err)
			}
		})
	}
}

// Whatever ends a peering, each message that was queued for it is written or counted as lost.
func TestLossIsCounted(t *testing.T) {
	for _, policy := range []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Disconnect} {
		for name, end := range map[string]func(node *endpoint.Endpoint, peer *rawPeer){
			"the peer closes": func(_ *endpoint.Endpoint, peer *rawPeer) { peer.Close() },
			"unpeer":          func(node *endpoint.Endpoint, peer *rawPeer) { node.Unpeer(context.Background(), peer.id) },
		} {
			t.Run(fmt.Sprint(policy, " ", name), func(t *testing.T) {
				onMemNet(t, func(t *testing.T, n *memNet) {
					node := n.node(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Messages: 20, Policy: policy}))
					statuses := subscribe(t, node, nil, endpoint.WithStatus())
					stuck := n.dialRaw(t, listen(t, node), wire.NewEndpointID(), "/x")
					queued := uint64(0)
					for i := range 50 {
						receivers, err := publishBulk(t.Context(), node, i)
						if err != nil {
							t.Fatal(err)
						}
						queued += uint64(receivers)
						if i%3 == 0 {
							synctest.Wait()
						}
					}
					end(node, stuck)
					all := statusesOf(t, statuses)
					last := all[len(all)-1].Last
					if last == nil {
						t.Fatalf("statuses %v", all)
					}
					if full, ended := last.Dropped[endpoint.DropQueueFull], last.Dropped[endpoint.DropPeeringEnded]; last.FramesOut+full+ended != queued {
						t.Errorf("%d written, %d lost in the full queue, %d at the end: want %d in all", last.FramesOut, full, ended, queued)
					}
				})
			})
		}
	}
}

// A subscription that does not read loses what its policy says; another one gets everything.
func TestSubscriberThatDoesNotRead(t *testing.T) {
	const sent, limit = 100, 10
	for policy, want := range map[endpoint.Policy][]int{
		endpoint.DropOldest: upTo(sent-limit, sent-1),
		endpoint.DropNewest: upTo(0, limit-1),
		endpoint.Disconnect: nil,
	} {
		t.Run(policy.String(), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				node := n.node(t)
				slow := subscribe(t, node, []string{"/x"}, endpoint.WithQueue(endpoint.QueueLimits{Messages: limit, Policy: policy}))
				other := subscribe(t, node, []string{"/x"})
				raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
				for i := range sent {
					raw.write(t, raw.data("/x", zeek.AppendEvent(nil, "e", data.Count(uint64(i)))))
					synctest.Wait()
				}
				if got := len(arrived(t, other)); got != sent {
					t.Errorf("the other subscription got %d messages", got)
				}
				var got []int
				for _, ev := range arrived(t, slow) {
					got = append(got, numberOf(t, ev.Message.Payload()))
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %v", got)
				}
				stats, dropped := slow.Stats(), node.Peers()[0].Dropped[endpoint.DropSubscriberFull]
				switch policy {
				case endpoint.DropNewest:
					if dropped != sent-limit {
						t.Errorf("%d messages of the peer counted as lost", dropped)
					}
					fallthrough
				case endpoint.DropOldest:
					if stats.Received != limit || stats.Dropped != sent-limit || stats.Queued != 0 || slow.Err() != nil {
						t.Errorf("%+v, %v", stats, slow.Err())
					}
				case endpoint.Disconnect:
					if stats.Dropped != sent || stats.Queued != 0 || !errors.Is(slow.Err(), endpoint.ErrOverflow) {
						t.Errorf("%+v, %v", stats, slow.Err())
					}
				}
				if other.Err() != nil || other.Stats().Dropped > 0 {
					t.Errorf("the other subscription: %+v, %v", other.Stats(), other.Err())
				}
			})
		})
	}
}

// A Block subscription that does not read makes the node stop reading from the peer that sends to it,
// for all subscriptions, and its pings go unanswered as long. The peering survives that, other peers do
// not notice, and when the subscription reads again nothing is lost.
func TestBlockedSubscriber(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		const sent, limit = 1000, 10
		node := n.node(t)
		slow := subscribe(t, node, []string{"/x"}, endpoint.WithQueue(endpoint.QueueLimits{Messages: limit, Policy: endpoint.Block}))
		other := subscribe(t, node, []string{"/x", "/y"})
		addr := listen(t, node)
		raw := n.dialRaw(t, addr, wire.NewEndpointID())
		message := func(i int) []byte { return raw.data("/x", zeek.AppendEvent(nil, "e", data.Count(uint64(i)), bulk)) }
		go func() {
			for i := range sent {
				if _, err := raw.Write(message(i)); err != nil {
					return // the test is over
				}
			}
			raw.Write(wire.AppendPing(nil, raw.id, node.ID(), []byte("still there?")))
		}()
		time.Sleep(5 * time.Minute)
		pongs := func() (n int) {
			for _, e := range raw.received(t) {
				if e.Type == wire.TypePong && string(e.Payload) == "still there?" {
					n++
				}
			}
			return n
		}
		if stats := slow.Stats(); stats.Queued != limit || stats.Dropped != 0 {
			t.Errorf("%+v", stats)
		}
		if held := len(arrived(t, other)); held == 0 || held > 2*limit || pongs() > 0 {
			t.Errorf("the other subscription got %d messages, or there was a pong", held)
		}
		fast := n.dialRaw(t, addr, wire.NewEndpointID())
		fast.write(t, fast.data("/y", data.AppendCount(nil, 1)))
		equal(t, "of the other peer", topicsOf(t, other), []string{"/y"})

		got := arrived(t, slow)
		for i, ev := range got {
			if number := numberOf(t, ev.Message.Payload()); number != i {
				t.Fatalf("message %d is %d", i, number)
			}
		}
		if len(got) != sent || slow.Stats().Dropped > 0 || pongs() != 1 {
			t.Errorf("%d messages came; %+v; or no pong", len(got), slow.Stats())
		}
		if peers := node.Peers(); len(peers) != 2 {
			t.Errorf("peers %+v", peers)
		}
	})
}

// What a peer has sent, and a Block subscription had no room for when the peering ended, is counted.
func TestLossOfPausedIsCounted(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		statuses := subscribe(t, node, nil, endpoint.WithStatus())
		sub := subscribe(t, node, []string{"/x"}, endpoint.WithQueue(endpoint.QueueLimits{Messages: 2, Policy: endpoint.Block}))
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
		one, other := raw.data("/x/1", data.AppendCount(nil, 1)), raw.data("/x/2", data.AppendCount(nil, 1))
		raw.write(t, slices.Concat(one, one, one, one, one, other, other, one))
		synctest.Wait()
		node.Unpeer(t.Context(), raw.id) // has no answer
		all := statusesOf(t, statuses)
		last, got := all[len(all)-1].Last, len(arrived(t, sub))
		if last == nil || last.FramesIn != 8 || got != 2 || last.Dropped[endpoint.DropPeeringEnded] != 6 {
			t.Errorf("%d messages, %+v", got, last)
		}
	})
}

// The silence of a peer that was not read from is not held against it: it has the usual time to say
// something once it is read from again.
func TestPauseIsNoSilence(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		sub := subscribe(t, node, []string{"/x"}, endpoint.WithQueue(endpoint.QueueLimits{Messages: 1, Policy: endpoint.Block}))
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
		message := raw.data("/x", data.AppendCount(nil, 1))
		raw.write(t, slices.Concat(message, message, message))
		time.Sleep(5 * time.Minute)
		if got := len(arrived(t, sub)); got != 3 {
			t.Errorf("%d messages", got)
		}
		time.Sleep(25 * time.Second)
		if len(node.Peers()) != 1 {
			t.Error("lost at once")
		}
		time.Sleep(25 * time.Second)
		if len(node.Peers()) != 0 {
			t.Error("never lost")
		}
	})
}

// A Block subscription with loopback holds up this node's publishers, too.
func TestBlockedByOwnSubscriber(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		sub := subscribe(t, node, []string{"/x"}, endpoint.WithLoopback(), endpoint.WithQueue(endpoint.QueueLimits{Messages: 10, Policy: endpoint.Block}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		queued := 0
		var err error
		for err == nil {
			if _, err = node.Publish(ctx, "/x", data.Count(1)); err == nil {
				queued++
			}
		}
		if !errors.Is(err, endpoint.ErrFull) || queued != 10 {
			t.Errorf("%d queued, %v", queued, err)
		}
		if got := len(arrived(t, sub)); got != queued {
			t.Errorf("%d of %d messages", got, queued)
		}
	})
}

// A message larger than the whole queue passes if it is alone.
func TestMessageLargerThanQueue(t *testing.T) {
	for _, policy := range []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Disconnect, endpoint.Block} {
		onMemNet(t, func(t *testing.T, n *memNet) {
			limits := endpoint.QueueLimits{Bytes: 200 << 10, Policy: policy}
			a, b := n.node(t, endpoint.WithPeerQueue(limits)), n.node(t)
			sub := subscribe(t, b, []string{"/x"}, endpoint.WithQueue(limits))
			connect(t, b, listen(t, a))
			synctest.Wait()
			for i := range 3 {
				if got, err := a.Publish(t.Context(), "/x", data.String(strings.Repeat("x", 1<<20))); got != 1 || err != nil {
					t.Fatalf("%v: queued for %d, %v", policy, got, err)
				}
				if got := len(arrived(t, sub)); got != 1 {
					t.Errorf("%v: message %d: %d came; %+v %+v", policy, i, got, a.Peers(), sub.Stats())
				}
			}
		})
	}
}

func TestQueueLimitsChecked(t *testing.T) {
	for _, limits := range []endpoint.QueueLimits{
		{Messages: -1}, {Bytes: -1}, {BlockTimeout: -1}, {Policy: endpoint.Block + 1},
	} {
		if _, err := endpoint.New(endpoint.WithPeerQueue(limits)); err == nil {
			t.Errorf("%+v accepted for peers", limits)
		}
		if _, err := newEndpoint(t).Subscribe(nil, endpoint.WithQueue(limits)); err == nil {
			t.Errorf("%+v accepted for a subscription", limits)
		}
	}
}
