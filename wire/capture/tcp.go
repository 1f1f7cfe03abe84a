package capture

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// What the connections of a capture of packets may keep.
const (
	maxFlows       = 1 << 14   // connections at a time
	maxAhead       = 1 << 20   // bytes of a direction that wait for those before them
	maxAheadPieces = 1024      // in so many pieces
	maxTracked     = 256 << 20 // bytes of all connections
)

// A tracker puts the connections of a capture together.
type tracker struct {
	s     *sink
	flows map[flowKey]*flow
	count int // of flows that there were
	kept  int // bytes that all flows keep
	told  map[string]bool
	now   *packet
}

// A flowKey names a connection, whoever sends: the smaller address first.
type flowKey struct{ a, b netip.AddrPort }

// A flow is a connection.
type flow struct {
	number int // given with the first item
	dialer End
	other  End
	from   netip.AddrPort // the dialer
	halves [2]*half       // from the dialer, from the other
	silent bool           // not Broker's, and that was told
}

// A half is one direction of a connection.
type half struct {
	stream *Stream
	next   uint32 // the sequence number of the byte that is wanted
	begun  bool   // next is known
	ended  bool   // a FIN was seen
	last   uint32 // if ended: the number behind the last byte
	ahead  []piece
	bytes  int // in ahead
}

// A piece is a part of a direction that came before its turn.
type piece struct {
	seq   uint32
	bytes []byte
}

func newTracker(s *sink) *tracker {
	return &tracker{s: s, flows: make(map[flowKey]*flow), told: make(map[string]bool)}
}

// once tells of trouble, the first time only.
func (t *tracker) once(text string) {
	if !t.told[text] && len(t.told) < 64 {
		t.told[text] = true
		t.s.put(Item{Where: t.now.where(), Time: t.now.time, Note: text + "; not told again", Damage: true})
	}
}

// packet takes the next packet.
func (t *tracker) packet(p *packet) {
	t.now = p
	g, err := parseSegment(p.link, p.data)
	switch err {
	case nil:
	case errNotTCP:
		return
	case errFragment:
		t.once("a fragment of an IP packet: fragments are not put together")
		return
	default:
		t.once(fmt.Sprintf("a packet that cannot be read: %v", err))
		return
	}
	key := flowKey{g.from, g.to}
	if g.to.Compare(g.from) < 0 {
		key = flowKey{g.to, g.from}
	}
	f := t.flows[key]
	if f != nil && g.flags&flagSYN != 0 && f.isNew(&g) {
		t.close(f)
		delete(t.flows, key)
		f = nil
	}
	if f == nil {
		if len(g.payload) == 0 && g.cut == 0 && g.flags&flagSYN == 0 {
			return // of a connection that ended, or one that says nothing
		}
		if len(t.flows) >= maxFlows {
			t.once(fmt.Sprintf("more than %d connections at a time: the others are passed over", maxFlows))
			return
		}
		f = newFlow(&g)
		t.flows[key] = f
	}
	h := f.half(&g)
	before := f.kept()
	t.segment(f, h, &g)
	t.kept += f.kept() - before
	if t.kept > maxTracked {
		t.note(f, h, fmt.Sprintf("more than %d MiB wait for the rest of their frames: what this connection has is given up", maxTracked>>20))
		before := f.kept()
		h.ahead, h.bytes, h.begun = nil, 0, false
		h.stream.Lose()
		t.kept += f.kept() - before
	}
	if g.flags&flagRST != 0 || f.halves[0].done() && f.halves[1].done() {
		how := "closed"
		if g.flags&flagRST != 0 {
			how = "reset by " + g.from.String()
		}
		if f.number > 0 && !f.silent {
			t.s.put(t.item(f, f.halves[0], nil, how))
		}
		t.close(f)
		delete(t.flows, key)
	}
}

// newFlow makes a connection of its first segment. Who dialed is known from SYNs; otherwise it is
// guessed to be the one with the higher port.
func newFlow(g *segment) *flow {
	dialer, other := g.from, g.to
	if syn := g.flags & (flagSYN | flagACK); syn == flagSYN|flagACK || syn&flagSYN == 0 && g.from.Port() < g.to.Port() {
		dialer, other = other, dialer
	}
	f := &flow{from: dialer, dialer: End{Name: Dialer, Addr: dialer.String()}, other: End{Name: Listener, Addr: other.String()}}
	start := g.flags&flagSYN != 0
	f.halves = [2]*half{{stream: NewStream(start)}, {stream: NewStream(start)}}
	return f
}

// isNew tells whether a SYN begins another connection between the same addresses.
func (f *flow) isNew(g *segment) bool {
	h := f.half(g)
	return h.begun && h.next != g.seq+1
}

// half returns the direction of a segment.
func (f *flow) half(g *segment) *half {
	if g.from == f.from {
		return f.halves[0]
	}
	return f.halves[1]
}

func (f *flow) kept() int { return f.halves[0].kept() + f.halves[1].kept() }

func (h *half) kept() int { return h.bytes + h.stream.Buffered() }

func (h *half) done() bool { return h.ended && h.next == h.last }

// segment takes one segment of a direction.
func (t *tracker) segment(f *flow, h *half, g *segment) {
	// What the other side has acknowledged and this capture has not seen will not come any more.
	back := f.halves[0]
	if back == h {
		back = f.halves[1]
	}
	if g.flags&flagACK != 0 && back.begun {
		for len(back.ahead) > 0 && int32(g.ack-back.ahead[0].seq) > 0 {
			t.jump(f, back)
		}
	}
	seq := g.seq
	if g.flags&flagSYN != 0 {
		seq++
		if !h.begun {
			h.next, h.begun = seq, true
		}
	}
	if !h.begun && len(g.payload)+g.cut > 0 {
		h.next, h.begun = seq, true
	}
	if g.flags&flagFIN != 0 && !h.ended {
		h.ended, h.last = true, seq+uint32(len(g.payload)+g.cut)
	}
	if len(g.payload) > 0 {
		t.bytes(f, h, seq, g.payload)
	}
	if g.cut > 0 {
		t.once(fmt.Sprintf("%d bytes of the packet were not captured: capture whole packets (tcpdump -s 0)", g.cut))
	}
}

// bytes takes bytes at a sequence number.
func (t *tracker) bytes(f *flow, h *half, seq uint32, b []byte) {
	switch d := int32(seq - h.next); {
	case d > 0:
		t.keep(f, h, seq, b)
	case int(-d) >= len(b): // sent again
	default:
		t.feed(f, h, b[-d:])
		t.drain(f, h)
	}
}

// keep keeps bytes that come before their turn.
func (t *tracker) keep(f *flow, h *half, seq uint32, b []byte) {
	i, found := slices.BinarySearchFunc(h.ahead, seq, func(p piece, seq uint32) int { return int(int32(p.seq - seq)) })
	if found {
		if len(b) <= len(h.ahead[i].bytes) {
			return
		}
		h.bytes += len(b) - len(h.ahead[i].bytes)
		h.ahead[i].bytes = bytes.Clone(b)
	} else {
		h.ahead = slices.Insert(h.ahead, i, piece{seq, bytes.Clone(b)})
		h.bytes += len(b)
	}
	for h.bytes > maxAhead || len(h.ahead) > maxAheadPieces {
		t.jump(f, h)
	}
}

// drain takes what waited and is next.
func (t *tracker) drain(f *flow, h *half) {
	for len(h.ahead) > 0 && int32(h.ahead[0].seq-h.next) <= 0 {
		p := h.ahead[0]
		h.ahead = slices.Delete(h.ahead, 0, 1)
		h.bytes -= len(p.bytes)
		if overlap := int(int32(h.next - p.seq)); overlap < len(p.bytes) {
			t.feed(f, h, p.bytes[overlap:])
		}
	}
}

// jump gives up the bytes that are missing before what waits.
func (t *tracker) jump(f *flow, h *half) {
	missing := h.ahead[0].seq - h.next
	t.note(f, h, fmt.Sprintf("%d bytes are missing in the capture", missing))
	h.stream.Lose()
	h.next = h.ahead[0].seq
	t.drain(f, h)
}

// feed gives the next bytes of a direction to its stream.
func (t *tracker) feed(f *flow, h *half, b []byte) {
	h.next += uint32(len(b))
	h.stream.Feed(b, func(frame *Frame, _ int, note string) {
		if frame != nil {
			t.s.put(t.item(f, h, frame, ""))
		} else {
			t.note(f, h, note)
		}
	})
}

// note tells of trouble in a direction, unless nothing of the connection is Broker's.
func (t *tracker) note(f *flow, h *half, text string) {
	if f.silent || f.number == 0 && h.stream.state == searching {
		return
	}
	f.silent = h.stream.Foreign()
	it := t.item(f, h, nil, text)
	it.Damage = !f.silent
	t.s.put(it)
}

// item makes an item of a connection, which gets its number with the first.
func (t *tracker) item(f *flow, h *half, frame *Frame, note string) Item {
	if f.number == 0 {
		t.count++
		f.number = t.count
	}
	it := Item{Where: t.where(), Time: t.time(), Conn: f.number, From: f.dialer, To: f.other, Frame: frame, Note: note}
	if h == f.halves[1] {
		it.From, it.To = it.To, it.From
	}
	return it
}

func (t *tracker) where() string {
	if t.now == nil {
		return "end"
	}
	return t.now.where()
}

func (t *tracker) time() time.Time {
	if t.now == nil {
		return time.Time{}
	}
	return t.now.time
}

// close ends a connection: what waits is taken, gaps or not.
func (t *tracker) close(f *flow) {
	t.kept -= f.kept()
	for _, h := range f.halves {
		for len(h.ahead) > 0 {
			t.jump(f, h)
		}
		if f.number == 0 {
			continue // nothing was seen of it that could be told
		}
		h.stream.End(func(_ *Frame, _ int, note string) { t.note(f, h, note) })
	}
}

// end ends all connections that are still there.
func (t *tracker) end() {
	open := make([]*flow, 0, len(t.flows))
	for _, f := range t.flows {
		open = append(open, f)
	}
	slices.SortFunc(open, func(a, b *flow) int {
		return cmp.Or(a.number-b.number, a.from.Compare(b.from), cmp.Compare(a.other.Addr, b.other.Addr))
	})
	for _, f := range open {
		t.close(f)
	}
	clear(t.flows)
	if t.count == 0 {
		t.s.put(Item{Where: t.where(), Note: "no frames of Broker were found in any connection", Damage: true})
	}
}
