package data_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// The three shapes of the reference's throughput tool: an event of a number and a string, a row of
// conn.log, and a table of 100 sets of 10 strings.
func shapes() map[string]data.Value {
	event := func(v data.Value) data.Value {
		return data.Vector(data.Count(1), data.Count(1), data.Vector(data.String("event_1"), v))
	}
	now := time.Unix(1_700_000_000, 123456000)
	conn := data.Vector(
		data.Time(now), data.String("CHhAvVGS1DHFjwGM9"),
		data.Vector(data.Addr(netip.MustParseAddr("10.1.2.3")), data.Port(49152, data.ProtoTCP),
			data.Addr(netip.MustParseAddr("93.184.216.34")), data.Port(443, data.ProtoTCP)),
		data.Enum("tcp"), data.String("ssl"), data.Timespan(123*time.Millisecond), data.Count(1024), data.Count(2048),
		data.String("SF"), data.Bool(true), data.Bool(false), data.Count(0), data.String("ShADadFf"),
		data.Count(12), data.Count(1500), data.Count(14), data.Count(2600), data.Set(data.String("CUM0KZ3MLUfNB0cl11")))
	entries := make([]data.Entry, 100)
	for i := range entries {
		members := make([]data.Value, 10)
		for j := range members {
			members[j] = data.String(fmt.Sprintf("string-%d-%d", i, j))
		}
		entries[i] = data.Entry{Key: data.String(fmt.Sprintf("key-%d", i)), Value: data.Set(members...)}
	}
	return map[string]data.Value{
		"1-event": event(data.Vector(data.Count(42), data.String("test"))),
		"2-conn":  event(data.Vector(conn)),
		"3-table": event(data.Vector(data.Table(entries...))),
	}
}

func eachShape(b *testing.B, f func(b *testing.B, v data.Value, encoded []byte)) {
	for _, name := range []string{"1-event", "2-conn", "3-table"} {
		b.Run(name, func(b *testing.B) {
			v := shapes()[name]
			encoded := data.AppendValue(nil, v)
			b.SetBytes(int64(len(encoded)))
			b.ReportAllocs()
			f(b, v, encoded)
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	eachShape(b, func(b *testing.B, v data.Value, encoded []byte) {
		dst := make([]byte, 0, len(encoded))
		for b.Loop() {
			dst = data.AppendValue(dst[:0], v)
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	eachShape(b, func(b *testing.B, _ data.Value, encoded []byte) {
		for b.Loop() {
			if err := data.Validate(encoded); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// walk reads every leaf of the next n values.
func walk(r *data.Reader, n int) (sum int) {
	for range n {
		switch r.Kind() {
		case data.KindNone:
			r.None()
		case data.KindBool:
			r.Bool()
		case data.KindCount:
			sum += int(r.Count())
		case data.KindInt:
			sum += int(r.Int())
		case data.KindReal:
			sum += int(r.Real())
		case data.KindString:
			sum += len(r.Bytes())
		case data.KindEnum:
			sum += len(r.Enum())
		case data.KindAddr:
			r.Addr()
		case data.KindSubnet:
			r.Subnet()
		case data.KindPort:
			r.Port()
		case data.KindTime:
			sum += int(r.Timestamp())
		case data.KindTimespan:
			sum += int(r.Timespan())
		case data.KindSet:
			sum += walk(r, r.Set())
		case data.KindTable:
			sum += walk(r, 2*r.Table())
		case data.KindVector:
			sum += walk(r, r.Vector())
		default:
			return sum
		}
	}
	return sum
}

func BenchmarkWalk(b *testing.B) {
	eachShape(b, func(b *testing.B, _ data.Value, encoded []byte) {
		for b.Loop() {
			r := data.NewReader(encoded)
			walk(&r, 1)
			if err := r.Finish(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	eachShape(b, func(b *testing.B, _ data.Value, encoded []byte) {
		for b.Loop() {
			if _, err := data.DecodeValue(encoded); err != nil {
				b.Fatal(err)
			}
		}
	})
}
