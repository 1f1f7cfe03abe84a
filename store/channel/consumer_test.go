package channel

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A stream is a consumer, and what it has consumed and said.
type stream struct {
	*Consumer
	got []uint64 // consumed; lost ones count from 1000 on
	say []string
}

func newStream(cfg Config) *stream { return &stream{Consumer: NewConsumer(cfg)} }

func (s *stream) drain() {
	for {
		event, lost, ok := s.Pop()
		switch {
		case !ok:
			return
		case lost:
			s.got = append(s.got, 1000+s.Next()-1)
		default:
			s.consume(event, s.Next()-1)
		}
	}
}

func (s *stream) consume(event []byte, seq uint64) {
	if want := fmt.Sprint("event ", seq); string(event) != want {
		panic(fmt.Sprintf("%q instead of %q", event, want))
	}
	s.got = append(s.got, seq)
}

func (s *stream) event(seq uint64) {
	event := fmt.Append(nil, "event ", seq)
	if s.Push(seq, event) {
		s.consume(event, s.Next()-1)
		s.drain()
	}
	clear(event) // it must have been copied
}

func (s *stream) handshake(offset uint64) { s.Handshake(offset, 5); s.drain() }
func (s *stream) lost(seq uint64)         { s.Lost(seq); s.drain() }

func (s *stream) tick() {
	ack, missing := s.Advance()
	if ack {
		s.say = append(s.say, fmt.Sprint("ack ", s.Next()-1))
	}
	if missing != nil {
		s.say = append(s.say, fmt.Sprint("nack ", numbers(missing)))
	}
	if ack && missing != nil {
		panic("both")
	}
}

func numbers(l wire.SeqList) (seqs []uint64) {
	for i := range l.Len() {
		seqs = append(seqs, l.At(i))
	}
	return seqs
}

// A consumer does what the table of STORE.md section 3.4 says, apart from what section 8.2 mends.
func TestConsumer(t *testing.T) {
	handshake := func(offset uint64) func(*stream) { return func(s *stream) { s.handshake(offset) } }
	events := func(seqs ...uint64) func(*stream) {
		return func(s *stream) {
			for _, seq := range seqs {
				s.event(seq)
			}
		}
	}
	lost := func(seq uint64) func(*stream) { return func(s *stream) { s.lost(seq) } }
	keepalive := func(seq uint64) func(*stream) { return func(s *stream) { s.Keepalive(seq) } }
	ticks := func(n int) func(*stream) {
		return func(s *stream) {
			for range n {
				s.tick()
			}
		}
	}
	type steps = []func(*stream)
	for name, c := range map[string]struct {
		steps  steps
		got    []uint64
		next   uint64
		behind uint64
		say    []string
	}{
		"before the handshake it asks every two ticks": {steps{ticks(5)}, nil, 0, 0, []string{"nack [0]", "nack [0]"}},
		"the handshake says where it begins":           {steps{handshake(3), events(3, 4)}, []uint64{4}, 5, 0, nil},
		"the second one is ignored":                    {steps{handshake(3), handshake(7), events(4)}, []uint64{4}, 5, 0, nil},
		"what came before it is consumed then":         {steps{events(5, 4, 3, 7), handshake(3)}, []uint64{4, 5}, 6, 1, nil},
		"but not an event 0":                           {steps{events(0), ticks(1)}, nil, 0, 0, nil},
		"in order":                                     {steps{handshake(1), events(2, 3, 4)}, []uint64{2, 3, 4}, 5, 0, nil},
		"out of order":                                 {steps{handshake(1), events(4, 3, 2)}, []uint64{2, 3, 4}, 5, 0, nil},
		"twice":                                        {steps{handshake(1), events(2, 2, 4, 4, 3, 3, 4)}, []uint64{2, 3, 4}, 5, 0, nil},
		"a gap is asked for at the next tick":          {steps{handshake(1), ticks(4), events(4, 6), ticks(1)}, nil, 2, 4, []string{"nack [2 3 5]"}},
		"the last one that is known to exist is not":   {steps{handshake(1), ticks(4), events(4), ticks(1)}, nil, 2, 2, []string{"nack [2 3]"}},
		"and every two ticks":                          {steps{handshake(1), ticks(4), events(3), ticks(5)}, nil, 2, 1, []string{"nack [2]", "nack [2]", "nack [2]"}},
		"a gap right after progress two ticks later":   {steps{handshake(1), ticks(1), events(2, 4), ticks(4)}, []uint64{2}, 3, 1, []string{"nack [3]", "ack 2"}},
		"progress stops it":                            {steps{handshake(1), ticks(4), events(3), ticks(1), events(2), ticks(9)}, []uint64{2, 3}, 4, 0, []string{"nack [2]", "ack 3"}},
		"acknowledgements every five ticks":            {steps{handshake(9), ticks(15)}, nil, 10, 0, []string{"ack 9", "ack 9", "ack 9"}},
		"counted from the beginning":                   {steps{ticks(1), handshake(9), ticks(4)}, nil, 10, 0, []string{"ack 9"}},
		"a keepalive tells of a lost tail":             {steps{handshake(1), ticks(4), keepalive(3), ticks(1)}, nil, 2, 2, []string{"nack [2 3]"}},
		"an old one does not":                          {steps{handshake(5), ticks(4), keepalive(3), ticks(1)}, nil, 6, 0, []string{"ack 5"}},
		"nor one before the handshake":                 {steps{keepalive(7), handshake(5), ticks(5)}, nil, 6, 0, []string{"ack 5"}},
		"nor 0":                                        {steps{handshake(1), keepalive(0), ticks(5)}, nil, 2, 0, []string{"ack 1"}},
		"a lost event is reported in its turn":         {steps{handshake(1), lost(3), events(2, 4)}, []uint64{2, 1003, 4}, 5, 0, nil},
		"the next one at once":                         {steps{handshake(1), lost(2)}, []uint64{1002}, 3, 0, nil},
		"an old one never":                             {steps{handshake(5), lost(3), events(6)}, []uint64{6}, 7, 0, nil},
		"nor before the handshake":                     {steps{lost(2), handshake(1)}, nil, 2, 0, nil},
		"what is lost is not asked for":                {steps{handshake(1), ticks(4), lost(3), lost(4), events(5), ticks(1)}, nil, 2, 3, []string{"nack [2]"}},
		// STORE.md section 8.2 a, b.
		"an absurd number is ignored": {steps{handshake(1), events(1<<61, 1<<63, 1<<64-1), ticks(5)}, nil, 2, 0, []string{"ack 1"}},
		"in a keepalive":              {steps{handshake(1), keepalive(1 << 62), keepalive(1<<64 - 1), ticks(5)}, nil, 2, 0, []string{"ack 1"}},
		"in a loss":                   {steps{handshake(1), lost(1 << 62), ticks(5)}, nil, 2, 0, []string{"ack 1"}},
		"before the handshake":        {steps{events(1<<61, 3), handshake(1), ticks(5)}, nil, 2, 1, []string{"nack [2]", "nack [2]"}},
		"in the handshake":            {steps{handshake(0), handshake(1 << 63), handshake(1<<64 - 1), ticks(2)}, nil, 0, 0, []string{"nack [0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStream(Config{})
			for _, step := range c.steps {
				step(s)
			}
			if !slices.Equal(s.got, c.got) || s.Next() != c.next || s.Behind() != c.behind || !slices.Equal(s.say, c.say) {
				t.Errorf("got %d, next %d, behind %d, said %q; want %+v", s.got, s.Next(), s.Behind(), s.say, c)
			}
		})
	}
}

// A long gap is asked for a slice at a time: the next as soon as the one before has come, and without a
// list in memory of what is missing.
func TestConsumerSlices(t *testing.T) {
	s := newStream(Config{})
	s.handshake(1)
	s.tick()
	s.Keepalive(2500)
	s.event(5)
	var asked wire.SeqList
	for range 4 {
		_, missing := s.Advance()
		if missing != nil {
			asked = missing
		}
	}
	if asked.Len() != nackSlice || asked.At(0) != 2 || asked.At(3) != 6 || asked.At(nackSlice-1) != nackSlice+2 {
		t.Fatalf("asks for %d: %d", asked.Len(), numbers(asked))
	}
	if s.Missing() != nil {
		t.Fatal("asks for more before that has come")
	}
	var slicesAsked []int
	for asked != nil {
		for _, seq := range numbers(asked) {
			s.event(seq)
		}
		if asked = s.Missing(); asked != nil {
			slicesAsked = append(slicesAsked, asked.Len())
		}
	}
	if want := []int{1000, 498}; !slices.Equal(slicesAsked, want) || s.Next() != 2501 || s.Behind() != 0 {
		t.Fatalf("then for %d, and is at %d", slicesAsked, s.Next())
	}
	s.Keepalive(maxAhead)
	if n := testing.AllocsPerRun(10, func() {
		for range 10 {
			s.Advance()
		}
	}); n > 200 {
		t.Errorf("%.0f allocations to ask ten times", n)
	}
}

// What comes early is kept within a bound; beyond, it is asked for again. The bound never keeps the
// stream from going on.
func TestConsumerBounded(t *testing.T) {
	s := newStream(Config{MaxBuffer: 10 * (earlyCost + 9)})
	s.handshake(1)
	for seq := uint64(99); seq > 2; seq-- {
		s.event(seq)
	}
	if len(s.early) != 10 || *s.room < 0 {
		t.Fatalf("keeps %d, room for %d more bytes", len(s.early), *s.room)
	}
	s.lost(2) // there is no room for it
	if s.Next() != 3 {
		t.Fatalf("next %d", s.Next())
	}
	for seq := uint64(3); seq < 100; seq++ {
		s.event(seq)
	}
	if s.Next() != 100 || len(s.early) != 0 || *s.room != s.cfg.MaxBuffer {
		t.Fatalf("next %d, keeps %d, room for %d bytes", s.Next(), len(s.early), *s.room)
	}

	cfg := Config{}.WithDefaults()
	room := 3 * (earlyCost + 9)
	a, b := &stream{Consumer: newConsumer(cfg, &room)}, &stream{Consumer: newConsumer(cfg, &room)}
	for _, s := range []*stream{a, b} {
		s.handshake(10)
		for _, seq := range []uint64{12, 13, 14} {
			s.Push(seq, []byte("123456789"))
		}
	}
	if len(a.early) != 3 || len(b.early) != 0 || room != 0 {
		t.Fatalf("%d and %d, room %d", len(a.early), len(b.early), room)
	}
	a.close()
	b.Push(12, []byte("123456789"))
	if len(a.early) != 0 || len(b.early) != 1 || a.Behind() == 0 {
		t.Fatalf("%d and %d", len(a.early), len(b.early))
	}
}

func TestConsumerSkips(t *testing.T) {
	s := newStream(Config{})
	s.handshake(1)
	s.event(4)
	s.event(6)
	s.event(9)
	s.skipTo(3)
	s.skipTo(2) // behind
	s.drain()
	if s.Next() != 3 {
		t.Fatalf("next %d", s.Next())
	}
	s.skipTo(6)
	s.drain()
	if s.Next() != 7 || !slices.Equal(s.got, []uint64{6}) || len(s.early) != 1 {
		t.Fatalf("next %d, got %d, keeps %d", s.Next(), s.got, len(s.early))
	}
	s.Keepalive(10)
	s.event(12)
	s.event(13)
	s.Keepalive(maxAhead)
	drains := 0
	s.skipGaps(func() {
		drains++
		s.drain()
	})
	if drains != 2 || s.Next() != maxAhead+1 || s.Behind() != 0 || *s.room != s.cfg.MaxBuffer || !slices.Equal(s.got, []uint64{6, 9, 12, 13}) {
		t.Fatalf("%d drains, next %d, behind %d, got %d", drains, s.Next(), s.Behind(), s.got)
	}
}

// Whatever is reordered, repeated and lost: every event is consumed once, in order; and what is claimed
// of others takes no memory and no time.
func TestConsumerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStream(Config{MaxBuffer: rapid.SampledFrom([]int{0, 500, 5000}).Draw(t, "room")})
		offset := rapid.Uint64Range(1, 1<<40).Draw(t, "offset")
		n := rapid.Uint64Range(0, 60).Draw(t, "events")
		sent, begun := offset, false
		claim := rapid.Uint64Range(offset+n+maxAhead+2, 1<<64-1)
		network := []func(){}
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				if sent < offset+n {
					sent++
					seq := sent
					network = append(network, func() { s.event(seq) })
				}
			case 1:
				last := sent
				network = append(network, func() { s.Keepalive(last) })
			case 2, 3:
				if len(network) > 0 {
					i := rapid.IntRange(0, len(network)-1).Draw(t, "which")
					network[i]()
					if rapid.Bool().Draw(t, "again") {
						network[i]()
					}
					network = slices.Delete(network, i, i+1)
				}
			case 4:
				_, missing := s.Advance()
				for _, seq := range numbers(missing) {
					switch {
					case seq == 0:
						network = append(network, func() { begun = true; s.handshake(offset) })
					case seq <= offset || seq > sent:
						t.Fatalf("asks for %d, between %d and %d", seq, offset, sent)
					default:
						network = append(network, func() { s.event(seq) })
					}
				}
			case 5:
				network = network[:rapid.IntRange(0, len(network)).Draw(t, "lost")]
			case 6:
				seq := claim.Draw(t, "claim")
				switch rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					s.Push(seq, []byte("absurd"))
				case 1:
					s.Keepalive(seq)
				case 2:
					s.Lost(seq)
				}
			}
			if *s.room < -earlyCost {
				t.Fatalf("keeps %d bytes too many", -*s.room)
			}
		}
		if !begun {
			s.handshake(offset)
		}
		s.Keepalive(sent)
		for range 3 * (n + 2) {
			_, missing := s.Advance()
			for _, seq := range numbers(missing) {
				s.event(seq)
			}
		}
		if s.Next() != sent+1 || s.Behind() != 0 || uint64(len(s.got)) != sent-offset || len(s.early) != 0 || *s.room != s.cfg.MaxBuffer {
			t.Fatalf("from %d to %d: next %d, behind %d, got %d, keeps %d", offset, sent, s.Next(), s.Behind(), s.got, len(s.early))
		}
		for i, seq := range s.got {
			if seq != offset+1+uint64(i) {
				t.Fatalf("got %d", s.got)
			}
		}
	})
}
