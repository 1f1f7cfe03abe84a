package fuzz

import (
	"encoding/binary"
	"testing"

	"github.com/zeekpeer/zeekpeer/store/channel"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A poison is the host of a master or a clone that is told anything at all.
type poison struct {
	t        *testing.T
	m        *channel.Master
	c        *channel.Clone
	self     wire.EntityID // of the master
	wants    []wire.EntityID
	next     []byte // what is sent to the one that is tested is also mangled and sent back
	keys     map[string]bool
	settled  int
	sent     int
	releases []func()
}

const (
	poisonSteps = 300
	// poisonSent bounds the commands that one input leads to: a nack is answered by 4096 events at most.
	poisonSent = 5000
)

func (p *poison) send(seq uint64, sender, receiver wire.EntityID, event []byte) {
	p.sent++
	if p.sent > poisonSent {
		p.t.Fatal("says too much to one thing")
	}
	p.next = append(wire.AppendCommandHeader(p.next[:0], seq, sender, receiver), event...)
	if _, err := wire.ParseCommand(p.next); err != nil {
		p.t.Fatalf("says %x: %v", p.next, err)
	}
}

// masterHost and cloneHost are what the two sides see of it.
type masterHost struct{ *poison }

func (h masterHost) Send(_ wire.EndpointID, seq uint64, receiver wire.EntityID, event []byte) {
	h.send(seq, h.self, receiver, event)
}
func (h masterHost) Peer(id wire.EndpointID) bool { return id[0]&1 == 0 }
func (h masterHost) Write(writer wire.EntityID, c *wire.Command, err error) {
	if err != nil || c.Kind == wire.CommandErase {
		return
	}
	if c.Kind == wire.CommandPut {
		h.keys[string(c.Key)] = true
	}
	h.m.Produce(wire.AppendCommandBody(nil, c))
}
func (h masterHost) Attach(clone wire.EntityID) { h.wants = append(h.wants, clone) }
func (h masterHost) Entries(from []byte, yield func(key, value []byte) bool) {
	for i := range 3 {
		if key := data.AppendCount(nil, uint64(i)); string(key) >= string(from) && !yield(key, key) {
			return
		}
	}
}
func (h masterHost) Event(event []byte)            { h.m.Produce(event) }
func (h masterHost) Rejected(wire.EntityID, error) {}

type cloneHost struct{ *poison }

func (h cloneHost) Send(_ wire.EndpointID, seq uint64, sender, receiver wire.EntityID, event []byte) {
	h.send(seq, sender, receiver, event)
}
func (h cloneHost) Install(_ wire.EntityID, s wire.Snapshot) error {
	return s.Each(func(_, _ []byte) error { return nil })
}
func (h cloneHost) Apply(c *wire.Command) error {
	if c.Kind == wire.CommandPut {
		h.keys[string(c.Key)] = true
	}
	return nil
}
func (h cloneHost) Settled(w *channel.Write, o channel.Outcome) {
	if o == channel.Pending || w.Tag != nil {
		h.t.Fatalf("outcome %d after %v", o, w.Tag)
	}
	w.Tag = o
	h.settled++
}
func (h cloneHost) Rejected(wire.EntityID, error) {}
func (h cloneHost) Leaving(wire.EntityID, string) {}

// script takes numbers and pieces off the input.
type script []byte

func (s *script) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

func (s *script) bytes(n int) []byte {
	n = min(n, len(*s))
	b := (*s)[:n]
	*s = (*s)[n:]
	return b
}

// number returns a number of the kind that matters: small, near another one, or absurd.
func (s *script) number(near uint64) uint64 {
	b := s.byte()
	switch b % 4 {
	case 0:
		return uint64(b / 4)
	case 1:
		return near + uint64(b/4) - 32
	case 2:
		return uint64(1) << (b / 4)
	default:
		return -uint64(b / 4)
	}
}

// mangled returns a command of the kinds that exist, with something changed in it.
func (s *script) mangled(near uint64, entities []wire.EntityID) (from wire.EndpointID, payload []byte) {
	all := commands()
	c := all[int(s.byte())%len(all)]
	who := s.byte()
	c.Sender = entities[int(who&7)%len(entities)]
	c.Receiver = entities[int(who>>3&7)%len(entities)]
	c.Publisher = c.Sender
	c.Seq, c.Num = s.number(near), s.number(near)
	if c.Kind == wire.CommandNack {
		c.Missing = nil
		for range s.byte() % 8 {
			c.Missing = wire.AppendSeq(c.Missing, s.number(near))
		}
	}
	payload = wire.AppendCommand(nil, &c)
	if how := s.byte(); how&1 != 0 {
		payload = payload[:len(payload)-int(s.byte())%len(payload)]
	} else if how&2 != 0 {
		payload[(int(s.byte())<<8|int(s.byte()))%len(payload)] ^= s.byte()
	}
	from = c.Sender.Endpoint
	if who&0x80 != 0 {
		from = largeID
	}
	return from, payload
}

// A master and a clone survive any order of commands, ticks and peers: neither panics nor keeps more than
// a multiple of what it was told, every write of the clone has one outcome, and after all that a good
// write and a good event go through.
func FuzzChannel(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add([]byte{}, true)
	seed := func(steps ...byte) {
		f.Add(steps, false)
		f.Add(steps, true)
	}
	for i := range byte(len(commands())) {
		seed(0, i, 0, 9, 9, 0, 2, 3, 4, 0, i, 9, 13, 5, 1, 7, 3, 3)
		seed(0, i, 0x12, 1, 1, 4, 0, 0, 9, 1, 6, 1, 5, 0, i, 0x21, 129, 133, 0)
	}
	addFrames(f, func(body []byte) {
		if e, err := wire.ParseEnvelope(body); err == nil && e.Type == wire.TypeCommand && len(e.Payload) < 256 {
			f.Add(append([]byte{1, byte(len(e.Payload))}, e.Payload...), false)
			f.Add(append([]byte{1, byte(len(e.Payload))}, e.Payload...), true)
		}
	})
	f.Fuzz(func(t *testing.T, input []byte, clone bool) {
		cfg := channel.Config{MaxBuffer: 4 << 10, Window: 8, WindowForeign: 4}
		bounded(t, len(input)+poisonSteps*100, func() {
			if clone {
				poisonClone(t, cfg, input)
			} else {
				poisonMaster(t, cfg, input)
			}
		})
	})
}

func poisonMaster(t *testing.T, cfg channel.Config, input script) {
	p := &poison{t: t, self: channel.NativeEntity(middleID, 1), keys: map[string]bool{}}
	entities := []wire.EntityID{
		p.self, {}, {Endpoint: smallID, Object: 7}, channel.NativeEntity(smallID, 1), channel.NativeEntity(smallID, 2), {Endpoint: largeID, Object: 8},
	}
	p.m = channel.NewMaster(cfg, p.self, uint64(len(input)%3), map[wire.EntityID]uint64{entities[2]: 5}, masterHost{p})
	for range poisonSteps {
		if len(input) == 0 {
			break
		}
		p.sent = 0
		switch input.byte() % 8 {
		case 0:
			p.m.Receive(input.mangled(p.m.Seq(), entities))
		case 1:
			p.m.Receive(smallID, input.bytes(int(input.byte())))
		case 2:
			p.m.Receive(smallID, p.next)
		case 3:
			for range input.byte() {
				p.sent = 0
				p.m.Tick()
			}
		case 4:
			for _, clone := range p.wants {
				p.m.Attached(clone, p.m.Seq()-min(p.m.Seq()-1, uint64(input.byte()%4)), int(input.byte()%4))
			}
			p.wants = nil
		case 5:
			for _, clone := range p.wants {
				p.m.AttachFailed(clone, int(input.byte()))
			}
			p.wants = nil
		case 6:
			p.m.Produce(wire.AppendCommandBody(nil, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandClear}}))
		case 7:
			if input.byte()%2 == 0 && len(p.releases) < 8 {
				_, release := p.m.Keep()
				p.releases = append(p.releases, release)
			} else if len(p.releases) > 0 {
				p.releases[0]()
				p.releases = p.releases[1:]
			}
		}
		p.m.Executed(func(wire.EntityID, uint64) {})
		p.sent = 0
		p.m.Acknowledge()
	}
	// A new writer gets through.
	p.sent = 0
	writer, key := channel.NativeEntity(smallID, 99), data.AppendString(nil, "good")
	for _, c := range []wire.Command{
		{CommandHeader: wire.CommandHeader{Kind: wire.CommandAttachWriter}, Num: 1},
		{CommandHeader: wire.CommandHeader{Kind: wire.CommandPut, Seq: 2}, Key: key, Value: key},
	} {
		c.Sender = writer
		p.m.Receive(smallID, wire.AppendCommand(nil, &c))
	}
	if !p.keys[string(key)] {
		t.Fatal("a good write does not go through")
	}
}

func poisonClone(t *testing.T, cfg channel.Config, input script) {
	p := &poison{t: t, self: channel.NativeEntity(middleID, 1), keys: map[string]bool{}}
	objects := uint64(0)
	entity := func() wire.EntityID {
		objects++
		return channel.NativeEntity(smallID, objects)
	}
	p.c = channel.NewClone(cfg, entity(), entity, cloneHost{p})
	submitted := 0
	for range poisonSteps {
		if len(input) == 0 {
			break
		}
		p.sent = 0
		entities := []wire.EntityID{p.c.Master(), p.c.Consumer(), {}, p.c.Writer(), p.self, {Endpoint: middleID, Object: 7}, {Endpoint: largeID, Object: 7}}
		switch input.byte() % 8 {
		case 0:
			p.c.Receive(input.mangled(p.c.Next(), entities))
		case 1:
			b := input.bytes(int(input.byte()))
			if len(b) >= 56 && input.byte()%2 == 0 {
				// In the name of the master, to whom it is said.
				b = append([]byte(nil), b...)
				b = append(wire.AppendCommandHeader(nil, binary.BigEndian.Uint64(b), p.self, p.c.Consumer()), b[56:]...)
			}
			p.c.Receive(middleID, b)
		case 2:
			p.c.Receive(smallID, p.next)
		case 3:
			p.c.Tick(int(input.byte()) - 1)
		case 4:
			p.c.PeerAdded(entities[int(input.byte())%len(entities)].Endpoint)
		case 5:
			p.c.PeerLost(entities[int(input.byte())%len(entities)].Endpoint)
		case 6:
			all := commands()
			if c := all[int(input.byte())%len(all)]; c.Kind.Action() && c.Kind != wire.CommandExpire && c.Kind != wire.CommandPutUniqueResult {
				p.c.Submit(&channel.Write{Command: c})
				submitted++
			}
		case 7:
			c := wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone, Sender: p.self, Receiver: p.c.Consumer()}, Num: input.number(p.c.Next())}
			p.c.Receive(middleID, wire.AppendCommand(nil, &c))
		}
		p.c.Flush()
	}
	// A master that comes now is found, after as long as it takes to stop heeding another.
	key := data.AppendString(nil, "good")
	good := channel.NativeEntity(middleID, 77)
	for range 600 {
		p.sent = 0
		p.c.Tick(1)
		for _, c := range []wire.Command{
			{CommandHeader: wire.CommandHeader{Kind: wire.CommandKeepalive}, Num: 9},
			{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone, Receiver: p.c.Consumer()}, Num: 9},
			{CommandHeader: wire.CommandHeader{Kind: wire.CommandPut, Seq: 10}, Key: key, Value: key},
		} {
			c.Sender = good
			p.c.Receive(middleID, wire.AppendCommand(nil, &c))
		}
		p.c.Flush()
		if p.keys[string(key)] {
			break
		}
	}
	if !p.keys[string(key)] || p.c.Master() != good {
		t.Fatalf("a good event does not go through; attached %v to %v", p.c.Attached(), p.c.Master())
	}
	p.c.Close()
	if p.settled != submitted {
		t.Fatalf("%d of %d writes have an outcome", p.settled, submitted)
	}
}
