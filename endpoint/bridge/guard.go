package bridge

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A side is one of the two networks.
type side uint8

const (
	native side = iota
	webSocket
)

// How much a guard remembers of what was put into one network: 131,072 messages in 3 MiB.
const (
	memorySets = 1 << 15
	memoryWays = 4
)

// suspicious is how often within the window an equal message crosses the same way until the guard
// suspects a circle.
const suspicious = 8

// maxBridges bounds how many other bridges are told apart.
const maxBridges = 64

// A guard decides which messages have come out of a network into which this bridge has put them. It reads
// no clock: now is the time since any fixed point.
type guard struct {
	window time.Duration
	seed   maphash.Seed

	mu     sync.Mutex
	put    [2]memory                         // into either network, by what it is called there
	others map[wire.EndpointID]time.Duration // when a bridge was heard of last
	circle time.Duration                     // when there was a sign of a circle last
	signs  bool                              // there was one
}

func newGuard(window time.Duration) *guard {
	return &guard{
		window: window,
		seed:   maphash.MakeSeed(),
		put:    [2]memory{newMemory(), newMemory()},
		others: make(map[wire.EndpointID]time.Duration),
	}
}

// A mark identifies a content on a topic.
type mark uint64

// crosses tells whether a message that came out of one network, with the mark from, may cross into the
// other, where its topic and so its mark are others. If so it is remembered. It also tells whether this
// is a new sign that messages go round in a circle.
func (g *guard) crosses(to side, from, there mark, now time.Duration) (ok, sign bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	since := now - g.window
	if g.put[1-to].has(from, since) {
		return false, false
	}
	if to == webSocket && len(g.others) > 0 && g.put[to].has(there, since) && g.bridges(now) > 0 {
		return false, false
	}
	if times := g.put[to].add(there, now, since); to == webSocket && times >= suspicious {
		sign = g.sign(now)
	}
	return true, sign
}

// sign notes a sign of a circle, with the lock held. It reports whether there was none for some time.
func (g *guard) sign(now time.Duration) (news bool) {
	news = !g.signs || now-g.circle > beaconInterval
	if news {
		g.signs, g.circle = true, now
	}
	return news
}

// suspects tells whether there was a sign of a circle lately.
func (g *guard) suspects(now time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.signs && now-g.circle <= beaconsMissed*beaconInterval
}

// heard notes that another bridge is there, and whether its beacon took the way of the messages. It
// reports whether that is news, and whether it is a new sign of a circle.
func (g *guard) heard(bridge wire.EndpointID, sameWay bool, now time.Duration) (news, sign bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, known := g.others[bridge]
	if !known && g.bridges(now) >= maxBridges {
		return false, false
	}
	g.others[bridge] = now
	return !known, sameWay && g.sign(now)
}

// otherBridges returns how many bridges were heard of lately.
func (g *guard) otherBridges(now time.Duration) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bridges(now)
}

// bridges forgets the bridges that were silent for long, with the lock held, and counts the others.
func (g *guard) bridges(now time.Duration) int {
	for id, at := range g.others {
		if now-at > beaconsMissed*beaconInterval {
			delete(g.others, id)
		}
	}
	return len(g.others)
}

// A memory holds marks and when they were added. It has a fixed size: a new one takes the place of the
// oldest of the few that might stand there.
type memory [][memoryWays]struct {
	mark  mark
	at    time.Duration
	times int // within the window
}

func newMemory() memory { return make(memory, memorySets) }

// has tells whether a mark was added after since.
func (m memory) has(k mark, since time.Duration) bool {
	for _, e := range &m[k%memorySets] {
		if e.mark == k && e.at > since {
			return true
		}
	}
	return false
}

// add adds a mark and returns how often it was added, if never later than since.
func (m memory) add(k mark, now, since time.Duration) (times int) {
	set := &m[k%memorySets]
	oldest := 0
	for i := range set {
		if set[i].mark == k {
			oldest = i
			break
		}
		if set[i].at < set[oldest].at {
			oldest = i
		}
	}
	e := &set[oldest]
	if e.mark != k || e.at <= since {
		e.times = 0
	}
	e.mark, e.at, e.times = k, now, e.times+1
	return e.times
}

// content hashes an encoded value, which must be valid, as far as it survives the way through JSON and Zeek.
func (g *guard) content(payload []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(g.seed)
	r, n := data.NewReader(payload), 1
	if e, err := zeek.ParseEventView(payload); err == nil {
		text(&h, e.Name)
		r, n = e.Args, e.NumArgs
	}
	g.values(&h, &r, n)
	return h.Sum64()
}

// mark returns the mark of a content on a topic.
func (g *guard) mark(topic string, content uint64) mark {
	m := mark(maphash.String(g.seed, topic) ^ content*0x9e3779b97f4a7c15)
	if m == 0 {
		m = 1 // zero stands where nothing is remembered
	}
	return m
}

func (g *guard) values(h *maphash.Hash, r *data.Reader, n int) {
	for range n {
		kind := r.Kind()
		h.WriteByte(byte(kind))
		switch kind {
		case data.KindString:
			text(h, r.Bytes())
		case data.KindEnum:
			text(h, r.Enum())
		case data.KindVector:
			n := r.Vector()
			number(h, uint64(n))
			g.values(h, r, n)
		case data.KindSet:
			g.members(h, r, r.Set(), 1)
		case data.KindTable:
			g.members(h, r, r.Table(), 2)
		case data.KindCount:
			number(h, r.Count())
		case data.KindInt:
			number(h, uint64(r.Int()))
		case data.KindBool:
			if r.Bool() {
				h.WriteByte(1)
			}
		case data.KindAddr:
			a := r.Addr().As16()
			h.Write(a[:])
		case data.KindSubnet:
			p := r.Subnet().Masked()
			a := p.Addr().As16()
			h.Write(a[:])
			h.WriteByte(byte(p.Bits()))
		case data.KindPort:
			port, proto := r.Port()
			number(h, uint64(port)<<8|uint64(proto))
		default: // none, and what is rounded on the way: real numbers, times, intervals
			r.Skip()
		}
	}
}

// members hashes the members of a set or table, in whatever order they come.
func (g *guard) members(h *maphash.Hash, r *data.Reader, n, values int) {
	var sum uint64
	for range n {
		var member maphash.Hash
		member.SetSeed(g.seed)
		g.values(&member, r, values)
		sum += member.Sum64()
	}
	number(h, uint64(n))
	number(h, sum)
}

func number(h *maphash.Hash, n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	h.Write(b[:])
}

// text hashes a string as JSON has it: what is not UTF-8 as \xNN.
func text(h *maphash.Hash, b []byte) {
	const hex = "0123456789abcdef"
	if utf8.Valid(b) {
		h.Write(b)
		b = nil
	}
	for len(b) > 0 {
		if r, size := utf8.DecodeRune(b); r != utf8.RuneError || size > 1 {
			h.Write(b[:size])
			b = b[size:]
			continue
		}
		h.Write([]byte{'\\', 'x', hex[b[0]>>4], hex[b[0]&15]})
		b = b[1:]
	}
	h.WriteByte(0xff) // which no UTF-8 has
}
