package data

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
)

// Equal values have equal bytes in their canonical form, which is what [AppendValue] writes of a value
// that was decoded: sets and tables sorted, lengths as short as can be, each real and boolean in its one
// encoding. What a store keeps is in this form, so that bytes can be compared and searched in place.

// Canonical returns the canonical form of an encoded value: b itself if it is in that form already,
// which takes one look and no memory. A protocol of a port above 3 is read as unknown, as Broker reads
// it in store commands; a duplicate in a set or table is an error, as it is there (STORE.md section 2.3).
func Canonical(b []byte) ([]byte, error) {
	if end, ok := canonical(b, 0, 1, 0); ok && end == len(b) {
		return b, nil
	}
	v, err := Decoder{Lenient: true, unique: true}.Decode(b)
	if err != nil {
		return nil, err
	}
	return AppendValue(nil, v), nil
}

// canonical walks over n values from at on and returns where they end; ok is false if they are not in
// canonical form, or no values at all.
func canonical(b []byte, at, n, depth int) (end int, ok bool) {
	for ; n > 0; n-- {
		if at >= len(b) {
			return at, false
		}
		switch kind := Kind(b[at]); kind {
		case KindString, KindEnum:
			if len(b)-at >= 2 && b[at+1] < 0x80 {
				at += 2 + int(b[at+1])
				continue
			}
			length, next, ok := shortestLength(b, at+1)
			if !ok {
				return at, false
			}
			at = next + length
		case KindSet, KindTable, KindVector:
			if at, ok = canonicalContainer(b, at, depth); !ok {
				return at, false
			}
		default:
			size := sizeOf(kind)
			if size == 0 || size > len(b)-at || !canonicalScalar(b[at:]) {
				return at, false
			}
			at += size
		}
	}
	return at, at <= len(b)
}

func canonicalContainer(b []byte, at, depth int) (end int, ok bool) {
	kind := Kind(b[at])
	n, at, ok := shortestLength(b, at+1)
	if !ok || depth >= MaxDepth || n > len(b)-at {
		return at, false
	}
	if kind == KindVector {
		return canonical(b, at, n, depth+1)
	}
	for last := -1; n > 0; n-- {
		start := at
		if at, ok = canonical(b, at, 1, depth+1); !ok {
			return at, false
		}
		if last >= 0 {
			if c, _, _ := compareNext(b[last:], b[start:], depth); c >= 0 {
				return at, false
			}
		}
		last = start
		if kind == KindTable {
			if at, ok = canonical(b, at, 1, depth+1); !ok {
				return at, false
			}
		}
	}
	return at, true
}

// canonicalScalar tells whether the value of a fixed size at the beginning of b has its one encoding.
func canonicalScalar(b []byte) bool {
	switch Kind(b[0]) {
	case KindBool:
		return b[1] <= 1
	case KindReal:
		x := binary.BigEndian.Uint64(b[1:])
		return realToWire(realFromWire(x)) == x
	case KindSubnet:
		return b[17] <= 128
	case KindPort:
		return b[3] <= byte(ProtoICMP)
	}
	return true
}

// sizeOf returns how long an encoded value of the kind is, 0 if it says so itself or there is no such
// kind.
func sizeOf(k Kind) int {
	switch k {
	case KindSubnet:
		return 18
	case KindPort:
		return 4
	}
	return int(fixed[k])
}

// shortestLength reads a length; ok is false if it could be written in fewer bytes.
func shortestLength(b []byte, at int) (n, next int, ok bool) {
	n, next, err := varbyteAt(b, at)
	return n, next, err == nil && (next == at+1 || b[next-1] != 0)
}

// HasNaN tells whether an encoded value is or contains a real that is not a number, which no store takes
// as a key (STORE.md section 6.1).
func HasNaN(b []byte) bool {
	if !bytes.Contains(b, []byte{byte(KindReal), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) {
		return false
	}
	// Or is it inside a string? What a container holds follows its length, so that there is no need to
	// descend.
	for at := 0; at < len(b); {
		switch kind := Kind(b[at]); {
		case kind == KindReal && len(b)-at >= 9 && binary.BigEndian.Uint64(b[at+1:]) == wireNaN:
			return true
		case kind == KindString || kind == KindEnum || kind.container():
			n, next, err := varbyteAt(b, at+1)
			if err != nil {
				return false
			}
			if at = next; !kind.container() {
				at += n
			}
		default:
			size := sizeOf(kind)
			if size == 0 {
				return false
			}
			at += size
		}
	}
	return false
}

// Find looks in an encoded set for an element, or in an encoded table for a key, both in canonical
// form. If it is there, the element, or the key and its value, is container[start:end]; if not, start is
// where it would have to go. For every other kind, start is 0. It builds no tree.
func Find(container, elem []byte) (start, end int, found bool) {
	if len(container) == 0 || Kind(container[0]) != KindSet && Kind(container[0]) != KindTable {
		return 0, 0, false
	}
	n, at, err := varbyteAt(container, 1)
	if err != nil {
		return 0, 0, false
	}
	table := Kind(container[0]) == KindTable
	for ; n > 0 && at < len(container); n-- {
		c, size, _ := compareNext(container[at:], elem, 0)
		if c > 0 {
			break
		}
		next := at + size
		if size == 0 { // of what differs inside
			if next, err = skipAt(container, at); err != nil {
				break
			}
		}
		if table {
			if next, err = skipAt(container, next); err != nil {
				break
			}
		}
		if c == 0 {
			return at, next, true
		}
		at = next
	}
	return at, at, false
}

// skipAt returns where the value at a place ends.
func skipAt(b []byte, at int) (end int, err error) {
	if len(b)-at >= 2 && b[at] == byte(KindString) && b[at+1] < 0x80 {
		if end = at + 2 + int(b[at+1]); end <= len(b) {
			return end, nil
		}
	}
	var s scanner
	return s.elems(b, at, 1, 0)
}

// compareNext compares the canonical values at the beginning of a and b in the order of [Compare]. It
// returns how long each is; of values that differ the lengths may be unknown, 0.
func compareNext(a, b []byte, depth int) (c, lenA, lenB int) {
	if len(a) == 0 || len(b) == 0 || a[0] != b[0] || depth > MaxDepth {
		return bytes.Compare(a, b), 0, 0
	}
	kind := Kind(a[0])
	switch {
	case kind == KindString || kind == KindEnum:
		if len(a) >= 2 && len(b) >= 2 && a[1]|b[1] < 0x80 { // as below, without calls
			if lenA, lenB = 2+int(a[1]), 2+int(b[1]); lenA <= len(a) && lenB <= len(b) {
				return bytes.Compare(a[2:lenA], b[2:lenB]), lenA, lenB
			}
		}
		n, textA, errA := varbyteAt(a, 1)
		m, textB, errB := varbyteAt(b, 1)
		lenA, lenB = textA+n, textB+m
		if errA != nil || errB != nil || lenA > len(a) || lenB > len(b) {
			return bytes.Compare(a, b), 0, 0
		}
		return bytes.Compare(a[textA:lenA], b[textB:lenB]), lenA, lenB
	case kind.container():
		return compareContainers(kind, a, b, depth)
	}
	size := sizeOf(kind)
	if size == 0 || size > len(a) || size > len(b) {
		return bytes.Compare(a, b), 0, 0
	}
	switch kind {
	case KindInt, KindTime, KindTimespan:
		c = cmp.Compare(int64(binary.BigEndian.Uint64(a[1:])), int64(binary.BigEndian.Uint64(b[1:])))
	case KindReal:
		c = cmp.Compare(realAt(a), realAt(b))
	default:
		c = bytes.Compare(a[:size], b[:size])
	}
	return c, size, size
}

// compareContainers compares two containers of one kind, value by value.
func compareContainers(kind Kind, a, b []byte, depth int) (c, lenA, lenB int) {
	n, atA, errA := varbyteAt(a, 1)
	m, atB, errB := varbyteAt(b, 1)
	if errA != nil || errB != nil {
		return bytes.Compare(a, b), 0, 0
	}
	values := min(n, m)
	if kind == KindTable {
		values *= 2
	}
	for range values {
		c, lenA, lenB = compareNext(a[atA:], b[atB:], depth+1)
		if c != 0 || lenA == 0 || lenB == 0 {
			return c, 0, 0
		}
		atA, atB = atA+lenA, atB+lenB
	}
	if n != m {
		return cmp.Compare(n, m), 0, 0
	}
	return 0, atA, atB
}

func realAt(b []byte) float64 {
	return math.Float64frombits(realFromWire(binary.BigEndian.Uint64(b[1:])))
}
