package prom

import (
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

// counters are what is counted of a peer, or of all.
type counters struct {
	frames, bytes [2]uint64 // in, out
	dropped       []uint64  // in the order of reasons
}

func countersOf(framesIn, bytesIn, framesOut, bytesOut uint64, drops map[endpoint.DropReason]uint64) counters {
	c := counters{frames: [2]uint64{framesIn, framesOut}, bytes: [2]uint64{bytesIn, bytesOut}, dropped: make([]uint64, len(reasons))}
	for i, reason := range reasons {
		c.dropped[i] = drops[reason]
	}
	return c
}

// each calls f with each counter of c and the same one of d.
func (c *counters) each(d *counters, f func(a *uint64, b uint64)) {
	for i := range c.frames {
		f(&c.frames[i], d.frames[i])
		f(&c.bytes[i], d.bytes[i])
	}
	for i := range c.dropped {
		f(&c.dropped[i], d.dropped[i])
	}
}

func add(a *uint64, b uint64)  { *a += b }
func sub(a *uint64, b uint64)  { *a -= min(*a, b) }
func most(a *uint64, b uint64) { *a = max(*a, b) }

// A series is what is shown under one label.
type series struct {
	label       string
	counters    counters
	queued      int
	queuedBytes int
	rtt         time.Duration
	live        bool
}

// A peering is one peering of a node; when the node comes back there is another.
type peering struct {
	id    wire.EndpointID
	since time.Time
}

// An attributed peering has a label of its own, or not, for as long as it lasts: if peers changed
// labels, counters would go back.
type attributed struct {
	series *series // nil: it is one of the others
	seen   counters
	live   bool
}

// An attribution shares the totals of a node among its peers by label. What no label accounts for is
// that of the others, so nothing is counted twice and no counter ever goes back: when a peer with a
// label of its own ends, only what came after the last look at it goes to the others.
type attribution struct {
	max      int
	peerings map[peering]*attributed
	labels   map[string]*series
	given    counters // to labels, of all time
	others   series
}

// update returns the series of all labels that have a peer now, and of the others.
func (a *attribution) update(peers []endpoint.PeerInfo, total *counters, label func(endpoint.PeerInfo) string) []*series {
	if a.peerings == nil {
		a.peerings, a.labels = make(map[peering]*attributed), make(map[string]*series)
		a.given = countersOf(0, 0, 0, 0, nil)
		a.others = series{label: OtherPeers, counters: countersOf(0, 0, 0, 0, nil)}
	}
	for _, p := range a.peerings {
		p.live = false
	}
	for _, s := range a.labels {
		s.live, s.queued, s.queuedBytes, s.rtt = false, 0, 0, 0
	}
	a.others.queued, a.others.queuedBytes = 0, 0
	// Labels that have lost their peers make room for new ones.
	names := make([]string, len(peers))
	for i, p := range peers {
		names[i] = strings.ToValidUTF8(label(p), "?")
		if s := a.labels[names[i]]; s != nil {
			s.live = true
		}
	}
	for name, s := range a.labels {
		if !s.live {
			delete(a.labels, name)
		}
	}
	for i := range peers {
		p := &peers[i]
		key := peering{p.ID, p.Since}
		at := a.peerings[key]
		if at == nil {
			at = &attributed{seen: countersOf(0, 0, 0, 0, nil), series: a.series(names[i])}
			a.peerings[key] = at
		}
		at.live = true
		s := at.series
		if s == nil {
			s = &a.others
		} else {
			now := countersOf(p.FramesIn, p.BytesIn, p.FramesOut, p.BytesOut, p.Dropped)
			news := countersOf(p.FramesIn, p.BytesIn, p.FramesOut, p.BytesOut, p.Dropped)
			news.each(&at.seen, sub)
			s.counters.each(&news, add)
			a.given.each(&news, add)
			at.seen = now
		}
		s.queued += p.Queued
		s.queuedBytes += p.QueuedBytes
		s.rtt = max(s.rtt, p.RTT)
	}
	for key, p := range a.peerings {
		if !p.live {
			delete(a.peerings, key)
		}
	}
	rest := *total
	rest.dropped = append([]uint64(nil), total.dropped...)
	rest.each(&a.given, sub)
	a.others.counters.each(&rest, most)
	all := make([]*series, 0, len(a.labels)+1)
	for _, s := range a.labels {
		all = append(all, s)
	}
	return append(all, &a.others)
}

// series returns the series of a label, nil if there are as many as there may be.
func (a *attribution) series(label string) *series {
	s := a.labels[label]
	if s == nil {
		if len(a.labels) >= a.max || label == OtherPeers {
			return nil
		}
		s = &series{label: label, counters: countersOf(0, 0, 0, 0, nil)}
		a.labels[label] = s
	}
	return s
}
