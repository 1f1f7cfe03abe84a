package bridge

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	gorilla "github.com/gorilla/websocket"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/websocket"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// recorded returns all values of the recordings of the reference that JSON can hold.
func recorded(t *testing.T) (values []data.Value) {
	t.Helper()
	for _, dir := range []string{"wire", "wire-2.8.0-dev.97", "wire-2.6.0", "wire-2.3.8"} {
		file, err := os.Open("../../interop/testdata/" + dir + "/values.jsonl.gz")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		zip, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		for dec := json.NewDecoder(zip); dec.More(); {
			var row struct {
				Payload string `json:"payload_hex"`
			}
			if err := dec.Decode(&row); err != nil {
				t.Fatal(err)
			}
			if row.Payload == "" {
				continue
			}
			payload, err := hex.DecodeString(row.Payload)
			if err != nil {
				t.Fatal(err)
			}
			v, err := data.DecodeValue(payload)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
	}
	return values
}

// Every recorded value crosses in both directions and stays what it is; topics change as they should.
func TestBothWays(t *testing.T) {
	values := recorded(t)
	kinds := make(map[data.Kind]bool)
	for _, v := range values {
		kinds[v.Kind()] = true
	}
	if len(values) < 385 || len(kinds) != 15 {
		t.Fatalf("%d values of %d kinds", len(values), len(kinds))
	}
	zeekNode, here, there := newEndpoint(t), newEndpoint(t), newEndpoint(t)
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	peer(t, here, there)
	b, _ := connected(t, here, url, Config{})
	onZeek, onNative := subscribe(t, zeekNode, "zeek.", "zeek/cluster/"), subscribe(t, there, "zeek/cluster/")
	for i, v := range values {
		// A number in each, so that nothing is a loop.
		v := data.Vector(data.Count(uint64(i)), v)
		publish(t, there, fmt.Sprintf("zeek/cluster/node/%d/", i), v)
		onZeek.want(fmt.Sprintf("zeek.cluster.node.%d.", i), v)
		v = data.Vector(data.String("back"), v)
		publish(t, zeekNode, fmt.Sprintf("zeek.cluster.pool.%d", i), v)
		onNative.want(fmt.Sprintf("zeek/cluster/pool/%d", i), v)
	}
	all := fmt.Sprintf("%d forwarded, 0 dropped", len(values))
	counted(t, b, all, all)
}

// Maps may lead to other places in either direction, or keep topics as they are. What this process publishes
// crosses, too, and its subscriptions receive what comes.
func TestOwnMaps(t *testing.T) {
	zeekNode, here := newEndpoint(t), newEndpoint(t)
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	connected(t, here, url, Config{
		ToWebSocket: []Map{{"/app/", "/app/"}, {"zeek/cluster/", "zeek.cluster."}},
		ToNative:    []Map{{"zeek.", "zeek9/"}},
	})
	onZeek, onNative := subscribe(t, zeekNode, "/", "zeek."), subscribe(t, here, "zeek9/")
	publish(t, here, "/app/a.b/c", data.Count(1))
	onZeek.want("/app/a.b/c", data.Count(1))
	publish(t, here, "zeek/cluster/worker", data.Count(2))
	onZeek.want("zeek.cluster.worker", data.Count(2))
	publish(t, zeekNode, "zeek.cluster.worker", data.Count(3))
	onNative.want("zeek9/cluster/worker", data.Count(3))
}

// What cannot cross is counted by reason, and hurts nobody.
func TestDrops(t *testing.T) {
	zeekNode, here := newEndpoint(t), newEndpoint(t)
	addr := listen(t, here)
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	b, _ := connected(t, here, url, Config{})
	onZeek := subscribe(t, zeekNode, "zeek.")

	raw := dialRaw(t, addr)
	deep := []byte(strings.Repeat("\x0e\x01", data.MaxDepth+1) + "\x00")
	raw.send(t, "zeek/cluster/worker", []byte{0, 0}, false)
	raw.send(t, "zeek/cluster/worker", []byte{14, 200}, false)
	raw.send(t, "zeek/cluster/worker", deep, false)
	raw.send(t, "zeek/cluster/worker", []byte{12, 2, 0, 0}, false) // a set of twice the same
	raw.send(t, "zeek/cluster/worker", data.AppendValue(nil, data.Count(1)), true)
	raw.send(t, "zeek/cluster/worker", data.AppendValue(nil, data.Count(2)), false)
	onZeek.want("zeek.cluster.worker", data.Count(2))
	publish(t, zeekNode, "zeek.cluster.x", data.Count(3)) // nobody is subscribed natively
	counted(t, b, "1 forwarded, 5 dropped (4 invalid, 1 unmapped)", "0 forwarded, 1 dropped (1 no receiver)")
	if len(here.Peers()) != 1 {
		t.Error("the peer is gone")
	}
}

// A server that sends rubbish, topics that nobody asked for and errors is endured.
func TestOddServer(t *testing.T) {
	frames := []string{
		`rubbish`, `{"type":"data-message","topic":"zeek.cluster.a","@data-type":"count","data":-1}`,
		strings.Repeat(`{"@data-type":"vector","data":[`, 200),
		`{"type":"error","code":"deserialization_failed","context":"failed to create Zeek event"}`,
		string(data.AppendJSONMessage(nil, "elsewhere", data.Count(1))),
		string(data.AppendJSONMessage(nil, "zeek.cluster."+strings.Repeat("x", 1<<16), data.Count(1))),
		string(data.AppendJSONMessage(nil, "zeek.cluster.a", data.Count(7))),
	}
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&gorilla.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, topics, err := conn.ReadMessage(); err != nil || string(topics) != `["zeek.cluster."]` {
			t.Errorf("topics %s, %v", topics, err)
		}
		for _, f := range append([]string{`{"type":"ack","endpoint":"x","version":"9.0.0"}`}, frames...) {
			if err := conn.WriteMessage(gorilla.TextMessage, []byte(f)); err != nil {
				t.Error(err)
			}
		}
		<-done
	}))
	defer server.Close()
	defer close(done)
	here := newEndpoint(t)
	onNative := subscribe(t, here, "zeek/cluster/")
	var statuses atomic.Int32
	b, stop := run(t, here, "ws"+strings.TrimPrefix(server.URL, "http"), Config{Status: func(s websocket.Status) {
		if s.Code == websocket.Connected && s.Version == "9.0.0" || s.Code == websocket.Rejected {
			statuses.Add(1)
		}
	}})
	onNative.want("zeek/cluster/a", data.Count(7))
	counted(t, b, "0 forwarded, 1 rejected, 0 dropped", "1 forwarded, 5 dropped (4 invalid, 1 unmapped)")
	if statuses.Load() != 2 {
		t.Errorf("%d statuses", statuses.Load())
	}
	stop()
}

// event is an event of its own content.
func event(n int) data.Value {
	return data.Vector(data.Count(zeek.Version), data.Count(uint64(zeek.TypeEvent)),
		data.Vector(data.String("ping"), data.Vector(data.Count(uint64(n)))))
}

// A message that is echoed does not cross again.
func TestEcho(t *testing.T) {
	zeekNode, here, there := newEndpoint(t), newEndpoint(t), newEndpoint(t)
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	peer(t, here, there)
	b, _ := connected(t, here, url, Config{})
	onZeek, onNative := subscribe(t, zeekNode, "zeek."), subscribe(t, there, "zeek/cluster/")
	for i := range 10 {
		publish(t, there, "zeek/cluster/a", event(i))
		onZeek.want("zeek.cluster.a", event(i))
		publish(t, zeekNode, "zeek.cluster.a", event(i)) // the echo
		publish(t, zeekNode, "zeek.cluster.b", event(i)) // no echo: another topic
		onNative.want("zeek/cluster/b", event(i))
		publish(t, there, "zeek/cluster/b", event(i)) // the echo
	}
	counted(t, b, "10 forwarded, 10 dropped (10 loop)", "10 forwarded, 10 dropped (10 loop)")
}

// Without another bridge equal messages cross as often as they are published, though they raise a suspicion.
func TestEqualMessages(t *testing.T) {
	zeekNode, here, there := newEndpoint(t), newEndpoint(t), newEndpoint(t)
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	onZeek, beacons := subscribe(t, zeekNode, "zeek.", "zeekpeer"), make(chan string)
	sub, err := there.Subscribe([]string{"zeek/cluster/"})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(beacons)
		for m := range sub.Messages(patient(t)) {
			beacons <- m.Topic()
			break
		}
	}()
	peer(t, here, there)
	b, _ := connected(t, here, url, Config{})
	const n = 500
	for range n {
		publish(t, there, "zeek/cluster/a", event(1))
	}
	for range n {
		onZeek.want("zeek.cluster.a", event(1))
	}
	if got := <-beacons; !strings.HasPrefix(got, "zeek/cluster/"+beaconMark) {
		t.Errorf("got %q", got)
	}
	counted(t, b, fmt.Sprintf("%d forwarded, 0 dropped", n), "0 forwarded, 0 dropped")
}

// Two bridges beside each other, which both have the same peer: what they do to each other's messages ends,
// and nothing is lost.
func TestTwoBridgesBesideEachOther(t *testing.T) {
	zeekNode, there := newEndpoint(t), newEndpoint(t)
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	onZeek, onNative := subscribe(t, zeekNode, "zeek."), subscribe(t, there, "zeek/cluster/")
	var bridges [2]*Bridge
	for i := range bridges {
		here := newEndpoint(t)
		peer(t, here, there)
		bridges[i], _ = connected(t, here, url, Config{})
	}
	until(t, "both are subscribed", func() bool {
		peers := there.Peers()
		return len(peers[0].Filter) > 0 && len(peers[1].Filter) > 0
	})
	const n = 200
	for i := range n {
		receivers, err := there.Publish(t.Context(), "zeek/cluster/a", data.Vector(data.Count(uint64(i)), data.Count(0)))
		if err != nil || receivers != 2 {
			t.Fatalf("published to %d, %v", receivers, err)
		}
		publish(t, zeekNode, "zeek.cluster.a", data.Vector(data.Count(uint64(i)), data.Count(1)))
	}
	// Each bridge has seen what came natively, and what came to the WebSocket side, from the other one, too.
	until(t, "an end of it", func() bool {
		one, two := bridges[0].Stats(), bridges[1].Stats()
		seen := func(d Direction) uint64 { return d.Forwarded + d.Dropped[DropLoop] }
		return seen(one.ToWebSocket) == n && seen(two.ToWebSocket) == n &&
			seen(one.ToNative) == n+two.ToWebSocket.Forwarded && seen(two.ToNative) == n+one.ToWebSocket.Forwarded
	})
	var forwarded, arrived, loops uint64
	for _, b := range bridges {
		s := b.Stats()
		forwarded += s.ToWebSocket.Forwarded
		arrived += s.ToNative.Forwarded
		loops += s.ToNative.Dropped[DropLoop] + s.ToWebSocket.Dropped[DropLoop]
	}
	if forwarded < n || forwarded > 2*n || loops < n {
		t.Errorf("%d messages of %d forwarded by both, %d loops", forwarded, n, loops)
	}
	// Both deliver what they both have; a message that one of them has from the other comes back once at most.
	for key, times := range onZeek.counts(int(forwarded)) {
		if times > 2 || !strings.HasSuffix(key, ", 0]") {
			t.Errorf("on the WebSocket side: %s %d times", key, times)
		}
	}
	back := 0
	for key, times := range onNative.counts(int(arrived)) {
		switch {
		case strings.HasSuffix(key, ", 1]") && times == 2:
			back++
		case strings.HasSuffix(key, ", 1]") || times > 1:
			t.Errorf("natively: %s %d times", key, times)
		}
	}
	if back != n {
		t.Errorf("%d messages of %d came from the WebSocket side", back, n)
	}
}

// Two bridges that are peers make a circle. It is broken at once.
func TestCircle(t *testing.T) {
	zeekNode, there, first, second := newEndpoint(t), newEndpoint(t), newEndpoint(t), newEndpoint(t)
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	peer(t, first, there)
	peer(t, second, first)
	one, _ := connected(t, first, url, Config{})
	two, _ := connected(t, second, url, Config{})
	until(t, "the bridges know each other", func() bool { return one.Stats().Bridges == 1 && two.Stats().Bridges == 1 })
	onZeek := subscribe(t, zeekNode, "zeek.")
	const n = 100
	for i := range n {
		publish(t, there, "zeek/cluster/a", event(i))
		onZeek.want("zeek.cluster.a", event(i)) // once
	}
	// Each came round once.
	counted(t, one, fmt.Sprintf("%d forwarded, %d dropped (%d loop)", n, n, n), "0 forwarded, 0 dropped")
	counted(t, two, "0 forwarded, 0 dropped", fmt.Sprintf("%d forwarded, 0 dropped", n))
	publish(t, there, "zeek/cluster/a", event(n))
	onZeek.want("zeek.cluster.a", event(n))
}

// The same circle through a node that forwards what it is told to, and not what bridges tell each other. It is
// broken when messages have come round some times.
func TestCircleThroughForwarder(t *testing.T) {
	zeekNode, leaf, first, second := newEndpoint(t), newEndpoint(t), newEndpoint(t), newEndpoint(t)
	between := newEndpoint(t, endpoint.WithForwarding())
	subscribe(t, between, "zeek/cluster/")
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	peer(t, first, leaf)
	peer(t, first, between)
	peer(t, second, between)
	one, _ := connected(t, first, url, Config{})
	two, _ := connected(t, second, url, Config{})
	onZeek := subscribe(t, zeekNode, "zeek.")
	until(t, "the circle is closed", func() bool {
		for _, p := range between.Peers() {
			if len(p.Filter) == 0 {
				return false
			}
		}
		return true
	})
	publish(t, leaf, "zeek/cluster/a", event(0))
	until(t, "the bridges know each other", func() bool { return one.Stats().Bridges == 1 && two.Stats().Bridges == 1 })
	const n = 100
	for i := range n {
		publish(t, leaf, "zeek/cluster/a", event(i+1))
	}
	until(t, "each came round once, and the first at last", func() bool { return one.Stats().ToWebSocket.Dropped[DropLoop] == n+1 })
	publish(t, leaf, "zeek/cluster/a", event(n+1))
	counts := make(map[string]int)
	for end := event(n + 1).String(); counts[end] == 0; {
		for key := range onZeek.counts(1) {
			counts[key]++
		}
	}
	if first := counts[event(0).String()]; first < suspicious {
		t.Errorf("the first message came %d times", first)
	}
	for i := range n {
		if times := counts[event(i+1).String()]; times != 1 {
			t.Errorf("message %d came %d times", i+1, times)
		}
	}
	if s := two.Stats(); s.ToWebSocket.Forwarded != 0 {
		t.Errorf("%+v", s)
	}
}

// While the server is away, what is published natively waits, up to a bound; the rest is counted. Then all
// goes on.
func TestServerAway(t *testing.T) {
	zeekNode, here, there := newEndpoint(t), newEndpoint(t), newEndpoint(t)
	s, url := serve(t, zeekNode, "127.0.0.1:0")
	addr := s.Addr().String()
	peer(t, here, there)
	b, _ := connected(t, here, url, Config{
		Queue:  endpoint.QueueLimits{Messages: 10},
		Client: []websocket.ClientOption{websocket.WithClientQueues(5, 1<<20)},
	})
	onZeek, onNative := subscribe(t, zeekNode, "zeek."), subscribe(t, here, "zeek/cluster/b")
	publish(t, there, "zeek/cluster/a", event(0))
	onZeek.want("zeek.cluster.a", event(0))
	shutdown(t, s)
	const n = 100
	for i := range n {
		publish(t, there, "zeek/cluster/a", event(i+1))
	}
	until(t, "all but what waits is dropped", func() bool {
		s := b.Stats().ToWebSocket
		return s.Queued > 0 && uint64(s.Queued)+s.Forwarded+s.Dropped[DropQueueFull]+s.Dropped[DropConnectionLost] >= n
	})
	if s := b.Stats().ToWebSocket; s.Queued > 16 || s.Dropped[DropQueueFull] < n-20 {
		t.Errorf("%+v", s)
	}
	serve(t, zeekNode, addr)
	until(t, "everything is sent or counted", func() bool {
		s := b.Stats().ToWebSocket
		return s.Queued == 0 && s.Forwarded+s.Dropped[DropQueueFull]+s.Dropped[DropConnectionLost] == n+1
	})
	publish(t, zeekNode, "zeek.cluster.b", event(1))
	onNative.want("zeek/cluster/b", event(1))
	if b.Stats().Connects != 2 {
		t.Errorf("%+v", b.Stats())
	}
}

// A bridge may be there before its server. When it ends, what was not delivered is counted.
func TestServerNeverThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	here, there := newEndpoint(t), newEndpoint(t)
	peer(t, here, there)
	unavailable := make(chan struct{})
	var seen atomic.Bool
	b, stop := run(t, here, "ws://"+addr, Config{
		Client: []websocket.ClientOption{websocket.WithClientQueues(1, 1<<20)},
		Status: func(s websocket.Status) {
			if s.Code == websocket.Unavailable && !seen.Swap(true) {
				close(unavailable)
			}
		},
	})
	<-unavailable
	const n = 10
	for i := range n {
		publish(t, there, "zeek/cluster/a", event(i))
	}
	until(t, "all wait", func() bool { return b.Stats().ToWebSocket.Queued >= n-1 })
	stop()
	s := b.Stats().ToWebSocket
	if s.Forwarded != 0 || s.Dropped[DropEnded]+s.Dropped[DropConnectionLost] != n {
		t.Errorf("%+v", s)
	}
}

// A native peer comes back, too: that is the business of the endpoint.
func TestNativePeerAway(t *testing.T) {
	zeekNode, here := newEndpoint(t), newEndpoint(t)
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	b, _ := connected(t, here, url, Config{})
	addr := listen(t, here)
	onZeek := subscribe(t, zeekNode, "zeek.")
	for i := range 3 {
		there := newEndpoint(t)
		onNative := subscribe(t, there, "zeek/cluster/")
		if _, err := there.Peer(addr); err != nil {
			t.Fatal(err)
		}
		publish(t, there, "zeek/cluster/a", event(i))
		onZeek.want("zeek.cluster.a", event(i))
		publish(t, zeekNode, "zeek.cluster.b", event(i))
		onNative.want("zeek/cluster/b", event(i))
		if err := there.Close(patient(t)); err != nil {
			t.Fatal(err)
		}
		until(t, "the peer is gone", func() bool { return len(here.Peers()) == 0 })
	}
	publish(t, zeekNode, "zeek.cluster.b", event(9))
	until(t, "a message for nobody", func() bool { return b.Stats().ToNative.Dropped[DropNoReceiver] == 1 })
}

// What was accepted before the end is sent.
func TestStopSends(t *testing.T) {
	zeekNode, here, there := newEndpoint(t), newEndpoint(t), newEndpoint(t)
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	peer(t, here, there)
	b, stop := connected(t, here, url, Config{})
	onZeek := subscribe(t, zeekNode, "zeek.")
	const n = 1000
	for i := range n {
		publish(t, there, "zeek/cluster/a", event(i))
	}
	until(t, "all have come", func() bool { return here.Topics()[0].MessagesIn == n })
	stop()
	if s := b.Stats().ToWebSocket; s.Forwarded != n || len(s.Dropped) > 0 || s.Queued > 0 {
		t.Errorf("%+v", s)
	}
	for i := range n {
		onZeek.want("zeek.cluster.a", event(i))
	}
}

func TestEndpointClosed(t *testing.T) {
	zeekNode, here := newEndpoint(t), newEndpoint(t)
	_, url := serve(t, zeekNode, "127.0.0.1:0")
	b, err := New(here, url, Config{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- b.Run(context.Background()) }()
	until(t, "connected", func() bool { return b.Stats().Connects == 1 })
	if err := here.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, endpoint.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := b.Run(t.Context()); err == nil {
		t.Error("it ran again")
	}
	b, err = New(here, url, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context()); !errors.Is(err, endpoint.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
