package data

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"
)

// A plan says how values of a Go type are read and written. It is made once for each type that
// somebody hands in, and never changed afterwards.
//
// Plans address fields by offset, with package unsafe: going through package reflect for each field
// takes twice the time.
type plan struct {
	op        op
	kind      Kind // of the value; KindNone for a pointer, any and Value
	optional  bool // none, or the end of the record, leaves it zero
	typ       reflect.Type
	size      uintptr
	key, elem *plan // of a map, slice or pointer; a map that is a set has no elem
	fields    []field
	required  int // how many elements a record must have at least

	// Optional numbers, strings and the like of one record are allocated together, as a struct.
	slab reflect.Type
}

// A field is one field of a record.
type field struct {
	name   string
	offset uintptr
	slot   int // offset in the slab, or -1
	plan   *plan
}

// An op is a way in which Go keeps values.
type op uint8

const (
	opBool op = iota
	opUint
	opInt // of all sizes, time.Duration included
	opFloat
	opString // a string or an enum value
	opBytes
	opAddr
	opSubnet
	opPort
	opTime
	opValue
	opAny
	opPointer
	opSlice
	opMap
	opRecord
)

// scalarTypes are the types that mean another thing than their reflect.Kind would.
var scalarTypes = map[reflect.Type]plan{
	reflect.TypeFor[Value]():         {op: opValue, optional: true},
	reflect.TypeFor[EnumName]():      {op: opString, kind: KindEnum},
	reflect.TypeFor[TransportPort](): {op: opPort, kind: KindPort},
	reflect.TypeFor[netip.Addr]():    {op: opAddr, kind: KindAddr},
	reflect.TypeFor[netip.Prefix]():  {op: opSubnet, kind: KindSubnet},
	reflect.TypeFor[time.Time]():     {op: opTime, kind: KindTime},
	reflect.TypeFor[time.Duration](): {op: opInt, kind: KindTimespan},
}

var byteType = reflect.TypeFor[byte]()

// plans holds the *plan of each reflect.Type that was handed in.
var plans sync.Map

func planOf(t reflect.Type) (*plan, error) {
	if p, ok := plans.Load(t); ok {
		return p.(*plan), nil
	}
	p, err := planner{}.plan(t, tagOptions{})
	if err != nil {
		return nil, err
	}
	plans.Store(t, p)
	return p, nil
}

// CheckType tells whether T has a place among values, as [Marshal] describes. Whoever takes a type
// from a caller can so refuse it at once, and not when the first value comes.
func CheckType[T any]() error {
	if _, err := planOf(reflect.TypeFor[T]()); err != nil {
		return under("", err)
	}
	return nil
}

// tagOptions is what may follow the name in a tag.
type tagOptions struct{ set, enum, optional bool }

func parseOptions(list string) (o tagOptions, err error) {
	for word := range strings.SplitSeq(list, ",") {
		switch word {
		case "":
		case "set":
			o.set = true
		case "enum":
			o.enum = true
		case "optional":
			o.optional = true
		default:
			return o, fmt.Errorf("tag option %q: want set, enum or optional", word)
		}
	}
	return o, nil
}

// A planner makes the plan of one type, and of those it is made of. It remembers what it has begun,
// for types that contain themselves: so a plan that it gets may be unfinished, but for the op.
type planner map[planKey]*plan

type planKey struct {
	typ     reflect.Type
	options tagOptions
}

func (b planner) plan(t reflect.Type, o tagOptions) (*plan, error) {
	key := planKey{t, o}
	if p := b[key]; p != nil {
		return p, nil
	}
	p := new(plan)
	if scalar, ok := scalarTypes[t]; ok {
		*p = scalar
	}
	p.typ, p.size = t, t.Size()
	b[key] = p
	var err error
	if _, ok := scalarTypes[t]; !ok {
		err = b.fill(p, &o)
	}
	if err == nil && o != (tagOptions{}) {
		err = fmt.Errorf("tag option that %v cannot have", t)
	}
	return p, err
}

// fill makes the plan of a type that is not one of scalarTypes. It takes away the options that it
// heeds.
func (b planner) fill(p *plan, o *tagOptions) (err error) {
	switch t := p.typ; t.Kind() {
	case reflect.Bool:
		p.op, p.kind = opBool, KindBool
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.op, p.kind = opUint, KindCount
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.op, p.kind = opInt, KindInt
	case reflect.Float32, reflect.Float64:
		p.op, p.kind = opFloat, KindReal
	case reflect.String:
		p.op, p.kind = opString, KindString
		if o.enum {
			p.kind, o.enum = KindEnum, false
		}
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return fmt.Errorf("no Zeek type for %v", t)
		}
		p.op, p.optional = opAny, true
	case reflect.Pointer:
		p.op, p.optional = opPointer, true
		p.elem, err = b.plan(t.Elem(), tagOptions{set: o.set, enum: o.enum})
		o.set, o.enum = false, false
		if err == nil && (p.elem.op == opPointer || p.elem.op == opAny) {
			return fmt.Errorf("no Zeek type for %v: what it points at is optional already", t)
		}
	case reflect.Slice:
		p.optional, o.optional = o.optional, false
		if t.Elem() == byteType {
			p.op, p.kind = opBytes, KindString
			return nil
		}
		p.op, p.kind = opSlice, KindVector
		if o.set {
			p.kind = KindSet
		}
		p.elem, err = b.plan(t.Elem(), tagOptions{enum: o.enum})
		o.set, o.enum = false, false
		if err != nil {
			return under("[]", err)
		}
	case reflect.Map:
		p.optional, o.optional = o.optional, false
		return b.fillMap(p)
	case reflect.Struct:
		p.op, p.kind = opRecord, KindVector
		if err := b.addFields(p, t, 0); err != nil {
			return err
		}
		if len(p.fields) == 0 && t.NumField() > 0 {
			return fmt.Errorf("no Zeek type for %v: no field of it is exported", t)
		}
		p.addSlab()
	default:
		return fmt.Errorf("no Zeek type for %v", t)
	}
	return err
}

func (b planner) fillMap(p *plan) (err error) {
	p.op, p.kind = opMap, KindTable
	if p.key, err = b.plan(p.typ.Key(), tagOptions{}); err == nil {
		err = checkKey(p.typ.Key())
	}
	if err != nil {
		return under("[]", under("key", err))
	}
	if v := p.typ.Elem(); v.Kind() == reflect.Struct && v.NumField() == 0 {
		p.kind = KindSet
		return nil
	}
	if p.elem, err = b.plan(p.typ.Elem(), tagOptions{}); err != nil {
		return under("[]", under("value", err))
	}
	return nil
}

// checkKey refuses keys that Go compares by where they are and not by what they hold.
func checkKey(t reflect.Type) error {
	if _, ok := scalarTypes[t]; ok {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface:
		return fmt.Errorf("%v within the key of a map", t)
	case reflect.Struct:
		for i := range t.NumField() {
			if err := checkKey(t.Field(i).Type); err != nil {
				return under(t.Field(i).Name, err)
			}
		}
	}
	return nil
}

// addFields adds the fields of the struct t, which is at an offset in the struct of the plan.
func (b planner) addFields(p *plan, t reflect.Type, offset uintptr) error {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("zeek")
		name, list, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		_, scalar := scalarTypes[f.Type]
		switch {
		case tag == "-":
			continue
		case f.Anonymous && !tagged && !scalar && f.Type.Kind() == reflect.Struct:
			if err := b.addFields(p, f.Type, offset+f.Offset); err != nil {
				return err
			}
			continue
		case !f.IsExported() && tagged:
			return under(name, errors.New("the field has a tag but is not exported"))
		case !f.IsExported():
			continue
		}
		o, err := parseOptions(list)
		if err != nil {
			return under(name, err)
		}
		elem, err := b.plan(f.Type, o)
		if err != nil {
			return under(name, err)
		}
		p.fields = append(p.fields, field{name: name, offset: offset + f.Offset, slot: -1, plan: elem})
		if !elem.optional {
			p.required = len(p.fields)
		}
	}
	return nil
}

// isScalar tells whether values of a type, which has a plan, hold no others.
func isScalar(t reflect.Type) bool {
	if scalar, ok := scalarTypes[t]; ok {
		return scalar.op != opValue
	}
	return t.Kind() <= reflect.Float64 || t.Kind() == reflect.String
}

// addSlab gives the fields that are pointers to scalars a place in the slab.
func (p *plan) addSlab() {
	var slots []reflect.StructField
	var owners []*field
	for i := range p.fields {
		if f := &p.fields[i]; f.plan.op == opPointer && isScalar(f.plan.typ.Elem()) {
			slots = append(slots, reflect.StructField{Name: fmt.Sprint("F", i), Type: f.plan.typ.Elem()})
			owners = append(owners, f)
		}
	}
	if len(slots) == 0 {
		return
	}
	p.slab = reflect.StructOf(slots)
	for i, f := range owners {
		f.slot = int(p.slab.Field(i).Offset)
	}
}
