package interop

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// An identity makes ids that decide who is the originator of a handshake with a node of a random id.
type identity struct {
	name string
	id   wire.EndpointID
}

// identities are both: with the smaller id this side is the originator.
var identities = []identity{
	{"originator", wire.EndpointID{6: 0x40, 8: 0x80, 15: 1}},
	{"responder", wire.EndpointID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x4f, 0xff, 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe}},
}

// asBoth runs a test with each identity and each node.
func asBoth(t *testing.T, test func(t *testing.T, program string, id wire.EndpointID)) {
	t.Helper()
	withNodes(t, func(t *testing.T, program string) {
		for _, who := range identities {
			t.Run(who.name, func(t *testing.T) { test(t, program, who.id) })
		}
	})
}

// deadline returns a context for all that a test waits for.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func newEndpoint(t *testing.T, opts ...endpoint.Option) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(append([]endpoint.Option{endpoint.WithRetry(50 * time.Millisecond), endpoint.WithSecurity(endpoint.PlainTCP())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(deadline(t)); err != nil {
			t.Errorf("close: %v", err)
		}
	})
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

// connect peers with the node at addr and returns when that node is ready to route to us.
func connect(t *testing.T, e *endpoint.Endpoint, addr string) *endpoint.Peering {
	t.Helper()
	p, err := e.Peer(addr)
	if err != nil {
		t.Fatal(err)
	}
	id, err := p.Wait(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	ping(t, e, id)
	return p
}

// ping pings a peer. The answer comes from behind the table of peers: the other side knows our filter.
func ping(t *testing.T, e *endpoint.Endpoint, id wire.EndpointID) {
	t.Helper()
	if _, err := e.Ping(deadline(t), id); err != nil {
		t.Fatal(err)
	}
}

// onlyPeer returns the peer, of which there must be one.
func onlyPeer(t *testing.T, e *endpoint.Endpoint) endpoint.PeerInfo {
	t.Helper()
	if err := e.WaitPeers(deadline(t), 1); err != nil {
		t.Fatal(err)
	}
	peers := e.Peers()
	if len(peers) != 1 {
		t.Fatalf("%d peers, want one: %+v", len(peers), peers)
	}
	return peers[0]
}

// A watcher yields what a subscription sees, one after the other.
type watcher struct{ next func() (endpoint.Event, bool) }

// watch subscribes e to topics and to what happens to its peers.
func watch(t *testing.T, e *endpoint.Endpoint, topics ...string) *watcher {
	t.Helper()
	sub, err := e.Subscribe(topics, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull(sub.Events(deadline(t)))
	t.Cleanup(stop)
	return &watcher{next}
}

func (w *watcher) event(t *testing.T) endpoint.Event {
	t.Helper()
	ev, ok := w.next()
	if !ok {
		t.Fatal("nothing more comes")
	}
	return ev
}

// status waits for the next status of a peering, which must be want.
func (w *watcher) status(t *testing.T, want endpoint.StatusCode) *endpoint.Status {
	t.Helper()
	for {
		ev := w.event(t)
		if ev.Status == nil || ev.Status.Code == endpoint.PeerUnavailable {
			continue
		}
		if ev.Status.Code != want {
			t.Fatalf("%v, want %v", ev.Status, want)
		}
		return ev.Status
	}
}

// message waits for the next message.
func (w *watcher) message(t *testing.T) endpoint.Message {
	t.Helper()
	for {
		if ev := w.event(t); ev.Status == nil {
			return ev.Message
		}
	}
}

// publish publishes v, which must find receivers.
func publish(t *testing.T, e *endpoint.Endpoint, topic string, v data.Value) {
	t.Helper()
	n, err := e.Publish(deadline(t), topic, v)
	if err != nil || n != 1 {
		t.Fatalf("%s: published to %d, %v", topic, n, err)
	}
}

// pingValue and pongValue are what the modes ping and pong of broker-node exchange.
func pingValue(n int) data.Value {
	return data.Vector(data.String("ping"), data.Count(uint64(n)), data.String(""))
}

func pongValue(n int) data.Value {
	return data.Vector(data.String("pong"), data.Count(uint64(n)))
}

// answers sends pings to a node in mode pong until it answers: it may have begun to listen for peers
// before it subscribed. w must watch the topic. From then on each ping has one answer.
func answers(t *testing.T, e *endpoint.Endpoint, w *watcher, topic string) {
	t.Helper()
	ctx, cancel := context.WithCancel(deadline(t))
	stopped := make(chan int)
	go func() {
		ticker := time.NewTicker(step)
		defer ticker.Stop()
		for n := 0; ; n++ {
			if _, err := e.Publish(ctx, topic, pingValue(n)); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				stopped <- n
				return
			}
		}
	}()
	first, err := w.message(t).Value()
	cancel()
	last := <-stopped
	if err != nil {
		t.Fatal(err)
	}
	got, _ := first.Elems()[1].AsCount()
	for want := int(got) + 1; want <= last; want++ {
		pong(t, w, want)
	}
	for n := last + 1; n < last+4; n++ {
		publish(t, e, topic, pingValue(n))
		pong(t, w, n)
	}
}

// pong waits for the answer to ping n, which must be the next message.
func pong(t *testing.T, w *watcher, n int) {
	t.Helper()
	v, err := w.message(t).Value()
	if err != nil || !v.Equal(pongValue(n)) {
		t.Fatalf("got %v, want %v: %v", v, pongValue(n), err)
	}
}

// hears publishes to a broker-pipe, as soon as it is subscribed, and checks that it hears all of it
// once.
func hears(t *testing.T, e *endpoint.Endpoint, pipe *node, word string) {
	t.Helper()
	ctx := deadline(t)
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for len(onlyPeer(t, e).Filter) == 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal("the pipe does not subscribe")
		}
	}
	for n := range 4 {
		publish(t, e, nodeTopic+"/x", data.String(fmt.Sprintf("%s %d", word, n)))
	}
	pipe.await(t, word+" 3", 1)
	for n := range 4 {
		if got := strings.Count(pipe.String(), fmt.Sprintf("%s %d", word, n)); got != 1 {
			t.Errorf("message %d arrived %d times", n, got)
		}
	}
}

// A rawPeer is a peer made of bytes.
type rawPeer struct {
	net.Conn
	r      *bufio.Reader
	id     wire.EndpointID // its own
	remote wire.EndpointID
}

// dialRaw peers with the node at addr under an id.
func dialRaw(t *testing.T, addr string, id wire.EndpointID, filter ...string) (*rawPeer, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	p := &rawPeer{Conn: conn, r: bufio.NewReader(conn), id: id}
	m := handshake.New(handshake.Dialer, id, func() []string { return filter })
	for out := m.Start(); ; {
		if len(out.Send) > 0 {
			if _, err := conn.Write(out.Send); err != nil {
				return nil, err
			}
		}
		switch {
		case out.Err != nil:
			return nil, out.Err
		case out.Peered:
			p.remote = m.Remote()
			return p, nil
		case out.Identified:
			out = m.Decide(handshake.Proceed)
		default:
			frame, err := p.readFrame()
			if err != nil {
				return nil, err
			}
			out = m.Frame(frame)
		}
	}
}

// readFrame returns the body of the next frame.
func (p *rawPeer) readFrame() ([]byte, error) {
	var header [wire.FrameHeaderLen]byte
	if _, err := io.ReadFull(p.r, header[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(header[:])
	if n > 1<<20 {
		return nil, fmt.Errorf("frame of %d bytes", n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(p.r, body)
	return body, err
}

// send sends a frame.
func (p *rawPeer) send(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := p.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// next returns the next envelope that is of type want.
func (p *rawPeer) next(t *testing.T, want wire.MessageType) wire.Envelope {
	t.Helper()
	for {
		body, err := p.readFrame()
		if err != nil {
			t.Fatal(err)
		}
		e, err := wire.ParseEnvelope(body)
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == want {
			return e
		}
	}
}

// pinged sends a ping and waits for its pong.
func (p *rawPeer) pinged(t *testing.T, payload string) {
	t.Helper()
	p.send(t, wire.AppendPing(nil, p.id, p.remote, []byte(payload)))
	e := p.next(t, wire.TypePong)
	if e.Sender != p.remote || e.Receiver != p.id || string(e.Payload) != payload || string(e.Topic) != wire.ControlTopic {
		t.Fatalf("pong %+v", e)
	}
}
