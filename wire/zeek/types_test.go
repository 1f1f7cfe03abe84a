package zeek_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// logWrite is the smallest value that a node before 7.0 takes for a log write: the version is not
// checked, and what follows the type does not matter.
func logWrite() data.Value {
	return data.Vector(data.None(), data.Count(uint64(zeek.TypeLogWrite)), data.None())
}

func batch(members ...data.Value) data.Value {
	return data.Vector(data.Count(zeek.Version), data.Count(uint64(zeek.TypeBatch)), data.Vector(members...))
}

func nestedBatch(levels int, v data.Value) data.Value {
	for range levels {
		v = batch(v)
	}
	return v
}

func TestTypesOf(t *testing.T) {
	none := []zeek.Type{}
	event := data.Vector(data.Count(1), data.Count(uint64(zeek.TypeEvent)), data.Vector())
	update := data.Vector(data.Count(1), data.Count(uint64(zeek.TypeIdentifierUpdate)), data.Vector(), data.None())
	encode := func(v data.Value) []byte { return data.AppendValue(nil, v) }
	for _, c := range []struct {
		name    string
		payload []byte
		want    []zeek.Type // nil for an error
	}{
		{"event", encode(event), []zeek.Type{zeek.TypeEvent}},
		{"log write of any version", encode(logWrite()), []zeek.Type{zeek.TypeLogWrite}},
		{"identifier update with more elements", encode(update), []zeek.Type{zeek.TypeIdentifierUpdate}},
		{"log write, malformed behind its type", encode(logWrite())[:12], []zeek.Type{zeek.TypeLogWrite}},
		{"log write, with trailing bytes", append(encode(logWrite()), 1, 2, 3), []zeek.Type{zeek.TypeLogWrite}},
		{"batch", encode(batch(event, logWrite(), update)), []zeek.Type{zeek.TypeBatch, zeek.TypeEvent, zeek.TypeLogWrite, zeek.TypeIdentifierUpdate}},
		{"batch with members that are none", encode(batch(data.Count(3), data.Vector(), data.String("x"), logWrite())), []zeek.Type{zeek.TypeBatch, zeek.TypeLogWrite}},
		{"batch whose content is none", encode(data.Vector(data.Count(1), data.Count(5), data.Count(3))), []zeek.Type{zeek.TypeBatch}},
		{"batch, empty", encode(batch()), []zeek.Type{zeek.TypeBatch}},
		{"batches 8 deep", encode(nestedBatch(8, logWrite())), []zeek.Type{zeek.TypeBatch, zeek.TypeLogWrite}},
		{"batches 9 deep", encode(nestedBatch(9, event)), nil},
		{"batch cut short", encode(batch(event, logWrite()))[:30], nil},
		{"batch with a member of no kind", append(encode(batch(event, data.None()))[:len(encode(batch(event)))], 99), nil},
		{"string", encode(data.String("hello")), none},
		{"two elements", encode(data.Vector(data.Count(1), data.Count(3))), none},
		{"type is an integer", encode(data.Vector(data.Count(1), data.Int(3), data.None())), none},
		{"type 6", encode(data.Vector(data.Count(1), data.Count(6), data.None())), none},
		{"type 3 + 256", encode(data.Vector(data.Count(1), data.Count(259), data.None())), none},
		{"nothing", nil, nil},
		{"no such kind", []byte{15}, nil},
		{"elements without bytes", []byte{byte(data.KindVector), 0xff, 0xff, 0xff, 0xff, 0x0f}, nil},
		{"version of no kind", []byte{byte(data.KindVector), 3, 99, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := zeek.TypesOf(c.payload)
			if c.want == nil {
				if !errors.Is(err, zeek.ErrMessage) {
					t.Fatalf("got %b, %v, want an error", got, err)
				}
				return
			}
			var want zeek.TypeSet
			for _, typ := range c.want {
				want |= 1 << typ
			}
			if err != nil || got != want {
				t.Errorf("got %08b, %v, want %08b", got, err, want)
			}
		})
	}
}

// treeTypes is what TypesOf must find, worked out on the decoded tree.
func treeTypes(v data.Value) (set zeek.TypeSet) {
	elems := v.Elems()
	if v.Kind() != data.KindVector || len(elems) < 3 {
		return 0
	}
	n, ok := elems[1].AsCount()
	if !ok || n > uint64(zeek.TypeBatch) {
		return 0
	}
	set = 1 << n
	if n == uint64(zeek.TypeBatch) && elems[2].Kind() == data.KindVector {
		for _, member := range elems[2].Elems() {
			set |= treeTypes(member)
		}
	}
	return set
}

// drawMessage draws what is, or nearly is, a message of any type.
func drawMessage(t *rapid.T, depth int) data.Value {
	if rapid.IntRange(0, 4).Draw(t, "other") == 0 {
		return datatest.Value(2).Draw(t, "value")
	}
	typ := rapid.Uint64Range(0, 6).Draw(t, "type")
	content := datatest.Value(2).Draw(t, "content")
	if typ == uint64(zeek.TypeBatch) && depth > 0 {
		var members []data.Value
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			members = append(members, drawMessage(t, depth-1))
		}
		content = data.Vector(members...)
	}
	elems := []data.Value{data.Count(rapid.Uint64Range(0, 2).Draw(t, "version")), data.Count(typ), content}
	for range rapid.IntRange(0, 2).Draw(t, "extra") {
		elems = append(elems, datatest.Value(1).Draw(t, "more"))
	}
	return data.Vector(elems...)
}

// Whatever the message, the types in it are found; and wherever it is cut short, they are found or the
// cut is noticed.
func TestTypesOfMissesNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawMessage(t, 4)
		payload := data.AppendValue(nil, v)
		want := treeTypes(v)
		if got, err := zeek.TypesOf(payload); err != nil || got != want {
			t.Fatalf("%v: got %08b, %v, want %08b", v, got, err, want)
		}
		for cut := range payload {
			if got, err := zeek.TypesOf(payload[:cut]); err == nil && got != want {
				t.Fatalf("%v cut to %d bytes: got %08b, want %08b", v, cut, got, want)
			}
		}
	})
}

func BenchmarkTypesOf(b *testing.B) {
	members := make([]data.Value, 400)
	row := data.String(string(make([]byte, 300)))
	for i := range members {
		members[i] = data.Vector(data.Count(1), data.Count(uint64(zeek.TypeLogWrite)), data.Vector(data.Enum("Conn::LOG"), data.Enum("Log::WRITER_ASCII"), data.String("conn"), row))
	}
	for name, payload := range map[string][]byte{
		"event": zeek.AppendEvent(nil, "event", data.Count(1)),
		"batch": data.AppendValue(nil, batch(members...)),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for range b.N {
				if _, err := zeek.TypesOf(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
