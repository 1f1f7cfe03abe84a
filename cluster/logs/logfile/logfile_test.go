package logfile

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/logs"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// recorded returns the logs of a recorded link with their rows.
func recorded(t *testing.T) (creates map[string]zeek.LogCreate, rows map[string][][]byte) {
	t.Helper()
	file, err := os.Open("../../../interop/testdata/zeek/8.2.2-tsv/links/worker-1_to_logger-1-0.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	creates, rows = map[string]zeek.LogCreate{}, map[string][][]byte{}
	err = capture.Read(file, func(it capture.Item) error {
		if it.Frame == nil || it.Frame.Handshake != nil || it.Frame.Envelope.Type != wire.TypeData {
			return nil
		}
		m, err := zeek.Parse(it.Frame.Envelope.Payload)
		members := []zeek.Message{m}
		if batch, ok := m.(zeek.Batch); ok {
			members = batch
		}
		for _, m := range members {
			switch m := m.(type) {
			case zeek.LogCreate:
				creates[m.Stream] = m
			case zeek.LogWrite:
				rows[m.Stream] = append(rows[m.Stream], m.Packed)
			}
		}
		return err
	})
	if err != nil || len(creates) < 30 || len(rows) < 30 {
		t.Fatalf("%d logs, %d with rows: %v", len(creates), len(rows), err)
	}
	return creates, rows
}

// write writes rows in a format.
func write(t *testing.T, o logs.Options, path string, fields []zeek.Field, rows [][]byte) string {
	t.Helper()
	f, err := logs.NewFormat(&logs.Schema{Stream: path, Path: path, Fields: fields}, o)
	if err != nil {
		t.Fatal(err)
	}
	out := f.Header(nil, time.Unix(1700000000, 0))
	for _, row := range rows {
		if out, err = f.Row(out, row); err != nil {
			t.Fatal(err)
		}
	}
	return string(f.Footer(out, time.Unix(1700000060, 0)))
}

// read reads all rows, which are copied, and the log of the last. Lines that are not read are returned too.
func read(t *testing.T, text string, lookAhead bool) (l *Log, rows [][]byte, bad []string) {
	t.Helper()
	r := NewReader(strings.NewReader(text), lookAhead)
	for {
		row, err := r.Next()
		var line *LineError
		switch {
		case errors.As(err, &line):
			bad = append(bad, err.Error())
		case errors.Is(err, io.EOF):
			return r.Log(), rows, bad
		case err != nil:
			return r.Log(), rows, append(bad, err.Error())
		default:
			rows = append(rows, bytes.Clone(row.Packed))
		}
	}
}

// Every recorded log comes back as it was written, from TSV and from JSON, which tell more or less of it.
func TestReadRecorded(t *testing.T) {
	creates, rows := recorded(t)
	n := 0
	for stream, create := range creates {
		if len(rows[stream]) == 0 {
			continue
		}
		n += len(rows[stream])
		tsv, bare, json := logs.DefaultOptions(), logs.DefaultOptions(), logs.DefaultOptions()
		bare.Bare, json.JSON = true, true
		for name, o := range map[string]logs.Options{"tsv": tsv, "bare": bare, "json": json} {
			text := write(t, o, create.Info.Path, create.Fields, rows[stream])
			l, got, bad := read(t, text, true)
			if len(bad) > 0 || len(got) != len(rows[stream]) {
				t.Fatalf("%s in %s: %d rows, want %d; %v", stream, name, len(got), len(rows[stream]), bad)
			}
			if name == "bare" {
				continue // "0.250000" is "0.25" if nobody knows that it is an interval
			}
			if again := write(t, o, create.Info.Path, l.Fields, got); again != text {
				t.Errorf("%s in %s: read\n%s\nwant\n%s", stream, name, again, text)
			}
			if name == "tsv" && (l.Path != create.Info.Path || !l.Opened.Equal(time.Unix(1700000000, 0))) {
				t.Errorf("%s: path %q, opened %v", stream, l.Path, l.Opened)
			}
		}
	}
	if n < 2000 {
		t.Errorf("%d rows", n)
	}
}

// text returns a row as TSV.
func text(t *testing.T, l *Log, row []byte) string {
	t.Helper()
	o := logs.DefaultOptions()
	o.IncludeMeta = false
	return strings.TrimSuffix(write(t, o, "x", l.Fields, [][]byte{row}), "\n")
}

func types(l *Log) (all string) {
	for _, f := range l.Fields {
		all += " " + f.Name + ":" + f.TypeName()
	}
	return strings.TrimSpace(all)
}

const header = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tx\n"

// What can be in a file, and what can be wrong with it.
func TestRead(t *testing.T) {
	zipped := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(s))
		z.Close()
		return b.String()
	}
	plain := header + "#fields\tts\ts\tv\n#types\ttime\tstring\tset[count]\n"
	for name, c := range map[string]struct {
		in, types string
		rows, bad []string
	}{
		"empty":            {in: ""},
		"no rows":          {in: plain, types: "ts:time s:string v:set[count]"},
		"escapes":          {in: plain + "1.5\ta\\x09b\\\\x\\xffé\t1,2\n", types: "ts:time s:string v:set[count]", rows: []string{"1.500000\ta\\x09b\\\\x\\xff\\xc3\\xa9\t1,2"}},
		"unset and empty":  {in: plain + "-\t(empty)\t(empty)\n1\t\\x2d\t-\n", types: "ts:time s:string v:set[count]", rows: []string{"-\t(empty)\t(empty)", "1.000000\t\\x2d\t-"}},
		"old backslashes":  {in: plain + "1\ta\\b\\\t-\n", types: "ts:time s:string v:set[count]", rows: []string{"1.000000\ta\\\\b\\\\\t-"}},
		"carriage returns": {in: strings.ReplaceAll(plain+"1\ta\t-\n", "\n", "\r\n"), types: "ts:time s:string v:set[count]", rows: []string{"1.000000\ta\t-"}},
		"bad rows": {in: plain + "1\ta\n1\ta\tx\n1\ta\t1\nx\ta\t1\n", types: "ts:time s:string v:set[count]", rows: []string{"1.000000\ta\t1"},
			bad: []string{"line 8: 2 values, there are 3 columns", `line 9: column v: "x" is no count`, `line 11: column ts: "x" is no time`}},
		"cut short": {in: plain + "1\ta\t1\n1\ta\t12", types: "ts:time s:string v:set[count]", rows: []string{"1.000000\ta\t1"}, bad: []string{"line 9: cut short: it has no end"}},
		"two logs":  {in: plain + "1\ta\t1\n#close\tx\n" + header + "#fields\tn\n#types\tcount\n7\n", types: "n:count", rows: []string{"1.000000\ta\t1", "7"}},
		"commas":    {in: "#separator ,\n#set_separator,;\n#fields,a,b\n#types,string,vector[bool]\nx,T;F;-\n", types: "a:string b:vector[bool]", rows: []string{"x\tT,F,-"}},
		"old types": {in: "#fields\ta\tb\n#types\ttable[addr]\tpattern\n1.2.3.4\t/x/\n", types: "a:set[addr] b:string", rows: []string{"1.2.3.4\t/x/"}},
		"all types": {in: "#fields\ta\tb\tc\td\te\tf\tg\th\ti\tj\n#types\tbool\tint\tcount\tdouble\tinterval\tenum\tport\taddr\tsubnet\tfunc\n" +
			"T\t-3\t3\t2.5\t1.5\ttcp\t53\t2001:db8::1\t10.0.0.0/8\tf\n", types: "a:bool b:int c:count d:double e:interval f:enum g:port h:addr i:subnet j:func",
			rows: []string{"T\t-3\t3\t2.5\t1.500000\ttcp\t53\t2001:db8::1\t10.0.0.0/8\tf"}},
		"gzip":          {in: zipped(plain + "1\ta\t1\n"), types: "ts:time s:string v:set[count]", rows: []string{"1.000000\ta\t1"}},
		"gzip in parts": {in: zipped(plain+"1\ta\t1\n") + zipped("2\tb\t2\n"), types: "ts:time s:string v:set[count]", rows: []string{"1.000000\ta\t1", "2.000000\tb\t2"}},
		"names only":    {in: "ts\tid.orig_h\tid.orig_p\tn\tok\ts\tq\n1.5\t1.2.3.4\t80\t-\tT\t7\t-1\n2\t::1\t81\t3.5\tF\tx\t5\n", types: "ts:time id.orig_h:addr id.orig_p:port n:double ok:bool s:string q:int", rows: []string{"1.500000\t1.2.3.4\t80\t-\tT\t7\t-1", "2.000000\t::1\t81\t3.5\tF\tx\t5"}},
		"json": {in: `{"ts":1.5,"a":{"b":1,"c":"x"},"l":["x",null,1],"e":[],"n":null}` + "\n" + `{"ts":"2023-11-14T22:13:20.5Z","a.b":-1,"n":true}` + "\n" + `{"ts":1700000000500,"a.b":"y","new":1}`,
			types: "ts:time a.b:string new:count a.c:string l:vector[string] e:vector[string] n:bool",
			rows:  []string{"1.500000\t1\t-\tx\tx,-,1\t(empty)\t-", "1700000000.500000\t-1\t-\t-\t-\t-\tT", "1700000000.500000\ty\t1\t-\t-\t-\t-"}},
		"json order":     {in: "{\"a\":1,\"c\":1}\n{\"a\":1,\"b\":1}\n{\"b\":1,\"c\":1}\n", types: "a:count b:count c:count", rows: []string{"1\t-\t1", "1\t1\t-", "-\t1\t1"}},
		"json cut short": {in: "{\"a\":1}\n{\"a\":", types: "a:count", rows: []string{"1"}, bad: []string{"line 2: no JSON object: unexpected EOF"}},
		"json and more":  {in: "{\"a\":1} x\n{\"a\":2}\n", types: "a:count", rows: []string{"2"}, bad: []string{"line 1: something stands behind the object"}},
		"nonsense":       {in: "a b c\n", bad: []string{"line 1: neither a log of Zeek nor JSON: the first line of a log without header has the names of its columns"}},
		"types missing":  {in: "#fields\ta\tb\n#types\tcount\n", bad: []string{"line 2: 1 types for 2 columns"}},
		"gzip cut short": {in: zipped(plain + "1\ta\t1\n")[:90], types: "", bad: []string{"damaged or ends too early"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, rows, bad := read(t, c.in, true)
			if got := types(l); got != c.types && name != "gzip cut short" {
				t.Errorf("columns %s\nwant    %s", got, c.types)
			}
			var got []string
			for _, row := range rows {
				if r := zeek.ReadRecord(row); r.Len() == len(l.Fields) {
					got = append(got, text(t, l, row))
				} else { // of an earlier log of the file
					got = append(got, "1.000000\ta\t1")
				}
			}
			if !slices.Equal(got, c.rows) {
				t.Errorf("rows %q\nwant %q", got, c.rows)
			}
			if len(bad) != len(c.bad) || !slices.EqualFunc(bad, c.bad, strings.Contains) {
				t.Errorf("not read: %q\nwant      %q", bad, c.bad)
			}
		})
	}
}

// A row as JSON becomes what the columns say, or is refused with what is wrong.
func TestAppendJSONRow(t *testing.T) {
	fields, err := ParseColumns("ts:time, b:bool?, i:int?, c:count?, d:double?, v:interval?, s:string?, e:enum?, p:port?, a:addr?, n:subnet?, l:set[addr]?, m:vector[count]?, id.x:string?")
	if err != nil {
		t.Fatal(err)
	}
	l := &Log{Fields: fields}
	for in, want := range map[string]string{
		`{"ts":1.5}`: "1.500000" + strings.Repeat("\t-", 13),
		`{"ts":"2023-11-14T22:13:20Z","b":true,"i":-1,"c":18446744073709551615,"d":2.5,"v":"1m","s":"x\ty","e":"tcp","p":"53/udp","a":"1.2.3.4","n":"10.0.0.0/8","l":["::1","1.2.3.4"],"m":[1,null],"id":{"x":""}}`: "1700000000.000000\tT\t-1\t18446744073709551615\t2.5\t60.000000\tx\\x09y\ttcp\t53\t1.2.3.4\t10.0.0.0/8\t::1,1.2.3.4\t1,-\t(empty)",
		`{"ts":0,"p":80,"v":0.5,"m":[],"s":null}`: "0.000000\t-\t-\t-\t-\t0.500000\t-\t-\t80\t-\t-\t-\t(empty)\t-",
	} {
		row, err := AppendJSONRow(nil, fields, []byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if got := text(t, l, row); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		`{}`:                        "column ts: unset, and it is not optional",
		`{"ts":null}`:               "column ts: unset, and it is not optional",
		`{"ts":1,"x":1}`:            "there is no column x",
		`{"ts":"yesterday"}`:        `column ts: "yesterday" is no time`,
		`{"ts":1,"c":-1}`:           `column c: "-1" is no count`,
		`{"ts":1,"c":"1"}`:          `column c: "1" is no count`,
		`{"ts":1,"c":1.5}`:          `column c: "1.5" is no count`,
		`{"ts":1,"b":"T"}`:          `column b: "T" is no bool`,
		`{"ts":1,"s":1}`:            `column s: 1 is no string`,
		`{"ts":1,"p":65536}`:        `column p: "65536" is no port`,
		`{"ts":1,"a":"1.2.3"}`:      `column a: "1.2.3" is no addr`,
		`{"ts":1,"a":"fe80::1%lo"}`: `column a: "fe80::1%lo" is no addr`,
		`{"ts":1,"m":1}`:            `column m: 1 is no array`,
		`{"ts":1,"m":[1,"x"]}`:      `column m: [1]: "x" is no count`,
		`[1]`:                       "no JSON object: want a JSON object",
		`{"ts":1`:                   "no JSON object: unexpected EOF",
		strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20): "nested more than 16 deep",
	} {
		row, err := AppendJSONRow([]byte("before"), fields, []byte(in))
		if err == nil || !strings.Contains(err.Error(), want) || string(row) != "before" {
			t.Errorf("%s: got %v, want %q; %q", in, err, want, row)
		}
	}
}

func TestParseColumns(t *testing.T) {
	for in, want := range map[string]string{
		"":              "want NAME:TYPE",
		"a":             `column a: no type ""`,
		"a:text":        `column a: no type "text"`,
		"a:set":         `column a: no type "set"`,
		"a:set[set[a]]": `column a: no type`,
		"a:count[int]":  `column a: no type "count[int]"`,
		"a:any":         `column a: no type "any"`,
		"a:int,a:int":   "column a: there are two of that name",
		"a:set[int":     `column a: no type "set[int"`,
	} {
		if _, err := ParseColumns(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
}

// A filter takes the rows that it should.
func TestFilter(t *testing.T) {
	in := "#fields\tn\tts\tv\ta\tnet\tp\ts\te\tok\tc\td\tl\ti\n" +
		"#types\tcount\ttime\tinterval\taddr\tsubnet\tport\tstring\tenum\tbool\tcount\tdouble\tset[addr]\tint\n" +
		"1\t1700000000.5\t1.5\t10.1.2.3\t10.1.0.0/16\t443\tssl\ttcp\tT\t18446744073709551615\t0.5\t10.0.0.1,192.0.2.1\t-5\n" +
		"2\t1700000010.123457\t60\t2001:db8::1\t2001:db8::/32\t53\tdns and more\tudp\tF\t7\tnan\t(empty)\t5\n" +
		"3\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\n"
	for where, want := range map[string]string{
		"p == 443":                              "1",
		"p = 443":                               "1",
		"p==443 and e==tcp":                     "1",
		"p != 443":                              "2 3",
		"not p == 443":                          "2 3",
		"p > 53":                                "1",
		"p >= 53":                               "1 2",
		"p == 53/udp":                           "2",
		"c == 18446744073709551615":             "1",
		"c < 18446744073709551615":              "2",
		"c > 6.5":                               "1 2",
		"i < 0 or i == unset":                   "1 3",
		"d >= 0":                                "1",
		"d < 1 or d > 0":                        "1",
		"a in 10.0.0.0/8":                       "1",
		"not a in 10.0.0.0/8":                   "2 3",
		"a in {10.1.2.3, 2001:db8::1}":          "1 2",
		"a == 10.1.2.3":                         "1",
		"a < 10.2.0.0":                          "1",
		"net in 10.0.0.0/8":                     "1",
		"net in 10.1.0.0/17":                    "",
		"net == 10.1.0.0/16":                    "1",
		"l in 192.0.2.0/24":                     "1",
		"l == 10.0.0.1":                         "1",
		"l != 10.0.0.1":                         "2 3",
		"l == unset":                            "3",
		"s ~ '^dns'":                            "2",
		`s !~ "^dns"`:                           "1 3",
		`s == "dns and more"`:                   "2",
		`s == 'it''s'`:                          "",
		"e in {tcp, icmp}":                      "1",
		"ok == T":                               "1",
		"ok != T":                               "2 3",
		"ts >= 2023-11-14T22:13:30Z":            "2",
		"ts < 1700000001":                       "1",
		"ts == 2023-11-14T22:13:30.123457Z":     "2",
		"v > 10s":                               "2",
		"v <= 1.5":                              "1",
		"p ~ 4":                                 "1",
		"gone == 1":                             "",
		"gone != 1":                             "1 2 3",
		"gone == unset":                         "1 2 3",
		"n == 1 or n == 2 and p == 443":         "1",
		"(n == 1 or n == 2) and not (p == 443)": "2",
		"not not n == 3":                        "3",
		"n in {1,3} and (a == unset or (p == 443))": "1 3",
		"'n' == '2'": "2",
		"n != unset and s != unset and ts != unset ": "1 2",
	} {
		t.Run(where, func(t *testing.T) {
			if where == `s == 'it''s'` {
				if _, err := ParseFilter(where); err == nil {
					t.Error("no error")
				}
				return
			}
			f, err := ParseFilter(where)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			r := NewReader(strings.NewReader(in), true)
			for row, err := r.Next(); err == nil; row, err = r.Next() {
				ok, err := f.Match(row)
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					c := zeek.ReadRecord(row.Packed)
					n, _ := c.Next()
					got = append(got, fmt.Sprint(n.Count()))
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("got %q, want %q", strings.Join(got, " "), want)
			}
			if unknown := f.Unknown(); (len(unknown) > 0) != strings.Contains(where, "gone") {
				t.Errorf("unknown columns %q", unknown)
			}
		})
	}
}

func TestFilterErrors(t *testing.T) {
	for where, want := range map[string]string{
		"":                                      "at byte 1: the end, want a column",
		"p":                                     `at byte 2: "", want one of ==`,
		"p 443":                                 `at byte 3: "443", want one of ==`,
		"p ==":                                  "at byte 5: the end, want a value",
		"p == 1 q == 2":                         `at byte 8: "q", want and, or, or the end`,
		"(p == 1":                               `at byte 8: "", want )`,
		"p == 'x":                               "at byte 6: a quote that does not end",
		"p in {1,":                              "at byte 9: the end, want a value",
		"p in {1 2}":                            `at byte 9: "2", want , or }`,
		"p ~ '('":                               "missing closing )",
		"== 1":                                  `at byte 1: "==", want a column`,
		strings.Repeat("(", 1000):               "nested too deep",
		strings.Repeat("not ", 1000) + "p == 1": "nested too deep",
	} {
		if _, err := ParseFilter(where); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %q", where, err, want)
		}
	}
	row := &Row{Log: &Log{Fields: []zeek.Field{{Name: "p", Type: uint64(zeek.LogPort)}, {Name: "a", Type: uint64(zeek.LogSet), Subtype: uint64(zeek.LogAddr)}, {Name: "b", Type: uint64(zeek.LogBool)}}}}
	for where, want := range map[string]string{
		"p == http":   `column p, of type port: "http" is no port`,
		"a == b":      `column a, of type set[addr]: "b" is no address`,
		"a in 10/8":   `column a, of type set[addr]: "10/8" is no address`,
		"b == 1":      `column b, of type bool: "1" is neither T nor F`,
		"p in {80,x}": `column p, of type port: "x" is no port`,
	} {
		f, err := ParseFilter(where)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Match(row); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", where, err, want)
		}
	}
}

// Whatever is in a file, reading ends, and every row that comes is a sound record of the columns.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{header + "#fields\ta\tb\n#types\tset[addr]\ttime\n1.2.3.4\t1\n", "{\"a\":[1,null]}\n{\"b\":{\"c\":\"x\"}}\n", "a\tb\n1\tx\n", "\x1f\x8b"} {
		f.Add([]byte(seed), "a == 1 or not (b in {x,'y'} and a.b ~ z)")
	}
	f.Fuzz(func(t *testing.T, in []byte, where string) {
		filter, err := ParseFilter(where)
		r := NewReader(bytes.NewReader(in), len(in)%2 == 0)
		for {
			row, readErr := r.Next()
			var line *LineError
			if errors.As(readErr, &line) {
				continue
			}
			if readErr != nil {
				return
			}
			c := zeek.ReadRecord(row.Packed)
			if c.Len() != len(row.Log.Fields) {
				t.Fatalf("%d values, %d columns", c.Len(), len(row.Log.Fields))
			}
			for i := range row.Log.Fields {
				if cell, ok := c.Next(); !ok || uint64(cell.Type) != row.Log.Fields[i].Type {
					t.Fatalf("column %d: %v, want %s: %v", i, cell.Type, row.Log.Fields[i].TypeName(), c.Err())
				}
			}
			if c.Err() != nil {
				t.Fatal(c.Err())
			}
			if err == nil {
				filter.Match(row)
			}
		}
	})
}

// Every file that a real logger wrote comes out as it was, but for when it was closed.
func TestReadRealFiles(t *testing.T) {
	for _, form := range []string{"tsv", "json"} {
		files, _ := filepath.Glob("../../../interop/testdata/zeek/8.2.2-" + form + "/logs/*")
		if len(files) < 40 {
			t.Fatalf("%d files in %s", len(files), form)
		}
		for _, name := range files {
			file, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			plain := file
			if z, err := gzip.NewReader(bytes.NewReader(file)); err == nil {
				if plain, err = io.ReadAll(z); err != nil {
					t.Fatal(err)
				}
			}
			want, _, _ := strings.Cut(string(plain), "#close")
			l, rows, bad := read(t, string(file), true)
			o := logs.DefaultOptions()
			o.JSON = form == "json"
			f, err := logs.NewFormat(&logs.Schema{Path: l.Path, Fields: l.Fields}, o)
			if err != nil {
				t.Fatal(err)
			}
			got := f.Header(nil, l.Opened)
			for _, row := range rows {
				if got, err = f.Row(got, row); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if string(got) != want || len(bad) > 0 {
				t.Errorf("%s: not as it was; %q", name, bad)
			}
		}
	}
}
