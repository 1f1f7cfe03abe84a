package prom

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come. It is there to fail and not to hang.
const patience = time.Minute

func newNode(t *testing.T) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(endpoint.WithRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	return e
}

func listen(t *testing.T, e *endpoint.Endpoint) string {
	t.Helper()
	addr, err := e.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return addr.String()
}

func peer(t *testing.T, from *endpoint.Endpoint, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := from.Peer(addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

// values gathers a registry: each series, as name{label="value",...}, with its value.
func values(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

// TestHandler: what is served is what Prometheus reads, with the names that it and Broker's users
// expect.
func TestHandler(t *testing.T) {
	a, b := newNode(t), newNode(t)
	peer(t, a, listen(t, b))
	sub, err := b.Subscribe([]string{"/t"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := 0; n == 0; { // until the subscription has arrived
		if ctx.Err() != nil {
			t.Fatal("nobody is subscribed")
		}
		if n, err = a.PublishEvent(ctx, "/t/\xff", "ping", data.Count(7)); err != nil {
			t.Fatal(err)
		}
	}
	for range sub.Messages(ctx) {
		break
	}
	server := httptest.NewServer(Handler(b, WithTopics(5)))
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	size := b.Stats().BytesIn
	for _, line := range []string{
		"broker_connections 1",
		`broker_processed_messages_total{type="data"} 1`,
		`broker_processed_messages_total{type="routing-update"} 0`,
		`zeekpeer_frames_total{direction="in"} 1`,
		fmt.Sprintf(`zeekpeer_bytes_total{direction="in"} %d`, size),
		`zeekpeer_dropped_messages_total{reason="queue full"} 0`,
		fmt.Sprintf(`zeekpeer_peer_bytes_total{direction="in",peer="%v"} %d`, a.ID(), size),
		fmt.Sprintf(`zeekpeer_peer_queued_messages{peer="%v"} 0`, a.ID()),
		`zeekpeer_peer_frames_total{direction="in",peer="other"} 0`,
		`zeekpeer_topic_messages_total{direction="in",topic="/t/\\xff"} 1`,
		fmt.Sprintf(`zeekpeer_topic_bytes_total{direction="in",topic="/t/\\xff"} %d`, size),
		"go_goroutines ", "process_start_time_seconds ",
	} {
		if !strings.Contains(string(body), "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
	if t.Failed() {
		t.Logf("%s", body)
	}
	server.Client().CloseIdleConnections()
}

// TestLint: names, help and types are as Prometheus wants them, and what is described is collected.
func TestLint(t *testing.T) {
	a, b := newNode(t), newNode(t)
	peer(t, a, listen(t, b))
	c := NewCollector(b, WithTopics(3))
	problems, err := testutil.CollectAndLint(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}

// TestCardinality: however many peers there are and were, the number of series is bounded, and no
// counter goes back, not even when peers come, go and come again.
func TestCardinality(t *testing.T) {
	const limit, all = 3, 8
	hub := newNode(t)
	addr := listen(t, hub)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(hub, WithMaxPeers(limit)))
	before := values(t, registry)
	check := func(when string, named int) {
		t.Helper()
		now := values(t, registry)
		labels := make(map[string]bool)
		for name, v := range now {
			if strings.HasPrefix(name, "zeekpeer_peer_queued_messages{") {
				labels[name] = true
			}
			own := strings.Contains(name, "peer=") && !strings.Contains(name, OtherPeers)
			if was, ok := before[name]; ok && !own && strings.Contains(name, "_total") && v < was {
				t.Errorf("%s: %s goes back from %v to %v", when, name, was, v)
			}
		}
		if len(labels) != named+1 { // and the others
			t.Errorf("%s: %d labels: %v", when, len(labels), slices.Sorted(maps.Keys(labels)))
		}
		// Nothing is counted twice or lost.
		sum := 0.0
		for name, v := range now {
			if strings.HasPrefix(name, `zeekpeer_peer_frames_total{direction="in"`) {
				sum += v
			}
		}
		if total := now[`zeekpeer_frames_total{direction="in"}`]; sum > total {
			t.Errorf("%s: %v frames of peers, %v in all", when, sum, total)
		}
		before = now
	}
	check("before", 0)
	var nodes []*endpoint.Endpoint
	for range all {
		e := newNode(t)
		nodes = append(nodes, e)
		peer(t, e, addr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := hub.WaitPeers(ctx, all); err != nil {
		t.Fatal(err)
	}
	check("all there", limit)
	for i, e := range nodes {
		if err := e.Close(ctx); err != nil {
			t.Fatal(err)
		}
		for hub.Stats().Peers >= all-i {
			if ctx.Err() != nil {
				t.Fatal("the peer is still there")
			}
			runtime.Gosched()
		}
		check("one less", min(limit, namedAfter(hub, before)))
	}
	check("all gone", 0)
	e := newNode(t)
	peer(t, e, addr)
	if err := hub.WaitPeers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	check("one again", 1)
}

// namedAfter returns how many of the peers with a label of their own are still there.
func namedAfter(hub *endpoint.Endpoint, before map[string]float64) (n int) {
	for _, p := range hub.Peers() {
		if _, ok := before[fmt.Sprintf(`zeekpeer_peer_queued_messages{peer="%v"}`, p.ID)]; ok {
			n++
		}
	}
	return n
}

// TestAttribution: in any history of peers, the counters of the others never go back, the sum is the
// total, and what a peer with a label had is not counted again as the others' when it goes.
func TestAttribution(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		a := attribution{max: 2}
		id := func(p endpoint.PeerInfo) string { return p.ID.String()[:2] }
		ids := []wire.EndpointID{{1}, {2}, {3}, {4}}
		live := make(map[wire.EndpointID]*endpoint.PeerInfo)
		var ended, others, byName uint64
		for step := range 300 {
			switch x := ids[r.IntN(len(ids))]; {
			case live[x] == nil:
				live[x] = &endpoint.PeerInfo{ID: x, Since: time.Unix(int64(step), 0)}
			case r.IntN(4) == 0:
				ended += live[x].FramesIn
				delete(live, x)
			default:
				live[x].FramesIn += r.Uint64N(1000)
			}
			if r.IntN(3) > 0 {
				continue // nobody looks
			}
			var peers []endpoint.PeerInfo
			total := ended
			for _, p := range live {
				peers = append(peers, *p)
				total += p.FramesIn
			}
			slices.SortFunc(peers, func(a, b endpoint.PeerInfo) int { return a.ID.Compare(b.ID) })
			totals := countersOf(total, 0, 0, 0, nil)
			all := a.update(peers, &totals, id)
			now := all[len(all)-1].counters.frames[0]
			if now < others {
				t.Fatalf("seed %d, step %d: the others go back from %d to %d", seed, step, others, now)
			}
			if len(all) > 3 {
				t.Fatalf("seed %d, step %d: %d series", seed, step, len(all))
			}
			byName = a.given.frames[0]
			if now+byName != total {
				t.Fatalf("seed %d, step %d: %d of the others and %d by name are not %d", seed, step, now, byName, total)
			}
			others = now
		}
		if others == 0 || byName == 0 {
			t.Errorf("seed %d: %d of the others, %d by name", seed, others, byName)
		}
	}
}

// TestLabels: peers of one label are added up; "other" is nobody's name.
func TestLabels(t *testing.T) {
	a := attribution{max: 10}
	peers := []endpoint.PeerInfo{
		{ID: wire.EndpointID{1}, FramesIn: 3, Queued: 1}, {ID: wire.EndpointID{2}, FramesIn: 4, Queued: 1}, {ID: wire.EndpointID{3}, FramesIn: 5, Queued: 1},
	}
	total := countersOf(12, 0, 0, 0, nil)
	all := a.update(peers, &total, func(p endpoint.PeerInfo) string {
		if p.ID[0] == 3 {
			return OtherPeers
		}
		return "host\xff"
	})
	if len(all) != 2 || all[0].label != "host?" || all[0].counters.frames[0] != 7 || all[0].queued != 2 || all[1].counters.frames[0] != 5 || all[1].queued != 1 {
		t.Errorf("%+v, %+v", all[0], all[len(all)-1])
	}
}
