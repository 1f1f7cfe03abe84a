package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func newEndpoint(t testing.TB, opts ...endpoint.Option) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(append([]endpoint.Option{endpoint.WithRetry(50 * time.Millisecond), endpoint.WithSecurity(endpoint.PlainTCP())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

func listen(t testing.TB, e *endpoint.Endpoint) string {
	t.Helper()
	addr, err := e.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return addr.String()
}

func connect(t testing.TB, from *endpoint.Endpoint, addr string) *endpoint.Peering {
	t.Helper()
	p, err := from.Peer(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPublishSubscribe(t *testing.T) {
	block := endpoint.QueueLimits{Policy: endpoint.Block}
	a, b := newEndpoint(t, endpoint.WithPeerQueue(block)), newEndpoint(t)
	sub, err := b.Subscribe([]string{"/test"}, endpoint.WithQueue(block))
	if err != nil {
		t.Fatal(err)
	}
	connect(t, b, listen(t, a))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.WaitPeers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	const n = 10_000
	go func() {
		for i := range n {
			if got, err := a.PublishEvent(ctx, "/test/x", "ping", data.Count(uint64(i))); got != 1 || err != nil {
				t.Errorf("queued for %d, %v", got, err)
				return
			}
		}
	}()
	want := uint64(0)
	for m := range sub.Messages(ctx) {
		ev, err := m.EventView()
		if err != nil || string(ev.Name) != "ping" || m.Topic() != "/test/x" || m.Sender() != a.ID() {
			t.Fatalf("%v %v", m.Topic(), err)
		}
		if got := ev.Args.Count(); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		if want++; want == n {
			break
		}
	}
	if want != n {
		t.Fatalf("%d of %d messages; %+v, %+v", want, n, sub.Stats(), a.Peers())
	}
}

func TestReconnect(t *testing.T) {
	b := newEndpoint(t)
	events, err := b.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	a := newEndpoint(t)
	addr := listen(t, a)
	connect(t, b, addr)
	if err := a.WaitPeers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := newEndpoint(t)
	if _, err := again.Listen(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var seen []string
	for ev := range events.Events(ctx) {
		if ev.Status.Code == endpoint.PeerUnavailable {
			continue
		}
		seen = append(seen, ev.Status.Code.String())
		if ev.Status.Code == endpoint.PeerLost && !errors.Is(ev.Status.Err, endpoint.ErrBye) {
			t.Errorf("lost: %v", ev.Status.Err)
		}
		if len(seen) == 3 {
			break
		}
	}
	if got := fmt.Sprint(seen); got != "[peer_added peer_lost peer_added]" {
		t.Error(got)
	}
}

func TestSimultaneousDials(t *testing.T) {
	for range 20 {
		a, b := newEndpoint(t), newEndpoint(t)
		addrA, addrB := listen(t, a), listen(t, b)
		pa, err := a.Peer(addrB)
		if err != nil {
			t.Fatal(err)
		}
		pb, err := b.Peer(addrA)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		for _, p := range []*endpoint.Peering{pa, pb} {
			if _, err := p.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if len(a.Peers()) != 1 || len(b.Peers()) != 1 {
			t.Fatalf("%d and %d peers", len(a.Peers()), len(b.Peers()))
		}
		if _, err := a.Ping(ctx, b.ID()); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}

func TestSelf(t *testing.T) {
	a := newEndpoint(t)
	p, err := a.Peer(listen(t, a), endpoint.RetryEvery(0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := p.Wait(ctx); err == nil {
		t.Fatal("peered with itself")
	} else {
		t.Log(err)
	}
}
