package endpoint_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/topic"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// answered waits until the node has dispatched all that p has written.
func (p *rawPeer) answered(t testing.TB) {
	t.Helper()
	token := wire.NewEndpointID()
	p.write(t, wire.AppendPing(nil, p.id, p.remote, token[:]))
	for {
		body, err := p.readFrame()
		if err != nil {
			t.Fatal(err)
		}
		if e, err := wire.ParseEnvelope(body); err == nil && e.Type == wire.TypePong && string(e.Payload) == string(token[:]) {
			return
		}
	}
}

// about returns what node knows of p.
func (p *rawPeer) about(t testing.TB, node *endpoint.Endpoint) endpoint.PeerInfo {
	t.Helper()
	for _, info := range node.Peers() {
		if info.ID == p.id {
			return info
		}
	}
	t.Fatalf("%v is no peer", p.id)
	return endpoint.PeerInfo{}
}

// fixed are rules that are the same for everybody.
func fixed(a endpoint.Access) endpoint.Option {
	return endpoint.WithAccess(func(endpoint.Identity) endpoint.Access { return a })
}

// lossless is a queue that holds up who fills it.
var lossless = endpoint.QueueLimits{Policy: endpoint.Block, Messages: 1 << 20}

// What is left of a filter takes a topic exactly if the filter and the rules do, and is minimal.
func TestNarrow(t *testing.T) {
	name := rapid.StringOfN(rapid.RuneFrom([]rune("ab/")), 0, 4, -1)
	names := rapid.SliceOfN(name, 0, 6)
	rapid.Check(t, func(t *rapid.T) {
		filter, allowed := names.Draw(t, "filter"), append([]string{}, names.Draw(t, "allowed")...)
		got, err := endpoint.Access{Subscribe: allowed}.Narrow(filter)
		if !slices.Equal(got, topic.NewFilter(got...)) {
			t.Fatalf("%q is not minimal", got)
		}
		wanted, may, narrowed := topic.NewFilter(filter...), topic.NewFilter(allowed...), topic.NewFilter(got...)
		for range 20 {
			x := rapid.StringOfN(rapid.RuneFrom([]rune("ab/")), 0, 6, -1).Draw(t, "topic")
			if want := wanted.Matches(x) && may.Matches(x); narrowed.Matches(x) != want {
				t.Fatalf("%q narrowed to %q by %q: %q is taken: %t", filter, got, allowed, x, !want)
			}
		}
		if all := slices.Equal(narrowed, wanted); all != (err == nil) {
			t.Fatalf("%q narrowed to %q by %q: error %v", filter, got, allowed, err)
		}
	})
	if got, err := (endpoint.Access{}).Narrow([]string{"b", "a"}); err != nil || !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("no rules: got %q, %v", got, err)
	}
	// A filter made of one topic again and again does not multiply by the rules.
	many := slices.Repeat([]string{""}, wire.MaxFilterEntries)
	if got, _ := (endpoint.Access{Subscribe: []string{"a", "b", "c"}}).Narrow(many); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %q", got)
	}
}

// Payloads of each kind, and payloads that hide one.
var (
	anEvent      = zeek.AppendEvent(nil, "hello")
	aLogWrite    = zeek.LogWrite{Stream: "Conn::LOG", Writer: "Log::WRITER_ASCII", Path: "conn"}.AppendMessage(nil)
	aLogCreate   = zeek.LogCreate{Stream: "Conn::LOG", Writer: "Log::WRITER_ASCII", Info: zeek.WriterInfo{Config: data.Table()}}.AppendMessage(nil)
	anUpdate     = zeek.IdentifierUpdate{ID: "x", Value: data.Count(1)}.AppendMessage(nil)
	hiddenWrite  = zeek.Batch{zeek.Event{Name: "hello"}, zeek.Batch{zeek.LogWrite{}}}.AppendMessage(nil)
	hiddenUpdate = zeek.Batch{zeek.Event{Name: "hello"}, zeek.IdentifierUpdate{ID: "x"}}.AppendMessage(nil)
	tooDeep      = deepBatch(9, zeek.Event{Name: "hello"}).AppendMessage(nil)
	cutShort     = hiddenWrite[:len(hiddenWrite)-3]
	oldVersion   = slices.Concat(aLogWrite[:10], []byte{99}, aLogWrite[11:]) // before 7.0 nobody looks at it
)

func deepBatch(depth int, m zeek.Message) zeek.Message {
	for range depth {
		m = zeek.Batch{m}
	}
	return m
}

func TestMayPublish(t *testing.T) {
	const data, command = wire.TypeData, wire.TypeCommand
	noLogs, noUpdates := endpoint.Access{NoLogs: true}, endpoint.Access{NoIdentifiers: true}
	for _, c := range []struct {
		name    string
		access  endpoint.Access
		typ     wire.MessageType
		topic   string
		payload []byte
		want    string // in the error; "" if it may
	}{
		{"no rules", endpoint.Access{}, data, "/a", aLogWrite, ""},
		{"allowed topic", endpoint.Access{Publish: []string{"/b", "/a"}}, data, "/a/x", anEvent, ""},
		{"other topic", endpoint.Access{Publish: []string{"/b", "/a"}}, data, "/c", anEvent, `publish data under "/c"`},
		{"shorter topic", endpoint.Access{Publish: []string{"/abc"}}, data, "/ab", anEvent, "publish data"},
		{"no topic at all", endpoint.Access{Publish: []string{}}, data, "/a", anEvent, "publish data"},
		{"command among data rules", endpoint.Access{Publish: []string{}}, command, "s/<$>/data/master", nil, ""},
		{"command of an allowed store", endpoint.Access{Commands: []string{"s/"}}, command, "s/<$>/data/master", nil, ""},
		{"command of another store", endpoint.Access{Commands: []string{"s/"}}, command, "t/<$>/data/master", nil, "publish command"},
		{"data on a store's topic", endpoint.Access{Commands: []string{}}, data, "t/<$>/data/master", anEvent, ""},
		{"event without logs", noLogs, data, "/a", anEvent, ""},
		{"log write", noLogs, data, "/a", aLogWrite, "write logs"},
		{"log create", noLogs, data, "/a", aLogCreate, "write logs"},
		{"hidden log write", noLogs, data, "/a", hiddenWrite, "write logs"},
		{"log write of a version nobody knows", noLogs, data, "/a", oldVersion, "write logs"},
		{"log write, malformed behind its type", noLogs, data, "/a", aLogWrite[:21], "write logs"},
		{"batch too deep to look into", noLogs, data, "/a", tooDeep, "nobody can look into"},
		{"batch cut short", noLogs, data, "/a", cutShort, "nobody can look into"},
		{"garbage", noLogs, data, "/a", []byte{99}, "nobody can look into"},
		{"nothing", noLogs, data, "/a", nil, "nobody can look into"},
		{"value that is no message", noLogs, data, "/a", []byte{byte(0)}, ""},
		{"update, logs forbidden", noLogs, data, "/a", hiddenUpdate, ""},
		{"update", noUpdates, data, "/a", anUpdate, "change identifiers"},
		{"hidden update", noUpdates, data, "/a", hiddenUpdate, "change identifiers"},
		{"log write, updates forbidden", noUpdates, data, "/a", hiddenWrite, ""},
		{"batch cut short, updates forbidden", noUpdates, data, "/a", cutShort, "nobody can look into"},
		{"command is not looked into", noLogs, command, "s/<$>/data/master", []byte{99}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.access.MayPublish(c.typ, c.topic, c.payload)
			var denied *endpoint.AccessError
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (!errors.As(err, &denied) || !strings.Contains(err.Error(), c.want) || denied.Topic != c.topic):
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// What a peer must not send is dropped and counted, told of once, and the rest is delivered.
func TestDenied(t *testing.T) {
	node := newEndpoint(t, fixed(endpoint.Access{
		Publish: []string{"/ok"}, Commands: []string{"store/"}, NoLogs: true, NoIdentifiers: true,
	}))
	sub, err := node.Subscribe([]string{"/", "store/x", "other/x"}, endpoint.WithCommands(), endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, listen(t, node))
	send := func(typ wire.MessageType, receiver wire.EndpointID, topic string, payload []byte) []byte {
		return wire.AppendEnvelope(nil, wire.Envelope{
			Sender: p.id, Receiver: receiver, Type: typ, TTL: wire.DefaultTTL, Topic: []byte(topic), Payload: payload,
		})
	}
	all, us := wire.EndpointID{}, node.ID()
	p.write(t,
		send(wire.TypeData, all, "/ok/1", anEvent),
		send(wire.TypeData, all, "/no", anEvent), // first of the denied
		send(wire.TypeData, us, "/no", anEvent),
		send(wire.TypeData, us, "/ok/2", anEvent),
		send(wire.TypeCommand, all, "store/x", []byte{1}),
		send(wire.TypeCommand, all, "other/x", []byte{1}),
		send(wire.TypeCommand, us, "other/x", []byte{1}),
		send(wire.TypeData, all, "/ok/3", aLogCreate),
		send(wire.TypeData, all, "/ok/3", hiddenWrite),
		send(wire.TypeData, all, "/ok/3", hiddenUpdate),
		send(wire.TypeData, all, "/ok/3", anEvent),
	)
	p.answered(t)
	if got := p.about(t, node).Dropped; len(got) != 1 || got[endpoint.DropNotAllowed] != 7 {
		t.Errorf("dropped %v, want 7 not allowed", got)
	}
	if got := node.Stats().Dropped; got[endpoint.DropNotAllowed] != 7 {
		t.Errorf("stats say %v", got)
	}
	var seen []string
	for _, ev := range waiting(sub) {
		if ev.Status == nil {
			seen = append(seen, ev.Message.Topic())
			continue
		}
		seen = append(seen, ev.Status.Code.String())
		var denied *endpoint.AccessError
		if ev.Status.Code == endpoint.PeerDenied && (ev.Status.Peer != p.id || !errors.As(ev.Status.Err, &denied) || denied.Topic != "/no") {
			t.Errorf("status %v", ev.Status)
		}
	}
	if want := []string{"peer_added", "/ok/1", "peer_denied", "/ok/2", "store/x", "/ok/3"}; !slices.Equal(seen, want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
	for _, topic := range node.Topics() {
		if strings.HasPrefix(topic.Topic, "/no") || strings.HasPrefix(topic.Topic, "other/") {
			t.Errorf("what was denied is counted as traffic: %v", topic)
		}
	}
}

// waiting returns what is queued for a subscription.
func waiting(sub *endpoint.Subscription) (all []endpoint.Event) {
	if !sub.Buffered() {
		return nil
	}
	for ev := range sub.Events(context.Background()) {
		ev.Message = ev.Message.Clone()
		if all = append(all, ev); !sub.Buffered() {
			break
		}
	}
	return all
}

// However allowed and forbidden frames follow each other and however they are cut into reads, the
// allowed ones are delivered in order, and the others are counted. Runs of frames that begin alike take
// the short way through the reader: it must not lead past the rules.
func TestDeniedInterleaved(t *testing.T) {
	kinds := []struct {
		topic   string
		typ     wire.MessageType
		payload []byte
		plain   bool // allowed by rules about topics
		strict  bool // allowed by rules about logs and identifiers as well
	}{
		{"/ok", wire.TypeData, anEvent, true, true},
		{"/ok/1", wire.TypeData, anEvent, true, true},
		{"/ok", wire.TypeData, aLogWrite, true, false},
		{"/ok", wire.TypeData, hiddenWrite, true, false},
		{"/ok", wire.TypeData, anUpdate, true, false},
		{"/ok", wire.TypeData, tooDeep, true, false},
		{"/ok", wire.TypeCommand, anEvent, false, false},
		{"/no", wire.TypeData, anEvent, false, false},
		{"/o", wire.TypeData, anEvent, false, false},
	}
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("strict=%t", strict), func(t *testing.T) {
			node := newEndpoint(t, fixed(endpoint.Access{
				Publish: []string{"/ok"}, Commands: []string{}, NoLogs: strict, NoIdentifiers: strict,
			}))
			sub, err := node.Subscribe([]string{"/"}, endpoint.WithCommands(), endpoint.WithQueue(lossless))
			if err != nil {
				t.Fatal(err)
			}
			addr := listen(t, node)
			rapid.Check(t, func(rt *rapid.T) {
				p := dialRaw(t, addr)
				defer p.Close()
				var stream []byte
				var want []uint64
				denied := uint64(0)
				sent := uint64(0)
				for range rapid.IntRange(1, 40).Draw(rt, "stretches") {
					kind := rapid.SampledFrom(kinds).Draw(rt, "kind")
					receiver := rapid.SampledFrom([]wire.EndpointID{{}, node.ID()}).Draw(rt, "receiver")
					for range rapid.IntRange(1, 5).Draw(rt, "times") {
						sent++
						// Trailing bytes make no message allowed, nor another message of it.
						stream = append(stream, wire.AppendEnvelope(nil, wire.Envelope{
							Sender: p.id, Receiver: receiver, Type: kind.typ, TTL: wire.DefaultTTL, Topic: []byte(kind.topic),
							Payload: binary.BigEndian.AppendUint64(slices.Clip(kind.payload), sent),
						})...)
						if kind.plain && (kind.strict || !strict) {
							want = append(want, sent)
						} else {
							denied++
						}
					}
				}
				for len(stream) > 0 {
					n := min(rapid.IntRange(1, 2000).Draw(rt, "write"), len(stream))
					p.write(t, stream[:n])
					stream = stream[n:]
				}
				p.answered(t)
				var got []uint64
				for _, ev := range waiting(sub) {
					payload := ev.Message.Payload()
					got = append(got, binary.BigEndian.Uint64(payload[len(payload)-8:]))
				}
				if !slices.Equal(got, want) {
					rt.Fatalf("delivered %v, want %v", got, want)
				}
				if info := p.about(t, node); info.Dropped[endpoint.DropNotAllowed] != denied || len(info.Dropped) > 1 {
					rt.Fatalf("dropped %v, want %d", info.Dropped, denied)
				}
			})
		})
	}
}

// A frame that is too large for its type does not get in behind a small one that begins alike.
func TestLimitsWithinRuns(t *testing.T) {
	node := newEndpoint(t, endpoint.WithMaxFrame(1024, 1<<20))
	sub, err := node.Subscribe([]string{"/test"})
	if err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, listen(t, node))
	large := data.AppendString(nil, strings.Repeat("x", 2000))
	p.write(t, slices.Concat(p.data("/test", anEvent), p.data("/test", large), p.data("/test", anEvent)))
	p.answered(t)
	if got := len(waiting(sub)); got != 2 {
		t.Errorf("%d delivered, want 2", got)
	}
	if got := p.about(t, node).Dropped; got[endpoint.DropMalformed] != 1 {
		t.Errorf("dropped %v", got)
	}
}

// What a peer is sent is what it asks for as far as the rules allow that, when it comes, when it asks for
// something else, and when the rules change.
func TestSubscribeRules(t *testing.T) {
	var rules atomic.Pointer[endpoint.Access]
	rules.Store(&endpoint.Access{Subscribe: []string{"/a/", "/b"}})
	node := newEndpoint(t, endpoint.WithAccess(func(endpoint.Identity) endpoint.Access { return *rules.Load() }))
	statuses, err := node.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, listen(t, node), "/a", "/c")
	check := func(want []string, denied uint64) {
		t.Helper()
		info := p.about(t, node)
		if !slices.Equal(info.Filter, want) || info.Dropped[endpoint.DropNotAllowed] != denied {
			t.Errorf("filter %q, dropped %v; want %q, %d denied", info.Filter, info.Dropped, want, denied)
		}
		for _, topic := range []string{"/a", "/a/x", "/b", "/c", "/d"} {
			n, err := node.PublishEvent(t.Context(), topic, "hello")
			if got := n == 1; err != nil || got != topicIn(want, topic) {
				t.Errorf("%s is sent: %t, %v", topic, got, err)
			}
		}
	}
	p.answered(t)
	check([]string{"/a/"}, 1)
	p.write(t, wire.AppendRoutingUpdate(nil, p.id, p.remote, []string{"/"}))
	p.answered(t)
	check([]string{"/a/", "/b"}, 2)
	node.ReloadAccess() // nothing new: nothing is counted
	check([]string{"/a/", "/b"}, 2)
	rules.Store(&endpoint.Access{Subscribe: []string{"/c"}})
	node.ReloadAccess()
	check([]string{"/c"}, 3)
	rules.Store(&endpoint.Access{})
	node.ReloadAccess()
	check([]string{"/"}, 3)
	rules.Store(&endpoint.Access{Subscribe: []string{}})
	node.ReloadAccess()
	check(nil, 4)
	var codes []string
	for _, ev := range waiting(statuses) {
		codes = append(codes, ev.Status.Code.String())
	}
	if want := []string{"peer_added", "peer_denied"}; !slices.Equal(codes, want) {
		t.Errorf("statuses %q, want %q", codes, want)
	}
}

func topicIn(filter []string, name string) bool { return topic.NewFilter(filter...).Matches(name) }

// What is sent to one peer alone, by this node or by another one through it, is no way around its rules.
func TestSubscribeRulesAddressed(t *testing.T) {
	node := newEndpoint(t, endpoint.WithForwarding(), fixed(endpoint.Access{Subscribe: []string{"/a"}}))
	addr := listen(t, node)
	from, to := dialRaw(t, addr), dialRaw(t, addr)
	if err := node.WaitPeers(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if ok, err := node.PublishTo(t.Context(), to.id, "/a/1", anEvent); !ok || err != nil {
		t.Errorf("queued %t, %v", ok, err)
	}
	var denied *endpoint.AccessError
	if ok, err := node.PublishTo(t.Context(), to.id, "/b/1", anEvent); ok || !errors.As(err, &denied) {
		t.Errorf("queued %t, %v", ok, err)
	}
	for _, topic := range []string{"/b/2", "/a/2"} {
		from.write(t, wire.AppendEnvelope(nil, wire.Envelope{
			Sender: from.id, Receiver: to.id, Type: wire.TypeData, TTL: 2, Topic: []byte(topic), Payload: anEvent,
		}))
	}
	from.answered(t)
	if got := from.about(t, node).Dropped; got[endpoint.DropNotAllowed] != 1 || len(got) != 1 {
		t.Errorf("dropped %v", got)
	}
	for _, want := range []string{"/a/1", "/a/2"} {
		body, err := to.readFrame()
		if err != nil {
			t.Fatal(err)
		}
		if e, err := wire.ParseEnvelope(body); err != nil || string(e.Topic) != want {
			t.Errorf("got %s, %v, want %s", e.Topic, err, want)
		}
	}
}

// Rules about publishing hold from the next frame that is read, also if it continues a run.
func TestPublishRulesChange(t *testing.T) {
	var rules atomic.Pointer[endpoint.Access]
	node := newEndpoint(t, endpoint.WithAccess(func(endpoint.Identity) endpoint.Access { return *rules.Load() }))
	rules.Store(&endpoint.Access{})
	sub, err := node.Subscribe([]string{"/"})
	if err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, listen(t, node))
	for i, a := range []endpoint.Access{{}, {Publish: []string{}}, {Publish: []string{"/a"}}, {NoLogs: true}, {}} {
		rules.Store(&a)
		node.ReloadAccess()
		p.write(t, p.data("/a", aLogWrite), p.data("/a", aLogWrite))
		p.answered(t)
		want := 2
		if i == 1 || i == 3 {
			want = 0
		}
		if got := len(waiting(sub)); got != want {
			t.Errorf("%+v: %d delivered, want %d", a, got, want)
		}
	}
}

// While traffic flows and peers change what they want, rules change again and again. Each frame is
// delivered or counted, and in the end it is the last rules and the last wishes that hold.
func TestReloadUnderTraffic(t *testing.T) {
	const rounds, each = 30, 200
	ruleSets := []endpoint.Access{
		{},
		{Publish: []string{"/a"}, Subscribe: []string{"/x"}},
		{Publish: []string{"/b"}, Subscribe: []string{"/y"}, NoLogs: true},
		{NoIdentifiers: true, Subscribe: []string{}},
	}
	var rules atomic.Pointer[endpoint.Access]
	rules.Store(&ruleSets[0])
	node := newEndpoint(t, endpoint.WithAccess(func(endpoint.Identity) endpoint.Access { return *rules.Load() }))
	sub, err := node.Subscribe([]string{"/"}, endpoint.WithQueue(lossless))
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, node)
	peers := []*rawPeer{dialRaw(t, addr, "/x"), dialRaw(t, addr, "/y")}
	for seed, p := range peers {
		rng := rand.New(rand.NewPCG(uint64(seed), 1))
		p.answered(t)
		stop := make(chan struct{})
		var reloader sync.WaitGroup
		reloader.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					rules.Store(&ruleSets[i%len(ruleSets)])
					node.ReloadAccess()
				}
			}
		})
		sent, updates := uint64(0), uint64(0)
		for range rounds {
			var stream []byte
			for range each {
				topic, payload := "/a", anEvent
				switch rng.IntN(4) {
				case 0:
					topic = "/b"
				case 1:
					payload = aLogWrite
				case 2:
					payload = hiddenUpdate
				}
				stream = append(stream, p.data(topic, payload)...)
				sent++
			}
			stream = append(stream, wire.AppendRoutingUpdate(nil, p.id, p.remote, []string{[]string{"/x", "/y", "/"}[rng.IntN(3)]})...)
			updates++
			p.write(t, stream)
			p.answered(t)
		}
		close(stop)
		reloader.Wait()
		delivered := uint64(len(waiting(sub)))
		got := p.about(t, node).Dropped
		// Besides messages, subscriptions that were cut are counted: one with each update or reload at most.
		if denied := got[endpoint.DropNotAllowed]; delivered+denied < sent || delivered > sent || len(got) > 1 {
			t.Errorf("sent %d, delivered %d, dropped %v", sent, delivered, got)
		}
		// Now the last rules.
		last := []string{[]string{"/x", "/y", "/"}[seed], "/z"}
		p.write(t, wire.AppendRoutingUpdate(nil, p.id, p.remote, last))
		p.answered(t)
		rules.Store(&endpoint.Access{Publish: []string{"/b"}, Subscribe: []string{"/x", "/z/1"}})
		node.ReloadAccess()
		before := p.about(t, node).Dropped[endpoint.DropNotAllowed]
		p.write(t, p.data("/a", anEvent), p.data("/b", anEvent), p.data("/a", anEvent), p.data("/b", aLogWrite))
		p.answered(t)
		if n, denied := len(waiting(sub)), p.about(t, node).Dropped[endpoint.DropNotAllowed]-before; n != 2 || denied != 2 {
			t.Errorf("%d delivered and %d denied, want 2 and 2", n, denied)
		}
		want, _ := rules.Load().Narrow(last)
		if got := p.about(t, node).Filter; !slices.Equal(got, want) {
			t.Errorf("filter %q, want %q", got, want)
		}
	}
}

// Rules that change while a node becomes a peer hold for it, too.
func TestReloadWhileJoining(t *testing.T) {
	var strict atomic.Bool
	node := newEndpoint(t, endpoint.WithAccess(func(endpoint.Identity) endpoint.Access {
		if strict.Load() {
			return endpoint.Access{Publish: []string{}, Subscribe: []string{}}
		}
		return endpoint.Access{}
	}))
	addr := listen(t, node)
	for range 30 {
		strict.Store(false)
		reloaded := make(chan struct{})
		go func() {
			defer close(reloaded)
			strict.Store(true)
			node.ReloadAccess()
		}()
		p := dialRaw(t, addr, "/x")
		<-reloaded
		p.write(t, p.data("/a", anEvent))
		p.answered(t)
		info := p.about(t, node)
		if len(info.Filter) > 0 || info.Dropped[endpoint.DropNotAllowed] == 0 || info.Dropped[endpoint.DropNoSubscriber] > 0 {
			t.Fatalf("filter %q, dropped %v", info.Filter, info.Dropped)
		}
		if n, err := node.PublishEvent(t.Context(), "/x", "hello"); n > 0 || err != nil {
			t.Fatalf("sent to %d, %v", n, err)
		}
		p.Close()
	}
}

// Whom the rules refuse does not become a peer, and is told so; whom they refuse later is let go.
func TestRefused(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	asked := make(chan endpoint.Identity, 100)
	node := newEndpoint(t, endpoint.WithAccess(func(id endpoint.Identity) endpoint.Access {
		asked <- id
		return endpoint.Access{Refuse: refuse.Load()}
	}))
	statuses, err := node.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, node)
	next := statusReader(t, statuses)
	other := newEndpoint(t)
	p, err := other.Peer(addr, endpoint.RetryEvery(0))
	if err != nil {
		t.Fatal(err)
	}
	var dropped *handshake.DroppedError
	if _, err := p.Wait(t.Context()); !errors.As(err, &dropped) || dropped.Code != wire.CodePeerInvalid {
		t.Errorf("error %v, want that the peer is not welcome", err)
	}
	if s := next(); s.Code != endpoint.PeerInvalid || !errors.Is(s.Err, handshake.ErrRefused) || s.Peer != other.ID() {
		t.Errorf("status %v", s)
	}
	if id := <-asked; id.ID != other.ID() || id.WebSocket || len(id.Names) > 0 || !strings.HasPrefix(id.Addr, "127.0.0.1:") {
		t.Errorf("asked about %+v", id)
	}
	if got := node.Stats(); got.Refused != 1 || got.Peers != 0 {
		t.Errorf("stats %+v", got)
	}
	refuse.Store(false)
	p, err = other.Peer(addr, endpoint.RetryEvery(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := next(); s.Code != endpoint.PeerAdded {
		t.Errorf("status %v", s)
	}
	refuse.Store(true)
	node.ReloadAccess()
	if s := next(); s.Code != endpoint.PeerLost || !errors.Is(s.Err, endpoint.ErrNotWelcome) {
		t.Errorf("status %v", s)
	}
	<-p.Done()
}

// statusReader returns a function that waits for the next status.
func statusReader(t *testing.T, sub *endpoint.Subscription) func() *endpoint.Status {
	t.Helper()
	return func() *endpoint.Status {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for ev := range sub.Events(ctx) {
			if ev.Status != nil {
				return ev.Status
			}
		}
		t.Fatal("no status")
		return nil
	}
}

// A read-only node receives, is found, and cannot publish by any way.
func TestReadOnly(t *testing.T) {
	if _, err := endpoint.New(endpoint.WithReadOnly(), endpoint.WithForwarding()); err == nil {
		t.Error("a read-only node that forwards")
	}
	node := newEndpoint(t, endpoint.WithReadOnly())
	sub, err := node.Subscribe([]string{"/a"})
	if err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, listen(t, node), "/a")
	if !slices.Equal(p.filter, []string{"/a"}) {
		t.Errorf("announced %q", p.filter)
	}
	p.write(t, p.data("/a", anEvent))
	p.answered(t)
	if got := len(waiting(sub)); got != 1 {
		t.Errorf("%d messages", got)
	}
	for name, publish := range map[string]func() error{
		"Publish":        func() error { _, err := node.Publish(t.Context(), "/a", data.Count(1)); return err },
		"PublishEvent":   func() error { _, err := node.PublishEvent(t.Context(), "/a", "hello"); return err },
		"PublishPayload": func() error { _, err := node.PublishPayload(t.Context(), "/a", anEvent); return err },
		"PublishTo":      func() error { _, err := node.PublishTo(t.Context(), p.id, "/a", anEvent); return err },
		"PublishCommand": func() error { _, err := node.PublishCommand("/a", anEvent); return err },
		"of a hub":       func() error { _, err := sub.PublishPayload(t.Context(), "/a", anEvent); return err },
	} {
		if err := publish(); !errors.Is(err, endpoint.ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := node.Stats().FramesOut; got != 0 {
		t.Errorf("%d messages sent", got)
	}
}
