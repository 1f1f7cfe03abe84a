package handshake

import (
	"errors"
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire"
)

// Role is the side of the TCP connection that a node is on.
type Role uint8

// The two roles. Which of them becomes the originator of the handshake is decided by the endpoint
// ids, not by the role.
const (
	Dialer Role = iota
	Listener
)

// String returns "dialer" or "listener".
func (r Role) String() string {
	if r == Listener {
		return "listener"
	}
	return "dialer"
}

// Verdict is the answer to [Output.Identified].
type Verdict uint8

const (
	// Proceed lets the handshake go on.
	Proceed Verdict = iota
	// Redundant refuses it, since there is a connection to that node already.
	Redundant
	// ShuttingDown refuses it, since this node is about to end.
	ShuttingDown
	// NotWelcome refuses it, since this node does not want that peer.
	NotWelcome
)

// An Output says what the driver of a [Machine] has to do: write Send, then whatever else is set.
// If nothing else is set, the machine waits for the next frame.
type Output struct {
	Send       []byte // whole frames
	Identified bool   // Remote is known: call Decide before the next frame
	Peered     bool   // the handshake is over, and phase 3 begins
	Err        error  // the handshake failed: close the connection once Send is written
}

type state uint8

const (
	stateNew state = iota
	stateAwaitFirst
	stateAwaitHello
	stateAwaitVersionSelect
	stateDecideOriginator
	stateDecideResponder
	stateAwaitSyn
	stateAwaitSynAck
	stateAwaitAck
	stateDone
)

// A Machine is one end of one handshake.
type Machine struct {
	local  wire.EndpointID
	remote wire.EndpointID
	filter []string
	mine   func() []string
	role   Role
	state  state
}

// New returns the machine of the node local. It asks filter, at the moment it is sent, for the
// filter to announce.
func New(role Role, local wire.EndpointID, filter func() []string) *Machine {
	return &Machine{role: role, local: local, mine: filter}
}

// Remote returns the id of the other node, the zero id as long as it is unknown.
func (m *Machine) Remote() wire.EndpointID { return m.remote }

// Filter returns what the other node has subscribed to, once peered.
func (m *Machine) Filter() []string { return m.filter }

// Originator tells whether the local node is the originator of the handshake, which is the node
// with the smaller id. It means nothing before the other node is known.
func (m *Machine) Originator() bool { return m.local.Compare(m.remote) < 0 }

// Start returns what is sent as soon as the connection stands.
func (m *Machine) Start() Output {
	if m.state != stateNew {
		return m.fail(errors.New("handshake started twice"))
	}
	if m.role == Listener {
		m.state = stateAwaitHello
		return Output{Send: wire.Probe{}.AppendFrame(nil)}
	}
	m.state = stateAwaitFirst
	return Output{Send: m.hello()}
}

// Frame takes the next frame, without its length.
func (m *Machine) Frame(frame []byte) Output {
	if m.state == stateDone {
		return m.fail(errors.New("handshake: a frame after its end")) // not to be answered: it belongs to others
	}
	msg, err := wire.ParseHandshake(frame)
	if err != nil {
		return m.malformed(err)
	}
	if drop, ok := msg.(wire.DropConn); ok {
		return m.fail(&DroppedError{Remote: drop.Sender, Code: drop.Code, Description: drop.Description})
	}
	if _, ok := msg.(wire.Probe); ok && m.state <= stateAwaitVersionSelect {
		return Output{}
	}
	switch m.state {
	case stateAwaitFirst:
		if sel, ok := msg.(wire.VersionSelect); ok {
			return m.versionSelect(sel)
		}
		if hello, ok := msg.(wire.Hello); ok {
			return m.answerHello(hello)
		}
	case stateAwaitHello:
		if hello, ok := msg.(wire.Hello); ok {
			return m.answerHello(hello)
		}
	case stateAwaitVersionSelect:
		if sel, ok := msg.(wire.VersionSelect); ok {
			return m.versionSelect(sel)
		}
	case stateAwaitSyn:
		if syn, ok := msg.(wire.OriginatorSyn); ok {
			m.filter = syn.Filter
			m.state = stateAwaitAck
			return Output{Send: wire.ResponderSynAck{Filter: m.mine()}.AppendFrame(nil)}
		}
	case stateAwaitSynAck:
		if ack, ok := msg.(wire.ResponderSynAck); ok {
			m.filter = ack.Filter
			m.state = stateDone
			return Output{Send: wire.OriginatorAck{}.AppendFrame(nil), Peered: true}
		}
	case stateAwaitAck:
		if _, ok := msg.(wire.OriginatorAck); ok {
			m.state = stateDone
			return Output{Peered: true}
		}
	}
	// As the reference does: what is well-formed but out of order is not worth an answer.
	return m.fail(&UnexpectedError{Got: msg, Want: m.want()})
}

// Decide takes the answer to [Output.Identified].
func (m *Machine) Decide(v Verdict) Output {
	if m.state != stateDecideOriginator && m.state != stateDecideResponder {
		return m.fail(errors.New("handshake: Decide without a question"))
	}
	switch v {
	case ShuttingDown:
		return m.drop(wire.CodeShuttingDown, "shutting down", ErrRefused)
	case NotWelcome:
		return m.drop(wire.CodePeerInvalid, "peer not welcome here", ErrRefused)
	case Redundant:
		if m.state == stateDecideOriginator {
			return m.drop(wire.CodeRedundantConnection, "redundant connection", ErrRedundant)
		}
		return m.drop(wire.CodeLogicError, "detected redundant connection at the responder", ErrRedundant)
	}
	if m.state == stateDecideResponder {
		m.state = stateAwaitSyn
		return Output{}
	}
	m.state = stateAwaitSynAck
	send := wire.VersionSelect{Sender: m.local, Version: wire.ProtocolVersion}.AppendFrame(nil)
	return Output{Send: wire.OriginatorSyn{Filter: m.mine()}.AppendFrame(send)}
}

func (m *Machine) hello() []byte {
	return wire.Hello{Sender: m.local, Min: wire.ProtocolVersion, Max: wire.ProtocolVersion}.AppendFrame(nil)
}

func (m *Machine) answerHello(h wire.Hello) Output {
	if h.Min > wire.ProtocolVersion || h.Max < wire.ProtocolVersion {
		return m.drop(wire.CodePeerIncompatible, "unsupported versions offered",
			&VersionError{Remote: h.Sender, Min: h.Min, Max: h.Max})
	}
	if out, ok := m.meet(h.Sender); !ok {
		return out
	}
	if m.Originator() {
		m.state = stateDecideOriginator
		return Output{Identified: true}
	}
	if m.role == Dialer {
		// A listener whose id is smaller answers with version_select; another hello leads nowhere.
		return m.fail(&UnexpectedError{Got: h, Want: "version_select, since its id is the smaller one"})
	}
	m.state = stateAwaitVersionSelect
	return Output{Send: m.hello()}
}

func (m *Machine) versionSelect(sel wire.VersionSelect) Output {
	if sel.Version != wire.ProtocolVersion {
		return m.drop(wire.CodePeerIncompatible, "selected version not supported",
			&VersionError{Remote: sel.Sender, Min: sel.Version, Max: sel.Version})
	}
	if m.state == stateAwaitVersionSelect && sel.Sender != m.remote {
		return m.fail(fmt.Errorf("%w: hello from %v, version_select from %v", ErrIdentity, m.remote, sel.Sender))
	}
	if out, ok := m.meet(sel.Sender); !ok {
		return out
	}
	if m.Originator() {
		return m.fail(&UnexpectedError{Got: sel, Want: "hello, since this node's id is the smaller one"})
	}
	m.state = stateDecideResponder
	return Output{Identified: true}
}

// meet notes who the other node is.
func (m *Machine) meet(id wire.EndpointID) (Output, bool) {
	switch {
	case id == m.local:
		return m.drop(wire.CodePeerInvalid, "peer has the endpoint id of this node", ErrSelf), false
	case id.IsZero():
		return m.drop(wire.CodePeerInvalid, "peer has no endpoint id", ErrIdentity), false
	}
	m.remote = id
	return Output{}, true
}

// malformed answers what does not parse as the reference does.
func (m *Machine) malformed(err error) Output {
	var bad *wire.HandshakeError
	if !errors.As(err, &bad) {
		return m.fail(err)
	}
	return m.drop(bad.Code, bad.Description, err)
}

func (m *Machine) drop(code wire.Code, description string, err error) Output {
	m.state = stateDone
	return Output{
		Send: wire.DropConn{Sender: m.local, Code: code, Description: description}.AppendFrame(nil),
		Err:  err,
	}
}

func (m *Machine) fail(err error) Output {
	m.state = stateDone
	return Output{Err: err}
}

// want names what the machine waits for.
func (m *Machine) want() string {
	switch m.state {
	case stateAwaitFirst:
		return "hello or version_select"
	case stateAwaitHello:
		return "hello"
	case stateAwaitVersionSelect:
		return "version_select"
	case stateAwaitSyn:
		return "originator_syn"
	case stateAwaitSynAck:
		return "responder_syn_ack"
	case stateAwaitAck:
		return "originator_ack"
	case stateDecideOriginator, stateDecideResponder:
		return "no frame before Decide"
	}
	return "no frame before Start"
}
