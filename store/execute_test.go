package store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
)

var key = data.String("k")

// apply executes op on t, puts its effect into effect and returns it.
func apply(t *table, c *wire.Command, now int64) effect {
	e := execute(c, t, now)
	switch e.kind {
	case effectSet:
		t.set(c.Key, e.value, e.expiry)
	case effectErase:
		t.erase(c.Key)
	case effectClear:
		t.clear()
	}
	return e
}

// holding returns a table with one entry under key, unless value is absent.
func holding(value data.Value) *table {
	t := new(table)
	if !value.Equal(absent) {
		t.set(encoded(key), encoded(value), 0)
	}
	return t
}

// absent stands for no value.
var absent = data.Enum("absent")

func setOf(n ...int64) data.Value {
	var elems []data.Value
	for _, i := range n {
		elems = append(elems, data.Int(i))
	}
	return data.Set(elems...)
}

func vector(n ...int64) data.Value {
	var elems []data.Value
	for _, i := range n {
		elems = append(elems, data.Int(i))
	}
	return data.Vector(elems...)
}

func tableWith(n ...int64) data.Value {
	var entries []data.Entry
	for i := 0; i < len(n); i += 2 {
		entries = append(entries, data.Entry{Key: data.Int(n[i]), Value: data.Int(n[i+1])})
	}
	return data.Table(entries...)
}

// kinds has a value of each kind, and operands of that kind.
var kinds = []struct{ value, operand data.Value }{
	{data.None(), data.None()},
	{data.Bool(true), data.Bool(true)},
	{data.Count(5), data.Count(7)},
	{data.Int(5), data.Int(7)},
	{data.Real(5), data.Real(7)},
	{data.String("5"), data.String("7")},
	{data.Addr(netip.MustParseAddr("10.0.0.5")), data.Addr(netip.MustParseAddr("10.0.0.7"))},
	{data.Subnet(netip.MustParsePrefix("10.5.0.0/16")), data.Subnet(netip.MustParsePrefix("10.7.0.0/16"))},
	{data.Port(5, data.ProtoTCP), data.Port(7, data.ProtoTCP)},
	{data.Timestamp(5), data.Timestamp(7)},
	{data.Timespan(5), data.Timespan(7)},
	{data.Enum("five"), data.Enum("seven")},
	{setOf(5), setOf(7)},
	{tableWith(5, 50), tableWith(7, 70)},
	{vector(5), vector(7)},
}

// Every kind of value meets every kind of operand, as the matrix of STORE.md section 5.3 has it.
func TestAddAndSubtractMatrix(t *testing.T) {
	type outcome struct {
		value data.Value
		err   error
	}
	clash := outcome{err: ErrTypeClash}
	for _, there := range kinds {
		v := there.value
		for _, by := range kinds {
			op := by.operand
			sum, difference := clash, clash
			switch v.Kind() {
			case data.KindCount, data.KindInt, data.KindReal, data.KindTimespan, data.KindString:
				if op.Kind() != v.Kind() {
					break
				}
				switch v.Kind() {
				case data.KindCount:
					sum.value, difference.value = data.Count(12), data.Count(math.MaxUint64-1)
				case data.KindInt:
					sum.value, difference.value = data.Int(12), data.Int(-2)
				case data.KindReal:
					sum.value, difference.value = data.Real(12), data.Real(-2)
				case data.KindTimespan:
					sum.value, difference.value = data.Timespan(12), data.Timespan(-2)
				case data.KindString:
					sum.value = data.String("57")
				}
				if sum.err = nil; v.Kind() != data.KindString {
					difference.err = nil
				}
			case data.KindTime:
				if op.Kind() == data.KindTimespan {
					sum, difference = outcome{value: data.Timestamp(12)}, outcome{value: data.Timestamp(-2)}
				}
			case data.KindSet:
				sum, difference = outcome{value: data.Set(data.Int(5), op)}, outcome{value: v}
			case data.KindTable:
				difference = outcome{value: v}
				if op.Kind() == data.KindVector {
					sum = outcome{err: ErrInvalidData}
				}
			case data.KindVector:
				sum, difference = outcome{value: data.Vector(data.Int(5), op)}, outcome{value: data.Vector()}
			}
			for name, tc := range map[string]struct {
				op   Op
				want outcome
			}{
				"add":      {newOp(wire.CommandAdd, key, op, data.KindNone), sum},
				"subtract": {newOp(wire.CommandSubtract, key, op, data.KindNone), difference},
			} {
				check(t, fmt.Sprintf("%s %v to or from %v", name, op, v), holding(v), tc.op, tc.want.value, tc.want.err)
			}
		}
	}
}

// check executes op and looks at what comes of it.
func check(t *testing.T, name string, table *table, op Op, want data.Value, wantErr error) {
	t.Helper()
	if op.err != nil {
		t.Errorf("%s: %v", name, op.err)
		return
	}
	before := table.appendSnapshot(nil)
	e := apply(table, &op.cmd, 0)
	if !errors.Is(e.err, wantErr) {
		t.Errorf("%s: got error %v, want %v", name, e.err, wantErr)
		return
	}
	if wantErr != nil {
		if e.kind != effectNone || !bytes.Equal(before, table.appendSnapshot(nil)) {
			t.Errorf("%s: failed, and yet it had an effect: %v", name, e.kind)
		}
		return
	}
	got, ok := table.get(op.cmd.Key)
	if !ok {
		got.value = string(encoded(absent))
	}
	if got.value != string(encoded(want)) {
		t.Errorf("%s: got %v, want %v", name, decoded(got.value), want)
	}
	if ok && e.kind != effectSet {
		t.Errorf("%s: nothing to tell the clones", name)
	}
}

func TestOperations(t *testing.T) {
	none := data.None()
	deep := data.Int(1)
	for range data.MaxDepth {
		deep = data.Vector(deep)
	}
	for _, tc := range []struct {
		name  string
		there data.Value
		op    Op
		want  data.Value // after it
		err   error
	}{
		{"put", absent, PutOp(key, none), none, nil},
		{"put in place", data.Count(1), PutOp(key, data.String("x")), data.String("x"), nil},
		{"put_unique", absent, PutUniqueOp(key, none), none, nil},
		{"increment, no value", absent, IncrementOp(key, data.Count(7)), data.Count(7), nil},
		{"increment an integer, no value", absent, IncrementOp(key, data.Int(-7)), data.Int(-7), nil},
		{"increment a real, no value", absent, IncrementOp(key, data.Real(0.5)), data.Real(0.5), nil},
		{"increment by a time, no value", absent, IncrementOp(key, data.Timespan(7)), data.Timestamp(7), nil},
		{"increment a time", data.Timestamp(-1), IncrementOp(key, data.Timespan(7)), data.Timestamp(6), nil},
		{"increment by a string, no value", absent, IncrementOp(key, data.String("x")), none, ErrTypeClash},
		{"increment a count by an integer", data.Count(1), IncrementOp(key, data.Int(1)), none, ErrTypeClash},
		{"a count wraps", data.Count(math.MaxUint64), IncrementOp(key, data.Count(2)), data.Count(1), nil},
		{"an integer wraps", data.Int(math.MaxInt64), IncrementOp(key, data.Int(1)), data.Int(math.MinInt64), nil},
		{"0 - 1", data.Count(0), DecrementOp(key, data.Count(1)), data.Count(math.MaxUint64), nil},
		{"a timespan wraps", data.Timespan(math.MinInt64), DecrementOp(key, data.Timespan(1)), data.Timespan(math.MaxInt64), nil},
		{"inf - inf", data.Real(math.Inf(1)), DecrementOp(key, data.Real(math.Inf(1))), data.Real(math.NaN()), nil},
		{"decrement, no value", absent, DecrementOp(key, data.Int(1)), none, ErrNoSuchKey},
		{"append, no value", absent, AppendOp(key, "x"), data.String("x"), nil},
		{"append much", data.String(strings.Repeat("x", 100)), AppendOp(key, strings.Repeat("y", 100)),
			data.String(strings.Repeat("x", 100) + strings.Repeat("y", 100)), nil},
		{"append to a count", data.Count(1), AppendOp(key, "x"), none, ErrTypeClash},
		{"append a number, no value", absent, newOp(wire.CommandAdd, key, data.Int(7), data.KindString), none, ErrTypeClash},
		{"insert, no value", absent, InsertIntoOp(key, data.Int(3)), setOf(3), nil},
		{"insert first", setOf(-1, 5), InsertIntoOp(key, data.Int(-3)), setOf(-3, -1, 5), nil},
		{"insert between", setOf(-1, 5), InsertIntoOp(key, data.Int(3)), setOf(-1, 3, 5), nil},
		{"insert last", setOf(-1, 5), InsertIntoOp(key, data.Int(7)), setOf(-1, 5, 7), nil},
		{"insert what is there", setOf(-1, 5), InsertIntoOp(key, data.Int(5)), setOf(-1, 5), nil},
		{"remove", setOf(-1, 5), RemoveFromOp(key, data.Int(-1)), setOf(5), nil},
		{"remove the last", setOf(-1), RemoveFromOp(key, data.Int(-1)), setOf(), nil},
		{"remove what is not there", setOf(-1, 5), RemoveFromOp(key, data.Int(7)), setOf(-1, 5), nil},
		{"insert entry, no value", absent, InsertEntryOp(key, data.Int(1), data.Int(2)), tableWith(1, 2), nil},
		{"insert entry", tableWith(1, 2, 5, 6), InsertEntryOp(key, data.Int(3), data.Int(4)), tableWith(1, 2, 3, 4, 5, 6), nil},
		{"overwrite entry", tableWith(1, 2, 5, 6), InsertEntryOp(key, data.Int(1), data.Int(4)), tableWith(1, 4, 5, 6), nil},
		{"remove entry", tableWith(1, 2, 5, 6), RemoveFromOp(key, data.Int(1)), tableWith(5, 6), nil},
		{"remove entry that is not there", tableWith(1, 2), RemoveFromOp(key, data.Int(2)), tableWith(1, 2), nil},
		{"insert a vector of 3 into a table", tableWith(1, 2), InsertIntoOp(key, vector(1, 2, 3)), none, ErrInvalidData},
		{"insert an integer into a table", tableWith(1, 2), InsertIntoOp(key, data.Int(1)), none, ErrTypeClash},
		{"insert entry into a set", setOf(1), InsertEntryOp(key, data.Int(2), data.Int(3)), data.Set(data.Int(1), vector(2, 3)), nil},
		{"push, no value", absent, PushOp(key, data.Int(1)), vector(1), nil},
		{"push", vector(1), PushOp(key, data.Int(2)), vector(1, 2), nil},
		{"pop", vector(1, 2), PopOp(key), vector(1), nil},
		{"pop from an empty vector", vector(), PopOp(key), vector(), nil},
		{"pop, no value", absent, PopOp(key), none, ErrNoSuchKey},
		{"pop from a set removes the key", data.Set(key, data.Int(1)), PopOp(key), data.Set(data.Int(1)), nil},
		{"pop from a table removes the key", data.Table(data.Entry{Key: key, Value: none}), PopOp(key), data.Table(), nil},
		{"push what nests too deep", vector(1), PushOp(key, deep), none, ErrInvalidData},
		{"insert what nests too deep", setOf(1), InsertIntoOp(key, deep), none, ErrInvalidData},
		{"init_type none", absent, newOp(wire.CommandAdd, key, data.Count(1), data.KindNone), none, ErrTypeClash},
		{"init_type boolean", absent, newOp(wire.CommandAdd, key, data.Bool(true), data.KindBool), none, ErrTypeClash},
		{"init_type address", absent, newOp(wire.CommandAdd, key, data.Addr(netip.Addr{}), data.KindAddr), none, ErrTypeClash},
		{"init_type subnet", absent, newOp(wire.CommandAdd, key, data.Count(1), data.KindSubnet), none, ErrTypeClash},
		{"init_type port", absent, newOp(wire.CommandAdd, key, data.Count(1), data.KindPort), none, ErrTypeClash},
		{"init_type enum", absent, newOp(wire.CommandAdd, key, data.Enum("x"), data.KindEnum), none, ErrTypeClash},
		{"init_type timespan", absent, newOp(wire.CommandAdd, key, data.Timespan(3), data.KindTimespan), data.Timespan(3), nil},
	} {
		check(t, tc.name, holding(tc.there), tc.op, tc.want, tc.err)
	}
}

func TestNoEffect(t *testing.T) {
	there := data.Count(1)
	unique := PutUniqueOp(key, data.Count(2)).Expiring(time.Hour)
	table := holding(there)
	if e := apply(table, &unique.cmd, 0); e.kind != effectNone || e.err != nil || !e.existed || e.old != string(encoded(there)) {
		t.Errorf("put_unique where there is a value: %+v", e)
	}
	erase := EraseOp(key)
	if e := apply(table, &erase.cmd, 0); e.kind != effectErase || e.err != nil || !e.existed || e.old != string(encoded(there)) {
		t.Errorf("erase: %+v", e)
	}
	if e := apply(table, &erase.cmd, 0); e.kind != effectNone || e.err != nil || e.existed {
		t.Errorf("erase where there is no value: %+v", e)
	}
	clear := ClearOp()
	if e := apply(table, &clear.cmd, 0); e.kind != effectClear || e.err != nil {
		t.Errorf("clear of nothing: %+v", e)
	}
	expire := wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandExpire}, Key: encoded(key), Value: encoded(key)}
	if e := apply(holding(there), &expire, 0); e.kind != effectNone || !errors.Is(e.err, ErrInvalidData) {
		t.Errorf("expire from a writer: %+v", e)
	}
}

func TestExpiry(t *testing.T) {
	const now = 1_000_000
	for _, tc := range []struct {
		name string
		op   Op
		want int64
	}{
		{"none", PutOp(key, data.Count(1)), 0},
		{"some", PutOp(key, data.Count(1)).Expiring(5), now + 5},
		{"zero", PutOp(key, data.Count(1)).Expiring(0), now},
		{"negative", PutOp(key, data.Count(1)).Expiring(-5), now - 5},
		{"to the time 0, which would mean never", PutOp(key, data.Count(1)).Expiring(-now), -1},
		{"for ever and a day", PutOp(key, data.Count(1)).Expiring(math.MaxInt64), math.MaxInt64},
		{"before all times", PutOp(key, data.Count(1)).Expiring(math.MinInt64), math.MinInt64 + now},
		{"increment", IncrementOp(key, data.Count(1)).Expiring(5), now + 5},
		{"increment without", IncrementOp(key, data.Count(1)), 0},
		{"decrement without", DecrementOp(key, data.Count(1)), 0},
	} {
		table := new(table)
		table.set(encoded(key), encoded(data.Count(1)), 77)
		if e := apply(table, &tc.op.cmd, now); e.kind != effectSet || e.expiry != tc.want {
			t.Errorf("%s: %v, expiry %d, want %d", tc.name, e.err, e.expiry, tc.want)
		}
		if got, _ := table.get(encoded(key)); got.expiry != tc.want {
			t.Errorf("%s: kept with expiry %d, want %d", tc.name, got.expiry, tc.want)
		}
	}
	if got := expiryAfter(-now, math.MinInt64); got != math.MinInt64 {
		t.Errorf("before all times: %d", got)
	}
}

// A real clone may send what we would not: it is executed in canonical form, or fails.
func TestReceivedOperands(t *testing.T) {
	t.Run("canonical", func(t *testing.T) {
		table := new(table)
		put := wire.Command{ // a set that is not sorted, as the key, and a true that is 7
			CommandHeader: wire.CommandHeader{Kind: wire.CommandPut},
			Key:           []byte{12, 2, 1, 1, 1, 0}, Value: []byte{1, 7},
		}
		apply(table, &put, 0)
		got, ok := table.get(encoded(data.Set(data.Bool(false), data.Bool(true))))
		if !ok || got.value != "\x01\x01" {
			t.Errorf("got %x, %v", got.value, ok)
		}
	})
	for name, tc := range map[string]struct {
		key, value data.Value
		want       error
	}{
		"NaN":                   {data.Real(math.NaN()), key, ErrNaNKey},
		"NaN in a set":          {data.Set(data.Int(1), data.Real(math.NaN())), key, ErrNaNKey},
		"NaN as the value":      {key, data.Real(math.NaN()), nil},
		"NaN inside of strings": {data.String(string(encoded(data.Real(math.NaN())))), key, nil},
	} {
		c := wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPut}, Key: encoded(tc.key), Value: encoded(tc.value)}
		if e := execute(&c, new(table), 0); !errors.Is(e.err, tc.want) || (e.kind == effectSet) != (tc.want == nil) {
			t.Errorf("%s: received: %+v, want %v", name, e, tc.want)
		}
		if op := PutOp(tc.key, tc.value); !errors.Is(op.err, tc.want) {
			t.Errorf("%s: submitted: %v, want %v", name, op.err, tc.want)
		}
		if op := EraseOp(tc.key); !errors.Is(op.err, tc.want) {
			t.Errorf("%s: erase: %v, want %v", name, op.err, tc.want)
		}
	}
	many := append(data.AppendVectorHeader(nil, data.DefaultMaxValues+1), make([]byte, data.DefaultMaxValues+1)...)
	long := data.AppendString(nil, string(many))
	if e := execute(&wire.Command{Key: long, Value: long}, new(table), 0); e.err != nil || e.kind != effectSet {
		t.Errorf("a long string: %v", e.err)
	}
	for name, c := range map[string]wire.Command{
		"too many values":       {Key: []byte{0}, Value: many},
		"too many in a key":     {Key: many, Value: []byte{0}},
		"duplicates in a key":   {Key: []byte{12, 2, 0, 0}, Value: []byte{0}},
		"duplicates in a value": {Key: []byte{0}, Value: []byte{12, 2, 0, 0}},
		"no value":              {Key: []byte{0}},
	} {
		if e := execute(&c, new(table), 0); !errors.Is(e.err, ErrInvalidData) || e.kind != effectNone {
			t.Errorf("%s: %+v", name, e)
		}
	}
	deep := data.None()
	for range data.MaxDepth + 1 {
		deep = data.Vector(deep)
	}
	for _, op := range []Op{PutOp(deep, key), PutOp(key, deep), EraseOp(deep), PushOp(key, deep)} {
		if !errors.Is(op.err, data.ErrDepth) {
			t.Errorf("%v of what nests too deep: %v", op.cmd.Kind, op.err)
		}
	}
}

// What is changed in place is what comes of the same change to a tree.
func TestContainersInPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		elems := rapid.SliceOfN(datatest.Value(2), 0, 300).Draw(t, "elems")
		elem := datatest.Value(2).Draw(t, "elem")
		if len(elems) > 0 && rapid.Bool().Draw(t, "one that is there") {
			elem = rapid.SampledFrom(elems).Draw(t, "elem that is there")
		}
		var entries, left []data.Entry
		var rest []data.Value
		for i, e := range elems {
			entries = append(entries, data.Entry{Key: e, Value: data.Int(int64(i))})
			if !e.Equal(elem) {
				rest, left = append(rest, e), append(left, data.Entry{Key: e, Value: data.Int(int64(i))})
			}
		}
		added := append(append([]data.Value{}, elems...), elem)
		for _, tc := range []struct {
			there, want data.Value
			op          Op
		}{
			{data.Set(elems...), data.Set(added...), InsertIntoOp(key, elem)},
			{data.Set(elems...), data.Set(rest...), RemoveFromOp(key, elem)},
			{data.Table(entries...), data.Table(append(entries, data.Entry{Key: elem, Value: key})...), InsertEntryOp(key, elem, key)},
			{data.Table(entries...), data.Table(left...), RemoveFromOp(key, elem)},
			{data.Vector(elems...), data.Vector(added...), PushOp(key, elem)},
			{data.Vector(added...), data.Vector(elems...), PopOp(key)},
		} {
			e := execute(&tc.op.cmd, holding(tc.there), 0)
			if e.err != nil || !bytes.Equal(e.value, encoded(tc.want)) {
				// Of elements that are equal, such as -0 and 0, it is not told which one stays.
				if got, err := data.DecodeValue(e.value); err != nil || !got.Equal(tc.want) {
					t.Fatalf("%v on %v: %v\ngot  %x\nwant %x", tc.op.cmd.Kind, tc.there, e.err, e.value, encoded(tc.want))
				}
			}
		}
	})
	// As in Broker, the one that is there stays.
	negative := math.Copysign(0, -1)
	for _, tc := range []struct {
		there, want data.Value
		op          Op
	}{
		{data.Set(data.Real(negative)), data.Set(data.Real(negative)), InsertIntoOp(key, data.Real(0))},
		{data.Table(data.Entry{Key: data.Real(negative), Value: key}), data.Table(data.Entry{Key: data.Real(negative), Value: key}),
			InsertEntryOp(key, data.Real(0), key)},
	} {
		if e := execute(&tc.op.cmd, holding(tc.there), 0); !bytes.Equal(e.value, encoded(tc.want)) {
			t.Errorf("0 into %v: %x", tc.there, e.value)
		}
	}
}

// What real masters made of the operations of a real clone is what we make of them: each event, byte
// for byte, in the recordings of four versions.
func TestTranscripts(t *testing.T) {
	for _, version := range []string{"store", "store-2.3.8", "store-2.6.0", "store-2.8.0-dev.97"} {
		for _, scenario := range []string{"store-ops-from-clone", "store-expiry"} {
			t.Run(version+"/"+scenario, func(t *testing.T) {
				replay(t, filepath.Join("..", "interop", "testdata", version, scenario+".jsonl.gz"), version == "store-2.3.8")
			})
		}
	}
}

// replay executes what a clone wrote and compares with the events of the master. Old masters tell
// clones of an erase that had no effect.
func replay(t *testing.T, name string, tellsVainErase bool) {
	table := new(table)
	var want [][]byte // events that are due
	events, operations := 0, 0
	for _, row := range commands(t, name) {
		c := row.command
		if !c.Kind.Action() {
			continue
		}
		body := wire.AppendCommandBody(nil, &c)
		if !row.fromMaster {
			operations++
			want = append(want, play(table, c, tellsVainErase)...)
			continue
		}
		events++
		if c.Kind == wire.CommandExpire {
			table.erase(c.Key) // when, is not for execute to say
			continue
		}
		if c.Publisher == c.Sender && c.Kind != wire.CommandPutUniqueResult {
			want = append(play(table, c, tellsVainErase), want...) // an operation of the master's own
		}
		if len(want) == 0 {
			t.Fatalf("event %d, which was not due: %v %x", c.Seq, c.Kind, body)
		}
		if c.Kind == wire.CommandPutUniqueResult {
			c.Publisher = wire.EntityID{}
			body = wire.AppendCommandBody(nil, &c)
		}
		if diff := cmp.Diff(hex.EncodeToString(want[0]), hex.EncodeToString(body)); diff != "" {
			t.Fatalf("event %d, %v (-ours, +theirs):\n%s", c.Seq, c.Kind, diff)
		}
		want = want[1:]
	}
	if len(want) > 0 || events < 10 || operations < 5 {
		t.Errorf("%d operations and %d events, %d more were due", operations, events, len(want))
	}
}

// play executes an action and returns the events that tell of it.
func play(table *table, c wire.Command, tellsVainErase bool) (events [][]byte) {
	e := apply(table, &c, 0)
	tell := func(c wire.Command) { events = append(events, wire.AppendCommandBody(nil, &c)) }
	event := c
	switch c.Kind {
	case wire.CommandPut, wire.CommandErase, wire.CommandClear:
		if e.kind != effectNone || tellsVainErase {
			tell(c)
		}
	case wire.CommandPutUnique:
		if event.Kind = wire.CommandPut; e.kind == effectSet {
			tell(event)
		}
		tell(wire.Command{
			CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUniqueResult},
			Inserted:      e.kind == effectSet, Who: c.Who, RequestID: c.RequestID,
		})
	default:
		if event.Kind = wire.CommandPut; e.kind == effectSet {
			event.Value, event.HasExpiry = e.value, false
			tell(event)
		}
	}
	return events
}

type recorded struct {
	fromMaster bool
	command    wire.Command
}

// commands reads the commands of a recording.
func commands(t *testing.T, name string) (all []recorded) {
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var row struct{ Dir, Hex string }
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		frame, err := hex.DecodeString(row.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if len(frame) < 4 {
			continue
		}
		e, err := wire.ParseEnvelope(frame[4:])
		if err != nil || e.Type != wire.TypeCommand {
			continue // of the handshake
		}
		c, err := wire.ParseCommand(e.Payload)
		if err != nil {
			continue // malformed on purpose
		}
		all = append(all, recorded{row.Dir == "master->clone", c})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func BenchmarkExecute(b *testing.B) {
	strings := make([]data.Value, 100_000)
	numbers := make([]data.Value, len(strings))
	entries := make([]data.Entry, len(strings))
	for i := range strings {
		strings[i], numbers[i] = data.String(fmt.Sprintf("10.0.%d.%d", i/256, i%256)), data.Int(int64(i))
		entries[i] = data.Entry{Key: numbers[i], Value: strings[i]}
	}
	for _, tc := range []struct {
		name  string
		there data.Value
		op    Op
	}{
		{"put", data.Count(1), PutOp(key, data.Count(2))},
		{"increment", data.Count(1), IncrementOp(key, data.Count(2))},
		{"append", data.String("some text"), AppendOp(key, " and more")},
		{"insert into 100000 strings", data.Set(strings...), InsertIntoOp(key, data.String("10.0.2000"))},
		{"insert into 100000 integers", data.Set(numbers...), InsertIntoOp(key, data.Int(1_000_000))},
		{"insert into table of 100000", data.Table(entries...), InsertEntryOp(key, data.Int(1_000_000), key)},
		{"remove from 100000 integers", data.Set(numbers...), RemoveFromOp(key, data.Int(50_000))},
		{"push to 100000", data.Vector(numbers...), PushOp(key, data.Int(50_000))},
		{"pop from 100000", data.Vector(numbers...), PopOp(key)},
	} {
		b.Run(tc.name, func(b *testing.B) {
			t := holding(tc.there)
			b.ReportAllocs()
			for b.Loop() {
				if e := execute(&tc.op.cmd, t, 0); e.err != nil {
					b.Fatal(e.err)
				}
			}
		})
	}
}
