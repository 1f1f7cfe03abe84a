package data_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := datatest.Value(4).Draw(t, "v")
		b := data.AppendValue(nil, v)
		if err := data.Validate(b); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		got, err := data.DecodeValue(b)
		if err != nil || !got.Equal(v) {
			t.Fatalf("%x: %v", b, err)
		}
		if again := data.AppendValue(nil, got); !bytes.Equal(again, b) {
			t.Fatalf("%x, then %x", b, again)
		}
		if got.Hash() != v.Hash() {
			t.Fatal("equal values with different hashes")
		}
		if _, rest, err := data.ParseValue(append(b, 1, 2)); err != nil || !bytes.Equal(rest, []byte{1, 2}) {
			t.Fatalf("rest %x, %v", rest, err)
		}
		if _, err := data.DecodeValue(append(b, 0)); !errors.Is(err, data.ErrTrailing) {
			t.Fatalf("trailing byte: %v", err)
		}
		for i := range b {
			if data.Validate(b[:i]) == nil {
				t.Fatalf("%x cut at %d is accepted", b, i)
			}
		}
	})
}

// What the validator accepts, the decoder accepts, but for duplicates; and neither panics.
func TestMutations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := data.AppendValue(nil, datatest.Value(3).Draw(t, "v"))
		for range rapid.IntRange(1, 5).Draw(t, "mutations") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		valid := data.Validate(b)
		v, err := data.DecodeValue(b)
		if (valid == nil) != (err == nil) && !errors.Is(err, data.ErrDuplicate) {
			t.Fatalf("%x: validator %v, decoder %v", b, valid, err)
		}
		if err == nil {
			again := data.AppendValue(nil, v)
			w, err := data.DecodeValue(again)
			if err != nil || !w.Equal(v) {
				t.Fatalf("%x decodes to another value than its re-encoding %x: %v", b, again, err)
			}
		}
		_, _ = data.Decoder{Lenient: true}.Decode(b)
		r := data.NewReader(b)
		r.Skip()
		if (r.Finish() == nil) != (valid == nil) {
			t.Fatalf("%x: validator %v, reader %v", b, valid, r.Err())
		}
	})
}

func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := datatest.Value(2)
		a, b, c := v.Draw(t, "a"), v.Draw(t, "b"), v.Draw(t, "c")
		if a.Compare(a) != 0 || a.Compare(b) != -b.Compare(a) {
			t.Fatal("not antisymmetric")
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatal("not transitive")
		}
		if a.Kind() < b.Kind() && a.Compare(b) >= 0 {
			t.Fatal("kinds come first")
		}
	})
	nan := data.Real(math.NaN())
	if !nan.Equal(nan) || nan.Hash() != data.Real(-math.NaN()).Hash() || nan.Compare(data.Real(math.Inf(-1))) >= 0 {
		t.Error("NaN has no place in the order")
	}
	zero, minus := data.Real(0), data.Real(math.Copysign(0, -1))
	if !zero.Equal(minus) || zero.Hash() != minus.Hash() {
		t.Error("-0 is not 0")
	}
}

func TestRecordedValues(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/vectors/wire*/values.jsonl")
	if len(files) == 0 {
		t.Skip("no recordings beside this checkout; package interop replays its own copies")
	}
	unsorted := map[string]bool{"set unsorted": true, "set mixed types": true, "table unsorted": true}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var row struct {
				Name    string `json:"name"`
				Payload string `json:"payload_hex"`
			}
			if err := json.Unmarshal(bytes.ToValidUTF8(line, []byte("?")), &row); err != nil {
				t.Fatal(err)
			}
			b, err := hex.DecodeString(row.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) == 0 {
				continue // rejected
			}
			if err := data.Validate(b); err != nil {
				t.Errorf("%s: %v", row.Name, err)
			}
			v, err := data.DecodeValue(b)
			if err != nil {
				t.Errorf("%s: %v", row.Name, err)
			}
			// Broker 2.8 passes sets on unsorted; built from a tree they are sorted.
			if got := data.AppendValue(nil, v); !bytes.Equal(got, b) && !(unsorted[row.Name] && len(got) == len(b)) {
				t.Errorf("%s: got %x, want %x", row.Name, got, b)
			}
		}
	}
}

func TestReals(t *testing.T) {
	for _, c := range []struct {
		wire string
		want float64
	}{
		{"0000000000000000", 0}, {"8000000000000000", math.Copysign(0, -1)}, {"3ff8000000000000", 1.5},
		{"fff0000000000000", math.Inf(1)}, {"7ff0000000000000", math.Inf(-1)}, {"ffffffffffffffff", math.NaN()},
		{"7fefffffffffffff", math.MaxFloat64}, {"000ffffffffffffe", math.Float64frombits(0x000FFFFFFFFFFFFF)},
	} {
		b, _ := hex.DecodeString("04" + c.wire)
		v, err := data.DecodeValue(b)
		f, _ := v.AsReal()
		if err != nil || math.Float64bits(f) != math.Float64bits(c.want) && !(f != f && c.want != c.want) {
			t.Errorf("%s: %v, %v, want %v", c.wire, f, err, c.want)
		}
		if got := data.AppendReal(nil, c.want); !bytes.Equal(got, b) {
			t.Errorf("%v: %x, want %x", c.want, got, b)
		}
	}
	// What the reference garbles is sent as zero; what is out of range is read as infinite.
	if got := data.AppendReal(nil, -5e-324); !bytes.Equal(got, []byte{4, 0x80, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("-5e-324: %x", got)
	}
	v, _ := data.DecodeValue([]byte{4, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0})
	if f, _ := v.AsReal(); !math.IsInf(f, 1) {
		t.Errorf("7ff8: %v, want +inf", f)
	}
}

func TestBadInput(t *testing.T) {
	deep := func(n int) []byte { return append(bytes.Repeat([]byte{14, 1}, n), 0) }
	for _, c := range []struct {
		name string
		hex  []byte
		want error
	}{
		{"nothing", nil, data.ErrTruncated},
		{"unknown kind", []byte{15}, data.ErrKind},
		{"count cut short", []byte{2, 0, 0}, data.ErrTruncated},
		{"vector of 2^32-1 without bytes", []byte{14, 0xff, 0xff, 0xff, 0xff, 0x0f}, data.ErrTruncated},
		{"table of half the bytes", []byte{13, 2, 0, 0, 0}, data.ErrTruncated},
		{"varbyte of 11 bytes", []byte{5, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0}, data.ErrVarbyte},
		{"varbyte above 32 bits", []byte{5, 0xff, 0xff, 0xff, 0xff, 0x1f}, data.ErrVarbyte},
		{"port of protocol 4", []byte{8, 0, 80, 4}, data.ErrProtocol},
		{"subnet of 129 bits", append(append([]byte{7}, make([]byte, 16)...), 129), data.ErrSubnet},
		{"set with a duplicate", []byte{12, 2, 1, 1, 1, 1}, data.ErrDuplicate},
		{"table with a duplicate key", []byte{13, 2, 0, 0, 0, 1, 1}, data.ErrDuplicate},
		{"100 levels", deep(100), nil},
		{"101 levels", deep(101), data.ErrDepth},
		{"a million levels", deep(1_000_000), data.ErrDepth},
	} {
		_, err := data.DecodeValue(c.hex)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if valid := data.Validate(c.hex); !errors.Is(valid, c.want) && c.want != data.ErrDuplicate {
			t.Errorf("%s: validator says %v, want %v", c.name, valid, c.want)
		}
	}
	lenient := data.Decoder{Lenient: true}
	if v, err := lenient.Decode([]byte{8, 0, 80, 9}); err != nil || !v.Equal(data.Port(80, data.ProtoUnknown)) {
		t.Errorf("lenient port: %v", err)
	}
	if v, err := lenient.Decode([]byte{12, 2, 1, 1, 1, 1}); err != nil || !v.Equal(data.Set(data.Bool(true))) {
		t.Errorf("lenient set: %v", err)
	}
	many := append([]byte{14, 0xe8, 0x07}, make([]byte, 1000)...)
	if _, err := (data.Decoder{MaxValues: 1000}).Decode(many); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := (data.Decoder{MaxValues: 999}).Decode(many); !errors.Is(err, data.ErrTooMany) {
		t.Errorf("above the limit: %v", err)
	}
	v := data.None()
	for range 101 {
		v = data.Vector(v)
	}
	if !errors.Is(data.CheckDepth(v), data.ErrDepth) || data.CheckDepth(v.Elems()[0]) != nil {
		t.Error("CheckDepth draws the line elsewhere than the decoder")
	}
}

func TestAccessors(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	if got, ok := data.Time(now).AsTime(); !ok || !got.Equal(now) {
		t.Error(got)
	}
	if ns, _ := data.Time(time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)).AsTimestamp(); ns != math.MaxInt64 {
		t.Error("a time after 2262 does not become the last one")
	}
	if p, _ := data.Subnet(netip.MustParsePrefix("192.168.17.5/20")).AsSubnet(); p.String() != "192.168.16.0/20" {
		t.Error(p)
	}
	if a, _ := data.Addr(netip.MustParseAddr("fe80::1%eth0")).AsAddr(); a.String() != "fe80::1" {
		t.Error(a)
	}
	table := data.Table(data.Entry{Key: data.Count(2), Value: data.String("old")}, data.Entry{Key: data.Count(1)},
		data.Entry{Key: data.Count(2), Value: data.String("new")})
	if v, ok := table.Lookup(data.Count(2)); !ok || !v.Equal(data.String("new")) || table.Len() != 2 {
		t.Error("the last of two equal keys does not count")
	}
	if _, ok := table.Lookup(data.Count(3)); ok {
		t.Error("found what is not there")
	}
	set := data.Set(data.Int(3), data.Int(-1), data.Int(3))
	if set.Len() != 2 || !set.Contains(data.Int(-1)) || set.Contains(data.Count(3)) {
		t.Error("a set of 3 and -1")
	}
	if n := testing.AllocsPerRun(100, func() {
		v := data.Addr(netip.MustParseAddr("10.0.0.1"))
		w := data.String("text")
		if v.Equal(w) {
			t.Error("equal")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReader(t *testing.T) {
	b := data.AppendValue(nil, data.Vector(data.Count(1), data.String("x"), data.Set(data.Int(-1)), data.None()))
	r := data.NewReader(b)
	if n := r.Vector(); n != 4 || r.Count() != 1 || string(r.Bytes()) != "x" || r.Set() != 1 || r.Int() != -1 {
		t.Error(r.Err())
	}
	r.None()
	if err := r.Finish(); err != nil {
		t.Error(err)
	}
	r = data.NewReader(b)
	r.Vector()
	r.Addr()
	var kind *data.KindError
	if !errors.As(r.Finish(), &kind) || kind.Got != data.KindCount || kind.Want != data.KindAddr || kind.Offset != 2 {
		t.Error(r.Err())
	}
	if fmt.Sprint(r.Err()) != "at byte 2: got count, want address" {
		t.Error(r.Err())
	}
}
