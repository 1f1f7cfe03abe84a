package zeek

import (
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A TypeSet is a set of types of messages.
type TypeSet uint8

// Has tells whether t is in the set.
func (s TypeSet) Has(t Type) bool { return s&(1<<t) != 0 }

// TypesOf returns the types that occur in a message: its own and, in a batch, those of its members.
func TypesOf(payload []byte) (TypeSet, error) { return typesOf(payload, maxBatchDepth) }

func typesOf(payload []byte, depth int) (TypeSet, error) {
	r := data.NewReader(payload)
	t, _ := header(&r)
	if err := r.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	set := TypeSet(1 << t)
	if t != TypeBatch {
		return set, nil
	}
	if depth == 0 {
		return 0, fmt.Errorf("%w: batches nest deeper than %d levels", ErrMessage, maxBatchDepth)
	}
	for range r.Vector() {
		member, err := typesOf(r.Raw(), depth-1)
		if err != nil {
			return 0, err
		}
		set |= member
	}
	if err := r.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return set, nil
}
