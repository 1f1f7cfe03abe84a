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
type Reader struct {
	b   []byte
	at  int
	err error
}

// A KindError says that a value is of another kind than wanted.
type KindError struct {
	Offset    int
	Got, Want Kind
}

func (e *KindError) Error() string {
	return fmt.Sprintf("at byte %d: got %v, want %v", e.Offset, e.Got, e.Want)
}

// NewReader returns a reader of the values in b.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Fail makes err the error of the reader, if it has none.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Offset returns how many bytes are consumed.
func (r *Reader) Offset() int { return r.at }

// Rest returns the bytes that are not consumed, nil after an error.
func (r *Reader) Rest() []byte {
	if r.err != nil {
		return nil
	}
	return r.b[r.at:]
}

// Finish makes it an error if anything is left, and returns the first error.
func (r *Reader) Finish() error {
	if r.err == nil && r.at != len(r.b) {
		r.err = &SyntaxError{Offset: r.at, Err: ErrTrailing}
	}
	return r.err
}

// Kind returns the kind of the next value without consuming it. At the end, and after an error, it
// returns a kind that does not exist.
func (r *Reader) Kind() Kind {
	if r.err != nil || r.at >= len(r.b) {
		return numKinds
	}
	return Kind(r.b[r.at])
}

// mismatch notes that the next value is not of the kind wanted, or cut short.
func (r *Reader) mismatch(want Kind) {
	switch {
	case r.err != nil:
	case r.at < len(r.b) && Kind(r.b[r.at]) != want && r.b[r.at] < numKinds:
		r.err = &KindError{Offset: r.at, Got: Kind(r.b[r.at]), Want: want}
	case r.at < len(r.b) && Kind(r.b[r.at]) != want:
		r.err = &SyntaxError{Offset: r.at, Err: ErrKind}
	default:
		r.err = &SyntaxError{Offset: r.at, Err: ErrTruncated}
	}
}

// take consumes a value of a kind with a fixed size and returns its content.
func (r *Reader) take(k Kind, size int) []byte {
	if r.err != nil || len(r.b)-r.at <= size || Kind(r.b[r.at]) != k {
		r.mismatch(k)
		return nil
	}
	content := r.b[r.at+1 : r.at+1+size]
	r.at += 1 + size
	return content
}

func (r *Reader) number(k Kind) uint64 {
	if at := r.at; r.err == nil && len(r.b)-at >= 9 && Kind(r.b[at]) == k {
		r.at = at + 9
		return binary.BigEndian.Uint64(r.b[at+1:])
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

// Timespan consumes a duration.
func (r *Reader) Timespan() time.Duration { return time.Duration(r.number(KindTimespan)) }

// Addr consumes an address.
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
		r.err = &SyntaxError{Offset: start, Err: ErrSubnet}
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
		r.err = &SyntaxError{Offset: start, Err: ErrProtocol}
		return 0, 0
	}
	return binary.BigEndian.Uint16(c), Proto(c[2])
}

// Bytes consumes a string.
func (r *Reader) Bytes() []byte { return r.text(KindString) }

// Enum consumes an enum value.
func (r *Reader) Enum() []byte { return r.text(KindEnum) }

func (r *Reader) text(k Kind) []byte {
	at := r.at
	if r.err == nil && len(r.b)-at >= 2 && Kind(r.b[at]) == k {
		n, next := int(r.b[at+1]), at+2
		if n >= 0x80 {
			var err error
			if n, next, err = longVarbyteAt(r.b, at+1); err != nil {
				r.err = err
				return nil
			}
		}
		if end := next + n; end <= len(r.b) {
			r.at = end
			return r.b[next:end:end]
		}
		r.err = &SyntaxError{Offset: at, Err: ErrTruncated}
		return nil
	}
	r.mismatch(k)
	return nil
}

// Vector consumes the beginning of a vector and returns how many elements follow.
func (r *Reader) Vector() int { return r.header(KindVector) }

// Set consumes the beginning of a set and returns how many elements follow.
func (r *Reader) Set() int { return r.header(KindSet) }

// Table consumes the beginning of a table and returns how many entries follow, each a key and a
// value.
func (r *Reader) Table() int { return r.header(KindTable) }

func (r *Reader) header(k Kind) int {
	at := r.at
	if r.err == nil && len(r.b)-at >= 2 && Kind(r.b[at]) == k {
		n, next := int(r.b[at+1]), at+2
		if n >= 0x80 {
			var err error
			if n, next, err = longVarbyteAt(r.b, at+1); err != nil {
				r.err = err
				return 0
			}
		}
		if n <= len(r.b)-next {
			r.at = next
			return n
		}
		r.err = &SyntaxError{Offset: at, Err: ErrTruncated}
		return 0
	}
	r.mismatch(k)
	return 0
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
		r.err = err
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
	v, rest, err := ParseValue(r.b[r.at:])
	if err != nil {
		r.err = fmt.Errorf("value at byte %d: %w", r.at, err)
		return Value{}
	}
	r.at = len(r.b) - len(rest)
	return v
}
