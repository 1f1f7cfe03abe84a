package handshake

import (
	"errors"
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire"
)

var (
	// ErrSelf says that the other node has our own endpoint id: we dialed ourselves, or two nodes
	// run under one id.
	ErrSelf = errors.New("the peer has this node's own endpoint id: a connection to itself, or two nodes configured with one id")
	// ErrRedundant says that we refused the connection, since there is one to that node already.
	ErrRedundant = errors.New("there is a connection to this peer already")
	// ErrRefused says that we refused the connection: [ShuttingDown] or [NotWelcome].
	ErrRefused = errors.New("refused by this node")
	// ErrIdentity says that the other node has no id or changed it on the way.
	ErrIdentity = errors.New("the peer's endpoint id is not valid")
)

// A DroppedError says that the other node refused the connection with a drop_conn message.
type DroppedError struct {
	Remote      wire.EndpointID
	Code        wire.Code
	Description string
}

func (e *DroppedError) Error() string {
	return fmt.Sprintf("peer %v refused the connection: %v (%d): %q", e.Remote, e.Code, uint8(e.Code), e.Description)
}

// A VersionError says that the other node speaks no version that we speak.
type VersionError struct {
	Remote   wire.EndpointID
	Min, Max uint8
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("peer %v speaks protocol versions %d to %d, this node only %d", e.Remote, e.Min, e.Max, wire.ProtocolVersion)
}

// An UnexpectedError says that a message is well-formed but out of order.
type UnexpectedError struct {
	Got  wire.Handshake
	Want string
}

func (e *UnexpectedError) Error() string {
	return fmt.Sprintf("handshake: got %v, want %s", e.Got.HandshakeType(), e.Want)
}
