package data_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
)

// lossy tells whether JSON cannot hold the value exactly: a string that is not UTF-8, or that looks
// like one, a time outside the years 1678 to 2261.
func lossy(v data.Value) bool {
	if s, ok := v.AsString(); ok && !utf8.ValidString(s) {
		return true
	}
	if t, ok := v.AsTime(); ok && (t.Year() < 1678 || t.Year() > 2261) {
		return true
	}
	for _, e := range v.Elems() {
		if lossy(e) {
			return true
		}
	}
	for _, e := range v.Entries() {
		if lossy(e.Key) || lossy(e.Value) {
			return true
		}
	}
	return false
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := datatest.Value(3).Draw(t, "v")
		b := data.AppendJSON(nil, v)
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("not JSON: %s", b)
		}
		if lossy(v) {
			return
		}
		got, err := data.ParseJSON(b, data.StrictJSON)
		if err != nil || !got.Equal(v) {
			t.Fatalf("%s: %v, %s", b, err, data.AppendJSON(nil, got))
		}
		topic := rapid.String().Draw(t, "topic")
		msg := data.AppendJSONMessage(nil, topic, v)
		back, got, err := data.ParseJSONMessage(msg, data.StrictJSON)
		if err != nil || !got.Equal(v) || back != topic {
			t.Fatalf("%s: %v", msg, err)
		}
	})
}

func TestJSONGarbage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := data.AppendJSON(nil, datatest.Value(2).Draw(t, "v"))
		for range rapid.IntRange(1, 4).Draw(t, "mutations") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.SampledFrom([]byte(`{}[]":,\u0e+-. axt`)).Draw(t, "byte")
		}
		v, err := data.ParseJSON(b, data.AnyJSON)
		if err == nil && !json.Valid(b) {
			t.Fatalf("%s is taken for %s", b, data.AppendJSON(nil, v))
		}
	})
}

type jsonRow struct {
	Name     string          `json:"name"`
	In       json.RawMessage `json:"json_in"`
	Out      json.RawMessage `json:"json_out"`
	Payload  string          `json:"payload_hex"`
	Rejected string          `json:"rejected"`
}

func recordedJSON(t *testing.T, dir string) (rows []jsonRow) {
	t.Helper()
	file, err := os.Open(filepath.Join("../../interop/testdata", dir, "values.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var row jsonRow
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// What the newest Broker does with each recorded input, we do too: the same value comes of it, or it
// is rejected. What any version writes, we read. Where one of them differs, it is wrong or older than
// the form, and the table has it by name.
func TestRecordedJSON(t *testing.T) {
	const (
		all     = "wire wire-2.8.0-dev.97 wire-2.6.0 wire-2.3.8"
		older   = "wire-2.8.0-dev.97 wire-2.6.0 wire-2.3.8"
		oldest  = "wire-2.6.0 wire-2.3.8"
		pi      = "real 3.141592653589793"
		small   = "real 2.2250738585072014e-308"
		nanos   = "timestamp 2026-11-23T06:37:00.123456789"
		past    = "timestamp 1969-12-31T23:59:59.500"
		seconds = "timestamp 2038-01-19T03:14:08"
		zulu    = "timestamp 2022-04-10T07:00:00.000Z"
		offset  = "timestamp 2022-04-10T07:00:00.000+02:00"
	)
	want := map[string]string{
		"reads " + pi:                           all,                      // off by the last bit
		"reads " + small:                        all,                      // likewise
		"reads real 5e-324":                     all,                      // turns subnormals into anything
		"reads " + nanos:                        older,                    // nanoseconds for milliseconds
		`reads string quote" back\ len 19`:      "wire-2.6.0",             // loses a backslash
		"writes " + pi:                          all,                      // cut to six digits
		"writes " + small:                       all,                      // likewise: zero
		"writes " + nanos:                       "wire",                   // cut to milliseconds
		"writes " + past:                        "wire wire-2.8.0-dev.97", // as 1970
		"writes garbage for " + past:            oldest,
		"accepts bad subnet length":             all, // a /33 as ::/0
		"accepts set duplicates":                oldest,
		"accepts integer given as real":         "wire-2.6.0",
		"rejects " + seconds:                    older,
		"rejects " + zulu:                       older,
		"rejects " + offset:                     older,
		"rejects count 9223372036854775808":     "wire-2.3.8",
		"rejects count 18446744073709551615":    "wire-2.3.8",
		"rejects string wwwwwwwwwwww len 20000": "wire-2.3.8", // too long for its server, which does not even answer
		"rejects vector 200 counts":             "wire-2.3.8", // likewise
		"rejects bad port":                      "wire-2.3.8", // one without a protocol
	}
	got := make(map[string]string)
	for _, dir := range strings.Fields(all) {
		rows := recordedJSON(t, dir)
		if len(rows) != 110 {
			t.Errorf("%s: %d values, want 110", dir, len(rows))
		}
		for _, row := range rows {
			differs := func(how string) { got[how+" "+row.Name] = strings.TrimSpace(got[how+" "+row.Name] + " " + dir) }
			_, in, err := data.ParseJSONMessage(row.In, data.StrictJSON)
			accepted := err == nil
			if row.Payload == "" {
				if accepted {
					differs("rejects")
				}
				continue
			}
			b, _ := hex.DecodeString(row.Payload)
			sent, err := data.DecodeValue(b)
			if err != nil {
				t.Fatal(err)
			}
			if !accepted {
				differs("accepts")
			} else if !in.Equal(sent) {
				differs("reads")
			}
			if _, out, err := data.ParseJSONMessage(row.Out, data.AnyJSON); err != nil {
				differs("writes garbage for")
			} else if !out.Equal(sent) {
				differs("writes")
			}
			if ours, err := data.ParseJSON(data.AppendJSON(nil, sent), data.StrictJSON); err != nil || !ours.Equal(sent) {
				t.Errorf("%s: our own %s: %v", row.Name, data.AppendJSON(nil, sent), err)
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("how the reference differs from us (-want +got):\n%s", d)
	}
}

func TestJSONForms(t *testing.T) {
	for _, c := range []struct {
		v    data.Value
		want string
	}{
		{data.Real(1), `"real","data":1.0`},
		{data.Real(0.1), `"real","data":0.1`},
		{data.Real(1e300), `"real","data":1e+300`},
		{data.String("a\"\\\n\x01é\xff<&>"), `"string","data":"a\"\\\n\u0001é\\xff<&>"`},
		{data.Time(time.Unix(0, 1)), `"timestamp","data":"1970-01-01T00:00:00.000000001"`},
		{data.Time(time.Unix(-1, 5e8)), `"timestamp","data":"1969-12-31T23:59:59.500"`},
		{data.Timespan(1500 * time.Millisecond), `"timespan","data":"1500ms"`},
		{data.Timespan(0), `"timespan","data":"0s"`},
	} {
		if got, want := string(data.AppendJSON(nil, c.v)), `{"@data-type":`+c.want+"}"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	deep := strings.Repeat(`{"@data-type":"vector","data":[`, 101) + strings.Repeat("]}", 101)
	if _, err := data.ParseJSON([]byte(deep), data.AnyJSON); !errors.Is(err, data.ErrDepth) {
		t.Errorf("101 levels: %v", err)
	}
	deep = `{"x":` + strings.Repeat(`[`, 1_000_000) + strings.Repeat("]", 1_000_000) + `}`
	if _, err := data.ParseJSON([]byte(deep), data.AnyJSON); !errors.Is(err, data.ErrDepth) {
		t.Errorf("a million levels: %v", err)
	}
	late := `{"data":[{"data":1,"@data-type":"count"}],"@data-type":"vector"}`
	if v, err := data.ParseJSON([]byte(late), data.StrictJSON); err != nil || !v.Equal(data.Vector(data.Count(1))) {
		t.Errorf("type behind the data: %v", err)
	}
}

// However the members of an object stand, and whatever stands between them, the value is the same.
func TestJSONMembers(t *testing.T) {
	want := data.Vector(data.Count(1), data.String("a\"b"), data.Table(
		data.Entry{Key: data.String("k"), Value: data.Set(data.Bool(true), data.None())},
		data.Entry{Key: data.String("l"), Value: data.Vector()}))
	forms := map[string]func(kind, value string) string{
		"usual":         func(k, v string) string { return `{"@data-type":"` + k + `","data":` + v + `}` },
		"reversed":      func(k, v string) string { return `{"data":` + v + `,"@data-type":"` + k + `"}` },
		"spaces":        func(k, v string) string { return "\t{ \"@data-type\" :\n\"" + k + "\" , \"data\" : " + v + " }\r" },
		"spaces at end": func(k, v string) string { return `{"@data-type":"` + k + `","data":` + v + " }" },
		"more behind": func(k, v string) string {
			return `{"@data-type":"` + k + `","data":` + v + `,"x":[{},{"y":null},-1.5e3],"type":7,"topic":{}}`
		},
		"more before":  func(k, v string) string { return `{"x":{},"@data-type":"` + k + `","y":false,"data":` + v + `}` },
		"more between": func(k, v string) string { return `{"@data-type":"` + k + `","x":"}","data":` + v + `}` },
		"escaped":      func(k, v string) string { return `{"\u0040data-type":"` + k + `","d\u0061ta":` + v + `}` },
	}
	for name, form := range forms {
		text := form("vector", "["+form("count", "1")+","+form("string", `"a\"b"`)+","+form("table", "[ {\"value\":"+form("vector", "[ ]")+",\"key\":"+form("string", `"l"`)+
			"} ,{\"key\":"+form("string", `"k"`)+", \"value\" : "+form("set", "["+form("boolean", "true")+", "+form("none", "{}")+"]")+"}]")+"]")
		got, err := data.ParseJSON([]byte(text), data.StrictJSON)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: %s: got %v, %v", name, text, got, err)
		}
		// Cut short it is none, and what was read of it does no harm to what comes after it.
		for i := range len(strings.TrimSpace(text)) {
			if v, err := data.ParseJSON([]byte(text[:i]), data.StrictJSON); err == nil {
				t.Errorf("%s: %s is taken for %v", name, text[:i], v)
			}
		}
		if !got.Equal(want) {
			t.Errorf("%s: has become %v", name, got)
		}
	}
	for _, text := range []string{
		`{}`, `{"@data-type":"count"}`, `{"data":1}`, `{"@data-type":"count","data":1,}`, `{"@data-type":"count","data":1,"data":1}`,
		`{"@data-type":"count","data":1,"@data-type":"count"}`, `{"@data-type":"counts","data":1}`, `{"@data-type":"count,"data":1}`,
		`{"@data-type":"count","data":1}}`, `{"@data-type":"count","data":1]`, `{"@data-type":"count","data":01}`, `{"@data-type":"set","data":[,]}`,
		`{"@data-type":"table","data":[{}]}`, `{"@data-type":"table","data":[{"key":{"@data-type":"none","data":{}}}]}`, `{"@data-type":"vector","data":[{"@data-type":"none","data":{}}}`,
	} {
		if v, err := data.ParseJSON([]byte(text), data.AnyJSON); !errors.Is(err, data.ErrJSON) {
			t.Errorf("%s: got %v, %v", text, v, err)
		}
	}
}

func BenchmarkJSON(b *testing.B) {
	v := shapes()["1-event"]
	text := data.AppendJSONMessage(nil, "/test", v)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]byte, 0, len(text))
		for b.Loop() {
			dst = data.AppendJSONMessage(dst[:0], "/test", v)
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := data.ParseJSONMessage(text, data.StrictJSON); err != nil {
				b.Fatal(err)
			}
		}
	})
}
