package data

import (
	"encoding/binary"
	"net/netip"
	"time"
	"unsafe"
)

// AppendValue appends the encoding of v. Sets and tables come out sorted and without duplicates.
// Whoever sends v to others checks its depth before, with [CheckDepth].
func AppendValue(dst []byte, v Value) []byte { return appendElems(dst, unsafe.Slice(&v, 1)) }

// appendElems appends values one after the other. It does leaves in its loop and calls itself for
// containers only: a call for each leaf would cost more than writing it does.
func appendElems(dst []byte, elems []Value) []byte {
	for i := range elems {
		v := &elems[i]
		switch v.kind {
		case KindNone:
			dst = append(dst, byte(KindNone))
		case KindBool:
			dst = append(dst, byte(KindBool), byte(v.num))
		case KindCount, KindInt, KindTime, KindTimespan:
			dst = appendNumber(dst, v.kind, v.num)
		case KindReal:
			dst = appendNumber(dst, KindReal, realToWire(v.num))
		case KindString, KindEnum:
			dst = appendText(dst, v.kind, v.str())
		case KindAddr:
			dst = appendHalves(append(dst, byte(KindAddr)), v.num, v.low)
		case KindSubnet:
			dst = append(appendHalves(append(dst, byte(KindSubnet)), v.num, v.low), v.aux)
		case KindPort:
			dst = append(dst, byte(KindPort), byte(v.num>>8), byte(v.num), v.aux)
		default:
			dst = appendElems(appendHeader(dst, v.kind, uint32(v.num)), v.slots())
		}
	}
	return dst
}

// CheckDepth returns [ErrDepth] if v nests deeper than [MaxDepth].
func CheckDepth(v Value) error { return CheckDepthInside(v, 0) }

// CheckDepthInside is CheckDepth for a value that is to stand inside of so many containers.
func CheckDepthInside(v Value, containers int) error {
	if !v.kind.container() || fits(v, MaxDepth-containers) {
		return nil
	}
	return ErrDepth
}

// fits tells whether v nests at most levels deep.
func fits(v Value, levels int) bool {
	if !v.kind.container() {
		return true
	}
	if levels == 0 {
		return false
	}
	for _, e := range v.Elems() {
		if e.kind.container() && !fits(e, levels-1) {
			return false
		}
	}
	for _, e := range v.Entries() {
		if !fits(e.Key, levels-1) || !fits(e.Value, levels-1) {
			return false
		}
	}
	return true
}

// The following write messages without building a tree. A header is followed by as many values as
// it says, for a table twice as many.

// AppendNone appends none.
func AppendNone(dst []byte) []byte { return append(dst, byte(KindNone)) }

// AppendBool appends a boolean.
func AppendBool(dst []byte, b bool) []byte { return AppendValue(dst, Bool(b)) }

// AppendCount appends a count.
func AppendCount(dst []byte, n uint64) []byte { return appendNumber(dst, KindCount, n) }

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte { return appendNumber(dst, KindInt, uint64(n)) }

// AppendReal appends a real.
func AppendReal(dst []byte, f float64) []byte { return AppendValue(dst, Real(f)) }

// AppendTime appends a point in time.
func AppendTime(dst []byte, t time.Time) []byte { return AppendValue(dst, Time(t)) }

// AppendTimespan appends a duration.
func AppendTimespan(dst []byte, d time.Duration) []byte {
	return appendNumber(dst, KindTimespan, uint64(d))
}

// AppendString appends a string.
func AppendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	return appendText(dst, KindString, s)
}

// AppendEnum appends an enum value.
func AppendEnum[S ~string | ~[]byte](dst []byte, name S) []byte {
	return appendText(dst, KindEnum, name)
}

// AppendAddr appends an address.
func AppendAddr(dst []byte, a netip.Addr) []byte { return AppendValue(dst, Addr(a)) }

// AppendPort appends a port.
func AppendPort(dst []byte, number uint16, proto Proto) []byte {
	return AppendValue(dst, Port(number, proto))
}

// AppendVectorHeader appends the beginning of a vector of n elements.
func AppendVectorHeader(dst []byte, n int) []byte { return appendHeader(dst, KindVector, uint32(n)) }

// AppendSetHeader appends the beginning of a set of n elements, which must differ.
func AppendSetHeader(dst []byte, n int) []byte { return appendHeader(dst, KindSet, uint32(n)) }

// AppendTableHeader appends the beginning of a table of n entries, whose keys must differ.
func AppendTableHeader(dst []byte, n int) []byte { return appendHeader(dst, KindTable, uint32(n)) }

func appendNumber(dst []byte, k Kind, n uint64) []byte {
	return append(dst, byte(k), byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func appendHalves(dst []byte, high, low uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, high), low)
}

// appendText appends a string or enum value. Most are short and find room in dst, which is then
// looked at once and not for the header and the bytes apart.
func appendText[S ~string | ~[]byte](dst []byte, k Kind, s S) []byte {
	at, end := len(dst), len(dst)+2+len(s)
	if len(s) < 0x80 && end <= cap(dst) {
		dst = dst[:end]
		dst[at], dst[at+1] = byte(k), byte(len(s))
		copy(dst[at+2:], s)
		return dst
	}
	return append(appendHeader(dst, k, uint32(len(s))), s...)
}

// appendHeader appends a tag and a length.
func appendHeader(dst []byte, k Kind, n uint32) []byte {
	if n < 0x80 {
		return append(dst, byte(k), byte(n))
	}
	return appendVarbyte(append(dst, byte(k)), n)
}

func appendVarbyte(dst []byte, n uint32) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}
