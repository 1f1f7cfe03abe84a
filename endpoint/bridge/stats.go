package bridge

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// DropReason says why a message did not cross.
type DropReason uint8

// Why messages do not cross.
const (
	DropInvalid        DropReason = iota // not a value, or none that can be said on the other side, or too large
	DropLoop                             // it had crossed already
	DropQueueFull                        // the other side was slow or away
	DropUnmapped                         // no map has its topic, or it was meant for this node alone
	DropNoReceiver                       // no native peer is subscribed
	DropConnectionLost                   // on its way to the WebSocket side when the connection ended
	DropEnded                            // still waiting when the bridge ended
	numDropReasons     = iota
)

var dropNames = [...]string{"invalid", "loop", "queue full", "unmapped", "no receiver", "connection lost", "ended"}

// String returns the reason in words.
func (r DropReason) String() string {
	if int(r) < len(dropNames) {
		return dropNames[r]
	}
	return fmt.Sprintf("DropReason(%d)", uint8(r))
}

// A Direction counts what went one way.
type Direction struct {
	Forwarded uint64                // sent to the WebSocket side, or queued for one native peer at least
	Rejected  uint64                // errors that the WebSocket side answered
	Queued    int                   // messages that wait
	Dropped   map[DropReason]uint64 // by reason, none that is zero
}

// String returns the counters as a line for people.
func (d Direction) String() string {
	text := fmt.Sprintf("%d forwarded", d.Forwarded)
	if d.Rejected > 0 {
		text += fmt.Sprintf(", %d rejected", d.Rejected)
	}
	if len(d.Dropped) == 0 {
		return text + ", 0 dropped"
	}
	var total uint64
	var reasons []string
	for _, r := range slices.Sorted(maps.Keys(d.Dropped)) {
		total += d.Dropped[r]
		reasons = append(reasons, fmt.Sprintf("%d %v", d.Dropped[r], r))
	}
	return fmt.Sprintf("%s, %d dropped (%s)", text, total, strings.Join(reasons, ", "))
}

// Stats is what a bridge has seen.
type Stats struct {
	ToWebSocket, ToNative Direction
	Connects              uint64 // to the WebSocket side
	Bridges               int    // other bridges on the native network
}

// counters counts what went one way.
type counters struct {
	forwarded atomic.Uint64
	drops     [numDropReasons]atomic.Uint64
}

// drop counts a message, and reports whether it is the first for that reason.
func (c *counters) drop(r DropReason) (first bool) { return c.drops[r].Add(1) == 1 }

func (c *counters) read() Direction {
	d := Direction{Forwarded: c.forwarded.Load(), Dropped: make(map[DropReason]uint64)}
	for r := range c.drops {
		d.add(DropReason(r), c.drops[r].Load())
	}
	return d
}

func (d *Direction) add(r DropReason, n uint64) {
	if n > 0 {
		d.Dropped[r] += n
	}
}

// Stats returns what the bridge has seen so far.
func (b *Bridge) Stats() Stats {
	s := Stats{ToWebSocket: b.counters[webSocket].read(), ToNative: b.counters[native].read(), Bridges: b.guard.otherBridges(b.now())}
	c := b.connection.Load()
	if c == nil {
		return s
	}
	sub, client := c.sub.Stats(), c.client.Stats()
	out, in := &s.ToWebSocket, &s.ToNative
	out.Rejected = b.rejected.Load()
	if !b.ended.Load() {
		out.Queued, in.Queued = sub.Queued+client.QueuedOut, client.QueuedIn
	}
	out.add(DropQueueFull, sub.Dropped)
	out.add(DropConnectionLost, client.Unsent)
	out.Forwarded = client.Sent
	in.add(DropQueueFull, client.Dropped)
	in.add(DropInvalid, client.Invalid)
	s.Connects = client.Connects
	return s
}
