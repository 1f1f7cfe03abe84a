package logs

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// every returns a schema with a column of each type and two more, a row of it, and one with all unset.
func every(t testing.TB, config ...string) (s *Schema, row, unset []byte) {
	t.Helper()
	name := func(n string, t, sub zeek.LogType) zeek.Field {
		return zeek.Field{Name: n, Type: uint64(t), Subtype: uint64(sub), Optional: true}
	}
	s, err := NewSchema(create("every", settings(config...),
		name("b", zeek.LogBool, 0), name("i", zeek.LogInt, 0), name("c", zeek.LogCount, 0), name("d", zeek.LogDouble, 0),
		name("t", zeek.LogTime, 0), name("iv", zeek.LogInterval, 0), name("s", zeek.LogString, 0), name("e", zeek.LogEnum, 0),
		name("p", zeek.LogPort, 0), name("a", zeek.LogAddr, 0), name("sn", zeek.LogSubnet, 0), name("fn", zeek.LogFunc, 0),
		name("f", zeek.LogFile, 0), name("set", zeek.LogSet, zeek.LogString), name("vec", zeek.LogVector, zeek.LogDouble)))
	if err != nil {
		t.Fatal(err)
	}
	row = zeek.AppendRecord(nil, len(s.Fields))
	row = zeek.AppendLogCount(zeek.AppendLogInt(zeek.AppendLogBool(row, true), -42), math.MaxUint64)
	row = zeek.AppendLogFloat(zeek.AppendLogFloat(zeek.AppendLogFloat(row, zeek.LogDouble, 3.25), zeek.LogTime, 1700000000.123456), zeek.LogInterval, 0.5)
	row = zeek.AppendLogText(zeek.AppendLogText(row, zeek.LogString, "a\tb|c"), zeek.LogEnum, "Notice::LOG")
	row = zeek.AppendLogAddr(zeek.AppendLogPort(row, 443, data.ProtoTCP), netip.MustParseAddr("2001:db8::1"))
	row = zeek.AppendLogSubnet(row, netip.MustParsePrefix("10.0.0.0/8"))
	row = zeek.AppendLogText(zeek.AppendLogText(row, zeek.LogFunc, "foo"), zeek.LogFile, "")
	row = zeek.AppendLogContainer(row, zeek.LogSet, 4)
	for _, text := range []string{"x,y", "-", "", "(empty)"} {
		row = zeek.AppendLogText(row, zeek.LogString, text)
	}
	row = zeek.AppendLogContainer(row, zeek.LogVector, 3)
	row = zeek.AppendLogFloat(row, zeek.LogDouble, 1)
	row = zeek.AppendUnset(row, zeek.LogDouble)
	row = zeek.AppendLogFloat(row, zeek.LogDouble, 1e21)
	unset = zeek.AppendRecord(nil, len(s.Fields))
	for _, f := range s.Fields {
		unset = zeek.AppendUnset(unset, zeek.LogType(f.Type))
	}
	return s, row, unset
}

func TestFormats(t *testing.T) {
	at := time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC)
	const names = "b i c d t iv s e p a sn fn f set vec"
	for name, c := range map[string]struct {
		config                     []string
		header, row, unset, footer string // with blanks for tabs
	}{
		"tsv": {
			header: "#separator \\x09\n#set_separator ,\n#empty_field (empty)\n#unset_field -\n#path every\n#open 2023-11-14-22-13-20\n" +
				"#fields " + names + "\n#types bool int count double time interval string enum port addr subnet func file set[string] vector[double]\n",
			row:    `T -42 18446744073709551615 3.25 1700000000.123456 0.500000 a\x09b|c Notice::LOG 443 2001:db8::1 10.0.0.0/8 foo (empty) x\x2cy,\x2d,(empty),\x28empty) 1.0,-,1000000000000000000000.0`,
			unset:  "- - - - - - - - - - - - - - -",
			footer: "#close 2023-11-14-22-13-20\n",
		},
		"bare": {
			config: []string{"tsv", "T", "empty_field", "", "unset_field", ""},
			header: names + "\n",
			row:    `T -42 18446744073709551615 3.25 1700000000.123456 0.500000 a\x09b|c Notice::LOG 443 2001:db8::1 10.0.0.0/8 foo  x\x2cy,-,,(empty) 1.0,,1000000000000000000000.0`,
			unset:  "              ",
		},
		// Separators that numbers and placeholders contain are escaped in them.
		"points": {
			config: []string{"separator", ".", "set_separator", "0", "unset_field", "n.a", "tsv", "T"},
			header: strings.ReplaceAll(names, " ", ".") + "\n",
			row: `T.-42.18446744073709551615.3\x2e25.1700000000\x2e123456.0\x2e500000.a\x09b|c.Notice::LOG.443.2001:db8::1.10\x2e0\x2e0\x2e0/8.foo.(empty).x,y0-0(empty)0\x28empty).` +
				`1\x2e\x300n\x2ea01` + strings.Repeat(`\x30`, 21) + `\x2e\x30`,
			unset: strings.Repeat(`n\x2ea.`, 14) + `n\x2ea`,
		},
		"longer": {
			config: []string{"separator", "||", "set_separator", ", ", "unset_field", "nothing at all", "empty_field", "an empty string", "tsv", "T"},
			header: strings.ReplaceAll(names, " ", "||") + "\n",
			row: `T||-42||18446744073709551615||3.25||1700000000.123456||0.500000||a\x09b|c||Notice::LOG||443||2001:db8::1||10.0.0.0/8||foo||an empty string||` +
				`x,y, -, an empty string, (empty)||1.0, nothing at all, 1000000000000000000000.0`,
			unset: strings.Repeat("nothing at all||", 14) + "nothing at all",
		},
		"meta": {
			config: []string{"meta_prefix", "T", "tsv", "T", "unset_field", "Tx"},
			header: names + "\n",
			row:    `\x54 -42 18446744073709551615 3.25 1700000000.123456 0.500000 a\x09b|c Notice::LOG 443 2001:db8::1 10.0.0.0/8 foo (empty) x\x2cy,-,(empty),\x28empty) 1.0,Tx,1000000000000000000000.0`,
			unset:  `\x54x` + strings.Repeat(" Tx", 14),
		},
		"json": {
			config: []string{"use_json", "T"},
			row:    `{"b":true,"i":-42,"c":18446744073709551615,"d":3.25,"t":1700000000.123456,"iv":0.5,"s":"a\tb|c","e":"Notice::LOG","p":443,"a":"2001:db8::1","sn":"10.0.0.0/8","fn":"foo","f":"","set":["x,y","-","","(empty)"],"vec":[1.0,null,1e21]}`,
			unset:  "{}",
		},
		"json with all": {
			config: []string{"use_json", "T", "json_include_unset_fields", "T", "json_timestamps", "JSON::TS_ISO8601"},
			row:    `{"b":true,"i":-42,"c":18446744073709551615,"d":3.25,"t":"2023-11-14T22:13:20.123456Z","iv":0.5,"s":"a\tb|c","e":"Notice::LOG","p":443,"a":"2001:db8::1","sn":"10.0.0.0/8","fn":"foo","f":"","set":["x,y","-","","(empty)"],"vec":[1.0,null,1e21]}`,
			unset:  `{"b":null,"i":null,"c":null,"d":null,"t":null,"iv":null,"s":null,"e":null,"p":null,"a":null,"sn":null,"fn":null,"f":null,"set":null,"vec":null}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, row, unset := every(t, c.config...)
			o := DefaultOptions()
			o.Location = time.UTC
			f := mustFormat(t, s, o)
			tabs := func(want string) string {
				if !o.For(s).JSON && o.For(s).Separator == "\t" {
					want = strings.ReplaceAll(strings.ReplaceAll(want, "#separator ", "#separator*"), " ", "\t")
				}
				return strings.ReplaceAll(want, "*", " ")
			}
			if got := string(f.Header(nil, at)); got != tabs(c.header) {
				t.Errorf("header\n%q, want\n%q", got, tabs(c.header))
			}
			if got := string(f.Footer(nil, at)); got != tabs(c.footer) {
				t.Errorf("footer %q, want %q", got, tabs(c.footer))
			}
			for _, r := range []struct {
				packed []byte
				want   string
			}{{row, c.row}, {unset, c.unset}} {
				for spare := range 3 { // whether or not there is room already
					got, err := f.Row(make([]byte, 3, 3+spare*1000), r.packed)
					if err != nil || string(got) != "\x00\x00\x00"+tabs(r.want)+"\n" {
						t.Fatalf("%v, row\n%q, want\n%q", err, got, tabs(r.want))
					}
				}
			}
		})
	}
}

func TestTimesInJSON(t *testing.T) {
	for _, c := range []struct {
		v                float64
		millis, unsigned string
		iso              string
	}{
		{1700000000.123456, "1700000000123", "1700000000123", "2023-11-14T22:13:20.123456Z"},
		{0, "0", "0", "1970-01-01T00:00:00.000000Z"},
		{-1.25, "-1250", "18446744073709550366", "1969-12-31T23:59:58.750000Z"},
		{0.9999999, "999", "999", "1970-01-01T00:00:00.1000000Z"}, // as Zeek has it
		{1e11, "100000000000000", "100000000000000", "5138-11-16T09:46:40.000000Z"},
		{1e300, "-9223372036854775808", "9223372036854775808", "2000-01-01T00:00:00.000000"},
		{math.NaN(), "-9223372036854775808", "9223372036854775808", "2000-01-01T00:00:00.000000"},
	} {
		for setting, want := range map[string]string{
			"JSON::TS_MILLIS": c.millis, "JSON::TS_MILLIS_UNSIGNED": c.unsigned, "JSON::TS_ISO8601": `"` + c.iso + `"`,
		} {
			s, err := NewSchema(create("x", settings("use_json", "T", "json_timestamps", setting), column1(zeek.LogTime)))
			if err != nil {
				t.Fatal(err)
			}
			row := zeek.AppendLogFloat(zeek.AppendRecord(nil, 1), zeek.LogTime, c.v)
			if got, err := mustFormat(t, s, DefaultOptions()).Row(nil, row); err != nil || string(got) != `{"x":`+want+"}\n" {
				t.Errorf("%v, %s: %q, %v, want %s", c.v, setting, got, err, want)
			}
		}
	}
}

// A long text that is escaped, or many elements, have room in the middle of a line.
func TestLongValues(t *testing.T) {
	s, err := NewSchema(create("x", data.Table(), column1(zeek.LogString),
		zeek.Field{Name: "v", Type: uint64(zeek.LogVector), Subtype: uint64(zeek.LogTime)}, column1(zeek.LogDouble)))
	if err != nil {
		t.Fatal(err)
	}
	const size = 10_000
	row := zeek.AppendLogText(zeek.AppendRecord(nil, 3), zeek.LogString, strings.Repeat("\x00", size))
	row = zeek.AppendLogContainer(row, zeek.LogVector, size)
	for range size {
		row = zeek.AppendLogFloat(row, zeek.LogTime, -math.MaxFloat64)
	}
	row = zeek.AppendLogFloat(row, zeek.LogDouble, math.MaxFloat64)
	large := string(appendFixed(nil, math.MaxFloat64))
	for json, want := range map[bool]string{
		false: strings.Repeat(`\x00`, size) + "\t" + strings.Repeat(",-"+large, size)[1:] + "\t" + strings.TrimRight(large, "0") + "0\n",
		true:  `{"x":"` + strings.Repeat(`\\x00`, size) + `","v":[` + strings.Repeat(",-1.7976931348623157e308", size)[1:] + `],"x":1.7976931348623157e308}` + "\n",
	} {
		o := DefaultOptions()
		o.JSON = json
		if got, err := mustFormat(t, s, o).Row(nil, row); err != nil || string(got) != want {
			t.Errorf("JSON %v: %v, %d bytes, want %d", json, err, len(got), len(want))
		}
	}
}

// Each record that does not suit is an error that says what is wrong, and nothing is appended.
func TestBadRows(t *testing.T) {
	s, row, unset := every(t)
	with := func(at int, b ...byte) []byte {
		bad := append([]byte(nil), row...)
		copy(bad[at:], b)
		return bad
	}
	// where finds the head of the first value of a type.
	where := func(typ zeek.LogType) int {
		at := strings.Index(string(row), string(zeek.AppendUnset(nil, typ)[:8])+"\x01")
		if at < 0 {
			t.Fatal(typ)
		}
		return at
	}
	bad := map[string]struct {
		packed []byte
		want   string
	}{
		"nothing":              {nil, "0 bytes"},
		"one more":             {append(binary.BigEndian.AppendUint32(nil, 16), row[4:]...), "16 values for 15 columns"},
		"one less":             {append(binary.BigEndian.AppendUint32(nil, 14), row[4:]...), "14 values for 15 columns"},
		"2^31":                 {with(0, 0x80, 0, 0, 0), "-2147483648 values"},
		"bytes behind":         {append(row[:len(row):len(row)], 0), "1 bytes behind"},
		"another type":         {with(where(zeek.LogInt), 0, 0, 0, byte(zeek.LogCount)), `column "i": count, want int`},
		"another type unset":   {append(append([]byte(nil), unset[:4+3]...), append([]byte{3}, unset[8:]...)...), `column "b": count, want bool`},
		"no type":              {with(where(zeek.LogInt), 0xff, 0, 0, 2), `column "i"`},
		"text of -1 byte":      {with(where(zeek.LogString)+9, 0xff, 0xff, 0xff, 0xff), `column "s"`},
		"long text":            {with(where(zeek.LogString)+9, 0x7f, 0xff, 0xff, 0xff), `column "s"`},
		"family 5":             {with(where(zeek.LogAddr)+9, 5), `column "a"`},
		"subnet of family 0":   {with(where(zeek.LogSubnet)+10, 0), `column "sn"`},
		"subnet of 129 bits":   {with(where(zeek.LogSubnet)+9, 129), "subnet"},
		"subnet of -1 bit":     {with(where(zeek.LogSubnet)+9, 95), "subnet"},
		"many elements":        {with(where(zeek.LogSet)+9, 0xff), `column "set"`},
		"element too many":     {with(where(zeek.LogVector)+9+7, 4), `column "vec"`},
		"element too few":      {with(where(zeek.LogVector)+9+7, 2), "behind the last value"},
		"another element":      {with(where(zeek.LogSet)+17, 0, 0, 0, byte(zeek.LogEnum)), `column "set": element of type enum, want set[string]`},
		"container in another": {with(where(zeek.LogVector)+17, 0, 0, 0, byte(zeek.LogVector)), `column "vec"`},
	}
	for cut := range row {
		bad["cut at "+string(rune('0'+cut))] = struct {
			packed []byte
			want   string
		}{row[:cut:cut], ""}
	}
	for _, json := range []bool{false, true} {
		o := DefaultOptions()
		o.JSON = json
		f := mustFormat(t, s, o)
		for name, c := range bad {
			got, err := f.Row([]byte("as it was"), c.packed)
			if !errors.Is(err, ErrRow) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
			if string(got) != "as it was" {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}

func TestBadOptions(t *testing.T) {
	s, _, _ := every(t)
	for name, change := range map[string]func(o *Options){
		"separator": func(o *Options) { o.Separator = "" }, "set_separator": func(o *Options) { o.SetSeparator = "\n" },
		"meta_prefix": func(o *Options) { o.MetaPrefix = "" }, "unset_field": func(o *Options) { o.UnsetField = "\n" },
		"empty_field": func(o *Options) { o.EmptyField = "\x00" }, "json_timestamps": func(o *Options) { o.JSONTimestamps = "" },
	} {
		o := DefaultOptions()
		change(&o)
		if _, err := NewFormat(s, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
