package data_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
)

func TestText(t *testing.T) {
	for _, c := range []struct {
		v    data.Value
		want string
	}{
		{data.None(), "nil"},
		{data.Vector(data.Bool(true), data.Count(5), data.Int(-5), data.Real(1)), "[T, 5, -5, 1.0]"},
		{data.Set(data.String("b"), data.String("a")), "{a, b}"},
		{data.Table(data.Entry{Key: data.Port(80, data.ProtoTCP), Value: data.Vector()}), "{80/tcp -> []}"},
		{data.Addr(netip.MustParseAddr("::ffff:10.0.0.1")), "10.0.0.1"},
		{data.Time(time.Unix(1700000000, 0)), "2023-11-14T22:13:20.000Z"},
		{data.Timespan(90 * time.Second), "90s"},
		{data.String("a\x1b[31m\n\\\xff é"), `a\x1b[31m\x0a\\\xff é`},
		{data.Enum("Conn::LOG"), "Conn::LOG"},
	} {
		if got := c.v.String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range datatest.Value(3).Draw(t, "v").String() {
			if unicode.IsControl(r) {
				t.Fatalf("control character %q", r)
			}
		}
	})
}

func TestParseArg(t *testing.T) {
	for arg, want := range map[string]data.Value{
		"word":                                data.String("word"),
		"http://x":                            data.String("http://x"),
		"string:5":                            data.String("5"),
		"":                                    data.String(""),
		"count:5":                             data.Count(5),
		"int:-3":                              data.Int(-3),
		"real:1":                              data.Real(1),
		"bool:T":                              data.Bool(true),
		"bool:false":                          data.Bool(false),
		"addr:2001:db8::1":                    data.Addr(netip.MustParseAddr("2001:db8::1")),
		"subnet:10.0.0.0/8":                   data.Subnet(netip.MustParsePrefix("10.0.0.0/8")),
		"port:53/udp":                         data.Port(53, data.ProtoUDP),
		"time:1700000000.5":                   data.Timestamp(1700000000_500000000),
		"time:2023-11-14T22:13:20Z":           data.Timestamp(1700000000_000000000),
		"interval:1.5min":                     data.Timespan(90 * time.Second),
		"enum:Conn::LOG":                      data.Enum("Conn::LOG"),
		"none:":                               data.None(),
		`json:{"@data-type":"set","data":[]}`: data.Set(),
	} {
		if got, err := data.ParseArg(arg); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %v, %v", arg, got.Kind(), got, err)
		}
	}
	for arg, want := range map[string][]string{
		"5":                   {"count:5", "int:5", "string:5"},
		"-3":                  {"int:-3"},
		"1.5":                 {"real:1.5"},
		"count:-1":            {"18446744073709551615"},
		"addr:10.0.0":         {"10.0.0.1"},
		"subnet:10.0.0.0/33":  {"10.0.0.0/8"},
		"port:80/sctp":        {"80/tcp"},
		"time:yesterday":      {"2026-01-31T23:59:59.123"},
		"interval:5":          {"10ms"},
		"bool:yes":            {"T or F"},
		"none:x":              {"none:"},
		"json:[]":             {"invalid JSON"},
		"interval:99999999h":  {"fit"},
		"time:99999999999999": {"fit"},
	} {
		_, err := data.ParseArg(arg)
		if err == nil {
			t.Errorf("%s is accepted", arg)
			continue
		}
		for _, hint := range want {
			if !strings.Contains(err.Error(), hint) {
				t.Errorf("%s: %v, want a hint at %s", arg, err, hint)
			}
		}
	}
}
