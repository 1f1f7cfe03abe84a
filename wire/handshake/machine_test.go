package handshake_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

var (
	small  = wire.EndpointID{0: 0x10, 15: 1}
	middle = wire.EndpointID{0: 0x44, 15: 2}
	large  = wire.EndpointID{0: 0xf0, 15: 3}
)

func ownFilter() []string { return []string{"/test"} }

// body returns the body of the message's frame.
func body(msg wire.Handshake) []byte { return msg.AppendFrame(nil)[wire.FrameHeaderLen:] }

// frames splits whole frames.
func frames(t *testing.T, b []byte) (bodies [][]byte) {
	t.Helper()
	for len(b) > 0 {
		body, rest, _, err := wire.NextFrame(b, len(b))
		if err != nil || body == nil {
			t.Fatalf("no whole frame: %x, %v", b, err)
		}
		bodies, b = append(bodies, body), rest
	}
	return bodies
}

// A recording is what a scripted peer and a real node, which listens, said to each other.
type recording struct {
	node, peer   wire.EndpointID
	toNode, said [][]byte // bodies of the peer's and of the node's frames
}

func readRecording(t *testing.T, name string) (rec recording) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var row struct{ Dir, Hex string }
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(row.Hex)
		if err != nil {
			t.Fatal(err)
		}
		side, id := &rec.said, &rec.node
		if row.Dir == "peer->node" {
			side, id = &rec.toNode, &rec.peer
		}
		for _, body := range frames(t, b) {
			*side = append(*side, body)
			switch msg, _ := wire.ParseHandshake(body); msg := msg.(type) {
			case wire.Hello:
				*id = msg.Sender
			case wire.VersionSelect:
				*id = msg.Sender
			case wire.DropConn:
				*id = msg.Sender
			}
		}
	}
	return rec
}

// replay plays one end of a recording until it is over. It returns what that end says and how it
// ends.
func replay(t *testing.T, m *handshake.Machine, verdict handshake.Verdict, input [][]byte) (said [][]byte, end handshake.Output) {
	t.Helper()
	out := m.Start()
	for {
		said = append(said, frames(t, out.Send)...)
		switch {
		case out.Err != nil || out.Peered:
			return said, out
		case out.Identified:
			out = m.Decide(verdict)
		case len(input) == 0:
			return said, out
		default:
			out, input = m.Frame(input[0]), input[1:]
		}
	}
}

// Both ends of each recorded handshake say what was recorded, byte for byte, and end peered.
func TestRecordedHandshakes(t *testing.T) {
	files, _ := filepath.Glob("../../interop/testdata/wire*/handshake-*.jsonl")
	if len(files) == 0 {
		t.Fatal("no recordings")
	}
	for _, name := range files {
		rec := readRecording(t, name)
		for _, end := range []struct {
			role           handshake.Role
			local, remote  wire.EndpointID
			input, want    [][]byte
			filter, theirs []string
		}{
			{handshake.Listener, rec.node, rec.peer, rec.toNode, rec.said, []string{"/test"}, []string{"/test", "/foo/bar"}},
			{handshake.Dialer, rec.peer, rec.node, rec.said, rec.toNode, []string{"/test", "/foo/bar"}, []string{"/test"}},
		} {
			m := handshake.New(end.role, end.local, func() []string { return end.filter })
			said, out := replay(t, m, handshake.Proceed, end.input)
			if !out.Peered || m.Remote() != end.remote || !slices.Equal(m.Filter(), end.theirs) {
				t.Errorf("%s, %v: %+v with %v, filter %q", name, end.role, out, m.Remote(), m.Filter())
			}
			if len(said) > len(end.want) || !slices.EqualFunc(said, end.want[:len(said)], bytes.Equal) {
				t.Errorf("%s, %v: said %x, want %x", name, end.role, said, end.want)
			}
			if m.Originator() != (end.local.Compare(end.remote) < 0) {
				t.Errorf("%s, %v: wrong originator", name, end.role)
			}
		}
	}
}

// Whatever the newest node refuses, we refuse in the same words.
func TestRecordedRefusals(t *testing.T) {
	files, _ := filepath.Glob("../../interop/testdata/wire/reject-*.jsonl")
	if len(files) == 0 {
		t.Fatal("no recordings")
	}
	for _, name := range files {
		rec := readRecording(t, name)
		verdict := handshake.Proceed
		if strings.Contains(name, "redundant") {
			verdict = handshake.Redundant
		}
		m := handshake.New(handshake.Listener, rec.node, ownFilter)
		said, out := replay(t, m, verdict, rec.toNode)
		if out.Err == nil || !slices.EqualFunc(said, rec.said, bytes.Equal) {
			t.Errorf("%s: %v, said %q, want %q", name, out.Err, said, rec.said)
		}
	}
}

// messages has one of each, from a node with the given id.
func messages(id wire.EndpointID) []wire.Handshake {
	return []wire.Handshake{
		wire.Hello{Sender: id, Min: 1, Max: 1}, wire.Probe{}, wire.VersionSelect{Sender: id, Version: 1},
		wire.DropConn{Sender: id, Code: wire.CodeShuttingDown, Description: "shutting down"},
		wire.OriginatorSyn{Filter: []string{"/a"}}, wire.ResponderSynAck{Filter: []string{"/b"}}, wire.OriginatorAck{},
	}
}

// Each message in each state: what is not expected ends the handshake without a word.
func TestEveryMessageInEveryState(t *testing.T) {
	type step func(m *handshake.Machine) handshake.Output
	start := func(m *handshake.Machine) handshake.Output { return m.Start() }
	proceed := func(m *handshake.Machine) handshake.Output { return m.Decide(handshake.Proceed) }
	take := func(msg wire.Handshake) step {
		return func(m *handshake.Machine) handshake.Output { return m.Frame(body(msg)) }
	}
	hello := func(id wire.EndpointID) step { return take(wire.Hello{Sender: id, Min: 1, Max: 1}) }
	selects := func(id wire.EndpointID) step { return take(wire.VersionSelect{Sender: id, Version: 1}) }
	const (
		isHello, isProbe, isSelect = wire.TypeHello, wire.TypeProbe, wire.TypeVersionSelect
		isSyn, isSynAck, isAck     = wire.TypeOriginatorSyn, wire.TypeResponderSynAck, wire.TypeOriginatorAck
	)
	for _, c := range []struct {
		state string
		role  handshake.Role
		peer  wire.EndpointID
		steps []step
		takes []wire.HandshakeType
	}{
		{"not started", handshake.Dialer, large, nil, []wire.HandshakeType{isProbe}},
		{"dialer with the smaller id", handshake.Dialer, large, []step{start}, []wire.HandshakeType{isHello, isProbe}},
		{"dialer with the larger id", handshake.Dialer, small, []step{start}, []wire.HandshakeType{isSelect, isProbe}},
		{"listener", handshake.Listener, large, []step{start}, []wire.HandshakeType{isHello, isProbe}},
		{"listener that has answered", handshake.Listener, small, []step{start, hello(small)}, []wire.HandshakeType{isSelect, isProbe}},
		{"originator before Decide", handshake.Dialer, large, []step{start, hello(large)}, nil},
		{"responder before Decide", handshake.Dialer, small, []step{start, selects(small)}, nil},
		{"originator", handshake.Dialer, large, []step{start, hello(large), proceed}, []wire.HandshakeType{isSynAck}},
		{"originator that listens", handshake.Listener, large, []step{start, hello(large), proceed}, []wire.HandshakeType{isSynAck}},
		{"responder", handshake.Dialer, small, []step{start, selects(small), proceed}, []wire.HandshakeType{isSyn}},
		{"responder that listens", handshake.Listener, small, []step{start, hello(small), selects(small), proceed}, []wire.HandshakeType{isSyn}},
		{"responder after syn", handshake.Dialer, small, []step{start, selects(small), proceed, take(wire.OriginatorSyn{})}, []wire.HandshakeType{isAck}},
	} {
		for _, msg := range messages(c.peer) {
			m := handshake.New(c.role, middle, ownFilter)
			for i, step := range c.steps {
				if out := step(m); out.Err != nil || out.Peered {
					t.Fatalf("%s: step %d: %+v", c.state, i, out)
				}
			}
			out := m.Frame(body(msg))
			typ := msg.HandshakeType()
			if slices.Contains(c.takes, typ) {
				if out.Err != nil || out.Peered != (typ == isSynAck || typ == isAck) {
					t.Errorf("%s: %v: %+v", c.state, typ, out)
				}
				continue
			}
			var unexpected *handshake.UnexpectedError
			var dropped *handshake.DroppedError
			switch {
			case typ == wire.TypeDropConn && (!errors.As(out.Err, &dropped) || dropped.Remote != c.peer || dropped.Code != wire.CodeShuttingDown),
				typ != wire.TypeDropConn && (!errors.As(out.Err, &unexpected) || unexpected.Got.HandshakeType() != typ || unexpected.Want == ""):
				t.Errorf("%s: %v: %v", c.state, typ, out.Err)
			case len(out.Send) > 0 || out.Peered || out.Identified:
				t.Errorf("%s: %v: %+v", c.state, typ, out)
			}
			checkOver(t, m)
		}
	}
}

// checkOver checks that a machine that has ended answers nothing and asks for nothing.
func checkOver(t *testing.T, m *handshake.Machine) {
	t.Helper()
	outs := []handshake.Output{m.Start(), m.Decide(handshake.Proceed), m.Decide(handshake.Redundant), m.Frame(nil), m.Frame([]byte{7})}
	for _, msg := range messages(small) {
		outs = append(outs, m.Frame(body(msg)))
	}
	for i, out := range outs {
		if out.Err == nil || len(out.Send) > 0 || out.Peered || out.Identified {
			t.Errorf("call %d after the end: %+v", i, out)
		}
	}
}

// What this node refuses, it refuses with these codes and errors.
func TestRefusals(t *testing.T) {
	var versions *handshake.VersionError
	isVersionError := func(err error) bool { return errors.As(err, &versions) }
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	var malformed *wire.HandshakeError
	isMalformed := func(err error) bool { return errors.As(err, &malformed) }
	for _, c := range []struct {
		name    string
		role    handshake.Role
		verdict handshake.Verdict
		input   [][]byte
		code    wire.Code
		err     func(error) bool
	}{
		{"our own id", handshake.Listener, 0, [][]byte{body(wire.Hello{Sender: middle, Min: 1, Max: 1})}, wire.CodePeerInvalid, is(handshake.ErrSelf)},
		{"our own id, selecting", handshake.Dialer, 0, [][]byte{body(wire.VersionSelect{Sender: middle, Version: 1})}, wire.CodePeerInvalid, is(handshake.ErrSelf)},
		{"no id", handshake.Dialer, 0, [][]byte{body(wire.Hello{Min: 1, Max: 1})}, wire.CodePeerInvalid, is(handshake.ErrIdentity)},
		{"versions 2 to 3", handshake.Listener, 0, [][]byte{body(wire.Hello{Sender: small, Min: 2, Max: 3})}, wire.CodePeerIncompatible, isVersionError},
		{"version 0", handshake.Listener, 0, [][]byte{body(wire.Hello{Sender: small})}, wire.CodePeerIncompatible, isVersionError},
		{"version 2 selected", handshake.Dialer, 0, [][]byte{body(wire.VersionSelect{Sender: small, Version: 2})}, wire.CodePeerIncompatible, isVersionError},
		{"an empty frame", handshake.Dialer, 0, [][]byte{{}}, wire.CodeInvalidMessage, isMalformed},
		{"wrong magic", handshake.Dialer, 0, [][]byte{[]byte("\x07ZEEX")}, wire.CodeWrongMagicNumber, isMalformed},
		{"redundant, as originator", handshake.Dialer, handshake.Redundant, [][]byte{body(wire.Hello{Sender: large, Min: 1, Max: 1})}, wire.CodeRedundantConnection, is(handshake.ErrRedundant)},
		{"redundant, as responder", handshake.Dialer, handshake.Redundant, [][]byte{body(wire.VersionSelect{Sender: small, Version: 1})}, wire.CodeLogicError, is(handshake.ErrRedundant)},
		{"shutting down", handshake.Dialer, handshake.ShuttingDown, [][]byte{body(wire.Hello{Sender: large, Min: 1, Max: 1})}, wire.CodeShuttingDown, is(handshake.ErrRefused)},
		{"not welcome", handshake.Listener, handshake.NotWelcome, [][]byte{body(wire.Hello{Sender: large, Min: 1, Max: 1})}, wire.CodePeerInvalid, is(handshake.ErrRefused)},
		{"two hellos", handshake.Dialer, 0, [][]byte{body(wire.Hello{Sender: small, Min: 1, Max: 1})}, 0, func(err error) bool { return err != nil }},
		{"another id on the way", handshake.Listener, 0,
			[][]byte{body(wire.Hello{Sender: small, Min: 1, Max: 1}), body(wire.VersionSelect{Sender: wire.EndpointID{1}, Version: 1})}, 0, is(handshake.ErrIdentity)},
		{"the larger id selects", handshake.Dialer, 0, [][]byte{body(wire.VersionSelect{Sender: large, Version: 1})}, 0, func(err error) bool { return err != nil }},
	} {
		m := handshake.New(c.role, middle, ownFilter)
		said, out := replay(t, m, c.verdict, c.input)
		if !c.err(out.Err) || out.Err.Error() == "" {
			t.Errorf("%s: %v", c.name, out.Err)
		}
		msg, err := wire.ParseHandshake(said[len(said)-1])
		drop, dropped := msg.(wire.DropConn)
		if err != nil || dropped != (c.code != 0) || drop.Code != c.code || dropped && (drop.Sender != middle || drop.Description == "") {
			t.Errorf("%s: said %+v, %v, want code %v", c.name, msg, err, c.code)
		}
		checkOver(t, m)
	}
	m := handshake.New(handshake.Dialer, middle, ownFilter)
	m.Start()
	if out := m.Decide(handshake.Proceed); out.Err == nil || len(out.Send) > 0 {
		t.Errorf("Decide without a question: %+v", out)
	}
}

// Two nodes end up peered if both want to, and neither does if one does not, in whichever order their
// frames arrive.
func TestTwoMachines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Custom(func(t *rapid.T) (id wire.EndpointID) {
			copy(id[:], rapid.SliceOfN(rapid.ByteRange(0, 3), 1, 3).Draw(t, "id"))
			id[15] = 1
			return id
		})
		filter := rapid.SliceOfN(rapid.String(), 0, 4)
		verdict := rapid.SampledFrom([]handshake.Verdict{
			handshake.Proceed, handshake.Proceed, handshake.Proceed, handshake.Redundant, handshake.ShuttingDown, handshake.NotWelcome,
		})
		type side struct {
			m       *handshake.Machine
			id      wire.EndpointID
			filter  []string
			verdict handshake.Verdict
			inbox   []byte
			last    handshake.Output
		}
		var sides [2]side
		for i := range sides {
			s := &sides[i]
			s.id, s.filter, s.verdict = id.Draw(t, "id"), filter.Draw(t, "filter"), verdict.Draw(t, "verdict")
			s.m = handshake.New(handshake.Role(i), s.id, func() []string { return s.filter })
		}
		drive := func(i int, out handshake.Output) {
			s, other := &sides[i], &sides[1-i]
			for {
				other.inbox = append(other.inbox, out.Send...)
				if s.last = out; !out.Identified {
					return
				}
				out = s.m.Decide(s.verdict)
			}
		}
		drive(0, sides[0].m.Start())
		drive(1, sides[1].m.Start())
		for len(sides[0].inbox)+len(sides[1].inbox) > 0 {
			i := rapid.IntRange(0, 1).Draw(t, "who")
			if len(sides[i].inbox) == 0 {
				i = 1 - i
			}
			s := &sides[i]
			frame, rest, _, err := wire.NextFrame(s.inbox, len(s.inbox))
			if err != nil || frame == nil {
				t.Fatalf("%x, %v", s.inbox, err)
			}
			s.inbox = rest
			if !s.last.Peered && s.last.Err == nil {
				drive(i, s.m.Frame(frame))
			}
		}
		want := sides[0].id != sides[1].id && sides[0].verdict == handshake.Proceed && sides[1].verdict == handshake.Proceed
		for i, s := range sides {
			other := sides[1-i]
			if s.last.Peered != want || (s.last.Err == nil) != want {
				t.Fatalf("%v: %+v, want peered %v", s.id, s.last, want)
			}
			if want && (s.m.Remote() != other.id || !slices.Equal(s.m.Filter(), other.filter) || s.m.Originator() == other.m.Originator()) {
				t.Fatalf("%v is peered with %v, filter %q", s.id, s.m.Remote(), s.m.Filter())
			}
		}
	})
}
