package interop

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// dataFrame returns a frame with a message from p.
func dataFrame(p *rawPeer, topic string, receiver wire.EndpointID, v data.Value) []byte {
	return wire.AppendEnvelope(nil, wire.Envelope{
		Sender: p.id, Receiver: receiver, Type: wire.TypeData, TTL: wire.DefaultTTL,
		Topic: []byte(topic), Payload: data.AppendValue(nil, v),
	})
}

// Every recorded value, and every payload of the recorded cluster, comes through a node as it went in.
func TestNodeForwardsValues(t *testing.T) {
	withNodes(t, func(t *testing.T, program string) {
		n := startNode(t, program, "relay")
		from, to := newEndpoint(t), newEndpoint(t)
		w := watch(t, to, nodeTopic)
		connect(t, to, n.addr)
		relay := w.status(t, endpoint.PeerAdded).Peer
		connect(t, from, n.addr)

		type sent struct {
			topic   string
			payload []byte
		}
		var all []sent
		for _, rec := range recordings(t, "wire*/values.jsonl.gz", len(versions)) {
			for _, r := range rec.rows {
				if payload, _ := hex.DecodeString(r.Payload); len(payload) > 0 {
					all = append(all, sent{nodeTopic + "/" + r.Name, payload})
				}
			}
		}
		for _, rec := range recordings(t, "zeek/*/links/worker-1_to_*.jsonl.gz", 6) {
			for _, r := range rec.rows {
				if len(r.frame) == 0 {
					continue
				}
				if e, err := wire.ParseEnvelope(body(t, r.frame)); err == nil && e.Type == wire.TypeData && e.TTL == wire.DefaultTTL {
					all = append(all, sent{nodeTopic + "/" + string(e.Topic), e.Payload})
				}
			}
		}
		if len(all) < 385+1500 {
			t.Errorf("%d payloads", len(all))
		}
		const burst = 500 // well below what a node queues for a peer
		for len(all) > 0 {
			some := all[:min(burst, len(all))]
			all = all[len(some):]
			for _, s := range some {
				if n, err := from.PublishPayload(deadline(t), s.topic, s.payload); err != nil || n != 1 {
					t.Fatalf("%s: published to %d, %v", s.topic, n, err)
				}
			}
			for _, s := range some {
				m := w.message(t)
				if m.Topic() != s.topic || !bytes.Equal(m.Payload(), s.payload) {
					t.Fatalf("got %s %x\nwant %s %x", m.Topic(), m.Payload(), s.topic, s.payload)
				}
				if m.Sender() != relay || m.Direct() {
					t.Fatalf("%s: from %v, direct %v", s.topic, m.Sender(), m.Direct())
				}
			}
		}
	})
}

// A value of every kind, built here, comes back as it was.
func TestNodeForwardsEveryKind(t *testing.T) {
	withNodes(t, func(t *testing.T, program string) {
		n := startNode(t, program, "relay")
		from, to := newEndpoint(t), newEndpoint(t)
		w := watch(t, to, nodeTopic)
		connect(t, to, n.addr)
		connect(t, from, n.addr)
		seen := map[data.Kind]bool{}
		for name, v := range everyKind() {
			seen[v.Kind()] = true
			publish(t, from, nodeTopic+"/"+name, v)
			m := w.message(t)
			if got, err := m.Value(); err != nil || !got.Equal(v) || m.Topic() != nodeTopic+"/"+name {
				t.Errorf("%s: got %v on %s, want %v: %v", name, got, m.Topic(), v, err)
			}
		}
		for kind := data.KindNone; kind <= data.KindVector; kind++ {
			if !seen[kind] {
				t.Errorf("no %v", kind)
			}
		}
	})
}

// Subscriptions are prefixes, byte by byte.
func TestNodeMatchesPrefixes(t *testing.T) {
	withNodes(t, func(t *testing.T, program string) {
		n := startNode(t, program, "relay")
		from, to := newEndpoint(t), newEndpoint(t)
		w := watch(t, to, nodeTopic+"/pre", nodeTopic+"/end")
		connect(t, to, n.addr)
		connect(t, from, n.addr)
		want := []string{"/pre", "/prefix", "/pre/x", "/precise/y", "/end"}
		for _, name := range []string{"/pre", "/pr", "/prefix", "/Prefix", "/pre/x", "", "/x/pre", "/precise/y", "/en", "/end"} {
			publish(t, from, nodeTopic+name, data.String(name))
		}
		for _, name := range want {
			if m := w.message(t); m.Topic() != nodeTopic+name {
				t.Fatalf("got %s, want %s", m.Topic(), nodeTopic+name)
			}
		}
		if p := onlyPeer(t, to); len(p.Dropped) != 0 {
			t.Errorf("the node sent what nobody wants: %+v", p)
		}
	})
}

// What is subscribed to and given up after the handshake counts, too.
func TestNodeFollowsSubscriptions(t *testing.T) {
	withNodes(t, func(t *testing.T, program string) {
		n := startNode(t, program, "relay")
		from, to := newEndpoint(t), newEndpoint(t)
		w := watch(t, to, nodeTopic+"/mark")
		connect(t, to, n.addr)
		connect(t, from, n.addr)
		// What was published before the mark has come when the mark has.
		probe := func(topic string) {
			publish(t, from, topic, data.None())
			publish(t, from, nodeTopic+"/mark", data.None())
			w.message(t)
		}
		for round := range 3 {
			topic := fmt.Sprintf("%s/late/%d", nodeTopic, round)
			sub, err := to.Subscribe([]string{topic})
			if err != nil {
				t.Fatal(err)
			}
			for !sub.Buffered() {
				probe(topic)
			}
			for m := range sub.Messages(deadline(t)) {
				if m.Topic() != topic {
					t.Errorf("got %s, want %s", m.Topic(), topic)
				}
				break
			}
			sub.Close()
			for before := ^uint64(0); ; {
				probe(topic)
				unwanted := onlyPeer(t, to).Dropped[endpoint.DropNoSubscriber]
				if unwanted == before {
					break
				}
				before = unwanted
			}
		}
	})
}

// A message for one node goes to that node alone, whether it is subscribed or not: from us to a node,
// and through a node.
func TestNodeDirect(t *testing.T) {
	withNodes(t, func(t *testing.T, program string) {
		n := startNode(t, program, "pong")
		e, other := newEndpoint(t), newEndpoint(t)
		w := watch(t, e, nodeTopic+"/answers")
		connect(t, e, n.addr)
		nodeID := w.status(t, endpoint.PeerAdded).Peer
		answers(t, e, w, nodeTopic+"/answers")

		const id = 1 << 40
		topic := nodeTopic + "/answers/direct"
		queued, err := e.PublishTo(deadline(t), nodeID, topic, data.AppendValue(nil, pingValue(id)))
		if err != nil || !queued {
			t.Fatalf("queued: %v, %v", queued, err)
		}
		pong(t, w, id)

		// Through the node: nobody is subscribed to this topic there, and one of two is meant.
		bystander := watch(t, other, nodeTopic)
		connect(t, other, n.addr)
		raw, err := dialRaw(t, n.addr, wire.NewEndpointID())
		if err != nil {
			t.Fatal(err)
		}
		raw.send(t, dataFrame(raw, nodeTopic+"/answers/private", e.ID(), data.String("for you")))
		m := w.message(t)
		if v, err := m.Value(); err != nil || !v.Equal(data.String("for you")) || !m.Direct() || m.Sender() != nodeID {
			t.Errorf("got %v, direct %v, from %v: %v", v, m.Direct(), m.Sender(), err)
		}
		raw.send(t, dataFrame(raw, nodeTopic+"/public", wire.EndpointID{}, data.String("for all")))
		if v, err := bystander.message(t).Value(); err != nil || !v.Equal(data.String("for all")) {
			t.Errorf("the bystander got %v: %v", v, err)
		}
	})
}

// everyKind are values of all kinds, at the ends of their ranges.
func everyKind() map[string]data.Value {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::ff")
	set := data.Set(data.Count(3), data.Count(1), data.String("x"), data.None())
	all := map[string]data.Value{
		"none":           data.None(),
		"true":           data.Bool(true),
		"false":          data.Bool(false),
		"count":          data.Count(math.MaxUint64),
		"int":            data.Int(math.MinInt64),
		"real":           data.Real(math.Pi),
		"largest real":   data.Real(-math.MaxFloat64),
		"infinity":       data.Real(math.Inf(1)),
		"minus infinity": data.Real(math.Inf(-1)),
		"nan":            data.Real(math.NaN()),
		"minus zero":     data.Real(math.Copysign(0, -1)),
		"empty string":   data.String(""),
		"binary string":  data.String("\x00\xff\xfe"),
		"long string":    data.String(strings.Repeat("0123456789", 100_000)),
		"ipv4":           data.Addr(v4),
		"ipv6":           data.Addr(v6),
		"ipv4 subnet":    data.Subnet(netip.PrefixFrom(v4, 24)),
		"ipv6 subnet":    data.Subnet(netip.PrefixFrom(v6, 64)),
		"port":           data.Port(65535, data.ProtoICMP),
		"unknown port":   data.Port(0, data.ProtoUnknown),
		"time":           data.Timestamp(math.MaxInt64),
		"before 1970":    data.Timestamp(math.MinInt64),
		"timespan":       data.Timespan(math.MinInt64),
		"enum":           data.Enum("Conn::LOG"),
		"set":            set,
		"table":          data.Table(data.Entry{Key: set, Value: data.Set()}, data.Entry{Key: data.Addr(v4), Value: data.Table()}),
		"vector":         data.Vector(set, data.Vector(), data.Real(0.1)),
	}
	deep := data.Vector()
	for range data.MaxDepth - 1 {
		deep = data.Vector(deep)
	}
	all["deep"] = deep
	return all
}
