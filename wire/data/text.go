package data

import (
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// String returns v as text for people; see [AppendText].
func (v Value) String() string { return string(AppendText(nil, v)) }

// AppendText appends v as text for people, close to how Zeek prints it: [a, b] is a vector, {a, b} a
// set, {k -> v} a table, nil is none, T and F are the booleans. Strings stand as they are, but for
// what a terminal would act upon: control characters, and bytes that are not UTF-8, become \xNN, a
// backslash \\. What cannot be told from the text (a string 5 from a count 5) is told by
// [AppendJSON].
func AppendText(dst []byte, v Value) []byte {
	switch v.kind {
	case KindNone:
		return append(dst, "nil"...)
	case KindBool:
		if v.num != 0 {
			return append(dst, 'T')
		}
		return append(dst, 'F')
	case KindCount:
		return strconv.AppendUint(dst, v.num, 10)
	case KindInt:
		return strconv.AppendInt(dst, int64(v.num), 10)
	case KindReal:
		if f := math.Float64frombits(v.num); math.IsInf(f, 0) || math.IsNaN(f) {
			return strconv.AppendFloat(dst, f, 'g', -1, 64)
		}
		return appendReal(dst, math.Float64frombits(v.num))
	case KindString, KindEnum:
		return AppendPrintable(dst, v.str())
	case KindSet:
		return append(appendList(append(dst, '{'), v.Elems()), '}')
	case KindVector:
		return append(appendList(append(dst, '['), v.Elems()), ']')
	case KindTable:
		dst = append(dst, '{')
		for i, e := range v.Entries() {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = AppendText(dst, e.Key)
			dst = AppendText(append(dst, " -> "...), e.Value)
		}
		return append(dst, '}')
	case KindTime:
		return append(appendTime(dst, int64(v.num)), 'Z')
	}
	return appendScalar(dst, v)
}

func appendList(dst []byte, elems []Value) []byte {
	for i, e := range elems {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = AppendText(dst, e)
	}
	return dst
}

// AppendPrintable appends s without what a terminal would act upon, as [AppendText] does.
func AppendPrintable(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\':
			dst = append(dst, '\\', '\\')
		case r == utf8.RuneError && size == 1, !unicode.IsPrint(r):
			for _, c := range []byte(s[i : i+size]) {
				dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			}
		default:
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	return dst
}
