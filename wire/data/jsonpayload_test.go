package data_test

import (
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
)

// A payload is rendered as its decoded value is.
func TestJSONPayload(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := datatest.Value(4).Draw(t, "value")
		topic := rapid.SampledFrom([]string{"", "/a", "/a/b", "quote\"\n\xff"}).Draw(t, "topic")
		want := string(data.AppendJSONMessage([]byte("before"), topic, v))
		got, err := data.AppendJSONPayload([]byte("before"), topic, data.AppendValue(nil, v), 64<<20)
		if err != nil || string(got) != want {
			t.Fatalf("got %s, %v, want %s", got, err, want)
		}
	})
}

// The members of a set may come in any order; they are rendered in one.
func TestJSONPayloadOrder(t *testing.T) {
	payload := []byte{14, 1, 12, 2, 1, 1, 1, 0} // a vector of a set of true and false
	got, err := data.AppendJSONPayload(nil, "/a", payload, 1000)
	if want := `{"type":"data-message","topic":"/a","@data-type":"vector","data":[{"@data-type":"set","data":[{"@data-type":"boolean","data":false},{"@data-type":"boolean","data":true}]}]}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestJSONPayloadRefuses(t *testing.T) {
	deep := []byte(strings.Repeat("\x0e\x01", data.MaxDepth+1) + "\x00")
	for name, payload := range map[string][]byte{
		"nothing":           {},
		"trailing":          {0, 0},
		"truncated":         {14, 2, 0},
		"duplicate":         {14, 1, 12, 2, 0, 0},
		"duplicate on top":  {12, 2, 0, 0},
		"too deep":          deep,
		"too long":          data.AppendValue(nil, data.Vector(make([]data.Value, 1000)...)),
		"too long, no list": data.AppendValue(nil, data.String(strings.Repeat("\n", 1000))),
	} {
		got, err := data.AppendJSONPayload([]byte("before"), "/a", payload, 1000)
		if err == nil || string(got) != "before" {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
}

func TestJSONPayloadLimit(t *testing.T) {
	payload := data.AppendValue(nil, data.Vector(data.Vector(data.String("x")), data.Count(1)))
	whole, err := data.AppendJSONPayload(nil, "/a", payload, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := data.AppendJSONPayload(nil, "/a", payload, len(whole)); err != nil || len(got) != len(whole) {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := data.AppendJSONPayload(nil, "/a", payload, len(whole)-1); err == nil || len(got) > 0 {
		t.Errorf("got %s, %v", got, err)
	}
}

// What is surely too long is not rendered first.
func TestJSONPayloadTooLong(t *testing.T) {
	text := data.String(strings.Repeat("\x01", 1<<20))
	for _, v := range []data.Value{text, data.Vector(text), data.Set(text), data.Table(data.Entry{Key: text, Value: text})} {
		payload := data.AppendValue(nil, v)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := data.AppendJSONPayload(nil, "/t", payload, 1<<20)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 16<<20 {
			t.Errorf("%v: %v, %d bytes allocated", v.Kind(), err, n)
		}
	}
}

func BenchmarkJSONPayload(b *testing.B) {
	payload := data.AppendValue(nil, data.Vector(data.Count(1), data.Count(1), data.Vector(
		data.String("event_1x"), data.Vector(data.Count(42), data.String("test")))))
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = data.AppendJSONPayload(buf[:0], "/bench/x", payload, 1000)
	}
}
