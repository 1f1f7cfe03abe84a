package data

import "math"

// The reference's encoding of reals is IEEE 754 with three oddities: the infinities are swapped,
// there is one NaN, and a number with an exponent field of zero is read as if it were normal, that
// is (1+m)*2^-1023 (PROTOCOL.md section 6).
const (
	wirePosInf = 0xFFF0000000000000
	wireNegInf = 0x7FF0000000000000
	wireNaN    = 0xFFFFFFFFFFFFFFFF

	signBit     = 1 << 63
	mantissa    = 1<<52 - 1
	exponentAll = 0x7FF << 52
)

// realToWire returns the bits to send for a real given as IEEE 754.
func realToWire(bits uint64) uint64 {
	switch bits & exponentAll {
	case exponentAll:
		switch {
		case bits&mantissa != 0:
			return wireNaN
		case bits&signBit != 0:
			return wireNegInf
		}
		return wirePosInf
	case 0:
		// Subnormal k*2^-1074. From 2^-1023 on there is an encoding that is read rightly; the
		// reference garbles what is smaller, so zero of the same sign is sent for that. 2^-1023 itself
		// would look like zero; one bit more is rounded down to it.
		k := bits & mantissa
		if k >= 1<<51 {
			return bits&signBit | max(2*k-1<<52, 1)
		}
		return bits & signBit
	}
	return bits
}

// realFromWire returns IEEE 754 for the bits that were received, as the reference reads them.
func realFromWire(bits uint64) uint64 {
	switch bits & exponentAll {
	case exponentAll:
		switch {
		case bits == wireNaN:
			return math.Float64bits(math.NaN())
		case bits == wirePosInf:
			return math.Float64bits(math.Inf(1))
		case bits == wireNegInf:
			return math.Float64bits(math.Inf(-1))
		}
		// Read as a number too large to hold.
		return bits&signBit | exponentAll
	case 0:
		m := bits & mantissa
		if m == 0 {
			return bits
		}
		f := math.Ldexp(1+float64(m)/(1<<52), -1023)
		return bits&signBit | math.Float64bits(f)
	}
	return bits
}
