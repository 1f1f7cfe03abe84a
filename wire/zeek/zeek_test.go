package zeek_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// eachRecorded calls f with every data message that the nodes of a real cluster sent each other.
func eachRecorded(t testing.TB, f func(e wire.Envelope)) {
	t.Helper()
	files, err := filepath.Glob("../../interop/testdata/zeek/*/links/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		zip, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewReader(zip); ; {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break
			}
			var row struct {
				Hex string `json:"hex"`
			}
			if err := json.Unmarshal(line, &row); err != nil {
				t.Fatal(err)
			}
			frame, _ := hex.DecodeString(row.Hex)
			if len(frame) < wire.FrameHeaderLen {
				continue
			}
			if e, err := wire.ParseEnvelope(frame[wire.FrameHeaderLen:]); err == nil && e.Type == wire.TypeData {
				f(e)
			}
		}
		file.Close()
	}
}

// Every message that a real cluster sent parses, and is written back to the same bytes.
func TestRecordedMessages(t *testing.T) {
	seen := map[zeek.Type]int{}
	eachRecorded(t, func(e wire.Envelope) {
		m, err := zeek.Parse(e.Payload)
		if err != nil {
			t.Fatalf("%s: %x: %v", e.Topic, e.Payload, err)
		}
		seen[m.MessageType()]++
		if batch, ok := m.(zeek.Batch); ok {
			for _, m := range batch {
				seen[m.MessageType()]++
			}
		}
		if got := m.AppendMessage(nil); !bytes.Equal(got, e.Payload) {
			t.Fatalf("%s: got %x, want %x", e.Topic, got, e.Payload)
		}
		if zeek.TypeOf(e.Payload) != m.MessageType() {
			t.Errorf("TypeOf says %v", zeek.TypeOf(e.Payload))
		}
	})
	for _, want := range []zeek.Type{zeek.TypeEvent, zeek.TypeLogCreate, zeek.TypeLogWrite, zeek.TypeBatch} {
		if seen[want] == 0 {
			t.Errorf("no %v among the recordings", want)
		}
	}
	t.Log(seen)
}

func TestEventForms(t *testing.T) {
	args := []data.Value{data.Count(42), data.String("test")}
	for name, c := range map[string]struct {
		metadata []zeek.Metadata
		want     string
	}{
		"5.x":                {nil, ""},
		"8.0 publish":        {[]zeek.Metadata{}, "0e00"},
		"6.0 with timestamp": {[]zeek.Metadata{{Key: 1, Value: data.Timestamp(1)}}, "0e010e02020000000000000001090000000000000001"},
	} {
		e := zeek.Event{Name: "ping", Args: args, Metadata: c.metadata}
		b := e.AppendMessage(nil)
		elems := "02"
		if c.metadata != nil {
			elems = "03"
		}
		want := "0e030200000000000000010200000000000000010e" + elems + "050470696e67" + "0e0202000000000000002a050474657374" + c.want
		if got := hex.EncodeToString(b); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		back, err := zeek.ParseEvent(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, back); d != "" {
			t.Error(d)
		}
		view, err := zeek.ParseEventView(b)
		if err != nil || string(view.Name) != "ping" || view.NumArgs != 2 || view.Verify() != nil {
			t.Fatalf("%v, %v", view, err)
		}
		if view.Args.Count() != 42 || string(view.Args.Bytes()) != "test" || view.Args.Err() != nil {
			t.Error(view.Args.Err())
		}
	}
	if got := zeek.AppendEvent(nil, "ping", args...); !bytes.Equal(got, zeek.Event{Name: "ping", Args: args}.AppendMessage(nil)) {
		t.Errorf("AppendEvent: %x", got)
	}
}

func TestBadMessages(t *testing.T) {
	v, s := data.Vector, data.String
	one := data.Count(1)
	deep := data.AppendValue(nil, v(one, data.Count(5), v()))
	for range 10 {
		deep = append([]byte{14, 3, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 5, 14, 1}, deep...)
	}
	for name, b := range map[string][]byte{
		"not a vector":            data.AppendValue(nil, s("x")),
		"two elements":            data.AppendValue(nil, v(one, one)),
		"version 2":               data.AppendValue(nil, v(data.Count(2), one, v(s("e"), v()))),
		"type 6":                  data.AppendValue(nil, v(one, data.Count(6), v())),
		"type 0":                  data.AppendValue(nil, v(one, data.Count(0), v())),
		"event without arguments": data.AppendValue(nil, v(one, one, v(s("e")))),
		"event with a set":        data.AppendValue(nil, v(one, one, v(s("e"), data.Set()))),
		"metadata not a vector":   data.AppendValue(nil, v(one, one, v(s("e"), v(), one))),
		"metadata of one":         data.AppendValue(nil, v(one, one, v(s("e"), v(), v(v(one))))),
		"timestamp a count":       data.AppendValue(nil, v(one, one, v(s("e"), v(), v(v(one, one))))),
		"batch with a bad member": data.AppendValue(nil, v(one, data.Count(5), v(v(one, one, v(s("e"), v())), one))),
		"batch in batch in batch": deep,
		"short writer info":       data.AppendValue(nil, v(one, data.Count(2), v(data.Enum("A::LOG"), data.Enum("W"), v(s("p")), v()))),
		"trailing byte":           append(zeek.AppendEvent(nil, "e"), 0),
		"nothing":                 nil,
	} {
		m, err := zeek.Parse(b)
		if !errors.Is(err, zeek.ErrMessage) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if _, err := zeek.Parse(data.AppendValue(nil, v(one, one, v(s("e"), v(), v(), s("more")), s("more")))); err != nil {
		t.Errorf("further elements are to be ignored: %v", err)
	}
}

func TestEventViewInto(t *testing.T) {
	v, err := zeek.ParseEventView(zeek.AppendEvent(nil, "event", data.Count(42), data.String("test")))
	if err != nil {
		t.Fatal(err)
	}
	v.Args.Skip() // Into begins at the first all the same
	var args struct {
		N    uint64
		Text string
	}
	if err := v.Into(&args); err != nil || args.N != 42 || args.Text != "test" {
		t.Errorf("%+v, %v", args, err)
	}
	var wrong struct{ N, Text string }
	if err := v.Into(&wrong); err == nil || err.Error() != "args[0]: got count, want string" {
		t.Errorf("error %v", err)
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = zeek.AppendEvent(dst[:0], "event_1", data.Count(42), data.String("test"))
	}
}

func BenchmarkEventView(b *testing.B) {
	payload := zeek.AppendEvent(nil, "event_1", data.Count(42), data.String("test"))
	b.ReportAllocs()
	for b.Loop() {
		v, err := zeek.ParseEventView(payload)
		if err != nil || len(v.Name) != 7 || v.NumArgs != 2 || v.Args.Count() != 42 || len(v.Args.Bytes()) != 4 {
			b.Fatal(err)
		}
	}
}
