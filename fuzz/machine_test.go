package fuzz

import (
	"bytes"
	"slices"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// A machine survives any order of calls and frames: it ends at most once, says nothing afterwards, and
// is never peered unless it knows another node, was told to proceed, and has exchanged filters. A
// script has two bytes for each step, and more for a frame of arbitrary bytes.
func FuzzMachine(f *testing.F) {
	const start, decide, known, raw = 0, 1, 2, 3
	for i := range handshakes() {
		f.Add([]byte{start, 0, known, byte(i), decide, 0, known, byte(i + 1)}, false)
		f.Add([]byte{start, 0, known, byte(i), decide, 1, known, byte(i)}, true)
	}
	index := func(want wire.Handshake) byte {
		return byte(slices.IndexFunc(handshakes(), func(m wire.Handshake) bool {
			return bytes.Equal(m.AppendFrame(nil), want.AppendFrame(nil))
		}))
	}
	syn, ack := byte(2), byte(1)
	f.Add([]byte{start, 0, known, index(wire.Hello{Sender: largeID, Min: 1, Max: 1}), decide, 0, known, syn + 1}, false)
	f.Add([]byte{start, 0, known, index(wire.VersionSelect{Sender: smallID, Version: 1}), decide, 0, known, syn, known, ack}, false)
	f.Add([]byte{start, 0, known, index(wire.Hello{Sender: smallID, Min: 1, Max: 1}), known, index(wire.VersionSelect{Sender: smallID, Version: 1}),
		decide, 0, known, syn, known, ack, raw, 2, 7, 'Z'}, true)
	f.Fuzz(func(t *testing.T, script []byte, listener bool) {
		role := handshake.Dialer
		if listener {
			role = handshake.Listener
		}
		m := newWatched(t, role, middleID)
		msgs := handshakes()
		for len(script) >= 2 {
			op, n := script[0]%4, int(script[1])
			script = script[2:]
			switch op {
			case start:
				m.Start()
			case decide:
				m.Decide(handshake.Verdict(n % 4))
			case known:
				m.Frame(msgs[n%len(msgs)].AppendFrame(nil)[wire.FrameHeaderLen:])
			case raw:
				n = min(n, len(script))
				m.Frame(script[:n])
				script = script[n:]
			}
		}
	})
}

// A watched machine checks after each step what must hold for every machine.
type watched struct {
	*handshake.Machine
	t          *testing.T
	local      wire.EndpointID
	asked      bool     // the last output has a question
	proceed    bool     // what the last answer was
	sentFilter bool     // our own
	filter     []string // the last that was received
	gotFilter  bool
	peered     bool
	err        error
}

// ownFilter is what the machine of node id announces.
func ownFilter(id wire.EndpointID) []string { return []string{"/of/" + id.String(), "/x"} }

func newWatched(t *testing.T, role handshake.Role, local wire.EndpointID) *watched {
	m := handshake.New(role, local, func() []string { return ownFilter(local) })
	return &watched{Machine: m, t: t, local: local}
}

func (m *watched) Start() handshake.Output { return m.saw(m.Machine.Start()) }

func (m *watched) Decide(v handshake.Verdict) handshake.Output {
	m.proceed = v == handshake.Proceed
	return m.saw(m.Machine.Decide(v))
}

func (m *watched) Frame(body []byte) handshake.Output {
	msg, _ := wire.ParseHandshake(body)
	switch msg := msg.(type) {
	case wire.OriginatorSyn:
		m.filter, m.gotFilter = msg.Filter, true
	case wire.ResponderSynAck:
		m.filter, m.gotFilter = msg.Filter, true
	}
	return m.saw(m.Machine.Frame(body))
}

// saw checks an output.
func (m *watched) saw(out handshake.Output) handshake.Output {
	t, over := m.t, m.peered || m.err != nil
	t.Helper()
	if over && (out.Err == nil || len(out.Send) > 0 || out.Peered || out.Identified) {
		t.Fatalf("%+v after the end", out)
	}
	if out.Peered && (out.Err != nil || out.Identified) || out.Identified && out.Err != nil {
		t.Fatalf("%+v: one of these only", out)
	}
	if out.Err != nil && out.Err.Error() == "" {
		t.Fatal("an error without words")
	}
	if remote := m.Remote(); (out.Identified || out.Peered) && (remote.IsZero() || remote == m.local) {
		t.Fatalf("%+v with node %v", out, remote)
	}
	dropped := m.sent(out.Send)
	if dropped && out.Err == nil {
		t.Fatalf("%+v: refused without an error", out)
	}
	if out.Peered && (!m.asked || !m.proceed || !m.sentFilter || !m.gotFilter || !slices.Equal(m.Filter(), m.filter)) {
		t.Fatalf("peered: %+v", m)
	}
	m.asked = m.asked || out.Identified
	m.peered = m.peered || out.Peered
	if m.err == nil {
		m.err = out.Err
	}
	return out
}

// sent checks what the machine sends, and tells whether it refuses the connection.
func (m *watched) sent(b []byte) (dropped bool) {
	m.t.Helper()
	for len(b) > 0 {
		body, rest, _, err := wire.NextFrame(b, len(b))
		if err != nil || body == nil || dropped {
			m.t.Fatalf("sent %x: %v", b, err)
		}
		msg, err := wire.ParseHandshake(body)
		if err != nil {
			m.t.Fatal(err)
		}
		sender := m.local
		switch msg := msg.(type) {
		case wire.Hello:
			sender = msg.Sender
		case wire.VersionSelect:
			sender = msg.Sender
		case wire.DropConn:
			sender, dropped = msg.Sender, true
		case wire.OriginatorSyn:
			m.sentFilter = slices.Equal(msg.Filter, ownFilter(m.local))
		case wire.ResponderSynAck:
			m.sentFilter = slices.Equal(msg.Filter, ownFilter(m.local))
		}
		if sender != m.local {
			m.t.Fatalf("%+v in the name of another", msg)
		}
		b = rest
	}
	return dropped
}

// Two nodes that want each other end up peered, whatever their ids and however the bytes between them
// are cut and interleaved; they agree who is the originator, each has the other's filter, and what was
// sent right behind the handshake is still there. If one refuses, neither is peered.
func FuzzPeering(f *testing.F) {
	for _, ids := range [][2]wire.EndpointID{{smallID, largeID}, {largeID, smallID}, {middleID, middleID}, {{}, smallID}} {
		f.Add(ids[0][:], ids[1][:], []byte{1, 2, 3, 200}, byte(0), byte(0))
		f.Add(ids[0][:], ids[1][:], []byte{}, byte(0), byte(handshake.Redundant))
		f.Add(ids[0][:], ids[1][:], bytes.Repeat([]byte{0, 0xff}, 40), byte(handshake.NotWelcome), byte(0))
	}
	f.Fuzz(func(t *testing.T, dialer, listener, schedule []byte, dialerSays, listenerSays byte) {
		var ids [2]wire.EndpointID
		copy(ids[0][:], dialer)
		copy(ids[1][:], listener)
		ends := [2]*end{
			newEnd(t, handshake.Dialer, ids[0], handshake.Verdict(dialerSays%4)),
			newEnd(t, handshake.Listener, ids[1], handshake.Verdict(listenerSays%4)),
		}
		for i, e := range ends {
			e.other = ends[1-i]
		}
		for _, e := range ends {
			e.drive(e.Start())
		}
		for _, b := range schedule {
			ends[b&1].receive(int(b >> 1))
		}
		for len(ends[0].wire)+len(ends[1].wire) > 0 {
			ends[0].receive(1 << 20)
			ends[1].receive(1 << 20)
		}
		willing := ends[0].verdict == handshake.Proceed && ends[1].verdict == handshake.Proceed
		possible := ids[0] != ids[1] && !ids[0].IsZero() && !ids[1].IsZero()
		for _, e := range ends {
			if e.peered != (willing && possible) {
				t.Fatalf("%v: peered is %v, error %v; willing %v, possible %v", e.local, e.peered, e.err, willing, possible)
			}
			if !e.peered && e.err == nil {
				t.Fatalf("%v waits for ever", e.local)
			}
			if e.peered && (e.Remote() != e.other.local || !slices.Equal(e.Filter(), ownFilter(e.other.local)) || !bytes.Equal(e.in, e.other.greeting())) {
				t.Fatalf("%v is peered with %v, filter %q, what follows is %x", e.local, e.Remote(), e.Filter(), e.in)
			}
		}
		if willing && possible && ends[0].Originator() == ends[1].Originator() {
			t.Fatal("no agreement who is the originator")
		}
	})
}

// An end is a machine, its side of the connection, and who is on the other.
type end struct {
	*watched
	other   *end
	verdict handshake.Verdict
	wire    []byte // sent by the other end and not yet received
	in      []byte // received and not yet consumed
}

func newEnd(t *testing.T, role handshake.Role, local wire.EndpointID, v handshake.Verdict) *end {
	return &end{watched: newWatched(t, role, local), verdict: v}
}

// greeting is what an end sends as soon as it is peered.
func (e *end) greeting() []byte {
	return wire.AppendPing(nil, e.local, e.other.local, []byte("hi"))
}

// drive does what an output asks for.
func (e *end) drive(out handshake.Output) {
	for {
		e.other.wire = append(e.other.wire, out.Send...)
		switch {
		case out.Err != nil:
			return
		case out.Peered:
			e.other.wire = append(e.other.wire, e.greeting()...)
			return
		case out.Identified:
			out = e.Decide(e.verdict)
			continue
		}
		body, rest, _, err := wire.NextFrame(e.in, 1<<16)
		if err != nil {
			e.t.Fatal(err)
		}
		if body == nil {
			return
		}
		e.in = rest
		out = e.Frame(body)
	}
}

// receive lets up to n bytes arrive.
func (e *end) receive(n int) {
	n = min(n, len(e.wire))
	e.in = append(e.in, e.wire[:n]...)
	e.wire = e.wire[n:]
	if n > 0 && !e.peered && e.err == nil {
		e.drive(handshake.Output{})
	}
}
