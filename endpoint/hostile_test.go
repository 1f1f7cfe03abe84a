package endpoint_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// serves fails the test unless node still takes a new peer, its message, and answers a ping.
func serves(t *testing.T, node *endpoint.Endpoint, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sub, err := node.Subscribe([]string{"/good"})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	good := newEndpoint(t)
	peering := connect(t, good, addr)
	defer peering.Unpeer(ctx)
	if _, err := good.Ping(ctx, node.ID()); err != nil {
		t.Fatalf("ping: %v", err)
	}
	for {
		// The subscription may be announced a moment after the peering.
		n, err := good.PublishEvent(ctx, "/good", "hello")
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			break
		}
		if _, err := good.Ping(ctx, node.ID()); err != nil {
			t.Fatalf("ping: %v", err)
		}
	}
	for range sub.Messages(ctx) {
		return
	}
	t.Fatalf("no message: %v", ctx.Err())
}

func frame(body ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func hello(magic string, lowest, highest byte) []byte {
	id := wire.NewEndpointID()
	return frame(slices.Concat([]byte{6}, []byte(magic), id[:], []byte{lowest, highest})...)
}

// What strangers send instead of a handshake ends in the right refusal, an error that names what was
// seen, and a closed connection.
func TestHostileHandshakes(t *testing.T) {
	good := wire.Hello{Sender: benchID, Min: 1, Max: 1}.AppendFrame(nil) // smaller: it becomes the originator
	selected := slices.Concat(good, wire.VersionSelect{Sender: benchID, Version: 1}.AppendFrame(nil))
	for _, c := range []struct {
		name string
		send []byte
		code wire.Code // of the drop_conn; none if the connection is to be closed without a word
		want string    // in the error
	}{
		{"wrong magic", hello("KEEZ", 1, 1), wire.CodeWrongMagicNumber, `"KEEZ"`},
		{"version 0", hello("ZEEK", 0, 0), wire.CodePeerIncompatible, "versions 0 to 0"},
		{"versions 2-3", hello("ZEEK", 2, 3), wire.CodePeerIncompatible, "versions 2 to 3"},
		{"unknown type", frame(77), wire.CodeInvalidMessage, "unknown handshake message 77"},
		{"truncated hello", frame(6, 'Z', 'E', 'E', 'K', 1, 2), wire.CodeInvalidMessage, "ends too early"},
		{"overlong hello", frame(append(good[4:], 0)...), wire.CodeInvalidMessage, "left over"},
		{"empty frame", frame(), wire.CodeInvalidMessage, "frame is empty"},
		{"2^31 bytes", []byte{0x80, 0, 0, 0, 6, 'Z', 'E', 'E', 'K', 0, 0, 0, 0, 0, 0, 0}, 0, "80 00 00 00"},
		{"out of order", wire.OriginatorAck{}.AppendFrame(nil), 0, "got originator_ack, want hello"},
		{"2^32 filter entries", append(selected, frame(10, 0xff, 0xff, 0xff, 0xff, 0x0f)...), wire.CodeInvalidMessage, "4294967295"},
		{"varbyte of 11 bytes", append(selected, frame(10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1)...), wire.CodeInvalidMessage, "32 bits"},
		{"filter beyond the cap", append(selected, wire.OriginatorSyn{Filter: slices.Repeat([]string{"x"}, wire.MaxFilterEntries+1)}.AppendFrame(nil)...), wire.CodeInvalidMessage, "filter too large"},
		{"probes without end", slices.Repeat(wire.Probe{}.AppendFrame(nil), 100), 0, "more than 16 frames"},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0, "HTTP"},
		{"TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and 32 random bytes"), 0, "TLS"},
		{"Broker before 2.3", []byte{0, 0, 0, 0, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3}, wire.CodeInvalidMessage, "Zeek 4.2"},
		{"nothing, then closed", nil, 0, "closed the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := newEndpoint(t, endpoint.WithID(wire.EndpointID{0: 0xff, 15: 1}))
			statuses, err := node.Subscribe(nil, endpoint.WithStatus())
			if err != nil {
				t.Fatal(err)
			}
			addr := listen(t, node)
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			if _, err := conn.Write(c.send); err != nil {
				t.Fatal(err)
			}
			conn.(*net.TCPConn).CloseWrite()
			answer, err := io.ReadAll(conn)
			if err != nil && !strings.Contains(err.Error(), "reset") {
				t.Fatalf("not closed: %v", err)
			}
			code := wire.CodeNone
			for len(answer) > 0 {
				body, rest, _, err := wire.NextFrame(answer, 1<<20)
				if err != nil || body == nil {
					t.Fatalf("answer %x: %v", answer, err)
				}
				if msg, err := wire.ParseHandshake(body); err != nil {
					t.Fatal(err)
				} else if drop, ok := msg.(wire.DropConn); ok {
					code = drop.Code
				}
				answer = rest
			}
			if code != c.code {
				t.Errorf("refused with %v, want %v", code, c.code)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for ev := range statuses.Events(ctx) {
				if s := ev.Status; s.Code != endpoint.PeerInvalid || s.Err == nil || !strings.Contains(s.Err.Error(), c.want) {
					t.Errorf("status %v, want %q", s, c.want)
				}
				break
			}
			serves(t, node, addr)
		})
	}
}

// What a dialer meets instead of a node is named, too.
func TestDialForeign(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"HTTP":     {"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"},
		"SSH":      {"SSH-2.0-OpenSSH_9.2\r\n", "SSH"},
		"TLS":      {"\x15\x03\x01\x00\x02\x02\x46", "TLS"},
		"old node": {"\x00\x00\x00\x00\x00\x00\x00\x50\x00\x00\x00\x00\x00\x00\x00\x05", "Zeek 4.2"},
		"hang-up":  {"", "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				io.ReadFull(conn, make([]byte, 27)) // the hello
				io.WriteString(conn, c.answer)
			}()
			p, err := newEndpoint(t).Peer(l.Addr().String(), endpoint.RetryEvery(0))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// Whoever says nothing, or a byte now and then, is cut off by the deadline.
func TestSlowHandshake(t *testing.T) {
	node := newEndpoint(t, endpoint.WithHandshakeTimeout(300*time.Millisecond))
	statuses, err := node.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, node)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		for _, c := range hello("ZEEK", 1, 1) {
			if _, err := conn.Write([]byte{c}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond) // this is the behaviour under test, not a wait for something
		}
	}()
	for ev := range statuses.Events(t.Context()) {
		if !errors.Is(ev.Status.Err, endpoint.ErrTimeout) {
			t.Errorf("status %v", ev.Status)
		}
		break
	}
	serves(t, node, addr)
}

func TestTwoNodesWithOneID(t *testing.T) {
	id := wire.NewEndpointID()
	a, b := newEndpoint(t, endpoint.WithID(id)), newEndpoint(t, endpoint.WithID(id))
	p, err := b.Peer(listen(t, a), endpoint.RetryEvery(0))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Wait(t.Context())
	if err == nil || !strings.Contains(err.Error(), "endpoint id") {
		t.Errorf("error %v", err)
	}
}

func nested(depth int) []byte {
	return append(bytes.Repeat([]byte{byte(data.KindVector), 1}, depth), byte(data.KindNone))
}

// Frames of a peer that cannot be used are dropped and counted, and the connection stays.
func TestHostileFrames(t *testing.T) {
	for _, c := range []struct {
		name   string
		frame  func(p *rawPeer) []byte
		reason endpoint.DropReason
	}{
		{"too short", func(p *rawPeer) []byte { return frame(1, 2, 3) }, endpoint.DropMalformed},
		{"topic longer than the frame", func(p *rawPeer) []byte {
			f := p.data("/test", nil)
			binary.BigEndian.PutUint16(f[wire.FrameHeaderLen+wire.TopicLenOffset:], 6)
			return f
		}, endpoint.DropMalformed},
		{"unknown type", func(p *rawPeer) []byte {
			f := p.data("/test", nil)
			f[wire.FrameHeaderLen+wire.TypeOffset] = 99
			return f
		}, endpoint.DropMalformed},
		{"another's sender id", func(p *rawPeer) []byte {
			f := p.data("/test", data.AppendCount(nil, 1))
			f[wire.FrameHeaderLen]++
			return f
		}, endpoint.DropForgedSender},
		{"a routing update in another's name", func(p *rawPeer) []byte {
			return wire.AppendRoutingUpdate(nil, wire.NewEndpointID(), p.remote, []string{"/stolen"})
		}, endpoint.DropForgedSender},
		{"filter that claims 2^32 entries", func(p *rawPeer) []byte {
			return wire.AppendEnvelope(nil, wire.Envelope{
				Sender: p.id, Receiver: p.remote, Type: wire.TypeRoutingUpdate, Topic: []byte(wire.ControlTopic), Payload: []byte{0xff, 0xff, 0xff, 0xff, 0x0f},
			})
		}, endpoint.DropMalformed},
		{"addressed to somebody else", func(p *rawPeer) []byte {
			return wire.AppendEnvelope(nil, wire.Envelope{Sender: p.id, Receiver: wire.NewEndpointID(), Type: wire.TypeData, Topic: []byte("/test"), Payload: nested(0)})
		}, endpoint.DropNotForUs},
		{"a command nobody asked for", func(p *rawPeer) []byte {
			return wire.AppendEnvelope(nil, wire.Envelope{Sender: p.id, Type: wire.TypeCommand, Topic: []byte("/test"), Payload: nested(0)})
		}, endpoint.DropNoSubscriber},
		{"to a topic nobody asked for", func(p *rawPeer) []byte { return p.data("/other", nested(0)) }, endpoint.DropNoSubscriber},
		{"a topic that never leaves a node", func(p *rawPeer) []byte { return p.data("<$>/local/data/statuses", nested(0)) }, endpoint.DropMalformed},
		{"a ping of 2 MB", func(p *rawPeer) []byte {
			return wire.AppendPing(nil, p.id, p.remote, make([]byte, 2<<20))
		}, endpoint.DropPongFlood},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := newEndpoint(t)
			sub, err := node.Subscribe([]string{"/test"})
			if err != nil {
				t.Fatal(err)
			}
			addr := listen(t, node)
			p := dialRaw(t, addr)
			// An empty frame is nothing at all; and what follows the bad frame is delivered.
			p.write(t, frame(), c.frame(p), p.data("/test", data.AppendCount(nil, 7)))
			for m := range sub.Messages(t.Context()) {
				if v, err := m.Value(); err != nil || !v.Equal(data.Count(7)) {
					t.Errorf("got %v, %v", v, err)
				}
				break
			}
			info := node.Peers()[0]
			if info.Dropped[c.reason] != 1 || len(info.Dropped) != 1 {
				t.Errorf("dropped %v, want one for %v", info.Dropped, c.reason)
			}
			serves(t, node, addr)
		})
	}
}

// Values that are not, are the subscriber's to see: decoding says what is wrong. No forwarder passes
// them on.
func TestHostileValues(t *testing.T) {
	twice := append(data.AppendSetHeader(nil, 2), 2, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1)
	for _, c := range []struct {
		name    string
		payload []byte
		want    error
		passed  bool // by a forwarder: it hurts nobody
	}{
		{"nested a million deep", nested(1_000_000), data.ErrDepth, false},
		{"nested 101 deep", nested(101), data.ErrDepth, false},
		{"nested 100 deep", nested(100), nil, true},
		{"duplicate member", twice, data.ErrDuplicate, true},
		{"count without bytes", []byte{byte(data.KindVector), 0xff, 0xff, 0xff, 0xff, 0x0f}, data.ErrTruncated, false},
		{"varbyte of 11 bytes", append([]byte{byte(data.KindVector)}, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1), data.ErrVarbyte, false},
		{"no such kind", []byte{15}, data.ErrKind, false},
		{"trailing byte", []byte{0, 0}, data.ErrTrailing, false},
		{"nothing", nil, data.ErrTruncated, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			forwarder := newEndpoint(t, endpoint.WithForwarding())
			addr := listen(t, forwarder)
			far := newEndpoint(t)
			sub, err := far.Subscribe([]string{"/test"})
			if err != nil {
				t.Fatal(err)
			}
			connect(t, far, addr)
			near, err := forwarder.Subscribe([]string{"/test"})
			if err != nil {
				t.Fatal(err)
			}
			if err := forwarder.WaitPeers(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			p := dialRaw(t, addr)
			p.write(t, p.data("/test", c.payload), p.data("/test", data.AppendString(nil, "end")))
			for m := range near.Messages(t.Context()) {
				_, err := m.Value()
				if !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
				break
			}
			passed := 0
			for m := range sub.Messages(t.Context()) {
				if bytes.Equal(m.Payload(), data.AppendString(nil, "end")) {
					break
				}
				passed++
			}
			if (passed > 0) != c.passed {
				t.Errorf("%d passed on", passed)
			}
			for _, info := range forwarder.Peers() {
				if info.ID == p.id && (info.Dropped[endpoint.DropInvalidPayload] > 0) == c.passed {
					t.Errorf("dropped %v", info.Dropped)
				}
			}
		})
	}
}

// A frame above the limit ends the peering as soon as its length is there, with an error that says so.
func TestOversizedFrame(t *testing.T) {
	node := newEndpoint(t)
	statuses, err := node.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, node)
	p := dialRaw(t, addr)
	p.write(t, binary.BigEndian.AppendUint32(nil, math.MaxInt32))
	for ev := range statuses.Events(t.Context()) {
		if ev.Status.Code == endpoint.PeerAdded {
			continue
		}
		var large *wire.FrameTooLargeError
		if !errors.As(ev.Status.Err, &large) || large.Len != math.MaxInt32 {
			t.Errorf("status %v", ev.Status)
		}
		break
	}
	serves(t, node, addr)
}

// heap returns how many bytes are in use, as the collection that it makes finds: what others allocate and
// let go between that and the look does not count.
func heap() uint64 {
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return live[0].Value.Uint64()
}

// Peers that announce much, or ask for much and never read, cost what they send and no more.
func TestHostileMemory(t *testing.T) {
	node := newEndpoint(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Bytes: 1 << 20}))
	addr := listen(t, node)
	before := heap()
	for range 50 {
		// Each announces 60 MB and sends none of it.
		p := dialRaw(t, addr)
		p.write(t, binary.BigEndian.AppendUint32(nil, 60<<20))
	}
	stuck := dialRaw(t, addr, "/test") // reads nothing from now on
	stop := context.AfterFunc(t.Context(), func() { stuck.Close() })
	defer stop()
	pinged := make(chan struct{})
	go func() {
		defer close(pinged)
		ping := wire.AppendPing(nil, stuck.id, stuck.remote, make([]byte, 1_000_000))
		for range 200 {
			if _, err := stuck.Write(ping); err != nil {
				return
			}
		}
	}()
	<-pinged
	for range 100 {
		if _, err := node.Publish(t.Context(), "/test", data.String(strings.Repeat("x", 1<<20))); err != nil {
			t.Fatal(err)
		}
	}
	if used := int64(heap()) - int64(before); used > 20<<20 {
		t.Errorf("%d bytes in use", used)
	}
	for _, info := range node.Peers() {
		if info.ID == stuck.id && (info.Dropped[endpoint.DropPongFlood] == 0 || info.Dropped[endpoint.DropQueueFull] == 0) {
			t.Errorf("dropped %v", info.Dropped)
		}
	}
	serves(t, node, addr)
}

// Thousands of connections that say nothing keep nobody out.
func TestSilentConnections(t *testing.T) {
	node := newEndpoint(t)
	addr := listen(t, node)
	before := heap()
	var n, opened int
	n = 8000
	if _, err := fmt.Sscanf(startRole(t, nil, "silent", addr, fmt.Sprint(n)).line(t), "ready %d", &opened); err != nil {
		t.Fatal(err)
	}
	if opened < n/2 {
		t.Skipf("only %d of %d connections could be opened", opened, n)
	}
	serves(t, node, addr)
	if used := int64(heap()) - int64(before); used > 50<<20 {
		t.Errorf("%d bytes in use", used)
	}
}

// Whoever has not told its id gets little memory, and no more peers than there may be are let in.
func TestStrangersAreCheap(t *testing.T) {
	node := newEndpoint(t, endpoint.WithMaxPeers(2))
	statuses, err := node.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, node)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, 5000)); err != nil {
		t.Fatal(err)
	}
	for ev := range statuses.Events(t.Context()) {
		if ev.Status.Code != endpoint.PeerInvalid {
			t.Errorf("status %v", ev.Status)
		}
		break
	}
	dialRaw(t, addr)
	dialRaw(t, addr)
	p, err := newEndpoint(t).Peer(addr, endpoint.RetryEvery(0))
	if err != nil {
		t.Fatal(err)
	}
	var dropped *handshake.DroppedError
	if _, err := p.Wait(t.Context()); !errors.As(err, &dropped) || dropped.Code != wire.CodePeerInvalid {
		t.Errorf("error %v", err)
	}
	for ev := range statuses.Events(t.Context()) {
		if ev.Status.Code != endpoint.PeerInvalid {
			continue // the two peers
		}
		if !errors.Is(ev.Status.Err, endpoint.ErrTooManyPeers) {
			t.Errorf("status %v", ev.Status)
		}
		break
	}
}

// Nothing goes out that ends the peering of whoever has the same limits.
func TestPublishTooLarge(t *testing.T) {
	node := newEndpoint(t, endpoint.WithMaxFrame(2000, 2000))
	p := dialRaw(t, listen(t, node), "/test")
	if err := node.WaitPeers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	large := data.String(strings.Repeat("x", 2000))
	payload := data.AppendValue(nil, large)
	for name, publish := range map[string]func() error{
		"value":   func() error { _, err := node.Publish(t.Context(), "/test", large); return err },
		"event":   func() error { _, err := node.PublishEvent(t.Context(), "/test", "e", large); return err },
		"payload": func() error { _, err := node.PublishPayload(t.Context(), "/test", payload); return err },
		"to one":  func() error { _, err := node.PublishTo(t.Context(), p.id, "/test", payload); return err },
	} {
		if err := publish(); !errors.Is(err, endpoint.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := node.PublishEvent(t.Context(), "/test", "small"); err != nil {
		t.Fatal(err)
	}
	for {
		body, err := p.readFrame()
		if err != nil {
			t.Fatal(err)
		}
		if e, err := wire.ParseEnvelope(body); err == nil && e.Type == wire.TypeData {
			if v, err := zeek.ParseEventView(e.Payload); err != nil || string(v.Name) != "small" {
				t.Errorf("%v, %v", v.Name, err)
			}
			break
		}
	}
}

// The error of a refusal by the other node carries its code and text.
func TestRefusedByPeer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Write(wire.DropConn{Sender: benchID, Code: wire.CodeShuttingDown, Description: "shutting down"}.AppendFrame(nil))
		io.Copy(io.Discard, conn)
	}()
	p, err := newEndpoint(t).Peer(l.Addr().String(), endpoint.RetryEvery(0))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Wait(t.Context())
	var dropped *handshake.DroppedError
	if !errors.As(err, &dropped) || dropped.Code != wire.CodeShuttingDown {
		t.Errorf("error %v", err)
	}
}
