package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// What add and subtract make of a value (STORE.md section 5.3). Values are encoded and canonical, and
// are changed where they stand in a container, without building a tree of it.

// add returns the value that comes of adding to old. Numbers wrap around.
func add(old string, operand []byte) ([]byte, error) {
	there, kind := data.Kind(old[0]), data.Kind(operand[0])
	a, b := data.NewReader(bytesOf(old)), data.NewReader(operand)
	switch there {
	case data.KindCount, data.KindInt, data.KindTimespan, data.KindTime:
		if kind == addend(there) {
			return number(there, numberIn(bytesOf(old))+numberIn(operand)), nil
		}
	case data.KindReal:
		if kind == there {
			return data.AppendReal(nil, a.Real()+b.Real()), nil
		}
	case data.KindString:
		if kind == there {
			return data.AppendString(nil, slices.Concat(a.Bytes(), b.Bytes())), nil
		}
	case data.KindSet:
		if err := fitsInside(operand); err != nil {
			return nil, err
		}
		start, _, found := data.Find(bytesOf(old), operand)
		if found {
			return bytesOf(old), nil
		}
		return splice(old, +1, start, start, operand), nil
	case data.KindTable:
		if kind == data.KindVector {
			if n := b.Vector(); n != 2 {
				return nil, fmt.Errorf("%w: an entry of a table is a vector of 2 elements, got %d", ErrInvalidData, n)
			}
			entry := b.Rest()
			key := b.Raw()
			start, end, found := data.Find(bytesOf(old), key)
			if found {
				return splice(old, 0, start+len(key), end, b.Rest()), nil
			}
			return splice(old, +1, start, start, entry), nil
		}
	case data.KindVector:
		if err := fitsInside(operand); err != nil {
			return nil, err
		}
		n := a.Vector()
		return slices.Concat(data.AppendVectorHeader(nil, n+1), a.Rest(), operand), nil
	}
	return nil, fmt.Errorf("%w: %v cannot be added to %v", ErrTypeClash, kind, there)
}

// subtract returns the value that comes of subtracting from old. Of a vector it takes the last element,
// whatever the operand.
func subtract(old string, operand []byte) ([]byte, error) {
	there, kind := data.Kind(old[0]), data.Kind(operand[0])
	a, b := data.NewReader(bytesOf(old)), data.NewReader(operand)
	switch there {
	case data.KindCount, data.KindInt, data.KindTimespan, data.KindTime:
		if kind == addend(there) {
			return number(there, numberIn(bytesOf(old))-numberIn(operand)), nil
		}
	case data.KindReal:
		if kind == there {
			return data.AppendReal(nil, a.Real()-b.Real()), nil
		}
	case data.KindSet, data.KindTable:
		if start, end, found := data.Find(bytesOf(old), operand); found {
			return splice(old, -1, start, end, nil), nil
		}
		return bytesOf(old), nil
	case data.KindVector:
		n := a.Vector()
		if n == 0 {
			return bytesOf(old), nil
		}
		for range n - 1 {
			a.Skip()
		}
		return splice(old, -1, a.Offset(), len(old), nil), nil
	}
	return nil, fmt.Errorf("%w: %v cannot be subtracted from %v", ErrTypeClash, kind, there)
}

// addend returns what is added to numbers of a kind.
func addend(there data.Kind) data.Kind {
	if there == data.KindTime {
		return data.KindTimespan
	}
	return there
}

// splice replaces container[start:end] and counts so many elements more.
func splice(container string, more, start, end int, by []byte) []byte {
	r := data.NewReader(bytesOf(container))
	dst := make([]byte, 0, len(container)+len(by)+1) // the length may take a byte more
	switch data.Kind(container[0]) {
	case data.KindSet:
		dst = data.AppendSetHeader(dst, r.Set()+more)
	case data.KindTable:
		dst = data.AppendTableHeader(dst, r.Table()+more)
	default:
		dst = data.AppendVectorHeader(dst, r.Vector()+more)
	}
	return append(append(append(dst, container[r.Offset():start]...), by...), container[end:]...)
}

// fitsInside returns an error if a value nests too deep to stand inside one more container.
func fitsInside(value []byte) error {
	if data.Kind(value[0]) < data.KindSet {
		return nil
	}
	if _, err := data.Skip(append(data.AppendVectorHeader(nil, 1), value...)); err != nil {
		return fmt.Errorf("%w: inside its container: %w", ErrInvalidData, err)
	}
	return nil
}

func number(kind data.Kind, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(kind)}, n)
}

func numberIn(b []byte) uint64 { return binary.BigEndian.Uint64(b[1:]) }

// bytesOf returns the bytes of s, which must not be changed.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// stringOf returns b as a string, which is good as long as b is not changed.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
