package interop

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// tally counts what a replay has seen, by name.
type tally map[string]int

// atLeast reports what is missing among the recordings, so that no file can vanish unnoticed.
func (n tally) atLeast(t *testing.T, want tally) {
	t.Helper()
	t.Log(n)
	for what, min := range want {
		if n[what] < min {
			t.Errorf("%d of %q among the recordings, want %d", n[what], what, min)
		}
	}
}

// Every frame between the nodes of a real cluster, with all that is in it, is understood and written
// back to the same bytes.
func TestReplayCluster(t *testing.T) {
	seen := tally{}
	for _, rec := range recordings(t, "zeek/*/links/*.jsonl.gz", 12) {
		replay(t, rec, seen)
	}
	seen.atLeast(t, tally{
		"probe": 12, "hello": 16, "version_select": 12, "originator_syn": 12, "responder_syn_ack": 12, "originator_ack": 12,
		"data": 3503, "command": 4512, "routing_update": 14, "ping": 12, "pong": 12, "bye": 24,
		"values": 80_982, "values with bytes that are not UTF-8": 1858,
		"Event": 1506, "Batch": 1862, "LogCreate": 135, "LogWrite": 5114,
		"events without metadata": 1, "events with empty metadata": 1,
	})
}

// The same for what single nodes of all versions and a scripted peer said to each other, but for the
// messages that are wrong on purpose; what becomes of those is in the transcripts of the handshake.
func TestReplayNodes(t *testing.T) {
	seen := tally{}
	for _, rec := range recordings(t, "wire*/handshake-*.jsonl", 2*len(versions)) {
		replay(t, rec, seen)
	}
	for _, rec := range recordings(t, "wire*/reject-*.jsonl", 9*len(versions)) {
		for i, r := range rec.rows {
			if r.from == handshake.Dialer && len(r.frame) > 0 && !strings.HasPrefix(rec.scenario(), "reject-redundant") {
				seen["wrong on purpose"]++
				rec.rows[i].frame = nil
			}
		}
		replay(t, rec, seen)
	}
	seen.atLeast(t, tally{
		"probe": 44, "hello": 24, "version_select": 12, "originator_syn": 12, "responder_syn_ack": 8, "originator_ack": 8,
		"drop_conn": 32, "wrong on purpose": 28,
		"data": 8, "routing_update": 8, "ping": 16, "pong": 16, "bye": 16, "ttl not 16": 4,
	})
}

// The same for the values that nodes of all versions made of JSON.
func TestReplayValues(t *testing.T) {
	seen := tally{}
	for _, rec := range recordings(t, "wire*/values.jsonl.gz", len(versions)) {
		for _, r := range rec.rows {
			if len(r.frame) == 0 {
				continue
			}
			t.Run(rec.version()+"/"+r.Name, func(t *testing.T) {
				e := replayEnvelope(t, r.frame, seen)
				if hex.EncodeToString(e.Payload) != r.Payload {
					t.Errorf("payload %x, recorded beside it %s", e.Payload, r.Payload)
				}
			})
		}
	}
	seen.atLeast(t, tally{
		"data": 385, "values": 1391, "values with subnormal reals": 4, "values with unsorted members": 6,
	})
}

// replay takes all frames of one connection apart and puts them together again.
func replay(t *testing.T, rec recording, seen tally) {
	t.Run(rec.name, func(t *testing.T) {
		line := 0
		defer func() {
			if t.Failed() {
				t.Logf("in line %d", line)
			}
		}()
		peered := false
		for i, r := range rec.rows {
			if t.Failed() {
				return
			}
			line = i + 1
			switch {
			case len(r.frame) == 0:
			case peered:
				e := replayEnvelope(t, r.frame, seen)
				if rec.version() == "zeek" && e.Type == wire.TypeData {
					replayMessage(t, e.Payload, seen)
				}
			default:
				msg, err := wire.ParseHandshake(body(t, r.frame))
				if err != nil {
					t.Fatal(err)
				}
				seen[msg.HandshakeType().String()]++
				sameBytes(t, "handshake message", msg.AppendFrame(nil), r.frame)
				peered = msg.HandshakeType() == wire.TypeOriginatorAck
			}
		}
	})
}

func sameBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %x\nwant %x", what, got, want)
	}
}

// replayEnvelope checks one frame between peers.
func replayEnvelope(t *testing.T, frame []byte, seen tally) wire.Envelope {
	t.Helper()
	e, err := wire.ParseEnvelope(body(t, frame))
	if err != nil {
		t.Fatal(err)
	}
	seen[e.Type.String()]++
	sameBytes(t, "envelope", wire.AppendEnvelope(nil, e), frame)
	if e.TTL != wire.DefaultTTL {
		// Broker 2.3 puts 1 on its pongs; nobody looks at it.
		if seen["ttl not 16"]++; e.Type != wire.TypePong {
			t.Errorf("%v with TTL %d", e.Type, e.TTL)
		}
		e.TTL = wire.DefaultTTL
		frame = wire.AppendEnvelope(nil, e)
	}
	switch e.Type {
	case wire.TypeData:
		replayValue(t, e.Payload, seen)
	case wire.TypeRoutingUpdate:
		filter, err := wire.ParseFilter(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		sameBytes(t, "routing update", wire.AppendRoutingUpdate(nil, e.Sender, e.Receiver, filter), frame)
	case wire.TypePing:
		sameBytes(t, "ping", wire.AppendPing(nil, e.Sender, e.Receiver, e.Payload), frame)
	case wire.TypePong:
		sameBytes(t, "pong", wire.AppendPong(nil, e.Sender, e.Receiver, e.Payload), frame)
	}
	if (e.Type == wire.TypePing || e.Type == wire.TypePong) && wire.IsBye(e.Payload) {
		seen["bye"]++
	}
	return e
}

// replayValue checks one encoded value in every form that this module knows.
func replayValue(t *testing.T, payload []byte, seen tally) {
	t.Helper()
	if err := data.Validate(payload); err != nil {
		t.Fatalf("validate %x: %v", payload, err)
	}
	v, err := data.DecodeValue(payload)
	if err != nil {
		t.Fatalf("decode %x: %v", payload, err)
	}

	// In place, kind by kind, to the same tree.
	w := walker{Reader: data.NewReader(payload)}
	if walked := w.value(); !walked.Equal(v) || walked.Hash() != v.Hash() {
		t.Errorf("walked: %v, decoded: %v", walked, v)
	}
	if err := w.Finish(); err != nil {
		t.Errorf("walk: %v", err)
	}

	// Back to bytes. A tree sorts its sets and tables, which senders need not do.
	again := data.AppendValue(nil, v)
	switch {
	case w.unsorted > 0:
		seen["values with unsorted members"]++
		if back, err := data.DecodeValue(again); err != nil || !back.Equal(v) || len(again) != len(payload) {
			t.Errorf("sorted: %x is %v, was %v: %v", again, back, v, err)
		}
	case w.subnormal > 0:
		seen["values with subnormal reals"]++ // the reference garbles them; this module does not send them
	default:
		sameBytes(t, "value", again, payload)
	}

	// JSON, where a string that is not UTF-8 has no exact form.
	text := data.AppendJSON(nil, v)
	if w.binary > 0 {
		seen["values with bytes that are not UTF-8"]++
	}
	for _, dialect := range []data.JSONDialect{data.StrictJSON, data.AnyJSON} {
		back, err := data.ParseJSON(text, dialect)
		switch {
		case err != nil:
			t.Errorf("json %s: %v", text, err)
		case w.binary == 0 && !back.Equal(v):
			t.Errorf("json %s reads as %v, was %v", text, back, v)
		case !bytes.Equal(data.AppendJSON(nil, back), text):
			t.Errorf("json %s becomes %s", text, data.AppendJSON(nil, back))
		}
	}

	// Text for people.
	line := string(data.AppendText(nil, v))
	if !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) {
		t.Errorf("text %q", line)
	}
	seen["values"] += w.values
}

// replayMessage checks one message of Zeek.
func replayMessage(t *testing.T, payload []byte, seen tally) {
	t.Helper()
	m, err := zeek.Parse(payload)
	if err != nil {
		t.Fatalf("%x: %v", payload, err)
	}
	if got := zeek.TypeOf(payload); got != m.MessageType() {
		t.Errorf("TypeOf says %v, Parse %v", got, m.MessageType())
	}
	// As values it is what it was; as bytes too, if its sets came sorted.
	again := m.AppendMessage(nil)
	if !bytes.Equal(again, payload) {
		got, err := data.DecodeValue(again)
		want, _ := data.DecodeValue(payload)
		if err != nil || !got.Equal(want) {
			t.Errorf("message %v: got %v, want %v: %v", m.MessageType(), got, want, err)
		}
		seen["messages that changed their bytes"]++
	}
	count(t, m, seen)
}

// count counts a message and the members of a batch, and looks at events in place.
func count(t *testing.T, m zeek.Message, seen tally) {
	t.Helper()
	seen[m.MessageType().String()]++
	switch m := m.(type) {
	case zeek.Batch:
		for _, member := range m {
			count(t, member, seen)
		}
	case zeek.Event:
		v, err := zeek.ParseEventView(m.AppendMessage(nil))
		if err != nil || v.Verify() != nil || string(v.Name) != m.Name || v.NumArgs != len(m.Args) {
			t.Fatalf("view of %s: %s with %d arguments, want %d: %v", m.Name, v.Name, v.NumArgs, len(m.Args), err)
		}
		for i := range m.Args {
			if arg := v.Args.Value(); !arg.Equal(m.Args[i]) {
				t.Errorf("view of %s, argument %d: %v, want %v", m.Name, i, arg, m.Args[i])
			}
		}
		switch {
		case m.Metadata == nil:
			seen["events without metadata"]++
		case len(m.Metadata) == 0:
			seen["events with empty metadata"]++
		}
	}
}

// A walker builds a tree with the methods of a reader, as somebody would who knows what comes.
type walker struct {
	data.Reader
	values    int
	unsorted  int // sets and tables whose members were not in order
	subnormal int
	binary    int // strings that are not UTF-8
}

func (w *walker) value() data.Value {
	w.values++
	switch kind := w.Kind(); kind {
	case data.KindNone:
		w.None()
		return data.None()
	case data.KindBool:
		return data.Bool(w.Bool())
	case data.KindCount:
		return data.Count(w.Count())
	case data.KindInt:
		return data.Int(w.Int())
	case data.KindReal:
		f := w.Real()
		if f != 0 && f > -0x1p-1022 && f < 0x1p-1022 {
			w.subnormal++
		}
		return data.Real(f)
	case data.KindString:
		s := string(w.Bytes())
		if !utf8.ValidString(s) {
			w.binary++
		}
		return data.String(s)
	case data.KindEnum:
		return data.Enum(string(w.Enum()))
	case data.KindAddr:
		return data.Addr(w.Addr())
	case data.KindSubnet:
		return data.Subnet(w.Subnet())
	case data.KindPort:
		return data.Port(w.Port())
	case data.KindTime:
		return data.Timestamp(w.Timestamp())
	case data.KindTimespan:
		return data.Timespan(w.Timespan())
	case data.KindVector:
		return data.Vector(w.list(w.Vector())...)
	case data.KindSet:
		elems := w.list(w.Set())
		if !slices.IsSortedFunc(elems, data.Compare) {
			w.unsorted++
		}
		return data.Set(elems...)
	case data.KindTable:
		var entries []data.Entry
		for range w.Table() {
			entries = append(entries, data.Entry{Key: w.value(), Value: w.value()})
		}
		if !slices.IsSortedFunc(entries, func(a, b data.Entry) int { return a.Key.Compare(b.Key) }) {
			w.unsorted++
		}
		return data.Table(entries...)
	default:
		w.Fail(fmt.Errorf("kind %v", kind))
		return data.None()
	}
}

func (w *walker) list(n int) (elems []data.Value) {
	for range n {
		elems = append(elems, w.value())
	}
	return elems
}
