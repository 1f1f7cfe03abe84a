package fuzz

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"unicode/utf8"

	"github.com/zeekpeer/zeekpeer/cluster/logs"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A packed record becomes one whole line, or an error and nothing, in the same way in each format, and
// exactly those that [zeek.ReadRecord] reads with the types of the schema become one. JSON is valid.
func FuzzLogRow(f *testing.F) {
	add := func(packed []byte) {
		f.Add(packed, byte(zeek.LogString), "\t", ",", "-", "(empty)", true)
		f.Add(packed, byte(zeek.LogSet), ".", "0", "1", "", false)
		f.Add(packed[:2*len(packed)/3], byte(zeek.LogSubnet), ",", ",", "", "", true)
	}
	addPayloads(f, func(payload []byte) {
		m, err := zeek.Parse(payload)
		if err != nil {
			return
		}
		batch, _ := m.(zeek.Batch)
		for _, m := range append(batch, m) {
			if w, ok := m.(zeek.LogWrite); ok && len(w.Packed) < 1000 {
				add(w.Packed)
			}
		}
	})
	row := zeek.AppendLogText(zeek.AppendRecord(nil, 4), zeek.LogString, "a\x00\xff\\\t\n,é\"")
	row = zeek.AppendLogFloat(zeek.AppendLogFloat(row, zeek.LogDouble, math.MaxFloat64), zeek.LogTime, math.NaN())
	row = zeek.AppendLogFloat(zeek.AppendLogContainer(row, zeek.LogVector, 2), zeek.LogInterval, -math.MaxFloat64)
	add(zeek.AppendUnset(row, zeek.LogInterval))
	f.Fuzz(func(t *testing.T, packed []byte, rest byte, sep, setSep, unset, empty string, utf8Mode bool) {
		fields, readable := fieldsOf(packed, zeek.LogType(rest))
		if len(fields) == 0 {
			return
		}
		s, err := logs.NewSchema(zeek.LogCreate{Stream: "X::LOG", Fields: fields, Info: zeek.WriterInfo{Path: "x", Config: data.Table()}})
		if err != nil {
			t.Fatalf("%v: %v", fields, err)
		}
		o := logs.DefaultOptions()
		for _, format := range []string{"default", "tsv", "JSON::TS_EPOCH", "JSON::TS_MILLIS", "JSON::TS_ISO8601"} {
			switch format {
			case "default":
			case "tsv":
				o.Separator, o.SetSeparator, o.UnsetField, o.EmptyField, o.UTF8 = sep, setSep, unset, empty, utf8Mode
			default:
				o = logs.DefaultOptions()
				o.JSON, o.JSONTimestamps, o.JSONIncludeUnset = true, format, utf8Mode
			}
			f, err := logs.NewFormat(s, o)
			if err != nil {
				continue // the separators cannot be
			}
			var got []byte
			bounded(t, len(packed)*(1+(len(sep)+len(setSep)+len(unset)+len(empty))/4), func() {
				got, err = f.Row([]byte("before"), packed)
			})
			line, ok := bytes.CutPrefix(got, []byte("before"))
			switch {
			case !ok, err != nil && len(line) > 0:
				t.Fatalf("%s: %x: %q, %v", format, packed, got, err)
			case err != nil && !errors.Is(err, logs.ErrRow), (err == nil) != readable:
				t.Fatalf("%s: %x: %v, want an error: %v", format, packed, err, !readable)
			case err != nil:
				continue
			case bytes.IndexByte(line, '\n') != len(line)-1:
				t.Fatalf("%s: %x: not one line: %q", format, packed, line)
			case o.JSON && (!json.Valid(line) || !utf8.Valid(line)):
				t.Fatalf("%s: %x: not JSON: %q", format, packed, line)
			case format == "default" && bytes.Count(line, []byte("\t")) != len(fields)-1:
				t.Fatalf("%x: %d columns, but %q", packed, len(fields), line)
			}
		}
	})
}

// fieldsOf returns columns for the values of a record, of type rest where they cannot be read, and whether
// a row of them is what the record is.
func fieldsOf(packed []byte, rest zeek.LogType) (fields []zeek.Field, readable bool) {
	r := zeek.ReadRecord(packed)
	count := r.Len()
	readable = true
	for {
		c, ok := r.Next()
		if !ok {
			readable = readable && r.Err() == nil
			for len(fields) < min(count, 100) && (rest.Atomic() || rest.Container()) {
				fields = append(fields, zeek.Field{Name: "x", Type: uint64(rest), Subtype: uint64(zeek.LogString)})
			}
			return fields, readable
		}
		f := zeek.Field{Name: "x", Type: uint64(c.Type)}
		if c.Type.Container() {
			f.Subtype = uint64(zeek.LogDouble)
		}
		elems := c.Elems()
		for first := true; ; first = false {
			e, ok := elems.Next()
			if !ok {
				break
			}
			if first {
				f.Subtype = uint64(e.Type)
			}
			readable = readable && uint64(e.Type) == f.Subtype && validSubnet(&e)
		}
		readable = readable && validSubnet(&c)
		fields = append(fields, f)
		if len(fields) > 1000 {
			return nil, false
		}
	}
}

func validSubnet(c *zeek.Cell) bool {
	return c.Type != zeek.LogSubnet || !c.Set || c.Subnet().IsValid()
}
