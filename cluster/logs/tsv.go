package logs

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A tsvFormat writes the text files that Zeek writes by default: a row a line, columns with tabs between them.
type tsvFormat struct {
	schema  *Schema
	options Options
	fields  []field
	columns tsvPlace
	elems   tsvPlace
	perByte int // how many bytes of a line a byte of a record leads to, if nothing is escaped
}

// A tsvPlace is where values stand: in columns, or in a set or vector.
type tsvPlace struct {
	escaper
	sep          string // what stands behind a value
	unset, empty string // what stands for a value, with sep
	unsetWord    uint64 // the bytes of unset, if there are 8 at most
	other        uint64 // what is special in a text beside a backslash and what is not printable; see special
	careful      bool   // all of a value is escaped, also numbers, because separators look like them
}

func newTSV(s *Schema, o Options) *tsvFormat {
	if o.Location == nil {
		o.Location = time.Local
	}
	f := &tsvFormat{schema: s, options: o, fields: fieldsFor(s)}
	f.columns = f.place(o.Separator, o.Separator)
	f.elems = f.place(o.SetSeparator, o.Separator, o.SetSeparator)
	longest := 0
	for _, p := range []*tsvPlace{&f.columns, &f.elems} {
		longest = max(longest, len(p.unset), len(p.empty))
	}
	f.perByte = 2 + longest/headSize
	return f
}

func (f *tsvFormat) place(sep string, seps ...string) tsvPlace {
	slices.Sort(seps)
	p := tsvPlace{sep: sep, escaper: escaper{seps: seps, utf8: f.options.UTF8}, other: each('\\')}
	p.unset = string(p.append(nil, []byte(f.options.UnsetField))) + sep
	for i := range min(8, len(p.unset)) {
		p.unsetWord |= uint64(p.unset[i]) << (8 * i)
	}
	p.empty = string(p.append(nil, []byte(f.options.EmptyField))) + sep
	// What separators begin with is looked for beside backslashes, unless it is not printable anyway.
	for _, sep := range seps {
		first := sep[0]
		if !isPrintable(first) || p.other == each(first) {
			continue
		}
		p.careful = p.careful || p.other != each('\\') || strings.IndexByte("0123456789abcdefinxTF.:/-", first) >= 0
		p.other = each(first)
	}
	return p
}

// Header appends the lines of comments, or the names of the columns alone.
func (f *tsvFormat) Header(dst []byte, opened time.Time) []byte {
	o := &f.options
	if !o.IncludeMeta {
		return dst
	}
	if !o.Bare {
		dst = append(append(append(dst, o.MetaPrefix...), "separator "...), escapeHeader(o.Separator)...)
		dst = append(dst, '\n')
		dst = f.comment(dst, "set_separator", escapeHeader(o.SetSeparator))
		dst = f.comment(dst, "empty_field", escapeHeader(o.EmptyField))
		dst = f.comment(dst, "unset_field", escapeHeader(o.UnsetField))
		dst = f.comment(dst, "path", escapeHeader(f.schema.Path))
		dst = f.comment(dst, "open", opened.In(o.Location).Format(fileTime))
		dst = append(append(append(dst, o.MetaPrefix...), "fields"...), o.Separator...)
	}
	for i, c := range f.schema.Fields {
		if i > 0 {
			dst = append(dst, o.Separator...)
		}
		dst = append(dst, c.Name...)
	}
	dst = append(dst, '\n')
	if !o.Bare {
		dst = append(append(dst, o.MetaPrefix...), "types"...)
		for _, c := range f.schema.Fields {
			dst = append(append(dst, o.Separator...), c.TypeName()...)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// Footer appends the comment that says when the file was closed.
func (f *tsvFormat) Footer(dst []byte, closed time.Time) []byte {
	if !f.options.IncludeMeta || f.options.Bare {
		return dst
	}
	return f.comment(dst, "close", closed.In(f.options.Location).Format(fileTime))
}

func (f *tsvFormat) comment(dst []byte, key, value string) []byte {
	for _, s := range []string{f.options.MetaPrefix, key, f.options.Separator, value} {
		dst = append(dst, s...)
	}
	return append(dst, '\n')
}

// escapeHeader writes what is blank or no printable ASCII in hex.
func escapeHeader(s string) string {
	var b []byte
	for _, c := range []byte(s) {
		if c == ' ' || !isPrintable(c) {
			b = appendHex(b, c)
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// Row appends one line.
func (f *tsvFormat) Row(dst, packed []byte) ([]byte, error) {
	if len(packed) < 4 || int(binary.BigEndian.Uint32(packed)) != len(f.fields) {
		return dst, f.schema.refusal(packed)
	}
	out := room(dst, f.perByte*len(packed)+roomValue)
	out, n, at := f.values(out, len(dst), packed, 4, &f.columns, f.fields, len(f.fields), 1)
	if at != len(packed) {
		return dst, f.schema.refusal(packed)
	}
	n -= len(f.columns.sep)
	out[n] = '\n'
	n++
	if line := out[len(dst):n]; line[0] == f.options.MetaPrefix[0] && strings.HasPrefix(string(line[:min(len(line), len(f.options.MetaPrefix))]), f.options.MetaPrefix) {
		out = slices.Replace(out[:n], len(dst), len(dst)+1, appendHex(nil, line[0])...)
		n = len(out)
	}
	return out[:n], nil
}

// values writes count packed values at in[at:], each with a separator behind it: one for each of fields, or
// all for the one field that there is, with a step of 0. It returns where it is then in both, and below 0
// in the second if the values are malformed.
func (f *tsvFormat) values(out []byte, n int, in []byte, at int, p *tsvPlace, fields []field, count, step int) (_ []byte, _, _ int) {
	for i := 0; i < count; i++ {
		c := &fields[i*step]
		b := in[at:]
		if !c.begins(b) {
			return out, n, -1
		}
		if b[headSize-1] == 0 {
			if binary.LittleEndian.PutUint64(out[n:], p.unsetWord); len(p.unset) > 8 {
				copy(out[n:], p.unset)
			}
			n += len(p.unset)
			at += headSize
			continue
		}
		begin := n
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
			out, n = putNumber(out, n, c.typ, binary.BigEndian.Uint64(b[headSize:]), f.perByte*len(b)+roomValue)
			at += numberSize
		case zeek.LogString, zeek.LogEnum, zeek.LogFunc, zeek.LogFile:
			size := textLen(b)
			if size < 0 {
				return out, n, -1
			}
			at += textSize + size
			if size == 0 {
				n += copy(out[n:], p.empty)
				continue
			}
			var ok bool
			if n, ok = putText(out, n, b[textSize:], size, p.other); !ok || p.careful || f.reserved(b[textSize:textSize+size]) {
				out = f.appendText(out[:begin], b[textSize:textSize+size], p)
				n = len(out)
				out = room(out, f.perByte*len(b)+roomValue)
			}
			n = p.end(out, n)
			continue
		case zeek.LogAddr, zeek.LogSubnet:
			size := 0
			if n, size = putAddr(out, n, c.typ, b[headSize:]); size == 0 {
				return out, n, -1
			}
			at += headSize + size
		default: // sets and vectors
			elems := elemCount(b)
			if elems < 0 {
				return out, n, -1
			}
			at += numberSize
			if elems == 0 {
				n += copy(out[n:], p.empty)
				continue
			}
			if out, n, at = f.values(out, n, in, at, &f.elems, c.elem, elems, 0); at < 0 {
				return out, n, at
			}
			n -= len(f.elems.sep)
			n = p.end(out, n)
			continue
		}
		if p.careful {
			out = p.append(out[:begin], slices.Clone(out[begin:n]))
			n = len(out)
			out = room(out, f.perByte*len(b)+roomValue)
		}
		n = p.end(out, n)
	}
	return out, n, at
}

// end writes the separator behind a value.
func (p *tsvPlace) end(out []byte, n int) int {
	if out[n] = p.sep[0]; len(p.sep) > 1 {
		copy(out[n:], p.sep)
	}
	return n + len(p.sep)
}

// putNumber writes a value of 8 bytes. size is the room that has to be there afterwards.
func putNumber(out []byte, n int, t zeek.LogType, v uint64, size int) ([]byte, int) {
	ok := true
	switch t {
	case zeek.LogBool:
		out[n] = 'T'
		if v == 0 {
			out[n] = 'F'
		}
		return out, n + 1
	case zeek.LogInt:
		return out, putInt(out, n, int64(v))
	case zeek.LogDouble:
		if n, ok = putDouble(out, n, v); !ok {
			out = appendDouble(out[:n], math.Float64frombits(v))
		}
	default:
		if n, ok = putTime(out, n, v); !ok {
			out = appendFixed(out[:n], math.Float64frombits(v))
		}
	}
	if !ok {
		n = len(out)
		out = room(out, size)
	}
	return out, n
}

// reserved tells whether a text looks like what stands for no text.
func (f *tsvFormat) reserved(text []byte) bool {
	return string(text) == f.options.UnsetField || string(text) == f.options.EmptyField
}

// appendText appends a text that has to be escaped.
func (f *tsvFormat) appendText(dst, text []byte, p *tsvPlace) []byte {
	if f.reserved(text) {
		dst = appendHex(dst, text[0])
		text = text[1:]
	}
	return p.append(dst, text)
}
