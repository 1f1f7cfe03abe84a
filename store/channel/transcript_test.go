package channel

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A said is a command in a recording of two or more nodes.
type said struct {
	at         int // milliseconds
	from, to   string
	conn       string // of which the command is one
	lost       bool   // it was sent, and the recorder threw it away
	sender     wire.EndpointID
	envelopeTo wire.EndpointID
	payload    []byte
	wire.Command
	err error // the rest makes no sense
}

func (s said) addressed() bool { return !s.envelopeTo.IsZero() }

// recording returns the commands of a recording in package interop.
func recording(t *testing.T, name string) (all []said) {
	t.Helper()
	file, err := os.Open(filepath.Join("../../interop/testdata/store", "store-"+name+".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var row struct {
			T       float64
			Dir     string
			Conn    int
			Hex     string
			Dropped bool
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		from, to, ok := strings.Cut(row.Dir, "->")
		frame, err := hex.DecodeString(row.Hex)
		if !ok || err != nil || len(frame) < wire.FrameHeaderLen {
			continue
		}
		e, err := wire.ParseEnvelope(frame[wire.FrameHeaderLen:])
		if err != nil || e.Type != wire.TypeCommand {
			continue
		}
		s := said{at: int(row.T * 1000), from: from, to: to, lost: row.Dropped, payload: e.Payload, sender: e.Sender, envelopeTo: e.Receiver}
		s.conn = fmt.Sprint(strings.Trim(strings.Replace(row.Dir, "master", "", 1), "->"), row.Conn)
		s.Command, s.err = wire.ParseCommand(e.Payload)
		all = append(all, s)
	}
	if lines.Err() != nil || len(all) == 0 {
		t.Fatalf("%d commands, %v", len(all), lines.Err())
	}
	return all
}

// A speech is what a node says to another one, by classes. What is said several times in a row counts
// once, for how often depends on time alone.
type speech map[string][]string

func (s speech) add(class, what string) {
	if said := s[class]; len(said) == 0 || said[len(said)-1] != what {
		s[class] = append(said, what)
	}
}

// classify adds a command.
func (s speech) classify(c *wire.Command, addressed bool) {
	switch {
	case c.Kind.Action():
		c := *c
		c.Sender, c.Receiver = wire.EntityID{}, wire.EntityID{}
		what := fmt.Sprintf("%d %v %x=%x %v %v %v %v", c.Seq, c.Kind, c.Key, c.Value, c.HasExpiry, c.Expiry, c.Init, c.Inserted)
		class := "action"
		if slices.Contains(s[class], what) {
			class = "again"
		}
		s[class] = append(s[class], what)
	case c.Kind == wire.CommandAckClone:
		contents := map[string]string{}
		_ = c.Snapshot.Each(func(key, value []byte) error {
			contents[hex.EncodeToString(key)] = hex.EncodeToString(value)
			return nil
		})
		s.add("ack_clone", fmt.Sprint(c.Num, " ", c.Heartbeat, " ", contents))
	case c.Kind == wire.CommandNack:
		s.add("nack", fmt.Sprint(numbers(c.Missing)))
	case c.Kind == wire.CommandKeepalive && addressed:
		s.add("addressed keepalive", fmt.Sprint(c.Num))
	default:
		s.add(c.Kind.String(), fmt.Sprint(c.Num))
	}
}

// A difference says how what ours says differs from what was recorded.
type difference struct {
	class string
	how   relation
	why   string
}

// A relation is what holds of what was recorded, in order, and of what ours says.
type relation func(recorded, ours []string) bool

// same: the two are equal.
func same(recorded, ours []string) bool { return slices.Equal(recorded, ours) }

// within: ours says all of it, and perhaps more before the last.
func within(recorded, ours []string) bool {
	if len(recorded) == 0 || len(ours) == 0 || recorded[len(recorded)-1] != ours[len(ours)-1] {
		return len(recorded) == 0
	}
	for _, what := range ours {
		if len(recorded) > 0 && recorded[0] == what {
			recorded = recorded[1:]
		}
	}
	return len(recorded) == 0
}

// more: ours says all of it and more, in any order.
func more(recorded, ours []string) bool {
	for _, what := range recorded {
		if !slices.Contains(ours, what) {
			return false
		}
	}
	return true
}

// fewer: ours says nothing else.
func fewer(recorded, ours []string) bool { return more(ours, recorded) }

// begins: ours begins with the same, or says nothing.
func begins(recorded, ours []string) bool {
	return len(ours) == 0 || len(recorded) > 0 && recorded[0] == ours[0]
}

// reaches: ours ends with the same.
func reaches(recorded, ours []string) bool {
	return len(recorded) == 0 && len(ours) == 0 || len(recorded) > 0 && len(ours) > 0 && recorded[len(recorded)-1] == ours[len(ours)-1]
}

// asksLess: ours asks for no other numbers.
func asksLess(recorded, ours []string) bool { return more(allNumbers(ours), allNumbers(recorded)) }

// asksMore: ours asks for the same numbers, and for more.
func asksMore(recorded, ours []string) bool { return more(allNumbers(recorded), allNumbers(ours)) }

func allNumbers(lists []string) []string {
	all := strings.FieldsFunc(strings.Join(lists, " "), func(r rune) bool { return r < '0' || r > '9' })
	slices.Sort(all)
	return slices.Compact(all)
}

// anything: the two have nothing to do with each other.
func anything(recorded, ours []string) bool { return true }

// compare holds what ours says against what was recorded.
func compare(t *testing.T, who string, recorded, ours speech, differences []difference) {
	t.Helper()
	classes := slices.Sorted(maps.Keys(recorded))
	for class := range ours {
		if !slices.Contains(classes, class) {
			classes = append(classes, class)
		}
	}
	for _, class := range classes {
		relation := relation(same)
		for _, d := range differences {
			if d.class == class {
				relation = d.how
			}
		}
		if !relation(recorded[class], ours[class]) {
			t.Errorf("%s: %s\nrecorded %q\nours     %q", who, class, recorded[class], ours[class])
		}
	}
}

// A puppet is the host of a master in the place of a recorded one. It knows from the recording what
// comes of each write.
type puppet struct {
	t        *testing.T
	m        *Master
	self     wire.EntityID
	now      int
	events   map[uint64]said
	contents map[string]string
	conns    map[wire.EndpointID]string
	speeches map[string]speech // by connection
}

// localTo tells whether an event is the master's own doing.
func (p *puppet) localTo(e said) bool {
	return e.Publisher == p.self && e.Kind != wire.CommandPutUniqueResult
}

// produce produces the recorded events up to a number.
func (p *puppet) produce(upTo uint64) {
	for p.m.Seq() < upTo {
		e, ok := p.events[p.m.Seq()+1]
		if !ok {
			p.t.Fatalf("event %d is not in the recording", p.m.Seq()+1)
		}
		p.apply(&e.Command)
		p.m.Produce(e.payload[wire.CommandHeaderLen:])
	}
}

func (p *puppet) apply(c *wire.Command) {
	switch c.Kind {
	case wire.CommandPut:
		p.contents[string(c.Key)] = string(c.Value)
	case wire.CommandErase, wire.CommandExpire:
		delete(p.contents, string(c.Key))
	case wire.CommandClear:
		clear(p.contents)
	}
}

func (p *puppet) Write(_ wire.EntityID, c *wire.Command, err error) {
	if err != nil {
		return
	}
	w := Write{Command: *c}
	for seq := p.m.Seq() + 1; ; seq++ {
		e, ok := p.events[seq]
		switch {
		case !ok:
			return // it had no effect
		case e.Kind == wire.CommandPutUniqueResult && c.Kind == wire.CommandPutUnique && e.Who == c.Who && e.RequestID == c.RequestID:
			p.produce(seq)
			return
		case e.Publisher == c.Publisher && w.matches(&e.Command):
			if c.Kind != wire.CommandPutUnique {
				p.produce(seq)
				return
			}
		case !p.localTo(e):
			return
		}
	}
}

func (p *puppet) Send(to wire.EndpointID, seq uint64, receiver wire.EntityID, event []byte) {
	c, err := wire.ParseCommand(append(wire.AppendCommandHeader(nil, seq, p.self, receiver), event...))
	if err != nil {
		p.t.Fatal(err)
	}
	for endpoint, conn := range p.conns {
		if to.IsZero() || to == endpoint {
			p.speeches[conn].classify(&c, !to.IsZero())
		}
	}
}

func (p *puppet) Attach(clone wire.EntityID) {
	var b []byte
	for key, value := range p.contents {
		b = append(append(b, key...), value...)
	}
	p.Send(clone.Endpoint, p.m.Seq(), clone, wire.AppendCommandBody(nil, &wire.Command{
		CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone}, Num: p.m.Seq(), Heartbeat: 5, Snapshot: wire.Snapshot{Len: len(p.contents), Bytes: b},
	}))
	p.m.Attached(clone, p.m.Seq(), 0)
}

func (p *puppet) Entries(from []byte, yield func(key, value []byte) bool) {
	for _, key := range slices.Sorted(maps.Keys(p.contents)) {
		if key >= string(from) && !yield([]byte(key), []byte(p.contents[key])) {
			return
		}
	}
}

func (p *puppet) Peer(wire.EndpointID) bool           { return true }
func (p *puppet) Event(event []byte)                  { p.m.Produce(event) }
func (p *puppet) Rejected(e wire.EntityID, err error) { p.t.Logf("%d ms: %v: %v", p.now, e, err) }

// In the place of a recorded master, ours says to every clone what that said, but for the differences
// below.
func TestMasterTranscripts(t *testing.T) {
	always := []difference{
		{"cumulative_ack", within, "writes are acknowledged as soon as they are durable, not every 500 ms"},
		{"keepalive", within, "the phase of the ticks"},
		{"addressed keepalive", more, "nodes of Zeek heed no others (8.2 l)"},
	}
	for name, c := range map[string]struct {
		until       int // milliseconds: from then on ours executes other writes
		differences []difference
	}{
		"attach-empty":          {},
		"attach-nonempty":       {},
		"clone-before-master":   {},
		"ops-from-clone":        {},
		"ops-from-master":       {},
		"expiry":                {},
		"idle":                  {},
		"graceful-shutdown":     {},
		"two-clones":            {},
		"writer-handshake-lost": {},
		"link-cut":              {},
		"link-cut-tail-loss":    {},
		"lossy": {differences: []difference{
			{"ack_clone", anything, "a clone that asks again before it acknowledged the contents gets them as they are now, not as they were (8.2 m)"},
			{"action", anything, "so the events after those are other ones"},
			{"again", anything, "and the recorded clone asks for ones that ours need not keep"},
			{"keepalive", reaches, "and gets them as ordinary events"},
		}},
		// A write that makes no sense uses its number up. A real master asks for it for ever (8.2 c).
		"channel-vs-real-master": {until: 5560, differences: []difference{
			{"ack_clone", begins, "the same after it acknowledged them"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			masterTranscript(t, upTo(recording(t, name), c.until), append(always[:len(always):len(always)], c.differences...))
		})
	}
}

// upTo ends a recording at a time, if that is not 0.
func upTo(all []said, until int) []said {
	return slices.DeleteFunc(all, func(s said) bool { return until > 0 && s.at > until })
}

func masterTranscript(t *testing.T, all []said, differences []difference) {
	p := &puppet{t: t, events: map[uint64]said{}, contents: map[string]string{}, conns: map[wire.EndpointID]string{}, speeches: map[string]speech{}}
	recorded := map[string]speech{}
	spans := map[string]span{}
	phase := 0
	for _, s := range all {
		if sp, ok := spans[s.conn]; !ok {
			spans[s.conn] = span{first: s.at, last: s.at}
			recorded[s.conn], p.speeches[s.conn] = speech{}, speech{}
		} else {
			sp.last = s.at
			spans[s.conn] = sp
		}
		if s.from != "master" {
			sp := spans[s.conn]
			sp.endpoint = s.sender
			spans[s.conn] = sp
			continue
		}
		if p.self.IsZero() {
			p.self = s.Sender
		}
		if s.Kind.Action() {
			if _, ok := p.events[s.Seq]; !ok {
				p.events[s.Seq] = s
			}
		}
		if s.Kind == wire.CommandAckClone && len(p.contents) == 0 && len(p.events) == 0 {
			_ = s.Snapshot.Each(func(key, value []byte) error {
				p.contents[string(key)] = string(value)
				return nil
			})
		}
		if s.Kind == wire.CommandKeepalive && phase == 0 {
			phase = s.at % 100
		}
		recorded[s.conn].classify(&s.Command, s.addressed() && s.Kind == wire.CommandKeepalive)
	}
	p.m = NewMaster(Config{}, p.self, 0, nil, p)
	tick := phase
	for _, s := range all {
		for ; tick < s.at; tick += 100 {
			p.now = tick
			p.connect(spans)
			p.m.Tick()
			p.m.Acknowledge()
		}
		p.now = s.at
		p.connect(spans)
		switch {
		case s.from == "master" && s.Kind.Action() && s.Seq > p.m.Seq() && p.localTo(s):
			p.produce(s.Seq)
		case s.from != "master" && !s.lost:
			p.m.Receive(s.sender, s.payload)
		}
		p.m.Acknowledge()
	}
	for conn, sp := range recorded {
		compare(t, conn, sp, p.speeches[conn], differences)
	}
}

// A span is the life of a connection.
type span struct {
	endpoint    wire.EndpointID
	first, last int
}

// connect notes which connections there are, and has the master do what it did without any.
func (p *puppet) connect(spans map[string]span) {
	clear(p.conns)
	for conn, s := range spans {
		if s.first <= p.now && p.now <= s.last {
			p.conns[s.endpoint] = conn
		}
	}
	if len(p.conns) == 0 {
		for e, ok := p.events[p.m.Seq()+1]; ok && p.localTo(e) && e.addressed(); e, ok = p.events[p.m.Seq()+1] {
			p.produce(e.Seq)
		}
	}
}

// A listener is the host of a clone in the place of a recorded one.
type listener struct {
	t        *testing.T
	c        *Clone
	now      int
	speech   speech
	outcomes map[string]int
	contents map[string]string
}

func (l *listener) Send(to wire.EndpointID, seq uint64, sender, receiver wire.EntityID, event []byte) {
	c, err := wire.ParseCommand(append(wire.AppendCommandHeader(nil, seq, sender, receiver), event...))
	if err != nil {
		l.t.Fatal(err)
	}
	l.speech.classify(&c, false)
}

func (l *listener) Install(_ wire.EntityID, s wire.Snapshot) error {
	l.contents = map[string]string{}
	return s.Each(func(key, value []byte) error {
		l.contents[string(key)] = string(value)
		return nil
	})
}

func (l *listener) Apply(c *wire.Command) error {
	(&puppet{contents: l.contents}).apply(c)
	return nil
}
func (l *listener) Settled(w *Write, o Outcome)         { l.outcomes[fmt.Sprint(w.Command.Kind, " ", o)]++ }
func (l *listener) Rejected(e wire.EntityID, err error) { l.t.Logf("%d ms: %v: %v", l.now, e, err) }
func (l *listener) Leaving(e wire.EntityID, why string) {
	l.t.Logf("%d ms: left %v: %s", l.now, e, why)
}

// In the place of a recorded clone, ours says to the master what that said, but for the differences
// below.
func TestCloneTranscripts(t *testing.T) {
	always := []difference{
		{"cumulative_ack", reaches, "the phase of the ticks"},
		{"keepalive", fewer, "a writer says how far it is only while something is not acknowledged"},
		{"attach_writer", begins, "it is attached with its first write, and again when the master is back"},
	}
	probe := difference{"nack", asksMore, "a master is asked every ten seconds whether it still knows the clone"}
	for name, c := range map[string]struct {
		until       int // milliseconds: from then on the recorded master does not answer what ours says
		differences []difference
	}{
		"attach-empty":          {},
		"attach-nonempty":       {},
		"clone-before-master":   {},
		"clone-no-master":       {differences: []difference{{"cumulative_ack", more, "it never gives up looking for a master"}}},
		"ops-from-clone":        {},
		"ops-from-master":       {},
		"expiry":                {},
		"idle":                  {differences: []difference{probe}},
		"graceful-shutdown":     {},
		"two-clones":            {},
		"writer-handshake-lost": {},
		"link-cut": {differences: []difference{
			{"nack", asksLess, "the phase of the ticks: what is missing comes before it is asked for"},
			{"again", more, "writes that wait for the master leave when it is back, without being asked for"},
		}},
		"link-cut-tail-loss": {until: 6000, differences: []difference{
			{"nack", asksMore, "broadcast keepalives are heeded, so it asks for the lost tail, and the recorded master says nothing"},
		}},
		"lossy": {differences: []difference{{"nack", asksLess, "the phase of the ticks: what is missing comes before it is asked for"}}},
		"channel-vs-real-clone": {until: 7930, differences: []difference{
			{"nack", asksMore, "broadcast keepalives are heeded"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cloneTranscript(t, upTo(recording(t, name), c.until), append(always[:len(always):len(always)], c.differences...))
		})
	}
}

func cloneTranscript(t *testing.T, all []said, differences []difference) {
	all = slices.DeleteFunc(all, func(s said) bool { return s.from == "clone2" || s.to == "clone2" })
	l := &listener{t: t, speech: speech{}, outcomes: map[string]int{}}
	recorded := speech{}
	var self, master wire.EntityID
	submit := map[uint64]int{} // when the writes were submitted
	writes := map[uint64]wire.Command{}
	phase, before := -1, 0
	for i, s := range all {
		if s.from != "clone" {
			if master.IsZero() {
				master = s.Sender
			}
			continue
		}
		if self.IsZero() {
			self = s.Sender
		}
		if s.Kind == wire.CommandKeepalive || phase < 0 {
			phase = s.at % 100
		}
		if i > 0 && all[i-1].conn == s.conn {
			before = s.at
		}
		if s.Kind == wire.CommandKeepalive {
			for seq := uint64(2); seq <= s.Num; seq++ {
				if _, known := submit[seq]; !known {
					submit[seq] = before
				}
			}
		}
		if s.Kind.Action() {
			if _, known := submit[s.Seq]; !known {
				submit[s.Seq] = s.at
			}
			writes[s.Seq] = s.Command
		}
		recorded.classify(&s.Command, false)
	}
	l.c = NewClone(Config{}, self, func() wire.EntityID { return self }, l)
	type step struct {
		at int
		do func()
	}
	var steps []step
	for _, seq := range slices.Sorted(maps.Keys(writes)) {
		steps = append(steps, step{submit[seq], func() { l.c.Submit(&Write{Command: writes[seq]}) }})
	}
	conn := ""
	for _, s := range all {
		if s.conn != conn {
			lost := conn != ""
			conn = s.conn
			steps = append(steps, step{s.at, func() {
				if lost {
					l.c.PeerLost(master.Endpoint)
				}
				l.c.PeerAdded(master.Endpoint)
			}})
		}
		if s.from != "clone" && !s.lost {
			payload := s.payload
			if s.Kind == wire.CommandPutUniqueResult && s.Who.Endpoint == self.Endpoint {
				// Ours waits itself, and under the number of the write.
				c := s.Command
				for _, w := range writes {
					if w.Kind == wire.CommandPutUnique && w.RequestID == c.RequestID {
						c.RequestID = w.Seq
					}
				}
				c.Who = self
				payload = wire.AppendCommand(nil, &c)
			}
			steps = append(steps, step{s.at, func() { l.c.Receive(s.sender, payload) }})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	tick := phase
	for _, s := range steps {
		for ; tick < s.at; tick += 100 {
			l.now = tick
			l.c.Tick(1)
		}
		l.now = s.at
		s.do()
		l.c.Flush()
	}
	for ; tick <= all[len(all)-1].at; tick += 100 {
		l.c.Tick(1)
	}
	compare(t, "clone", recorded, l.speech, differences)
	for _, o := range []Outcome{Pending, Unknown, Unsent} {
		for kind := range wire.CommandAttachWriter {
			if n := l.outcomes[fmt.Sprint(kind, " ", o)]; n > 0 {
				t.Errorf("%d of %v have the outcome %d", n, kind, o)
			}
		}
	}
	settled := 0
	for _, n := range l.outcomes {
		settled += n
	}
	if l.c.Attached() && settled != len(writes) {
		t.Errorf("%d writes of %d settled: %v", settled, len(writes), l.outcomes)
	}
}
