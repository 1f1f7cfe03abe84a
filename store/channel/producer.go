package channel

import (
	"slices"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A Producer numbers events and keeps those that some consumer has not acknowledged (STORE.md section
// 3.3).
type Producer struct {
	cfg           Config
	seq           uint64 // of the newest event
	tick          int
	lastBroadcast int // when something was last sent to all
	paths         []*path
	events        backlog
	// Until a tick the events above heldFrom are kept for consumers that a former life of this
	// producer had, and that may come back.
	heldUntil int
	heldFrom  uint64
}

// A path leads to one consumer.
type path struct {
	entity   wire.EntityID
	offset   uint64 // what the consumer has by its snapshot
	acked    uint64 // 0: the snapshot has not been acknowledged
	lastSeen int
	repaired int // when its missing events were last sent again
}

// has returns the last event that the consumer is known to have.
func (p *path) has() uint64 { return max(p.offset, p.acked) }

// NewProducer returns a producer whose next event has the number seq+1. A new channel begins at 1.
// With hold, events are kept for [Config.Timeout] as if there were a consumer that has seq.
func NewProducer(cfg Config, seq uint64, hold bool) *Producer {
	p := &Producer{cfg: cfg.WithDefaults(), seq: seq, heldFrom: seq}
	p.events.next = seq + 1
	if hold {
		p.heldUntil = p.cfg.Timeout
	}
	return p
}

// Seq returns the number of the newest event.
func (p *Producer) Seq() uint64 { return p.seq }

// Produce gives an event the next number. It keeps a copy of it, and of the number of the write that it
// answers, if there is anybody who might ask for it.
func (p *Producer) Produce(event []byte, answers uint64) (seq uint64) {
	p.seq++
	p.lastBroadcast = p.tick
	p.events.add(event, answers, len(p.paths) > 0 || p.held())
	return p.seq
}

func (p *Producer) held() bool { return p.tick < p.heldUntil }

// Event returns an event that is still kept. Before the first that is kept all are gone.
func (p *Producer) Event(seq uint64) (event []byte, answers uint64, ok bool) {
	return p.events.get(seq)
}

func (p *Producer) find(e wire.EntityID) (i int, found bool) {
	return slices.BinarySearchFunc(p.paths, e, func(p *path, e wire.EntityID) int { return p.entity.Compare(e) })
}

func (p *Producer) path(e wire.EntityID) *path {
	if i, found := p.find(e); found {
		return p.paths[i]
	}
	return nil
}

// attach adds a consumer, or begins anew with one, that gets the contents as of an event.
func (p *Producer) attach(e wire.EntityID, offset, acked uint64) {
	i, found := p.find(e)
	if !found {
		p.paths = slices.Insert(p.paths, i, &path{entity: e})
	}
	*p.paths[i] = path{entity: e, offset: offset, acked: acked, lastSeen: p.tick, repaired: p.tick}
}

// detach gives a consumer up.
func (p *Producer) detach(e wire.EntityID) {
	if i, found := p.find(e); found {
		p.paths = slices.Delete(p.paths, i, i+1)
		p.trim()
	}
}

// ack notes that a consumer has everything up to seq. An acknowledgement of what was never sent, or of
// less than before, is ignored (STORE.md section 8.2 f).
func (p *Producer) ack(to *path, seq uint64) {
	if seq > p.seq || seq < to.acked {
		return
	}
	to.lastSeen = p.tick
	if seq > to.acked {
		to.acked = seq
		p.trim()
	}
}

// trim gives back the events that all consumers have.
func (p *Producer) trim() {
	has := p.seq
	if p.held() {
		has = min(has, p.heldFrom)
	}
	for _, path := range p.paths {
		has = min(has, path.has())
	}
	p.events.dropTo(has)
}

// advance lets a tick pass. It tells whether a keepalive is due, and which consumers were given up
// because they were silent.
func (p *Producer) advance() (keepalive bool, lost []wire.EntityID) {
	p.tick++
	if p.tick-p.lastBroadcast >= p.cfg.Heartbeat {
		p.lastBroadcast = p.tick
		keepalive = true
	}
	p.paths = slices.DeleteFunc(p.paths, func(path *path) bool {
		silent := p.tick-path.lastSeen >= p.cfg.Timeout
		if silent {
			lost = append(lost, path.entity)
		}
		return silent
	})
	if p.tick == p.heldUntil || len(lost) > 0 {
		p.trim()
	}
	return keepalive, lost
}

// relieve gives up the slowest consumers while more is kept than allowed.
func (p *Producer) relieve() (lost []wire.EntityID) {
	for p.events.bytes > p.cfg.MaxBuffer {
		if p.held() {
			p.heldUntil = p.tick
			p.trim()
			continue
		}
		if len(p.paths) == 0 {
			break
		}
		slowest := slices.MinFunc(p.paths, func(a, b *path) int {
			switch {
			case a.has() < b.has():
				return -1
			case a.has() > b.has():
				return 1
			}
			return 0
		})
		lost = append(lost, slowest.entity)
		p.detach(slowest.entity)
	}
	return lost
}

// idle tells whether all consumers have everything.
func (p *Producer) idle() bool {
	return !slices.ContainsFunc(p.paths, func(path *path) bool { return path.acked != p.seq })
}
