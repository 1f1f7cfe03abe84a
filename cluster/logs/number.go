package logs

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// The functions named put write at out[n:], where there is room for what is written and a word more,
// and return the index behind it.

// roomValue is the room that any number or address takes, with a word more.
const roomValue = 48

// eightDigits returns the digits of a number below 1e8, with zeros in front, as the bytes of a
// little-endian word. It does to all parts of the word at once what is done to one number else: takes
// hundreds apart, then tens.
func eightDigits(v uint64) uint64 {
	v = v/1e4 | v%1e4<<32
	hundreds := v * 10486 >> 20 & 0x7f_0000_007f // 10486/1<<20 is 1/100 for what is below 10000
	v = hundreds | (v-100*hundreds)<<16
	tens := v * 103 >> 10 & 0xf_000f_000f_000f // 103/1<<10 is 1/10 for what is below 100
	return tens | (v-10*tens)<<8 | each('0')
}

// triples are the numbers below 1000 as three digits in the bytes of a little-endian word. The last byte is
// how many bits of the word are zeros in front, of which the number 0 has two.
var triples = func() (t [1000]uint32) {
	for v := range uint32(1000) {
		t[v] = v/100 | v/10%10<<8 | v%10<<16 | 0x303030
		if v < 100 {
			t[v] += 8 << 24
		}
		if v < 10 {
			t[v] += 8 << 24
		}
	}
	return t
}()

// putTriple writes three digits, with zeros in front.
func putTriple(out []byte, n int, v uint64) int {
	binary.LittleEndian.PutUint32(out[n:], triples[v])
	return n + 3
}

// putSmall writes a number below 1000 in decimal.
func putSmall(out []byte, n int, v uint64) int {
	digits := triples[v]
	zeros := digits >> 24
	binary.LittleEndian.PutUint32(out[n:], digits>>zeros)
	return n + 3 - int(zeros/8)
}

// putUint writes a number in decimal.
func putUint(out []byte, n int, v uint64) int {
	switch {
	case v < 1000:
		return putSmall(out, n, v)
	case v < 1e6:
		return putTriple(out, putUint(out, n, v/1000), v%1000)
	case v < 1e8:
		digits := eightDigits(v)
		zeros := bits.TrailingZeros64(digits^each('0')) &^ 7
		binary.LittleEndian.PutUint64(out[n:], digits>>zeros)
		return n + 8 - zeros/8
	}
	n = putUint(out, n, v/1e8)
	binary.LittleEndian.PutUint64(out[n:], eightDigits(v%1e8))
	return n + 8
}

// putInt writes a number in decimal, with its sign if it is less than 0.
func putInt(out []byte, n int, v int64) int {
	if v >= 0 {
		return putUint(out, n, uint64(v))
	}
	out[n] = '-'
	return putUint(out, n+1, -uint64(v))
}

// micros returns 1e6 times the float64 that has these bits, without its sign, rounded to nearest and to
// even in the middle. The number itself is its mantissa over 1<<shift, and what rounding took off is rest
// over 1<<shift, less than 0 if it went up; rest is 0 from a shift of 64 on. ok is false from 1<<44 on,
// which in seconds is the year 559444, and for what is no number.
func micros(f uint64) (m uint64, rest int64, shift int, ok bool) {
	exponent := int(f >> 52 & 0x7ff)
	shift = 1075 - exponent
	if shift < 53-44 {
		return 0, 0, 0, false
	}
	mantissa := f&(1<<52-1) | 1<<52
	hi, lo := bits.Mul64(mantissa, 1e6)
	switch {
	case shift < 64:
		m = hi<<(64-shift) | lo>>shift
		cut, half := lo&(1<<shift-1), uint64(1)<<(shift-1)
		rest = int64(cut)
		if cut > half || cut == half && m&1 == 1 {
			m++
			rest -= 1 << shift
		}
	case shift == 64:
		if m = hi; lo > 1<<63 || lo == 1<<63 && m&1 == 1 {
			m++
		}
	case shift < 74:
		m = hi >> (shift - 64)
		cut, half := hi&(1<<(shift-64)-1), uint64(1)<<(shift-65)
		if cut > half || cut == half && (lo > 0 || m&1 == 1) {
			m++
		}
	}
	return m, rest, shift, true
}

// putMicros writes microseconds as seconds, with all six decimals.
func putMicros(out []byte, n int, m uint64) int {
	seconds := m / 1e6
	n = putUint(out, n, seconds)
	out[n] = '.'
	m -= 1e6 * seconds
	return putTriple(out, putTriple(out, n+1, m/1000), m%1000)
}

// appendFixed appends a number as Zeek writes times and intervals into TSV files: with six decimals.
func appendFixed(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v) && math.Signbit(v):
		return append(dst, "-nan"...)
	case math.IsNaN(v):
		return append(dst, "nan"...)
	case math.IsInf(v, 1):
		return append(dst, "inf"...)
	case math.IsInf(v, -1):
		return append(dst, "-inf"...)
	}
	return strconv.AppendFloat(dst, v, 'f', 6, 64)
}

// appendDouble appends a number as Zeek writes doubles into TSV files: with six decimals, of which zeros
// at the end are left out. One that nothing is left of has its point only if the number is whole, or
// nearly.
func appendDouble(dst []byte, v float64) []byte {
	if math.IsNaN(v) {
		return append(dst, "nan"...)
	}
	if v == 0 {
		v = 0 // not -0
	}
	begin := len(dst)
	if dst = appendFixed(dst, v); math.IsInf(v, 0) {
		return dst
	}
	for len(dst) > begin && dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	if dst[len(dst)-1] == '.' {
		dst = dst[:len(dst)-1]
	}
	if math.Abs(v-math.RoundToEven(v)) < 1e-9 {
		dst = append(dst, ".0"...)
	}
	return dst
}

// putDouble writes what appendDouble appends. ok is false if the number may take more room than there is.
func putDouble(out []byte, n int, f uint64) (_ int, ok bool) {
	m, _, _, ok := micros(f)
	if !ok {
		return n, false
	}
	v := math.Float64frombits(f)
	if v < 0 {
		out[n] = '-'
		n++
	}
	n = putMicros(out, n, m)
	for out[n-1] == '0' {
		n--
	}
	if out[n-1] == '.' {
		n--
	}
	if math.Abs(v-math.RoundToEven(v)) < 1e-9 {
		n += copy(out[n:], ".0")
	}
	return n, true
}

// putTime writes what appendFixed appends. ok is false if the number may take more room than there is.
func putTime(out []byte, n int, f uint64) (_ int, ok bool) {
	m, _, _, ok := micros(f)
	if !ok {
		return n, false
	}
	if f>>63 != 0 {
		out[n] = '-'
		n++
	}
	return putMicros(out, n, m), true
}

// putJSON writes a number as Zeek writes it into JSON files, and null for what is none.
//
// Zeek finds the digits with Grisu2 (Florian Loitsch, Printing Floating-Point Numbers Quickly and
// Accurately with Integers, 2010), in the variant that goes on cutting digits off while the result is in
// the interval of what reads as the same number, and then goes down to the one next to the number. It
// works with 64 bits, and where these are not enough to tell, its digits are not the shortest, or not
// the nearest: these have to be the same.
func putJSON(out []byte, n int, f uint64) int {
	if f>>52&0x7ff == 0x7ff {
		return n + copy(out[n:], "null")
	}
	if f>>63 != 0 {
		out[n] = '-'
		n++
	}
	f &= 1<<63 - 1
	if f == 0 {
		return n + copy(out[n:], "0.0")
	}
	if m, ok := exactMicros(f); ok {
		n = putMicros(out, n, m)
		for out[n-1] == '0' && out[n-2] != '.' {
			n--
		}
		return n
	}
	digits, exponent := grisu(f)
	return putScientific(out, n, digits, exponent)
}

// exactMicros returns the number that has these bits in microseconds, if grisu finds just this one. Most
// times in logs have been microseconds once, and this takes a third of the time.
//
// The numbers that read as this float64 are those less than half a unit of its mantissa away from it.
// Below 1<<33 this unit is below a microsecond, so of whole microseconds at most one is near enough, and
// it is what is left when digits are cut off until no more can be. Grisu's interval is narrower by some
// 2 of the 1024 steps that it has in half a unit, and 1024/50 are left to it here.
func exactMicros(f uint64) (m uint64, ok bool) {
	const unit = 1e6
	m, rest, shift, ok := micros(f)
	if !ok || shift < 53-33 || shift >= 64 || m == 0 {
		return 0, false
	}
	if f&(1<<52-1) == 0 { // then the unit below the number is half of that above
		return m, rest == 0
	}
	return m, -unit*49/100 < rest && rest < unit*49/100
}

// pow10Step is the distance between the powers of ten that grisu has.
const pow10Step = 8

// grisu returns the digits of a positive number, and the power of ten that they are to be multiplied with.
func grisu(f uint64) (digits uint64, exponent int) {
	mantissa, e := f&(1<<52-1), int(f>>52)-1075
	if e == -1075 {
		e++
	} else {
		mantissa |= 1 << 52
	}
	// All three numbers are scaled to have the highest bit of the upper boundary in bit 63.
	up := bits.LeadingZeros64(2*mantissa + 1)
	upper, number := (2*mantissa+1)<<up, mantissa<<(up+1)
	lower := (2*mantissa - 1) << up
	if mantissa == 1<<52 {
		lower = (4*mantissa - 1) << (up - 1)
	}
	e -= up + 1

	// Then they are multiplied with a power of ten that brings the binary exponent into -60 to -32.
	k := 347 - ((61+e)*78913)>>18 // the ceiling of (-61-e) * log10(2)
	index := k/pow10Step + 1
	power, exponent := grisuPowers[index], 348-pow10Step*index
	e += ((-exponent * 217706) >> 16) - 63 + 64
	number = scale(number, power)
	upper = scale(upper, power) - 1
	delta := upper - (scale(lower, power) + 1)
	off := upper - number

	// The upper boundary is whole + part / one. Digits of it are cut off, as many as leave it above the
	// lower boundary.
	one := uint64(1) << -e
	whole, part := upper>>-e, upper&(one-1)
	if part <= delta {
		unit := uint64(1)
		for whole%(10*unit)<<-e+part <= delta && 10*unit <= whole {
			unit *= 10
			exponent++
		}
		return toward(whole/unit, off, delta, whole%unit<<-e+part, unit<<-e), exponent
	}
	digits = whole
	for scaled := uint64(10); ; scaled *= 10 {
		part *= 10
		delta *= 10
		digits = 10*digits + part>>-e
		part &= one - 1
		exponent--
		if part < delta {
			return toward(digits, off*scaled, delta, part, one), exponent
		}
	}
}

// scale returns the upper half of a product, rounded.
func scale(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi + lo>>63
}

// toward makes digits that are rest below the upper boundary, of which the last one counts for unit, go
// down as long as this brings them nearer to the number, which is off below that boundary, and not below
// the lower one, at delta.
func toward(digits, off, delta, rest, unit uint64) uint64 {
	for rest < off && delta-rest >= unit && (rest+unit < off || off-rest > rest+unit-off) {
		digits--
		rest += unit
	}
	return digits
}

// putScientific writes digits * 10^exponent, with an exponent where there would be many zeros.
func putScientific(out []byte, n int, digits uint64, exponent int) int {
	end := putUint(out, n+1, digits) // so far with one byte in front
	count := end - n - 1
	point := count + exponent // how many digits stand before the point
	switch {
	case exponent >= 0 && point <= 21:
		n += copy(out[n:], out[n+1:end])
		for range exponent {
			out[n] = '0'
			n++
		}
		return n + copy(out[n:], ".0")
	case point > 0 && point <= 21:
		copy(out[n:], out[n+1:n+1+point])
		out[n+point] = '.'
		return end
	case point > -6 && point <= 0:
		n += copy(out[n:], "0.000000"[:2-point])
		return putUint(out, n, digits)
	}
	out[n] = out[n+1]
	n++
	if count > 1 {
		out[n] = '.'
		n = end
	}
	out[n] = 'e'
	return putInt(out, n+1, int64(point-1))
}

// grisuPowers are 10^-348, 10^-340 to 10^340, each times the power of two that makes it 64 bits, rounded.
var grisuPowers = [87]uint64{
	0xfa8fd5a0081c0288, 0xbaaee17fa23ebf76, 0x8b16fb203055ac76, 0xcf42894a5dce35ea,
	0x9a6bb0aa55653b2d, 0xe61acf033d1a45df, 0xab70fe17c79ac6ca, 0xff77b1fcbebcdc4f,
	0xbe5691ef416bd60c, 0x8dd01fad907ffc3c, 0xd3515c2831559a83, 0x9d71ac8fada6c9b5,
	0xea9c227723ee8bcb, 0xaecc49914078536d, 0x823c12795db6ce57, 0xc21094364dfb5637,
	0x9096ea6f3848984f, 0xd77485cb25823ac7, 0xa086cfcd97bf97f4, 0xef340a98172aace5,
	0xb23867fb2a35b28e, 0x84c8d4dfd2c63f3b, 0xc5dd44271ad3cdba, 0x936b9fcebb25c996,
	0xdbac6c247d62a584, 0xa3ab66580d5fdaf6, 0xf3e2f893dec3f126, 0xb5b5ada8aaff80b8,
	0x87625f056c7c4a8b, 0xc9bcff6034c13053, 0x964e858c91ba2655, 0xdff9772470297ebd,
	0xa6dfbd9fb8e5b88f, 0xf8a95fcf88747d94, 0xb94470938fa89bcf, 0x8a08f0f8bf0f156b,
	0xcdb02555653131b6, 0x993fe2c6d07b7fac, 0xe45c10c42a2b3b06, 0xaa242499697392d3,
	0xfd87b5f28300ca0e, 0xbce5086492111aeb, 0x8cbccc096f5088cc, 0xd1b71758e219652c,
	0x9c40000000000000, 0xe8d4a51000000000, 0xad78ebc5ac620000, 0x813f3978f8940984,
	0xc097ce7bc90715b3, 0x8f7e32ce7bea5c70, 0xd5d238a4abe98068, 0x9f4f2726179a2245,
	0xed63a231d4c4fb27, 0xb0de65388cc8ada8, 0x83c7088e1aab65db, 0xc45d1df942711d9a,
	0x924d692ca61be758, 0xda01ee641a708dea, 0xa26da3999aef774a, 0xf209787bb47d6b85,
	0xb454e4a179dd1877, 0x865b86925b9bc5c2, 0xc83553c5c8965d3d, 0x952ab45cfa97a0b3,
	0xde469fbd99a05fe3, 0xa59bc234db398c25, 0xf6c69a72a3989f5c, 0xb7dcbf5354e9bece,
	0x88fcf317f22241e2, 0xcc20ce9bd35c78a5, 0x98165af37b2153df, 0xe2a0b5dc971f303a,
	0xa8d9d1535ce3b396, 0xfb9b7cd9a4a7443c, 0xbb764c4ca7a44410, 0x8bab8eefb6409c1a,
	0xd01fef10a657842c, 0x9b10a4e5e9913129, 0xe7109bfba19c0c9d, 0xac2820d9623bf429,
	0x80444b5e7aa7cf85, 0xbf21e44003acdd2d, 0x8e679c2f5e44ff8f, 0xd433179d9c8cb841,
	0x9e19db92b4e31ba9, 0xeb96bf6ebadf77d9, 0xaf87023b9bf0ee6b,
}
