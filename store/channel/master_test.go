package channel

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

var (
	someMaster   = wire.EntityID{Endpoint: masterEndpoint, Object: 7}
	nativeMaster = NativeEntity(masterEndpoint, 1)
	nativeClone  = NativeEntity(cloneEndpoint, 1)
	nativeWriter = NativeEntity(cloneEndpoint, 2)
)

// nickname returns a short name of an entity of the tests.
func nickname(id wire.EntityID) string {
	if id.IsZero() {
		return "-"
	}
	name := map[wire.EndpointID]string{masterEndpoint: "M", cloneEndpoint: "C", otherEndpoint: "O"}[id.Endpoint]
	return fmt.Sprint(name, id.Object&0xffff)
}

// sentence writes a command in a short form.
func sentence(c *wire.Command) string {
	s := c.Kind.String()
	if c.Seq != 0 {
		s += fmt.Sprint(" #", c.Seq)
	}
	if !c.Receiver.IsZero() {
		s += " to " + nickname(c.Receiver)
	}
	switch {
	case c.Kind == wire.CommandNack:
		s += fmt.Sprint(" ", numbers(c.Missing))
	case c.Kind == wire.CommandPutUniqueResult:
		s += fmt.Sprint(" ", c.Inserted, " for ", nickname(c.Who), " ", c.RequestID)
	case c.Kind.Action() && len(c.Key) > 0:
		s += " " + string(c.Key[2:])
		if len(c.Value) > 0 {
			s += "=" + string(c.Value[2:])
		}
	case !c.Kind.Action():
		s += fmt.Sprint(" ", c.Num)
	}
	return s
}

func word(s string) []byte { return data.AppendString(nil, s) }

// A desk is the host of a master. It executes puts and erasures, and writes down what the master does.
type desk struct {
	t        *testing.T
	m        *Master
	self     wire.EntityID
	said     []string
	wants    []wire.EntityID
	rejected []string
	contents map[string]string
	strange  []wire.EndpointID // that are no peers
}

func newDesk(t *testing.T, cfg Config, mark uint64, writers map[wire.EntityID]uint64) *desk {
	d := &desk{t: t, self: nativeMaster, contents: map[string]string{}}
	d.m = NewMaster(cfg, d.self, mark, writers, d)
	return d
}

func (d *desk) Send(to wire.EndpointID, seq uint64, receiver wire.EntityID, event []byte) {
	c, err := wire.ParseCommand(append(wire.AppendCommandHeader(nil, seq, d.self, receiver), event...))
	if err != nil {
		d.t.Fatal(err)
	}
	s := sentence(&c)
	if !to.IsZero() {
		s = nickname(wire.EntityID{Endpoint: to})[:1] + ": " + s
	}
	d.said = append(d.said, s)
}

func (d *desk) Peer(id wire.EndpointID) bool { return !slices.Contains(d.strange, id) }

func (d *desk) Write(writer wire.EntityID, c *wire.Command, err error) {
	if err != nil {
		d.said = append(d.said, fmt.Sprint("write ", c.Seq, " fails"))
		return
	}
	event := *c
	switch key := string(c.Key); {
	case c.Kind == wire.CommandPut:
		d.contents[key] = string(c.Value)
	case c.Kind == wire.CommandErase && d.contents[key] != "":
		delete(d.contents, key)
	default:
		if !Native(writer) {
			return
		}
		event = wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUniqueResult}, Who: writer, RequestID: c.Seq, Publisher: d.self}
	}
	d.m.Produce(wire.AppendCommandBody(nil, &event))
}

func (d *desk) Attach(clone wire.EntityID) { d.wants = append(d.wants, clone) }

func (d *desk) Entries(from []byte, yield func(key, value []byte) bool) {
	for _, key := range slices.Sorted(maps.Keys(d.contents)) {
		if key >= string(from) && !yield([]byte(key), []byte(d.contents[key])) {
			return
		}
	}
}

func (d *desk) Event(event []byte) { d.m.Produce(event) }

func (d *desk) Rejected(sender wire.EntityID, err error) {
	d.rejected = append(d.rejected, nickname(sender)+": "+err.Error())
}

// receive has a command come from its sender.
func (d *desk) receive(sender wire.EntityID, c wire.Command) {
	c.Sender = sender
	d.m.Receive(sender.Endpoint, wire.AppendCommand(nil, &c))
}

// attachAll has whoever wants it get the contents.
func (d *desk) attachAll() {
	for _, clone := range d.wants {
		d.m.Attached(clone, d.m.Seq(), 10)
	}
	d.wants = nil
}

// expect checks what the master has said since the last time.
func (d *desk) expect(want ...string) {
	d.t.Helper()
	if !slices.Equal(d.said, want) {
		d.t.Errorf("said\n\t%s\nwant\n\t%s", strings.Join(d.said, "\n\t"), strings.Join(want, "\n\t"))
	}
	d.said = nil
}

// refuses checks that something was rejected since the last time.
func (d *desk) refuses(what string) {
	d.t.Helper()
	if len(d.rejected) == 0 || !strings.Contains(strings.Join(d.rejected, "\n"), what) {
		d.t.Errorf("rejected %q, want %q", d.rejected, what)
	}
	d.rejected = nil
}

func (d *desk) ticks(n int) {
	for range n {
		d.m.Tick()
		d.m.Acknowledge()
	}
}

func (d *desk) put(key, value string) {
	d.contents[string(word(key))] = string(word(value))
	d.m.Produce(wire.AppendCommandBody(nil, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPut}, Key: word(key), Value: word(value), Publisher: d.self}))
}

func kind(k wire.CommandKind) wire.CommandHeader { return wire.CommandHeader{Kind: k} }

func (d *desk) to(k wire.CommandKind) wire.CommandHeader {
	return wire.CommandHeader{Kind: k, Receiver: d.self}
}

func nackOf(seqs ...uint64) (l wire.SeqList) {
	for _, seq := range seqs {
		l = wire.AppendSeq(l, seq)
	}
	return l
}

func (d *desk) nack(sender wire.EntityID, seqs ...uint64) {
	d.receive(sender, wire.Command{CommandHeader: d.to(wire.CommandNack), Missing: nackOf(seqs...)})
}

func (d *desk) ask(sender wire.EntityID) {
	d.receive(sender, wire.Command{CommandHeader: kind(wire.CommandNack), Missing: nackOf(0)})
}

func (d *desk) ack(sender wire.EntityID, seq uint64) {
	d.receive(sender, wire.Command{CommandHeader: d.to(wire.CommandCumulativeAck), Num: seq})
}

func (d *desk) attachWriter(sender wire.EntityID, offset uint64) {
	d.receive(sender, wire.Command{CommandHeader: d.to(wire.CommandAttachWriter), Num: offset, Heartbeat: 5})
}

func (d *desk) keepalive(sender wire.EntityID, seq uint64) {
	d.receive(sender, wire.Command{CommandHeader: kind(wire.CommandKeepalive), Num: seq})
}

func (d *desk) writes(sender wire.EntityID, seq uint64, key, value string) {
	h := d.to(wire.CommandPut)
	h.Seq = seq
	d.receive(sender, wire.Command{CommandHeader: h, Key: word(key), Value: word(value), Publisher: sender})
}

// A writer is told what is done once that is durable, and not before; a native one with the event that
// it has to see, and each event says which of its writes it answers.
func TestMasterWrites(t *testing.T) {
	d := newDesk(t, Config{}, 0, nil)
	d.ask(nativeClone)
	d.attachAll()
	d.attachWriter(nativeWriter, 1)
	d.writes(nativeWriter, 2, "a", "1")
	d.keepalive(nativeWriter, 2)
	d.writes(nativeWriter, 4, "c", "3")
	d.writes(nativeWriter, 3, "b", "2")
	d.receive(nativeWriter, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandErase, Seq: 5}, Key: word("x"), Publisher: nativeWriter})
	d.expect("put #2 to C2 a=1", "put #3 to C3 b=2", "put #4 to C4 c=3", "put_unique_result #5 false for C2 5")
	executed := map[wire.EntityID]uint64{}
	note := func(w wire.EntityID, seq uint64) { executed[w] = seq }
	d.m.Executed(note)
	d.m.Executed(note) // it changes nothing
	if !maps.Equal(executed, map[wire.EntityID]uint64{nativeWriter: 5}) {
		t.Errorf("executed %v", executed)
	}
	d.m.Acknowledge()
	d.expect("C: cumulative_ack #5 to C2 5")
	if d.m.Writers() != 1 || !d.m.Attaching(nativeClone) || d.m.Idle() {
		t.Errorf("%d writers, attaching %v, idle %v", d.m.Writers(), d.m.Attaching(nativeClone), d.m.Idle())
	}
	d.nack(nativeClone, 3, 4)
	d.expect("C: put #3 to C3 b=2", "C: put #4 to C4 c=3")
	d.keepalive(nativeWriter, 5)
	clear(executed)
	if d.m.Executed(note); len(executed) != 0 {
		t.Errorf("executed %v: nothing was", executed)
	}
	d.m.Acknowledge()
	d.expect("C: cumulative_ack #5 to C2 5")
	d.writes(nativeWriter, 3, "b", "other")
	d.m.Acknowledge()
	d.expect()
	d.ack(nativeClone, 5)
	if d.m.Attaching(nativeClone) || !d.m.Idle() {
		t.Error("not idle")
	}
}

// A write that makes no sense uses up its number and fails. The next one is executed.
func TestMasterPoison(t *testing.T) {
	d := newDesk(t, Config{}, 0, nil)
	d.attachWriter(someClone, 1)
	header := func(seq uint64) []byte { return wire.AppendCommandHeader(nil, seq, someClone, d.self) }
	d.m.Receive(cloneEndpoint, append(header(2), 14))                          // no such kind
	d.m.Receive(cloneEndpoint, append(header(3), byte(wire.CommandPut), 99))   // no such value
	d.m.Receive(cloneEndpoint, append(header(5), byte(wire.CommandExpire), 0)) // early, and no publisher
	d.m.Receive(cloneEndpoint, header(4))                                      // no kind at all: not even a number
	d.receive(someClone, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandExpire, Seq: 4}, Key: word("a"), Publisher: someClone})
	d.receive(someClone, wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone, Seq: 4}})
	d.writes(someClone, 6, "good", "1")
	d.m.Acknowledge()
	d.expect("write 2 fails", "write 3 fails", "write 4 fails", "write 5 fails", "put #2 good=1", "C: cumulative_ack to C7 6")
	if len(d.rejected) != 2 {
		t.Errorf("rejected %q", d.rejected)
	}
}

// Who speaks for another, of another, or out of turn, is not heeded (STORE.md section 8.2 a, f, g).
func TestMasterRefuses(t *testing.T) {
	d := newDesk(t, Config{}, 0, nil)
	d.ask(someClone)
	d.attachAll()
	d.attachWriter(someClone, 1)
	d.m.Acknowledge()
	d.ack(someClone, 1)
	d.said = nil

	c := wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPut, Seq: 2, Sender: someClone}, Key: word("a"), Value: word("1")}
	d.m.Receive(otherEndpoint, wire.AppendCommand(nil, &c))
	d.refuses("C7: put in the name of")
	d.strange = append(d.strange, cloneEndpoint)
	d.m.Receive(otherEndpoint, wire.AppendCommand(nil, &c)) // passed on by a hub
	d.expect("put #2 a=1")
	d.strange = nil

	c.Receiver, c.Seq = someMaster, 3
	d.m.Receive(cloneEndpoint, wire.AppendCommand(nil, &c))
	d.refuses("for another master")
	d.m.Receive(cloneEndpoint, []byte{1, 2, 3})
	d.refuses("3 bytes")
	d.m.Receive(cloneEndpoint, append(wire.AppendCommandHeader(nil, 0, someClone, d.self), byte(wire.CommandNack), 0xff, 0xff, 0xff, 0xff, 0x0f))
	d.refuses("nack")
	d.receive(someClone, wire.Command{CommandHeader: d.to(wire.CommandAckClone), Num: 1})
	d.refuses("on the topic of the master")
	d.ack(someClone, 1<<62)
	d.refuses("acknowledges event")
	d.nack(someClone, 1<<62)
	d.refuses("nack of event")
	d.nack(someClone)
	d.nack(someClone, 0)
	d.refuses("broken clone")
	d.writes(otherClone, 2, "b", "1")
	d.refuses("not attached")
	d.keepalive(otherClone, 2)
	d.refuses("not attached")
	d.attachWriter(otherClone, 0)
	d.refuses("refused")
	d.attachWriter(otherClone, 1<<63)
	d.refuses("refused")
	d.writes(someClone, 1<<61, "b", "1")
	d.refuses("ahead of what is expected")
	d.keepalive(someClone, 1<<62)
	d.ack(otherClone, 1) // not heard of: taken in
	d.expect("O: keepalive to O7 2")
	d.ticks(4)
	d.m.Acknowledge()
	d.expect("C: cumulative_ack to C7 2")
	if len(d.rejected) != 0 {
		t.Errorf("rejected %q", d.rejected)
	}
}

// A clone is given the contents once at a time, again if it asks again a while later, and anew after a
// goodbye.
func TestMasterAttach(t *testing.T) {
	d := newDesk(t, Config{}, 0, nil)
	d.ask(someClone)
	d.ask(someClone)
	if len(d.wants) != 1 {
		t.Fatalf("%d want the contents", len(d.wants))
	}
	d.attachAll()
	d.ticks(9)
	if d.ask(someClone); d.wants != nil {
		t.Fatal("given again while it may be busy with them")
	}
	d.ticks(1)
	if d.ask(someClone); len(d.wants) != 1 {
		t.Fatal("not given again")
	}
	d.m.AttachFailed(someClone, 5)
	d.ticks(4)
	if d.ask(someClone); len(d.wants) != 1 {
		t.Fatal("asked again too early")
	}
	d.ticks(1)
	if d.ask(someClone); len(d.wants) != 2 {
		t.Fatal("not asked again")
	}
	d.wants = nil
	d.put("a", "1")
	d.m.Attached(someClone, d.m.Seq(), 0)
	d.ack(someClone, 2)
	d.put("b", "2")
	d.said = nil
	d.nack(someClone, 3)
	d.expect("C: put #3 b=2")
	d.nack(someClone, 2) // which it has acknowledged
	d.expect("C: retransmit_failed to C7 2")

	d.attachWriter(someClone, 1)
	d.nack(someClone, 2, 1)
	if d.m.Writers() != 0 || len(d.m.events.paths) != 0 {
		t.Error("a goodbye was not heard")
	}
	forgotten := false
	d.m.Executed(func(w wire.EntityID, seq uint64) { forgotten = w == someClone && seq == 0 })
	if !forgotten {
		t.Error("the writer is not forgotten")
	}
	d.m.Acknowledge()
	d.m.Attached(someClone, d.m.Seq(), 0) // what it asked for before
	if len(d.m.events.paths) != 0 {
		t.Error("attached after the goodbye")
	}
}

// The events after a snapshot that is shared are kept until those have it who wanted it.
func TestMasterKeep(t *testing.T) {
	d := newDesk(t, Config{}, 0, nil)
	d.put("a", "1")
	offset, release := d.m.Keep()
	d.put("b", "2")
	d.put("c", "3")
	d.ask(someClone)
	d.m.Attached(someClone, offset, 0)
	release()
	d.said = nil
	d.ack(someClone, offset)
	d.nack(someClone, 3, 4)
	d.expect("C: put #3 b=2", "C: put #4 c=3")
	d.ack(someClone, 4)
	if d.m.events.events.bytes != 0 || !d.m.Idle() {
		t.Errorf("%d bytes are kept", d.m.events.events.bytes)
	}
	_, release = d.m.Keep()
	d.ticks(DefaultTimeout)
	release() // long given up
	if len(d.m.events.paths) != 0 || len(d.rejected) != 1 {
		t.Errorf("%d paths, %q", len(d.m.events.paths), d.rejected)
	}
}

// The events that are kept for a clone that does not acknowledge them are bounded at every moment.
func TestMasterBounded(t *testing.T) {
	d := newDesk(t, Config{MaxBuffer: 1000}, 0, nil)
	for _, clone := range []wire.EntityID{someClone, otherClone} {
		d.ask(clone)
		d.attachAll()
	}
	for i := range 50 {
		d.put(fmt.Sprint("k", i), "v")
		d.ack(otherClone, d.m.Seq())
		if got := d.m.events.events.bytes; got > 1000 {
			t.Fatalf("%d bytes are kept", got)
		}
	}
	d.refuses("C7: clone given up")
	if len(d.m.events.paths) != 1 || d.m.Attaching(someClone) {
		t.Errorf("%d paths", len(d.m.events.paths))
	}
}

// Whoever comes by one peer takes no place from others, and gives its own back.
func TestMasterCrowded(t *testing.T) {
	d := newDesk(t, Config{}, 0, nil)
	for round := range 2 {
		for i := range uint64(maxPerPeer + 1) {
			stranger := wire.EntityID{Endpoint: otherEndpoint, Object: 100 + i}
			d.attachWriter(stranger, 1)
			if i%2 == 0 {
				d.ask(stranger)
			} else {
				d.ack(stranger, 1)
			}
		}
		d.attachAll()
		d.refuses("attach_writer at 1 refused")
		d.attachWriter(someClone, 1)
		d.ask(someClone)
		d.m.Acknowledge()
		if d.m.Writers() != maxPerPeer+1 || len(d.m.clones) != maxPerPeer+1 || !d.m.Attaching(someClone) || len(d.rejected) != 0 {
			t.Fatalf("round %d: %d writers, %d clones, %q", round, d.m.Writers(), len(d.m.clones), d.rejected)
		}
		for i := range uint64(maxPerPeer) {
			d.nack(wire.EntityID{Endpoint: otherEndpoint, Object: 100 + i}, 2, 1)
		}
		d.nack(someClone, 2, 1)
		d.wants = nil
		if len(d.m.crowds) != 0 || len(d.m.clones) != 0 {
			t.Fatalf("%d crowds, %d clones are left", len(d.m.crowds), len(d.m.clones))
		}
	}
}

// A master that was there before takes its clones and their writers back (STORE.md section 8.2 j).
func TestMasterAdopts(t *testing.T) {
	d := newDesk(t, Config{}, 100, map[wire.EntityID]uint64{someClone: 9, nativeWriter: 5})
	d.put("a", "1")
	d.ack(otherClone, 100)
	d.expect("put #101 a=1", "O: keepalive to O7 101")
	d.nack(otherClone, 101)
	d.expect("O: put #101 a=1")
	d.ack(someClone, 101)
	d.expect()
	d.ack(nativeClone, 102)
	d.refuses("only up to 101")
	d.expect("C: retransmit_failed to C1 103")
	d.ack(nativeClone, 0)
	d.expect()

	// Of a writer nothing is executed twice, and it is left alone until it speaks.
	d.ticks(4)
	d.expect()
	d.writes(nativeWriter, 5, "old", "1")
	d.writes(nativeWriter, 6, "new", "1")
	d.keepalive(someClone, 10)
	d.m.Acknowledge()
	d.expect("put #102 to C6 new=1", "C: cumulative_ack #102 to C2 6")
	d.ticks(2)
	d.expect("C: keepalive to C7 102", "O: keepalive to O7 102", "C: nack to C7 [10]")
	d.writes(someClone, 10, "newer", "1")
	d.m.Acknowledge()
	d.expect("put #103 newer=1", "C: cumulative_ack to C7 10")

	// One that is not known comes with its clone.
	d.keepalive(otherClone, 3)
	d.ticks(3)
	d.nack(otherClone, 103)
	if want := "O: nack to O7 [2 3]"; !slices.Contains(d.said, want) {
		t.Errorf("said %q, want %q", d.said, want)
	}
	d.said = nil
	d.receive(otherClone, wire.Command{CommandHeader: d.to(wire.CommandRetransmitFailed), Num: 2})
	d.writes(otherClone, 3, "last", "1")
	d.m.Acknowledge()
	d.expect("put #104 last=1", "O: cumulative_ack to O7 3")
	d.refuses("write 2 is lost")
}

// Writes that a clone of Zeek does not send again are given up in the end. A writer that is gone is left
// alone, and forgotten.
func TestMasterGivesUpWriters(t *testing.T) {
	d := newDesk(t, Config{}, 0, nil)
	d.attachWriter(someClone, 1)
	d.attachWriter(nativeWriter, 1)
	d.writes(someClone, 4, "c", "4")
	d.writes(nativeWriter, 3, "b", "3")
	for range 560 {
		d.keepalive(someClone, 5)
		d.keepalive(nativeWriter, 3)
		d.ticks(1)
	}
	d.refuses("up to 4 writes from 2 on are lost")
	if d.contents[string(word("c"))] == "" || d.contents[string(word("b"))] != "" || d.m.Idle() {
		t.Errorf("%q, idle %v", d.contents, d.m.Idle())
	}
	d.ticks(DefaultTimeout + 1)
	if !d.m.Idle() || d.m.room != d.m.cfg.MaxBuffer {
		t.Errorf("waits for a writer that is gone, room %d", d.m.room)
	}
	d.said = nil
	d.ticks(writerTimeout*DefaultTimeout - DefaultTimeout)
	for _, s := range d.said {
		if !strings.HasPrefix(s, "keepalive") {
			t.Fatalf("says %q to one who is gone", s)
		}
	}
	if d.m.Writers() != 0 {
		t.Errorf("%d writers", d.m.Writers())
	}
}

// A writer that comes back from another master skips what it gave up meanwhile.
func TestMasterSkipsWrites(t *testing.T) {
	d := newDesk(t, Config{}, 0, nil)
	d.attachWriter(nativeWriter, 1)
	d.writes(nativeWriter, 2, "a", "1")
	d.writes(nativeWriter, 4, "c", "3") // 3 is lost on the way
	d.attachWriter(nativeWriter, 6)
	d.writes(nativeWriter, 7, "d", "4")
	d.attachWriter(nativeWriter, 6)
	d.m.Acknowledge()
	d.expect("put #2 to C2 a=1", "put #3 to C7 d=4", "C: cumulative_ack #3 to C2 7")
}

// A clone of Zeek that misses events which are gone comes to the true contents all the same.
func TestMasterRefills(t *testing.T) {
	for name, c := range map[string]struct {
		missing []uint64 // the clone has the others up to 9, and acknowledged 3
		want    []string
	}{
		"all":         {[]uint64{4, 5, 6}, []string{"C: clear #4", noop(5), noop(6)}},
		"one":         {[]uint64{4}, []string{"C: clear #4"}},
		"holes":       {[]uint64{4, 5, 7, 8}, []string{noop(4), noop(5), "C: clear #7", noop(8)}},
		"and present": {[]uint64{4, 5, 6, 7, 8, 9, 10}, []string{"C: clear #4", noop(5), noop(6), noop(7), noop(8)}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, Config{}, 8, nil)
			for _, key := range []string{"a", "b"} {
				d.contents[string(word(key))] = string(word(key))
			}
			d.ack(someClone, 3)
			d.expect("C: keepalive to C7 8")
			d.nack(someClone, c.missing...)
			d.expect()
			d.ticks(1)
			d.expect("put #9 a=a", "put #10 b=b")
			for range 2 { // the answers may be lost
				d.nack(someClone, c.missing...)
				d.expect(c.want...)
			}
			d.nack(someClone, 9, 10)
			d.expect("C: put #9 a=a", "C: put #10 b=b")
			d.ticks(1)
			d.ack(someClone, 10)
			if len(d.m.refills) != 0 || !d.m.Idle() {
				t.Error("not done")
			}
		})
	}
}

func noop(seq uint64) string { return fmt.Sprintf("C: put_unique_result #%d false for - 0", seq) }

// Clones that come together, as after a restart, are helped by the same entries. One that comes later waits
// for the next time that all are put.
func TestMasterRefillsTogether(t *testing.T) {
	d := newDesk(t, Config{}, 8, nil)
	const entries = 2 * nackSlice
	for i := range entries {
		d.contents[string(word(fmt.Sprintf("k%04d", i)))] = string(word("v"))
	}
	puts := func() (n int) {
		for _, s := range d.said {
			if strings.HasPrefix(s, "put #") {
				n++
			}
		}
		d.said = nil
		return n
	}
	d.ack(someClone, 3)
	d.ack(otherClone, 5)
	d.nack(someClone, 4)
	d.nack(otherClone, 6)
	d.ticks(1)
	third := wire.EntityID{Endpoint: cloneEndpoint, Object: 8}
	d.ack(third, 7)
	d.nack(third, 8)
	d.ticks(1)
	if n := puts(); n != entries {
		t.Errorf("%d entries for two clones, want %d", n, entries)
	}
	d.nack(someClone, 4)
	d.nack(otherClone, 6)
	d.nack(third, 8)
	d.expect("C: clear #4", "O: clear #6")
	d.ticks(3)
	if n := puts(); n != entries {
		t.Errorf("%d entries for the third, want %d", n, entries)
	}
	d.nack(third, 8)
	d.expect("C: clear #8")
}

// A large store follows with the ticks, and one that is too large not at all: then the clone breaks, for
// to be wrong for ever is worse.
func TestMasterRefillsLarge(t *testing.T) {
	d := newDesk(t, Config{}, 8, nil)
	const entries = 2500
	for i := range entries {
		d.contents[string(word(fmt.Sprintf("k%04d", i)))] = string(word("v"))
	}
	d.ack(someClone, 3)
	d.said = nil
	var puts []int
	for range 3 {
		d.nack(someClone, 4)
		d.expect()
		d.ticks(1)
		puts = append(puts, len(d.said))
		d.said = nil
	}
	if !slices.Equal(puts, []int{nackSlice, nackSlice, entries - 2*nackSlice}) {
		t.Errorf("%d entries", puts)
	}
	d.nack(someClone, 4)
	d.expect("C: clear #4")
	// One of ours attaches again instead.
	d.ack(nativeClone, 3)
	d.nack(nativeClone, 4, 5)
	d.expect("C: keepalive to C1 2508", "C: retransmit_failed to C1 4")

	d = newDesk(t, Config{MaxBuffer: 1000}, 8, nil)
	for i := range 10 {
		d.contents[string(word(fmt.Sprint(i)))] = string(word("v"))
	}
	d.ack(someClone, 3)
	d.nack(someClone, 4)
	d.expect("C: keepalive to C7 8", "C: retransmit_failed to C7 4")
	d.refuses("too large to repair")
}
