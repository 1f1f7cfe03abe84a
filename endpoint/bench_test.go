package endpoint_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// benchTopic and benchEvent make a frame of 106 bytes.
const benchTopic = "/bench/x"

var benchID = wire.EndpointID{15: 1} // smaller than any random id

func benchFrame() []byte {
	return wire.AppendEnvelope(nil, wire.Envelope{
		Sender: benchID, Type: wire.TypeData, TTL: wire.DefaultTTL, Topic: []byte(benchTopic),
		Payload: zeek.AppendEvent(nil, "event_1x", data.Count(42), data.String("test")),
	})
}

// BenchmarkReceive: one peer sends 106-byte events as fast as the socket takes them; one subscriber
// gets each as an event and checks its name and arguments. "bare" only walks over the frames.
func BenchmarkReceive(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		startRole(b, nil, "sender", l.Addr().String())
		conn, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		p, err := shake(conn, handshake.Listener, wire.EndpointID{0: 0xff})
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 256<<10)
		have := 0
		b.SetBytes(int64(len(benchFrame())))
		b.ResetTimer()
		for seen := 0; seen < b.N; {
			n, err := p.r.Read(buf[have:])
			if err != nil {
				b.Fatal(err)
			}
			have += n
			at := 0
			for have-at >= 4 {
				end := at + 4 + int(binary.BigEndian.Uint32(buf[at:]))
				if end > have {
					break
				}
				at = end
				seen++
			}
			have = copy(buf, buf[at:have])
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	})
	b.Run("subscriber", func(b *testing.B) {
		e := newEndpoint(b)
		sub, err := e.Subscribe([]string{"/bench/"}, endpoint.WithQueue(endpoint.QueueLimits{Policy: endpoint.Block, Messages: 1 << 16}))
		if err != nil {
			b.Fatal(err)
		}
		startRole(b, nil, "sender", listen(b, e))
		b.SetBytes(int64(len(benchFrame())))
		seen := 0
		for m := range sub.Messages(b.Context()) {
			if seen == 0 {
				b.ResetTimer()
			}
			ev, err := m.EventView()
			if err != nil || string(ev.Name) != "event_1x" || ev.NumArgs != 2 ||
				ev.Args.Count() != 42 || string(ev.Args.Bytes()) != "test" || ev.Args.Finish() != nil {
				b.Fatalf("%v %v", ev, err)
			}
			if seen++; seen > b.N {
				break
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		b.ReportMetric(float64(sub.Stats().Dropped), "dropped")
	})
}

// BenchmarkPublish: small events to sinks in another process. All get each message, or each gets its
// own.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct {
		sinks int
		all   bool
	}{{1, true}, {10, true}, {100, true}, {100, false}} {
		name := fmt.Sprintf("%d-sinks", c.sinks)
		which := "all"
		if !c.all {
			name += "-one-each"
			which = "own"
		}
		b.Run(name, func(b *testing.B) {
			e := newEndpoint(b, endpoint.WithPeerQueue(endpoint.QueueLimits{Policy: endpoint.Block, Messages: 1 << 16}))
			startRole(b, nil, "sinks", listen(b, e), fmt.Sprint(c.sinks), which).line(b)
			ctx := context.Background()
			if err := e.WaitPeers(ctx, c.sinks); err != nil {
				b.Fatal(err)
			}
			topics := make([]string, c.sinks)
			for i := range topics {
				topics[i] = fmt.Sprintf("/bench/%d/", i)
			}
			receivers := 1
			if c.all {
				receivers = c.sinks
			}
			b.ReportAllocs()
			b.ResetTimer()
			next := 0
			for range b.N {
				topic := topics[next]
				if !c.all {
					if next++; next == len(topics) {
						next = 0
					}
				}
				if n, err := e.PublishEvent(ctx, topic, "event_1x", data.Count(42), data.String("test")); n != receivers || err != nil {
					b.Fatalf("queued for %d, %v", n, err)
				}
			}
			// Until everything is written.
			want, sent := uint64(b.N)*uint64(receivers), uint64(0)
			for deadline := time.Now().Add(time.Minute); sent < want; {
				sent = 0
				for _, p := range e.Peers() {
					sent += p.FramesOut
				}
				if time.Now().After(deadline) {
					b.Fatalf("%d of %d sent", sent, want)
				}
				time.Sleep(100 * time.Microsecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(want)/b.Elapsed().Seconds(), "deliveries/s")
			dropped := uint64(0)
			for _, p := range e.Peers() {
				dropped += p.Dropped[endpoint.DropQueueFull]
			}
			b.ReportMetric(float64(dropped), "dropped")
		})
	}
}
