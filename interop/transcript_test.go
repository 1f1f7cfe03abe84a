package interop

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// In every recorded handshake that succeeded, the machine in the place of either side says what that
// side said, in the same order.
func TestHandshakeTranscripts(t *testing.T) {
	all := recordings(t, "wire*/handshake-*.jsonl", 2*len(versions))
	all = append(all, recordings(t, "zeek/*/links/*.jsonl.gz", 12)...)
	originators := map[handshake.Role]int{}
	for _, rec := range all {
		for _, role := range []handshake.Role{handshake.Dialer, handshake.Listener} {
			t.Run(rec.name+"/"+role.String(), func(t *testing.T) {
				mine, theirs := partyOf(t, rec, role), partyOf(t, rec, 1-role)
				a := actor{t: t, rec: rec, role: role, compare: true}
				a.play(mine)
				if a.err != nil || !a.peered {
					t.Fatalf("peered: %v, %v", a.peered, a.err)
				}
				if a.machine.Remote() != theirs.id {
					t.Errorf("remote %v, want %v", a.machine.Remote(), theirs.id)
				}
				if got, want := strings.Join(a.machine.Filter(), " "), strings.Join(theirs.filter, " "); got != want {
					t.Errorf("filter %q, want %q", got, want)
				}
				if a.machine.Originator() {
					originators[role]++
				}
			})
		}
	}
	// The recordings have all four combinations of who dials and who is the originator.
	if originators[handshake.Dialer] == 0 || originators[handshake.Listener] == 0 {
		t.Errorf("originators: %v", originators)
	}
}

// In the place of a node, the machine refuses what the nodes refused with the same code and text; in
// the place of the peer, it knows the refusal.
func TestRefusalTranscripts(t *testing.T) {
	var bad *wire.HandshakeError
	for scenario, c := range map[string]struct {
		verdict handshake.Verdict // of the listener
		is      error             // the listener's error, by errors.Is or
		as      any               // errors.As
		code    wire.Code         // that the dialer is told; none if it is told nothing
		honest  bool              // what the peer said is what a node would say
	}{
		"reject-wrong-magic":                  {as: &bad, code: wire.CodeWrongMagicNumber},
		"reject-truncated-hello":              {as: &bad, code: wire.CodeInvalidMessage},
		"reject-unknown-tag":                  {as: &bad, code: wire.CodeInvalidMessage},
		"reject-data-before-hello":            {as: &bad, code: wire.CodeInvalidMessage},
		"reject-version-too-new":              {as: new(*handshake.VersionError), code: wire.CodePeerIncompatible},
		"reject-version-too-old":              {as: new(*handshake.VersionError), code: wire.CodePeerIncompatible},
		"reject-unexpected-syn":               {as: new(*handshake.UnexpectedError)},
		"reject-redundant-peer-is-responder":  {verdict: handshake.Redundant, is: handshake.ErrRedundant, code: wire.CodeRedundantConnection, honest: true},
		"reject-redundant-peer-is-originator": {verdict: handshake.Redundant, is: handshake.ErrRedundant, code: wire.CodeLogicError, honest: true},
	} {
		for _, rec := range recordings(t, "wire*/"+scenario+".jsonl", len(versions)) {
			t.Run(rec.name, func(t *testing.T) {
				node := actor{t: t, rec: rec, role: handshake.Listener, verdict: c.verdict, compare: true}
				node.play(partyOf(t, rec, handshake.Listener))
				if node.err == nil || node.peered {
					t.Fatal("the node accepts it")
				}
				if c.is != nil && !errors.Is(node.err, c.is) || c.as != nil && !errors.As(node.err, c.as) {
					t.Errorf("the node's error: %v", node.err)
				}

				mine := partyOf(t, rec, handshake.Dialer)
				if !c.honest {
					mine = party{id: wire.EndpointID{1}}
				}
				peer := actor{t: t, rec: rec, role: handshake.Dialer, compare: c.honest}
				peer.play(mine)
				var dropped *handshake.DroppedError
				switch {
				case c.code == wire.CodeNone:
					if peer.err != nil {
						t.Errorf("the peer, told nothing: %v", peer.err)
					}
				case !errors.As(peer.err, &dropped):
					t.Errorf("the peer's error: %v", peer.err)
				case dropped.Code != c.code || dropped.Description == "" || dropped.Remote != partyOf(t, rec, handshake.Listener).id:
					t.Errorf("the peer is told %+v, want %v", dropped, c.code)
				}
			})
		}
	}
}

// A party is one side of a recorded handshake, as far as it introduced itself.
type party struct {
	id     wire.EndpointID
	filter []string
}

func partyOf(t *testing.T, rec recording, role handshake.Role) (p party) {
	t.Helper()
	for _, r := range rec.rows {
		if r.from != role || len(r.frame) == 0 {
			continue
		}
		msg, err := wire.ParseHandshake(body(t, r.frame))
		if err != nil {
			continue // wrong on purpose, or after the handshake
		}
		switch msg := msg.(type) {
		case wire.Hello:
			p.id = msg.Sender
		case wire.VersionSelect:
			p.id = msg.Sender
		case wire.DropConn:
			p.id = msg.Sender
		case wire.OriginatorSyn:
			p.filter = msg.Filter
		case wire.ResponderSynAck:
			p.filter = msg.Filter
		}
		if msg.HandshakeType() == wire.TypeOriginatorAck {
			break
		}
	}
	if p.id.IsZero() {
		p.id = wire.EndpointID{0x88} // it never said
	}
	return p
}

// An actor puts a machine in the place of one side of a recording.
type actor struct {
	t       *testing.T
	rec     recording
	role    handshake.Role
	verdict handshake.Verdict
	compare bool // what the machine says with what was recorded

	machine *handshake.Machine
	said    []byte // and not yet compared
	peered  bool
	err     error
}

// play feeds the machine what the other side said, until its handshake is over either way.
func (a *actor) play(mine party) {
	a.machine = handshake.New(a.role, mine.id, func() []string { return mine.filter })
	a.take(a.machine.Start())
	for _, r := range a.rec.rows {
		switch {
		case len(r.frame) == 0:
		case r.from != a.role:
			if a.peered || a.err != nil {
				return
			}
			a.take(a.machine.Frame(body(a.t, r.frame)))
		case a.compare && !a.same(r.frame):
			return
		}
		if (a.peered || a.err != nil) && len(a.said) == 0 {
			return
		}
	}
	if a.compare && len(a.said) > 0 {
		a.t.Errorf("said besides: %x", a.said)
	}
}

// take carries out what the machine wants.
func (a *actor) take(out handshake.Output) {
	a.said = append(a.said, out.Send...)
	a.peered, a.err = out.Peered, out.Err
	if out.Identified {
		a.take(a.machine.Decide(a.verdict))
	}
}

// same compares the next frame that the machine has said with the recorded one.
func (a *actor) same(want []byte) bool {
	a.t.Helper()
	got, rest, _, err := wire.NextFrame(a.said, 1<<20)
	if err != nil || got == nil {
		a.t.Errorf("said nothing, want %x", want)
		return false
	}
	got, a.said = a.said[:len(a.said)-len(rest)], rest
	if bytes.Equal(got, want) {
		return true
	}
	// Before 2.8.0-dev.310 nodes put the name of an error of CAF behind the text.
	if msg, err := wire.ParseHandshake(body(a.t, got)); err == nil && a.rec.version() != "wire" {
		ours, ok := msg.(wire.DropConn)
		msg, _ = wire.ParseHandshake(body(a.t, want))
		theirs, _ := msg.(wire.DropConn)
		if ok && strings.HasPrefix(theirs.Description, ours.Description+":caf::") {
			ours.Description = theirs.Description
			if ours == theirs {
				return true
			}
		}
	}
	a.t.Errorf("said %x\nrecorded %x", got, want)
	return false
}
