package data_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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
	text, err := os.ReadFile(filepath.Join("../../../shared/vectors", dir, "values.jsonl"))
	if err != nil {
		t.Skip("no recordings beside this checkout; package interop replays its own copies")
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
// is rejected. What any version writes, we read.
func TestRecordedJSON(t *testing.T) {
	inexact := map[string]string{ // how the reference itself falls short
		"real 3.141592653589793":                  "cut to six digits",
		"real 5e-324":                             "garbled",
		"real 2.2250738585072014e-308":            "cut to six digits",
		"timestamp 2026-11-23T06:37:00.123456789": "cut to milliseconds",
		"timestamp 1969-12-31T23:59:59.500":       "before 1970",
		"bad subnet length":                       "a /33 taken for ::/0",
	}
	for _, dir := range []string{"wire", "wire-2.8.0-dev.97", "wire-2.6.0", "wire-2.3.8"} {
		for _, row := range recordedJSON(t, dir) {
			_, in, inErr := data.ParseJSONMessage(row.In, data.StrictJSON)
			if dir == "wire" {
				rejected := row.Rejected != "" || row.Name == "bad subnet length"
				if rejected != (inErr != nil) {
					t.Errorf("%s: %s: %v, the reference says %q", row.Name, row.In, inErr, row.Rejected)
				}
			}
			if row.Payload == "" {
				continue
			}
			b, _ := hex.DecodeString(row.Payload)
			sent, err := data.DecodeValue(b)
			if err != nil {
				t.Fatal(err)
			}
			zoned := strings.HasPrefix(row.Name, "timestamp 20") && !strings.HasSuffix(row.Name, "Z") && strings.Contains(row.Name, "T")
			escaped := dir == "wire-2.6.0" && strings.Contains(row.Name, `back\`) // it loses a backslash
			if inErr == nil && !in.Equal(sent) && !strings.HasPrefix(row.Name, "real ") && !(zoned && dir != "wire") && !escaped {
				t.Errorf("%s %s: we read %s, the reference sent %s", dir, row.Name, data.AppendJSON(nil, in), data.AppendJSON(nil, sent))
			}
			_, out, err := data.ParseJSONMessage(row.Out, data.AnyJSON)
			if err != nil {
				if why, known := inexact[row.Name]; !known || why != "before 1970" {
					t.Errorf("%s %s: %s: %v", dir, row.Name, row.Out, err)
				}
				continue
			}
			if !out.Equal(sent) && inexact[row.Name] == "" {
				t.Errorf("%s %s: %s reads as %s, sent was %s", dir, row.Name, row.Out, data.AppendJSON(nil, out), data.AppendJSON(nil, sent))
			}
			if ours, err := data.ParseJSON(data.AppendJSON(nil, sent), data.StrictJSON); err != nil || !ours.Equal(sent) {
				t.Errorf("%s: our own %s: %v", row.Name, data.AppendJSON(nil, sent), err)
			}
		}
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
