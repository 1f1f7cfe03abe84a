package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

func subscribe(t testing.TB, e *endpoint.Endpoint, topics []string, opts ...endpoint.SubscribeOption) *endpoint.Subscription {
	t.Helper()
	sub, err := e.Subscribe(topics, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// publish publishes a count and fails the test unless it is queued for so many.
func publish(t testing.TB, e *endpoint.Endpoint, topic string, n uint64, receivers int) {
	t.Helper()
	if got, err := e.Publish(t.Context(), topic, data.Count(n)); got != receivers || err != nil {
		t.Fatalf("publish %s: queued for %d, %v; want %d", topic, got, err, receivers)
	}
}

// count returns the number that a message of these tests carries.
func count(t testing.TB, m endpoint.Message) (n uint64) {
	t.Helper()
	v, err := m.Value()
	if err != nil {
		t.Fatalf("%s: %v", m.Topic(), err)
	}
	n, ok := v.AsCount()
	if !ok {
		t.Fatalf("%s: got %v, want a count", m.Topic(), v)
	}
	return n
}

// envelope returns a frame of p with a count.
func (p *rawPeer) envelope(receiver wire.EndpointID, ttl uint16, topic string, n uint64) []byte {
	return wire.AppendEnvelope(nil, wire.Envelope{
		Sender: p.id, Receiver: receiver, Type: wire.TypeData, TTL: ttl, Topic: []byte(topic), Payload: data.AppendCount(nil, n),
	})
}

func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// A subscription is a prefix, byte by byte, at the publisher as at the subscriber, and a message comes
// once however many of its topics match.
func TestPrefixes(t *testing.T) {
	published := []string{"/a", "/ab", "/a/b/c", "/b", "/", "a", "", "/A"}
	for _, c := range []struct{ topics, want []string }{
		{[]string{"/a"}, []string{"/a", "/ab", "/a/b/c"}},
		{[]string{"/a/"}, []string{"/a/b/c"}},
		{[]string{"/a", "/a", "/a/b", "/ab"}, []string{"/a", "/ab", "/a/b/c"}},
		{[]string{"/a/b/c/d"}, nil},
		{[]string{"/b", "a"}, []string{"/b", "a"}},
		{[]string{""}, published},
		{nil, nil},
	} {
		t.Run(strings.Join(c.topics, ","), func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				node := n.node(t)
				sub := subscribe(t, node, c.topics, endpoint.AllowBlockingStores())
				addr := listen(t, node)
				// A real node sends what matches the filter, a raw peer sends everything.
				other := n.node(t)
				connect(t, other, addr)
				raw := n.dialRaw(t, addr, wire.NewEndpointID())
				for _, topic := range published {
					if _, err := other.Publish(t.Context(), topic, data.Count(1)); err != nil {
						t.Fatal(err)
					}
				}
				equal(t, "from a node", topicsOf(t, sub), c.want)
				for _, topic := range published {
					raw.write(t, raw.data(topic, data.AppendCount(nil, 1)))
				}
				equal(t, "from a raw peer", topicsOf(t, sub), c.want)
				if lost := node.Peers()[slices.IndexFunc(node.Peers(), func(p endpoint.PeerInfo) bool { return p.ID == raw.id })].Dropped[endpoint.DropNoSubscriber]; int(lost) != len(published)-len(c.want) {
					t.Errorf("%d dropped for want of a subscriber", lost)
				}
			})
		})
	}
}

// A message comes to each subscription that matches.
func TestSeveralSubscriptions(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		a, b := n.pair(t)
		first, second, other := subscribe(t, b, []string{"/x"}), subscribe(t, b, []string{"/x/y"}), subscribe(t, b, []string{"/z"})
		time.Sleep(time.Second) // until the last filter is announced
		publish(t, a, "/x/y", 1, 1)
		publish(t, a, "/x/z", 2, 1)
		equal(t, "/x", topicsOf(t, first), []string{"/x/y", "/x/z"})
		equal(t, "/x/y", topicsOf(t, second), []string{"/x/y"})
		equal(t, "/z", topicsOf(t, other), nil)
		first.Close()
		time.Sleep(time.Second)
		publish(t, a, "/x/y", 3, 1)
		publish(t, a, "/x/z", 4, 0)
		equal(t, "/x/y", topicsOf(t, second), []string{"/x/y"})
	})
}

// What a peer sends is delivered if it is for everybody or for this node.
func TestReceivers(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		sub := subscribe(t, node, []string{"/test"})
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
		var everybody wire.EndpointID
		raw.write(t,
			raw.envelope(everybody, 16, "/test/everybody", 1),
			raw.envelope(node.ID(), 16, "/test/us", 2),
			raw.envelope(wire.NewEndpointID(), 16, "/test/other", 3),
			raw.envelope(raw.id, 16, "/test/itself", 4),
			raw.envelope(everybody, 0, "/test/ttl", 5), // the TTL is the forwarders' concern
		)
		var got []string
		for _, ev := range arrived(t, sub) {
			m := ev.Message
			got = append(got, fmt.Sprint(m.Topic(), " ", m.Direct(), m.Type(), count(t, m), m.Sender() == raw.id, m.Len()))
		}
		equal(t, "messages", got, []string{"/test/everybody false data 1 true 65", "/test/us true data 2 true 58", "/test/ttl false data 5 true 59"})
		info := node.Peers()[0]
		if info.Dropped[endpoint.DropNotForUs] != 2 || len(info.Dropped) != 1 {
			t.Errorf("dropped %v", info.Dropped)
		}
		if info.FramesIn != 5 {
			t.Errorf("%d frames counted", info.FramesIn)
		}
	})
}

// PublishTo reaches its peer and nobody else, whoever is subscribed, and keeps its place among what
// is published.
func TestPublishTo(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		addr := listen(t, node)
		deaf, other := n.dialRaw(t, addr, wire.NewEndpointID(), "/shared"), n.dialRaw(t, addr, wire.NewEndpointID(), "/")
		to := func(topic string, id wire.EndpointID, payload []byte, want bool) error {
			queued, err := node.PublishTo(t.Context(), id, topic, payload)
			if queued != want {
				t.Errorf("%s to %v: queued is %v", topic, id, queued)
			}
			return err
		}
		one := data.AppendCount(nil, 1)
		publish(t, node, "/shared/1", 1, 2)
		publish(t, node, "/shared/2", 2, 2)
		if err := to("/direct", deaf.id, one, true); err != nil {
			t.Error(err)
		}
		publish(t, node, "/shared/3", 3, 2)
		var got []string
		for _, e := range deaf.received(t) {
			got = append(got, fmt.Sprint(e.Type, " ", string(e.Topic), " ", e.Receiver == deaf.id, e.Sender == node.ID(), e.TTL))
		}
		equal(t, "received", got, []string{
			"data /shared/1 false true 16", "data /shared/2 false true 16", "data /direct true true 16", "data /shared/3 false true 16",
		})
		equal(t, "at the other", other.messages(t), []string{"/shared/1", "/shared/2", "/shared/3"})

		if err := to("/direct", wire.NewEndpointID(), one, false); err != nil {
			t.Error(err) // nobody by that name: not queued, and no error
		}
		if err := to("/direct", deaf.id, []byte{99}, false); !errors.Is(err, data.ErrKind) {
			t.Errorf("invalid payload: %v", err)
		}
		if err := to("<$>/local/x", deaf.id, one, false); !errors.Is(err, endpoint.ErrTopic) {
			t.Errorf("local topic: %v", err)
		}
		if got := deaf.messages(t); len(got) > 0 {
			t.Errorf("sent %q", got)
		}
	})
}

// What a node publishes comes to its own subscriptions only if they ask for it, then in the order of
// publication, and counts as one more receiver.
func TestLoopback(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		a, b := n.node(t), n.node(t)
		addr := listen(t, a)
		plain, loop := subscribe(t, a, []string{"/x"}), subscribe(t, a, []string{"/x"}, endpoint.WithLoopback())
		remote := subscribe(t, b, []string{"/x/both"})
		publish(t, a, "/x/nobody", 0, 1)
		connect(t, b, addr)
		synctest.Wait()
		want := []string{"/x/nobody"}
		for i := range uint64(100) {
			publish(t, a, "/x/both", i, 2)
			publish(t, a, "/x/own", i, 1)
			publish(t, a, "/y", i, 0)
			want = append(want, "/x/both", "/x/own")
		}
		equal(t, "loopback", topicsOf(t, loop), want)
		equal(t, "without", topicsOf(t, plain), nil)
		if got := topicsOf(t, remote); len(got) != 100 {
			t.Errorf("%d messages at the peer", len(got))
		}
		// What peers send comes to both.
		publish(t, b, "/x/from-b", 1, 1)
		equal(t, "loopback", topicsOf(t, loop), []string{"/x/from-b"})
		equal(t, "without", topicsOf(t, plain), []string{"/x/from-b"})
	})
}

// Topics under <$>/local/ do not leave the node: they are in no filter and cannot be published to.
func TestLocalTopics(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		subscribe(t, node, []string{"<$>/local/data/statuses", "/x", "/x/y"})
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID(), "")
		equal(t, "filter in the handshake", raw.filter, []string{"/x"})
		subscribe(t, node, []string{"<$>/local/other", "/a"})
		subscribe(t, node, []string{"<$>/lo"})
		time.Sleep(time.Second)
		var filter []string
		for _, e := range raw.received(t) {
			var err error
			if filter, err = wire.ParseFilter(e.Payload); err != nil || e.Type != wire.TypeRoutingUpdate || e.Receiver != raw.id || string(e.Topic) != "<$>" {
				t.Errorf("%+v, %v", e, err)
			}
		}
		equal(t, "filter in the routing update", filter, []string{"/a", "/x", "<$>/lo"})
		if n, err := node.Publish(t.Context(), "<$>/local/x", data.Count(1)); n != 0 || !errors.Is(err, endpoint.ErrTopic) {
			t.Errorf("queued for %d, %v", n, err)
		}
		if got := raw.messages(t); len(got) > 0 {
			t.Errorf("%q left the node", got)
		}
	})
}

// A routing update replaces the peer's filter, whatever it was; the last one wins.
func TestFilterReplaced(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID(), "/a", "/b")
		update := func(filter ...string) []byte { return wire.AppendRoutingUpdate(nil, raw.id, node.ID(), filter) }
		for _, c := range []struct {
			updates [][]byte
			want    []string // what the peer gets of /a, /b, /c
		}{
			{nil, []string{"/a", "/b"}},
			{[][]byte{update("/c")}, []string{"/c"}},
			{[][]byte{update("/a"), update(), update("/b")}, []string{"/b"}},
			{[][]byte{update("/a", "/a", "/a/b", "/c/d")}, []string{"/a"}},
			{[][]byte{update()}, nil},
			{[][]byte{update("")}, []string{"/a", "/b", "/c"}},
			{[][]byte{update("/b", "/c")}, []string{"/b", "/c"}},
		} {
			raw.write(t, c.updates...)
			synctest.Wait()
			for _, topic := range []string{"/a", "/b", "/c"} {
				receivers := 0
				if slices.Contains(c.want, topic) {
					receivers = 1
				}
				publish(t, node, topic, 1, receivers)
			}
			equal(t, "received", raw.messages(t), c.want)
		}
	})
}

// The longest topic is carried; one byte more is refused everywhere.
func TestTopicLength(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		longest := "/" + strings.Repeat("x", wire.MaxTopicLen-1)
		a, b := n.node(t), n.node(t)
		sub := subscribe(t, b, []string{longest})
		connect(t, b, listen(t, a))
		synctest.Wait()
		publish(t, a, longest, 1, 1)
		if got := topicsOf(t, sub); len(got) != 1 || got[0] != longest {
			t.Errorf("%d messages", len(got))
		}
		for what, try := range map[string]func() error{
			"subscribe":       func() error { _, err := a.Subscribe([]string{"/x", longest + "x"}); return err },
			"publish":         func() error { _, err := a.Publish(t.Context(), longest+"x", data.Count(1)); return err },
			"publish event":   func() error { _, err := a.PublishEvent(t.Context(), longest+"x", "e"); return err },
			"publish payload": func() error { _, err := a.PublishPayload(t.Context(), longest+"x", []byte{0}); return err },
			"publish to":      func() error { _, err := a.PublishTo(t.Context(), b.ID(), longest+"x", []byte{0}); return err },
		} {
			if err := try(); !errors.Is(err, endpoint.ErrTopic) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// deep returns a value of that many vectors in each other.
func deep(depth int) data.Value {
	v := data.Count(1)
	for range depth {
		v = data.Vector(v)
	}
	return v
}

// No way of publishing sends what a receiver cannot read.
func TestPublishUnreadable(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		sub := subscribe(t, node, []string{"/x"}, endpoint.WithLoopback())
		for name, c := range map[string]struct {
			payload []byte
			want    error
		}{
			"kind":      {[]byte{15}, data.ErrKind},
			"trailing":  {[]byte{0, 0}, data.ErrTrailing},
			"truncated": {[]byte{byte(data.KindVector), 3}, data.ErrTruncated},
			"nothing":   {nil, data.ErrTruncated},
			"depth":     {nested(data.MaxDepth + 1), data.ErrDepth},
		} {
			if got, err := node.PublishPayload(t.Context(), "/x", c.payload); got != 0 || !errors.Is(err, c.want) {
				t.Errorf("%s: queued for %d, %v", name, got, err)
			}
		}
		if got := arrived(t, sub); len(got) > 0 {
			t.Fatalf("%d messages", len(got))
		}
		// Right at the bound: what is taken can be read, and what cannot is not taken.
		for depth := data.MaxDepth - 10; depth < data.MaxDepth+10; depth++ {
			for name, publish := range map[string]func() (int, error){
				"publish": func() (int, error) { return node.Publish(t.Context(), "/x", deep(depth)) },
				"event":   func() (int, error) { return node.PublishEvent(t.Context(), "/x", "e", data.Count(1), deep(depth)) },
				"payload": func() (int, error) { return node.PublishPayload(t.Context(), "/x", nested(depth)) },
			} {
				queued, err := publish()
				got := arrived(t, sub)
				switch {
				case len(got) != queued || (err == nil) != (queued == 1) || err != nil && !errors.Is(err, data.ErrDepth):
					t.Errorf("%s at depth %d: queued for %d, %v, and %d came", name, depth, queued, err, len(got))
				case queued == 1:
					if _, err := got[0].Message.Value(); err != nil {
						t.Errorf("%s at depth %d was published: %v", name, depth, err)
					}
				case name != "event" && depth <= data.MaxDepth:
					t.Errorf("%s at depth %d refused: %v", name, depth, err)
				}
			}
		}
	})
}

// The bounds of data and of commands hold for each frame, also for one that begins like the one before.
func TestFrameLimits(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t, endpoint.WithMaxFrame(2000, 5000))
		sub := subscribe(t, node, []string{"/x"}, endpoint.WithCommands())
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
		message := func(kind wire.MessageType, size int) []byte {
			return wire.AppendEnvelope(nil, wire.Envelope{Sender: raw.id, Type: kind, TTL: 16, Topic: []byte("/x"), Payload: make([]byte, size)})
		}
		raw.write(t, slices.Concat(
			message(wire.TypeData, 1500), message(wire.TypeData, 3000), message(wire.TypeData, 1501),
			message(wire.TypeCommand, 1500), message(wire.TypeCommand, 3001)))
		var got []string
		for _, ev := range arrived(t, sub) {
			got = append(got, fmt.Sprint(ev.Message.Type(), " ", len(ev.Message.Payload())))
		}
		equal(t, "messages", got, []string{"data 1500", "data 1501", "command 1500", "command 3001"})
		if dropped := node.Peers()[0].Dropped; dropped[endpoint.DropMalformed] != 1 {
			t.Errorf("dropped %v", dropped)
		}
	})
}

// Commands of stores come to subscriptions that ask for them.
func TestCommands(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		node := n.node(t)
		with, without := subscribe(t, node, []string{"/x"}, endpoint.WithCommands()), subscribe(t, node, []string{"/x"})
		raw := n.dialRaw(t, listen(t, node), wire.NewEndpointID())
		for _, kind := range []wire.MessageType{wire.TypeCommand, wire.TypeData, wire.TypeCommand} {
			raw.write(t, wire.AppendEnvelope(nil, wire.Envelope{Sender: raw.id, Type: kind, TTL: 16, Topic: []byte("/x/" + kind.String()), Payload: []byte{1}}))
		}
		equal(t, "with commands", topicsOf(t, with), []string{"/x/command", "/x/data", "/x/command"})
		equal(t, "without", topicsOf(t, without), []string{"/x/data"})
	})
}

// A message is garbage outside its iteration of the loop, and a clone is not. Under the race detector
// memory is overwritten as soon as it is given back.
func TestClone(t *testing.T) {
	a, b := newEndpoint(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Policy: endpoint.Block})), newEndpoint(t)
	var publisher sync.WaitGroup
	defer publisher.Wait()
	sub := subscribe(t, b, []string{"/x"}, endpoint.WithQueue(endpoint.QueueLimits{Policy: endpoint.Block, Messages: 1000}))
	connect(t, b, listen(t, a))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.WaitPeers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	const n, every = 20_000, 50
	text := strings.Repeat("some text ", 20)
	publisher.Go(func() {
		for i := range n {
			if got, err := a.PublishEvent(ctx, fmt.Sprintf("/x/%d", i/7), "event", data.Count(uint64(i)), data.String(text)); got != 1 || err != nil {
				t.Errorf("queued for %d, %v", got, err)
				return
			}
		}
	})
	var kept []endpoint.Message
	seen := 0
	for m := range sub.Messages(ctx) {
		if seen%every == 0 {
			kept = append(kept, m.Clone())
		}
		if seen++; seen == n {
			break
		}
	}
	for i, m := range kept {
		ev, err := m.Event()
		if err != nil {
			t.Fatalf("clone %d: %v", i, err)
		}
		if number, _ := ev.Args[0].AsCount(); number != uint64(i*every) || !ev.Args[1].Equal(data.String(text)) || m.Topic() != fmt.Sprintf("/x/%d", i*every/7) || m.Sender() != a.ID() {
			t.Fatalf("clone %d: %v %v %v", i, m.Topic(), ev.Name, number)
		}
	}
	if len(kept) != n/every {
		t.Errorf("%d clones of %d messages", len(kept), seen)
	}
}

// Several goroutines of several peers publish; each one's messages arrive in its order, none is lost
// and none comes twice, whatever becomes of the topics that they change between.
func TestOrder(t *testing.T) {
	const peers, publishers, each = 3, 3, 3000
	node := newEndpoint(t)
	sub := subscribe(t, node, []string{"/x", "/x/1"}, endpoint.WithQueue(endpoint.QueueLimits{Policy: endpoint.Block, Messages: 500}))
	addr := listen(t, node)
	var senders sync.WaitGroup
	defer senders.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range peers {
		e := newEndpoint(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Policy: endpoint.Block, Messages: 300}))
		connect(t, e, addr)
		for p := range publishers {
			senders.Go(func() {
				for i := range uint64(each) {
					topic := fmt.Sprintf("/x/%d", i/10%3)
					if got, err := e.PublishEvent(ctx, topic, "e", data.Count(uint64(p)), data.Count(i)); got != 1 || err != nil {
						t.Errorf("queued for %d, %v", got, err)
						return
					}
				}
			})
		}
	}
	next := make(map[string]uint64)
	seen := 0
	for m := range sub.Messages(ctx) {
		ev, err := m.EventView()
		if err != nil {
			t.Fatal(err)
		}
		from := fmt.Sprint(m.Sender(), ev.Args.Count())
		if got := ev.Args.Count(); got != next[from] {
			t.Fatalf("%s: %d, want %d", from, got, next[from])
		}
		next[from]++
		if seen++; seen == peers*publishers*each {
			break
		}
	}
	if seen != peers*publishers*each || sub.Stats().Received != uint64(seen) {
		t.Errorf("%d of %d messages; %+v", seen, peers*publishers*each, sub.Stats())
	}
}

// Peers come and go while they publish. In the one stream of events a peer is added before its first
// message, with its filter, and lost after its last; the messages of each are an unbroken beginning of
// what it sent; and of those that take leave nothing is missing.
func TestOneOrderedStream(t *testing.T) {
	const peers, lives = 8, 15
	node := newEndpoint(t)
	sub := subscribe(t, node, []string{"/x"}, endpoint.WithStatus(), endpoint.WithQueue(endpoint.QueueLimits{Policy: endpoint.Block, Messages: 200}))
	addr := listen(t, node)
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var mu sync.Mutex
	left := make(map[wire.EndpointID]uint64) // how much those sent that took leave
	for p := range peers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(p)))
			for range lives {
				id := wire.NewEndpointID()
				n, how := uint64(random.IntN(300)), random.IntN(4)
				filter := "/of/" + id.String()
				if how == 0 {
					vanish(t, addr, id, filter, n)
					continue
				}
				mu.Lock()
				left[id] = 2 * n
				mu.Unlock()
				leave(t, ctx, addr, id, filter, n, how)
			}
		})
	}

	type stream struct {
		seen uint64
		next [2]uint64
	}
	live := make(map[wire.EndpointID]*stream)
	over := make(map[wire.EndpointID]uint64)
	for ev := range sub.Events(ctx) {
		if s := ev.Status; s != nil {
			of := live[s.Peer]
			mu.Lock()
			_, leaves := left[s.Peer]
			mu.Unlock()
			switch {
			case s.Code == endpoint.PeerAdded && of == nil:
				if !slices.Equal(s.Filter, []string{"/of/" + s.Peer.String()}) {
					t.Errorf("%v with filter %q", s, s.Filter)
				}
				live[s.Peer] = new(stream)
			case s.Code == endpoint.PeerLost && of != nil:
				if errors.Is(s.Err, endpoint.ErrBye) != leaves {
					t.Errorf("%v, leaves: %v", s, leaves)
				}
				over[s.Peer] = of.seen
				delete(live, s.Peer)
			default:
				t.Fatalf("%v, is there: %v", s, of != nil)
			}
			if len(over) == peers*lives {
				break
			}
			continue
		}
		of := live[ev.Message.Sender()]
		if of == nil {
			t.Fatalf("a message of %v, who is no peer", ev.Message.Sender())
		}
		view, err := ev.Message.EventView()
		if err != nil {
			t.Fatal(err)
		}
		half, number := view.Args.Count(), view.Args.Count()
		if number != of.next[half] {
			t.Fatalf("message %d of %v, want %d", number, ev.Message.Sender(), of.next[half])
		}
		of.next[half]++
		of.seen++
	}
	if len(over) != peers*lives {
		t.Fatalf("%d of %d peers came and went: %v", len(over), peers*lives, ctx.Err())
	}
	for id, want := range left {
		if over[id] != want {
			t.Errorf("%d of %d messages of %v, who took leave", over[id], want, id)
		}
	}
}

// vanish peers with addr, sends n messages and drops the connection.
func vanish(t *testing.T, addr string, id wire.EndpointID, filter string, n uint64) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	p, err := shake(conn, handshake.Dialer, id, filter)
	if err != nil {
		t.Error(err)
		return
	}
	for i := range n {
		if _, err := p.Write(p.data("/x", zeek.AppendEvent(nil, "e", data.Count(0), data.Count(i)))); err != nil {
			t.Error(err)
			return
		}
	}
}

// leave peers with addr, publishes n messages twice from two goroutines, and takes leave.
func leave(t *testing.T, ctx context.Context, addr string, id wire.EndpointID, filter string, n uint64, how int) {
	e, err := endpoint.New(endpoint.WithSecurity(endpoint.PlainTCP()), endpoint.WithID(id), endpoint.WithPeerQueue(endpoint.QueueLimits{Policy: endpoint.Block}))
	if err != nil {
		t.Error(err)
		return
	}
	defer e.Close(ctx)
	if _, err := e.Subscribe([]string{filter}); err != nil {
		t.Error(err)
		return
	}
	peering, err := e.Peer(addr)
	if err != nil {
		t.Error(err)
		return
	}
	to, err := peering.Wait(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	var publishers sync.WaitGroup
	for half := range uint64(2) {
		publishers.Go(func() {
			for i := range n {
				if got, err := e.PublishEvent(ctx, "/x", "e", data.Count(half), data.Count(i)); got != 1 || err != nil {
					t.Errorf("queued for %d, %v", got, err)
					return
				}
			}
		})
	}
	publishers.Wait()
	switch how {
	case 1:
		peering.Unpeer(ctx)
	case 2:
		e.Unpeer(ctx, to) // and it dials again a second later, if it is not closed by then
	}
}
