package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/anontls"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// The measures of the overload: each message is 1 KB, and what may wait for one receiver is so little
// that it runs over many times.
const (
	overloadMessages = 200     // wait for one receiver at the most
	overloadBytes    = 1 << 20 // and so many bytes
	overloadWindow   = 100     // those that keep up are waited for after so many
	overloadSlack    = 4 << 20 // of memory, for all that is not a queue: less than what is sent
	overloadTopic    = "/overload"
)

var overloadPad = data.String(strings.Repeat("x", 900))

// A tally is how an overload came out for the receiver that did not keep up. Each message that was sent to it
// is in received or in dropped; those that keep up have received all.
type tally struct {
	sent, received int
	dropped        map[string]uint64 // by reason
	heap           int64             // in use when the receiver was furthest behind, beyond what was before
}

func (c tally) lost() (n uint64) {
	for _, d := range c.dropped {
		n += d
	}
	return n
}

func reasons(dropped map[endpoint.DropReason]uint64) map[string]uint64 {
	named := make(map[string]uint64)
	for reason, n := range dropped {
		named[reason.String()] = n
	}
	return named
}

// overloads are the scenarios, each for the policies that make a difference in it.
var overloads = []struct {
	name     string
	policies []endpoint.Policy
	run      func(t testing.TB, security string, policy endpoint.Policy) tally
}{
	{"subscriber-stops", []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Disconnect, endpoint.Block}, subscriberStops},
	{"peer-stops", []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Disconnect, endpoint.Block}, peerStops},
	{"outrun-network", []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Disconnect, endpoint.Block}, networkOutrun},
	{"one-of-100-stops", []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Disconnect}, oneOf100Stops},
}

// Whatever does not keep up: every message is received or counted with its reason, memory stays within
// what is configured, those that keep up lose nothing, and who waits goes on by itself.
func TestOverload(t *testing.T) {
	for _, s := range overloads {
		for _, policy := range s.policies {
			for _, security := range []string{"off", "anonymous"} {
				t.Run(fmt.Sprintf("%s/%v/%s", s.name, policy, security), func(t *testing.T) {
					c := s.run(t, security, policy)
					if uint64(c.received)+c.lost() != uint64(c.sent) {
						t.Errorf("sent %d, received %d, dropped %v", c.sent, c.received, c.dropped)
					}
					if (c.lost() > 0) == (policy == endpoint.Block) {
						t.Errorf("with %v, %v are dropped", policy, c.dropped)
					}
					if c.heap > overloadBytes+overloadSlack && s.name != "one-of-100-stops" { // the others' buffers are more
						t.Errorf("%d bytes in use", c.heap)
					}
				})
			}
		}
	}
}

// BenchmarkOverload shows what TestOverload checks: a line for each scenario, policy and security, with
// what was sent to the receiver that does not keep up, what it received, what was dropped by reason,
// and the memory in use when it was furthest behind.
func BenchmarkOverload(b *testing.B) {
	for _, s := range overloads {
		for _, policy := range s.policies {
			for _, security := range []string{"off", "anonymous"} {
				b.Run(fmt.Sprintf("%s/%v/%s", s.name, policy, security), func(b *testing.B) {
					sum := tally{dropped: make(map[string]uint64)}
					for range b.N {
						c := s.run(b, security, policy)
						sum.sent, sum.received, sum.heap = sum.sent+c.sent, sum.received+c.received, max(sum.heap, c.heap)
						for reason, n := range c.dropped {
							sum.dropped[reason] += n
						}
					}
					b.ReportMetric(float64(sum.sent)/float64(b.N), "sent/op")
					b.ReportMetric(float64(sum.received)/float64(b.N), "received/op")
					for reason, n := range sum.dropped {
						b.ReportMetric(float64(n)/float64(b.N), strings.ReplaceAll(reason, " ", "-")+"/op")
					}
					b.ReportMetric(float64(sum.heap), "heap-B")
				})
			}
		}
	}
}

// noPings keeps a peer that reads nothing, and so answers nothing, however long a test takes.
var noPings = endpoint.WithPing(time.Hour, 2*time.Hour)

// overloadNode returns a node whose sockets hold little, so that it is its queues that fill.
func overloadNode(t testing.TB, security string, opts ...endpoint.Option) (*endpoint.Endpoint, string) {
	t.Helper()
	opts = append(opts, endpoint.WithSecurity(securities(t)[security]), noPings,
		endpoint.WithListenFunc(func(ctx context.Context, network, addr string) (net.Listener, error) {
			l, err := new(net.ListenConfig).Listen(ctx, network, addr)
			return smallBuffers{l}, err
		}))
	node := newEndpoint(t, opts...)
	return node, listen(t, node)
}

type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		conn.(*net.TCPConn).SetWriteBuffer(32 << 10)
	}
	return conn, err
}

// overloadPeer is a peer that reads nothing before it is told to.
func overloadPeer(t testing.TB, security, addr string) *sink {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).SetReadBuffer(256 << 10) // with less than a few segments of loopback TCP stutters
	if security == "anonymous" {
		conn = anontls.Client(conn, nil)
	}
	t.Cleanup(func() { conn.Close() })
	p, err := shake(conn, handshake.Dialer, wire.NewEndpointID(), overloadTopic)
	if err != nil {
		t.Fatal(err)
	}
	return newSink(p)
}

// A sink reads messages that are numbered, and keeps count of them.
type sink struct {
	*rawPeer
	mu      sync.Mutex
	changed *sync.Cond
	got     int
	last    int64 // number of the last message
	err     error // why it reads no more
	started bool
}

func newSink(p *rawPeer) *sink {
	s := &sink{rawPeer: p, last: -1}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// start begins to read.
func (s *sink) start() *sink {
	s.started = true
	go func() {
		for {
			err := s.next()
			s.mu.Lock()
			s.err = err
			s.changed.Broadcast()
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// next reads a frame, which may be a control message.
func (s *sink) next() error {
	body, err := s.readFrame()
	if err != nil {
		return err
	}
	e, err := wire.ParseEnvelope(body)
	if err != nil {
		return err
	}
	switch e.Type {
	case wire.TypePing: // which may be BYE
		_, err := s.Write(wire.AppendPong(nil, s.id, s.remote, e.Payload))
		return err
	case wire.TypeData:
	default:
		return nil
	}
	n, err := messageNumber(e.Payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n <= s.last {
		return fmt.Errorf("message %d after %d", n, s.last)
	}
	s.got++
	s.last = n
	return err
}

// wait waits until n messages have been read, or no more can be.
func (s *sink) wait(t testing.TB, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.got < n && s.err == nil {
		s.changed.Wait()
	}
	if s.got < n {
		t.Errorf("%d of %d received: %v", s.got, n, s.err)
	}
}

// end waits until no more can be read, and returns how many messages were.
func (s *sink) end() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil {
		s.changed.Wait()
	}
	return s.got
}

func messageNumber(payload []byte) (int64, error) {
	ev, err := zeek.ParseEventView(payload)
	if err != nil {
		return 0, err
	}
	return int64(ev.Args.Count()), ev.Args.Err()
}

// inUse returns how many bytes are in use, without what pools keep, and without the garbage that comes
// between the collection and the look.
func inUse() int64 {
	least := int64(heap())
	for range 4 {
		least = min(least, int64(heap()))
	}
	return least
}

// full tells whether a queue has no room for another message: two segments of 64 KiB are kept free.
func full(messages, bytes int) bool {
	return messages >= overloadMessages || bytes+128<<10 > overloadBytes
}

// until waits for what must happen soon.
func until(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !happened(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// A subscriber stops reading. Another one keeps up.
func subscriberStops(t testing.TB, security string, policy endpoint.Policy) tally {
	const n = 10_000
	node, addr := overloadNode(t, security)
	stuck, err := node.Subscribe([]string{overloadTopic}, endpoint.WithQueue(endpoint.QueueLimits{Messages: overloadMessages, Bytes: overloadBytes, Policy: policy}))
	if err != nil {
		t.Fatal(err)
	}
	good, err := node.Subscribe([]string{overloadTopic}, endpoint.WithQueue(endpoint.QueueLimits{Messages: overloadMessages, Bytes: overloadBytes, Policy: endpoint.Block}))
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	read := func(sub *endpoint.Subscription, want int) (got *atomic.Int64) {
		got = new(atomic.Int64)
		reading.Go(func() {
			last := int64(-1)
			for m := range sub.Messages(t.Context()) {
				number, err := messageNumber(m.Payload())
				if err != nil || number <= last {
					t.Errorf("message %d after %d: %v", number, last, err)
				}
				last = number
				if got.Add(1) == int64(want) {
					return
				}
			}
		})
		return got
	}
	fromGood := read(good, n)
	p := overloadPeer(t, security, addr)
	before := inUse()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range n {
			if _, err := p.Write(p.data(overloadTopic, zeek.AppendEvent(nil, "e", data.Count(uint64(i)), overloadPad))); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	c := tally{sent: n}
	var fromStuck *atomic.Int64
	if policy == endpoint.Block {
		until(t, "reading pauses", func() bool { s := stuck.Stats(); return full(s.Queued, s.Bytes) })
		c.heap = inUse() - before
		fromStuck = read(stuck, n)
		<-written
		reading.Wait()
	} else {
		<-written
		p.answered(t)
		reading.Wait()
		c.heap = inUse() - before
		fromStuck = new(atomic.Int64)
		fromStuck.Store(int64(len(waiting(stuck))))
	}
	c.received = int(fromStuck.Load())
	stats := stuck.Stats()
	if c.dropped = reasons(node.Stats().Dropped); c.lost() != stats.Dropped {
		t.Errorf("the node says %v, the subscription %+v", c.dropped, stats)
	}
	if got := fromGood.Load(); got != n || good.Stats().Dropped > 0 {
		t.Errorf("who keeps up received %d of %d", got, n)
	}
	if got := errors.Is(stuck.Err(), endpoint.ErrOverflow); got != (policy == endpoint.Disconnect) {
		t.Errorf("with %v it ended with %v", policy, stuck.Err())
	}
	if len(node.Peers()) != 1 {
		t.Error("the peer is gone")
	}
	return c
}

func peerStops(t testing.TB, security string, policy endpoint.Policy) tally {
	return peersStop(t, security, policy, 10_000, 1)
}

func oneOf100Stops(t testing.TB, security string, policy endpoint.Policy) tally {
	return peersStop(t, security, policy, 1200, 99)
}

// One peer stops reading. Others keep up, and are waited for now and then.
func peersStop(t testing.TB, security string, policy endpoint.Policy, n, keepUp int) tally {
	limits := endpoint.QueueLimits{Messages: overloadMessages, Bytes: overloadBytes, Policy: policy}
	node, addr := overloadNode(t, security, endpoint.WithPeerQueue(limits))
	statuses, err := node.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	stuck := overloadPeer(t, security, addr)
	good := make([]*sink, keepUp)
	for i := range good {
		good[i] = overloadPeer(t, security, addr).start()
	}
	if err := node.WaitPeers(t.Context(), 1+keepUp); err != nil {
		t.Fatal(err)
	}
	before := inUse()
	toAll := new(atomic.Int64) // deliveries that Publish has promised
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range n {
			receivers, err := node.PublishEvent(t.Context(), overloadTopic, "e", data.Count(uint64(i)), overloadPad)
			if err != nil || receivers < keepUp {
				t.Errorf("message %d sent to %d, %v", i, receivers, err)
				return
			}
			toAll.Add(int64(receivers))
			if i%overloadWindow == overloadWindow-1 {
				for _, s := range good {
					s.wait(t, i+1)
				}
			}
		}
	}()
	var c tally
	if policy == endpoint.Block {
		until(t, "the publisher waits", func() bool { i := stuck.about(t, node); return full(i.Queued, i.QueuedBytes) })
		c.heap = inUse() - before
		stuck.start()
	}
	<-published
	if policy != endpoint.Block {
		c.heap = inUse() - before
	}
	c.sent = int(toAll.Load()) - n*keepUp
	for _, s := range good {
		s.wait(t, n)
		if got := s.about(t, node); len(got.Dropped) > 0 {
			t.Errorf("who keeps up has lost %v", got.Dropped)
		}
	}
	if policy == endpoint.Disconnect {
		c.received, c.dropped = lostPeer(t, statuses, stuck)
		return c
	}
	info := stuck.about(t, node)
	if info.Queued > overloadMessages || info.QueuedBytes > overloadBytes {
		t.Errorf("%d messages, %d bytes wait", info.Queued, info.QueuedBytes)
	}
	// It reads again, and gets all that was not dropped.
	if !stuck.started {
		stuck.start()
	}
	c.dropped = reasons(info.Dropped)
	stuck.wait(t, n-int(c.lost()))
	if err := node.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.received = stuck.end()
	return c
}

// lostPeer waits for the end of a peering that ran over. How much of what was being written has got
// through nobody knows: what the system took counts as received.
func lostPeer(t testing.TB, statuses *endpoint.Subscription, s *sink) (received int, dropped map[string]uint64) {
	for ev := range statuses.Events(t.Context()) {
		if ev.Status.Peer != s.id || ev.Status.Code == endpoint.PeerAdded {
			continue
		}
		if ev.Status.Code != endpoint.PeerLost || !errors.Is(ev.Status.Err, endpoint.ErrOverflow) {
			t.Errorf("status %v", ev.Status)
		}
		if !s.started {
			s.start()
		}
		if got, most := s.end(), ev.Status.Last.FramesOut+ev.Status.Last.Dropped[endpoint.DropPeeringEnded]; got > int(most) {
			t.Errorf("%d received, %d sent at the most", got, most)
		}
		return int(ev.Status.Last.FramesOut), reasons(ev.Status.Last.Dropped)
	}
	t.Fatal("not lost")
	return 0, nil
}

// A slowConn lets one write through for each token.
type slowConn struct {
	net.Conn
	tokens chan struct{}
	closed chan struct{}
	once   *sync.Once
}

func (c slowConn) Write(b []byte) (int, error) {
	select {
	case <-c.tokens:
		return c.Conn.Write(b)
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c slowConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A publisher outruns the network, which takes what it is given, but not as fast as it comes.
func networkOutrun(t testing.TB, security string, policy endpoint.Policy) tally {
	const n = 10_000
	tokens, stop := make(chan struct{}), make(chan struct{})
	var flows atomic.Bool // the queue has been full, or the publisher is through
	var network sync.WaitGroup
	network.Go(func() {
		for writes := 0; ; writes++ {
			// After the handshake the network stands still until the queue is full.
			for writes > 20 && !flows.Load() {
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
			}
			select {
			case tokens <- struct{}{}:
			case <-stop:
				return
			}
		}
	})
	defer network.Wait()
	defer close(stop)
	node := newEndpoint(t, endpoint.WithSecurity(securities(t)[security]), noPings,
		endpoint.WithPeerQueue(endpoint.QueueLimits{Messages: overloadMessages, Bytes: overloadBytes, Policy: policy}),
		endpoint.WithDialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return slowConn{conn, tokens, make(chan struct{}), new(sync.Once)}, err
		}))
	statuses, err := node.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := node.Peer(l.Addr().String(), endpoint.RetryEvery(0)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if security == "anonymous" {
		conn = anontls.Server(conn, nil)
	}
	t.Cleanup(func() { conn.Close() })
	p, err := shake(conn, handshake.Listener, wire.NewEndpointID(), overloadTopic)
	if err != nil {
		t.Fatal(err)
	}
	s := newSink(p).start()
	if err := node.WaitPeers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	before := inUse()
	promised := 0
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range n {
			receivers, err := node.PublishEvent(t.Context(), overloadTopic, "e", data.Count(uint64(i)), overloadPad)
			if err != nil {
				t.Errorf("message %d: %v", i, err)
				return
			}
			promised += receivers
		}
	}()
	c := tally{}
	if policy == endpoint.Block {
		until(t, "the publisher waits", func() bool { i := p.about(t, node); return full(i.Queued, i.QueuedBytes) })
		c.heap = inUse() - before
		flows.Store(true)
		<-published
	} else {
		<-published
		c.heap = inUse() - before
		flows.Store(true)
	}
	c.sent = promised
	if policy == endpoint.Disconnect {
		c.received, c.dropped = lostPeer(t, statuses, s)
		return c
	}
	c.dropped = maps.Clone(reasons(p.about(t, node).Dropped))
	s.wait(t, n-int(c.lost()))
	if err := node.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.received = s.end()
	return c
}

// A publisher that waits gives up after its time, and then nobody has got the message. It goes on by
// itself when there is room again.
func TestOverloadBlockTimeout(t *testing.T) {
	node, addr := overloadNode(t, "off", endpoint.WithPeerQueue(endpoint.QueueLimits{Messages: overloadMessages, Policy: endpoint.Block, BlockTimeout: 10 * time.Millisecond}))
	stuck, good := overloadPeer(t, "off", addr), overloadPeer(t, "off", addr).start()
	if err := node.WaitPeers(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	sent := 0
	publish := func() (err error) {
		var receivers int
		if receivers, err = node.PublishEvent(t.Context(), overloadTopic, "e", data.Count(uint64(sent)), overloadPad); err == nil {
			sent++
		}
		if (err == nil) != (receivers == 2) {
			t.Fatalf("sent to %d, %v", receivers, err)
		}
		return err
	}
	for publish() == nil {
	}
	if err := publish(); !errors.Is(err, endpoint.ErrFull) {
		t.Errorf("error %v", err)
	}
	good.wait(t, sent)
	stuck.start()
	for i := 0; i < 2*overloadMessages; {
		if publish() == nil {
			i++
		}
	}
	for _, s := range []*sink{stuck, good} {
		s.wait(t, sent)
		if got := s.about(t, node); len(got.Dropped) > 0 {
			t.Errorf("dropped %v", got.Dropped)
		}
	}
	if err := node.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, b := stuck.end(), good.end(); a != sent || b != sent {
		t.Errorf("received %d and %d, sent %d", a, b, sent)
	}
}
