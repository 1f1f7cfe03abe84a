package bridge

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/websocket"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// until waits until ok, looking again and again.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx := patient(t); !ok(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("in vain: %s", what)
		}
	}
}

func newEndpoint(t testing.TB, opts ...endpoint.Option) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(append([]endpoint.Option{endpoint.WithSecurity(endpoint.PlainTCP())}, opts...)...)
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

// peer connects two endpoints.
func peer(t testing.TB, a, b *endpoint.Endpoint) *endpoint.Peering {
	t.Helper()
	n := len(a.Peers())
	p, err := b.Peer(listen(t, a))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := a.WaitPeers(patient(t), n+1); err != nil {
		t.Fatal(err)
	}
	return p
}

// serve serves the WebSocket API of an endpoint, which plays Zeek.
func serve(t testing.TB, ep *endpoint.Endpoint, addr string) (s *websocket.Server, url string) {
	t.Helper()
	s, err := websocket.Listen(t.Context(), ep, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	return s, "ws://" + s.Addr().String()
}

func shutdown(t testing.TB, s *websocket.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// run runs a bridge until stop is called, or the test is over.
func run(t testing.TB, ep *endpoint.Endpoint, url string, cfg Config) (b *Bridge, stop func()) {
	t.Helper()
	cfg.Client = append(cfg.Client, websocket.WithBackoff(time.Millisecond, 10*time.Millisecond))
	b, err := New(ep, url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return b, stop
}

// connected runs a bridge and waits for the WebSocket side.
func connected(t testing.TB, ep *endpoint.Endpoint, url string, cfg Config) (b *Bridge, stop func()) {
	t.Helper()
	b, stop = run(t, ep, url, cfg)
	until(t, "connected", func() bool { return b.Stats().Connects == 1 })
	return b, stop
}

// counted waits until a bridge has counted what it should have.
func counted(t testing.TB, b *Bridge, toWebSocket, toNative string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("to websocket: %v; to native: %v", b.Stats().ToWebSocket, b.Stats().ToNative)
		}
	}()
	until(t, "to websocket: "+toWebSocket+"; to native: "+toNative, func() bool {
		s := b.Stats()
		return s.ToWebSocket.String() == toWebSocket && s.ToNative.String() == toNative
	})
}

// An inbox keeps what a subscription receives.
type inbox struct {
	t    testing.TB
	next <-chan endpoint.Message
}

func subscribe(t testing.TB, e *endpoint.Endpoint, topics ...string) inbox {
	t.Helper()
	s, err := e.Subscribe(topics)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	messages, done := make(chan endpoint.Message, 1<<14), make(chan struct{})
	go func() {
		defer close(done)
		for m := range s.Messages(ctx) {
			if !strings.Contains(m.Topic(), beaconMark) {
				messages <- m.Clone()
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return inbox{t, messages}
}

// want takes the next message and checks it.
func (in inbox) want(topic string, v data.Value) {
	in.t.Helper()
	select {
	case m := <-in.next:
		got, err := m.Value()
		if m.Topic() != topic || err != nil || !got.Equal(v) {
			in.t.Fatalf("got %v, %v on %q, want %v on %q", got, err, m.Topic(), v, topic)
		}
	case <-patient(in.t).Done():
		in.t.Fatalf("no %v on %q", v, topic)
	}
}

// counts takes n messages and tells how often there was which.
func (in inbox) counts(n int) map[string]int {
	in.t.Helper()
	counts := make(map[string]int)
	for ctx := patient(in.t); n > 0; n-- {
		select {
		case m := <-in.next:
			v, err := m.Value()
			if err != nil {
				in.t.Fatal(err)
			}
			counts[v.String()]++
		case <-ctx.Done():
			in.t.Fatalf("%d messages are missing", n)
		}
	}
	return counts
}

// publish publishes a value that somebody must be subscribed to.
func publish(t testing.TB, e *endpoint.Endpoint, topic string, v data.Value) {
	t.Helper()
	until(t, "a subscriber to "+topic, func() bool {
		n, err := e.Publish(patient(t), topic, v)
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	})
}

// A rawPeer is a peer made of bytes.
type rawPeer struct {
	net.Conn
	id, remote wire.EndpointID
}

// dialRaw peers with the node at addr.
func dialRaw(t testing.TB, addr string) *rawPeer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	p, r := &rawPeer{Conn: conn, id: wire.NewEndpointID()}, bufio.NewReader(conn)
	m := handshake.New(handshake.Dialer, p.id, func() []string { return nil })
	for out := m.Start(); ; {
		if _, err := conn.Write(out.Send); err != nil {
			t.Fatal(err)
		}
		switch {
		case out.Err != nil:
			t.Fatal(out.Err)
		case out.Peered:
			p.remote = m.Remote()
			return p
		case out.Identified:
			out = m.Decide(handshake.Proceed)
		default:
			var header [wire.FrameHeaderLen]byte
			if _, err := io.ReadFull(r, header[:]); err != nil {
				t.Fatal(err)
			}
			body := make([]byte, int(header[2])<<8|int(header[3]))
			if _, err := io.ReadFull(r, body); err != nil {
				t.Fatal(err)
			}
			out = m.Frame(body)
		}
	}
}

// send sends a message, to everybody or to the remote node alone.
func (p *rawPeer) send(t testing.TB, topic string, payload []byte, direct bool) {
	t.Helper()
	e := wire.Envelope{Sender: p.id, Type: wire.TypeData, TTL: wire.DefaultTTL, Topic: []byte(topic), Payload: payload}
	if direct {
		e.Receiver = p.remote
	}
	if _, err := p.Write(wire.AppendEnvelope(nil, e)); err != nil {
		t.Fatal(err)
	}
}
