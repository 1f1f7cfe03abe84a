package channel

import (
	"bytes"
	"maps"
	"slices"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A Consumer puts numbered events in order and says which are missing (STORE.md section 3.4).
type Consumer struct {
	cfg       Config
	heartbeat int    // acknowledgements are sent every so many ticks
	next      uint64 // the number that is expected; 0 before the handshake
	last      uint64 // what is known to exist ends before it
	early     map[uint64][]byte
	room      *int // what early may still take; consumers may share it

	tick     int
	lastNext uint64 // next at the last tick
	idle     int    // ticks without progress
	askedTo  uint64 // the end of what was asked for last
	asked    int    // how often in a row, without progress
}

// earlyCost is what an event out of order takes beside its bytes.
const earlyCost = 64

// lostEvent stands for an event that the producer has no more.
var lostEvent = []byte{}

// NewConsumer returns a consumer that waits for its handshake.
func NewConsumer(cfg Config) *Consumer {
	cfg = cfg.WithDefaults()
	return newConsumer(cfg, &cfg.MaxBuffer)
}

// newConsumer returns a consumer that takes the room for what comes early from others, too.
func newConsumer(cfg Config, room *int) *Consumer {
	return &Consumer{cfg: cfg, heartbeat: cfg.Heartbeat, early: make(map[uint64][]byte), room: room}
}

// Ready tells whether there was a handshake.
func (c *Consumer) Ready() bool { return c.next != 0 }

// Next returns the number of the event that is expected.
func (c *Consumer) Next() uint64 { return c.next }

// Behind returns how many events are known to exist and are not consumed.
func (c *Consumer) Behind() uint64 {
	if c.last <= c.next {
		return 0
	}
	return c.last - c.next
}

// Handshake says where the stream begins: the events up to offset are known. Heartbeat is the interval
// that the producer asks for. A second handshake is ignored, and so is one with an impossible offset.
func (c *Consumer) Handshake(offset uint64, heartbeat int) {
	if c.Ready() || !possibleOffset(offset) {
		return
	}
	c.next = offset + 1
	c.last = c.next
	if heartbeat > 0 {
		c.heartbeat = min(heartbeat, maxHeartbeat)
	}
	for n := range c.early {
		if n <= offset || n-c.next > maxAhead {
			c.forget(n)
		} else {
			c.last = max(c.last, n)
		}
	}
}

// possibleOffset tells whether a stream can begin behind a number. 0 means that there is no stream.
func possibleOffset(offset uint64) bool { return offset != 0 && offset <= maxSeq }

// skipTo makes the consumer expect next, if that is ahead: the producer will not send what is before.
func (c *Consumer) skipTo(next uint64) {
	if next <= c.next {
		return
	}
	c.next, c.last = next, max(c.last, next)
	for n := range c.early {
		if n < next {
			c.forget(n)
		}
	}
}

// skipGaps gives up all that is missing, and calls drain whenever the next event is one that is there.
// What others claim to exist costs no time.
func (c *Consumer) skipGaps(drain func()) {
	for _, seq := range slices.Sorted(maps.Keys(c.early)) {
		if seq >= c.next {
			c.next = seq
			drain()
		}
	}
	c.next = max(c.next, c.last)
}

// stuck returns for how many ticks about nothing came of what was asked for.
func (c *Consumer) stuck() int { return c.asked * c.cfg.NackTimeout }

// Push takes an event. It returns true if it is the one expected: then the caller consumes it, and goes
// on with [Consumer.Pop]. Otherwise it is kept, or ignored if it is old, there already, absurdly far
// ahead, or if too much is kept.
func (c *Consumer) Push(seq uint64, event []byte) (consume bool) {
	switch {
	case seq == c.next && c.Ready():
		c.next++
		c.last = max(c.last, c.next)
		return true
	case seq <= c.next || seq-c.next > maxAhead && c.Ready():
		return false
	}
	if c.Ready() {
		c.last = max(c.last, seq)
	}
	c.keep(seq, event)
	return false
}

func (c *Consumer) keep(seq uint64, event []byte) {
	size := len(event) + earlyCost
	if _, ok := c.early[seq]; ok || size > *c.room && seq != c.next {
		return
	}
	if len(event) > 0 {
		event = bytes.Clone(event)
	}
	c.early[seq] = event
	*c.room -= size
}

func (c *Consumer) forget(seq uint64) {
	*c.room += len(c.early[seq]) + earlyCost
	delete(c.early, seq)
}

// close gives back what is kept.
func (c *Consumer) close() {
	for n := range c.early {
		c.forget(n)
	}
}

// Pop returns the event that is expected if it came early. lost tells that it will never come.
func (c *Consumer) Pop() (event []byte, lost, ok bool) {
	if len(c.early) == 0 || !c.Ready() {
		return nil, false, false
	}
	event, ok = c.early[c.next]
	if !ok {
		return nil, false, false
	}
	c.forget(c.next)
	c.next++
	c.last = max(c.last, c.next)
	return event, len(event) == 0, true
}

// Lost notes that the producer has an event no more. Pop reports it in its turn.
func (c *Consumer) Lost(seq uint64) {
	if c.Ready() && seq >= c.next && seq-c.next <= maxAhead {
		c.last = max(c.last, seq)
		c.keep(seq, lostEvent)
	}
}

// Keepalive notes that there are events up to seq.
func (c *Consumer) Keepalive(seq uint64) {
	if c.Ready() && seq >= c.next && seq-c.next <= maxAhead {
		c.last = max(c.last, seq+1)
	}
}

// Advance lets a tick pass. It returns what is to be sent: an acknowledgement of everything before
// Next, or a nack of what is missing. Before the handshake missing is the list of 0 alone.
func (c *Consumer) Advance() (ack bool, missing wire.SeqList) {
	c.tick++
	if progress := c.next != c.lastNext; progress || !c.Ready() {
		c.lastNext = c.next
		if progress {
			c.idle, c.asked = 0, 0
			return c.Ready() && c.tick%c.heartbeat == 0, nil
		}
	}
	c.idle++
	if !c.Ready() {
		if c.idle < c.cfg.NackTimeout {
			return false, nil
		}
		c.idle = 0
		return false, wire.AppendSeq(nil, 0)
	}
	if c.next < c.last && c.idle >= c.cfg.NackTimeout {
		c.idle = 0
		return false, c.ask()
	}
	return c.tick%c.heartbeat == 0, nil
}

// Missing returns more numbers to ask for, without waiting for a tick, if everything that was asked for
// last has come and more is missing.
func (c *Consumer) Missing() wire.SeqList {
	if c.askedTo == 0 || c.next < c.askedTo {
		return nil
	}
	c.askedTo = 0
	if c.next >= c.last {
		return nil
	}
	c.idle, c.asked = 0, 0
	return c.ask()
}

// ask lists the first numbers that are missing.
func (c *Consumer) ask() (missing wire.SeqList) {
	c.asked++
	for seq := c.next; seq < c.last && missing.Len() < nackSlice; seq++ {
		if _, ok := c.early[seq]; !ok {
			missing = wire.AppendSeq(missing, seq)
		}
		c.askedTo = seq + 1
	}
	return missing
}
