package data

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// A Reader walks over encoded values in place, without building a tree and without allocating. Each
// method consumes one value, of the kind that it is named for; Vector, Set and Table consume the
// beginning of a container and return how many elements (or entries of two values) follow.
//
// The first error sticks: from then on every method returns zero, so one look at [Reader.Err] at the
// end is enough. What is returned by Bytes, Enum and Raw shares the memory that is read.
//
// A Reader knows nothing of depth: who descends by recursion bounds it, or has called [Validate].
type Reader struct {
	b   []byte // cut off at the first error, so that what checks for bytes need not check for errors
	at  int
	err error
}

// A KindError says that a value is of another kind than wanted.
type KindError struct {
	Offset    int // of the value, in bytes from the beginning
	Got, Want Kind
}

func (e *KindError) Error() string {
	return fmt.Sprintf("at byte %d: got %v, want %v", e.Offset, e.Got, e.Want)
}

// NewReader returns a reader of the values in b.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err returns the first error: a [*KindError], a [*SyntaxError], or what was given to Fail.
func (r *Reader) Err() error { return r.err }

// Fail makes err the error of the reader, if it has none.
func (r *Reader) Fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
		r.b = r.b[:r.at]
	}
}

// Offset returns how many bytes are consumed.
func (r *Reader) Offset() int { return r.at }

// Len returns how many bytes are left, 0 after an error.
func (r *Reader) Len() int { return len(r.b) - r.at }

// Done tells whether nothing is left to read, because of the end or of an error.
func (r *Reader) Done() bool { return r.at == len(r.b) }

// Rest returns the bytes that are not consumed, nil after an error.
func (r *Reader) Rest() []byte {
	if r.err != nil {
		return nil
	}
	return r.b[r.at:]
}

// Finish makes it an error if anything is left, and returns the first error.
func (r *Reader) Finish() error {
	if r.at != len(r.b) {
		r.Fail(&SyntaxError{Offset: r.at, Err: ErrTrailing})
	}
	return r.err
}

// Kind returns the kind of the next value without consuming it. At the end, and after an error, it
// returns a kind that does not exist.
func (r *Reader) Kind() Kind {
	if at, b := r.at, r.b; uint(at) < uint(len(b)) {
		return Kind(b[at])
	}
	return numKinds
}

// Literal consumes the bytes of s if they stand next, and tells whether they did. It is for the
// encoding of what messages usually begin with: one comparison for many values.
func (r *Reader) Literal(s string) bool {
	if b := r.b[r.at:]; len(b) >= len(s) && string(b[:len(s)]) == s {
		r.at += len(s)
		return true
	}
	return false
}

// mismatch notes that the next value is not of the kind wanted, or cut short.
func (r *Reader) mismatch(want Kind) {
	if r.err != nil {
		return
	}
	switch {
	case r.at == len(r.b):
		r.Fail(&SyntaxError{Offset: r.at, Err: fmt.Errorf("%w, want %v", ErrTruncated, want)})
	case r.b[r.at] >= numKinds:
		r.Fail(&SyntaxError{Offset: r.at, Err: fmt.Errorf("%w: got %d, want %v", ErrKind, r.b[r.at], want)})
	case Kind(r.b[r.at]) != want:
		r.Fail(&KindError{Offset: r.at, Got: Kind(r.b[r.at]), Want: want})
	default:
		r.Fail(&SyntaxError{Offset: r.at, Err: fmt.Errorf("%w: %v", ErrTruncated, want)})
	}
}

// take consumes a value of a kind with a fixed size and returns its content.
func (r *Reader) take(k Kind, size int) []byte {
	if b := r.b[r.at:]; len(b) > size && Kind(b[0]) == k {
		r.at += 1 + size
		return b[1 : 1+size]
	}
	r.mismatch(k)
	return nil
}

func (r *Reader) number(k Kind) uint64 {
	if b := r.b[r.at:]; len(b) >= 9 && Kind(b[0]) == k {
		r.at += 9
		return binary.BigEndian.Uint64(b[1:])
	}
	r.mismatch(k)
	return 0
}

// None consumes none.
func (r *Reader) None() { r.take(KindNone, 0) }

// Bool consumes a boolean.
func (r *Reader) Bool() bool {
	c := r.take(KindBool, 1)
	return c != nil && c[0] != 0
}

// Count consumes a count.
func (r *Reader) Count() uint64 { return r.number(KindCount) }

// Int consumes an integer.
func (r *Reader) Int() int64 { return int64(r.number(KindInt)) }

// Real consumes a real.
func (r *Reader) Real() float64 { return math.Float64frombits(realFromWire(r.number(KindReal))) }

// Timestamp consumes a point in time, in nanoseconds since 1970 UTC.
func (r *Reader) Timestamp() int64 { return int64(r.number(KindTime)) }

// Time consumes a point in time, in UTC. After an error it returns the zero time.
func (r *Reader) Time() time.Time {
	ns := r.Timestamp()
	if r.err != nil {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// Timespan consumes a duration.
func (r *Reader) Timespan() time.Duration { return time.Duration(r.number(KindTimespan)) }

// Addr consumes an address; an IPv4 address is returned in its short form.
func (r *Reader) Addr() netip.Addr {
	c := r.take(KindAddr, 16)
	if c == nil {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte(c)).Unmap()
}

// Subnet consumes a subnet.
func (r *Reader) Subnet() netip.Prefix {
	start := r.at
	c := r.take(KindSubnet, 17)
	if c == nil {
		return netip.Prefix{}
	}
	if c[16] > 128 {
		r.refuse(start, ErrSubnet)
		return netip.Prefix{}
	}
	v := Value{kind: KindSubnet, num: binary.BigEndian.Uint64(c), low: binary.BigEndian.Uint64(c[8:]), aux: c[16]}
	p, _ := v.AsSubnet()
	return p
}

// Port consumes a port.
func (r *Reader) Port() (number uint16, proto Proto) {
	start := r.at
	c := r.take(KindPort, 3)
	if c == nil {
		return 0, 0
	}
	if c[2] > byte(ProtoICMP) {
		r.refuse(start, ErrProtocol)
		return 0, 0
	}
	return binary.BigEndian.Uint16(c), Proto(c[2])
}

// refuse fails because of the value that begins at start, which then is not consumed.
func (r *Reader) refuse(start int, err error) {
	r.at = start
	r.Fail(&SyntaxError{Offset: start, Err: err})
}

// Bytes consumes a string.
func (r *Reader) Bytes() []byte { return r.text(KindString) }

// Enum consumes an enum value and returns its name.
func (r *Reader) Enum() []byte { return r.text(KindEnum) }

func (r *Reader) text(k Kind) []byte {
	if b := r.b[r.at:]; len(b) >= 2 && Kind(b[0]) == k && b[1] < 0x80 {
		if end := 2 + int(b[1]); end <= len(b) {
			r.at += end
			return b[2:end:end]
		}
	}
	n, next := r.length(k)
	if n > len(r.b)-next {
		r.mismatch(k)
		return nil
	}
	r.at = next + n
	return r.b[next:r.at:r.at]
}

// Vector consumes the beginning of a vector and returns how many elements follow.
func (r *Reader) Vector() int { return r.header(KindVector, 1) }

// Set consumes the beginning of a set and returns how many elements follow.
func (r *Reader) Set() int { return r.header(KindSet, 1) }

// Table consumes the beginning of a table and returns how many entries follow, each a key and a
// value.
func (r *Reader) Table() int { return r.header(KindTable, 2) }

// header consumes the beginning of a container whose elements are of so many values. There is a byte
// for each of them at least: the number returned is never larger than what is left.
func (r *Reader) header(k Kind, values int) int {
	if b := r.b[r.at:]; len(b) >= 2 && Kind(b[0]) == k && b[1] < 0x80 {
		if n := int(b[1]); n*values <= len(b)-2 {
			r.at += 2
			return n
		}
	}
	n, next := r.length(k)
	if n > (len(r.b)-next)/values {
		r.mismatch(k)
		return 0
	}
	r.at = next
	return n
}

// length reads the tag and the length of the next value, without consuming them, and returns where
// they end. After an error that is where the reader stands, with a length of 0.
func (r *Reader) length(k Kind) (n, next int) {
	if r.Kind() != k || r.Len() < 2 {
		r.mismatch(k)
		return 0, r.at
	}
	n, next, err := varbyteAt(r.b, r.at+1)
	if err != nil {
		r.Fail(err)
		return 0, r.at
	}
	return n, next
}

// Skip consumes the next value, whatever it is, and checks it like [Validate].
func (r *Reader) Skip() { r.Raw() }

// Raw consumes the next value, whatever it is, checks it like [Validate] and returns its encoding.
func (r *Reader) Raw() []byte {
	if r.err != nil {
		return nil
	}
	var s scanner
	end, err := s.elems(r.b, r.at, 1, 0)
	if err != nil {
		r.Fail(err)
		return nil
	}
	raw := r.b[r.at:end:end]
	r.at = end
	return raw
}

// Value consumes the next value, whatever it is, and decodes it to a tree.
func (r *Reader) Value() Value {
	if r.err != nil {
		return Value{}
	}
	v, end, err := Decoder{}.parseAt(r.b, r.at)
	if err != nil {
		r.Fail(err)
		return Value{}
	}
	r.at = end
	return v
}
