package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

var (
	someKey   = data.AppendString(nil, "some key")
	someValue = data.AppendCount(nil, 1)
	nanKey    = []byte{byte(data.KindReal), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	twiceSet  = []byte{byte(data.KindSet), 2, byte(data.KindBool), 1, byte(data.KindBool), 1}
	twiceKeys = []byte{byte(data.KindTable), 2, byte(data.KindNone), byte(data.KindNone), byte(data.KindNone), byte(data.KindNone)}
)

// poison is the bodies of actions that make no sense, kind first, and what is logged about each.
var poison = []struct {
	name, log string
	body      []byte
}{
	{"a value 101 deep", "nests deeper", putBody(someKey, deep(101))},
	{"a value 5,000 deep", "nests deeper", putBody(someKey, deep(5000))},
	{"a value 200,000 deep", "nests deeper", putBody(someKey, deep(200_000))},
	{"a key 200,000 deep", "nests deeper", putBody(deep(200_000), someValue)},
	{"a set with a member twice", "put", putBody(someKey, twiceSet)},
	{"a table with a key twice", "put", putBody(someKey, twiceKeys)},
	{"a key with a member twice", "put", putBody(twiceSet, someValue)},
	{"an unknown tag", "put", putBody(someKey, []byte{15})},
	{"a string longer than all", "put", putBody(someKey, []byte{byte(data.KindString), 0xff, 0xff, 0xff, 0xff, 0x0f})},
	{"a vector longer than all", "put", putBody(someKey, []byte{byte(data.KindVector), 0xff, 0xff, 0xff, 0xff, 0x0f})},
	{"a length without end", "put", putBody(someKey, append([]byte{byte(data.KindString)}, bytes.Repeat([]byte{0xff}, 100)...))},
	{"an unknown variant", "unknown command 14", []byte{14}},
	{"the last variant", "unknown command 255", append([]byte{255}, make([]byte, 100)...)},
	{"no body", "put", []byte{byte(wire.CommandPut)}},
	{"half a key", "put", putBody(someKey, nil)[:5]},
	{"no expiry", "put", putBody(someKey, someValue)[:1+len(someKey)+len(someValue)]},
	{"half a publisher", "put", putBody(someKey, someValue)[:1+len(someKey)+len(someValue)+10]},
	{"an erasure without key", "erase", []byte{byte(wire.CommandErase)}},
	{"an add without init_type", "add", append([]byte{byte(wire.CommandAdd)}, append(bytes.Clone(someKey), someValue...)...)},
}

func putBody(key, value []byte) []byte {
	c := putOf(0, key, value)
	return wire.AppendCommandBody(nil, &c)
}

// besieged is a store with a stranger as a peer: of its master, or of its clone.
type besieged struct {
	testing.TB
	net           *memNet
	log           logBook
	master, clone *store.Store
	a, b          *endpoint.Endpoint
}

func newBesieged(t testing.TB, n *memNet, opts ...store.Option) *besieged {
	s := &besieged{TB: t, net: n, a: n.node(t, "a"), b: n.node(t, "b")}
	serve(t, s.a, "a")
	serve(t, s.b, "b")
	s.master = attachMaster(t, s.a, append(opts, s.log.option())...)
	peered(t, s.b, "a")
	s.clone = attachClone(t, s.b, s.log.option())
	s.undisturbed("the beginning")
	return s
}

// undisturbed fails the test if the clone does not work as ever.
func (s *besieged) undisturbed(after string) {
	s.Helper()
	ctx := within(s, time.Minute)
	if o, err := s.clone.Increment(ctx, data.String("honest"), count(1)); o != store.Applied || err != nil {
		s.Errorf("after %s: %v, %v", after, o, err)
	}
	same(s, ctx, s.master, s.clone)
	if got := s.clone.Status().Attaches; got != 1 {
		s.Errorf("after %s the clone has attached %d times", after, got)
	}
}

// noted fails the test if what f sends is not counted by who, or not logged with the words.
func (s *besieged) noted(what, words string, who *store.Store, f func()) {
	s.Helper()
	time.Sleep(2 * time.Second) // for one warning a second is logged
	synctest.Wait()
	rejected, lines := who.Status().Rejected, len(s.log.lines("not acted upon", words))
	f()
	time.Sleep(200 * time.Millisecond) // the status is as of the last tick
	synctest.Wait()
	if got := who.Status().Rejected; got == rejected && words != "" {
		s.Errorf("%s was not counted", what)
	} else if got != rejected && words == "" {
		s.Errorf("%s was rejected %d times: %q", what, got-rejected, s.log.lines("not acted upon"))
	}
	if words != "" && len(s.log.lines("not acted upon", words)) == lines {
		s.Errorf("%s was not logged with %q: %q", what, words, s.log.lines("not acted upon"))
	}
}

// Whatever a writer sends, its next good write goes through, and others notice nothing.
func TestPoisonedWrites(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		s := newBesieged(t, n, store.WithBackend(newMemoryLog()))
		x := newStranger(t, n, toMaster, "a")
		x.say(control(wire.CommandAttachWriter, 1))
		x.works("attach_writer", s.master)
		for _, p := range poison {
			s.noted(p.name, p.log, s.master, func() {
				x.seq++
				x.raw(append(wire.AppendCommandHeader(nil, x.seq, x.entity, wire.EntityID{}), p.body...))
			})
			x.works(p.name, s.master)
			s.undisturbed(p.name)
		}
		for _, p := range []struct {
			name, log string
			c         wire.Command
		}{
			{"a NaN as key", "NaN", putOf(0, nanKey, someValue)},
			{"a NaN in a key", "NaN", putOf(0, append([]byte{byte(data.KindVector), 1}, nanKey...), someValue)},
			{"expire", "expire", wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandExpire}, Key: someKey}},
			{"put_unique_result", "put_unique_result", wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUniqueResult}}},
			{"a put with the longest expiry", "", wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPut}, Key: someKey, Value: someValue, HasExpiry: true, Expiry: math.MaxInt64}},
			{"a put with the shortest expiry", "", wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPut}, Key: someKey, Value: someValue, HasExpiry: true, Expiry: math.MinInt64}},
			{"an add to what cannot be added to", "type clash", wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAdd}, Key: data.AppendString(nil, "honest"), Value: data.AppendString(nil, "x"), Init: data.KindString}},
			{"an add to none", "", wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAdd}, Key: data.AppendString(nil, "init"), Value: someValue, Init: data.KindVector}},
		} {
			s.noted(p.name, p.log, s.master, func() { x.act(p.c) })
			x.works(p.name, s.master)
			s.undisturbed(p.name)
		}
	})
}

// Numbers out of reach, and what is said in the name of others, are ignored and counted.
func TestAbsurdNumbers(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		s := newBesieged(t, n)
		x := newStranger(t, n, toMaster, "a")
		x.listen(toClones)
		x.say(nackOf(0, 1))
		synctest.Wait()
		x.say(control(wire.CommandCumulativeAck, x.last(wire.CommandAckClone).Num))
		x.say(control(wire.CommandAttachWriter, 1))
		x.works("attach_writer", s.master)
		before := heap()
		far := []uint64{1 << 25, 1 << 61, 1 << 62, 1 << 63, math.MaxUint64 - 1, math.MaxUint64}
		for _, num := range far {
			for _, c := range []struct {
				log string
				c   wire.Command
			}{
				{"", control(wire.CommandKeepalive, num)},
				{"", control(wire.CommandRetransmitFailed, num)},
				{"acknowledges event", control(wire.CommandCumulativeAck, num)},
				{"nack of event", nackOf(num, 1)},
				{"ahead of what is expected", putOf(num, someKey, someValue)},
			} {
				name := fmt.Sprintf("%v with %d", c.c.Kind, num)
				x.say(control(wire.CommandCumulativeAck, s.master.Status().Seq)) // or it would be given up after 50 s
				s.noted(name, c.log, s.master, func() { x.say(c.c) })
				x.works(name, s.master)
				s.undisturbed(name)
			}
		}
		others := wire.EntityID{Endpoint: s.b.ID(), Object: 1}
		for _, c := range s.master.Status().Clones {
			if c.Clone.Endpoint == s.b.ID() {
				others = c.Clone
			}
		}
		for _, c := range []wire.Command{
			control(wire.CommandCumulativeAck, 1), nackOf(0, 1), nackOf(2, 1), control(wire.CommandAttachWriter, 1),
			control(wire.CommandKeepalive, 7), putOf(2, someKey, someValue),
		} {
			c.Sender = others
			s.noted(c.Kind.String()+" in the name of another", "in the name of", s.master, func() { x.say(c) })
			s.undisturbed(c.Kind.String() + " in the name of another")
		}
		stray := wire.EntityID{Endpoint: x.ep.ID(), Object: 99}
		for _, c := range []struct {
			log string
			c   wire.Command
		}{
			{"not attached", putOf(2, someKey, someValue)},
			{"not attached", control(wire.CommandKeepalive, 100)},
			{"refused", control(wire.CommandAttachWriter, 0)},
			{"topic of the master", control(wire.CommandAckClone, 5)},
		} {
			c.c.Sender = stray
			s.noted(c.c.Kind.String()+" of a stray writer", c.log, s.master, func() { x.say(c.c) })
		}
		for _, c := range []wire.Command{putOf(0, someKey, someValue), putOf(1, someKey, someValue), nackOf(1, 0), nackOf(1<<40, 1)} {
			x.say(c)
		}
		for name, payload := range map[string][]byte{"nothing": {}, "a header": make([]byte, wire.CommandHeaderLen)} {
			s.noted(name, "malformed", s.master, func() { x.raw(payload) })
		}
		cut := wire.AppendCommand(nil, &wire.Command{CommandHeader: wire.CommandHeader{Sender: x.entity, Kind: wire.CommandNack}})
		s.noted("a nack longer than it is", "nack", s.master, func() { x.raw(append(cut[:len(cut)-1], 0xff, 0xff, 0xff, 0xff, 0x0f)) })
		// A nack of a million events is answered in parts, and goes on to be.
		for range 5 {
			x.say(nackOf(1, 1_000_000))
		}
		x.works("nacks of a million", s.master)
		s.undisturbed("nacks of a million")
		x.mu.Lock()
		x.heard = nil
		x.mu.Unlock()
		if grown := heap() - before; grown > 16<<20 {
			t.Errorf("the heap grew by %d bytes", grown)
		}
		// A writer that begins where numbers end has none left.
		last := wire.EntityID{Endpoint: x.ep.ID(), Object: 100}
		for _, c := range []wire.Command{
			control(wire.CommandAttachWriter, math.MaxUint64), putOf(math.MaxUint64, someKey, someValue), putOf(0, someKey, someValue),
			putOf(1, someKey, someValue), control(wire.CommandKeepalive, math.MaxUint64), control(wire.CommandAttachWriter, math.MaxUint64-1),
		} {
			c.Sender = last
			x.say(c)
		}
		time.Sleep(5 * time.Second)
		x.works("the last number", s.master)
		s.undisturbed("the last number")
	})
}

// A writer that sends a flood of writes out of order, with the first missing, is kept within bounds, and
// gets on when the first one comes.
func TestOutOfOrderFlood(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		s := newBesieged(t, n)
		x := newStranger(t, n, toMaster, "a")
		const flood, size = 1000, 100_000
		value := data.AppendString(nil, strings.Repeat("f", size))
		before := heap()
		for _, writers := range []uint64{1, 2} { // the bound is for all of them
			for w := range writers {
				entity := wire.EntityID{Endpoint: x.ep.ID(), Object: 10*writers + w}
				attach := control(wire.CommandAttachWriter, 1)
				attach.Sender = entity
				x.say(attach)
				for i := range uint64(flood) {
					c := putOf(3+i, data.AppendCount(nil, i%10), value)
					c.Sender = entity
					x.say(c)
					if i%50 == 0 {
						synctest.Wait()
					}
				}
			}
			synctest.Wait()
			if grown := heap() - before; grown > 100<<20 {
				t.Errorf("the heap grew by %d bytes after %d of them", grown, writers*flood*size)
			}
		}
		s.undisturbed("the flood")
		x.say(control(wire.CommandAttachWriter, 1))
		x.works("the flood", s.master)
		first := putOf(2, someKey, someValue)
		first.Sender = wire.EntityID{Endpoint: x.ep.ID(), Object: 10}
		x.say(first)
		time.Sleep(time.Second)
		if v, err := s.master.Get(t.Context(), count(0)); err != nil || len(data.AppendValue(nil, v)) != len(value) {
			t.Errorf("what came early was not executed: %v", err)
		}
		s.undisturbed("the first one")
	})
}

// A stranger with 100,000 writers and 100,000 clones takes bounded memory, and no place from others.
func TestManyEntities(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		s := newBesieged(t, n)
		x := newStranger(t, n, toMaster, "a")
		before := heap()
		for _, c := range []wire.Command{control(wire.CommandAttachWriter, 1), nackOf(0, 1)} {
			for i := range uint64(100_000) {
				c.Sender = wire.EntityID{Endpoint: x.ep.ID(), Object: 1000 + i}
				if i%2 == 0 { // as if it passed on what another one said
					c.Sender.Endpoint = wire.NewEndpointID()
				}
				x.say(c)
				if i%1000 == 0 {
					synctest.Wait()
				}
			}
		}
		time.Sleep(time.Second)
		status := s.master.Status()
		if grown := heap() - before; grown > 64<<20 {
			t.Errorf("the heap grew by %d bytes", grown)
		}
		t.Logf("%d writers, %d clones, %d commands rejected, %d bytes", status.Writers, len(status.Clones), status.Rejected, heap()-before)
		if status.Rejected == 0 {
			t.Error("nothing was counted")
		}
		s.undisturbed("many entities")
		// Others find a place all the same.
		late := n.node(t, "late")
		peered(t, late, "a")
		clone := attachClone(t, late)
		ctx := within(t, time.Minute)
		if o, err := clone.Increment(ctx, data.String("late"), count(1)); o != store.Applied || err != nil {
			t.Errorf("a clone that came later: %v, %v", o, err)
		}
	})
}

// Many entities ask for the contents of a store of 100 MB, and none reads them. They are encoded once, and
// sent to no more than a few at a time.
func TestAttachFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 300 MB")
	}
	onMemNet(t, func(t *testing.T, n *memNet) {
		s := newBesieged(t, n)
		fill(t, s.master, 1000, 100_000)
		s.undisturbed("filling")
		if err := s.master.WaitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		size := int64(s.master.Status().Bytes)
		x := newStranger(t, n, toMaster, "a")
		before := heap()
		n.Stall("x", true)
		most := int64(0)
		for round := range 8 {
			for i := range uint64(100) {
				c := nackOf(0, 1)
				c.Sender = wire.EntityID{Endpoint: x.ep.ID(), Object: 1000 + i}
				x.say(c)
			}
			time.Sleep(time.Second)
			if round%4 == 0 {
				s.undisturbed("the flood")
				most = max(most, heap()-before)
			}
		}
		if most > size*3/2 {
			t.Errorf("the heap grew by %d bytes, and the contents are %d", most, size)
		}
		t.Logf("the heap grew by %d bytes at most, the contents are %d; sent to %d", most, size, len(s.log.lines("clone attaches", x.ep.ID().String())))
		n.Stall("x", false)
		s.undisturbed("the flood")
		late := n.node(t, "late")
		peered(t, late, "a")
		clone := attachClone(t, late)
		if err := clone.WaitReady(within(t, 2*time.Minute)); err != nil {
			t.Error(err)
		}
	})
}

// A stranger that is a peer of a clone speaks as a master: in the name of the clone's, and in its own.
func TestFakeMaster(t *testing.T) {
	onMemNet(t, func(t *testing.T, n *memNet) {
		s := newBesieged(t, n)
		x := newStranger(t, n, toClones, "b")
		master, status := s.master.Status().Master, s.master.Status()
		consumer := status.Clones[0].Clone
		snapshot := wire.Snapshot{Len: 1, Bytes: append(bytes.Clone(someKey), someValue...)}
		for _, sender := range []wire.EntityID{master, x.entity, {Endpoint: master.Endpoint, Object: 1}, {Endpoint: x.ep.ID(), Object: 1}} {
			log := "in the name of"
			if sender.Endpoint == x.ep.ID() {
				log = "second master"
			}
			for _, receiver := range []wire.EntityID{{}, consumer} {
				for _, c := range []wire.Command{
					{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone, Seq: 5}, Num: 5, Heartbeat: 5, Snapshot: snapshot},
					control(wire.CommandKeepalive, 1<<62), control(wire.CommandRetransmitFailed, status.Seq+1), control(wire.CommandCumulativeAck, 1<<62),
					nackOf(1, 1000), putOf(0, someKey, someValue), putOf(status.Seq+1, someKey, someValue), putOf(1<<61, someKey, someValue),
					{CommandHeader: wire.CommandHeader{Kind: wire.CommandClear, Seq: status.Seq + 1}},
				} {
					c.Sender, c.Receiver = sender, receiver
					words := log
					if log == "second master" && !receiver.IsZero() && !c.Kind.Action() {
						words = "" // said to it alone, it is not worth a word
					}
					name := fmt.Sprintf("%v of %v to %v", c.Kind, sender, receiver)
					s.noted(name, words, s.clone, func() { x.say(c) })
					s.undisturbed(name)
				}
			}
		}
		if ok, err := s.clone.Exists(t.Context(), data.String("some key")); ok || err != nil {
			t.Errorf("what the stranger put is there: %v, %v", ok, err)
		}
	})
}

// A clone has attached to a master that says what makes no sense. It bears all of it, attaches again when
// its copy may be wrong, and follows a good master when there is one.
func TestMadMaster(t *testing.T) {
	attached := func(x *stranger, offset uint64, snapshot wire.Snapshot) {
		ask := x.last(wire.CommandNack)
		x.say(wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone, Seq: offset, Receiver: ask.Sender}, Num: offset, Heartbeat: 5, Snapshot: snapshot})
		synctest.Wait()
	}
	few := wire.Snapshot{Len: 1, Bytes: append(bytes.Clone(someKey), someValue...)}
	type step struct {
		name   string
		do     func(x *stranger, clone *store.Store)
		breaks bool // the clone attaches again
	}
	var steps []step
	for _, p := range poison {
		steps = append(steps, step{p.name, func(x *stranger, _ *store.Store) {
			x.seq++
			x.raw(append(wire.AppendCommandHeader(nil, x.seq, x.entity, wire.EntityID{}), p.body...))
		}, true})
	}
	for _, num := range []uint64{1 << 25, 1 << 61, 1 << 62, math.MaxUint64} {
		steps = append(steps,
			step{fmt.Sprint("keepalive ", num), func(x *stranger, _ *store.Store) { x.say(control(wire.CommandKeepalive, num)) }, false},
			step{fmt.Sprint("event ", num), func(x *stranger, _ *store.Store) { x.say(putOf(num, someKey, someValue)) }, false},
			step{fmt.Sprint("ack of writes ", num), func(x *stranger, clone *store.Store) {
				c := control(wire.CommandCumulativeAck, num)
				c.Receiver, c.Seq = x.last(wire.CommandAttachWriter).Sender, num
				x.say(c)
			}, false},
			step{fmt.Sprint("nack of writes ", num), func(x *stranger, clone *store.Store) {
				c := nackOf(num, 100_000)
				c.Receiver = x.last(wire.CommandAttachWriter).Sender
				x.say(c)
			}, false})
	}
	steps = append(steps,
		step{"event 0", func(x *stranger, _ *store.Store) { x.say(putOf(0, someKey, someValue)) }, false},
		step{"a NaN as key", func(x *stranger, _ *store.Store) { x.act(putOf(0, nanKey, someValue)) }, false},
		step{"put_unique", func(x *stranger, _ *store.Store) {
			x.act(wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUnique}, Key: someKey, Value: someValue})
		}, false},
		step{"add", func(x *stranger, _ *store.Store) {
			x.act(wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAdd}, Key: someKey, Value: someValue})
		}, false},
	)
	for _, st := range steps {
		t.Run(st.name, func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				var log logBook
				b := n.node(t, "b")
				serve(t, b, "b")
				clone := attachClone(t, b, log.option())
				before := heap()
				x := newStranger(t, n, toClones, "b")
				x.listen(toMaster)
				time.Sleep(time.Second)
				attached(x, 1, few)
				if err := clone.WaitReady(within(t, time.Second)); err != nil {
					t.Fatal(err)
				}
				p, err := clone.Submit(t.Context(), store.PutOp(data.String("mine"), count(1)))
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				st.do(x, clone)
				time.Sleep(time.Second)
				if got := clone.Status().Attaches; got != 1 {
					t.Errorf("it attached %d times", got)
				}
				if st.breaks {
					if clone.Status().Rejected == 0 || len(log.lines("looking for the master anew")) == 0 || len(log.lines("not acted upon")) == 0 {
						t.Errorf("nothing was noted: %+v", clone.Status())
					}
					attached(x, x.seq, few)
					time.Sleep(time.Second)
					if got := clone.Status().Attaches; got != 2 {
						t.Errorf("it attached %d times, want once more; %q", got, log.lines())
					}
				}
				x.works(st.name, clone)
				if grown := heap() - before; grown > 16<<20 {
					t.Errorf("the heap grew by %d bytes", grown)
				}
				// The mad one leaves, and a good one comes.
				x.ep.Close(t.Context())
				a := n.node(t, "a")
				master := attachMaster(t, a)
				peered(t, a, "b")
				if o, err := clone.Put(within(t, time.Minute), data.String("mine"), count(2)); o != store.Applied || err != nil {
					t.Error(o, err)
				}
				if o, err := p.Wait(within(t, time.Minute)); err != nil {
					t.Error(o, err)
				}
				same(t, within(t, time.Minute), master, clone)
			})
		})
	}
}

// Contents that make no sense are refused, and the clone keeps what it has and looks on.
func TestMadContents(t *testing.T) {
	entry := func(key, value []byte) []byte { return append(bytes.Clone(key), value...) }
	for name, c := range map[string]wire.Command{
		"offset 0":            {Num: 0, Snapshot: wire.Snapshot{Len: 1, Bytes: entry(someKey, someValue)}},
		"a key twice":         {Num: 5, Snapshot: wire.Snapshot{Len: 2, Bytes: append(entry(someKey, someValue), entry(someKey, someValue)...)}},
		"a deep value":        {Num: 5, Snapshot: wire.Snapshot{Len: 1, Bytes: entry(someKey, deep(200_000))}},
		"a deep key":          {Num: 5, Snapshot: wire.Snapshot{Len: 1, Bytes: entry(deep(5000), someValue)}},
		"a set with two same": {Num: 5, Snapshot: wire.Snapshot{Len: 1, Bytes: entry(someKey, twiceSet)}},
		"one too few":         {Num: 5, Snapshot: wire.Snapshot{Len: 3, Bytes: entry(someKey, someValue)}},
		"half an entry":       {Num: 5, Snapshot: wire.Snapshot{Len: 2, Bytes: append(entry(someKey, someValue), someKey...)}},
		"an unknown tag":      {Num: 5, Snapshot: wire.Snapshot{Len: 1, Bytes: append(bytes.Clone(someKey), 77)}},
		"the last number":     {Num: math.MaxUint64, Snapshot: wire.Snapshot{Len: 1, Bytes: entry(someKey, someValue)}},
	} {
		t.Run(name, func(t *testing.T) {
			onMemNet(t, func(t *testing.T, n *memNet) {
				var log logBook
				b := n.node(t, "b")
				serve(t, b, "b")
				clone := attachClone(t, b, log.option(), store.WithMaxGetDelay(time.Millisecond))
				x := newStranger(t, n, toClones, "b")
				x.listen(toMaster)
				time.Sleep(time.Second)
				for range 3 {
					ask := x.last(wire.CommandNack)
					c.Kind, c.Receiver, c.Heartbeat = wire.CommandAckClone, ask.Sender, 5
					x.say(c)
					time.Sleep(10 * time.Second)
				}
				if _, err := clone.Get(t.Context(), data.String("some key")); !errors.Is(err, store.ErrStale) {
					t.Errorf("it was taken: %v", err)
				}
				if got := clone.Status(); got.Attaches != 0 || got.Rejected == 0 || len(log.lines("not acted upon")) == 0 {
					t.Errorf("%+v, %q", got, log.lines())
				}
				good := x.last(wire.CommandNack)
				x.say(wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone, Receiver: good.Sender}, Num: 1, Heartbeat: 5})
				synctest.Wait()
				x.works(name, clone)
			})
		})
	}
}
