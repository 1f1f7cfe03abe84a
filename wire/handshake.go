package wire

import (
	"errors"
	"fmt"
)

// ProtocolVersion is the one version of the protocol that exists.
const ProtocolVersion = 1

// magic begins the body of hello, probe, version_select and drop_conn: "ZEEK".
const magic = "ZEEK"

// HandshakeType is the first byte of a message of the handshake.
type HandshakeType uint8

// The messages of the handshake (PROTOCOL.md section 3).
const (
	TypeHello           HandshakeType = 6
	TypeProbe           HandshakeType = 7
	TypeVersionSelect   HandshakeType = 8
	TypeDropConn        HandshakeType = 9
	TypeOriginatorSyn   HandshakeType = 10
	TypeResponderSynAck HandshakeType = 11
	TypeOriginatorAck   HandshakeType = 12
)

var handshakeNames = map[HandshakeType]string{
	TypeHello: "hello", TypeProbe: "probe", TypeVersionSelect: "version_select", TypeDropConn: "drop_conn",
	TypeOriginatorSyn: "originator_syn", TypeResponderSynAck: "responder_syn_ack", TypeOriginatorAck: "originator_ack",
}

// String returns the name of the message.
func (t HandshakeType) String() string {
	if name, ok := handshakeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("unknown handshake message %d", uint8(t))
}

// Handshake is one of the seven messages of the handshake.
type Handshake interface {
	HandshakeType() HandshakeType
	// AppendFrame appends the message as a whole frame, its length included.
	AppendFrame(dst []byte) []byte
}

// A HandshakeError says why a message of the handshake does not parse, and with which code and
// text the reference answers it in a drop_conn.
type HandshakeError struct {
	Code        Code
	Description string
	Type        HandshakeType // as seen
	Cause       error
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("%v: %s: %v", e.Type, e.Description, e.Cause)
}

func (e *HandshakeError) Unwrap() error { return e.Cause }

var (
	errTruncated  = errors.New("message ends too early")
	errTrailing   = errors.New("bytes left over at the end")
	errWrongMagic = errors.New(`magic number is not "ZEEK"`)
	errEmpty      = errors.New("frame is empty")
	errNoSuchType = errors.New("no such message")
)

// ParseHandshake parses the body of one frame of the handshake. Every error is a [*HandshakeError].
func ParseHandshake(body []byte) (Handshake, error) {
	if len(body) == 0 {
		return nil, &HandshakeError{Code: CodeInvalidMessage, Description: "empty message", Cause: errEmpty}
	}
	var msg Handshake
	var err error
	typ, rest := HandshakeType(body[0]), body[1:]
	switch typ {
	case TypeHello:
		msg, err = parseHello(rest)
	case TypeProbe:
		msg, err = parseProbe(rest)
	case TypeVersionSelect:
		msg, err = parseVersionSelect(rest)
	case TypeDropConn:
		msg, err = parseDropConn(rest)
	case TypeOriginatorSyn:
		msg, err = parseOriginatorSyn(rest)
	case TypeResponderSynAck:
		msg, err = parseResponderSynAck(rest)
	case TypeOriginatorAck:
		msg, err = parseOriginatorAck(rest)
	default:
		return nil, &HandshakeError{Code: CodeInvalidMessage, Description: "invalid message type tag", Type: typ, Cause: errNoSuchType}
	}
	switch {
	case err == nil:
		return msg, nil
	case errors.Is(err, errWrongMagic):
		return nil, &HandshakeError{Code: CodeWrongMagicNumber, Description: "wrong magic number", Type: typ, Cause: err}
	}
	return nil, &HandshakeError{Code: CodeInvalidMessage, Description: "failed to parse " + typ.String() + "_msg", Type: typ, Cause: err}
}

// takeMagic consumes the magic number.
func takeMagic(b []byte) ([]byte, error) {
	if len(b) < len(magic) {
		return nil, errTruncated
	}
	if string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w but %q", errWrongMagic, b[:len(magic)])
	}
	return b[len(magic):], nil
}

// takeID consumes an endpoint id.
func takeID(b []byte) (EndpointID, []byte, error) {
	if len(b) < IDLen {
		return EndpointID{}, nil, errTruncated
	}
	return EndpointID(b[:IDLen]), b[IDLen:], nil
}

// takeEnd refuses what is left over.
func takeEnd(b []byte) error {
	if len(b) > 0 {
		return fmt.Errorf("%d %w", len(b), errTrailing)
	}
	return nil
}

// beginHandshake begins a frame of the handshake.
func beginHandshake(dst []byte, t HandshakeType) []byte { return append(BeginFrame(dst), byte(t)) }
