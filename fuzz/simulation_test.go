package fuzz

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/store/channel"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

var (
	simSeed  = flag.Uint64("simulation.seed", 0, "simulate this seed only")
	simCount = flag.Int("simulation.seeds", simSeeds(), "how many seeds are simulated; also ZEEKPEER_SIMULATION_SEEDS")
	simNotes = flag.Int("simulation.notes", 400, "how many events are traced")
	simTrace = flag.String("simulation.trace", "", "the `file` for the trace of a failure")
)

func simSeeds() int {
	if n, err := strconv.Atoi(os.Getenv("ZEEKPEER_SIMULATION_SEEDS")); err == nil {
		return n
	}
	return 60
}

func writeFile(t testing.TB, name, text string) {
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}

// onceFailed are seeds that have found something.
var onceFailed = []uint64{140, 385, 416, 709, 1328, 1537}

// opNumber numbers an operation of a user. It travels as the expiry, of which nothing else here makes
// use.
func opNumber(user uint64, op uint32) time.Duration { return time.Duration(user<<32 | uint64(op)) }

// Masters and clones that lose commands, connections, and their lives, end with the same contents once
// that is over; no write whose outcome is known is lost or executed twice.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		simulate(t, *simSeed)
		return
	}
	for _, seed := range onceFailed {
		simulate(t, seed)
	}
	for seed := uint64(1); seed <= uint64(*simCount); seed++ {
		if first, second := simulate(t, seed), simulate(t, seed); first != second {
			t.Fatalf("seed %d goes two ways: %x, %x", seed, first, second)
		}
	}
}

// A scenario is a simulation with its nodes.
type scenario struct {
	*simulation
	cfg      channel.Config
	real     bool // the masters are nodes of Zeek
	m        simMaster
	former   []simMaster // that were replaced, or are there, too
	replicas []*replica
	reals    []*realClone
	gone     []*replica
	ids      byte
	users    uint64
	apart    bool // see ledger
	masterOp uint32
	end      int64 // of the troubles
}

// A simMaster is a node with a master.
type simMaster interface {
	simNode
	start()
	stop()
	do(c wire.Command)
	entity() wire.EntityID
	contents() map[string]string
	executed() *ledger
	restless() string
}

func simulate(t testing.TB, seed uint64) (hash uint64) {
	s := &scenario{simulation: newSimulation(t, seed)}
	s.end = s.between(30, 700) * 1000
	if s.chance(0.3) {
		s.cfg.MaxBuffer = int(s.between(10, 40) << 10) // the store takes up to 4
	}
	if s.chance(0.3) {
		s.cfg.Window = int(s.between(1, 20))
	}
	s.real = s.chance(0.3)
	s.replaceMaster()
	for range s.between(0, 3) - 1 {
		s.after(s.between(0, 20000), s.addReal)
	}
	for range s.between(1, 5) {
		s.after(s.between(0, 20000), s.addReplica)
	}
	s.workload()
	s.troubles()
	s.run(s.end)
	s.heal()
	s.settle()
	s.verify()
	return s.hash
}

func (s *scenario) newID(kind byte) wire.EndpointID {
	s.ids++
	return wire.EndpointID{0: kind, 14: byte(s.rand.Uint32()), 15: s.ids}
}

// replaceMaster has a new master that knows nothing take the place of the present one.
func (s *scenario) replaceMaster() {
	if s.m != nil {
		s.retire(s.m)
		s.former = append(s.former, s.m)
	}
	s.m = s.newMaster()
}

func (s *scenario) newMaster() (m simMaster) {
	if s.real {
		m = newRealMaster(s.simulation, s.newID('M'))
	} else {
		m = newMastery(s.simulation, s.cfg, s.newID('M'), s.rand.Uint64())
	}
	m.executed().apart = m.executed().apart || s.apart
	m.start()
	s.add(m, fmt.Sprintf("M%d", s.ids))
	return m
}

func (s *scenario) retire(m simMaster) {
	if m.alive() {
		m.stop()
	}
	s.remove(m)
}

// rival has a second master live beside the first for a while.
func (s *scenario) rival(long int64) {
	s.setApart()
	m := s.newMaster()
	s.former = append(s.former, m)
	s.after(s.between(1, long), func() { s.retire(m) })
}

// recall has a former master of ours take the place of the present one.
func (s *scenario) recall() {
	for i, m := range s.former {
		if m, ours := m.(*mastery); ours && m.dead {
			s.setApart()
			s.retire(s.m)
			s.former[i] = s.m
			s.m = m
			m.start()
			s.add(m, s.name(m.self))
			return
		}
	}
}

func (s *scenario) setApart() {
	s.apart = true
	s.m.executed().apart = true
	for _, m := range s.former {
		m.executed().apart = true
	}
}

func (s *scenario) addReplica() {
	s.users++
	r := newReplica(s.simulation, s.cfg, s.newID('C'), s.users)
	s.replicas = append(s.replicas, r)
	s.add(r, fmt.Sprintf("C%d", s.users))
}

func (s *scenario) addReal() {
	s.users++
	c := newRealClone(s.simulation, s.newID('R'), s.users)
	s.reals = append(s.reals, c)
	s.add(c, fmt.Sprintf("R%d", s.users))
}

// workload has everybody do something from time to time.
func (s *scenario) workload() {
	rate := s.between(5, 400)
	var next func()
	next = func() {
		if s.now >= s.end {
			return
		}
		n := int64(1)
		if s.chance(0.02) {
			n = s.between(1, 100)
		}
		for range n {
			c := s.operation()
			if who := s.rand.IntN(len(s.replicas) + len(s.reals) + 1); who < len(s.replicas) {
				s.replicas[who].do(c)
			} else if who -= len(s.replicas); who < len(s.reals) {
				s.reals[who].do(c)
			} else if s.m.alive() {
				s.masterOp++
				if c.Kind != wire.CommandErase && c.Kind != wire.CommandClear {
					c.HasExpiry, c.Expiry = true, opNumber(1<<20, s.masterOp)
				}
				s.m.do(c)
			}
		}
		s.after(s.between(1, 20*rate), next)
	}
	s.after(1, next)
}

func (s *scenario) operation() wire.Command {
	key := func(kind string, n int) []byte {
		return data.AppendString(nil, fmt.Sprintf("%s%d", kind, s.rand.IntN(n)))
	}
	kind := func(k wire.CommandKind) wire.CommandHeader { return wire.CommandHeader{Kind: k} }
	value := data.AppendString(nil, fmt.Sprint("v", s.rand.IntN(3)))
	switch s.rand.IntN(20) {
	case 0:
		if s.chance(0.1) {
			return wire.Command{CommandHeader: kind(wire.CommandClear)}
		}
		fallthrough
	case 1, 2:
		return wire.Command{CommandHeader: kind(wire.CommandErase), Key: key("put", 8)}
	case 3, 4, 5:
		return wire.Command{CommandHeader: kind(wire.CommandPutUnique), Key: key("unique", 30), Value: value}
	case 6, 7, 8, 9, 10, 11:
		return wire.Command{CommandHeader: kind(wire.CommandAdd), Key: key("count", 3), Value: data.AppendCount(nil, 1), Init: data.KindCount}
	case 12:
		return wire.Command{CommandHeader: kind(wire.CommandAdd), Key: key("put", 8), Value: data.AppendCount(nil, 1), Init: data.KindCount} // may fail
	}
	return wire.Command{CommandHeader: kind(wire.CommandPut), Key: key("put", 8), Value: value}
}

// troubles plans what goes wrong.
func (s *scenario) troubles() {
	replacing := s.chance(0.3)
	for range s.between(0, s.end/10000) {
		s.at(s.between(0, s.end), func() { s.trouble(replacing) })
	}
}

func (s *scenario) someLink() *simLink {
	var links []*simLink
	s.eachLink(func(l *simLink) { links = append(links, l) })
	if len(links) == 0 {
		return nil
	}
	return links[s.rand.IntN(len(links))]
}

func (s *scenario) trouble(replacing bool) {
	long := []int64{300, 5000, 60000, 400000}[s.rand.IntN(4)]
	switch n := s.rand.IntN(12); n {
	case 0, 1, 2: // commands are lost
		if l := s.someLink(); l != nil {
			end, p := s.rand.IntN(2), []float64{0.02, 0.25, 0.7}[s.rand.IntN(3)]
			l.loss[end] = p
			s.after(s.between(100, 20000), func() { l.loss[end] = 0 })
		}
	case 3: // one direction goes nowhere
		if l := s.someLink(); l != nil {
			l.hole[s.rand.IntN(2)] = s.now + s.between(long/2, long)
		}
	case 4, 5: // a link is cut, and restored
		if l := s.someLink(); l != nil {
			s.cut(l)
			s.after(s.between(1, long), func() { s.connect(l) })
		}
	case 6: // the master is cut off
		s.cutAll(s.m)
		m := s.m
		s.after(s.between(1, long), func() { s.reconnect(m) })
	case 7, 8: // the master crashes, and is restarted
		if !s.m.alive() {
			return
		}
		m, ours := s.m.(*mastery)
		if !ours {
			if replacing {
				former := s.m
				former.stop()
				s.after(s.between(1, 2000+long), func() {
					if s.m == former {
						s.replaceMaster()
					}
				})
			}
			return
		}
		m.crash = s.rand.IntN(3)
		if m.crash == 0 {
			m.stop()
		}
		restart := s.between(2000, 2000+long)
		s.after(restart, func() {
			if s.m == m && m.dead {
				m.start()
				s.reconnect(m)
			}
		})
	case 9: // a clone comes, or goes
		if len(s.replicas) < 5 && s.chance(0.5) {
			s.addReplica()
		} else if len(s.replicas) > 1 {
			i := s.rand.IntN(len(s.replicas))
			r := s.replicas[i]
			r.leave(s.chance(0.5))
			s.after(10, func() { s.remove(r) })
			s.gone = append(s.gone, r)
			s.replicas = append(s.replicas[:i:i], s.replicas[i+1:]...)
		}
	case 10: // a clone is held up
		if len(s.replicas) > 0 {
			r := s.replicas[s.rand.IntN(len(s.replicas))]
			r.held = s.now + s.between(100, long)
		}
	case 11: // a master that knows nothing takes the place
		switch {
		case !replacing:
		case s.chance(0.3):
			s.replaceMaster()
		case s.chance(0.3):
			s.rival(long)
		case s.chance(0.5):
			s.recall()
		}
	}
}

func (s *scenario) reconnect(n simNode) {
	s.eachLink(func(l *simLink) {
		if l.ends[0] == n || l.ends[1] == n {
			s.after(s.between(0, 1000), func() { s.connect(l) })
		}
	})
}

// heal ends all troubles.
func (s *scenario) heal() {
	s.note("heal", wire.EndpointID{}, wire.EndpointID{}, nil)
	for _, r := range s.replicas {
		r.held = 0
	}
	if m, ours := s.m.(*mastery); ours {
		m.crash = 0
		if m.dead {
			m.start()
		}
	} else if !s.m.alive() {
		s.replaceMaster()
	}
	for _, m := range s.former {
		s.retire(m)
	}
	s.eachLink(func(l *simLink) {
		l.loss, l.hole = [2]float64{}, [2]int64{}
		s.connect(l)
	})
}

// settle lets time pass until all is quiet.
func (s *scenario) settle() {
	const patience = 300 // seconds
	var problem string
	for range patience {
		s.run(s.now + 1000)
		if problem = s.unsettled(); problem == "" {
			return
		}
	}
	s.fail("not settled: %s", problem)
}

func (s *scenario) unsettled() string {
	if problem := s.m.restless(); problem != "" {
		return "the master: " + problem
	}
	for _, r := range s.replicas {
		if !r.c.Attached() || r.c.Master() != s.m.entity() {
			return fmt.Sprintf("%s is not attached", s.name(r.self))
		}
		if r.c.Waiting() > 0 || !r.c.Idle() {
			return fmt.Sprintf("%s has %d writes waiting and is %d behind", s.name(r.self), r.c.Waiting(), r.c.Behind())
		}
		if diff := sameContents(r.contents, s.m.contents()); diff != "" {
			return fmt.Sprintf("%s differs: %s", s.name(r.self), diff)
		}
	}
	for _, c := range s.reals {
		// What a real clone makes of a real master is not our business.
		if s.real || c.gaveUp || c.source != s.m.entity() {
			continue
		}
		if c.broken {
			return fmt.Sprintf("%s is broken", s.name(c.self))
		}
		if diff := sameContents(c.contents, s.m.contents()); diff != "" {
			return fmt.Sprintf("%s differs: %s", s.name(c.self), diff)
		}
	}
	return ""
}

// verify holds the outcomes against what happened.
func (s *scenario) verify() {
	known := func(w simWrite) (effect, executed bool) {
		for _, m := range append(s.former, s.m) {
			if e, ok := m.executed().writes[w]; ok {
				return e, true
			}
		}
		return false, false
	}
	var outcomes [5]int
	for _, r := range append(s.gone, s.replicas...) {
		for _, w := range r.order {
			o := r.writes[w]
			outcomes[o]++
			effect, executed := known(simWrite{r.c.Writer(), w.Command.Seq})
			bad := ""
			switch {
			case o == channel.Pending && !r.dead:
				bad = "has no outcome"
			case o == channel.Applied && !executed:
				bad = "is said to be applied and was not executed"
			case o == channel.Applied && !effect && !s.real: // of what fails no real master tells
				bad = "is said to be applied and had no effect"
			case o == channel.NoEffect && !executed:
				bad = "is said to have had no effect and was not executed"
			case o == channel.NoEffect && effect:
				bad = "is said to have had no effect and had one"
			case o == channel.Unsent && executed:
				bad = "is said not to have been sent and was executed"
			}
			if bad != "" {
				s.fail("write %d of %s, %v %x=%x, op %d, %s", w.Command.Seq, s.name(r.self), w.Command.Kind, w.Command.Key, w.Command.Value, uint32(w.Command.Expiry), bad)
			}
		}
	}
	s.note(fmt.Sprint(outcomes), wire.EndpointID{}, wire.EndpointID{}, nil)
	if testing.Verbose() {
		s.t.Logf("seed %d: %.0f s, %d notes, %d clones, %d masters, pending/applied/none/unknown/unsent %v", s.seed, float64(s.now)/1000, s.notes, s.users, len(s.former)+1, outcomes)
	}
}
