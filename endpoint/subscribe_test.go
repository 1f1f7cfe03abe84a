package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// updates returns the filters of the routing updates among what p has received.
func (p *rawPeer) updates(t *testing.T) (filters [][]string) {
	t.Helper()
	for _, e := range p.received(t) {
		if e.Type != wire.TypeRoutingUpdate {
			continue
		}
		filter, err := wire.ParseFilter(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		filters = append(filters, filter)
	}
	return filters
}

// topics returns n topics, sorted.
func topics(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("/object/%05d/", i))
	}
	return all
}

// After ten thousand subscriptions one by one, each of ten peers has got a few routing updates, the last
// of which is right; and after as many ends, too.
func TestManySubscriptions(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		const many = 10_000
		node := n.node(t)
		addr := listen(t, node)
		var peers []*rawPeer
		for range 10 {
			peers = append(peers, n.dialRaw(t, addr, wire.NewEndpointID()))
		}
		all := topics(many)
		subs := make([]*endpoint.Subscription, many)
		for i := range subs {
			subs[i] = subscribe(t, node, all[many-1-i:][:1])
		}
		check := func(want []string) {
			t.Helper()
			time.Sleep(time.Second)
			for i, p := range peers {
				// All of it took no time at all: one was sent at once, and one 10 ms later.
				got := p.updates(t)
				if len(got) == 0 || len(got) > 2 || !slices.Equal(got[len(got)-1], want) {
					t.Errorf("peer %d: %d updates, the last of %d topics", i, len(got), len(got[len(got)-1]))
				}
			}
		}
		check(all)
		// Who comes later is told everything, though it does not fit the handshake.
		late := n.dialRaw(t, addr, wire.NewEndpointID())
		filters := append([][]string{late.filter}, late.updates(t)...)
		if last := filters[len(filters)-1]; !slices.Equal(last, all) {
			t.Errorf("a later peer was told of %d topics", len(last))
		}
		for _, sub := range subs[1:] {
			sub.Close()
		}
		check(all[many-1:])
	})
}

// A filter that does not fit into the handshake is completed behind it.
func TestLargeFilter(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		all := topics(30_000) // 450 KB
		subscribe(t, node, all)
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
		if len(raw.filter) == 0 || len(raw.filter) == len(all) || !slices.Equal(raw.filter, all[:len(raw.filter)]) {
			t.Errorf("%d topics in the handshake", len(raw.filter))
		}
		if got := raw.updates(t); len(got) != 1 || !slices.Equal(got[0], all) {
			t.Errorf("%d updates", len(got))
		}
	})
}

// The first change is announced at once, those that follow at most every 10 ms, and the last is never
// forgotten.
func TestAnnounceInterval(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
		for round := range 3 {
			var at []time.Duration
			var last []string
			start := time.Now()
			for i := range 31 {
				subscribe(t, node, []string{fmt.Sprintf("/%d/%02d", round, i)})
				for _, filter := range raw.updates(t) {
					at, last = append(at, time.Since(start)), filter
				}
				time.Sleep(time.Millisecond)
			}
			time.Sleep(20 * time.Millisecond)
			for _, filter := range raw.updates(t) {
				at, last = append(at, 40*time.Millisecond), filter // or earlier
			}
			want := []time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond, 40 * time.Millisecond}
			if len(at) < 4 || !slices.Equal(at, want[:len(at)]) {
				t.Errorf("round %d: updates at %v", round, at)
			}
			if len(last) != 31*(round+1) {
				t.Errorf("round %d: the last update has %d topics", round, len(last))
			}
			raw.write(t, wire.AppendPong(nil, raw.id, node.ID(), nil)) // it is alive
			time.Sleep(20 * time.Second)
		}
	})
}

// A subscription ends with its Close, with its endpoint, and its loop also with the context; the next
// loop goes on where the last one stopped.
func TestSubscriptionLoop(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		sub := subscribe(t, node, []string{"/x"})
		equal(t, "topics", sub.Topics(), []string{"/x"})
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
		send := func(first, last uint64) {
			var frames []byte
			for i := first; i <= last; i++ {
				frames = append(frames, raw.data("/x", data.AppendCount(nil, i))...)
			}
			raw.write(t, frames)
			synctest.Wait()
		}
		send(0, 9)
		var got []uint64
		for range 5 {
			for m := range sub.Messages(t.Context()) {
				got = append(got, count(t, m))
				if sub.Buffered() != (len(got) < 10) {
					t.Errorf("after %d messages buffered is %v", len(got), sub.Buffered())
				}
				if len(got)%2 == 0 {
					break
				}
			}
		}
		if !slices.Equal(got, []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) || sub.Stats().Received != 10 {
			t.Errorf("got %v; %+v", got, sub.Stats())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range sub.Messages(ctx) {
			t.Error("a message")
		}
		if ctx.Err() == nil || sub.Err() != nil {
			t.Errorf("%v, %v", ctx.Err(), sub.Err())
		}
		time.AfterFunc(time.Second, sub.Close)
		for range sub.Messages(t.Context()) { // ends by itself
			t.Error("a message")
		}
		if !errors.Is(sub.Err(), endpoint.ErrClosed) {
			t.Errorf("error %v", sub.Err())
		}
		sub.Close() // once more does no harm
		send(10, 10)
		if dropped := node.Peers()[0].Dropped; dropped[endpoint.DropNoSubscriber] != 1 {
			t.Errorf("dropped %v", dropped)
		}
	})
}

// Two goroutines cannot read from one subscription.
func TestOneReader(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		sub := subscribe(t, n.node(t), []string{"/x"})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for range sub.Messages(ctx) {
			}
		}()
		synctest.Wait()
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		for range sub.Messages(ctx) {
		}
	})
}

// A subscription with statuses begins with the peers that are there, their filters as they are now.
func TestStatusBeginsWithPeers(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		addr := listen(t, node)
		want := map[wire.EndpointID]string{}
		for i := range 5 {
			p := n.dialRaw(t, addr, wire.NewEndpointID(), "/old")
			want[p.id] = fmt.Sprintf("/new/%d", i)
			p.write(t, wire.AppendRoutingUpdate(nil, p.id, node.ID(), []string{want[p.id]}))
		}
		n.dialRaw(t, addr, wire.NewEndpointID()).Close()
		synctest.Wait()
		sub := subscribe(t, node, nil, endpoint.WithStatus())
		for _, s := range statusesOf(t, sub) {
			if s.Code != endpoint.PeerAdded || s.Dialed || len(s.Filter) != 1 || s.Filter[0] != want[s.Peer] {
				t.Errorf("%v, filter %q", s, s.Filter)
			}
			delete(want, s.Peer)
		}
		if len(want) > 0 {
			t.Errorf("not told of %v", want)
		}
		if without := statusesOf(t, subscribe(t, node, []string{"/x"})); len(without) > 0 {
			t.Errorf("statuses for who does not ask for them: %v", without)
		}
	})
}

// A topic that would keep real nodes from creating their stores is refused, unless it is meant.
func TestBlockingTopics(t *testing.T) {
	node := newEndpoint(t)
	for _, topic := range []string{"", "zeek/", "zeek/known/hosts/<$>/data/master"} {
		var blocks *endpoint.BlocksStoresError
		if _, err := node.Subscribe([]string{"/x", topic}); !errors.As(err, &blocks) || blocks.Topic != topic {
			t.Errorf("%q: %v", topic, err)
		}
		subscribe(t, node, []string{topic}, endpoint.AllowBlockingStores()).Close()
	}
}

// BenchmarkSubscribe10000: ten thousand subscriptions one by one, and ten peers that are told.
func BenchmarkSubscribe10000(b *testing.B) {
	all := topics(10_000)
	for b.Loop() {
		b.StopTimer()
		node := newEndpoint(b)
		addr := listen(b, node)
		for range 10 {
			p := dialRaw(b, addr)
			go io.Copy(io.Discard, p.r)
		}
		if err := node.WaitPeers(b.Context(), 10); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		for i := range all {
			subscribe(b, node, all[i:i+1])
		}
	}
}

func TestAlone(t *testing.T) {
	node := newEndpoint(t)
	first := subscribe(t, node, []string{"/a"}, endpoint.Alone("a"))
	if _, err := node.Subscribe([]string{"/b"}, endpoint.Alone("a")); !errors.Is(err, endpoint.ErrSubscribed) {
		t.Errorf("a second subscription with the same claim: %v", err)
	}
	subscribe(t, node, []string{"/a"}, endpoint.Alone("b"))
	subscribe(t, node, []string{"/a"})
	first.Close()
	subscribe(t, node, []string{"/a"}, endpoint.Alone("a"))
}
