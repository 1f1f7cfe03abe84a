package endpoint

import (
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire"
)

// StatusCode says what happened to a peer, in Broker's terms (PROTOCOL.md section 4).
type StatusCode uint8

const (
	// PeerAdded: a node has become a peer. It comes before the first message of that peer.
	PeerAdded StatusCode = iota + 1
	// PeerRemoved: this node ended the peering on purpose. It comes after the last message.
	PeerRemoved
	// PeerLost: the peering ended for another reason, told in Err. It comes after the last message.
	PeerLost
	// PeerUnavailable: a node could not be reached or did not become a peer, as told in Err.
	PeerUnavailable
	// PeerDenied: a peer tried what the access rules do not allow, as told in Err. It is told once for
	// each peering; the rest is counted.
	PeerDenied
	// PeerInvalid: somebody connected who cannot be a peer, as told in Err.
	PeerInvalid
)

var statusNames = [...]string{"", "peer_added", "peer_removed", "peer_lost", "peer_unavailable", "peer_denied", "peer_invalid"}

// String returns Broker's name of the code.
func (c StatusCode) String() string {
	if int(c) < len(statusNames) && c > 0 {
		return statusNames[c]
	}
	return fmt.Sprintf("StatusCode(%d)", uint8(c))
}

// A Status tells of something that happened to a peer.
type Status struct {
	Code   StatusCode
	Peer   wire.EndpointID // zero if unknown
	Addr   string          // the peer's address, as dialed or as seen
	Dialed bool            // this node dialed
	Filter []string        // with PeerAdded: what the peer is subscribed to
	Last   *PeerInfo       // with PeerRemoved and PeerLost: what was known of it at the end
	Err    error           // why, for all codes but PeerAdded and PeerRemoved
}

// String returns the status as a line for people.
func (s Status) String() string {
	text := s.Code.String() + " " + s.Addr
	if !s.Peer.IsZero() {
		text += " " + s.Peer.String()
	}
	if s.Err != nil {
		text += ": " + s.Err.Error()
	}
	return text
}
