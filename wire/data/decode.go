package data

import (
	"encoding/binary"
	"fmt"
	"unsafe"
)

// A Decoder turns encoded values into trees. The zero Decoder is strict and has the default limits.
type Decoder struct {
	// Lenient reads what Broker 2.8 reads inside store commands: a protocol of a port above 3 as
	// unknown, and of duplicates in sets and tables the first (STORE.md section 2.3).
	Lenient bool
	// MaxValues bounds the values of one tree; [DefaultMaxValues] if zero. Each takes 32 bytes.
	MaxValues int

	unique bool // even if lenient, duplicates are errors
}

// DecodeValue decodes b, which must hold one value and nothing else. It is what a zero [Decoder] does.
func DecodeValue(b []byte) (Value, error) { return Decoder{}.Decode(b) }

// ParseValue decodes the value at the beginning of b and returns what follows it.
func ParseValue(b []byte) (v Value, rest []byte, err error) { return Decoder{}.Parse(b) }

// Decode decodes b, which must hold one value and nothing else. Every error but [ErrTooMany] is a
// [*SyntaxError]. The tree shares no memory with b; its strings share one copy of b, so whoever keeps
// one string for long clones it.
func (d Decoder) Decode(b []byte) (Value, error) {
	v, end, err := d.parseAt(b, 0)
	if err == nil && end < len(b) {
		return Value{}, &SyntaxError{Offset: end, Err: ErrTrailing}
	}
	return v, err
}

// Parse decodes the value at the beginning of b and returns what follows it.
func (d Decoder) Parse(b []byte) (v Value, rest []byte, err error) {
	v, end, err := d.parseAt(b, 0)
	if err != nil {
		return Value{}, nil, err
	}
	return v, b[end:], nil
}

// parseAt decodes the value at start and returns where it ends.
//
// It goes over b twice: first to check it and to count, so that the second time there is one piece of
// memory for all values and one for all strings.
func (d Decoder) parseAt(b []byte, start int) (v Value, end int, err error) {
	s := scanner{lenient: d.Lenient}
	end, err = s.elems(b, start, 1, 0)
	if err != nil {
		return Value{}, 0, err
	}
	limit := d.MaxValues
	if limit == 0 {
		limit = DefaultMaxValues
	}
	if s.values > limit {
		return Value{}, 0, fmt.Errorf("%w: %d, at most %d accepted", ErrTooMany, s.values, limit)
	}
	t := builder{b: b[start:end], start: start, lenient: d.Lenient && !d.unique}
	if s.text > 0 {
		t.text = string(t.b)
	}
	if s.values > 0 {
		t.slab = make([]Value, s.values)
	}
	var root [1]Value
	if _, err := t.elems(0, root[:]); err != nil {
		return Value{}, 0, err
	}
	return root[0], end, nil
}

// A builder builds a tree from bytes that a scanner has been over.
type builder struct {
	b       []byte
	start   int     // where b begins in what the caller decodes, for errors
	text    string  // a copy of b
	slab    []Value // what is left of the memory for values
	lenient bool
}

// elems fills dst with the values from at on and returns where they end.
func (t *builder) elems(at int, dst []Value) (int, error) {
	b := t.b
	for i := range dst {
		v := &dst[i]
		kind := Kind(b[at])
		v.kind = kind
		switch kind {
		case KindNone:
			at++
		case KindBool:
			if b[at+1] != 0 {
				v.num = 1
			}
			at += 2
		case KindCount, KindInt, KindTime, KindTimespan:
			v.num = binary.BigEndian.Uint64(b[at+1:])
			at += 9
		case KindReal:
			v.num = realFromWire(binary.BigEndian.Uint64(b[at+1:]))
			at += 9
		case KindString, KindEnum:
			n, next := int(b[at+1]), at+2
			if n >= 0x80 {
				n, next, _ = longVarbyteAt(b, at+1)
			}
			v.num = uint64(n)
			v.ptr = unsafe.Pointer(unsafe.StringData(t.text[next : next+n]))
			at = next + n
		case KindAddr:
			v.num, v.low = binary.BigEndian.Uint64(b[at+1:]), binary.BigEndian.Uint64(b[at+9:])
			at += 17
		case KindSubnet:
			v.num, v.low, v.aux = binary.BigEndian.Uint64(b[at+1:]), binary.BigEndian.Uint64(b[at+9:]), b[at+17]
			at += 18
		case KindPort:
			v.num = uint64(binary.BigEndian.Uint16(b[at+1:]))
			if v.aux = b[at+3]; v.aux > uint8(ProtoICMP) {
				v.aux = 0
			}
			at += 4
		default:
			var err error
			if at, err = t.container(kind, at, v); err != nil {
				return at, err
			}
		}
	}
	return at, nil
}

func (t *builder) container(kind Kind, at int, v *Value) (int, error) {
	start := at
	n, at, _ := varbyteAt(t.b, at+1)
	slots := n
	if kind == KindTable {
		slots = 2 * n
	}
	elems := t.slab[:slots:slots]
	t.slab = t.slab[slots:]
	at, err := t.elems(at, elems)
	if err != nil {
		return at, err
	}
	if kind == KindVector {
		v.num, v.ptr = uint64(n), unsafe.Pointer(unsafe.SliceData(elems))
		return at, nil
	}
	if *v = containerOf(kind, elems); len(v.slots()) < slots && !t.lenient {
		return at, &SyntaxError{Offset: t.start + start, Err: ErrDuplicate}
	}
	return at, nil
}
