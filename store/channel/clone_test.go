package channel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A seat is the host of a clone. It writes down what the clone says, and what becomes of its writes.
type seat struct {
	t        *testing.T
	c        *Clone
	master   wire.EntityID // who speaks in the test
	objects  uint64
	said     []string
	outcomes []string
	rejected []string
	applied  []string
	install  error
}

func newSeat(t *testing.T, cfg Config, master wire.EntityID) *seat {
	s := &seat{t: t, master: master, objects: 2}
	s.c = NewClone(cfg, nativeWriter, func() wire.EntityID {
		s.objects++
		return NativeEntity(cloneEndpoint, s.objects)
	}, s)
	return s
}

func (s *seat) Send(to wire.EndpointID, seq uint64, sender, receiver wire.EntityID, event []byte) {
	c, err := wire.ParseCommand(append(wire.AppendCommandHeader(nil, seq, sender, receiver), event...))
	if err != nil {
		s.t.Fatal(err)
	}
	what := nickname(sender) + " " + sentence(&c)
	if !to.IsZero() {
		what = nickname(wire.EntityID{Endpoint: to})[:1] + ": " + what
	}
	s.said = append(s.said, what)
}

func (s *seat) Install(_ wire.EntityID, snapshot wire.Snapshot) error {
	if s.install == nil {
		s.applied = append(s.applied, fmt.Sprint("contents ", snapshot.Len))
	}
	return s.install
}

func (s *seat) Apply(c *wire.Command) error {
	s.applied = append(s.applied, sentence(c))
	return nil
}

func (s *seat) Settled(w *Write, o Outcome) {
	name := [...]string{"pending", "applied", "no effect", "unknown", "unsent"}[o]
	s.outcomes = append(s.outcomes, fmt.Sprint(w.Tag, " ", name))
}

func (s *seat) Rejected(sender wire.EntityID, err error) {
	s.rejected = append(s.rejected, nickname(sender)+": "+err.Error())
}

func (s *seat) Leaving(master wire.EntityID, why string) {
	s.rejected = append(s.rejected, nickname(master)+": left: "+why)
}

func check(t *testing.T, what string, got *[]string, want []string) {
	t.Helper()
	if !slices.Equal(*got, want) {
		t.Errorf("%s\n\t%s\nwant\n\t%s", what, strings.Join(*got, "\n\t"), strings.Join(want, "\n\t"))
	}
	*got = nil
}

func (s *seat) says(want ...string) { s.t.Helper(); s.c.Flush(); check(s.t, "said", &s.said, want) }
func (s *seat) outcome(want ...string) {
	s.t.Helper()
	s.c.Flush()
	check(s.t, "outcomes", &s.outcomes, want)
}
func (s *seat) applies(want ...string) { s.t.Helper(); check(s.t, "applied", &s.applied, want) }
func (s *seat) complains(what string) {
	s.t.Helper()
	if !strings.Contains(strings.Join(s.rejected, "\n"), what) {
		s.t.Errorf("rejected %q, want %q", s.rejected, what)
	}
	s.rejected = nil
}

// from has the clone receive a command of an entity.
func (s *seat) from(sender wire.EntityID, c wire.Command) {
	c.Sender = sender
	s.c.Receive(sender.Endpoint, wire.AppendCommand(nil, &c))
}

// consumer returns the entity under which the clone listens now.
func (s *seat) consumer() wire.EntityID { return s.c.Consumer() }

func (s *seat) ackClone(offset uint64) {
	s.from(s.master, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone, Receiver: s.consumer()}, Num: offset, Heartbeat: 5})
}

func (s *seat) event(seq uint64, key, value string, publisher wire.EntityID, answers uint64) {
	h := wire.CommandHeader{Kind: wire.CommandPut, Seq: seq}
	if answers != 0 {
		h.Receiver = wire.EntityID{Endpoint: publisher.Endpoint, Object: answers}
	}
	s.from(s.master, wire.Command{CommandHeader: h, Key: word(key), Value: word(value), Publisher: publisher})
}

func (s *seat) result(seq uint64, inserted bool, request uint64) {
	s.from(s.master, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUniqueResult, Seq: seq}, Inserted: inserted, Who: nativeWriter, RequestID: request, Publisher: s.master})
}

func (s *seat) ack(seq, event uint64) {
	s.from(s.master, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandCumulativeAck, Seq: event, Receiver: nativeWriter}, Num: seq})
}

func (s *seat) nack(seqs ...uint64) {
	s.from(s.master, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandNack, Receiver: nativeWriter}, Missing: nackOf(seqs...)})
}

func (s *seat) keepalive(seq uint64) {
	s.from(s.master, wire.Command{CommandHeader: kind(wire.CommandKeepalive), Num: seq})
}

func (s *seat) failed(seq uint64) {
	s.from(s.master, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandRetransmitFailed, Receiver: s.consumer()}, Num: seq})
}

// submit submits writes: "put a 1", "add a 1", "erase a", "unique a 1", "clear".
func (s *seat) submit(writes ...string) {
	for _, text := range writes {
		f := append(strings.Fields(text), "", "")
		c := wire.Command{CommandHeader: kind(map[string]wire.CommandKind{
			"put": wire.CommandPut, "add": wire.CommandAdd, "erase": wire.CommandErase, "unique": wire.CommandPutUnique, "clear": wire.CommandClear,
		}[f[0]])}
		if c.Kind != wire.CommandClear {
			c.Key = word(f[1])
		}
		if c.Kind != wire.CommandErase && c.Kind != wire.CommandClear {
			c.Value = word(f[2])
		}
		s.c.Submit(&Write{Command: c, Tag: text})
	}
}

// attached returns a clone that has the contents of a master.
func attached(t *testing.T, cfg Config, master wire.EntityID) *seat {
	s := newSeat(t, cfg, master)
	s.c.PeerAdded(master.Endpoint)
	s.says("C3 nack [0]")
	s.ackClone(1)
	s.says("M: C3 cumulative_ack to " + nickname(master) + " 1")
	s.applies("contents 0")
	if !s.c.Attached() || s.c.Master() != master || s.c.Next() != 2 || !s.c.Idle() {
		t.Fatalf("attached %v to %v, next %d", s.c.Attached(), s.c.Master(), s.c.Next())
	}
	return s
}

// A clone asks whoever becomes a peer, and every two ticks; it takes the contents that are addressed to
// it, and then what came early.
func TestCloneAttaches(t *testing.T) {
	s := newSeat(t, Config{}, someMaster)
	for range 4 {
		s.c.Tick(1)
	}
	s.says("C3 nack [0]", "C3 nack [0]")
	s.submit("put a 1")
	s.event(2, "a", "old", someMaster, 0)
	s.event(4, "b", "early", someMaster, 0)
	s.from(wire.EntityID{Endpoint: otherEndpoint, Object: 7}, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPut, Seq: 5}, Key: word("x"), Value: word("y")})
	s.from(someMaster, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone, Receiver: someClone}, Num: 2})
	s.ackClone(0)
	s.ackClone(1 << 63)
	s.says()
	s.ackClone(3)
	s.says("M: C3 cumulative_ack to M7 4", "M: C2 attach_writer to M7 1", "M: C2 put #2 to M7 a=1")
	s.applies("contents 0", "put #4 b=early")
	s.ackClone(9) // once is enough
	s.says()
	if s.c.Next() != 5 || s.c.Behind() != 0 || s.c.Waiting() != 1 || s.c.Idle() {
		t.Errorf("next %d, behind %d, %d writes wait", s.c.Next(), s.c.Behind(), s.c.Waiting())
	}
	s.complains("offset 9223372036854775808")
}

// Contents that cannot be taken are asked for again, more and more slowly.
func TestCloneCannotInstall(t *testing.T) {
	s := newSeat(t, Config{}, someMaster)
	s.install = errors.New("no room")
	var at []int
	for tick := range 200 {
		s.c.Tick(1)
		if len(s.said) > 0 {
			at = append(at, tick)
			s.said = nil
			s.ackClone(1)
		}
	}
	if !slices.Equal(at, []int{1, 6, 15, 32, 65, 116, 167}) {
		t.Errorf("asks at the ticks %d", at)
	}
	s.install = nil
	s.ackClone(1)
	if !s.c.Attached() || s.c.failures != 0 {
		t.Error("not attached")
	}
}

// What becomes of writes at a master of ours: the events say which write they answer.
func TestCloneWritesNative(t *testing.T) {
	s := attached(t, Config{}, nativeMaster)
	s.submit("put a 1", "add n 1", "erase x", "unique u 1", "put a 1")
	s.says("M: C2 attach_writer to M1 1", "M: C2 put #2 to M1 a=1", "M: C2 add #3 to M1 n=1", "M: C2 erase #4 to M1 x", "M: C2 put_unique #5 to M1 u=1", "M: C2 put #6 to M1 a=1")
	s.event(2, "a", "1", otherClone, 0) // another's
	s.outcome()
	s.event(3, "a", "1", nativeWriter, 2)
	s.outcome("put a 1 applied")
	s.event(4, "n", "1", nativeWriter, 3)
	s.result(5, false, 4)
	s.outcome("add n 1 applied", "erase x no effect")
	s.ack(6, 8)
	s.outcome("put a 1 applied") // of a put this is enough
	s.event(6, "u", "1", nativeWriter, 5)
	s.outcome("unique u 1 applied")
	s.result(7, true, 5)
	s.event(8, "a", "1", nativeWriter, 6)
	s.says()
	if s.c.Waiting() != 0 || !s.c.Idle() {
		t.Errorf("%d writes are kept", s.c.Waiting())
	}
}

// A number that the acknowledgement of a native master carries is waited for: what comes of a write is
// not told before.
func TestCloneWaitsForTheAnswer(t *testing.T) {
	s := attached(t, Config{}, nativeMaster)
	s.submit("erase x")
	s.c.Flush()
	s.ack(2, 3)
	s.outcome()
	if s.c.Behind() != 2 {
		t.Errorf("behind %d", s.c.Behind())
	}
	s.event(2, "k", "v", otherClone, 0)
	s.outcome()
	s.result(3, false, 2)
	s.outcome("erase x no effect")
	// If the answer went by in contents, nobody knows.
	s.submit("add n 1", "put a 1")
	s.c.Flush()
	s.failed(4)
	s.complains("event 4 no more")
	s.ackClone(9)
	s.ack(4, 9)
	s.outcome("put a 1 applied", "add n 1 unknown")
}

// At a master of Zeek events are matched with writes by what they do, and that nothing came of a write
// is certain only once it has said how far its events are.
func TestCloneWritesForeign(t *testing.T) {
	s := attached(t, Config{}, someMaster)
	s.submit("put a 1", "erase x", "put a 1")
	s.c.Flush()
	s.said = nil
	s.ack(4, 0)
	s.outcome("put a 1 applied", "put a 1 applied")
	s.event(3, "a", "1", nativeWriter, 0) // 2 is lost: the one before
	s.outcome()
	s.event(2, "a", "1", nativeWriter, 0)
	s.outcome("erase x no effect")
	if s.c.Waiting() != 0 {
		t.Errorf("%d writes are kept", s.c.Waiting())
	}

	// A late event of a write that is acknowledged is not taken for one that is just like it.
	s.submit("put b 1")
	s.c.Flush()
	s.ack(5, 0) // its event, 4, is lost
	s.submit("put b 1")
	s.outcome("put b 1 applied")
	s.keepalive(4)
	s.event(4, "b", "1", nativeWriter, 0)
	s.outcome()
	s.said = nil
	s.nack(6)
	s.says("M: C2 put #6 to M7 b=1")
	s.ack(6, 0)
	s.outcome("put b 1 applied")
	s.event(5, "b", "1", nativeWriter, 0)

	// Of two that look alike, one of which failed, nobody knows which.
	s.submit("add n 1", "add n 1", "add m 1")
	s.c.Flush()
	s.event(6, "n", "1", nativeWriter, 0)
	s.outcome("add n 1 applied")
	s.ack(9, 0)
	s.keepalive(6)
	s.outcome("add n 1 unknown", "add m 1 no effect")
}

// If a clone has to attach again to the same master of Zeek, its events may tell of writes that it does
// not wait for any more: so it sends no more until all is done with.
func TestCloneDoubts(t *testing.T) {
	s := attached(t, Config{}, someMaster)
	s.submit("add n 1", "put a 1")
	s.c.Flush()
	s.failed(2)
	s.outcome()
	s.said = nil
	s.ackClone(7)
	s.submit("add n 1")
	s.outcome("add n 1 unknown")
	s.says("M: C4 cumulative_ack to M7 7", "M: C2 attach_writer to M7 1", "M: C2 keepalive 3")
	s.event(8, "n", "1", nativeWriter, 0)
	s.ack(3, 0)
	s.outcome("put a 1 applied")
	s.says()
	s.keepalive(8)
	s.says("M: C2 add #4 to M7 n=1")
	s.event(9, "n", "1", nativeWriter, 0)
	s.outcome("add n 1 applied")
}

// Another master is given what can be repeated, under new numbers; of the rest nobody knows.
func TestCloneTurnsToAnotherMaster(t *testing.T) {
	s := attached(t, Config{}, nativeMaster)
	s.submit("put a 1", "add n 1", "erase x", "unique u 1", "clear")
	s.c.Flush()
	s.event(2, "a", "1", nativeWriter, 2)
	s.outcome("put a 1 applied")
	s.c.PeerLost(masterEndpoint)
	s.submit("add later 1")
	s.said = nil

	s.master = NativeEntity(otherEndpoint, 9)
	s.c.PeerAdded(otherEndpoint)
	s.says()
	s.keepalive(1)
	s.complains("another master")
	s.says("C4 nack [0]")
	s.ackClone(1)
	s.says("O: C4 cumulative_ack to O9 1", "O: C2 attach_writer to O9 6", "O: C2 erase #7 to O9 x", "O: C2 clear #8 to O9", "O: C2 add #9 to O9 later=1")
	s.outcome("add n 1 unknown", "unique u 1 unknown")
	s.nack(5, 7)
	s.says("O: C2 retransmit_failed to O9 5", "O: C2 erase #7 to O9 x")
	s.ack(5, 1)
	s.ack(10, 1)
	if s.c.Waiting() != 3 {
		t.Errorf("%d writes wait", s.c.Waiting())
	}
	// The word of the old one does not count any more.
	s.master = nativeMaster
	s.ack(9, 5)
	s.event(2, "later", "1", nativeWriter, 9)
	s.outcome()
	s.complains("second master")
}

// While its master is out of reach a clone sends nothing, and goes on where it was; even if it learns of
// the new connection before the end of the old one.
func TestCloneReconnects(t *testing.T) {
	s := attached(t, Config{}, nativeMaster)
	s.submit("put a 1")
	s.c.Flush()
	s.said = nil
	s.c.PeerLost(otherEndpoint)
	s.c.PeerLost(masterEndpoint)
	s.submit("put b 2")
	for range 20 {
		s.c.Tick(1)
	}
	for _, said := range s.said {
		if !strings.Contains(said, "cumulative_ack") {
			t.Errorf("says %q to nobody", said)
		}
	}
	s.said = nil
	s.c.PeerAdded(masterEndpoint)
	s.says("M: C3 cumulative_ack to M1 1", "M: C3 nack to M1 [1]")
	s.nack(2) // too early
	s.keepalive(2)
	s.says()
	s.event(2, "x", "y", someClone, 0)
	s.says("M: C2 attach_writer to M1 1", "M: C2 keepalive 2", "M: C2 put #3 to M1 b=2")
	s.c.PeerAdded(masterEndpoint)
	s.c.PeerLost(masterEndpoint) // of the old connection
	s.keepalive(1)               // but there it is
	s.submit("put c 3")
	s.says("M: C2 attach_writer to M1 1", "M: C2 put #4 to M1 c=3")
	if s.c.Silence() != 0 {
		t.Errorf("silent for %d ticks", s.c.Silence())
	}
}

// A master of Zeek may have given a clone up that was away, or held up, or that it just does not hear.
func TestCloneMayBeGivenUp(t *testing.T) {
	s := attached(t, Config{}, someMaster)
	s.c.PeerLost(masterEndpoint)
	s.c.Tick(forgottenSilence)
	s.said = nil
	s.c.Tick(1)
	s.c.PeerAdded(masterEndpoint)
	s.complains("may have given this clone up")
	s.says("M: C3 nack to M7 [2 1]", "C4 nack [0]")
	s.ackClone(5)
	s.c.Tick(forgottenSilence + 1)
	s.complains("held up")
	s.ackClone(5)

	answer := true
	s.said = nil
	asked := 0
	for tick := range 2000 {
		answer = tick < 1000
		s.keepalive(5)
		s.c.Tick(1)
		if i := slices.Index(s.said, "M: C5 nack to M7 [5]"); i >= 0 {
			if asked++; answer {
				s.failed(5)
			}
		}
		s.said = nil
		if !s.c.Attached() {
			s.complains("has given this clone up")
			break
		}
	}
	if asked < 12 || asked > 14 || s.c.Attached() {
		t.Errorf("asked %d times, attached %v", asked, s.c.Attached())
	}

	s = attached(t, Config{}, nativeMaster)
	s.c.PeerLost(masterEndpoint)
	s.c.Tick(10 * forgottenSilence)
	s.c.PeerAdded(masterEndpoint)
	if !s.c.Attached() {
		t.Error("a native master would say so")
	}
}

// Events that are lost, make no sense or are not sent again make the clone attach again. The contents
// stay meanwhile.
func TestCloneAttachesAgain(t *testing.T) {
	poison := func(s *seat) {
		s.c.Receive(masterEndpoint, append(wire.AppendCommandHeader(nil, 2, s.master, wire.EntityID{}), byte(wire.CommandPut), 99))
	}
	for name, c := range map[string]struct {
		what func(s *seat)
		why  string
		soon bool // it asks at once
	}{
		"no more": {func(s *seat) { s.failed(2) }, "event 2 no more", true},
		"later":   {func(s *seat) { s.failed(3) }, "event 3 no more", true},
		"poison":  {poison, "makes no sense", false},
		"early poison": {func(s *seat) {
			s.event(3, "b", "3", someClone, 0)
			poison(s)
		}, "makes no sense", false},
		"no answer": {func(s *seat) {
			for range 2 * (maxUnanswered + 2) {
				s.keepalive(5)
				s.c.Tick(1)
			}
		}, "does not answer", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := attached(t, Config{}, nativeMaster)
			c.what(s)
			s.complains(c.why)
			if asked := slices.Contains(s.said, "C4 nack [0]"); asked != c.soon || s.c.Attached() || s.c.Master() != nativeMaster {
				t.Errorf("said %q, attached %v to %v", s.said, s.c.Attached(), s.c.Master())
			}
			for range 10 {
				s.c.Tick(1)
			}
			if !slices.Contains(s.said, "C4 nack [0]") {
				t.Errorf("said %q", s.said)
			}
			s.ackClone(9)
			s.event(10, "c", "4", someClone, 0)
			s.applies("contents 0", "put #10 c=4")
		})
	}
	s := attached(t, Config{}, nativeMaster)
	s.failed(1)
	if !s.c.Attached() {
		t.Error("leaves because of an event that it has")
	}
}

// Nobody but the master is heeded (STORE.md section 8.2 b, g).
func TestCloneRefuses(t *testing.T) {
	s := attached(t, Config{}, someMaster)
	s.c.Receive(otherEndpoint, wire.AppendCommand(nil, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandKeepalive, Sender: someMaster}, Num: 5}))
	s.complains("in the name of")
	s.c.Receive(masterEndpoint, nil)
	s.complains("0 bytes")
	s.c.Receive(masterEndpoint, append(wire.AppendCommandHeader(nil, 0, someMaster, s.consumer()), byte(wire.CommandKeepalive)))
	s.complains("keepalive")
	s.event(1<<61, "a", "1", someMaster, 0)
	s.complains("ahead of what is expected")
	s.keepalive(1 << 62)
	s.ack(1<<62, 0)
	s.nack(1<<62, 1)
	s.from(s.master, wire.Command{CommandHeader: kind(wire.CommandAttachWriter), Num: 1})
	s.says()
	if s.c.Behind() != 0 || !s.c.Idle() {
		t.Errorf("behind %d", s.c.Behind())
	}
	s.from(otherClone, wire.Command{CommandHeader: kind(wire.CommandKeepalive), Num: 1})
	s.complains("second master")
	s.from(otherClone, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone, Receiver: s.consumer()}, Num: 1})
	s.applies()
}

// No more writes are under way than the window allows, and none waits for ever.
func TestCloneWindow(t *testing.T) {
	s := attached(t, Config{Window: 2, WindowForeign: 1, WriteTimeout: 30}, nativeMaster)
	s.submit("put a 1", "put b 2", "put c 3")
	s.says("M: C2 attach_writer to M1 1", "M: C2 put #2 to M1 a=1", "M: C2 put #3 to M1 b=2")
	s.ack(2, 1)
	s.says("M: C2 put #4 to M1 c=3")
	s.outcome("put a 1 applied")
	s.c.PeerLost(masterEndpoint)
	s.c.Tick(20)
	s.submit("put d 4")
	s.c.Tick(11)
	s.outcome("put b 2 unknown", "put c 3 unknown")
	s.c.Tick(20)
	s.outcome("put d 4 unsent")
	s.said = nil
	s.c.PeerAdded(masterEndpoint)
	s.submit("put e 5")
	s.keepalive(1)
	s.says("M: C3 cumulative_ack to M1 1", "M: C3 nack to M1 [1]", "M: C2 attach_writer to M1 2", "M: C2 keepalive 4")
	s.nack(3, 4)
	s.says("M: C2 retransmit_failed to M1 3", "M: C2 retransmit_failed to M1 4")
	s.ack(4, 1)
	s.says("M: C2 put #5 to M1 e=5")
	s.c.Close()
	s.says("M: C3 nack to M1 [2 1]", "M: C2 nack to M1 [2 1]")
	s.outcome("put e 5 unknown")

	s = attached(t, Config{WindowForeign: 1}, someMaster)
	s.submit("put a 1", "put b 2")
	s.says("M: C2 attach_writer to M7 1", "M: C2 put #2 to M7 a=1")
	s.c.Close()
	s.outcome("put a 1 unknown", "put b 2 unsent")
}

// A master that has forgotten the writer is told again where its writes begin.
func TestCloneAttachesItsWriterAgain(t *testing.T) {
	s := attached(t, Config{}, nativeMaster)
	s.submit("put a 1")
	s.c.Flush()
	s.ack(2, 1)
	s.submit("put b 2")
	s.c.Flush()
	s.said = nil
	for range 5 * (maxUnheard + 1) {
		s.keepalive(1)
		s.c.Tick(1)
	}
	s.said = slices.DeleteFunc(s.said, func(said string) bool {
		return strings.Contains(said, "cumulative_ack") || strings.Contains(said, "nack")
	})
	s.says("M: C2 keepalive 3", "M: C2 keepalive 3", "M: C2 keepalive 3", "M: C2 attach_writer to M1 2", "M: C2 keepalive 3")
}
