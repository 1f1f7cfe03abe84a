package data

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"time"
	"unsafe"
)

// Marshal returns x as a value. Go types stand for kinds of values as follows, in both directions:
//
//	bool                            boolean
//	uint, uint8 to uint64           count
//	int, int8 to int64              integer
//	float32, float64                real
//	string, []byte                  string
//	EnumName, string with ",enum"   enum value
//	netip.Addr, netip.Prefix        address, subnet
//	TransportPort                   port
//	time.Time, time.Duration        timestamp, timespan
//	[]T                             vector; set with ",set"
//	map[K]struct{}                  set
//	map[K]V                         table
//	struct                          vector, as Zeek sends records
//	*T                              none if nil, else what T stands for
//	Value                           itself
//	any                             none if nil, else what it holds; read as a Value
//
// A type with a name of its own, such as type Level int, stands for what the type under it does. The
// fields of a struct are the elements of the vector in the order of their declaration, since records
// have no names on the wire. A tag gives a field its Zeek name, for errors, and options behind it:
//
//	UID     string        `zeek:"uid"`
//	Service *string       `zeek:"service"`               // optional
//	Proto   string        `zeek:"proto,enum"`            // also for *string and []string
//	Ports   []uint16      `zeek:"ports,set"`             // sorted, and without duplicates
//	Parents []string      `zeek:"parents,set,optional"`  // a slice or map: none if nil
//	Cache   *big.Int      `zeek:"-"`                     // left out
//
// Fields that are not exported are left out. An embedded struct without a tag stands for its fields,
// with a tag it is a record of its own. A struct as the key of a map is what Zeek makes of several
// indices: set[addr, port] is a map[struct{ Host netip.Addr; Port TransportPort }]struct{}.
//
// It is an error to pass what values cannot hold: an address or subnet that is not valid, such as
// the zero netip.Addr, a time before 1677 or after 2262, such as the zero time.Time, a map with two
// keys that are one as values, or what nests deeper than [MaxDepth]. Errors are [*FieldError].
func Marshal(x any) (Value, error) {
	b, err := Append(nil, x)
	if err != nil {
		return Value{}, err
	}
	return DecodeValue(b)
}

// Append appends the encoding of x, of which [Marshal] says what it is, without building a tree. After
// an error it returns dst as it was. A pointer to x does the same with one allocation less.
func Append(dst []byte, x any) ([]byte, error) {
	out, err := appendGo(dst, reflect.ValueOf(x), 0)
	if err != nil {
		return dst, under("", err)
	}
	return out, nil
}

// appendGo appends what an interface holds.
func appendGo(dst []byte, x reflect.Value, depth int) ([]byte, error) {
	if !x.IsValid() {
		return AppendNone(dst), nil
	}
	p, err := planOf(x.Type())
	switch {
	case err != nil:
		return dst, err
	case p.op != opPointer:
		at := reflect.New(p.typ)
		at.Elem().Set(x)
		return p.append(dst, at.UnsafePointer(), depth)
	case x.IsNil():
		return AppendNone(dst), nil
	}
	return p.elem.append(dst, x.UnsafePointer(), depth)
}

// append appends what is at a place, which so many containers surround.
func (p *plan) append(dst []byte, at unsafe.Pointer, depth int) ([]byte, error) {
	// Pointers, interfaces, slices and maps have in common that the first word is nil if they are.
	if p.optional && p.op != opValue && *(*unsafe.Pointer)(at) == nil {
		return AppendNone(dst), nil
	}
	switch p.op {
	case opBool:
		return AppendBool(dst, *(*bool)(at)), nil
	case opUint:
		if p.size == 8 {
			return appendNumber(dst, p.kind, *(*uint64)(at)), nil
		}
		return appendNumber(dst, p.kind, p.at(at).Uint()), nil
	case opInt:
		if p.size == 8 {
			return appendNumber(dst, p.kind, *(*uint64)(at)), nil
		}
		return appendNumber(dst, p.kind, uint64(p.at(at).Int())), nil
	case opFloat:
		return AppendReal(dst, p.at(at).Float()), nil
	case opString:
		return appendText(dst, p.kind, *(*string)(at)), nil
	case opBytes:
		return appendText(dst, p.kind, *(*[]byte)(at)), nil
	case opAddr:
		a := *(*netip.Addr)(at)
		if !a.IsValid() {
			return dst, errors.New("the address is not valid")
		}
		return AppendAddr(dst, a), nil
	case opSubnet:
		s := *(*netip.Prefix)(at)
		if !s.IsValid() {
			return dst, errors.New("the subnet is not valid")
		}
		return AppendValue(dst, Subnet(s)), nil
	case opPort:
		port := *(*TransportPort)(at)
		return AppendPort(dst, port.Number, port.Proto), nil
	case opTime:
		t := *(*time.Time)(at)
		ns := t.UnixNano()
		if !time.Unix(0, ns).Equal(t) {
			return dst, fmt.Errorf("the time %s does not fit 64 bits of nanoseconds", t.Format(time.RFC3339))
		}
		return appendNumber(dst, p.kind, uint64(ns)), nil
	case opValue:
		v := *(*Value)(at)
		if v.kind.container() && !fits(v, MaxDepth-depth) {
			return dst, ErrDepth
		}
		return AppendValue(dst, v), nil
	case opAny:
		return appendGo(dst, reflect.ValueOf(*(*any)(at)), depth)
	case opPointer:
		return p.elem.append(dst, *(*unsafe.Pointer)(at), depth)
	}
	if depth >= MaxDepth {
		return dst, ErrDepth
	}
	switch p.op {
	case opSlice:
		return p.appendSlice(dst, at, depth+1)
	case opMap:
		return p.appendMap(dst, at, depth+1)
	}
	return p.appendRecord(dst, at, depth+1)
}

// at returns what is at a place for package reflect.
func (p *plan) at(at unsafe.Pointer) reflect.Value { return reflect.NewAt(p.typ, at).Elem() }

func (p *plan) appendRecord(dst []byte, at unsafe.Pointer, depth int) (_ []byte, err error) {
	dst = AppendVectorHeader(dst, len(p.fields))
	for i := range p.fields {
		f := &p.fields[i]
		if dst, err = f.plan.append(dst, unsafe.Add(at, f.offset), depth); err != nil {
			return dst, under(f.name, err)
		}
	}
	return dst, nil
}

func (p *plan) appendSlice(dst []byte, at unsafe.Pointer, depth int) (_ []byte, err error) {
	start := len(dst)
	slice := p.at(at)
	n, first := slice.Len(), slice.UnsafePointer()
	dst = appendHeader(dst, p.kind, uint32(n))
	for i := range n {
		if dst, err = p.elem.append(dst, unsafe.Add(first, uintptr(i)*p.elem.size), depth); err != nil {
			return dst, under(index("", i), err)
		}
	}
	if p.kind == KindSet && n > 1 {
		return appendSorted(dst, start)
	}
	return dst, nil
}

func (p *plan) appendMap(dst []byte, at unsafe.Pointer, depth int) (_ []byte, err error) {
	start := len(dst)
	m := p.at(at)
	dst = appendHeader(dst, p.kind, uint32(m.Len()))
	key, elem := reflect.New(p.typ.Key()), reflect.New(p.typ.Elem())
	for entry := m.MapRange(); entry.Next(); {
		key.Elem().SetIterKey(entry)
		if dst, err = p.key.append(dst, key.UnsafePointer(), depth); err != nil {
			return dst, under("[]", under("key", err))
		}
		if p.elem == nil {
			continue
		}
		elem.Elem().SetIterValue(entry)
		if dst, err = p.elem.append(dst, elem.UnsafePointer(), depth); err != nil {
			return dst, under("[]", under("value", err))
		}
	}
	if m.Len() > 1 {
		return appendSorted(dst, start)
	}
	return dst, nil
}

// appendSorted brings the set or table that begins at start into order. Of equal elements of a set
// one stays; equal keys of a table are an error, since it would be chance which of them stays.
func appendSorted(dst []byte, start int) ([]byte, error) {
	d := Decoder{Lenient: Kind(dst[start]) == KindSet}
	v, _, err := d.parseAt(dst, start)
	if err != nil {
		var s *SyntaxError
		if errors.As(err, &s) {
			err = s.Err // where it is in dst tells nobody anything
		}
		return dst, err
	}
	return AppendValue(dst[:start], v), nil
}
