package wire

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// IDLen is the number of bytes of an [EndpointID].
const IDLen = 16

// An EndpointID names a node. It is 16 random bytes, shown as a UUID. The zero id names nobody; as
// the receiver of an envelope it means everyone whose filter matches.
type EndpointID [IDLen]byte

// NewEndpointID returns a random id.
func NewEndpointID() EndpointID {
	var id EndpointID
	_, _ = rand.Read(id[:]) // never fails: it ends the process instead
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// ParseEndpointID reads the form that [EndpointID.String] writes, in either case.
func ParseEndpointID(s string) (EndpointID, error) {
	var id EndpointID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, fmt.Errorf("endpoint id %q: want a UUID such as 123e4567-e89b-42d3-a456-426614174000", s)
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return EndpointID{}, fmt.Errorf("endpoint id %q: %w", s, err)
	}
	return id, nil
}

// String returns the id as a UUID in lower case, as Zeek shows it.
func (id EndpointID) String() string {
	text, _ := id.AppendText(make([]byte, 0, 36))
	return string(text)
}

// AppendText appends what String returns.
func (id EndpointID) AppendText(dst []byte) ([]byte, error) {
	dst = append(hex.AppendEncode(dst, id[:4]), '-')
	dst = append(hex.AppendEncode(dst, id[4:6]), '-')
	dst = append(hex.AppendEncode(dst, id[6:8]), '-')
	dst = append(hex.AppendEncode(dst, id[8:10]), '-')
	return hex.AppendEncode(dst, id[10:]), nil
}

// MarshalText returns what String returns.
func (id EndpointID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText reads what MarshalText wrote.
func (id *EndpointID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseEndpointID(string(text))
	return err
}

// Compare orders ids by their bytes. The node with the smaller id becomes the originator of a
// handshake.
func (id EndpointID) Compare(other EndpointID) int { return bytes.Compare(id[:], other[:]) }

// IsZero tells whether id names nobody.
func (id EndpointID) IsZero() bool { return id == EndpointID{} }
