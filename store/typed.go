package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// Get returns the value under a key as a Go value: it and the key stand for values of Broker as
// [data.Marshal] says. It is [Store.Get] otherwise.
func Get[T any](ctx context.Context, s *Store, key any) (value T, err error) {
	encoded, err := data.Append(nil, key)
	if err != nil {
		return value, fmt.Errorf("store %q: key: %w", s.name, err)
	}
	t, err := s.readable(ctx)
	if err != nil {
		return value, err
	}
	e, ok := t.get(encoded)
	if !ok {
		return value, fmt.Errorf("store %q: %w: %v", s.name, ErrNoSuchKey, key)
	}
	if err = into(e.value, &value); err != nil {
		return value, fmt.Errorf("store %q: value of key %v: %w", s.name, key, err)
	}
	return value, nil
}

// Put puts a Go value under a key, in place of what is there: key and value stand for values of Broker as
// [data.Marshal] says. It is [Store.Put] otherwise.
func Put(ctx context.Context, s *Store, key, value any, opts ...SubmitOption) (Outcome, error) {
	k, err := data.Marshal(key)
	if err != nil {
		return Submitted, fmt.Errorf("store %q: key: %w", s.name, err)
	}
	v, err := data.Marshal(value)
	if err != nil {
		return Submitted, fmt.Errorf("store %q: value of key %v: %w", s.name, key, err)
	}
	return s.Put(ctx, k, v, opts...)
}

// An Entry is a key and what stands under it, as Go values.
type Entry[K, V any] struct {
	Key   K
	Value V
}

// All returns all entries as they are now, as Go values, in no particular order. What changes later is
// not seen. If the store cannot be read, the loop has that error only. An entry that is not of these
// types comes as an error, and the loop goes on behind it.
func All[K, V any](ctx context.Context, s *Store) iter.Seq2[Entry[K, V], error] {
	return func(yield func(Entry[K, V], error) bool) {
		t, err := s.readable(ctx)
		if err != nil {
			yield(Entry[K, V]{}, err)
			return
		}
		for key, e := range t.all() {
			var entry Entry[K, V]
			if err := into(key, &entry.Key); err != nil {
				err = fmt.Errorf("store %q: key %v: %w", s.name, decoded(key), err)
				if !yield(entry, err) {
					return
				}
				continue
			}
			err := into(e.value, &entry.Value)
			if err != nil {
				err = fmt.Errorf("store %q: value of key %v: %w", s.name, entry.Key, err)
			}
			if !yield(entry, err) {
				return
			}
		}
	}
}

// into stores an encoded value in what x points at.
func into(encoded string, x any) error {
	r := data.NewReader(bytesOf(encoded))
	return r.Into(x)
}
