package fuzz

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// JSON that parses is valid JSON, parses in the wider dialect too, and to a value that is written in a
// form that reads back the same.
func FuzzJSON(f *testing.F) {
	for _, v := range values() {
		f.Add(data.AppendJSON(nil, v))
		f.Add(data.AppendJSONMessage(nil, "/topic\"\x01é", v))
	}
	for _, text := range []string{
		`{"data":[{"data":1,"@data-type":"count"}],"@data-type":"vector"}`,
		`{"@data-type":"real","data":1}`, `{"@data-type":"timespan","data":"1.5us"}`,
		`{"@data-type":"timestamp","data":"2026-01-31T23:59:59.5+01:00"}`, `{"@data-type":"string","data":"\ud83d\ude00\ud800"}`,
		"{\"@data-type\":\"none\",\"data\":{}}\x00", ` { "x" : [ null , -1.5e+3 , { } ] , "@data-type" : "none" , "data" : { } } `,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var strict, wide data.Value
		var strictErr, wideErr error
		bounded(t, 2*len(text), func() {
			strict, strictErr = data.ParseJSON(text, data.StrictJSON)
			wide, wideErr = data.ParseJSON(text, data.AnyJSON)
		})
		if strictErr == nil && (wideErr != nil || !wide.Equal(strict)) {
			t.Fatalf("strict %v, wide %v, %v", strict, wide, wideErr)
		}
		topic, message, messageErr := data.ParseJSONMessage(text, data.AnyJSON)
		for _, err := range []error{strictErr, wideErr, messageErr} {
			if err != nil && !errors.Is(err, data.ErrJSON) {
				t.Fatal(err)
			}
		}
		if wideErr != nil {
			if messageErr == nil {
				t.Fatalf("a message, but no value: %v", wideErr)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatalf("taken for %v", wide)
		}
		if !has(wide, tooSmall) {
			checkStable(t, wide)
		}
		checkJSON(t, wide)
		if messageErr == nil && (!message.Equal(wide) || topic == "" && !json.Valid(text)) {
			t.Fatalf("a message of %v, a value of %v", message, wide)
		}
	})
}

// Every value has a form in JSON and a text for people. The first reads back the same, as far as JSON
// can hold the value; the second has nothing that a terminal would act upon.
func FuzzRender(f *testing.F) {
	addValues(f, func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := data.DecodeValue(b)
		if err != nil {
			return
		}
		checkJSON(t, v)
		checkText(t, v)
	})
}

func checkJSON(t *testing.T, v data.Value) {
	t.Helper()
	text := data.AppendJSON(nil, v)
	if !json.Valid(text) || !utf8.Valid(text) {
		t.Fatalf("not JSON: %s", text)
	}
	back, err := data.ParseJSON(text, data.StrictJSON)
	switch {
	case !lossy(v):
		if err != nil || !back.Equal(v) {
			t.Fatalf("%s is read back as %v, %v", text, back, err)
		}
	case err == nil:
		if lossy(back) {
			t.Fatalf("%s is read back as %v, which cannot be written either", text, back)
		}
	case !errors.Is(err, data.ErrDuplicate): // two members may become one
		t.Fatalf("%s: %v", text, err)
	}
	topic, message, err := data.ParseJSONMessage(data.AppendJSONMessage(nil, "/é\"\x00", v), data.AnyJSON)
	if !lossy(v) && (err != nil || topic != "/é\"\x00" || !message.Equal(v)) {
		t.Fatalf("%s is read back as a message of %v to %q, %v", text, message, topic, err)
	}
}

// lossy tells whether JSON cannot hold the value exactly: a string that is not UTF-8, a subnet with
// host bits.
func lossy(v data.Value) bool {
	return has(v, func(v data.Value) bool {
		s, _ := v.AsString()
		name, _ := v.AsEnum()
		p, ok := v.AsSubnet()
		return !utf8.ValidString(s) || !utf8.ValidString(name) || ok && !data.Subnet(p).Equal(v)
	})
}

// tooSmall tells whether a value is a real that has no encoding and is sent as zero.
func tooSmall(v data.Value) bool {
	f, ok := v.AsReal()
	return ok && f != 0 && math.Abs(f) < 0x1p-1023
}

func checkText(t *testing.T, v data.Value) {
	t.Helper()
	text := v.String()
	if !utf8.ValidString(text) {
		t.Fatalf("%q is not UTF-8", text)
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			t.Fatalf("%q has %q", text, r)
		}
	}
}

// An argument of the command line becomes a value that can be sent, and that has an argument of its
// own which becomes the same value.
func FuzzArg(f *testing.F) {
	for _, arg := range []string{
		"word", "http://x", "5", "string:5", "count:5", "int:-3", "real:1", "real:1e-308", "bool:T", "addr:2001:db8::1", "subnet:10.0.0.0/8",
		"port:53/udp", "time:1700000000.5", "time:2023-11-14T22:13:20Z", "time:now", "interval:1.5min", "interval:-0.000001h", "enum:Conn::LOG",
		"none:", `json:{"@data-type":"set","data":[]}`,
	} {
		f.Add(arg)
	}
	for _, v := range values() {
		f.Add(arg(v))
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := data.ParseArg(text)
		if err != nil {
			return
		}
		if !has(v, tooSmall) {
			checkStable(t, v)
		}
		checkText(t, v)
		if lossy(v) && v.Kind() >= data.KindSet {
			return // goes through JSON
		}
		back, err := data.ParseArg(arg(v))
		if err != nil || !back.Equal(v) {
			t.Fatalf("%q becomes %q, which becomes %v, %v", text, arg(v), back, err)
		}
	})
}

// arg returns the argument that means v.
func arg(v data.Value) string {
	switch v.Kind() {
	case data.KindNone:
		return "none:"
	case data.KindBool:
		return "bool:" + v.String()
	case data.KindCount:
		return "count:" + v.String()
	case data.KindInt:
		return "int:" + v.String()
	case data.KindReal:
		return "real:" + v.String()
	case data.KindString:
		s, _ := v.AsString()
		return "string:" + s
	case data.KindEnum:
		name, _ := v.AsEnum()
		return "enum:" + name
	case data.KindAddr:
		return "addr:" + v.String()
	case data.KindSubnet:
		return "subnet:" + v.String()
	case data.KindPort:
		return "port:" + v.String()
	case data.KindTime:
		return "time:" + v.String()
	case data.KindTimespan:
		return "interval:" + v.String()
	}
	return "json:" + string(data.AppendJSON(nil, v))
}
