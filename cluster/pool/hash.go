package pool

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A Hasher knows how a version of Zeek hashes names and keys (CLUSTER.md section 7.3).
type Hasher struct {
	bare bool // strings are hashed as they are, and not behind their type and length
}

// NewHasher returns the hasher of a version.
func NewHasher(v layout.Version) Hasher { return Hasher{bare: v.HashesBareStrings()} }

// A Key is what stands for a value when a node is picked by it.
type Key uint32

// The numbers of Zeek's types, which stand before the bytes of values of all types but string.
const (
	tagBool = iota + 1
	tagInt
	tagCount
	tagDouble
	tagTime
	_
	tagString
	_
	tagEnum
	tagPort
	tagAddr
	tagSubnet
)

// hashBuf is room for the bytes of most keys.
type hashBuf [64]byte

func tagged(b []byte, tag byte) []byte { return append(b, tag, 0, 0, 0) }

// fnv1a is the 32-bit FNV-1a hash.
func fnv1a(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// String returns the key of a string.
func (h Hasher) String(s string) Key {
	var buf hashBuf
	b := buf[:0]
	if !h.bare {
		b = binary.LittleEndian.AppendUint32(tagged(b, tagString), uint32(len(s)))
	}
	return Key(fnv1a(append(b, s...)))
}

// Count returns the key of a count.
func (h Hasher) Count(n uint64) Key { return number(tagCount, n) }

// Int returns the key of an int.
func (h Hasher) Int(n int64) Key { return number(tagInt, uint64(n)) }

// Double returns the key of a double.
func (h Hasher) Double(f float64) Key { return number(tagDouble, math.Float64bits(f)) }

// Time returns the key of a time, which in Zeek is a double of seconds: that of a time that Zeek got over
// Broker, in nanoseconds. One that a script made of a number may be the next double to it, which is another
// key. Who is to agree with scripts takes another kind of key.
func (h Hasher) Time(t time.Time) Key {
	return number(tagTime, math.Float64bits(float64(t.UnixNano())/1e9))
}

// Bool returns the key of a bool.
func (h Hasher) Bool(b bool) Key {
	if b {
		return number(tagBool, 1)
	}
	return number(tagBool, 0)
}

func number(tag byte, n uint64) Key {
	var buf hashBuf
	return Key(fnv1a(binary.LittleEndian.AppendUint64(tagged(buf[:0], tag), n)))
}

// Addr returns the key of an addr.
func (h Hasher) Addr(a netip.Addr) Key {
	var buf hashBuf
	return Key(fnv1a(append(zeek.AppendAddrText(tagged(buf[:0], tagAddr), a.Unmap()), 0)))
}

// Subnet returns the key of a subnet.
func (h Hasher) Subnet(p netip.Prefix) Key {
	var buf hashBuf
	b := append(zeek.AppendAddrText(tagged(buf[:0], tagSubnet), p.Addr().Unmap()), '/')
	return Key(fnv1a(append(strconv.AppendInt(b, int64(p.Bits()), 10), 0)))
}

// Port returns the key of a port.
func (h Hasher) Port(number uint16, proto data.Proto) Key {
	var buf hashBuf
	b := binary.LittleEndian.AppendUint32(tagged(buf[:0], tagPort), uint32(number))
	return Key(fnv1a(append(append(b, '/', 0), proto.String()...)))
}

// Enum returns the key of an enum value, for which Zeek also hashes the name of the type, such as
// "transport_proto" for the value "tcp".
func (h Hasher) Enum(typeName, value string) Key {
	var buf hashBuf
	return Key(fnv1a(append(append(append(tagged(buf[:0], tagEnum), typeName...), value...), 0)))
}

// Value returns the key of a value of the kinds above. An enum value alone does not say its type; it and
// all other kinds are an error.
func (h Hasher) Value(v data.Value) (Key, error) {
	switch v.Kind() {
	case data.KindString:
		s, _ := v.AsString()
		return h.String(s), nil
	case data.KindCount:
		n, _ := v.AsCount()
		return h.Count(n), nil
	case data.KindInt:
		n, _ := v.AsInt()
		return h.Int(n), nil
	case data.KindReal:
		f, _ := v.AsReal()
		return h.Double(f), nil
	case data.KindTime:
		t, _ := v.AsTime()
		return h.Time(t), nil
	case data.KindBool:
		b, _ := v.AsBool()
		return h.Bool(b), nil
	case data.KindAddr:
		a, _ := v.AsAddr()
		return h.Addr(a), nil
	case data.KindSubnet:
		p, _ := v.AsSubnet()
		return h.Subnet(p), nil
	case data.KindPort:
		number, proto, _ := v.AsPort()
		return h.Port(number, proto), nil
	}
	return 0, fmt.Errorf("a %v cannot be the key by which a node is picked; take a string", v.Kind())
}
