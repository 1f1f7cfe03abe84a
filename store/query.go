package store

import (
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// indexed returns what stands under an index of a value: of a set whether it has the index, of a table
// what is there, of a vector the element. For other kinds of values it is the value itself, whatever the
// index (STORE.md section 5.4).
func indexed(v, index data.Value) (data.Value, error) {
	switch v.Kind() {
	case data.KindSet:
		return data.Bool(v.Contains(index)), nil
	case data.KindTable:
		if value, ok := v.Lookup(index); ok {
			return value, nil
		}
		return data.Value{}, fmt.Errorf("%w: the table has no index %v", ErrNoSuchKey, index)
	case data.KindVector:
		n, ok := index.AsCount()
		if i, isInt := index.AsInt(); isInt && i >= 0 {
			n, ok = uint64(i), true
		}
		switch {
		case !ok:
			return data.Value{}, fmt.Errorf("%w: the index of a vector is a count, or an integer from 0 on, got %v %v", ErrTypeClash, index.Kind(), index)
		case n >= uint64(v.Len()):
			return data.Value{}, fmt.Errorf("%w: the vector has %d elements, and none with the index %d", ErrNoSuchKey, v.Len(), n)
		}
		return v.Elems()[n], nil
	}
	return v, nil
}

// keys returns all keys as a set.
func (t *table) keys() data.Value {
	all := make([]data.Value, 0, t.len())
	for key := range t.all() {
		all = append(all, decoded(key))
	}
	return data.Set(all...)
}
