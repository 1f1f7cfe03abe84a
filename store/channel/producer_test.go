package channel

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire"
)

var (
	masterEndpoint = wire.EndpointID{0: 0x4d, 15: 1}
	cloneEndpoint  = wire.EndpointID{0: 0x43, 15: 2}
	otherEndpoint  = wire.EndpointID{0: 0x4f, 15: 3}
	someClone      = wire.EntityID{Endpoint: cloneEndpoint, Object: 7}
	otherClone     = wire.EntityID{Endpoint: otherEndpoint, Object: 7}
)

// kept returns the numbers of the events that a producer keeps.
func kept(p *Producer) (seqs []uint64) {
	for seq := range p.seq + 10 {
		if event, answers, ok := p.Event(seq); ok {
			seqs = append(seqs, seq)
			if want := fmt.Sprint("event ", seq); string(event) != want || answers != seq*seq {
				panic(fmt.Sprintf("%q which answers %d, want %q", event, answers, want))
			}
		}
	}
	return seqs
}

func produce(p *Producer, n int) {
	for range n {
		next := p.seq + 1
		p.Produce(fmt.Append(nil, "event ", next), next*next)
	}
}

// A producer does what the table of STORE.md section 3.3 says, apart from what section 8.2 mends.
func TestProducer(t *testing.T) {
	attached := func(offset, acked uint64) func(*Producer) {
		return func(p *Producer) { p.attach(someClone, offset, acked) }
	}
	ack := func(seq uint64) func(*Producer) {
		return func(p *Producer) { p.ack(p.path(someClone), seq) }
	}
	events := func(n int) func(*Producer) { return func(p *Producer) { produce(p, n) } }
	ticks := func(n int) func(*Producer) {
		return func(p *Producer) {
			for range n {
				p.advance()
			}
		}
	}
	for name, c := range map[string]struct {
		steps []func(*Producer)
		seq   uint64
		keeps []uint64
		idle  bool
		paths int
	}{
		"nothing":                                {seq: 1, idle: true},
		"events without a consumer are numbered": {steps: []func(*Producer){events(3)}, seq: 4, idle: true},
		"events for a consumer are kept":         {steps: []func(*Producer){attached(1, 0), events(3)}, seq: 4, keeps: []uint64{2, 3, 4}, paths: 1},
		"those before it are not":                {steps: []func(*Producer){events(3), attached(4, 0), events(1)}, seq: 5, keeps: []uint64{5}, paths: 1},
		"acknowledged ones are given back":       {steps: []func(*Producer){attached(1, 0), events(3), ack(3)}, seq: 4, keeps: []uint64{4}, paths: 1},
		"all of them":                            {steps: []func(*Producer){attached(1, 0), events(3), ack(4)}, seq: 4, idle: true, paths: 1},
		"an older acknowledgement is ignored":    {steps: []func(*Producer){attached(1, 0), events(3), ack(3), ack(2)}, seq: 4, keeps: []uint64{4}, paths: 1},
		"one of what was never sent, too":        {steps: []func(*Producer){attached(1, 0), events(3), ack(5), ack(1 << 62)}, seq: 4, keeps: []uint64{2, 3, 4}, paths: 1},
		"one of less than the snapshot gives nothing back": {
			steps: []func(*Producer){events(5), attached(6, 0), ack(3), events(1)}, seq: 7, keeps: []uint64{7}, paths: 1,
		},
		"the slowest counts": {
			steps: []func(*Producer){attached(1, 0), func(p *Producer) { p.attach(otherClone, 1, 0) }, events(3), ack(4)},
			seq:   4, keeps: []uint64{2, 3, 4}, paths: 2,
		},
		"until it is gone": {
			steps: []func(*Producer){attached(1, 0), func(p *Producer) { p.attach(otherClone, 1, 0) }, events(3), ack(3), func(p *Producer) { p.detach(otherClone) }},
			seq:   4, keeps: []uint64{4}, paths: 1,
		},
		"to attach again begins anew":           {steps: []func(*Producer){attached(1, 0), events(3), ack(3), attached(4, 0), ack(2)}, seq: 4, paths: 1},
		"499 ticks of silence are borne":        {steps: []func(*Producer){attached(1, 0), events(1), ticks(499)}, seq: 2, keeps: []uint64{2}, paths: 1},
		"500 are not":                           {steps: []func(*Producer){attached(1, 0), events(1), ticks(500)}, seq: 2, idle: true},
		"an acknowledgement breaks the silence": {steps: []func(*Producer){attached(1, 0), events(2), ticks(499), ack(2), ticks(499)}, seq: 3, keeps: []uint64{3}, paths: 1},
		"even one that says the same again":     {steps: []func(*Producer){attached(1, 1), events(2), ticks(499), ack(1), ticks(499)}, seq: 3, keeps: []uint64{2, 3}, paths: 1},
		"an impossible one does not":            {steps: []func(*Producer){attached(1, 1), events(2), ticks(499), ack(4), ticks(1)}, seq: 3, idle: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewProducer(Config{}, 1, false)
			for _, step := range c.steps {
				step(p)
			}
			if got := kept(p); p.Seq() != c.seq || !slices.Equal(got, c.keeps) || p.idle() != c.idle || len(p.paths) != c.paths {
				t.Errorf("seq %d, keeps %d, idle %v, %d paths; want %+v", p.Seq(), got, p.idle(), len(p.paths), c)
			}
		})
	}
}

// Keepalives come every five ticks without an event, with or without consumers.
func TestProducerKeepalive(t *testing.T) {
	p := NewProducer(Config{}, 1, false)
	var at []int
	for tick := 1; tick <= 22; tick++ {
		if tick == 8 {
			produce(p, 1) // after the 7th tick
		}
		if keepalive, lost := p.advance(); keepalive {
			at = append(at, tick)
		} else if lost != nil {
			t.Errorf("lost %v", lost)
		}
	}
	if want := []int{5, 12, 17, 22}; !slices.Equal(at, want) {
		t.Errorf("keepalives at the ticks %d, want %d", at, want)
	}
}

// A producer that had a former life keeps the events of the first 50 s for consumers of that.
func TestProducerHolds(t *testing.T) {
	p := NewProducer(Config{}, 100, true)
	produce(p, 3)
	for range 499 {
		p.advance()
	}
	if got, want := kept(p), []uint64{101, 102, 103}; !slices.Equal(got, want) {
		t.Errorf("keeps %d, want %d", got, want)
	}
	p.attach(someClone, 102, 102)
	p.advance()
	if got, want := kept(p), []uint64{103}; !slices.Equal(got, want) {
		t.Errorf("keeps %d after 50 s, want %d", got, want)
	}
}

// The consumers that are the farthest behind are given up when too much is kept for them (STORE.md
// section 8.2 e).
func TestProducerBounded(t *testing.T) {
	event := bytes.Repeat([]byte{'x'}, 92)
	p := NewProducer(Config{MaxBuffer: 1000}, 1, true)
	p.attach(someClone, 1, 1)
	p.attach(otherClone, 1, 1)
	for range 10 {
		p.Produce(event, 0)
	}
	if lost := p.relieve(); lost != nil || p.events.bytes != 1000 || !p.held() {
		t.Fatalf("lost %v, keeps %d bytes", lost, p.events.bytes)
	}
	p.ack(p.path(someClone), 3)
	p.ack(p.path(otherClone), 2)
	p.Produce(event, 0)
	if lost := p.relieve(); lost != nil || p.held() || p.events.first() != 3 {
		t.Fatalf("lost %v, keeps from %d: what nobody may want is given back first", lost, p.events.first())
	}
	p.Produce(event, 0)
	if lost := p.relieve(); !slices.Equal(lost, []wire.EntityID{otherClone}) || p.events.first() != 4 || p.path(someClone) == nil {
		t.Fatalf("lost %v, keeps from %d", lost, p.events.first())
	}
	if (&Producer{cfg: Config{}.WithDefaults()}).relieve() != nil {
		t.Error("lost somebody where nobody is")
	}
}

// A backlog keeps what a slice would.
func TestBacklog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const from = 5
		b := backlog{next: from}
		var model [][]byte
		first := uint64(from)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				event := bytes.Repeat([]byte{byte(b.next)}, rapid.SampledFrom([]int{0, 1, 100, chunkSize / 2, chunkSize + 1}).Draw(t, "size"))
				model = append(model, event)
				b.add(event, b.next, true)
			case 2:
				seq := rapid.Uint64Range(from, b.next).Draw(t, "drop")
				b.dropTo(seq)
				first = max(first, min(seq+1, b.next))
			case 3:
				model = append(model, nil)
				b.add([]byte("not kept"), 0, false)
				first = b.next
			}
			size := 0
			for seq := uint64(from); seq < b.next+2; seq++ {
				event, answers, ok := b.get(seq)
				if ok != (seq >= first && seq < b.next) || ok && (answers != seq || !bytes.Equal(event, model[seq-from])) {
					t.Fatalf("%d: %d bytes that answer %d, %v; kept from %d", seq, len(event), answers, ok, first)
				}
				if ok {
					size += 8 + len(event)
				}
			}
			if b.first() != first || b.bytes != size {
				t.Fatalf("%d bytes from %d on, want %d from %d", b.bytes, b.first(), size, first)
			}
			if len(b.events) > 2*(len(b.events)-b.head)+200 {
				t.Fatalf("%d places for %d events", len(b.events), len(b.events)-b.head)
			}
		}
	})
}
