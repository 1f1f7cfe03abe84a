package data

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends v in Broker's JSON, version 1: {"@data-type":T,"data":V} (PROTOCOL.md section 7).
// Times have as many digits as they need (three, six or nine), reals are the shortest that read
// back the same and always look like reals. JSON has no word for what is not finite: "inf", "-inf"
// and "nan" stand as strings. A byte of a string that is not UTF-8 becomes \xNN, as in Zeek's own
// JSON logs.
func AppendJSON(dst []byte, v Value) []byte {
	dst = append(dst, '{')
	return append(appendJSONFields(dst, v), '}')
}

// AppendJSONMessage appends a data message: {"type":"data-message","topic":...,"@data-type":...,
// "data":...}.
func AppendJSONMessage(dst []byte, topic string, v Value) []byte {
	return append(appendJSONFields(appendJSONHead(dst, topic), v), '}')
}

// appendJSONHead appends what stands before the value of a data message.
func appendJSONHead(dst []byte, topic string) []byte {
	dst = append(dst, `{"type":"data-message","topic":`...)
	return append(appendJSONString(dst, topic), ',')
}

// appendJSONFields appends what stands between the braces.
func appendJSONFields(dst []byte, v Value) []byte {
	dst = append(dst, `"@data-type":"`...)
	dst = append(dst, v.kind.String()...)
	dst = append(dst, `","data":`...)
	switch v.kind {
	case KindNone:
		return append(dst, "{}"...)
	case KindBool:
		return strconv.AppendBool(dst, v.num != 0)
	case KindCount:
		return strconv.AppendUint(dst, v.num, 10)
	case KindInt:
		return strconv.AppendInt(dst, int64(v.num), 10)
	case KindReal:
		return appendJSONReal(dst, math.Float64frombits(v.num))
	case KindString, KindEnum:
		return appendJSONString(dst, v.str())
	case KindSet, KindVector:
		dst = append(dst, '[')
		for i, e := range v.Elems() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, e)
		}
		return append(dst, ']')
	case KindTable:
		dst = append(dst, '[')
		for i, e := range v.Entries() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(append(dst, `{"key":`...), e.Key)
			dst = AppendJSON(append(dst, `,"value":`...), e.Value)
			dst = append(dst, '}')
		}
		return append(dst, ']')
	}
	dst = append(dst, '"')
	dst = appendScalar(dst, v)
	return append(dst, '"')
}

// appendScalar appends an address, subnet, port, time or timespan as JSON and text write them.
func appendScalar(dst []byte, v Value) []byte {
	switch v.kind {
	case KindAddr:
		a, _ := v.AsAddr()
		return a.AppendTo(dst)
	case KindSubnet:
		p, _ := v.AsSubnet()
		return p.AppendTo(dst)
	case KindPort:
		dst = strconv.AppendUint(dst, v.num, 10)
		return append(append(dst, '/'), Proto(v.aux).String()...)
	case KindTime:
		return appendTime(dst, int64(v.num))
	}
	return appendTimespan(dst, int64(v.num))
}

// appendTime appends a time in UTC, without a zone, in milliseconds or as much finer as it takes.
func appendTime(dst []byte, ns int64) []byte {
	layout := "2006-01-02T15:04:05.000"
	switch {
	case ns%1e3 != 0:
		layout = "2006-01-02T15:04:05.000000000"
	case ns%1e6 != 0:
		layout = "2006-01-02T15:04:05.000000"
	}
	return time.Unix(0, ns).UTC().AppendFormat(dst, layout)
}

// appendTimespan appends a duration in the largest of s, ms, us and ns that divides it.
func appendTimespan(dst []byte, ns int64) []byte {
	for _, unit := range []struct {
		ns   int64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}} {
		if ns%unit.ns == 0 {
			return append(strconv.AppendInt(dst, ns/unit.ns, 10), unit.name...)
		}
	}
	return append(strconv.AppendInt(dst, ns, 10), "ns"...)
}

func appendJSONReal(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"nan"`...)
	case math.IsInf(f, 1):
		return append(dst, `"inf"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-inf"`...)
	}
	return appendReal(dst, f)
}

// appendReal appends the shortest form of a finite real that reads back the same, with a point or an
// exponent so that it is not taken for an integer.
func appendReal(dst []byte, f float64) []byte {
	start := len(dst)
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	for _, c := range dst[start:] {
		if c == '.' || c == 'e' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s in quotes. What JSON demands is escaped, and nothing else.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		switch {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, '\\', '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
