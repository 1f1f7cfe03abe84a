package data_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
)

// mangled encodes v in another way: sets and tables in any order, lengths longer than they need be, true
// as any byte, and so on. It tells whether it did so anywhere.
func mangled(t *rapid.T, v data.Value) (b []byte, other bool) {
	count := func(n int) {
		for ; n >= 0x80; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		if !rapid.Bool().Draw(t, "long length") {
			b = append(b, byte(n))
			return
		}
		b, other = append(b, byte(n)|0x80, 0), true
	}
	inner := func(v data.Value) []byte {
		x, o := mangled(t, v)
		other = other || o
		return x
	}
	b = append(b, byte(v.Kind()))
	switch v.Kind() {
	case data.KindString, data.KindEnum:
		count(v.Len())
		s, _ := v.AsString()
		name, _ := v.AsEnum()
		b = append(b, s+name...)
	case data.KindBool:
		yes, _ := v.AsBool()
		b = append(b, 0)
		if yes {
			b[1] = rapid.ByteRange(1, 255).Draw(t, "true")
			other = b[1] != 1
		}
	case data.KindPort:
		b = data.AppendValue(nil, v)
		if _, proto, _ := v.AsPort(); proto == data.ProtoUnknown {
			b[3] = rapid.SampledFrom([]byte{0, 4, 255}).Draw(t, "protocol")
			other = b[3] != 0
		}
	case data.KindVector:
		count(v.Len())
		for _, e := range v.Elems() {
			b = append(b, inner(e)...)
		}
	case data.KindSet, data.KindTable:
		elems, values := slices.Clone(v.Elems()), map[int]data.Value{}
		for i, e := range v.Entries() {
			elems, values[i] = append(elems, e.Key), e.Value
		}
		count(len(elems))
		order := make([]int, len(elems))
		for i := range order {
			order[i] = i
		}
		order = rapid.Permutation(order).Draw(t, "order")
		other = other || !slices.IsSorted(order)
		for _, i := range order {
			b = append(b, inner(elems[i])...)
			if v.Kind() == data.KindTable {
				b = append(b, inner(values[i])...)
			}
		}
	default:
		b = data.AppendValue(nil, v)
	}
	return b, other
}

// What comes in is brought into the one form that AppendValue writes, and is itself what is returned if
// it had that form.
func TestCanonical(t *testing.T) {
	others := 0
	rapid.Check(t, func(t *rapid.T) {
		v := datatest.Value(3).Draw(t, "value")
		want := data.AppendValue(nil, v)
		b, other := mangled(t, v)
		if other == bytes.Equal(b, want) {
			t.Fatalf("%v: mangled is %v, but %x and %x", v, other, b, want)
		}
		if other {
			others++
		}
		got, err := data.Canonical(b)
		if err != nil {
			t.Fatalf("%v as %x: %v", v, b, err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%v as %x:\ngot  %x\nwant %x", v, b, got, want)
		}
		if same := &got[0] == &b[0]; same == other {
			t.Fatalf("%v as %x: the same bytes are returned: %v", v, b, same)
		}
	})
	if others == 0 {
		t.Fatal("no value had another form")
	}
}

// Bytes from anywhere are refused or accepted as Decode does, and the result is stable.
func TestCanonicalOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := data.AppendValue(nil, datatest.Value(3).Draw(t, "value"))
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		b = b[:rapid.IntRange(0, len(b)).Draw(t, "length")]
		got, err := data.Canonical(b)
		v, lenient := data.Decoder{Lenient: true}.Decode(b)
		if errors.Is(err, data.ErrDuplicate) {
			// It was found before what may follow the value.
			_, _, lenient := data.Decoder{Lenient: true}.Parse(b)
			if _, strict := data.DecodeValue(b); lenient != nil || strict == nil {
				t.Fatalf("%x: no duplicates: %v, %v", b, lenient, strict)
			}
			return
		}
		if (err == nil) != (lenient == nil) {
			t.Fatalf("%x: %v, but Decode: %v", b, err, lenient)
		}
		if err == nil && !bytes.Equal(got, data.AppendValue(nil, v)) {
			t.Fatalf("%x: got %x, want %x", b, got, data.AppendValue(nil, v))
		}
		if err == nil && data.HasNaN(got) != hasNaN(v) {
			t.Fatalf("%x: HasNaN is %v", got, data.HasNaN(got))
		}
		data.HasNaN(b)
	})
}

func hasNaN(v data.Value) bool {
	if f, ok := v.AsReal(); ok {
		return math.IsNaN(f)
	}
	for _, e := range v.Entries() {
		if hasNaN(e.Key) || hasNaN(e.Value) {
			return true
		}
	}
	return slices.ContainsFunc(v.Elems(), hasNaN)
}

func TestCanonicalEdges(t *testing.T) {
	deep := func(levels int) []byte {
		return append(bytes.Repeat([]byte{14, 1}, levels), 0)
	}
	unsorted := func(levels int) []byte { return append(deep(levels)[:2*levels], 12, 2, 1, 1, 1, 0) }
	for _, tc := range []struct {
		name     string
		in, want []byte
		err      error
	}{
		{"nothing", nil, nil, data.ErrTruncated},
		{"left over", []byte{0, 0}, nil, data.ErrTrailing},
		{"left over, not canonical", []byte{1, 7, 0}, nil, data.ErrTrailing},
		{"no such kind", []byte{15}, nil, data.ErrKind},
		{"subnet too long", append(append([]byte{7}, make([]byte, 16)...), 129), nil, data.ErrSubnet},
		{"vector cut short", []byte{14, 2, 0}, nil, data.ErrTruncated},
		{"more elements than bytes", []byte{14, 0xff, 0xff, 0xff, 0xff, 0x0f}, nil, data.ErrTruncated},
		{"port cut short", []byte{8, 0, 80}, nil, data.ErrTruncated},
		{"duplicates in order", []byte{12, 2, 1, 1, 1, 1}, nil, data.ErrDuplicate},
		{"duplicates once true is 1", []byte{12, 2, 1, 1, 1, 2}, nil, data.ErrDuplicate},
		{"duplicate keys", []byte{13, 2, 1, 1, 0, 1, 1, 0}, nil, data.ErrDuplicate},
		{"as deep as may be", deep(data.MaxDepth), deep(data.MaxDepth), nil},
		{"too deep", deep(data.MaxDepth + 1), nil, data.ErrDepth},
		{"too deep and unsorted", unsorted(data.MaxDepth), nil, data.ErrDepth},
		{"a subnormal below 2^-1023", []byte{4, 0, 0, 0, 0, 0, 0, 0, 1}, []byte{4, 0, 0, 0, 0, 0, 0, 0, 1}, nil},
		{"another NaN is infinity", []byte{4, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0}, []byte{4, 0xff, 0xf0, 0, 0, 0, 0, 0, 0}, nil},
		{"length in five bytes", []byte{5, 0x81, 0x80, 0x80, 0x80, 0, 'x'}, []byte{5, 1, 'x'}, nil},
		{"-1 before 1", []byte{12, 2, 3, 255, 255, 255, 255, 255, 255, 255, 255, 3, 0, 0, 0, 0, 0, 0, 0, 1},
			[]byte{12, 2, 3, 255, 255, 255, 255, 255, 255, 255, 255, 3, 0, 0, 0, 0, 0, 0, 0, 1}, nil},
		{"short strings before long ones that sort first", []byte{12, 2, 5, 1, 'b', 5, 2, 'a', 'a'},
			[]byte{12, 2, 5, 2, 'a', 'a', 5, 1, 'b'}, nil},
	} {
		got, err := data.Canonical(tc.in)
		if !errors.Is(err, tc.err) || !bytes.Equal(got, tc.want) {
			t.Errorf("%s: got %x, %v; want %x, %v", tc.name, got, err, tc.want, tc.err)
		}
	}
}

func TestCanonicalDoesNotAllocate(t *testing.T) {
	elems := make([]data.Value, 1000)
	for i := range elems {
		elems[i] = data.Vector(data.Int(int64(i-500)), data.String("x"))
	}
	b := data.AppendValue(nil, data.Set(elems...))
	if n := testing.AllocsPerRun(10, func() { data.Canonical(b) }); n != 0 {
		t.Errorf("%v allocations for what is canonical", n)
	}
}

func TestHasNaN(t *testing.T) {
	nan := data.Real(math.NaN())
	for _, v := range []data.Value{
		nan,
		data.Vector(data.String("x"), data.Table(data.Entry{Key: data.Int(1), Value: data.Set(nan)})),
		data.Table(data.Entry{Key: data.Vector(nan), Value: data.None()}),
	} {
		if !data.HasNaN(data.AppendValue(nil, v)) {
			t.Errorf("%v: not found", v)
		}
	}
	looksLike := string(data.AppendValue(nil, nan))
	for _, v := range []data.Value{
		data.Real(math.Inf(1)),
		data.String(looksLike),
		data.Vector(data.Enum(looksLike), data.Set(data.String("x"+looksLike))),
	} {
		if data.HasNaN(data.AppendValue(nil, v)) {
			t.Errorf("%v: found one", v)
		}
	}
}

// Find finds what Contains and Lookup find, and says where.
func TestFind(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(datatest.Value(3), sets()).Draw(t, "container")
		elem := datatest.Value(2).Draw(t, "elem")
		if keys := keysOf(v); len(keys) > 0 && rapid.Bool().Draw(t, "one that is there") {
			elem = rapid.SampledFrom(keys).Draw(t, "elem that is there")
		}
		b, key := data.AppendValue(nil, v), data.AppendValue(nil, elem)
		start, end, ok := data.Find(b, key)
		value, inTable := v.Lookup(elem)
		if want := v.Contains(elem) || inTable; ok != want {
			t.Fatalf("%v in %v: %v", elem, v, ok)
		}
		if v.Kind() != data.KindSet && v.Kind() != data.KindTable {
			if start != 0 || end != 0 {
				t.Fatalf("in %v: at %d", v, start)
			}
			return
		}
		if ok {
			found++
			r := data.NewReader(b[start:end])
			if !r.Value().Equal(elem) || inTable && !r.Value().Equal(value) || r.Finish() != nil {
				t.Fatalf("%v in %v: found %x", elem, v, b[start:end])
			}
			return
		}
		// What stands before is less, what stands behind is greater.
		var before, behind data.Value
		for _, k := range keysOf(v) {
			if at, _, _ := data.Find(b, data.AppendValue(nil, k)); at < start {
				before = k
			} else if behind.IsNone() {
				behind = k
			}
		}
		if !before.IsNone() && before.Compare(elem) >= 0 || !behind.IsNone() && behind.Compare(elem) <= 0 || start != end {
			t.Fatalf("%v in %v: to go to %d, behind %v and before %v", elem, v, start, before, behind)
		}
	})
	if found == 0 {
		t.Fatal("nothing was ever found")
	}
}

func sets() *rapid.Generator[data.Value] {
	return rapid.Custom(func(t *rapid.T) data.Value {
		return data.Set(rapid.SliceOfN(datatest.Value(2), 0, 20).Draw(t, "elems")...)
	})
}

func keysOf(v data.Value) (keys []data.Value) {
	if v.Kind() == data.KindSet {
		return v.Elems()
	}
	for _, e := range v.Entries() {
		keys = append(keys, e.Key)
	}
	return keys
}

// Find is total, whatever bytes it gets.
func TestFindInAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := data.AppendValue(nil, sets().Draw(t, "set"))
		key := data.AppendValue(nil, datatest.Value(2).Draw(t, "elem"))
		for _, b := range [][]byte{b, key} {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		start, end, _ := data.Find(b, key)
		if start < 0 || end < start || end > len(b) {
			t.Fatalf("%x in %x: [%d:%d]", key, b, start, end)
		}
	})
	deep := append([]byte{12, 1}, bytes.Repeat([]byte{14, 1}, 1_000_000)...)
	if _, _, found := data.Find(deep, deep[2:]); found {
		t.Error("found what nests too deep")
	}
}

func BenchmarkCanonical(b *testing.B) {
	elems := make([]data.Value, 1000)
	for i := range elems {
		elems[i] = data.String(string(rune('a'+i/26/26)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26)))
	}
	for _, tc := range []struct {
		name string
		v    data.Value
	}{
		{"count", data.Count(7)},
		{"string", data.String("10.0.0.1")},
		{"record", data.Vector(data.Count(1), data.String("x"), data.Timestamp(7), data.Bool(true))},
		{"set of 1000 strings", data.Set(elems...)},
	} {
		b.Run(tc.name, func(b *testing.B) {
			enc := data.AppendValue(nil, tc.v)
			b.SetBytes(int64(len(enc)))
			b.ReportAllocs()
			for b.Loop() {
				data.Canonical(enc)
			}
		})
	}
}

func BenchmarkFind(b *testing.B) {
	for name, elem := range map[string]func(i int) data.Value{
		"counts":  func(i int) data.Value { return data.Count(uint64(i)) },
		"strings": func(i int) data.Value { return data.String(string(rune(0x10000 + i))) },
	} {
		b.Run("last of 100,000 "+name, func(b *testing.B) {
			elems := make([]data.Value, 100_000)
			for i := range elems {
				elems[i] = elem(i)
			}
			set, last := data.AppendValue(nil, data.Set(elems...)), data.AppendValue(nil, elem(100_000))
			for b.Loop() {
				data.Find(set, last)
			}
		})
	}
}
