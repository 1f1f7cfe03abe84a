package logs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A column is one field of a struct, or of a struct within it, as a column of a log. Like the plans of
// package wire/data it addresses fields by offset, for package reflect takes several times as long.
type column struct {
	zeek.Field
	steps []uintptr // offsets of pointers to structs on the way: nil there leaves it unset
	at    uintptr   // offset in the last struct
	pack  packer
}

// A packer appends what is at a place as a packed value.
type packer func(dst []byte, at unsafe.Pointer) ([]byte, error)

func fieldsOf(columns []column) []zeek.Field {
	fields := make([]zeek.Field, len(columns))
	for i := range columns {
		fields[i] = columns[i].Field
	}
	return fields
}

// appendRow appends a packed record.
func appendRow[T any](dst []byte, columns []column, row *T) (_ []byte, err error) {
	dst = zeek.AppendRecord(dst, len(columns))
	for i := range columns {
		c := &columns[i]
		at := unsafe.Pointer(row)
		for _, step := range c.steps {
			if at = *(*unsafe.Pointer)(unsafe.Add(at, step)); at == nil {
				break
			}
		}
		if at == nil {
			dst = zeek.AppendUnset(dst, zeek.LogType(c.Type))
			continue
		}
		if dst, err = c.pack(dst, unsafe.Add(at, c.at)); err != nil {
			return dst, fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return dst, nil
}

// columnsOf makes the columns of a struct.
func columnsOf(t reflect.Type) ([]column, error) {
	if _, scalar := scalars[t]; scalar || t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("rows of a log are structs, not %v", t)
	}
	var f flattener
	if err := f.fields(t, "", nil, 0); err != nil {
		return nil, err
	}
	if len(f.columns) == 0 {
		return nil, fmt.Errorf("%v has no columns", t)
	}
	return f.columns, nil
}

// A flattener collects the columns of a struct and of those within it.
type flattener struct {
	columns []column
	within  []reflect.Type // the structs that it is in
}

// fields adds the fields of the struct t, which is at an offset behind some pointers.
func (f *flattener) fields(t reflect.Type, prefix string, steps []uintptr, at uintptr) error {
	if slices.Contains(f.within, t) {
		return fmt.Errorf("%v contains itself", t)
	}
	f.within = append(f.within, t)
	defer func() { f.within = f.within[:len(f.within)-1] }()
	for i := range t.NumField() {
		field := t.Field(i)
		tag, tagged := field.Tag.Lookup("zeek")
		name, options, _ := strings.Cut(tag, ",")
		if name == "" {
			name = field.Name
		}
		name = prefix + name
		_, scalar := scalars[field.Type]
		var err error
		switch {
		case tag == "-":
		case field.Anonymous && !tagged && !scalar && field.Type.Kind() == reflect.Struct:
			err = f.fields(field.Type, prefix, steps, at+field.Offset)
		case !field.IsExported() && tagged:
			err = fmt.Errorf("column %s: the field has a tag but is not exported", name)
		case field.IsExported():
			err = f.field(field.Type, name, options, steps, at+field.Offset)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// field adds one field, which may be a struct or a pointer to one.
func (f *flattener) field(t reflect.Type, name, options string, steps []uintptr, at uintptr) error {
	inner, behind := t, t.Kind() == reflect.Pointer
	if behind {
		inner = t.Elem()
	}
	if _, scalar := scalars[inner]; !scalar && inner.Kind() == reflect.Struct {
		switch {
		case options != "":
			return fmt.Errorf("column %s: tag option %q, which %v cannot have", name, options, t)
		case behind:
			return f.fields(inner, name+".", append(slices.Clip(steps), at), 0)
		}
		return f.fields(inner, name+".", steps, at)
	}
	c := column{Field: zeek.Field{Name: name}, steps: steps, at: at}
	o, err := parseTag(options)
	if err == nil {
		err = c.leaf(t, &o)
	}
	if err == nil && o != (tag{}) {
		err = fmt.Errorf("tag option that %v cannot have", t)
	}
	if err == nil && slices.ContainsFunc(f.columns, func(other column) bool { return other.Name == name }) {
		err = errors.New("there are two of that name")
	}
	if err != nil {
		return fmt.Errorf("column %s: %w", name, err)
	}
	f.columns = append(f.columns, c)
	return nil
}

// A tag is what may follow the name in the tag of a field.
type tag struct{ set, enum, optional bool }

func parseTag(list string) (t tag, err error) {
	for word := range strings.SplitSeq(list, ",") {
		switch word {
		case "":
		case "set":
			t.set = true
		case "enum":
			t.enum = true
		case "optional":
			t.optional = true
		default:
			return t, fmt.Errorf("tag option %q: want set, enum or optional", word)
		}
	}
	return t, nil
}

// leaf sets the type of a column and how its values are packed, and takes away the options that it heeds.
func (c *column) leaf(t reflect.Type, o *tag) error {
	if t.Kind() == reflect.Pointer {
		if err := c.leaf(t.Elem(), o); err != nil {
			return err
		}
		if c.Optional {
			return fmt.Errorf("%v: what it points at is optional already", t)
		}
		c.Optional, c.pack = true, optional(zeek.LogType(c.Type), c.pack)
		return nil
	}
	if s, ok := scalarOf(t, o); ok {
		c.Type, c.pack = uint64(s.typ), s.pack
		if o.optional && t.Kind() == reflect.Slice {
			c.mayBeNil(o)
		}
		return nil
	}
	list, elem := zeek.LogVector, t
	switch {
	case t.Kind() == reflect.Slice:
		if elem = t.Elem(); o.set {
			list, o.set = zeek.LogSet, false
		}
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct && t.Elem().NumField() == 0:
		list, elem = zeek.LogSet, t.Key()
	default:
		return fmt.Errorf("values of type %v cannot be logged", t)
	}
	hole := elem.Kind() == reflect.Pointer
	if hole {
		elem = elem.Elem()
	}
	s, ok := scalarOf(elem, o)
	if !ok || hole && t.Kind() == reflect.Map {
		return fmt.Errorf("values of type %v cannot be logged: elements hold no others", t)
	}
	c.Type, c.Subtype = uint64(list), uint64(s.typ)
	pack := s.pack
	if hole {
		pack = optional(s.typ, pack)
	}
	if t.Kind() == reflect.Map {
		c.pack = packMap(t, s.pack)
	} else {
		c.pack = packSlice(t, list, pack)
	}
	if o.optional {
		c.mayBeNil(o)
	}
	return nil
}

// mayBeNil leaves the column of a slice or map unset if that is nil, as its first word is then.
func (c *column) mayBeNil(o *tag) {
	c.Optional, o.optional = true, false
	set, t := c.pack, zeek.LogType(c.Type)
	c.pack = func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		if *(*unsafe.Pointer)(at) == nil {
			return zeek.AppendUnset(dst, t), nil
		}
		return set(dst, at)
	}
}

// optional packs what a pointer points at, if anything.
func optional(t zeek.LogType, pack packer) packer {
	return func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		if at = *(*unsafe.Pointer)(at); at == nil {
			return zeek.AppendUnset(dst, t), nil
		}
		return pack(dst, at)
	}
}

// A scalar is a type that holds no others.
type scalar struct {
	typ  zeek.LogType
	pack packer
}

// scalars are the types that mean another thing than their reflect.Kind would.
var scalars = map[reflect.Type]scalar{
	reflect.TypeFor[time.Time](): {zeek.LogTime, func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		t := *(*time.Time)(at)
		if !time.Unix(0, t.UnixNano()).Equal(t) {
			return dst, fmt.Errorf("the time %s does not fit 64 bits of nanoseconds", t.Format(time.RFC3339))
		}
		return zeek.AppendLogTime(dst, t), nil
	}},
	reflect.TypeFor[time.Duration](): {zeek.LogInterval, func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		return zeek.AppendLogInterval(dst, *(*time.Duration)(at)), nil
	}},
	reflect.TypeFor[netip.Addr](): {zeek.LogAddr, func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		a := *(*netip.Addr)(at)
		if !a.IsValid() {
			return dst, errors.New("the address is not valid")
		}
		return zeek.AppendLogAddr(dst, a), nil
	}},
	reflect.TypeFor[netip.Prefix](): {zeek.LogSubnet, func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		p := *(*netip.Prefix)(at)
		if !p.IsValid() {
			return dst, errors.New("the subnet is not valid")
		}
		return zeek.AppendLogSubnet(dst, p), nil
	}},
	reflect.TypeFor[data.TransportPort](): {zeek.LogPort, func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		p := *(*data.TransportPort)(at)
		return zeek.AppendLogPort(dst, p.Number, p.Proto), nil
	}},
	reflect.TypeFor[data.EnumName](): {zeek.LogEnum, text(zeek.LogEnum)},
}

// scalarOf returns what a type is if it holds no others.
func scalarOf(t reflect.Type, o *tag) (scalar, bool) {
	if s, ok := scalars[t]; ok {
		return s, true
	}
	switch t.Kind() {
	case reflect.Bool:
		return scalar{zeek.LogBool, func(dst []byte, at unsafe.Pointer) ([]byte, error) {
			return zeek.AppendLogBool(dst, *(*bool)(at)), nil
		}}, true
	case reflect.String:
		if o.enum {
			o.enum = false
			return scalar{zeek.LogEnum, text(zeek.LogEnum)}, true
		}
		return scalar{zeek.LogString, text(zeek.LogString)}, true
	case reflect.Slice:
		if t.Elem() == reflect.TypeFor[byte]() {
			return scalar{zeek.LogString, func(dst []byte, at unsafe.Pointer) ([]byte, error) {
				return zeek.AppendLogText(dst, zeek.LogString, *(*[]byte)(at)), nil
			}}, true
		}
	case reflect.Int:
		return signed[int](), true
	case reflect.Int8:
		return signed[int8](), true
	case reflect.Int16:
		return signed[int16](), true
	case reflect.Int32:
		return signed[int32](), true
	case reflect.Int64:
		return signed[int64](), true
	case reflect.Uint:
		return unsigned[uint](), true
	case reflect.Uint8:
		return unsigned[uint8](), true
	case reflect.Uint16:
		return unsigned[uint16](), true
	case reflect.Uint32:
		return unsigned[uint32](), true
	case reflect.Uint64:
		return unsigned[uint64](), true
	case reflect.Float32:
		return float[float32](), true
	case reflect.Float64:
		return float[float64](), true
	}
	return scalar{}, false
}

func text(t zeek.LogType) packer {
	return func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		return zeek.AppendLogText(dst, t, *(*string)(at)), nil
	}
}

func signed[N int | int8 | int16 | int32 | int64]() scalar {
	return scalar{zeek.LogInt, func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		return zeek.AppendLogInt(dst, int64(*(*N)(at))), nil
	}}
}

func unsigned[N uint | uint8 | uint16 | uint32 | uint64]() scalar {
	return scalar{zeek.LogCount, func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		return zeek.AppendLogCount(dst, uint64(*(*N)(at))), nil
	}}
}

func float[N float32 | float64]() scalar {
	return scalar{zeek.LogDouble, func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		return zeek.AppendLogFloat(dst, zeek.LogDouble, float64(*(*N)(at))), nil
	}}
}

// containerHead is what stands before the elements of a set or vector: type, subtype, whether it is set,
// and, in the last eight bytes, how many they are.
const containerHead = 9 + 8

// packSlice packs slices of type t. Of equal elements of a set the first stays.
func packSlice(t reflect.Type, list zeek.LogType, pack packer) packer {
	size := t.Elem().Size()
	return func(dst []byte, at unsafe.Pointer) (_ []byte, err error) {
		// All slices are laid out alike. What its elements are matters below only.
		elems := *(*[]struct{})(at)
		first, start := unsafe.Pointer(unsafe.SliceData(elems)), len(dst)
		dst = zeek.AppendLogContainer(dst, list, len(elems))
		var seen map[string]struct{}
		if list == zeek.LogSet && len(elems) > 1 {
			seen = make(map[string]struct{}, len(elems))
		}
		for i := range elems {
			before := len(dst)
			if dst, err = pack(dst, unsafe.Add(first, uintptr(i)*size)); err != nil {
				return dst, fmt.Errorf("[%d]: %w", i, err)
			}
			if seen == nil {
				continue
			}
			if _, again := seen[string(dst[before:])]; again {
				dst = dst[:before]
			} else {
				seen[string(dst[before:])] = struct{}{}
			}
		}
		if seen != nil {
			binary.BigEndian.PutUint64(dst[start+containerHead-8:], uint64(len(seen)))
		}
		return dst, nil
	}
}

// packMap packs maps of type t, which are sets, in the order of their packed elements.
func packMap(t reflect.Type, pack packer) packer {
	return func(dst []byte, at unsafe.Pointer) ([]byte, error) {
		m, key := reflect.NewAt(t, at).Elem(), reflect.New(t.Key())
		elems := make([][]byte, 0, m.Len())
		for entry := m.MapRange(); entry.Next(); {
			key.Elem().SetIterKey(entry)
			elem, err := pack(nil, key.UnsafePointer())
			if err != nil {
				return dst, err
			}
			elems = append(elems, elem)
		}
		slices.SortFunc(elems, bytes.Compare)
		elems = slices.CompactFunc(elems, bytes.Equal) // addresses that are one as IPv4, or -0 and 0
		dst = zeek.AppendLogContainer(dst, zeek.LogSet, len(elems))
		for _, elem := range elems {
			dst = append(dst, elem...)
		}
		return dst, nil
	}
}
