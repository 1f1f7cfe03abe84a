package main

import (
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// TestJSONEntry: what is dumped reads back as it was, to the last bit.
func TestJSONEntry(t *testing.T) {
	for _, v := range []data.Value{
		data.None(), data.Bool(true), data.Count(math.MaxUint64), data.Int(math.MinInt64), data.Real(0.1), data.Real(math.Copysign(0, -1)),
		data.Real(math.Inf(-1)), data.Real(math.NaN()), data.String(""), data.String("a\"\\\n\x00\u2028é"), data.String("\xff\x00"), data.Enum("Conn::LOG"),
		data.Enum("\xfe"), data.Addr(netip.MustParseAddr("::1")), data.Subnet(netip.MustParsePrefix("10.0.0.0/8")), data.Port(80, data.ProtoTCP),
		data.Timestamp(math.MaxInt64), data.Timestamp(math.MinInt64), data.Timestamp(1), data.Timespan(math.MinInt64), data.Timespan(1),
		data.Set(data.String("\xff"), data.String("b")), data.Vector(data.Vector(), data.Set(), data.Table()),
		data.Table(data.Entry{Key: data.Count(1), Value: data.Vector(data.String("x"))}),
		data.Table(data.Entry{Key: data.String("@binary"), Value: data.String("@binary")}),
	} {
		line := appendJSONEntry(nil, v, data.Vector(v))
		key, value, err := parseJSONEntry(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got := appendJSONEntry(nil, key, value); string(got) != string(line) {
			t.Errorf("%s became %s", line, got)
		}
		if a, b := data.AppendValue(nil, key), data.AppendValue(nil, v); string(a) != string(b) {
			t.Errorf("%s: %x became %x", line, b, a)
		}
	}
}

// TestJSONEntryErrors: what is wrong with a line is told with its column.
func TestJSONEntryErrors(t *testing.T) {
	for line, want := range map[string]string{
		`["a"]`:                         `column 1: want {"key":...,"value":...}`,
		``:                              `column 1: want {"key":...,"value":...}`,
		`{"key":"a","value":1}`:         `column 20: want a string or {"@data-type":...,"data":...}, not 1}`,
		`{"key":"a"}`:                   `column 11: want both "key" and "value"`,
		`{}`:                            `column 2: want both "key" and "value"`,
		`{"key":"a","value":"x"} y`:     `column 25: want nothing behind the entry`,
		`{"key":"a","value":"x","x":1}`: `column 24: want "key" and "value", and nothing else, not "x"`,
		`{"key":"a","key":"b"}`:         `column 12: this is there twice`,
		`{"key":"a","value":"x"`:        `column 23: want a comma, or the end of the entry`,
		`{"key":"a","value":"x",`:       `column 24: the line ends too early`,
		`{"key":"a","value":"x",}`:      `column 24: want a string or`,
		`{"key":"a" "value":"x"}`:       `column 12: want a comma`,
		`{"key" "a"}`:                   `column 8: want a colon`,
		`{"key":"abc`:                   `column 12: the line ends too early`,
		`{"key":"a\`:                    `column 11: the line ends too early`,
		`{"key":"a\q","value":"x"}`:     `column 10: invalid JSON: no such escape`,
		`{"key":"a","value":["a"]}`:     `column 20: invalid JSON`,
		`{"key":"a","value":{"@data-type":"count","data":-1}}`:                  `column 49: invalid JSON: want a count`,
		`{"key":"a","value":{"@data-type":"count","data":1]}`:                   `column 50: invalid JSON`,
		`{"key":{"@binary":"!!"},"value":"x"}`:                                  `column 8: "@binary": illegal base64`,
		`{"key":{"@binary":"/w=="},"value":"x"}`:                                `column 8: "@binary": at byte 0: no such kind of value`,
		`{"key":{"@binary":""},"value":"x"}`:                                    `column 8: "@binary": at byte 0: value ends too early`,
		`{"key":{"@binary":"AA==","x":""},"value":"x"}`:                         `column 8: want nothing beside "@binary"`,
		`{"value":"x","key":{"@data-type":"set","data":[` + "\xff" + `]}}`:      `column 48: invalid JSON`,
		`{"key":"` + strings.Repeat(`x`, 40) + `","value":"` + "\n" + `"}`:      `column 60: invalid JSON: control character`,
		`{"key":"a","value":{"@data-type":"string","data":"x"},"VALUE":"lost"}`: `column 55: want "key" and "value"`,
	} {
		if _, _, err := parseJSONEntry([]byte(line)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

func BenchmarkParseJSONEntry(b *testing.B) {
	line := []byte(`{"key":"key-12345","value":{"@data-type":"count","data":12345}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := parseJSONEntry(line); err != nil {
			b.Fatal(err)
		}
	}
}
