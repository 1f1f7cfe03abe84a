package fuzz

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A message of Zeek that parses is a valid value, and is written in a form that parses to the same.
// What points into an event agrees with what decodes it.
func FuzzZeek(f *testing.F) {
	for _, m := range messages() {
		f.Add(m.AppendMessage(nil))
	}
	one, v, s := data.Count(1), data.Vector, data.String
	for _, m := range []data.Value{
		v(one, one, v(s("e"), v(), v(), s("more")), s("more")),
		v(one, one, v(s("e"), v(), v(v(one, one)))),
		v(one, data.Count(5), v(v(one, one, v(s("e"), v())), one)),
		v(one, data.Count(6), v()),
		v(one, one, v(s("e"), nested(data.MaxDepth-2))),
		v(one, one, v(s("e"), nested(data.MaxDepth-1))),
	} {
		f.Add(data.AppendValue(nil, m))
	}
	addPayloads(f, func(payload []byte) { f.Add(payload) })
	f.Fuzz(func(t *testing.T, payload []byte) {
		var m zeek.Message
		var err error
		bounded(t, len(payload), func() { m, err = zeek.Parse(payload) })
		checkEvent(t, payload, m)
		if err != nil {
			if m != nil || !errors.Is(err, zeek.ErrMessage) {
				t.Fatalf("%v, %v", m, err)
			}
			return
		}
		if got := zeek.TypeOf(payload); got != m.MessageType() {
			t.Fatalf("TypeOf says %v, Parse %v", got, m.MessageType())
		}
		if err := data.Validate(payload); err != nil {
			t.Fatalf("%v parses from an invalid value: %v", m, err)
		}
		b := m.AppendMessage(nil)
		back, err := zeek.Parse(b)
		if err != nil || !cmp.Equal(m, back, cmpopts.EquateNaNs()) {
			t.Fatalf("%v is written as %x and read as %v, %v", m, b, back, err)
		}
		if again := back.AppendMessage(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x, then %x", b, again)
		}
	})
}

// nested returns a value of so many levels.
func nested(levels int) data.Value {
	v := data.None()
	for range levels {
		v = data.Vector(v)
	}
	return v
}

// checkEvent checks all ways to read an event against parsed, what Parse made of it.
func checkEvent(t *testing.T, payload []byte, parsed zeek.Message) {
	t.Helper()
	event, eventErr := zeek.ParseEvent(payload)
	if want, ok := parsed.(zeek.Event); ok != (eventErr == nil) || ok && !cmp.Equal(want, event) {
		t.Fatalf("Parse says %v, ParseEvent %v, %v", parsed, event, eventErr)
	}
	view, viewErr := zeek.ParseEventView(payload)
	if viewErr == nil && view.Verify() == nil {
		if err := data.Validate(payload); err != nil {
			t.Fatalf("a view verifies an invalid value: %v", err)
		}
	}
	if eventErr != nil {
		return
	}
	if viewErr != nil || view.Verify() != nil || string(view.Name) != event.Name || view.NumArgs != len(event.Args) {
		t.Fatalf("the view says %s of %d arguments, %v, %v; the tree %v", view.Name, view.NumArgs, viewErr, view.Verify(), event)
	}
	for i, want := range event.Args {
		if got := view.Args.Value(); view.Args.Err() != nil || !got.Equal(want) {
			t.Fatalf("argument %d: the view says %v, %v; the tree %v", i, got, view.Args.Err(), want)
		}
	}
}
