package bridge

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A message is one mark in the native network and another one in the other.
const (
	markN mark = 1 + iota
	markW
)

func TestGuard(t *testing.T) {
	const s = time.Second
	g := newGuard(5 * s)
	step := func(want bool, to side, at time.Duration) {
		t.Helper()
		from, there := markN, markW
		if to == native {
			from, there = markW, markN
		}
		if got, sign := g.crosses(to, from, there, at); got != want || sign {
			t.Errorf("to %d at %v: crosses is %v", to, at, got)
		}
	}
	step(true, webSocket, 1*s)
	step(true, webSocket, 2*s) // news, as far as it can tell
	step(false, native, 3*s)
	step(false, native, 3*s)
	step(false, native, 7*s-1)
	step(true, native, 7*s) // the window after the last
	step(false, webSocket, 8*s)

	heard := func(at time.Duration, id ...byte) (news bool) {
		news, sign := g.heard(wire.EndpointID(append(id, make([]byte, wire.IDLen-len(id))...)), false, at)
		return news && !sign
	}
	if !heard(20*s, 1) || heard(21*s, 1) || g.otherBridges(21*s) != 1 {
		t.Error("another bridge is news once")
	}
	step(true, webSocket, 21*s)
	step(false, webSocket, 22*s)
	step(true, webSocket, 26*s)
	heard(26*s, 1)
	gone := 26*s + beaconsMissed*beaconInterval
	step(true, webSocket, gone)
	step(false, webSocket, gone)
	if g.otherBridges(gone) != 1 || g.otherBridges(gone+1) != 0 {
		t.Error("it is gone when it is silent for long")
	}
	step(true, webSocket, gone+1)
	for i := range 2 * maxBridges {
		if news := heard(gone+s, 2, byte(i)); news != (i < maxBridges) {
			t.Errorf("bridge %d is news: %v", i, news)
		}
	}
	if g.otherBridges(gone+s) != maxBridges {
		t.Error("too many bridges are remembered")
	}
	if !heard(10*gone, 3) {
		t.Error("those that are gone take no room")
	}
}

// Equal messages that come again and again are a sign of a circle, and so is a beacon on their way. Each
// sign is told of once in a while.
func TestSigns(t *testing.T) {
	const s = time.Second
	g := newGuard(5 * s)
	at := time.Duration(0)
	again := func(times int, step time.Duration) (signs int) {
		for range times {
			at += step
			if ok, sign := g.crosses(webSocket, markN, markW, at); !ok {
				t.Errorf("at %v: does not cross", at)
			} else if sign {
				signs++
			}
		}
		return signs
	}
	if again(100, 5*s) > 0 || again(suspicious-2, s/100) > 0 || g.suspects(at) {
		t.Error("a sign too early")
	}
	if again(1, s/100) != 1 || again(100, s/100) != 0 || !g.suspects(at) {
		t.Error("want one sign")
	}
	if n := again(1000, s/10); n < 10 || n > 20 { // 100 seconds
		t.Errorf("%d signs", n)
	}
	at += beaconsMissed*beaconInterval + s
	if g.suspects(at) {
		t.Error("suspicion never ends")
	}
	if news, sign := g.heard(wire.EndpointID{1}, false, at); !news || sign || g.suspects(at) {
		t.Error("a bridge is no sign of a circle")
	}
	if news, sign := g.heard(wire.EndpointID{1}, true, at); news || !sign || !g.suspects(at) {
		t.Error("a beacon on the way of the messages is one")
	}
	if news, sign := g.heard(wire.EndpointID{1}, true, at); news || sign {
		t.Error("it is one again at once")
	}
	for range 2 * suspicious {
		if _, sign := newGuard(s).crosses(native, markW, markN, at); sign {
			t.Error("one way is enough")
		}
	}
}

// A memory forgets the oldest of those that stand in one place, and keeps its size.
func TestMemory(t *testing.T) {
	m := newMemory()
	at := func(i int) mark { return mark(7 + i*memorySets) }
	for i := range 2 * memoryWays {
		m.add(at(i), time.Duration(i+1), 0)
	}
	for i := range 2 * memoryWays {
		if got, want := m.has(at(i), 0), i >= memoryWays; got != want {
			t.Errorf("%d: %v", i, got)
		}
	}
	if n := m.add(at(memoryWays), 100, 0); n != 2 { // in its place
		t.Errorf("added %d times", n)
	}
	if n := m.add(at(50), 101, 0); n != 1 {
		t.Errorf("added %d times", n)
	}
	for i, want := range map[int]bool{memoryWays: true, memoryWays + 1: false, memoryWays + 2: true, 50: true} {
		if m.has(at(i), 0) != want {
			t.Errorf("%d: %v", i, !want)
		}
	}
	if n := m.add(at(50), 200, 101); n != 1 {
		t.Errorf("added %d times, the others too long ago", n)
	}
}

func encoded(v data.Value) []byte { return data.AppendValue(nil, v) }

// What went through JSON has the same content.
func TestContentThroughJSON(t *testing.T) {
	g := newGuard(1)
	rapid.Check(t, func(t *rapid.T) {
		v := datatest.Value(3).Draw(t, "v")
		text := data.AppendJSON(nil, v)
		back, err := data.ParseJSON(text, data.AnyJSON)
		if err != nil {
			return // strings that are not UTF-8 may have become equal
		}
		if g.content(encoded(v)) != g.content(encoded(back)) {
			t.Fatalf("%s has another content when it is read", text)
		}
	})
}

func TestContent(t *testing.T) {
	g := newGuard(1)
	event := func(name string, meta []zeek.Metadata, args ...data.Value) []byte {
		return zeek.Event{Name: name, Args: args, Metadata: meta}.AppendMessage(nil)
	}
	stamp := func(ns int64) []zeek.Metadata {
		return []zeek.Metadata{{Key: zeek.NetworkTimestamp, Value: data.Timestamp(ns)}}
	}
	vector := func(v ...data.Value) []byte { return encoded(data.Vector(v...)) }
	same := [][][]byte{
		{event("a", nil), event("a", []zeek.Metadata{}), event("a", stamp(1)), event("a", stamp(2))},
		{event("a", nil, data.Real(1)), event("a", nil, data.Real(2))},
		{event("a", nil, data.Timestamp(1)), event("a", nil, data.Timestamp(2))},
		{event("a", nil, data.Timespan(1)), event("a", nil, data.Timespan(2))},
		{event("a", nil, data.String("\xff\"")), event("a", nil, data.String(`\xff"`))},
		{event("a", nil, data.String("x\xffé\xc3")), event("a", nil, data.String(`x\xffé\xc3`))},
		{event("a", nil, data.Count(1))},
		{event("a", nil, data.Count(1), data.Count(1))},
		{event("a", nil, data.Int(1))},
		{event("b", nil)},
		{event("ab", nil)},
		{event("a", nil, data.String("b"))},
		{event("a", nil, data.Enum("b"))},
		{event("a", nil, data.Bool(true))},
		{event("a", nil, data.Bool(false))},
		{event("a", nil, data.None())},
		{event("a", nil, data.Port(80, data.ProtoTCP))},
		{event("a", nil, data.Port(80, data.ProtoUDP))},
		{{14, 1, 12, 2, 1, 1, 1, 0}, {14, 1, 12, 2, 1, 0, 1, 1}}, // a set in another order
		{{14, 1, 13, 2, 1, 1, 0, 1, 0, 0}, {14, 1, 13, 2, 1, 0, 0, 1, 1, 0}},
		{{14, 1, 13, 2, 1, 1, 1, 0, 1, 0, 1, 1}},
		{vector(data.Vector(), data.Vector())},
		{vector(data.Vector(data.Vector()))},
		{vector(data.String("a"), data.String("b"))},
		{vector(data.String("ab"), data.String(""))},
		{encoded(data.None())},
	}
	seen := make(map[uint64]int)
	for i, payloads := range same {
		for j, p := range payloads {
			c := g.content(p)
			if first, ok := seen[c]; ok && first != i {
				t.Errorf("%d is the same as %d", i, first)
			} else if !ok && j > 0 {
				t.Errorf("%d: %x is not the same as %x", i, p, payloads[0])
			}
			seen[c] = i
		}
	}
	marks := map[mark]int{}
	for range 2 {
		for _, topic := range []string{"/a", "/b"} {
			for content := range uint64(3) {
				marks[g.mark(topic, content)]++
			}
		}
	}
	if len(marks) != 6 {
		t.Errorf("a mark is of a topic and a content: %v", marks)
	}
	long := event("a", nil, data.String(strings.Repeat("\xff", 1<<20)))
	if c := g.content(long); c != g.content(event("a", nil, data.String(strings.Repeat(`\xff`, 1<<20)))) {
		t.Error("a long string that is not UTF-8")
	}
}

func BenchmarkGuard(b *testing.B) {
	g := newGuard(DefaultWindow)
	var payloads [1024][]byte
	for i := range payloads {
		payloads[i] = zeek.AppendEvent(nil, "event_1x", data.Count(uint64(i)), data.String("test"))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c := g.content(payloads[i%1024])
		g.crosses(webSocket, g.mark("/bench/x", c), g.mark("bench.x", c), time.Duration(i))
	}
}
