package fuzz

import (
	"bytes"
	"cmp"
	"errors"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

func addValues(f *testing.F, add func(b []byte)) {
	f.Helper()
	for _, v := range values() {
		add(data.AppendValue(nil, v))
	}
	add([]byte{byte(data.KindSet), 2, 1, 1, 1, 2})                      // a duplicate
	add([]byte{byte(data.KindPort), 0, 80, 4})                          // no such protocol
	add([]byte{byte(data.KindTable), 2, 0, 0, 0})                       // one value too few
	add([]byte{byte(data.KindVector), 0xff, 0xff, 0xff, 0xff, 0x0f, 0}) // a count from nowhere
	add(append(bytes.Repeat([]byte{byte(data.KindVector), 1}, data.MaxDepth+1), 0))
	addPayloads(f, add)
}

// All that read an encoded value agree on it: the validator, both decoders, and the reader.
func FuzzValue(f *testing.F) {
	addValues(f, func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, b []byte) {
		valid := data.Validate(b)
		var strict, lenient data.Value
		var strictErr, lenientErr error
		bounded(t, 2*len(b), func() {
			strict, strictErr = data.DecodeValue(b)
			lenient, lenientErr = data.Decoder{Lenient: true}.Decode(b)
		})
		for _, err := range []error{valid, strictErr, lenientErr} {
			var syntax *data.SyntaxError
			if err != nil && (!errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(b)) {
				t.Fatalf("%#v", err)
			}
		}
		duplicate := errors.Is(strictErr, data.ErrDuplicate) // which the validator does not look for
		if (valid == nil) != (strictErr == nil) && !duplicate {
			t.Fatalf("the validator says %v, the decoder %v", valid, strictErr)
		}
		if walked := walk(t, b); (walked == nil) != (valid == nil) {
			t.Fatalf("the validator says %v, the reader %v", valid, walked)
		}
		checkRaw(t, b, valid)
		if valid == nil {
			checkTree(t, b, strict, duplicate)
		}
		if lenientErr != nil {
			if strictErr == nil || valid == nil {
				t.Fatalf("strict is %v, lenient is %v", strictErr, lenientErr)
			}
			return
		}
		checkStable(t, lenient)
		if strictErr == nil && (!strict.Equal(lenient) || strict.Hash() != lenient.Hash()) {
			t.Fatalf("strict %v, lenient %v", strict, lenient)
		}
	})
}

// checkStable checks that a decoded value is written in a form that every reader takes for the same.
func checkStable(t *testing.T, v data.Value) {
	t.Helper()
	if err := data.CheckDepth(v); err != nil {
		t.Fatal(err)
	}
	b := data.AppendValue(nil, v)
	back, err := data.DecodeValue(b)
	if err != nil || !back.Equal(v) || back.Hash() != v.Hash() {
		t.Fatalf("%v is written as %x and read as %v, %v", v, b, back, err)
	}
	if again := data.AppendValue(nil, back); !bytes.Equal(again, b) {
		t.Fatalf("%x, then %x", b, again)
	}
}

// checkRaw checks what splits one value off: Skip, Reader.Raw and ParseValue find the same end.
func checkRaw(t *testing.T, b []byte, valid error) {
	t.Helper()
	rest, skipErr := data.Skip(b)
	r := data.NewReader(b)
	raw := r.Raw()
	if (skipErr == nil) != (r.Err() == nil) || !bytes.Equal(rest, r.Rest()) {
		t.Fatalf("Skip leaves %x, %v; Raw leaves %x, %v", rest, skipErr, r.Rest(), r.Err())
	}
	if whole := skipErr == nil && len(rest) == 0; whole != (valid == nil) {
		t.Fatalf("the validator says %v, Skip %v with %d bytes left", valid, skipErr, len(rest))
	}
	if skipErr == nil && !bytes.Equal(append(raw, rest...), b) {
		t.Fatalf("%x and %x are not what was read", raw, rest)
	}
	_, parseRest, parseErr := data.ParseValue(b)
	if parseErr == nil && !bytes.Equal(parseRest, rest) || parseErr != nil && skipErr == nil && !errors.Is(parseErr, data.ErrDuplicate) {
		t.Fatalf("Skip leaves %x, %v; ParseValue %x, %v", rest, skipErr, parseRest, parseErr)
	}
}

// walk reads a value leaf by leaf and returns what is wrong with it.
func walk(t *testing.T, b []byte) error {
	t.Helper()
	r := data.NewReader(b)
	var elems func(n, depth int)
	elems = func(n, depth int) {
		for ; n > 0 && r.Err() == nil; n-- {
			switch k := r.Kind(); k {
			case data.KindSet, data.KindTable, data.KindVector:
				if depth == data.MaxDepth {
					r.Fail(data.ErrDepth)
					return
				}
				count := header(&r, k)
				if count > r.Len() {
					t.Fatalf("%d values announced and %d bytes left", count, r.Len())
				}
				elems(count, depth+1)
			default:
				leaf(&r, k)
			}
		}
	}
	elems(1, 0)
	return r.Finish()
}

// header reads the beginning of a container and returns how many values follow.
func header(r *data.Reader, k data.Kind) int {
	switch k {
	case data.KindSet:
		return r.Set()
	case data.KindTable:
		return 2 * r.Table()
	}
	return r.Vector()
}

// leaf reads a value of kind k, which is no container, with the method for that kind.
func leaf(r *data.Reader, k data.Kind) data.Value {
	switch k {
	case data.KindBool:
		return data.Bool(r.Bool())
	case data.KindCount:
		return data.Count(r.Count())
	case data.KindInt:
		return data.Int(r.Int())
	case data.KindReal:
		return data.Real(r.Real())
	case data.KindString:
		return data.String(string(r.Bytes()))
	case data.KindEnum:
		return data.Enum(string(r.Enum()))
	case data.KindAddr:
		return data.Addr(r.Addr())
	case data.KindSubnet:
		r.Subnet()
	case data.KindPort:
		return data.Port(r.Port())
	case data.KindTime:
		return data.Timestamp(r.Timestamp())
	case data.KindTimespan:
		return data.Timespan(r.Timespan())
	default:
		r.None()
	}
	return data.None()
}

// checkTree builds the tree of a valid value by way of the reader and the constructors, and checks it
// against what the strict decoder says.
func checkTree(t *testing.T, b []byte, strict data.Value, duplicate bool) {
	t.Helper()
	r := data.NewReader(b)
	unique := true
	var tree func() data.Value
	tree = func() data.Value {
		k := r.Kind()
		switch k {
		case data.KindSubnet:
			return r.Value() // data.Subnet would clear the host bits, which the decoder keeps
		case data.KindSet, data.KindTable, data.KindVector:
		default:
			return leaf(&r, k)
		}
		elems := make([]data.Value, header(&r, k))
		for i := range elems {
			elems[i] = tree()
		}
		switch k {
		case data.KindSet:
			set := data.Set(elems...)
			unique = unique && set.Len() == len(elems)
			return set
		case data.KindVector:
			return data.Vector(elems...)
		}
		entries := make([]data.Entry, len(elems)/2)
		for i := range entries {
			entries[i] = data.Entry{Key: elems[2*i], Value: elems[2*i+1]}
		}
		table := data.Table(entries...)
		unique = unique && table.Len() == len(entries)
		return table
	}
	read := tree()
	if err := r.Finish(); err != nil || unique == duplicate {
		t.Fatalf("the reader says %v, %v, without duplicates: %v; the decoder disagrees", read, err, unique)
	}
	if unique && (!read.Equal(strict) || read.Hash() != strict.Hash()) {
		t.Fatalf("the reader says %v, the decoder %v", read, strict)
	}
}

// naturally compares values of kinds whose order is that of Go.
func naturally(v, w data.Value) (c int, ok bool) {
	if v.Kind() != w.Kind() {
		return cmp.Compare(v.Kind(), w.Kind()), true
	}
	switch v.Kind() {
	case data.KindCount:
		return compareBy(v, w, data.Value.AsCount), true
	case data.KindInt:
		return compareBy(v, w, data.Value.AsInt), true
	case data.KindReal:
		return compareBy(v, w, data.Value.AsReal), true
	case data.KindString:
		return compareBy(v, w, data.Value.AsString), true
	case data.KindEnum:
		return compareBy(v, w, data.Value.AsEnum), true
	case data.KindTime:
		return compareBy(v, w, data.Value.AsTimestamp), true
	case data.KindTimespan:
		return compareBy(v, w, data.Value.AsTimespan), true
	}
	return 0, false
}

func compareBy[T cmp.Ordered](v, w data.Value, as func(data.Value) (T, bool)) int {
	x, _ := as(v)
	y, _ := as(w)
	return cmp.Compare(x, y)
}

// Compare is a total order, Equal and Hash agree with it, and so do sets and tables.
func FuzzOrder(f *testing.F) {
	seeds := values()
	for i := range seeds {
		f.Add(data.AppendValue(nil, seeds[i]), data.AppendValue(nil, seeds[(i+1)%len(seeds)]), data.AppendValue(nil, seeds[(i+7)%len(seeds)]))
	}
	f.Add(data.AppendInt(nil, 1), data.AppendInt(nil, -1), data.AppendInt(nil, 0))
	f.Add([]byte{4, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{4, 0x80, 0, 0, 0, 0, 0, 0, 0}, []byte{4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		var vs []data.Value
		for _, b := range [][]byte{first, second, third} {
			v, err := data.Decoder{Lenient: true}.Decode(b)
			if err != nil {
				return
			}
			vs = append(vs, v)
		}
		for _, v := range vs {
			for _, w := range vs {
				c := v.Compare(w)
				if c != -w.Compare(v) || (c == 0) != v.Equal(w) || c < -1 || c > 1 {
					t.Fatalf("%v and %v compare to %d, the other way to %d", v, w, c, w.Compare(v))
				}
				if want, ok := naturally(v, w); ok && c != want {
					t.Fatalf("%v and %v compare to %d, want %d", v, w, c, want)
				}
				if c == 0 && v.Hash() != w.Hash() {
					t.Fatalf("%v and %v are equal and have different hashes", v, w)
				}
				if c != 0 && bytes.Equal(data.AppendValue(nil, v), data.AppendValue(nil, w)) {
					t.Fatalf("%v and %v differ and are written alike", v, w)
				}
				for _, x := range vs {
					if c <= 0 && w.Compare(x) <= 0 && v.Compare(x) > 0 {
						t.Fatalf("%v, %v, %v: not transitive", v, w, x)
					}
				}
			}
		}
		set := data.Set(vs...)
		table := data.Table(data.Entry{Key: vs[0], Value: vs[1]}, data.Entry{Key: vs[1], Value: vs[2]}, data.Entry{Key: vs[2], Value: vs[0]})
		if data.CheckDepth(set) != nil || data.CheckDepth(table) != nil {
			return
		}
		for _, v := range vs {
			_, found := table.Lookup(v)
			if !set.Contains(v) || !found {
				t.Fatalf("%v is not in %v or %v", v, set, table)
			}
		}
		if v, _ := table.Lookup(vs[2]); !v.Equal(vs[0]) {
			t.Fatalf("%v: the last of equal keys does not count", table)
		}
		for i, elems := 1, set.Elems(); i < len(elems); i++ {
			if elems[i-1].Compare(elems[i]) >= 0 {
				t.Fatalf("%v is not sorted", set)
			}
		}
		checkStable(t, set)
		checkStable(t, table)
		if swapped := data.Set(vs[2], vs[0], vs[1]); !swapped.Equal(set) || swapped.Hash() != set.Hash() {
			t.Fatalf("%v and %v differ", swapped, set)
		}
	})
}
