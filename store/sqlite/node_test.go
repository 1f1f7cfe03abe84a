package sqlite

import (
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/storetest"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// python returns an interpreter with Broker's module: the one that ZEEKPEER_BROKER_PYTHON names,
// otherwise python3 on PATH; "" if there is none.
var python = sync.OnceValue(func() string {
	program := os.Getenv("ZEEKPEER_BROKER_PYTHON")
	if program == "" {
		program = "python3"
	}
	if exec.Command(program, "-c", "import broker").Run() != nil {
		return ""
	}
	return program
})

// node runs a real node with the file as its store, and returns what it says.
func node(t *testing.T, path, task string) string {
	t.Helper()
	if python() == "" {
		t.Skip("no python3 with the module broker on PATH, nor ZEEKPEER_BROKER_PYTHON set")
	}
	out, err := exec.CommandContext(t.Context(), python(), filepath.Join("testdata", "node.py"), path, task).CombinedOutput()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func encoded(v data.Value) string { return string(data.AppendValue(nil, v)) }

func put(key, value data.Value, expiry time.Time) store.Change {
	c := store.Change{Record: store.Record{Key: data.AppendValue(nil, key), Value: data.AppendValue(nil, value)}}
	if !expiry.IsZero() {
		c.Expiry = expiry.UnixNano()
	}
	return c
}

// What a real node has written is what we read.
func TestNodeWrites(t *testing.T) {
	for _, journal := range journals {
		path := filepath.Join(t.TempDir(), "s.sqlite")
		begin := time.Now()
		if said := node(t, path, "write"); said != "done" {
			t.Fatalf("node: %s", said)
		}
		want := storetest.NewContents()
		for key, value := range map[string]data.Value{
			"none":     data.None(),
			"boolean":  data.Bool(true),
			"count":    data.Count(7),
			"integer":  data.Int(-7),
			"real":     data.Real(2.5),
			"inf":      data.Real(math.Inf(-1)),
			"string":   data.String("str"),
			"address":  data.Addr(netip.MustParseAddr("192.0.2.1")),
			"subnet":   data.Subnet(netip.MustParsePrefix("10.0.0.0/8")),
			"port":     data.Port(443, data.ProtoTCP),
			"time":     data.Time(time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)),
			"timespan": data.Timespan(2 * time.Second),
			"enum":     data.Enum("K::E"),
			"set":      data.Set(data.Int(1), data.Int(3), data.String("a"), data.String("b")),
			"table":    data.Table(data.Entry{Key: data.String("k"), Value: data.Vector(data.Int(1), data.Set(data.Int(2)))}),
			"vector":   data.Vector(data.Int(1), data.String("x"), data.None()),
		} {
			want.Records[encoded(data.String(key))] = storetest.Record{Value: encoded(value)}
		}
		want.Records[encoded(data.Vector(data.Int(1), data.Addr(netip.MustParseAddr("::1"))))] =
			storetest.Record{Value: encoded(data.String("key that is a vector"))}
		for range 2 {
			b := open(t, path, WithJournal(journal))
			got, err := storetest.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			expiring := encoded(data.String("expiring"))
			at := time.Unix(0, got.Records[expiring].Expiry)
			if at.Before(begin.Add(time.Hour)) || at.After(time.Now().Add(time.Hour)) {
				t.Errorf("expires at %v, was written between %v and now", at, begin)
			}
			delete(got.Records, expiring)
			if diff := got.Diff(want); diff != "" {
				t.Fatal(diff)
			}
			closed(t, b)
		}
	}
}

// What we have written a real node reads, in every kind of value, changes and expires; what it then has
// is what we read.
func TestNodeTakesOver(t *testing.T) {
	for _, journal := range journals {
		path := filepath.Join(t.TempDir(), "new", "s.sqlite")
		values := []data.Value{
			data.None(), data.Bool(false), data.Bool(true), data.Count(math.MaxUint64), data.Int(math.MinInt64),
			data.Real(2.5), data.Real(math.Inf(1)), data.Real(math.Inf(-1)), data.Real(math.Copysign(0, -1)),
			data.String(""), data.String("\x00\xff"), data.String(strings.Repeat("long", 10_000)),
			data.Addr(netip.MustParseAddr("192.0.2.1")), data.Addr(netip.MustParseAddr("2001:db8::1")),
			data.Subnet(netip.MustParsePrefix("10.0.0.0/8")), data.Subnet(netip.MustParsePrefix("2001:db8::/32")),
			data.Port(53, data.ProtoUDP), data.Timestamp(-1), data.Timespan(-1), data.Enum("K::E"),
			data.Set(), data.Set(data.Int(-1), data.Int(1), data.String("a"), data.Set(data.None())),
			data.Table(data.Entry{Key: data.Vector(data.Count(1)), Value: data.Table()}, data.Entry{Key: data.Count(1), Value: data.Real(1)}),
			data.Vector(data.Vector(), data.Bool(true)),
		}
		now := time.Now()
		batch := &store.Batch{Master: wire.EntityID{Object: 1}, Mark: 1, Writers: []store.WriterMark{{Writer: wire.EntityID{Object: 2}, Seq: 3}}}
		for i, v := range values {
			batch.Changes = append(batch.Changes, put(data.Count(uint64(i)), v, time.Time{}), put(v, data.None(), time.Time{}))
		}
		batch.Changes = append(batch.Changes,
			put(data.String("number of values"), data.Count(uint64(len(values))), time.Time{}),
			put(data.String("changed"), data.None(), time.Time{}),
			put(data.String("number"), data.Count(37), now.Add(time.Hour)),
			put(data.String("set"), data.Set(data.String("c")), time.Time{}),
			put(data.String("erased"), data.None(), time.Time{}),
			put(data.String("expires soon"), data.None(), now.Add(time.Second)),
			put(data.String("expires later"), data.None(), now.Add(time.Hour)),
		)
		b := open(t, path, WithJournal(journal))
		commit(t, b, batch)
		if said := node(t, path, "attach"); said != "cannot attach a master" {
			t.Errorf("a node with a file that we have open: %q", said)
		}
		commit(t, b, batch)
		closed(t, b)
		if said := node(t, path, "read and write"); said != "done" {
			t.Fatalf("node: %s", said)
		}
		want := storetest.NewContents()
		if err := want.Commit(batch); err != nil {
			t.Fatal(err)
		}
		want.State = storetest.NewContents().State
		for i, v := range values {
			want.Records[encoded(data.Count(uint64(1000+i)))] = storetest.Record{Value: encoded(v)}
		}
		for key, value := range map[string]data.Value{
			"changed": data.String("by the node"),
			"number":  data.Count(42), // and without expiry
			"set":     data.Set(data.String("b"), data.String("c")),
		} {
			want.Records[encoded(data.String(key))] = storetest.Record{Value: encoded(value)}
		}
		delete(want.Records, encoded(data.String("erased")))
		delete(want.Records, encoded(data.String("expires soon")))
		b = open(t, path)
		got, err := storetest.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		expiring := encoded(data.String("expiring"))
		if got.Records[expiring].Expiry < now.Add(time.Hour).UnixNano() {
			t.Errorf("expiry %d", got.Records[expiring].Expiry)
		}
		delete(got.Records, expiring)
		if diff := got.Diff(want); diff != "" {
			t.Errorf("journal %s: %s", journal, diff)
		}
		closed(t, b)
	}
}
