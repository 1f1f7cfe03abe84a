package store

import (
	"errors"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

func TestIndexed(t *testing.T) {
	x := data.String("x")
	for _, tc := range []struct {
		name        string
		v, at, want data.Value
		err         error
	}{
		{"in a set", setOf(1, 2), data.Int(2), data.Bool(true), nil},
		{"not in a set", setOf(1, 2), data.Count(2), data.Bool(false), nil},
		{"in a table", tableWith(1, 10, 2, 20), data.Int(2), data.Int(20), nil},
		{"not in a table", tableWith(1, 10), data.Int(2), data.None(), ErrNoSuchKey},
		{"count", vector(10, 20), data.Count(1), data.Int(20), nil},
		{"integer", vector(10, 20), data.Int(1), data.Int(20), nil},
		{"integer 0", vector(10, 20), data.Int(0), data.Int(10), nil},
		{"too large a count", vector(10, 20), data.Count(2), data.None(), ErrNoSuchKey},
		{"too large an integer", vector(10, 20), data.Int(2), data.None(), ErrNoSuchKey},
		{"huge", vector(10, 20), data.Count(1<<64 - 1), data.None(), ErrNoSuchKey},
		{"empty vector", vector(), data.Count(0), data.None(), ErrNoSuchKey},
		{"negative", vector(10, 20), data.Int(-1), data.None(), ErrTypeClash},
		{"string", vector(10, 20), x, data.None(), ErrTypeClash},
		{"real", vector(10, 20), data.Real(1), data.None(), ErrTypeClash},
		{"of a string", x, data.Int(-7), x, nil},
		{"of none", data.None(), data.Count(7), data.None(), nil},
	} {
		got, err := indexed(tc.v, tc.at)
		if !errors.Is(err, tc.err) || !got.Equal(tc.want) {
			t.Errorf("%s: got %v, %v; want %v, %v", tc.name, got, err, tc.want, tc.err)
		}
	}
}

func TestKeys(t *testing.T) {
	table := new(table)
	want := data.Set(data.Int(-1), data.Int(1), data.String("b"), data.String("aa"), setOf(1))
	for _, key := range want.Elems() {
		table.set(encoded(key), encoded(data.None()), 0)
	}
	if got := table.keys(); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
