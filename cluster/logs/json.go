package logs

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A jsonFormat writes an object a line.
type jsonFormat struct {
	schema     *Schema
	fields     []field
	timestamps timestamps
	keys       int // the length of all keys
}

type timestamps int

const (
	epoch timestamps = iota
	millis
	millisUnsigned
	iso8601
)

var timestampFormats = map[string]timestamps{
	"JSON::TS_EPOCH": epoch, "JSON::TS_MILLIS": millis, "JSON::TS_MILLIS_UNSIGNED": millisUnsigned, "JSON::TS_ISO8601": iso8601,
}

// keyWord is what keys are a multiple of, with something behind them that is written over.
const keyWord = 16

func newJSON(s *Schema, o Options) *jsonFormat {
	f := &jsonFormat{schema: s, fields: fieldsFor(s), timestamps: timestampFormats[o.JSONTimestamps]}
	for i := range f.fields {
		key := append(appendJSON([]byte(`,"`), []byte(s.Fields[i].Name)), `":`...)
		c := &f.fields[i]
		if o.JSONIncludeUnset {
			c.null = append(key[:len(key):len(key)], "null"...)
		}
		f.finish(c, key)
		for i := range c.elem {
			c.elem[i].null = []byte(",null")
			f.finish(&c.elem[i], []byte(","))
		}
		f.keys += cap(c.key) + len(c.null)
	}
	return f
}

// finish sets the key of a field, with the quote that every value of it begins with.
func (f *jsonFormat) finish(c *field, key []byte) {
	if c.typ.Text() || c.typ == zeek.LogAddr || c.typ == zeek.LogSubnet || c.typ == zeek.LogTime && f.timestamps == iso8601 {
		key = append(key, '"')
	}
	c.key = make([]byte, len(key), (len(key)+keyWord-1)/keyWord*keyWord)
	copy(c.key, key)
}

// Header appends nothing.
func (f *jsonFormat) Header(dst []byte, _ time.Time) []byte { return dst }

// Footer appends nothing.
func (f *jsonFormat) Footer(dst []byte, _ time.Time) []byte { return dst }

// Row appends one line.
func (f *jsonFormat) Row(dst, packed []byte) ([]byte, error) {
	if len(packed) < 4 || int(binary.BigEndian.Uint32(packed)) != len(f.fields) {
		return dst, f.schema.refusal(packed)
	}
	out := room(dst, f.size(packed))
	out, n, at := f.values(out, len(dst), packed, 4, f.fields, len(f.fields), 1)
	if at != len(packed) {
		return dst, f.schema.refusal(packed)
	}
	if n == len(dst) { // all is unset
		n++
	}
	out[len(dst)] = '{' // over the first comma
	return append(out[:n], "}\n"...), nil
}

// size returns the room that the rest of a record takes if nothing is escaped.
func (f *jsonFormat) size(in []byte) int { return 3*len(in) + f.keys + keyWord + roomValue }

// values writes count packed values at in[at:], each with its key and a comma in front: one for each of
// fields, or all for the one field that there is, with a step of 0. It returns where it is then in both,
// and below 0 in the second if the values are malformed.
func (f *jsonFormat) values(out []byte, n int, in []byte, at int, fields []field, count, step int) (_ []byte, _, _ int) {
	for i := 0; i < count; i++ {
		c := &fields[i*step]
		b := in[at:]
		if !c.begins(b) {
			return out, n, -1
		}
		if b[headSize-1] == 0 {
			if at += headSize; len(c.null) > 0 {
				n += copy(out[n:], c.null)
			}
			continue
		}
		for key, to := c.key[:cap(c.key)], out[n:]; len(key) >= keyWord; key, to = key[keyWord:], to[keyWord:] {
			binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(key))
			binary.LittleEndian.PutUint64(to[8:], binary.LittleEndian.Uint64(key[8:]))
		}
		n += len(c.key)
		switch c.typ {
		case zeek.LogCount:
			if len(b) < numberSize {
				return out, n, -1
			}
			n = putUint(out, n, binary.BigEndian.Uint64(b[headSize:]))
			at += numberSize
		case zeek.LogPort:
			if len(b) < portSize {
				return out, n, -1
			}
			n = putUint(out, n, binary.BigEndian.Uint64(b[headSize:]))
			at += portSize
		case zeek.LogBool, zeek.LogInt, zeek.LogDouble, zeek.LogTime, zeek.LogInterval:
			if len(b) < numberSize {
				return out, n, -1
			}
			n = f.putNumber(out, n, c.typ, binary.BigEndian.Uint64(b[headSize:]))
			at += numberSize
		case zeek.LogString, zeek.LogEnum, zeek.LogFunc, zeek.LogFile:
			size := textLen(b)
			if size < 0 {
				return out, n, -1
			}
			begin, ok := n, false
			if n, ok = putText(out, n, b[textSize:], size, each('"')); !ok {
				out = appendJSON(out[:begin], b[textSize:textSize+size])
				n = len(out)
				out = room(out, f.size(b))
			}
			out[n] = '"'
			n++
			at += textSize + size
		case zeek.LogAddr, zeek.LogSubnet:
			size := 0
			if n, size = putAddr(out, n, c.typ, b[headSize:]); size == 0 {
				return out, n, -1
			}
			out[n] = '"'
			n++
			at += headSize + size
		default: // sets and vectors
			elems := elemCount(b)
			if elems < 0 {
				return out, n, -1
			}
			begin := n
			if out, n, at = f.values(out, n, in, at+numberSize, c.elem, elems, 0); at < 0 {
				return out, n, at
			}
			if n == begin {
				n++
			}
			out[begin] = '[' // over the first comma
			out[n] = ']'
			n++
		}
	}
	return out, n, at
}

// putNumber writes a value of 8 bytes.
func (f *jsonFormat) putNumber(out []byte, n int, t zeek.LogType, v uint64) int {
	switch t {
	case zeek.LogBool:
		if v != 0 {
			return n + copy(out[n:], "true")
		}
		return n + copy(out[n:], "false")
	case zeek.LogInt:
		return putInt(out, n, int64(v))
	case zeek.LogTime:
		switch f.timestamps {
		case millis:
			return putInt(out, n, milliseconds(v))
		case millisUnsigned:
			return putUint(out, n, uint64(milliseconds(v)))
		case iso8601:
			return putISO8601(out, n, math.Float64frombits(v))
		}
	}
	return putJSON(out, n, v)
}

// milliseconds cuts a time to whole milliseconds. What does not fit becomes the least integer, as in Zeek
// on x86-64.
func milliseconds(f uint64) int64 {
	if v := math.Float64frombits(f) * 1000; v >= math.MinInt64 && v < 1<<63 {
		return int64(v)
	}
	return math.MinInt64
}

// The seconds whose years, less 1900, are the least and the largest int of C.
const (
	firstSecond = -67768040609740800
	lastSecond  = 67768036191676799
)

// putISO8601 writes a time and the quote behind it. As in Zeek its second is cut and its microseconds are
// rounded, so that they may become 1000000; and a time that the calendar ends before is the year 2000.
func putISO8601(out []byte, n int, v float64) int {
	second := math.Floor(v)
	if !(firstSecond <= second && second <= lastSecond) {
		return n + copy(out[n:], `2000-01-01T00:00:00.000000"`)
	}
	t := time.Unix(int64(second), 0).UTC()
	n = putInt(out, n, int64(t.Year()))
	n = len(t.AppendFormat(out[:n], "-01-02T15:04:05."))
	_, fraction := math.Modf(v)
	if fraction < 0 {
		fraction++
	}
	micros := uint64(math.RoundToEven(fraction * 1e6))
	if micros == 1e6 {
		return n + copy(out[n:], `1000000Z"`)
	}
	n = putTriple(out, putTriple(out, n, micros/1000), micros%1000)
	return n + copy(out[n:], `Z"`)
}
