package logs

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		v                   float64
		json, fixed, double string // of Zeek's own code
	}{
		{0, "0.0", "0.000000", "0.0"},
		{math.Copysign(0, -1), "-0.0", "-0.000000", "0.0"},
		{1, "1.0", "1.000000", "1.0"},
		{-1.5, "-1.5", "-1.500000", "-1.5"},
		{100, "100.0", "100.000000", "100.0"},
		{3.14, "3.14", "3.140000", "3.14"},
		{0.001018, "0.001018", "0.001018", "0.001018"},
		{1e-7, "1e-7", "0.000000", "0"},
		{1e-6, "0.000001", "0.000001", "0.000001"},
		{1.5e-6, "0.0000015", "0.000002", "0.000002"},
		{1.5e-5, "0.000015", "0.000015", "0.000015"},
		{5.0000005e-07, "5.000000500000001e-7", "0.000001", "0.000001"},
		{123456789012345678901, "123456789012345680000.0", "123456789012345683968.000000", "123456789012345683968.0"},
		{1e21, "1e21", "1000000000000000000000.000000", "1000000000000000000000.0"},
		{1e22, "1e22", "10000000000000000000000.000000", "10000000000000000000000.0"},
		{5e-324, "5e-324", "0.000000", "0.0"},
		{2.2250738585072014e-308, "2.2250738585072014e-308", "0.000000", "0.0"},
		{1700000000.123456, "1700000000.123456", "1700000000.123456", "1700000000.123456"},
		{9007199254740993, "9007199254740992.0", "9007199254740992.000000", "9007199254740992.0"},
		{1 << 44, "17592186044416.0", "17592186044416.000000", "17592186044416.0"},
		{1<<44 - 0.002, "17592186044415.998", "17592186044415.998047", "17592186044415.998047"},
		{0.9999995, "0.9999995", "1.000000", "1"},
		{0.9999994, "0.9999994", "0.999999", "0.999999"},
		{5e-10, "5e-10", "0.000000", "0.0"},
		{1.0000000004, "1.0000000004", "1.000000", "1.0"},
		{100.0000001, "100.0000001", "100.000000", "100"},
		{-0.0000001, "-1e-7", "-0.000000", "-0"},
		{math.NaN(), "null", "nan", "nan"},
		{math.Inf(1), "null", "inf", "inf"},
		{math.Inf(-1), "null", "-inf", "-inf"},
		// In the middle between two of as many digits; strconv takes the even one.
		{1.9310989379882812, "1.9310989379882813", "1.931099", "1.931099"},
		{0.14447402954101562, "0.14447402954101563", "0.144474", "0.144474"},
		{3.6239700317382812, "3.6239700317382813", "3.623970", "3.62397"},
	} {
		out := make([]byte, roomValue)
		if got := string(out[:putJSON(out, 0, math.Float64bits(c.v))]); got != c.json {
			t.Errorf("%v in JSON: %s, want %s", c.v, got, c.json)
		}
		checkFixed(t, c.v, c.fixed, c.double)
	}
	if got := string(appendFixed(nil, math.Copysign(math.NaN(), -1))); got != "-nan" {
		t.Error(got)
	}
}

// checkFixed checks what is written for a number in TSV, in one way and the other.
func checkFixed(t *testing.T, v float64, fixed, double string) {
	t.Helper()
	out := make([]byte, roomValue)
	if got := string(appendFixed(nil, v)); got != fixed {
		t.Errorf("%v as a time: %s, want %s", v, got, fixed)
	}
	if n, ok := putTime(out, 0, math.Float64bits(v)); ok && string(out[:n]) != fixed {
		t.Errorf("%v as a time: %s, want %s", v, out[:n], fixed)
	} else if ok != (math.Abs(v) < 1<<44) {
		t.Errorf("%v: ok: %v", v, ok)
	}
	if got := string(appendDouble(nil, v)); got != double {
		t.Errorf("%v as a double: %s, want %s", v, got, double)
	}
	if n, ok := putDouble(out, 0, math.Float64bits(v)); ok && string(out[:n]) != double {
		t.Errorf("%v as a double: %s, want %s", v, out[:n], double)
	}
}

// What is written fast is what is written with care, and what JSON gets reads as the same number.
func TestNumbersAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	out := make([]byte, roomValue)
	exact := 0
	for range 30_000 {
		start := 1.7e9 + float64(random.Int64N(1e14))/1e6
		for _, v := range []float64{
			math.Float64frombits(random.Uint64()), start, float64(random.Int64N(2e15)) / 1e6, float64(random.Int64N(2e9)) / 1e6,
			start + float64(random.Int64N(1e8))/1e6 - start, (float64(random.Int64N(1e9)) + 0.5) / 1e6,
			math.Ldexp(float64(random.Int64N(1<<53)), -random.IntN(90)), math.Ldexp(1, random.IntN(2000)-1000),
		} {
			f := math.Float64bits(v)
			if math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			if m, ok := exactMicros(f &^ (1 << 63)); ok {
				exact++
				digits, exponent := grisu(f &^ (1 << 63))
				fast, want := putMicros(out, 0, m), new(big.Float).SetPrec(200)
				want.Parse(strconv.FormatUint(digits, 10)+"e"+strconv.Itoa(exponent), 10)
				if got, _, _ := big.ParseFloat(string(out[:fast]), 10, 200, big.ToNearestEven); got.Cmp(want) != 0 {
					t.Fatalf("%v is %v microseconds, but its digits are %de%d", v, m, digits, exponent)
				}
			}
			n := putJSON(out, 0, f)
			if back, err := strconv.ParseFloat(string(out[:n]), 64); err != nil || back != v {
				t.Fatalf("%v is written as %s", v, out[:n])
			}
			checkFixed(t, v, strconv.FormatFloat(v, 'f', 6, 64), string(appendDouble(nil, v)))
		}
	}
	if exact < 50_000 {
		t.Errorf("only %d in whole microseconds", exact)
	}
}

func TestIntegers(t *testing.T) {
	out := make([]byte, roomValue)
	check := func(v uint64) {
		if got := string(out[:putUint(out, 0, v)]); got != strconv.FormatUint(v, 10) {
			t.Errorf("%d: %s", v, got)
		}
		if got := string(out[:putInt(out, 0, int64(v))]); got != strconv.FormatInt(int64(v), 10) {
			t.Errorf("%d: %s", int64(v), got)
		}
	}
	for p := uint64(1); ; p *= 10 {
		for _, v := range []uint64{p - 1, p, p + 1, 2*p - 1, 9 * p, -p} {
			check(v)
		}
		if p == 1e19 {
			break
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		check(random.Uint64() >> random.IntN(64))
	}
}

func TestGrisuPowers(t *testing.T) {
	for i, got := range grisuPowers {
		ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(348-8*i, 8*i-348))), nil)
		power := new(big.Rat).SetInt(ten)
		if 8*i < 348 {
			power.Inv(power)
		}
		mantissa := new(big.Float).SetPrec(64).SetRat(power)
		mantissa.SetMantExp(mantissa, 64-mantissa.MantExp(nil))
		if want, _ := mantissa.Uint64(); got != want {
			t.Errorf("10^%d: %#x, want %#x", 8*i-348, got, want)
		}
	}
}
