package zeek

import (
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// NetworkTimestamp is the key of the metadata entry that says when, in network time, an event was
// raised. Its value is a timestamp. Keys from 200 on are free for users.
const NetworkTimestamp = 1

// An Event is an event with its arguments.
//
// Zeek 5 sends no metadata, 6.0 to 7.2 always a network timestamp, 8.0 and later an empty list, a
// timestamp, or none, depending on the function that published it (CLUSTER.md section 5.3). All of
// them accept all forms.
type Event struct {
	Name     string
	Args     []data.Value
	Metadata []Metadata // nil: sent without; empty: sent as an empty list
}

// Metadata is one thing said about an event.
type Metadata struct {
	Key   uint64
	Value data.Value
}

// MessageType returns TypeEvent.
func (Event) MessageType() Type { return TypeEvent }

// AppendMessage appends the encoding of the event.
func (e Event) AppendMessage(dst []byte) []byte {
	elems := 2
	if e.Metadata != nil {
		elems = 3
	}
	dst = appendCall(head(dst, TypeEvent, elems), e.Name, e.Args)
	if e.Metadata != nil {
		dst = data.AppendVectorHeader(dst, len(e.Metadata))
		for _, m := range e.Metadata {
			dst = data.AppendCount(data.AppendVectorHeader(dst, 2), m.Key)
			dst = data.AppendValue(dst, m.Value)
		}
	}
	return dst
}

// AppendEvent appends the encoding of an event without metadata, in the form that every version
// accepts.
func AppendEvent(dst []byte, name string, args ...data.Value) []byte {
	return appendCall(head(dst, TypeEvent, 2), name, args)
}

func appendCall(dst []byte, name string, args []data.Value) []byte {
	dst = data.AppendString(dst, name)
	dst = data.AppendVectorHeader(dst, len(args))
	for i := range args {
		dst = data.AppendValue(dst, args[i])
	}
	return dst
}

// ParseEvent parses an event, which must use up payload, into a tree that may be kept.
func ParseEvent(payload []byte) (Event, error) {
	if err := data.Validate(payload); err != nil { // a reader of parts knows nothing of the depth of the whole
		return Event{}, fmt.Errorf("event: %w", err)
	}
	r := data.NewReader(payload)
	e := parseEvent(&r)
	if err := r.Finish(); err != nil {
		return Event{}, fmt.Errorf("event: %w", err)
	}
	return e, nil
}

func parseEvent(r *data.Reader) (e Event) {
	n, extra := open(r, TypeEvent)
	if fewer(r, TypeEvent, n, 2) {
		return e
	}
	e.Name = string(r.Bytes())
	if r.Kind() != data.KindVector {
		r.Vector() // says what was there instead
		return e
	}
	e.Args = r.Value().Elems()
	if n > 2 {
		e.Metadata = parseMetadata(r)
		skip(r, n-3)
	}
	skip(r, extra)
	return e
}

// parseMetadata reads the list of metadata as Zeek 6.0 and later check it.
func parseMetadata(r *data.Reader) []Metadata {
	n := r.Vector()
	list := []Metadata{}
	for range n {
		if pair := r.Vector(); r.Err() == nil && pair != 2 {
			r.Fail(fmt.Errorf("%w: metadata entry of %d elements, want 2", ErrMessage, pair))
		}
		m := Metadata{Key: r.Count()}
		if m.Key == NetworkTimestamp && r.Kind() != data.KindTime {
			r.Timestamp() // says what was there instead
		}
		m.Value = r.Value()
		if r.Err() != nil {
			return nil
		}
		list = append(list, m)
	}
	return list
}

// An EventView is an event that was not decoded: it points into the payload.
type EventView struct {
	Name []byte
	// Args reads the arguments, of which there are NumArgs.
	Args    data.Reader
	NumArgs int

	payload []byte
}

// What the events that Zeek sends begin with: without metadata, and with.
const (
	eventHead = "\x0e\x03\x02\x00\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x00\x00\x00\x01\x0e"
	bareEvent = eventHead + "\x02"
	metaEvent = eventHead + "\x03"
)

// ParseEventView reads the beginning of an event. The arguments are checked as they are read, or all
// at once with [EventView.Verify].
func ParseEventView(payload []byte) (v EventView, err error) {
	r := data.NewReader(payload)
	if !r.Literal(bareEvent) && !r.Literal(metaEvent) {
		n, _ := open(&r, TypeEvent)
		fewer(&r, TypeEvent, n, 2)
	}
	v.Name = r.Bytes()
	v.NumArgs = r.Vector()
	if err := r.Err(); err != nil {
		return EventView{}, fmt.Errorf("event: %w", err)
	}
	v.Args, v.payload = r, payload
	return v, nil
}

// Into stores the arguments in the fields of the struct that args points at, in their order; see
// [data.Reader.IntoArgs]. It may be called before and after Args is read.
func (v *EventView) Into(args any) error {
	again, err := ParseEventView(v.payload)
	if err != nil {
		return err
	}
	return again.Args.IntoArgs(again.NumArgs, args)
}

// Event decodes the event to a tree that may be kept.
func (v *EventView) Event() (Event, error) { return ParseEvent(v.payload) }

// Verify checks all that ParseEventView has not looked at: that the payload is one valid value, down to
// the last argument and the metadata. It may be called before and after Args is read.
func (v *EventView) Verify() error { return data.Validate(v.payload) }
