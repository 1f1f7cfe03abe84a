package data

import (
	"math"
	"net/netip"
	"time"
	"unsafe"
)

// A Value is one Broker value: none, a number, a string, an address, a set and so on. The zero
// Value is none.
//
// A Value is immutable and may be shared between goroutines. It is small (32 bytes), and making
// one from a number, an address, a time or a string does not allocate. Compare values with
// [Value.Equal] or [Value.Compare]; == does not compile.
type Value struct {
	_    [0]func()      // forbids ==
	ptr  unsafe.Pointer // the bytes of a string, the members of a container
	num  uint64         // the number; the length of what ptr points at; the upper half of an address
	low  uint64         // the lower half of an address
	kind Kind
	aux  uint8 // the prefix length of a subnet in the 128-bit form, the protocol of a port
}

// An Entry is one key of a table and what stands under it.
type Entry struct{ Key, Value Value }

// None returns the value that holds nothing; Zeek uses it for unset optional fields.
func None() Value { return Value{} }

// Bool returns a boolean.
func Bool(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.num = 1
	}
	return v
}

// Count returns an unsigned number, Zeek's count.
func Count(n uint64) Value { return Value{kind: KindCount, num: n} }

// Int returns a signed number, Zeek's int.
func Int(n int64) Value { return Value{kind: KindInt, num: uint64(n)} }

// Real returns a floating point number, Zeek's double.
func Real(f float64) Value { return Value{kind: KindReal, num: math.Float64bits(f)} }

// String returns a string. Zeek's strings are bytes and need not be UTF-8.
func String(s string) Value { return stringValue(KindString, s) }

// Enum returns an enum value by its full name, such as "Conn::LOG" or "tcp".
func Enum(name string) Value { return stringValue(KindEnum, name) }

func stringValue(k Kind, s string) Value {
	return Value{kind: k, num: uint64(len(s)), ptr: unsafe.Pointer(unsafe.StringData(s))}
}

// Addr returns an address. A zone is dropped, since the wire has no room for it; the invalid
// netip.Addr becomes ::.
func Addr(a netip.Addr) Value {
	v := Value{kind: KindAddr}
	v.num, v.low = addrHalves(a)
	return v
}

// Subnet returns a subnet with its host bits cleared, as the reference keeps them. The invalid
// netip.Prefix becomes ::/0.
func Subnet(p netip.Prefix) Value {
	v := Value{kind: KindSubnet}
	if !p.IsValid() {
		return v
	}
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	v.num, v.low = addrHalves(p.Addr())
	v.num, v.low = maskHalves(v.num, v.low, bits)
	v.aux = uint8(bits)
	return v
}

// Proto is the protocol of a port.
type Proto uint8

// The protocols of a port.
const (
	ProtoUnknown Proto = iota
	ProtoTCP
	ProtoUDP
	ProtoICMP
)

var protoNames = [...]string{"?", "tcp", "udp", "icmp"}

// String returns "tcp", "udp", "icmp", or "?" for everything else.
func (p Proto) String() string {
	if int(p) < len(protoNames) {
		return protoNames[p]
	}
	return "?"
}

// Port returns a port. A protocol above ProtoICMP becomes ProtoUnknown.
func Port(number uint16, proto Proto) Value {
	if proto > ProtoICMP {
		proto = ProtoUnknown
	}
	return Value{kind: KindPort, num: uint64(number), aux: uint8(proto)}
}

// Timestamp returns a point in time given in nanoseconds since 1970 UTC.
func Timestamp(ns int64) Value { return Value{kind: KindTime, num: uint64(ns)} }

// Time returns a point in time. What 64 bits of nanoseconds cannot hold (before 1677, after 2262)
// becomes the nearest time they can.
func Time(t time.Time) Value {
	switch ns := t.UnixNano(); {
	case time.Unix(0, ns).Equal(t):
		return Timestamp(ns)
	case t.Unix() < 0:
		return Timestamp(math.MinInt64)
	}
	return Timestamp(math.MaxInt64)
}

// Timespan returns a duration, Zeek's interval.
func Timespan(d time.Duration) Value { return Value{kind: KindTimespan, num: uint64(d)} }

// Vector returns a vector, in which Zeek also sends records and argument lists. It keeps elems:
// the caller must not change them afterwards.
func Vector(elems ...Value) Value {
	return Value{kind: KindVector, num: uint64(len(elems)), ptr: unsafe.Pointer(unsafe.SliceData(elems))}
}

// Kind returns the kind of v.
func (v Value) Kind() Kind { return v.kind }

// IsNone tells whether v holds nothing.
func (v Value) IsNone() bool { return v.kind == KindNone }

// AsBool returns the boolean in v; ok is false if v is of another kind.
func (v Value) AsBool() (b, ok bool) { return v.kind == KindBool && v.num != 0, v.kind == KindBool }

// AsCount returns the count in v; ok is false if v is of another kind.
func (v Value) AsCount() (n uint64, ok bool) {
	if v.kind != KindCount {
		return 0, false
	}
	return v.num, true
}

// AsInt returns the integer in v; ok is false if v is of another kind.
func (v Value) AsInt() (n int64, ok bool) {
	if v.kind != KindInt {
		return 0, false
	}
	return int64(v.num), true
}

// AsReal returns the real in v; ok is false if v is of another kind.
func (v Value) AsReal() (f float64, ok bool) {
	if v.kind != KindReal {
		return 0, false
	}
	return math.Float64frombits(v.num), true
}

// AsString returns the string in v; ok is false if v is of another kind, an enum value included.
// A string of a decoded tree shares memory with all other strings of that tree.
func (v Value) AsString() (s string, ok bool) {
	if v.kind != KindString {
		return "", false
	}
	return v.str(), true
}

// AsEnum returns the name of the enum value in v; ok is false if v is of another kind.
func (v Value) AsEnum() (name string, ok bool) {
	if v.kind != KindEnum {
		return "", false
	}
	return v.str(), true
}

// AsAddr returns the address in v, an IPv4 address in its short form; ok is false if v is of
// another kind.
func (v Value) AsAddr() (a netip.Addr, ok bool) {
	if v.kind != KindAddr {
		return netip.Addr{}, false
	}
	return addrFromHalves(v.num, v.low).Unmap(), true
}

// AsSubnet returns the subnet in v; ok is false if v is of another kind.
func (v Value) AsSubnet() (p netip.Prefix, ok bool) {
	if v.kind != KindSubnet {
		return netip.Prefix{}, false
	}
	a, bits := addrFromHalves(v.num, v.low), int(v.aux)
	if a.Is4In6() && bits >= 96 {
		return netip.PrefixFrom(a.Unmap(), bits-96), true
	}
	return netip.PrefixFrom(a, bits), true
}

// AsPort returns the port in v; ok is false if v is of another kind.
func (v Value) AsPort() (number uint16, proto Proto, ok bool) {
	if v.kind != KindPort {
		return 0, 0, false
	}
	return uint16(v.num), Proto(v.aux), true
}

// AsTimestamp returns the point in time in v in nanoseconds since 1970 UTC; ok is false if v is of
// another kind.
func (v Value) AsTimestamp() (ns int64, ok bool) {
	if v.kind != KindTime {
		return 0, false
	}
	return int64(v.num), true
}

// AsTime returns the point in time in v, in UTC; ok is false if v is of another kind.
func (v Value) AsTime() (t time.Time, ok bool) {
	if v.kind != KindTime {
		return time.Time{}, false
	}
	return time.Unix(0, int64(v.num)).UTC(), true
}

// AsTimespan returns the duration in v; ok is false if v is of another kind.
func (v Value) AsTimespan() (d time.Duration, ok bool) {
	if v.kind != KindTimespan {
		return 0, false
	}
	return time.Duration(v.num), true
}

// Elems returns the elements of a vector, or of a set in their order; nil for every other kind.
// The caller must not change them.
func (v Value) Elems() []Value {
	if v.kind != KindVector && v.kind != KindSet {
		return nil
	}
	return unsafe.Slice((*Value)(v.ptr), int(v.num))
}

// Entries returns the entries of a table in the order of their keys; nil for every other kind. The
// caller must not change them.
func (v Value) Entries() []Entry {
	if v.kind != KindTable {
		return nil
	}
	return unsafe.Slice((*Entry)(v.ptr), int(v.num))
}

// Len returns the number of bytes of a string or enum value, of elements of a set or vector, of
// entries of a table; 0 for every other kind.
func (v Value) Len() int {
	if v.kind.container() || v.kind == KindString || v.kind == KindEnum {
		return int(v.num)
	}
	return 0
}

// str returns the bytes of a string or enum value.
func (v Value) str() string { return unsafe.String((*byte)(v.ptr), int(v.num)) }

// slots returns the values that a container holds: its elements, or the keys and values of its
// entries by turns, as they follow one another on the wire.
func (v *Value) slots() []Value {
	n := int(v.num)
	if v.kind == KindTable {
		n *= 2
	}
	return unsafe.Slice((*Value)(v.ptr), n)
}
