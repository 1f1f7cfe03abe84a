package endpoint_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// Traffic is counted by topic: what comes in whoever is subscribed, what goes out once however many
// receive it, and not at all if nobody does.
func TestTopics(t *testing.T) {
	node := newEndpoint(t)
	if _, err := node.Subscribe([]string{"/in/yes"}); err != nil {
		t.Fatal(err)
	}
	addr := listen(t, node)
	p, q := dialRaw(t, addr, "/out"), dialRaw(t, addr, "/out")
	if err := node.WaitPeers(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	in := func(topic string) []byte { return p.data(topic, anEvent) }
	p.write(t, in("/in/yes"), in("/in/yes"), in("/in/no"), in("/in/yes"))
	p.write(t, wire.AppendEnvelope(nil, wire.Envelope{Sender: p.id, Receiver: q.id, Type: wire.TypeData, TTL: 1, Topic: []byte("/in/other"), Payload: anEvent}))
	p.answered(t)
	large := data.AppendString(nil, strings.Repeat("x", 200_000))
	for _, payload := range [][]byte{anEvent, anEvent, large} {
		if n, err := node.PublishPayload(t.Context(), "/out/all", payload); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	}
	if n, err := node.PublishPayload(t.Context(), "/nobody", anEvent); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if ok, err := node.PublishTo(t.Context(), p.id, "/out/one", anEvent); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, each := range []*rawPeer{p, q} {
		for range 3 {
			if _, err := each.readFrame(); err != nil {
				t.Fatal(err)
			}
		}
	}
	size := func(topic string, payload []byte) uint64 { return uint64(len(p.data(topic, payload))) }
	want := []endpoint.TopicTraffic{
		{Topic: "/in/no", MessagesIn: 1, BytesIn: size("/in/no", anEvent)},
		{Topic: "/in/other", MessagesIn: 1, BytesIn: size("/in/other", anEvent)},
		{Topic: "/in/yes", MessagesIn: 3, BytesIn: 3 * size("/in/yes", anEvent)},
		{Topic: "/nobody"},
		{Topic: "/out/all", MessagesOut: 3, BytesOut: 2*size("/out/all", anEvent) + size("/out/all", large)},
		{Topic: "/out/one", MessagesOut: 1, BytesOut: size("/out/one", anEvent)},
	}
	if diff := cmp.Diff(want, node.Topics()); diff != "" {
		t.Error(diff)
	}
}

// Topics without end, and topics of any length, cost no more than those that are counted one by one.
func TestTopicsBounded(t *testing.T) {
	node := newEndpoint(t)
	p := dialRaw(t, listen(t, node))
	const n = 3000
	for i := range n {
		p.write(t, p.data(fmt.Sprintf("/%d", i), anEvent))
	}
	p.write(t, p.data(strings.Repeat("x", 60_000), anEvent), p.data("/0", anEvent))
	p.answered(t)
	topics := node.Topics()
	other := topics[len(topics)-1]
	if len(topics) != 1025 || other.Topic != endpoint.OtherTopics || other.MessagesIn != n+1-1024 {
		t.Errorf("%d topics, the last %+v", len(topics), other)
	}
	if topics[0].Topic != "/0" || topics[0].MessagesIn != 2 {
		t.Errorf("first %+v", topics[0])
	}
}

// The counters of a node include the peers that are gone, and never go back while peers come and go.
func TestStats(t *testing.T) {
	node := newEndpoint(t)
	statuses, err := node.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	small, err := node.Subscribe([]string{"/in"}, endpoint.WithQueue(endpoint.QueueLimits{Messages: 5}))
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, node)
	stop := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		var before endpoint.Stats
		for {
			select {
			case <-stop:
				return
			default:
			}
			now := node.Stats()
			if now.FramesIn < before.FramesIn || now.BytesIn < before.BytesIn || now.FramesOut < before.FramesOut ||
				now.BytesOut < before.BytesOut || now.PeeringsEnded < before.PeeringsEnded {
				t.Errorf("from %+v to %+v", before, now)
				return
			}
			for reason, n := range before.Dropped {
				if now.Dropped[reason] < n {
					t.Errorf("%v from %d to %d", reason, n, now.Dropped[reason])
					return
				}
			}
			before = now
		}
	})
	const rounds, each = 20, 50
	next := statusReader(t, statuses)
	var last endpoint.Stats
	for range rounds {
		p := dialRaw(t, addr, "/out")
		for range each {
			p.write(t, p.data("/in", anEvent), p.data("/nobody", anEvent), frame(1))
		}
		p.answered(t)
		if s := next(); s.Code != endpoint.PeerAdded {
			t.Fatal(s)
		}
		if n, err := node.PublishPayload(t.Context(), "/out", anEvent); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if _, err := p.readFrame(); err != nil {
			t.Fatal(err)
		}
		p.Close()
		s := next()
		if s.Code != endpoint.PeerLost {
			t.Fatal(s)
		}
		last.FramesIn += s.Last.FramesIn
		last.BytesIn += s.Last.BytesIn
		last.BytesOut += s.Last.BytesOut
	}
	close(stop)
	watcher.Wait()
	check := func() {
		t.Helper()
		got := node.Stats()
		if got.FramesIn != last.FramesIn || got.FramesIn != rounds*(3*each+1) || got.BytesIn != last.BytesIn || got.BytesOut != last.BytesOut {
			t.Errorf("stats %+v, the peers' %+v", got, last)
		}
		want := endpoint.Stats{FramesIn: got.FramesIn, BytesIn: got.BytesIn, BytesOut: got.BytesOut,
			FramesOut: rounds, PeeringsEnded: rounds,
			Processed: map[wire.MessageType]uint64{
				wire.TypeData: rounds * (2*each + 1), wire.TypeCommand: 0, wire.TypeRoutingUpdate: 0, wire.TypePing: rounds, wire.TypePong: 0,
			},
			Dropped: map[endpoint.DropReason]uint64{
				endpoint.DropSubscriberFull: rounds*each - 5, endpoint.DropNoSubscriber: rounds * each, endpoint.DropMalformed: rounds * each,
			}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	check()
	small.Close()
	check() // what it lost is not forgotten
	if p, err := node.Peer("127.0.0.1:1", endpoint.RetryEvery(0)); err != nil {
		t.Fatal(err)
	} else if _, err := p.Wait(t.Context()); err == nil {
		t.Fatal("port 1")
	}
	if got := node.Stats().DialsFailed; got != 1 {
		t.Errorf("%d dials failed", got)
	}
}
