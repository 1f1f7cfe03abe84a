package zeek

import (
	"errors"
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// Version is the version of the message format, the first element of every message.
const Version = 1

// Type says what a message is: its second element.
type Type uint8

// The types of messages (CLUSTER.md section 5.2).
const (
	TypeInvalid          Type = 0
	TypeEvent            Type = 1
	TypeLogCreate        Type = 2
	TypeLogWrite         Type = 3
	TypeIdentifierUpdate Type = 4
	TypeBatch            Type = 5
)

var typeNames = [...]string{"invalid", "Event", "LogCreate", "LogWrite", "IdentifierUpdate", "Batch"}

// String returns the name of the type.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("unknown message type %d", uint8(t))
}

// ErrMessage says that a value is no message of Zeek, or not of the type wanted.
var ErrMessage = errors.New("not a valid Zeek message")

// A Message is any of [Event], [LogCreate], [LogWrite], [IdentifierUpdate] and [Batch].
type Message interface {
	MessageType() Type
	// AppendMessage appends the encoding of the message.
	AppendMessage(dst []byte) []byte
}

// Parse parses a message of any type, which must use up payload. What it returns shares no memory
// with payload.
func Parse(payload []byte) (Message, error) {
	if err := data.Validate(payload); err != nil { // a reader of parts knows nothing of the depth of the whole
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	r := data.NewReader(payload)
	m, err := parse(&r, maxBatchDepth)
	if err != nil {
		return nil, err
	}
	if err := r.Finish(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return m, nil
}

// TypeOf returns the type of a message without looking at its content, [TypeInvalid] if payload does
// not begin like a message.
func TypeOf(payload []byte) Type {
	r := data.NewReader(payload)
	t, _ := header(&r)
	if r.Err() != nil {
		return TypeInvalid
	}
	return t
}

// header consumes what stands before the content. extra is how many elements follow the content, to
// be ignored.
func header(r *data.Reader) (t Type, extra int) {
	n := r.Vector()
	version, typ := r.Count(), r.Count()
	if r.Err() == nil && (n < 3 || version != Version || typ > uint64(TypeBatch)) {
		r.Fail(fmt.Errorf("%w: %d elements, version %d, type %d", ErrMessage, n, version, typ))
	}
	return Type(typ), n - 3
}

// open consumes what stands before the elements of the content of a message of type want, and
// returns how many those are.
func open(r *data.Reader, want Type) (elems, extra int) {
	t, extra := header(r)
	if r.Err() == nil && t != want {
		r.Fail(fmt.Errorf("%w: got %v, want %v", ErrMessage, t, want))
	}
	return r.Vector(), extra
}

// skip consumes elements that nobody knows.
func skip(r *data.Reader, n int) {
	for range n {
		r.Skip()
	}
}

// fewer makes it an error if a message has fewer elements than it must have.
func fewer(r *data.Reader, t Type, got, want int) bool {
	if r.Err() == nil && got < want {
		r.Fail(fmt.Errorf("%w: %v of %d elements, want %d at least", ErrMessage, t, got, want))
	}
	return r.Err() != nil
}

func parse(r *data.Reader, depth int) (Message, error) {
	start := *r
	t, _ := header(r)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	*r = start
	var m Message
	switch t {
	case TypeEvent:
		m = parseEvent(r)
	case TypeLogCreate:
		m = parseLogCreate(r)
	case TypeLogWrite:
		m = parseLogWrite(r)
	case TypeIdentifierUpdate:
		m = parseIdentifierUpdate(r)
	case TypeBatch:
		m = parseBatch(r, depth)
	default:
		return nil, fmt.Errorf("%w: type %v", ErrMessage, t)
	}
	if err := r.Err(); err != nil {
		if errors.Is(err, ErrMessage) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %v: %w", ErrMessage, t, err)
	}
	return m, nil
}

// head is what every message begins with: a vector of three, the version, the type and the beginning
// of the content.
func head(dst []byte, t Type, elems int) []byte {
	dst = append(dst,
		byte(data.KindVector), 3,
		byte(data.KindCount), 0, 0, 0, 0, 0, 0, 0, Version,
		byte(data.KindCount), 0, 0, 0, 0, 0, 0, 0, byte(t))
	return data.AppendVectorHeader(dst, elems)
}
