package fuzz

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A simulation is a network of nodes in one goroutine, with a clock of its own, in milliseconds. All
// chance in it comes of its seed.
type simulation struct {
	t     testing.TB
	seed  uint64
	rand  *rand.Rand
	now   int64
	queue simQueue
	order uint64 // of what was put into the queue

	nodes []simNode
	links map[[2]wire.EndpointID]*simLink
	names map[wire.EndpointID]string

	hash  uint64
	trace []simNote
	notes int
}

// A simNode is a process of the simulation.
type simNode interface {
	id() wire.EndpointID
	receive(from wire.EndpointID, payload []byte)
	peerAdded(id wire.EndpointID)
	peerLost(id wire.EndpointID)
	master() bool // masters are peers of clones only, and the other way round
	alive() bool
}

// A simLink is a connection. What is sent in one direction arrives in order, or not at all.
type simLink struct {
	ends  [2]simNode
	up    bool
	epoch int      // counts the connections
	last  [2]int64 // when the last command to each end arrives
	loss  [2]float64
	hole  [2]int64 // until when everything to an end is lost without a word
}

func newSimulation(t testing.TB, seed uint64) *simulation {
	return &simulation{
		t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 0x7a70)),
		links: map[[2]wire.EndpointID]*simLink{}, names: map[wire.EndpointID]string{}, hash: 14695981039346656037,
	}
}

// A simQueue is a heap of what is to be done, by time and order.
type simQueue []simTask

type simTask struct {
	at    int64
	order uint64
	do    func()
}

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simTask)) }
func (q *simQueue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = simTask{}
	*q = (*q)[:len(*q)-1]
	return last
}

// at has something done at a time, after has it done in some milliseconds.
func (s *simulation) at(time int64, do func()) {
	s.order++
	heap.Push(&s.queue, simTask{max(time, s.now), s.order, do})
}

func (s *simulation) after(ms int64, do func()) { s.at(s.now+ms, do) }

// run lets time pass until some point.
func (s *simulation) run(until int64) {
	for len(s.queue) > 0 && s.queue[0].at <= until {
		task := heap.Pop(&s.queue).(simTask)
		s.now = task.at
		task.do()
	}
	s.now = until
}

// between returns a number from low to high.
func (s *simulation) between(low, high int64) int64 { return low + s.rand.Int64N(high-low+1) }

func (s *simulation) chance(p float64) bool { return s.rand.Float64() < p }

// A simNote is something that happened.
type simNote struct {
	at       int64
	what     string
	from, to wire.EndpointID
	payload  []byte
}

func (s *simulation) note(what string, from, to wire.EndpointID, payload []byte) {
	h := s.hash
	mix := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	for i := range 8 {
		mix(byte(s.now >> (8 * i)))
	}
	for i := range len(what) {
		mix(what[i])
	}
	for _, b := range from {
		mix(b)
	}
	for _, b := range to {
		mix(b)
	}
	for _, b := range payload {
		mix(b)
	}
	s.hash = h
	if len(s.trace) < *simNotes {
		s.trace = append(s.trace, simNote{})
	}
	n := &s.trace[s.notes%*simNotes]
	s.notes++
	*n = simNote{s.now, what, from, to, append(n.payload[:0], payload[:min(len(payload), 300)]...)}
}

// fail ends the simulation, and says how to repeat it and what happened last.
func (s *simulation) fail(format string, args ...any) {
	var b strings.Builder
	for i := s.notes - len(s.trace); i < s.notes; i++ {
		n := s.trace[i%*simNotes]
		fmt.Fprintf(&b, "%9.3f %-9s %-4s %-4s %s\n", float64(n.at)/1000, n.what, s.name(n.from), s.name(n.to), s.describe(n.payload))
	}
	if file := *simTrace; file != "" {
		writeFile(s.t, file, b.String())
		b.Reset()
	}
	s.t.Fatalf("seed %d, at %.3f s: %s\n%s", s.seed, float64(s.now)/1000, fmt.Sprintf(format, args...), b.String())
}

func (s *simulation) name(id wire.EndpointID) string {
	if id.IsZero() {
		return "-"
	}
	return s.names[id]
}

func (s *simulation) entity(id wire.EntityID) string {
	if id.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%s/%d", s.name(id.Endpoint), id.Object&0xffff)
}

func (s *simulation) describe(payload []byte) string {
	c, err := wire.ParseCommand(payload)
	if err != nil {
		return string(payload)
	}
	text := fmt.Sprintf("%v seq %d %s->%s", c.Kind, c.Seq, s.entity(c.Sender), s.entity(c.Receiver))
	if c.Kind.Action() {
		text += fmt.Sprintf(" %x=%x op %d.%d by %s", c.Key, c.Value, uint64(c.Expiry)>>32, uint32(c.Expiry), s.entity(c.Publisher))
		if c.Kind == wire.CommandPutUniqueResult {
			text += fmt.Sprintf(" %v to %s %d", c.Inserted, s.entity(c.Who), c.RequestID)
		}
		return text
	}
	text += fmt.Sprint(" ", c.Num)
	for i := range min(c.Missing.Len(), 10) {
		text += fmt.Sprintf(" [%d]", c.Missing.At(i))
	}
	return text
}

// add adds a node and connects it to the others.
func (s *simulation) add(n simNode, name string) {
	s.names[n.id()] = name
	for _, other := range s.nodes {
		if other.master() != n.master() {
			l := &simLink{ends: [2]simNode{other, n}}
			s.links[[2]wire.EndpointID{other.id(), n.id()}] = l
			s.after(s.between(0, 200), func() { s.connect(l) })
		}
	}
	s.nodes = append(s.nodes, n)
}

// remove takes a node away that is dead for good.
func (s *simulation) remove(n simNode) {
	s.cutAll(n)
	for i, other := range s.nodes {
		if other == n {
			s.nodes = append(s.nodes[:i:i], s.nodes[i+1:]...)
			break
		}
	}
	for key, l := range s.links {
		if l.ends[0] == n || l.ends[1] == n {
			delete(s.links, key)
		}
	}
}

// eachLink calls f for every link, in an order that does not depend on chance.
func (s *simulation) eachLink(f func(*simLink)) {
	for _, a := range s.nodes {
		for _, b := range s.nodes {
			if l := s.links[[2]wire.EndpointID{a.id(), b.id()}]; l != nil {
				f(l)
			}
		}
	}
}

func (s *simulation) cutAll(n simNode) {
	s.eachLink(func(l *simLink) {
		if l.ends[0] == n || l.ends[1] == n {
			s.cut(l)
		}
	})
}

// connect makes a connection. Its ends learn of it one after the other.
func (s *simulation) connect(l *simLink) {
	if l.up || !l.ends[0].alive() || !l.ends[1].alive() {
		return
	}
	l.up = true
	l.epoch++
	epoch := l.epoch
	s.note("connect", l.ends[0].id(), l.ends[1].id(), nil)
	for i := range l.ends {
		s.after(s.between(0, 5), func() {
			if l.up && l.epoch == epoch {
				l.ends[i].peerAdded(l.ends[1-i].id())
			}
		})
	}
}

// cut ends a connection. What is under way is lost.
func (s *simulation) cut(l *simLink) {
	if !l.up {
		return
	}
	l.up = false
	epoch := l.epoch
	s.note("cut", l.ends[0].id(), l.ends[1].id(), nil)
	for i := range l.ends {
		lost := func() {
			if l.ends[i].alive() && l.epoch == epoch {
				l.ends[i].peerLost(l.ends[1-i].id())
			}
		}
		if s.chance(0.5) {
			lost()
		} else {
			s.after(s.between(0, 3), lost)
		}
	}
}

// send sends a command to one peer, or to all if it is zero.
func (s *simulation) send(from simNode, to wire.EndpointID, payload []byte) {
	for _, n := range s.nodes {
		if n.master() == from.master() || !to.IsZero() && n.id() != to {
			continue
		}
		l, end := s.link(from, n)
		if l == nil || !l.up || !n.alive() {
			continue
		}
		if s.now < l.hole[end] || l.loss[end] > 0 && s.chance(l.loss[end]) {
			s.note("lost", from.id(), n.id(), payload)
			continue
		}
		l.last[end] = max(l.last[end], s.now+s.between(0, 3))
		epoch, kept := l.epoch, append([]byte(nil), payload...)
		s.at(l.last[end], func() {
			if l.up && l.epoch == epoch && n.alive() {
				s.note("arrives", from.id(), n.id(), kept)
				n.receive(from.id(), kept)
			}
		})
	}
}

// link returns the link between two nodes, and which end of it the second is.
func (s *simulation) link(a, b simNode) (*simLink, int) {
	if l := s.links[[2]wire.EndpointID{a.id(), b.id()}]; l != nil {
		return l, 1
	}
	return s.links[[2]wire.EndpointID{b.id(), a.id()}], 0
}

// peers tells whether two nodes are connected.
func (s *simulation) peers(a simNode, id wire.EndpointID) bool {
	for _, n := range s.nodes {
		if n.id() == id {
			l, _ := s.link(a, n)
			return l != nil && l.up
		}
	}
	return false
}

// ticks calls tick every 100 ms as long as a node lives, with how many ticks have passed: a node may be
// held up.
func (s *simulation) ticks(n simNode, tick func(elapsed int)) {
	last := s.now
	var next func()
	next = func() {
		if !n.alive() {
			return
		}
		elapsed := (s.now - last) / 100
		last += 100 * elapsed
		if elapsed > 0 {
			tick(int(elapsed))
		}
		s.after(100, next)
	}
	s.after(s.between(1, 100), next)
}
