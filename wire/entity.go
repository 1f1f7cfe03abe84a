package wire

import (
	"encoding/binary"
	"fmt"
)

// EntityIDLen is the number of bytes of an [EntityID].
const EntityIDLen = IDLen + 8

// An EntityID names a part of a node: the master or a clone of a store, or somebody who asks one. The
// zero id names nobody.
type EntityID struct {
	Endpoint EndpointID
	Object   uint64
}

// IsZero tells whether id names nobody.
func (id EntityID) IsZero() bool { return id == EntityID{} }

// Compare orders ids by endpoint, then by object.
func (id EntityID) Compare(other EntityID) int {
	if c := id.Endpoint.Compare(other.Endpoint); c != 0 {
		return c
	}
	switch {
	case id.Object < other.Object:
		return -1
	case id.Object > other.Object:
		return 1
	}
	return 0
}

// String returns the id as the endpoint's UUID and the object's number.
func (id EntityID) String() string { return fmt.Sprintf("%v/%d", id.Endpoint, id.Object) }

// AppendEntityID appends id: the endpoint's, and the object's number.
func AppendEntityID(dst []byte, id EntityID) []byte {
	return binary.BigEndian.AppendUint64(append(dst, id.Endpoint[:]...), id.Object)
}

// ParseEntityID reads an id, which b holds and nothing else.
func ParseEntityID(b []byte) (EntityID, error) {
	if len(b) != EntityIDLen {
		return EntityID{}, fmt.Errorf("an entity of %d bytes, want %d", len(b), EntityIDLen)
	}
	return entityAt(b), nil
}

// entityAt reads the id at the beginning of b, which holds one.
func entityAt(b []byte) EntityID {
	return EntityID{Endpoint: EndpointID(b[:IDLen]), Object: binary.BigEndian.Uint64(b[IDLen:EntityIDLen])}
}
