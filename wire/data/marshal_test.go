package data_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/big"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
)

type hostPort struct {
	Host netip.Addr
	Port data.TransportPort
}

type level int8

type shared struct {
	Name string `zeek:"name"`
	_    int
}

// wide has a field for each row of the table in the documentation.
type wide struct {
	shared
	Bool     bool
	Uint     uint
	Uint8    uint8
	Uint32   uint32
	Uint64   uint64
	Int      int
	Level    level
	Int16    int16
	Int64    int64
	Float32  float32
	Float64  float64
	Bytes    []byte
	Enum     data.EnumName
	Tagged   string   `zeek:"tagged,enum"`
	Enums    []string `zeek:",enum"`
	Addr     netip.Addr
	Prefix   netip.Prefix
	Port     data.TransportPort
	Time     time.Time
	Duration time.Duration
	List     []hostPort
	Sorted   []uint16        `zeek:",set"`
	Maybe    []string        `zeek:",set,optional"`
	MaybeMap map[string]bool `zeek:",optional"`
	Members  map[hostPort]struct{}
	Table    map[int32][]string
	Pair     *hostPort
	Skipped  chan int `zeek:"-"`
	Value    data.Value
	Any      any
	Next     *wide
	OptUint  *uint16
	OptText  *string `zeek:",enum"`
	OptTime  *time.Time
	OptList  *[]string
}

func maybe[T any](t *rapid.T, g *rapid.Generator[T]) *T {
	if rapid.Bool().Draw(t, "unset") {
		return nil
	}
	return new(g.Draw(t, "set"))
}

func drawWide(depth int) *rapid.Generator[wide] {
	text := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 200), func(b []byte) string { return string(b) })
	port := rapid.Custom(func(t *rapid.T) data.TransportPort {
		return data.TransportPort{Number: rapid.Uint16().Draw(t, "number"), Proto: data.Proto(rapid.IntRange(0, 3).Draw(t, "proto"))}
	})
	pair := rapid.Custom(func(t *rapid.T) hostPort {
		return hostPort{datatest.Addr().Draw(t, "host"), port.Draw(t, "port")}
	})
	ns := rapid.Map(rapid.Int64(), func(ns int64) time.Time { return time.Unix(0, ns).UTC() })
	return rapid.Custom(func(t *rapid.T) wide {
		a := datatest.Addr().Draw(t, "addr")
		w := wide{
			shared: shared{Name: text.Draw(t, "name")},
			Bool:   rapid.Bool().Draw(t, "bool"), Uint: rapid.Uint().Draw(t, "uint"), Uint8: rapid.Uint8().Draw(t, "uint8"),
			Uint32: rapid.Uint32().Draw(t, "uint32"), Uint64: rapid.Uint64().Draw(t, "uint64"), Int: rapid.Int().Draw(t, "int"),
			Level: level(rapid.Int8().Draw(t, "level")), Int16: rapid.Int16().Draw(t, "int16"), Int64: rapid.Int64().Draw(t, "int64"),
			Float32: rapid.Float32().Draw(t, "float32"), Float64: rapid.Float64().Draw(t, "float64"),
			Bytes: []byte(text.Draw(t, "bytes")), Enum: data.EnumName(text.Draw(t, "enum")), Tagged: text.Draw(t, "tagged"),
			Enums: rapid.SliceOfN(text, 0, 3).Draw(t, "enums"), Addr: a,
			Prefix: netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked(),
			Port:   port.Draw(t, "port"), Time: ns.Draw(t, "time"), Duration: time.Duration(rapid.Int64().Draw(t, "duration")),
			List:   rapid.SliceOfN(pair, 0, 4).Draw(t, "list"),
			Sorted: rapid.SliceOfNDistinct(rapid.Uint16(), 0, 8, rapid.ID).Draw(t, "sorted"),
			Members: rapid.Map(rapid.SliceOfN(pair, 0, 4), func(s []hostPort) map[hostPort]struct{} {
				m := map[hostPort]struct{}{}
				for _, p := range s {
					m[p] = struct{}{}
				}
				return m
			}).Draw(t, "members"),
			Table: rapid.MapOfN(rapid.Int32(), rapid.SliceOfN(text, 0, 3), 0, 4).Draw(t, "table"),
			Pair:  maybe(t, pair), Value: datatest.Value(2).Draw(t, "value"),
			OptUint: maybe(t, rapid.Uint16()), OptText: maybe(t, text), OptTime: maybe(t, ns),
			OptList: maybe(t, rapid.SliceOfN(text, 0, 3)),
		}
		if p := maybe(t, rapid.SliceOfNDistinct(text, 0, 3, rapid.ID)); p != nil {
			w.Maybe = *p
			slices.Sort(w.Maybe)
		}
		if p := maybe(t, rapid.MapOfN(text, rapid.Bool(), 0, 3)); p != nil {
			w.MaybeMap = *p
		}
		if v := datatest.Value(1).Draw(t, "any"); !v.IsNone() {
			w.Any = v
		}
		if w.Float64 != 0 && math.Abs(w.Float64) < 0x1p-1023 {
			w.Float64 = 0 // has no encoding
		}
		slices.Sort(w.Sorted)
		if depth > 0 {
			w.Next = maybe(t, drawWide(depth-1))
		}
		return w
	})
}

var sameWide = cmp.Options{
	cmp.AllowUnexported(wide{}, shared{}),
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
}

func TestMarshalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWide(2).Draw(t, "w")
		b, err := data.Append([]byte("head"), &w)
		if err != nil {
			t.Fatal(err)
		}
		b = b[len("head"):]
		if err := data.Validate(b); err != nil {
			t.Fatal(err)
		}
		byValue, err := data.Append(nil, w)
		if err != nil || !bytes.Equal(b, byValue) {
			t.Fatalf("%x by pointer, %x by value, %v", b, byValue, err)
		}
		v, err := data.Marshal(&w)
		if err != nil || !bytes.Equal(data.AppendValue(nil, v), b) {
			t.Fatalf("marshals to %v, %v, and appends another", v, err)
		}
		got := wide{Uint: 7, Bytes: []byte("old"), OptUint: new(uint16(9)), Table: map[int32][]string{1: nil}, Any: 5, Value: data.Count(1)}
		if err := data.Unmarshal(v, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w, got, sameWide); diff != "" {
			t.Fatal(diff)
		}
		r := data.NewReader(b)
		var read wide
		if err := r.Into(&read); err != nil || r.Finish() != nil {
			t.Fatal(r.Err())
		}
		clear(b) // nothing of it is shared
		if diff := cmp.Diff(w, read, sameWide); diff != "" {
			t.Fatal(diff)
		}
	})
}

// What a peer sends is read, or refused with an error that names the place.
func TestUnmarshalMutations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWide(1).Draw(t, "w")
		b, err := data.Append(nil, &w)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 4).Draw(t, "mutations") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		b = b[:rapid.IntRange(0, len(b)).Draw(t, "length")]
		var got wide
		r := data.NewReader(b)
		err = r.Into(&got)
		var field *data.FieldError
		if err != nil && !errors.As(err, &field) {
			t.Fatalf("%x: %T %v", b, err, err)
		}
		if err != r.Err() {
			t.Fatalf("returned %v, kept %v", err, r.Err())
		}
		if err == nil {
			if data.Validate(b[:r.Offset()]) != nil {
				t.Fatalf("%x is accepted but not valid", b)
			}
			if _, err := data.Append(nil, &got); err != nil {
				t.Fatalf("%x was read but cannot be written: %v", b, err)
			}
		}
	})
}

func TestMarshalByHand(t *testing.T) {
	c := aConn()
	if v, err := data.Marshal(c); err != nil || !v.Equal(connValue(c)) {
		t.Errorf("%v, %v, want %v", v, err, connValue(c))
	}
	var again conn
	if err := data.Unmarshal(connValue(c), &again); err != nil {
		t.Error(err)
	} else if diff := cmp.Diff(*c, again, sameWide); diff != "" {
		t.Error(diff)
	}
	a, mapped := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.1")
	port := data.TransportPort{Number: 53, Proto: data.ProtoUDP}
	for _, c := range []struct {
		x    any
		want data.Value
	}{
		{nil, data.None()},
		{(*conn)(nil), data.None()},
		{"text", data.String("text")},
		{data.EnumName("tcp"), data.Enum("tcp")},
		{[]any{uint8(1), int8(-1), nil, 1.5, []byte("x"), port}, data.Vector(data.Count(1), data.Int(-1), data.None(),
			data.Real(1.5), data.String("x"), data.Port(53, data.ProtoUDP))},
		{map[string]any{"b": true, "a": []any{}}, data.Table(data.Entry{Key: data.String("a"), Value: data.Vector()},
			data.Entry{Key: data.String("b"), Value: data.Bool(true)})},
		{map[int]struct{}{3: {}, -1: {}}, data.Set(data.Int(-1), data.Int(3))},
		{map[hostPort]struct{}{{a, port}: {}}, data.Set(data.Vector(data.Addr(a), data.Port(53, data.ProtoUDP)))},
		{map[netip.Addr]struct{}{a: {}, mapped: {}}, data.Set(data.Addr(a))},
		{struct {
			S []uint16 `zeek:",set"`
		}{[]uint16{3, 1, 3}}, data.Vector(data.Set(data.Count(1), data.Count(3)))},
		{struct {
			S []string `zeek:",set,enum"`
			T []uint8
			N []int
			E struct{}
		}{S: []string{"udp", "tcp"}}, data.Vector(data.Set(data.Enum("tcp"), data.Enum("udp")), data.String(""), data.Vector(), data.Vector())},
		{struct {
			shared `zeek:"-"`
			hostPort
			Inner hostPort `zeek:"inner"`
			_     int
		}{hostPort: hostPort{a, port}, Inner: hostPort{a, port}}, data.Vector(data.Addr(a), data.Port(53, data.ProtoUDP),
			data.Vector(data.Addr(a), data.Port(53, data.ProtoUDP)))},
		{data.Set(data.Int(1)), data.Set(data.Int(1))},
		{[]any{uint8(1), map[string]bool{}}, data.Vector(data.Count(1), data.Table())},
		{new(data.Count(1)), data.Count(1)},
	} {
		if v, err := data.Marshal(c.x); err != nil || !v.Equal(c.want) {
			t.Errorf("%T: %v, %v, want %v", c.x, v, err, c.want)
		}
	}
	if port.String() != "53/udp" {
		t.Error(port)
	}
}

// Newer versions of Zeek append fields to records.
func TestUnmarshalVersions(t *testing.T) {
	type record struct {
		A uint64          `zeek:"a"`
		B string          `zeek:"b"`
		C *int            `zeek:"c"`
		D []string        `zeek:"d,optional"`
		E data.Value      `zeek:"e"`
		F any             `zeek:"f"`
		G *hostPort       `zeek:"g"`
		H map[string]bool `zeek:"h,optional"`
	}
	full := record{1, "x", new(5), []string{"y"}, data.Count(7), data.Bool(true), &hostPort{}, map[string]bool{}}
	elems := []data.Value{data.Count(1), data.String("x"), data.Int(5)}
	for n := 2; n <= 3; n++ {
		got := full
		if err := data.Unmarshal(data.Vector(elems[:n]...), &got); err != nil {
			t.Error(err)
		}
		want := record{A: 1, B: "x"}
		if n == 3 {
			want.C = new(5)
		}
		if diff := cmp.Diff(want, got, sameWide); diff != "" {
			t.Errorf("%d elements: %s", n, diff)
		}
	}
	got := full
	none := data.None()
	if err := data.Unmarshal(data.Vector(data.Count(1), data.String("x"), none, none, none, none, none, none), &got); err != nil {
		t.Error(err)
	} else if diff := cmp.Diff(record{A: 1, B: "x"}, got, sameWide); diff != "" {
		t.Error(diff)
	}
	type older struct{ A uint64 }
	b := data.AppendValue(nil, data.Vector(data.Count(1), data.Vector(data.String("x")), data.None()))
	r := data.NewReader(append(b, 1, 1))
	var o older
	if err := r.Into(&o); err != nil || o.A != 1 || !r.Bool() {
		t.Errorf("%+v, %v: does not go on behind what it ignores", o, r.Err())
	}
	// What is ignored is checked all the same.
	for _, cut := range []int{len(b) - 1, len(b) - 3} {
		r = data.NewReader(b[:cut])
		if err := r.Into(&o); !errors.Is(err, data.ErrTruncated) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	r = data.NewReader([]byte{14, 1, 99})
	if err := r.Into(new(struct{})); !errors.Is(err, data.ErrKind) {
		t.Errorf("nothing but an ignored element: %v", err)
	}
}

type id struct {
	OrigH netip.Addr `zeek:"orig_h"`
}

type helloArgs struct {
	Name string
	Conn struct {
		ID id `zeek:"id"`
	}
	Level *uint8
}

func TestIntoArgs(t *testing.T) {
	name, record := data.String("worker-1"), data.Vector(data.Vector(data.Addr(netip.MustParseAddr("10.0.0.1"))))
	for _, c := range []struct {
		args []data.Value
		want string // error
	}{
		{[]data.Value{name, record}, ""},
		{[]data.Value{name, record, data.None()}, ""},
		{[]data.Value{name, record, data.Count(3)}, ""},
		{[]data.Value{name, data.Vector(data.Vector(data.Count(1)))}, "args[1].id.orig_h: got count, want addr"},
		{[]data.Value{name, data.Vector(data.Vector(data.None()))}, "args[1].id.orig_h: unset, want addr (what is optional is a pointer)"},
		{[]data.Value{name, data.Vector(data.Vector())}, "args[1].id.orig_h: missing: the record ends after 0 of 1 fields"},
		{[]data.Value{name, data.String("x")}, "args[1]: got string, want vector"},
		{[]data.Value{name, record, data.Count(256)}, "args[2]: count 256 does not fit uint8"},
		{[]data.Value{name}, "args: got 1, want 2 to 3"},
		{[]data.Value{name, record, data.None(), data.None()}, "args: got 4, want 2 to 3"},
	} {
		metadata := data.AppendVectorHeader(nil, 0)
		var b []byte
		for _, a := range c.args {
			b = data.AppendValue(b, a)
		}
		r := data.NewReader(append(b, metadata...))
		args := helloArgs{Level: new(uint8(9))}
		err := r.IntoArgs(len(c.args), &args)
		if text := errorText(err); text != c.want {
			t.Errorf("%v: %s, want %s", c.args, text, c.want)
		}
		if err == nil && (r.Vector() != 0 || r.Finish() != nil || args.Name != "worker-1") {
			t.Errorf("%v: %+v, %v", c.args, args, r.Err())
		}
		if set := len(c.args) == 3 && !c.args[2].IsNone(); err == nil && set != (args.Level != nil) {
			t.Errorf("%v: level %v", c.args, args.Level)
		}
	}
	r := data.NewReader(nil)
	if err := r.IntoArgs(0, new(string)); errorText(err) != "arguments are stored in a struct, not in string" {
		t.Error(err)
	}
	r = data.NewReader(nil)
	if err := r.IntoArgs(-1, new(helloArgs)); errorText(err) != "args: got 0, want 2 to 3" {
		t.Error(err)
	}
	var one struct{ A uint64 }
	r = data.NewReader(nil)
	if err := r.IntoArgs(0, &one); errorText(err) != "args: got 0, want 1" {
		t.Error(err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestUnmarshalErrors(t *testing.T) {
	text, count := data.String("x"), data.Count(1)
	entry := func(k, v data.Value) data.Value { return data.Table(data.Entry{Key: k, Value: v}) }
	type record struct {
		Table map[hostPort]uint16 `zeek:"table"`
	}
	for _, c := range []struct {
		v    data.Value
		into any
		want string
	}{
		{count, new(bool), "got count, want bool"},
		{data.Bool(true), new(uint), "got bool, want count"},
		{count, new(int), "got count, want int"},
		{count, new(float64), "got count, want double"},
		{count, new(string), "got count, want string"},
		{data.Enum("tcp"), new(string), "got enum, want string"},
		{text, new(data.EnumName), "got string, want enum"},
		{count, new([]byte), "got count, want string"},
		{count, new(netip.Addr), "got count, want addr"},
		{data.Addr(netip.IPv4Unspecified()), new(netip.Prefix), "got addr, want subnet"},
		{data.Subnet(netip.Prefix{}), new(data.TransportPort), "got subnet, want port"},
		{data.Port(1, 1), new(time.Time), "got port, want time"},
		{data.Timestamp(1), new(time.Duration), "got time, want interval"},
		{data.Timespan(1), new([]int), "got interval, want vector"},
		{data.Vector(), new(map[int]struct{}), "got vector, want set"},
		{data.Set(), new(map[int]int), "got set, want table"},
		{data.Table(), new(record), "got table, want vector"},
		{data.Real(1), new(*uint), "got double, want count"},
		{data.None(), new(uint), "unset, want count (what is optional is a pointer)"},
		{data.Count(256), new(uint8), "count 256 does not fit uint8"},
		{data.Int(-129), new(level), "int -129 does not fit data_test.level"},
		{data.Int(128), new(int8), "int 128 does not fit int8"},
		{data.Real(1e300), new(float32), "double 1e+300 does not fit float32"},
		{data.Vector(count, text), new([]uint), "[1]: got string, want count"},
		{data.Vector(data.Vector(count, text)), new([][]uint), "[0][1]: got string, want count"},
		{data.Set(data.Int(1), data.Int(2), count), new(map[int]struct{}), "[0].key: got count, want int"},
		{data.Vector(entry(count, count)), new(record), "table[0].key: got count, want vector"},
		{data.Vector(entry(data.Vector(count, count), count)), new(record), "table[0].key.Host: got count, want addr"},
		{data.Vector(entry(data.Vector(data.Addr(netip.IPv6Loopback()), data.Port(1, 1)), text)), new(record), "table[0].value: got string, want count"},
		{data.Vector(data.Vector(count, count)), new([]hostPort), "[0].Host: got count, want addr"},
		{count, nil, "values are stored through a pointer that is not nil"},
		{count, uint(1), "values are stored through a pointer that is not nil"},
		{count, (*uint)(nil), "values are stored through a pointer that is not nil"},
		{count, new(chan int), "no Zeek type for chan int"},
	} {
		err := data.Unmarshal(c.v, c.into)
		if text := errorText(err); text != c.want {
			t.Errorf("%v into %T: %s, want %s", c.v, c.into, text, c.want)
		}
		var field *data.FieldError
		if !errors.As(err, &field) {
			t.Errorf("%v into %T: error of type %T", c.v, c.into, err)
		}
	}
	var kind *data.KindError
	if err := data.Unmarshal(data.Vector(text), new([]int)); !errors.As(err, &kind) || kind.Want != data.KindInt {
		t.Errorf("%v holds no KindError", err)
	}
	r := data.NewReader([]byte{13, 2, 1, 1, 1, 1, 1, 1, 1, 1})
	if err := r.Into(new(map[bool]bool)); !errors.Is(err, data.ErrDuplicate) || errorText(err) != "[1]: "+data.ErrDuplicate.Error() {
		t.Errorf("duplicate key: %v", err)
	}
	r = data.NewReader([]byte{14, 2, 1, 1, 2, 0, 0})
	if err := r.Into(new([]any)); errorText(err) != "[1]: at byte 4: value ends too early" {
		t.Error(err)
	}
	r = data.NewReader(nil)
	r.Fail(io.EOF)
	if err := r.Into(new(int)); err != io.EOF {
		t.Errorf("%v, want the error that was there", err)
	}
}

type node struct {
	Next *node            `zeek:"next"`
	List []node           `zeek:"list"`
	Map  map[string]*node `zeek:"map"`
}

func TestMarshalErrors(t *testing.T) {
	mapped := map[netip.Addr]int{netip.MustParseAddr("10.0.0.1"): 1, netip.MustParseAddr("::ffff:10.0.0.1"): 2}
	for _, c := range []struct {
		x    any
		want string
	}{
		{id{}, "orig_h: the address is not valid"},
		{[]netip.Prefix{{}}, "[0]: the subnet is not valid"},
		{map[string]time.Time{"": {}}, "[].value: the time 0001-01-01T00:00:00Z does not fit 64 bits of nanoseconds"},
		{map[id]struct{}{{}: {}}, "[].key.orig_h: the address is not valid"},
		{map[string]any{"x": make(chan int)}, "[].value: no Zeek type for chan int"},
		{mapped, data.ErrDuplicate.Error()},
		{[]any{mapped}, "[0]: " + data.ErrDuplicate.Error()},
	} {
		b, err := data.Append([]byte("head"), c.x)
		if errorText(err) != c.want || string(b) != "head" {
			t.Errorf("%T: %v and %q, want %s", c.x, err, b, c.want)
		}
		if _, err := data.Marshal(c.x); errorText(err) != c.want {
			t.Errorf("%T: %v, want %s", c.x, err, c.want)
		}
	}
}

func TestMarshalDepth(t *testing.T) {
	cycle := &node{}
	cycle.Next = cycle
	var list []any
	list = append(list, nil)
	list[0] = list
	m := map[string]any{}
	m["m"] = &m
	deep := data.None()
	for range data.MaxDepth {
		deep = data.Vector(deep)
	}
	for _, x := range []any{cycle, list, m, []data.Value{deep}, []any{deep}} {
		if _, err := data.Append(nil, x); !errors.Is(err, data.ErrDepth) {
			t.Errorf("%T: %v", x, err)
		}
	}
	if v, err := data.Marshal(&deep); err != nil || !v.Equal(deep) {
		t.Error("refuses what nests as deep as it may:", err)
	}
	type recursive []recursive
	for _, levels := range []int{data.MaxDepth, data.MaxDepth + 1} {
		b := append(bytes.Repeat([]byte{14, 1}, levels-1), 14, 0)
		want := error(nil)
		if levels > data.MaxDepth {
			want = data.ErrDepth
		}
		for _, into := range []any{new(recursive), new(data.Value), new([]any), new(struct{ X [][]data.Value })} {
			r := data.NewReader(b)
			if err := r.Into(into); !errors.Is(err, want) {
				t.Errorf("%d levels into %T: %v", levels, into, err)
			}
		}
		r := data.NewReader(b)
		if err := r.Into(new(struct{})); !errors.Is(err, want) {
			t.Errorf("%d levels ignored: %v", levels, err)
		}
	}
}

// A count on the wire does not make Into allocate, nor do many small elements without end.
func TestUnmarshalMemory(t *testing.T) {
	type sparse struct{ A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P *hostPort }
	many := append(data.AppendVectorHeader(nil, 2_000_000), bytes.Repeat([]byte{14, 0}, 2_000_000)...)
	nones := append(data.AppendVectorHeader(nil, 5_000_000), make([]byte, 5_000_000)...)
	for _, c := range []struct {
		b    []byte
		into any
	}{{many, new([]sparse)}, {many, new([]*sparse)}, {nones, new(data.Value)}, {nones, new(any)}} {
		r := data.NewReader(c.b)
		if err := r.Into(c.into); !errors.Is(err, data.ErrTooMany) {
			t.Errorf("%T: %v", c.into, err)
		}
	}
	entries := bytes.Repeat([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 14, 0}, 1_000_000)
	r := data.NewReader(append(data.AppendTableHeader(nil, 1_000_000), entries...))
	if err := r.Into(new(map[uint64]sparse)); !errors.Is(err, data.ErrTooMany) {
		t.Error(err)
	}
	// The first element is at fault.
	var before, after runtime.MemStats
	b := append(data.AppendVectorHeader(nil, 500_000), make([]byte, 500_000)...)
	runtime.ReadMemStats(&before)
	for _, into := range []any{new([]hostPort), new([]string), new([][]uint64)} {
		r := data.NewReader(b)
		if err := r.Into(into); !strings.HasPrefix(errorText(err), "[0]: unset") {
			t.Errorf("%T: %v", into, err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated for elements that are not there", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		b, _ = data.Append(b[:0], aliveConn)
	}); n != 0 {
		t.Errorf("%v allocations to append a struct", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		r := data.NewReader(b)
		_ = r.Into(aliveConn)
	}); n > 6 { // all optional scalars at once, three strings of theirs, a slice, its string
		t.Errorf("%v allocations to read a struct", n)
	}
}

var aliveConn = aConn()

func TestCheckType(t *testing.T) {
	type bad struct {
		ID struct {
			Ch chan int `zeek:"ch"`
		} `zeek:"id"`
	}
	type keyed struct{ P *int }
	type pointers *pointers
	for want, check := range map[string]func() error{
		"":                                    data.CheckType[wide],
		"id.ch: no Zeek type for chan int":    data.CheckType[*bad],
		"[].id.ch: no Zeek type for chan int": data.CheckType[[]bad],
		"[].value[].id.ch: no Zeek type for chan int":                                data.CheckType[map[string][]bad],
		"no Zeek type for [4]uint8":                                                  data.CheckType[[4]byte],
		"no Zeek type for complex128":                                                data.CheckType[complex128],
		"no Zeek type for uintptr":                                                   data.CheckType[uintptr],
		"no Zeek type for io.Reader":                                                 data.CheckType[io.Reader],
		"no Zeek type for big.Int: no field of it is exported":                       data.CheckType[big.Int],
		"no Zeek type for **int: what it points at is optional already":              data.CheckType[**int],
		"no Zeek type for *interface {}: what it points at is optional already":      data.CheckType[*any],
		"no Zeek type for data_test.pointers: what it points at is optional already": data.CheckType[pointers],
		"[].key: interface {} within the key of a map":                               data.CheckType[map[any]int],
		"[].key.P: *int within the key of a map":                                     data.CheckType[map[keyed]struct{}],
		"X: the field has a tag but is not exported": data.CheckType[struct {
			x int `zeek:"X"`
		}],
		`x: tag option "omitempty": want set, enum or optional`: data.CheckType[struct {
			X int `zeek:"x,omitempty"`
		}],
		"x: tag option that int cannot have": data.CheckType[struct {
			X int `zeek:"x,set"`
		}],
		"x: tag option that []uint8 cannot have": data.CheckType[struct {
			X []byte `zeek:"x,set"`
		}],
		"x: tag option that time.Time cannot have": data.CheckType[struct {
			X time.Time `zeek:"x,optional"`
		}],
		"x: tag option that *[]int cannot have": data.CheckType[struct {
			X *[]int `zeek:"x,optional"`
		}],
		"x[]: tag option that int cannot have": data.CheckType[struct {
			X []int `zeek:"x,enum"`
		}],
	} {
		if text := errorText(check()); text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
}

// The plan of a type is made by whoever comes first.
func TestPlansAreShared(t *testing.T) {
	type fresh struct {
		N    int
		Next *fresh
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			v, err := data.Marshal(&fresh{N: i, Next: &fresh{N: -i}})
			var got fresh
			if err == nil {
				err = data.Unmarshal(v, &got)
			}
			if err != nil || got.N != i || got.Next.N != -i {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func TestZeekName(t *testing.T) {
	if data.KindAddr.ZeekName() != "addr" || data.KindVector.ZeekName() != "vector" || data.Kind(15).ZeekName() != "invalid kind 15" {
		t.Error("kinds have other names in Zeek")
	}
}
