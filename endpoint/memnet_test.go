package endpoint_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/memnet"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// buffer is how many bytes a connection in memory holds in each direction.
const buffer = 64 << 10

// A memNet is a network in memory, on which nodes live in a bubble of testing/synctest.
type memNet struct{ *memnet.Net }

// onMemNet runs a test in a bubble with a network of its own.
func onMemNet(t *testing.T, test func(t *testing.T, n *memNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, &memNet{memnet.New(buffer)}) })
}

// node returns a node on the network. Unlike newEndpoint's, it retries after the default second.
func (n *memNet) node(t *testing.T, opts ...endpoint.Option) *endpoint.Endpoint {
	t.Helper()
	return newEndpoint(t, append([]endpoint.Option{
		endpoint.WithDialFunc(n.Dial), endpoint.WithListenFunc(n.Listen), endpoint.WithRetry(time.Second),
	}, opts...)...)
}

// pair returns two nodes that are peers. The second has dialed.
func (n *memNet) pair(t *testing.T, opts ...endpoint.Option) (a, b *endpoint.Endpoint) {
	t.Helper()
	a, b = n.node(t, opts...), n.node(t, opts...)
	connect(t, b, listen(t, a))
	synctest.Wait()
	return a, b
}

// dialRaw peers with the node at addr, as id.
func (n *memNet) dialRaw(t *testing.T, addr string, id wire.EndpointID, filter ...string) *rawPeer {
	t.Helper()
	conn, err := n.Dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p, err := shake(conn, handshake.Dialer, id, filter...)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return p
}

// received returns what the node sends to p until nothing moves any more.
func (p *rawPeer) received(t *testing.T) (all []wire.Envelope) {
	t.Helper()
	ended := make(chan error)
	go func() {
		for {
			body, err := p.readFrame()
			if err != nil {
				ended <- err
				return
			}
			e, err := wire.ParseEnvelope(body)
			if err != nil {
				ended <- err
				return
			}
			all = append(all, e)
		}
	}()
	synctest.Wait()
	p.SetReadDeadline(time.Now())
	defer p.SetReadDeadline(time.Time{})
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return all
}

// messages returns the topics of the data messages among what received returns.
func (p *rawPeer) messages(t *testing.T) (topics []string) {
	t.Helper()
	for _, e := range p.received(t) {
		if e.Type == wire.TypeData {
			topics = append(topics, string(e.Topic))
		}
	}
	return topics
}

// arrived returns all that has come to a subscription when nothing moves any more.
func arrived(t *testing.T, sub *endpoint.Subscription) (all []endpoint.Event) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ev := range sub.Events(ctx) {
			if ev.Status == nil {
				ev.Message = ev.Message.Clone()
			}
			all = append(all, ev)
		}
	}()
	synctest.Wait()
	cancel()
	<-done
	return all
}

// topicsOf returns the topics of the messages that have come to a subscription.
func topicsOf(t *testing.T, sub *endpoint.Subscription) (topics []string) {
	t.Helper()
	for _, ev := range arrived(t, sub) {
		if ev.Status == nil {
			topics = append(topics, ev.Message.Topic())
		}
	}
	return topics
}

// statusesOf returns the statuses that have come to a subscription.
func statusesOf(t *testing.T, sub *endpoint.Subscription) (all []endpoint.Status) {
	t.Helper()
	for _, ev := range arrived(t, sub) {
		if ev.Status != nil {
			all = append(all, *ev.Status)
		}
	}
	return all
}
