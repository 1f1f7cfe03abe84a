package data

import (
	"math"
	"math/bits"
)

// Hash returns a number that is the same for equal values, in every process. It is no protection
// against somebody who looks for collisions.
func (v Value) Hash() uint64 {
	h := mix(0x9e3779b97f4a7c15, uint64(v.kind))
	switch v.kind {
	case KindNone:
		return h
	case KindReal:
		switch f := math.Float64frombits(v.num); {
		case f == 0:
			return mix(h, 0) // -0 equals 0
		case f != f:
			return mix(h, wireNaN)
		}
		return mix(h, v.num)
	case KindString, KindEnum:
		s := v.str()
		h = mix(h, uint64(len(s)))
		for ; len(s) >= 8; s = s[8:] {
			h = mix(h, load64(s))
		}
		var last uint64
		for i := range len(s) {
			last = last<<8 | uint64(s[i])
		}
		return mix(h, last)
	case KindSet, KindVector:
		for _, e := range v.Elems() {
			h = mix(h, e.Hash())
		}
		return mix(h, v.num)
	case KindTable:
		for _, e := range v.Entries() {
			h = mix(mix(h, e.Key.Hash()), e.Value.Hash())
		}
		return mix(h, v.num)
	}
	return mix(mix(h, v.num), v.low^uint64(v.aux)<<56)
}

// mix is one step of a multiply-fold hash.
func mix(h, x uint64) uint64 {
	high, low := bits.Mul64(h^x^0xa0761d6478bd642f, 0xe7037ed1a0b428db)
	return high ^ low ^ bits.RotateLeft64(h, 23)
}

func load64(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
