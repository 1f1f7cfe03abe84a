package data

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"time"
	"unsafe"
)

// Unmarshal stores v in what into points at, whose type stands for the kind of v as [Marshal] says.
// It is as strict as Zeek: a count is no int and no double, and what is not optional must be set.
//
//   - A record may have more elements than the struct has fields, since newer versions of Zeek append
//     fields to records; they are ignored. Elements may be missing at the end if the fields are
//     optional, and are unset then.
//   - A number must fit the Go type; a real is rounded to a float32.
//   - Slices keep sets in the order in which they came, and do not look for duplicates.
//   - What into holds is replaced and not merged with v. Nothing is shared with v or with what was
//     there, and each string has memory of its own, so one can be kept without keeping all.
//   - The Go values made take 128 MiB at most, strings aside; beyond that there is [ErrTooMany].
//
// Errors are [*FieldError]; what into points at is filled up to the error then.
func Unmarshal(v Value, into any) error {
	r := NewReader(AppendValue(nil, v))
	return r.Into(into)
}

// Into consumes the next value, whatever it is, and stores it in what into points at, like
// [Unmarshal] but without building a tree. It returns the first error of the reader.
func (r *Reader) Into(into any) error { return r.into(into, -1) }

// IntoArgs consumes the next n values, which are the arguments of an event, and stores them in the
// fields of the struct that into points at, like [Reader.Into] with a record. Paths of errors begin with
// args[0], args[1] and so on. As with Zeek there must be as many arguments as fields, but those may be
// missing at the end whose fields are optional. It returns the first error of the reader.
func (r *Reader) IntoArgs(n int, into any) error { return r.into(into, max(n, 0)) }

// into stores n arguments, or the next value if n is negative.
func (r *Reader) into(into any, n int) error {
	if r.err != nil {
		return r.err
	}
	if err := r.store(reflect.ValueOf(into), n); err != nil {
		r.err = nil
		r.Fail(under("", err)) // with the path, in place of what it was
	}
	return r.err
}

func (r *Reader) store(into reflect.Value, n int) error {
	if into.Kind() != reflect.Pointer || into.IsNil() {
		return errors.New("values are stored through a pointer that is not nil")
	}
	p, err := planOf(into.Type().Elem())
	if err != nil {
		return err
	}
	d := decoder{r: r, room: maxDecoded}
	if n < 0 {
		return d.value(p, into.UnsafePointer(), 0)
	}
	return d.args(p, into.UnsafePointer(), n)
}

const (
	// maxDecoded is how many bytes of slices, maps and pointers are made of one value: as many as
	// the default limit of a tree takes. A record of optional fields is two bytes on the wire and
	// may be a thousand in Go.
	maxDecoded = DefaultMaxValues * int64(unsafe.Sizeof(Value{}))
	// maxAhead is how many bytes are allocated for elements that have not been seen yet.
	maxAhead = 64 << 10
)

// A decoder stores what a reader reads.
type decoder struct {
	r    *Reader
	room int64 // bytes that may still be allocated
}

// take notes that n things of a size will be allocated.
func (d *decoder) take(n int, size uintptr) error {
	if d.room -= int64(n) * int64(size); d.room < 0 {
		return ErrTooMany
	}
	return nil
}

// value stores the next value, which so many containers surround, at a place. An error of the reader
// itself is returned as it is: whoever knows a part of the path puts it before.
func (d *decoder) value(p *plan, at unsafe.Pointer, depth int) error {
	r := d.r
	if p.optional && r.Kind() == KindNone {
		r.None()
		p.clear(at)
		return nil
	}
	switch p.op {
	case opBool:
		*(*bool)(at) = r.Bool()
	case opUint:
		n := r.number(p.kind)
		if p.size == 8 {
			*(*uint64)(at) = n
			break
		}
		v := p.at(at)
		if v.OverflowUint(n) {
			return fmt.Errorf("%s %d does not fit %v", p.kind.ZeekName(), n, p.typ)
		}
		v.SetUint(n)
	case opInt:
		n := int64(r.number(p.kind))
		if p.size == 8 {
			*(*int64)(at) = n
			break
		}
		v := p.at(at)
		if v.OverflowInt(n) {
			return fmt.Errorf("%s %d does not fit %v", p.kind.ZeekName(), n, p.typ)
		}
		v.SetInt(n)
	case opFloat:
		f := r.Real()
		v := p.at(at)
		if v.OverflowFloat(f) {
			return fmt.Errorf("%s %v does not fit %v", p.kind.ZeekName(), f, p.typ)
		}
		v.SetFloat(f)
	case opString:
		// Who stores one event after the other in the same struct saves the strings that stay.
		if s, b := (*string)(at), r.text(p.kind); *s != string(b) {
			*s = string(b)
		}
	case opBytes:
		*(*[]byte)(at) = bytes.Clone(r.text(p.kind))
	case opAddr:
		*(*netip.Addr)(at) = r.Addr()
	case opSubnet:
		*(*netip.Prefix)(at) = r.Subnet()
	case opPort:
		number, proto := r.Port()
		*(*TransportPort)(at) = TransportPort{Number: number, Proto: proto}
	case opTime:
		*(*time.Time)(at) = r.Time()
	case opValue:
		return d.tree((*Value)(at), depth)
	case opAny:
		var v Value
		err := d.tree(&v, depth)
		*(*any)(at) = v
		return err
	case opPointer:
		if err := d.take(1, p.elem.size); err != nil {
			return err
		}
		elem := reflect.New(p.elem.typ).UnsafePointer()
		*(*unsafe.Pointer)(at) = elem
		return d.value(p.elem, elem, depth)
	default:
		return d.container(p, at, depth)
	}
	return r.err
}

// clear makes what is optional unset.
func (p *plan) clear(at unsafe.Pointer) {
	if p.op == opPointer {
		*(*unsafe.Pointer)(at) = nil
		return
	}
	p.at(at).SetZero()
}

// tree stores the next value as a Value.
func (d *decoder) tree(v *Value, depth int) error {
	var s scanner
	if _, err := s.elems(d.r.b, d.r.at, 1, depth); err != nil {
		return err
	}
	if err := d.take(s.values, unsafe.Sizeof(*v)); err != nil {
		return err
	}
	*v = d.r.Value()
	return d.r.err
}

func (d *decoder) container(p *plan, at unsafe.Pointer, depth int) error {
	start, values := d.r.at, 1
	if p.kind == KindTable {
		values = 2
	}
	n := d.r.header(p.kind, values)
	switch {
	case d.r.err != nil:
		return d.r.err
	case depth >= MaxDepth:
		return &SyntaxError{Offset: start, Err: ErrDepth}
	case p.op == opSlice:
		return d.slice(p, at, n, depth+1)
	case p.op == opMap:
		return d.mapping(p, at, n, depth+1)
	}
	if n < p.required {
		for _, f := range p.fields[n:] {
			if !f.plan.optional {
				return under(f.name, fmt.Errorf("missing: the record ends after %d of %d fields", n, len(p.fields)))
			}
		}
	}
	i, err := d.fields(p, at, n, depth+1)
	switch {
	case err == nil:
		return nil
	case i == len(p.fields):
		return under("", err)
	}
	return under(p.fields[i].name, err)
}

// args stores the n arguments of an event.
func (d *decoder) args(p *plan, at unsafe.Pointer, n int) error {
	if p.op != opRecord {
		return fmt.Errorf("arguments are stored in a struct, not in %v", p.typ)
	}
	if n < p.required || n > len(p.fields) {
		want := strconv.Itoa(p.required)
		if p.required < len(p.fields) {
			want += " to " + strconv.Itoa(len(p.fields))
		}
		return under("args", fmt.Errorf("got %d, want %s", n, want))
	}
	if i, err := d.fields(p, at, n, 1); err != nil {
		return under(index("args", i), err)
	}
	return nil
}

// fields stores the n elements of a record, which are as many as it requires. If that fails it returns
// which element is at fault.
func (d *decoder) fields(p *plan, at unsafe.Pointer, n, depth int) (int, error) {
	var slab unsafe.Pointer
	for i := range p.fields {
		f := &p.fields[i]
		at, elem := unsafe.Add(at, f.offset), f.plan
		if i >= n {
			elem.clear(at)
			continue
		}
		if f.slot >= 0 && d.r.Kind() != KindNone {
			if slab == nil {
				if err := d.take(1, p.slab.Size()); err != nil {
					return i, err
				}
				slab = reflect.New(p.slab).UnsafePointer()
			}
			slot := unsafe.Add(slab, f.slot)
			*(*unsafe.Pointer)(at) = slot
			at, elem = slot, elem.elem
		}
		if err := d.value(elem, at, depth); err != nil {
			return i, err
		}
	}
	if extra := n - len(p.fields); extra > 0 {
		var s scanner
		end, err := s.elems(d.r.b, d.r.at, extra, depth)
		if err != nil {
			return len(p.fields), err
		}
		d.r.at = end
	}
	return 0, nil
}

func (d *decoder) slice(p *plan, at unsafe.Pointer, n, depth int) error {
	size := p.elem.size
	if err := d.take(n, size); err != nil {
		return err
	}
	*(*[]struct{})(at) = []struct{}{} // an empty slice of any type, which is not nil
	s := p.at(at)
	s.Grow(min(n, maxAhead/int(max(size, 1))+1))
	for i := range n {
		if i == s.Cap() {
			s.Grow(1) // by half or more
		}
		s.SetLen(i + 1)
		if err := d.value(p.elem, unsafe.Add(s.UnsafePointer(), uintptr(i)*size), depth); err != nil {
			return under(index("", i), err)
		}
	}
	return nil
}

func (d *decoder) mapping(p *plan, at unsafe.Pointer, n, depth int) error {
	const overhead = 16 // of an entry, about
	size := p.typ.Key().Size() + p.typ.Elem().Size() + overhead
	if err := d.take(n, size); err != nil {
		return err
	}
	m := reflect.MakeMapWithSize(p.typ, min(n, maxAhead/int(size)+1))
	key, elem := reflect.New(p.typ.Key()), reflect.New(p.typ.Elem())
	for i := range n {
		key.Elem().SetZero()
		elem.Elem().SetZero()
		if err := d.value(p.key, key.UnsafePointer(), depth); err != nil {
			return under(index("", i), under("key", err))
		}
		if p.elem != nil {
			if err := d.value(p.elem, elem.UnsafePointer(), depth); err != nil {
				return under(index("", i), under("value", err))
			}
		}
		if m.SetMapIndex(key.Elem(), elem.Elem()); m.Len() == i {
			return under(index("", i), ErrDuplicate)
		}
	}
	p.at(at).Set(m)
	return nil
}
