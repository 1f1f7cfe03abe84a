package interop

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A replica is a master or a clone of a store, at a real node or at ours.
type replica interface {
	// do starts an operation, and tells what put_unique says.
	do(t *testing.T, op storeOp) bool
	get(t *testing.T, key data.Value) (data.Value, bool)
	contents(t *testing.T) data.Value
	// idle waits until what this side knows of has come to all.
	idle(t *testing.T)
	// index asks for what stands under an index of a value.
	index(t *testing.T, key, index data.Value) (data.Value, bool)
	// events returns what has happened since the last call.
	events(t *testing.T) []storeEvent
}

// A storeEvent is an event of a store (STORE.md section 5.6).
type storeEvent struct {
	what      string // the kind, the key, and of the values the old one first
	expiry    string // of an insert or update: nil, or after how long
	publisher string
}

// A storeOp is an operation on a store by its name in Broker.
type storeOp struct {
	call    string
	args    []data.Value
	expires bool
	expiry  time.Duration
}

func op(call string, args ...data.Value) storeOp { return storeOp{call: call, args: args} }

func (o storeOp) expiring(d time.Duration) storeOp {
	o.expires, o.expiry = true, d
	return o
}

// String writes the operation as the recordings do, in Python.
func (o storeOp) String() string {
	var args []string
	for _, v := range o.args {
		args = append(args, pythonic(v))
	}
	if o.expires {
		args = append(args, strconv.FormatFloat(o.expiry.Seconds(), 'g', -1, 64))
	}
	return fmt.Sprintf("s.%s(%s)", o.call, strings.Join(args, ", "))
}

// pythonic writes a value as Python does.
func pythonic(v data.Value) string {
	switch v.Kind() {
	case data.KindString:
		return "'" + v.String() + "'"
	case data.KindCount:
		return "Count(" + v.String() + ")"
	case data.KindTimespan:
		d, _ := v.AsTimespan()
		return "Timespan(" + strings.TrimSuffix(data.Real(d.Seconds()).String(), "s") + ")"
	}
	return v.String()
}

// A storeStep is an operation of the recordings, and what stands under its key afterwards at both sides.
type storeStep struct {
	storeOp
	want  any  // a data.Value; nil: nothing
	said  bool // by put_unique
	waste any  // what stands there at a real master that keeps its contents in memory (STORE.md section 5.3)
}

// recordedOps are the operations of the recordings ops-from-clone and ops-from-master.
var recordedOps = func() []storeStep {
	str, num, count, span := data.String, data.Int, data.Count, data.Timespan
	tab := func(value string) data.Value { return data.Table(data.Entry{Key: str("k1"), Value: str(value)}) }
	return []storeStep{
		{storeOp: op("put", str("k"), str("v1")), want: str("v1")},
		{storeOp: op("put", str("k"), str("v2")), want: str("v2")},
		{storeOp: op("put_unique", str("u"), num(1)), said: true, want: num(1)},
		{storeOp: op("put_unique", str("u"), num(2)), said: false, want: num(1)},
		{storeOp: op("put_unique", str("u3"), str("x")).expiring(time.Hour), said: true, want: str("x")},
		{storeOp: op("erase", str("k"))},
		{storeOp: op("erase", str("nosuch"))},
		{storeOp: op("increment", str("cnt"), count(5)), want: count(5)},
		{storeOp: op("increment", str("cnt"), count(2)), want: count(7)},
		{storeOp: op("decrement", str("cnt"), count(3)), want: count(4)},
		{storeOp: op("increment", str("int"), num(-4)), want: num(-4)},
		{storeOp: op("increment", str("real"), data.Real(1.25)), want: data.Real(1.25)},
		{storeOp: op("increment", str("ts"), span(2*time.Second)), want: data.Timestamp(2e9)},
		{storeOp: op("decrement", str("ts"), span(time.Second)), want: data.Timestamp(1e9)},
		{storeOp: op("increment", str("cnt"), num(1)), want: count(4)},
		{storeOp: op("increment", str("clash"), str("notanumber"))},
		{storeOp: op("decrement", str("nosuch"), num(1))},
		{storeOp: op("append", str("str"), str("foo")), want: str("foo")},
		{storeOp: op("append", str("str"), str("bar")), want: str("foobar")},
		{storeOp: op("append", str("cnt"), str("bar")), want: count(4)},
		{storeOp: op("append", str("badinit"), num(7)), waste: str("")},
		{storeOp: op("insert_into", str("set"), str("a")), want: data.Set(str("a"))},
		{storeOp: op("insert_into", str("set"), str("b")), want: data.Set(str("a"), str("b"))},
		{storeOp: op("insert_into", str("set"), str("a")), want: data.Set(str("a"), str("b"))},
		{storeOp: op("insert_into", str("tab"), str("k1"), str("v1")), want: tab("v1")},
		{storeOp: op("insert_into", str("tab"), str("k1"), str("v2")), want: tab("v2")},
		{storeOp: op("remove_from", str("set"), str("a")), want: data.Set(str("b"))},
		{storeOp: op("remove_from", str("set"), str("zzz")), want: data.Set(str("b"))},
		{storeOp: op("remove_from", str("tab"), str("k1")), want: data.Table()},
		{storeOp: op("push", str("vec"), num(1)), want: data.Vector(num(1))},
		{storeOp: op("push", str("vec"), str("two")), want: data.Vector(num(1), str("two"))},
		{storeOp: op("pop", str("vec")), want: data.Vector(num(1))},
		{storeOp: op("pop", str("vec")), want: data.Vector()},
		{storeOp: op("pop", str("vec")), want: data.Vector()},
		{storeOp: op("pop", str("nosuch"))},
		{storeOp: op("remove_from", str("str"), str("x")), want: str("foobar")},
		{storeOp: op("put", str("exp"), num(1)).expiring(time.Hour), want: num(1)},
		{storeOp: op("increment", str("exp"), num(1)), want: num(2)},
		{storeOp: op("clear")},
	}
}()

// The steps are those of the recordings, of all versions.
func TestRecordedOps(t *testing.T) {
	want := make([]string, len(recordedOps))
	for i, s := range recordedOps {
		want[i] = s.String()
	}
	for _, from := range []string{"clone", "master"} {
		for _, rec := range recordings(t, "store*/store-ops-from-"+from+".jsonl.gz", len(versions)) {
			var got []string
			for _, r := range rec.rows {
				if note, ok := strings.CutPrefix(r.Note, from+": "); ok && strings.HasPrefix(note, "s.") {
					got = append(got, note)
				}
			}
			got = slices.DeleteFunc(got, func(note string) bool { return strings.HasPrefix(note, "s.await_idle") })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", rec.name, diff)
			}
		}
	}
}

// markKey is a key that the tests put a number under, to see that all before it has been done.
var markKey = data.String("mark")

// A model is what the contents of a store should be.
type model map[string]data.Entry

func (m model) put(key, value data.Value) { m[key.String()] = data.Entry{Key: key, Value: value} }

func (m model) table() data.Value { return data.Table(slices.Collect(maps.Values(m))...) }

// play does all recorded operations at one replica, looks after each at the contents of all of them, and
// in the end at what they say has happened. Operations take effect in order: when a mark has come, what
// was before it has come, or has failed.
func play(t *testing.T, at replica, all ...replica) {
	t.Helper()
	for _, r := range all {
		r.idle(t) // a clone has attached
	}
	want, wasted, erased := model{}, model{}, []string{}
	for i, s := range recordedOps {
		if _, ours := at.(*ourStore); ours && s.waste != nil {
			continue // nobody can ask that of ours
		}
		if said := at.do(t, s.storeOp); s.call == "put_unique" && said != s.said {
			t.Errorf("%v says %v", s.storeOp, said)
		}
		switch {
		case s.call == "clear":
			clear(want)
			clear(wasted)
		case s.want != nil:
			want.put(s.args[0], s.want.(data.Value))
		default:
			delete(want, s.args[0].String())
		}
		if s.waste != nil {
			wasted.put(s.args[0], s.waste.(data.Value))
			erased = append(erased, "erase "+s.args[0].String())
		}
		mark := data.Count(uint64(i))
		at.do(t, op("put", markKey, mark))
		want.put(markKey, mark)
		for _, r := range all {
			await(t, r, markKey, mark)
			expected := want
			if real, ok := r.(*realStore); ok && real.memory {
				expected = maps.Clone(want)
				maps.Copy(expected, wasted)
			}
			if diff := cmp.Diff(expected.table(), r.contents(t)); diff != "" {
				t.Errorf("after %v: %s", s.storeOp, diff)
			}
		}
	}
	last := fmt.Sprintf("insert mark %d", len(recordedOps)-1) // after clear
	var first []storeEvent
	for i, r := range all {
		events := slices.DeleteFunc(eventsUntil(t, r, last), func(e storeEvent) bool { return slices.Contains(erased, e.what) })
		if i == 0 {
			first = events
		}
		if diff := cmp.Diff(first, events, cmp.AllowUnexported(storeEvent{})); diff != "" || len(events) < len(recordedOps) {
			t.Errorf("%d events: %s", len(events), diff)
		}
	}
}

// await waits until a replica has a value under a key.
func await(t *testing.T, r replica, key, want data.Value) {
	t.Helper()
	ctx := deadline(t)
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		got, ok := r.get(t, key)
		if ok && got.Equal(want) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("%v = %v, %v; want %v", key, got, ok, want)
		}
	}
}

// eventsUntil returns what has happened at a replica, up to the last of some events that have to come.
// What a clear erases comes in no particular order: here it is sorted.
func eventsUntil(t *testing.T, r replica, last ...string) (all []storeEvent) {
	t.Helper()
	ctx := deadline(t)
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	missing := func(what string) bool {
		return !slices.ContainsFunc(all, func(e storeEvent) bool { return e.what == what })
	}
	for slices.ContainsFunc(last, missing) {
		all = append(all, r.events(t)...)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("no %q in %q", last, all)
		}
	}
	for i := 0; i < len(all); i++ {
		start := i
		for i < len(all) && strings.HasPrefix(all[i].what, "erase ") {
			i++
		}
		slices.SortFunc(all[start:i], func(a, b storeEvent) int { return strings.Compare(a.what, b.what) })
	}
	return all
}
