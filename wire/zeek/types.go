package zeek

import (
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A TypeSet is a set of types of messages.
type TypeSet uint8

// Has tells whether t is in the set.
func (s TypeSet) Has(t Type) bool { return s&(1<<t) != 0 }

// TypesOf returns the types that any version of Zeek may find in a payload: the message's own and, in a
// batch, those of its members. It is for whoever keeps messages of some types from passing, so it
// looks no closer than the most lenient version (CLUSTER.md section 5.2): versions before 7.0 do not
// check the version number, and unpack a batch of which members are bad. The set is empty if the
// payload is a value that no version takes for a message.
//
// An error says that it cannot be told, since the payload is malformed up to where it matters or its
// batches nest deeper than 8 levels. Such a payload must not pass.
func TypesOf(payload []byte) (TypeSet, error) {
	r := data.NewReader(payload)
	var set TypeSet
	collect(&r, &set, maxBatchDepth)
	if err := r.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return set, nil
}

// collect adds to set the types in the next value. It consumes all of it only if it is in a batch: what
// follows the type of a message that is none does not change what it is.
func collect(r *data.Reader, set *TypeSet, depth int) {
	member := depth < maxBatchDepth
	if r.Kind() != data.KindVector {
		r.Skip()
		return
	}
	n := r.Vector()
	if n < 3 {
		skip(r, n)
		return
	}
	r.Skip() // the version
	if r.Kind() != data.KindCount {
		skip(r, n-1)
		return
	}
	t := r.Count()
	if r.Err() != nil {
		return
	}
	if t <= uint64(TypeBatch) {
		*set |= 1 << t
	}
	switch {
	case t != uint64(TypeBatch):
		if member {
			skip(r, n-2)
		}
		return
	case r.Kind() != data.KindVector:
		r.Skip()
	case depth == 0:
		r.Fail(fmt.Errorf("batches nest deeper than %d levels", maxBatchDepth))
	default:
		for range r.Vector() {
			if collect(r, set, depth-1); r.Err() != nil {
				return
			}
		}
	}
	if member {
		skip(r, n-3)
	}
}
