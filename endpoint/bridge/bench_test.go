package bridge

import (
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/websocket"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// The whole way, all in one process: a native peer, the bridge, a WebSocket server and a subscriber behind
// it, or the other way round. Every queue makes whoever fills it wait, or is long enough.
func BenchmarkBridge(b *testing.B) {
	block := endpoint.WithPeerQueue(endpoint.QueueLimits{Policy: endpoint.Block})
	long := endpoint.QueueLimits{Messages: 1 << 24, Bytes: 1 << 30, Policy: endpoint.Block}
	for _, way := range []side{webSocket, native} {
		b.Run(map[side]string{webSocket: "to-websocket", native: "to-native"}[way], func(b *testing.B) {
			zeekNode, here, there := newEndpoint(b, block), newEndpoint(b, block), newEndpoint(b, block)
			s, err := websocket.Listen(b.Context(), zeekNode, "127.0.0.1:0", websocket.WithQueue(endpoint.QueueLimits{Messages: 1 << 24, Bytes: 1 << 30}))
			if err != nil {
				b.Fatal(err)
			}
			defer shutdown(b, s)
			peer(b, here, there)
			br, _ := connected(b, here, "ws://"+s.Addr().String(), Config{
				Queue: long, Client: []websocket.ClientOption{websocket.WithClientQueues(1<<20, 1<<30)},
			})
			from, to, topic, name := there, zeekNode, "zeek/cluster/", "zeek.cluster."
			if way == native {
				from, to, topic, name = to, from, name, topic
			}
			sub, err := to.Subscribe([]string{name}, endpoint.WithQueue(long))
			if err != nil {
				b.Fatal(err)
			}
			until(b, "a way", func() bool {
				n, err := from.PublishEvent(b.Context(), topic, "event_1x", data.Count(0), data.String("test"))
				return err == nil && n > 0 && (way == webSocket || br.Stats().ToNative.Forwarded > 0)
			})
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				for i := range b.N {
					from.PublishEvent(b.Context(), topic, "event_1x", data.Count(uint64(i+1)), data.String("test"))
				}
			}()
			n := 0
			for range sub.Messages(patient(b)) {
				if n++; n == b.N {
					break
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
			stats := br.Stats()
			for _, d := range []Direction{stats.ToNative, stats.ToWebSocket} {
				for reason, dropped := range d.Dropped {
					if reason != DropNoReceiver {
						b.Errorf("%d dropped: %v", dropped, reason)
					}
				}
			}
		})
	}
}
