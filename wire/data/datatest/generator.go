// Package datatest makes random values for property tests.
package datatest

import (
	"math"
	"net/netip"
	"time"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// Value returns a generator of values that nest at most depth levels deep.
func Value(depth int) *rapid.Generator[data.Value] {
	return rapid.Custom(func(t *rapid.T) data.Value {
		most := int(data.KindVector)
		if depth == 0 {
			most = int(data.KindEnum)
		}
		switch data.Kind(rapid.IntRange(0, most).Draw(t, "kind")) {
		case data.KindBool:
			return data.Bool(rapid.Bool().Draw(t, "bool"))
		case data.KindCount:
			return data.Count(rapid.Uint64().Draw(t, "count"))
		case data.KindInt:
			return data.Int(rapid.Int64().Draw(t, "int"))
		case data.KindReal:
			f := rapid.Float64().Draw(t, "real")
			if f != 0 && math.Abs(f) < 0x1p-1023 {
				f = 0 // has no encoding
			}
			return data.Real(f)
		case data.KindString:
			return data.String(string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "string")))
		case data.KindAddr:
			return data.Addr(Addr().Draw(t, "addr"))
		case data.KindSubnet:
			a := Addr().Draw(t, "addr")
			return data.Subnet(netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")))
		case data.KindPort:
			return data.Port(rapid.Uint16().Draw(t, "port"), data.Proto(rapid.IntRange(0, 3).Draw(t, "proto")))
		case data.KindTime:
			return data.Timestamp(rapid.Int64().Draw(t, "time"))
		case data.KindTimespan:
			return data.Timespan(time.Duration(rapid.Int64().Draw(t, "timespan")))
		case data.KindEnum:
			return data.Enum(rapid.StringMatching(`[A-Za-z]{0,8}(::[A-Z_]{1,8})?`).Draw(t, "enum"))
		case data.KindSet:
			return data.Set(rapid.SliceOfN(Value(depth-1), 0, 5).Draw(t, "set")...)
		case data.KindTable:
			entries := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) data.Entry {
				return data.Entry{Key: Value(depth-1).Draw(t, "key"), Value: Value(depth-1).Draw(t, "value")}
			}), 0, 5).Draw(t, "table")
			return data.Table(entries...)
		case data.KindVector:
			return data.Vector(rapid.SliceOfN(Value(depth-1), 0, 5).Draw(t, "vector")...)
		}
		return data.None()
	})
}

// Addr returns a generator of addresses of both families.
func Addr() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		b := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "IPv4") {
			return netip.AddrFrom4([4]byte(b[:4]))
		}
		return netip.AddrFrom16(b).Unmap()
	})
}
