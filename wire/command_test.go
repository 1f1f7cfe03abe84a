package wire

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
)

// Who speaks in the examples of STORE.md section 2.4: a clone, a master, and who waits at the clone.
var (
	exampleClone  = EntityID{Endpoint: EndpointID{0x39, 0xd1, 0x2b, 0x3d, 0xcf, 0xb3, 0x57, 0xf6, 0xb3, 0x12, 0xce, 0x2d, 0xfb, 0x45, 0x5e, 0x04}, Object: 7}
	exampleMaster = EntityID{Endpoint: EndpointID{0x49, 0x94, 0xbf, 0x88, 0x25, 0x1f, 0x58, 0xd6, 0x81, 0xf5, 0x51, 0x58, 0xa7, 0xeb, 0x22, 0xa0}, Object: 7}
	exampleWaiter = EntityID{Endpoint: exampleClone.Endpoint, Object: 8}
)

// An example is the body of a command in hex, as it was captured, and what it says.
type example struct {
	name string
	body string // C, M and W stand for the three entities
	want Command
}

// examples are all of STORE.md section 2.4.
func examples() []example {
	str := func(s string) []byte { return data.AppendString(nil, s) }
	num := func(n int64) []byte { return data.AppendInt(nil, n) }
	count := func(n uint64) []byte { return data.AppendCount(nil, n) }
	clone, master, waiter := exampleClone, exampleMaster, exampleWaiter
	snapshot := slices.Concat(str("k1"), num(1), str("k2"), num(2))
	return []example{
		{"put", "00 05016b 05027631 00 C",
			Command{CommandHeader: CommandHeader{Kind: CommandPut}, Key: str("k"), Value: str("v1"), Publisher: clone}},
		{"put with expiry", "00 0503633035 050178 01 000000001dcd6500 C",
			Command{CommandHeader: CommandHeader{Kind: CommandPut}, Key: str("c05"), Value: str("x"), HasExpiry: true, Expiry: 500 * time.Millisecond, Publisher: clone}},
		{"put_unique", "01 050175 030000000000000001 00 W 0000000000000001 C",
			Command{CommandHeader: CommandHeader{Kind: CommandPutUnique}, Key: str("u"), Value: num(1), Who: waiter, RequestID: 1, Publisher: clone}},
		{"put_unique_result", "02 01 W 0000000000000001 M",
			Command{CommandHeader: CommandHeader{Kind: CommandPutUniqueResult}, Inserted: true, Who: waiter, RequestID: 1, Publisher: master}},
		{"erase", "03 05016b C",
			Command{CommandHeader: CommandHeader{Kind: CommandErase}, Key: str("k"), Publisher: clone}},
		{"expire", "04 05036e6567 M",
			Command{CommandHeader: CommandHeader{Kind: CommandExpire}, Key: str("neg"), Publisher: master}},
		{"increment", "05 0503636e74 020000000000000005 02 00 C",
			Command{CommandHeader: CommandHeader{Kind: CommandAdd}, Key: str("cnt"), Value: count(5), Init: data.KindCount, Publisher: clone}},
		{"insert_into", "05 0503746162 0e0205026b3105027631 0d 00 C",
			Command{CommandHeader: CommandHeader{Kind: CommandAdd}, Key: str("tab"), Value: data.AppendValue(nil, data.Vector(data.String("k1"), data.String("v1"))), Init: data.KindTable, Publisher: clone}},
		{"decrement", "06 0503636e74 020000000000000003 00 C",
			Command{CommandHeader: CommandHeader{Kind: CommandSubtract}, Key: str("cnt"), Value: count(3), Publisher: clone}},
		{"pop", "06 0503766563 0503766563 00 C",
			Command{CommandHeader: CommandHeader{Kind: CommandSubtract}, Key: str("vec"), Value: str("vec"), Publisher: clone}},
		{"clear", "07 C",
			Command{CommandHeader: CommandHeader{Kind: CommandClear}, Publisher: clone}},
		{"attach_writer", "08 0000000000000001 0005",
			Command{CommandHeader: CommandHeader{Kind: CommandAttachWriter}, Num: 1, Heartbeat: 5}},
		{"keepalive", "09 0000000000000002",
			Command{CommandHeader: CommandHeader{Kind: CommandKeepalive}, Num: 2}},
		{"cumulative_ack", "0a 0000000000000001",
			Command{CommandHeader: CommandHeader{Kind: CommandCumulativeAck}, Num: 1}},
		{"nack of the handshake", "0b 01 0000000000000000",
			Command{CommandHeader: CommandHeader{Kind: CommandNack}, Missing: AppendSeq(nil, 0)}},
		{"nack", "0b 02 0000000000000003 0000000000000004",
			Command{CommandHeader: CommandHeader{Kind: CommandNack}, Missing: AppendSeq(AppendSeq(nil, 3), 4)}},
		{"ack_clone", "0c 0000000000000003 0005 02 05026b31 030000000000000001 05026b32 030000000000000002",
			Command{CommandHeader: CommandHeader{Kind: CommandAckClone}, Num: 3, Heartbeat: 5, Snapshot: Snapshot{Len: 2, Bytes: snapshot}}},
		{"retransmit_failed", "0d 0000000000000002",
			Command{CommandHeader: CommandHeader{Kind: CommandRetransmitFailed}, Num: 2}},
	}
}

// payload returns the command of an example, from the clone to the master.
func (e example) payload(t *testing.T, seq uint64) []byte {
	t.Helper()
	text := strings.ReplaceAll(e.body, " ", "")
	for name, id := range map[string]EntityID{"C": exampleClone, "M": exampleMaster, "W": exampleWaiter} {
		text = strings.ReplaceAll(text, name, fmt.Sprintf("%x", AppendEntityID(nil, id)))
	}
	return append(AppendCommandHeader(nil, seq, exampleClone, exampleMaster), unhex(t, text)...)
}

// Every example reads as what it says and is written back to the same bytes. Cut short anywhere it is
// refused, and still tells who speaks if it goes on behind its kind.
func TestCommandExamples(t *testing.T) {
	kinds := map[CommandKind]bool{}
	for i, e := range examples() {
		t.Run(e.name, func(t *testing.T) {
			seq := uint64(i)
			payload := e.payload(t, seq)
			want := e.want
			want.Seq, want.Sender, want.Receiver = seq, exampleClone, exampleMaster
			kinds[want.Kind] = true
			got, err := ParseCommand(payload)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v, %s", err, diff)
			}
			if header, err := ParseCommandHeader(payload); err != nil || header != want.CommandHeader {
				t.Errorf("header %+v, %v", header, err)
			}
			if again := AppendCommand(nil, &want); !bytes.Equal(again, payload) {
				t.Errorf("got %x, want %x", again, payload)
			}
			if again := AppendCommandBody(nil, &want); !bytes.Equal(again, payload[CommandHeaderLen:]) {
				t.Errorf("body: got %x, want %x", again, payload[CommandHeaderLen:])
			}
			for end := range payload {
				c, err := ParseCommand(payload[:end])
				if err == nil && want.Kind == CommandAckClone {
					err = c.Snapshot.Each(func(_, _ []byte) error { return nil })
					c = Command{CommandHeader: c.CommandHeader}
				}
				wantHeader := want.CommandHeader
				if end <= CommandHeaderLen {
					wantHeader = CommandHeader{}
				}
				if diff := cmp.Diff(Command{CommandHeader: wantHeader}, c); !errors.Is(err, ErrCommand) || diff != "" {
					t.Errorf("cut at %d: %v, %s", end, err, diff)
				}
			}
		})
	}
	if len(kinds) != int(numCommands) {
		t.Errorf("examples of %d kinds, want %d", len(kinds), numCommands)
	}
}

// The whole frame of STORE.md section 2.4.
func TestCommandFrame(t *testing.T) {
	frame := unhex(t, "00000097"+
		"39d12b3dcfb357f6b312ce2dfb455e04"+"00000000000000000000000000000000"+"02"+"0010"+
		"0019"+"7465737473746f72652f3c243e2f646174612f6d6173746572"+
		"0000000000000002"+
		"39d12b3dcfb357f6b312ce2dfb455e04"+"0000000000000007"+
		"4994bf88251f58d681f55158a7eb22a0"+"0000000000000007"+
		"00"+"05016b"+"05027631"+"00"+
		"39d12b3dcfb357f6b312ce2dfb455e04"+"0000000000000007")
	c := Command{
		CommandHeader: CommandHeader{Seq: 2, Sender: exampleClone, Receiver: exampleMaster, Kind: CommandPut},
		Key:           data.AppendString(nil, "k"), Value: data.AppendString(nil, "v1"), Publisher: exampleClone,
	}
	got := AppendEnvelope(nil, Envelope{
		Sender: exampleClone.Endpoint, Type: TypeCommand, TTL: DefaultTTL,
		Topic: []byte("teststore/<$>/data/master"), Payload: AppendCommand(nil, &c),
	})
	if !bytes.Equal(got, frame) {
		t.Errorf("got %x\nwant %x", got, frame)
	}
}

// Every command that real nodes sent, and that scripted peers sent to them, is written back to the same
// bytes, but for those that are wrong on purpose: exactly these.
func TestRecordedCommands(t *testing.T) {
	const scripted = "store-channel-vs-real-master.jsonl.gz"
	odd := map[string]string{} // how each is wrong, and in which recording
	total := map[CommandKind]int{}
	for pattern, want := range map[string]int{
		"store/*.jsonl.gz": 2069, "store-2.8.0-dev.97/*.jsonl.gz": 377, "store-2.6.0/*.jsonl.gz": 377, "store-2.3.8/*.jsonl.gz": 380,
		"zeek/*/links/*.jsonl.gz": 4512,
	} {
		same := 0
		recordedFrames(t, pattern, func(t *testing.T, where string, frame []byte) {
			e, err := ParseEnvelope(frame[FrameHeaderLen:])
			if err != nil || e.Type != TypeCommand || e.TTL != DefaultTTL {
				return // of the handshake, or no command
			}
			where, _, _ = strings.Cut(where, ":")
			c, err := ParseCommand(e.Payload)
			if err != nil {
				odd[err.Error()] = where
				return
			}
			again := AppendCommand(nil, &c)
			switch {
			case bytes.Equal(again, e.Payload):
				same++
				total[c.Kind]++
			case len(again) < len(e.Payload):
				odd[fmt.Sprintf("%v with %x behind", c.Kind, e.Payload[len(again):])] = where
			default:
				at := 0
				for again[at] == e.Payload[at] {
					at++
				}
				odd[fmt.Sprintf("%v with %02x for %02x", c.Kind, e.Payload[at], again[at])] = where
			}
			// What is inside reads as well, but for what a scripted peer repeats in sets and tables.
			values := [][]byte{c.Key, c.Value}
			if err := c.Snapshot.Each(func(key, value []byte) error { values = append(values, key, value); return nil }); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			for _, b := range values {
				if b == nil {
					continue
				}
				v, err := data.DecodeValue(b)
				if errors.Is(err, data.ErrDuplicate) {
					odd[fmt.Sprintf("%v of %x: %v", c.Kind, b, err)] = where
				} else if err != nil {
					t.Errorf("%s: %x: %v", where, b, err)
				} else if got := data.AppendValue(nil, v); !bytes.Equal(got, b) {
					odd[fmt.Sprintf("%v of %x, sorted %x", c.Kind, b, got)] = where
				}
			}
		})
		if same != want {
			t.Errorf("%s: %d commands, want %d", pattern, same, want)
		}
	}
	if diff := cmp.Diff(map[string]string{
		"malformed store command: 0 bytes, more than 56 wanted":              scripted,
		"malformed store command: unknown command 14: kind: no such command": scripted,
		"malformed store command: put: key: at byte 1: value ends too early": scripted,
		"put with 00 behind": scripted,
		"add with 0f for 00": scripted, // init_type
		"put of 0c02030000000000000001030000000000000001: at byte 0: duplicate member of a set or key of a table": scripted,
		"put of 0c02030000000000000002030000000000000001, sorted 0c02030000000000000001030000000000000002":        scripted,
	}, odd); diff != "" {
		t.Errorf("wrong on purpose: %s", diff)
	}
	if kinds := slices.Collect(maps.Keys(total)); len(kinds) != int(numCommands) {
		t.Errorf("only %v", kinds)
	}
}

// What is refused and what passes, as in Broker 2.8 (STORE.md section 2.3) except where a row says so.
func TestCommandStrictness(t *testing.T) {
	const none = "00" // as key and value
	deep := func(levels int) string { return strings.Repeat("0e01", levels) + none }
	for _, c := range []struct {
		name string
		body string
		err  error  // and
		says string // part of the error; or
		same string // what it is written as, if it passes
	}{
		{name: "kind 14", body: "0e", err: errCommandKind, says: "unknown command 14: kind"},
		{name: "kind 255", body: "ff C", err: errCommandKind, says: "unknown command 255: kind"},
		{name: "unknown tag of a key", body: "03 0f C", err: data.ErrKind, says: "erase: key"},
		{name: "unknown tag of a value", body: "00 00 0f 00 C", err: data.ErrKind, says: "put: value"},
		{name: "unknown tag inside a value", body: "00 00 0e010f 00 C", err: data.ErrKind, says: "put: value"},
		{name: "no value", body: "00 00", err: data.ErrTruncated, says: "put: value"},
		{name: "no expiry", body: "00 00 00", err: errTruncated, says: "put: expiry"},
		{name: "expiry cut short", body: "00 00 00 01 00000000000000", err: errTruncated, says: "put: expiry"},
		{name: "no publisher", body: "00 00 00 00", err: errTruncated, says: "put: publisher"},
		{name: "no req_id", body: "02 01 W", err: errTruncated, says: "put_unique_result: req_id"},
		{name: "no init_type", body: "05 00 00", err: errTruncated, says: "add: init_type"},
		{name: "no heartbeat", body: "08 0000000000000001 00", err: errTruncated, says: "attach_writer: heartbeat_interval"},
		{name: "nack of 2^32-1 numbers", body: "0b ffffffff0f", err: errTruncated, says: "nack: seqs"},
		{name: "nack of one number more", body: "0b 02 0000000000000001", err: errTruncated, says: "nack: seqs"},
		{name: "length above 32 bits", body: "0b ffffffff1f", err: errVarbyte, says: "nack: seqs"},
		{name: "length of 6 bytes", body: "0b 808080808000", err: errVarbyte, says: "nack: seqs"},
		{name: "snapshot of 2^32-1 entries", body: "0c 0000000000000001 0005 ffffffff0f 0000", err: errTruncated, says: "ack_clone: state"},
		{name: "snapshot of one entry more", body: "0c 0000000000000001 0005 02 000000", err: errTruncated, says: "ack_clone: state"},
		{name: "101 levels", body: "03" + deep(data.MaxDepth+1) + "C", err: data.ErrDepth, says: "erase: key"}, // Broker takes all that its stack takes
		{name: "subnet of 129 bits", body: "03 07 00000000000000000000000000000000 81 C", err: data.ErrSubnet, says: "erase: key"},

		{name: "100 levels", body: "03" + deep(data.MaxDepth) + "C", same: "03" + deep(data.MaxDepth) + "C"},
		{name: "something behind", body: "07 C 00ff", same: "07 C"},
		{name: "something behind a nack", body: "0b 01 0000000000000000 00", same: "0b 01 0000000000000000"},
		{name: "length longer than it need be", body: "0b 8180808000 0000000000000000", same: "0b 01 0000000000000000"},
		{name: "empty nack", body: "0b 00", same: "0b 00"},
		{name: "any byte but 0 is true", body: "02 7f W 0000000000000001 M", same: "02 01 W 0000000000000001 M"},
		{name: "any byte but 0 announces an expiry", body: "00 00 00 02 ffffffffffffffff C", same: "00 00 00 01 ffffffffffffffff C"},
		{name: "unknown init_type", body: "05 00 00 0f 00 C", same: "05 00 00 00 00 C"},
		{name: "init_type 255", body: "05 00 00 ff 00 C", same: "05 00 00 00 00 C"},
		{name: "unknown protocol of a port", body: "03 08 0050 09 C", same: "03 08 0050 09 C"},
		// Broker drops the command. Here it is for whoever decodes the value, as duplicate keys of a
		// snapshot are for whoever installs it: to find them is not free.
		{name: "duplicate in a set", body: "03 0c02 0101 0101 C", same: "03 0c02 0101 0101 C"},
		{name: "duplicate key of a table", body: "03 0d02 0000 000101 C", same: "03 0d02 0000 000101 C"},
	} {
		t.Run(c.name, func(t *testing.T) {
			payload := example{body: c.body}.payload(t, 9)
			got, err := ParseCommand(payload)
			if got.Seq != 9 || got.Sender != exampleClone || got.Receiver != exampleMaster || got.Kind != CommandKind(payload[CommandHeaderLen]) {
				t.Errorf("header %+v", got.CommandHeader)
			}
			if c.err != nil {
				if !errors.Is(err, ErrCommand) || !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v; want %v, saying %q", err, c.err, c.says)
				}
				if diff := cmp.Diff(Command{CommandHeader: got.CommandHeader}, got); diff != "" {
					t.Errorf("more than the header is left: %s", diff)
				}
				return
			}
			want := example{body: c.same}.payload(t, 9)
			if again := AppendCommand(nil, &got); err != nil || !bytes.Equal(again, want) {
				t.Errorf("written as %x, want %x: %v", again, want, err)
			}
		})
	}
	for end := range CommandHeaderLen + 1 {
		c, err := ParseCommand(make([]byte, end))
		if _, headerErr := ParseCommandHeader(make([]byte, end)); !errors.Is(err, ErrCommand) || !errors.Is(headerErr, ErrCommand) || c.Kind != 0 {
			t.Errorf("%d bytes: %v, %v", end, err, headerErr)
		}
	}
}

// A snapshot is gone over entry by entry, says where it breaks, and ends when it is told to.
func TestSnapshot(t *testing.T) {
	one, two := data.AppendCount(nil, 1), data.AppendString(nil, "two")
	whole := slices.Concat(one, two, two, one)
	var got [][]byte
	each := func(key, value []byte) error { got = append(got, key, value); return nil }
	if err := (Snapshot{Len: 2, Bytes: append(whole, 0xff)}).Each(each); err != nil || !slices.EqualFunc(got, [][]byte{one, two, two, one}, bytes.Equal) {
		t.Errorf("%x, %v", got, err)
	}
	for i := range got {
		if cap(got[i]) > len(got[i]) {
			t.Error("appending to one overwrites the next")
		}
	}
	for n, says := range map[int]string{0: "key of entry 1", len(one): "value of entry 1", len(one) + len(two): "key of entry 2", len(whole) - 1: "value of entry 2"} {
		err := Snapshot{Len: 2, Bytes: whole[:n]}.Each(each)
		if !errors.Is(err, ErrCommand) || !errors.Is(err, data.ErrTruncated) || !strings.Contains(err.Error(), says+" of 2") {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	enough := errors.New("enough")
	calls := 0
	if err := (Snapshot{Len: 2, Bytes: whole}).Each(func(_, _ []byte) error { calls++; return enough }); err != enough || calls != 1 {
		t.Errorf("%v after %d entries", err, calls)
	}
}

// Kinds have Broker's names, and actions are what is numbered.
func TestCommandKinds(t *testing.T) {
	for k := range CommandKind(255) {
		if got, want := k.Action(), k < 8; got != want {
			t.Errorf("%v is an action: %v", k, got)
		}
		if known := !strings.HasPrefix(k.String(), "unknown"); known != (k < 14) || k.String() == "" {
			t.Errorf("%d is named %v", uint8(k), k)
		}
	}
}

// Whatever command is written reads as what it was, with anything behind it or nothing.
func TestCommandProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := randomCommand().Draw(t, "command")
		payload := AppendCommand(nil, &c)
		got, err := ParseCommand(payload)
		if diff := cmp.Diff(c, got); err != nil || diff != "" {
			t.Fatalf("%x: %v, %s", payload, err, diff)
		}
		if again := AppendCommand(nil, &got); !bytes.Equal(again, payload) {
			t.Fatalf("got %x, want %x", again, payload)
		}
		if header, err := ParseCommandHeader(payload); err != nil || header != c.CommandHeader {
			t.Fatalf("header %+v, %v", header, err)
		}
		if cap(got.Key) > len(got.Key) || cap(got.Value) > len(got.Value) {
			t.Fatal("appending to a value overwrites what is behind")
		}
		for i := range c.Missing.Len() {
			if again := AppendSeq(nil, got.Missing.At(i)); !bytes.Equal(again, c.Missing[8*i:8*i+8]) {
				t.Fatalf("number %d is %d", i, got.Missing.At(i))
			}
		}
		if c.Kind == CommandAckClone {
			return // what is behind belongs to the snapshot
		}
		if got, err = ParseCommand(append(payload, rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "behind")...)); err != nil || !cmp.Equal(c, got) {
			t.Fatalf("with something behind: %+v, %v", got, err)
		}
	})
}

func randomCommand() *rapid.Generator[Command] {
	entity := rapid.Custom(func(t *rapid.T) EntityID {
		return EntityID{EndpointID(rapid.SliceOfN(rapid.Byte(), IDLen, IDLen).Draw(t, "endpoint")), rapid.Uint64().Draw(t, "object")}
	})
	value := rapid.Custom(func(t *rapid.T) []byte { return data.AppendValue(nil, datatest.Value(2).Draw(t, "value")) })
	return rapid.Custom(func(t *rapid.T) Command {
		c := Command{CommandHeader: CommandHeader{
			Seq: rapid.Uint64().Draw(t, "seq"), Sender: entity.Draw(t, "sender"), Receiver: entity.Draw(t, "receiver"),
			Kind: CommandKind(rapid.IntRange(0, int(numCommands)-1).Draw(t, "kind")),
		}}
		expiry := func() {
			if c.HasExpiry = rapid.Bool().Draw(t, "has expiry"); c.HasExpiry {
				c.Expiry = time.Duration(rapid.Int64().Draw(t, "expiry"))
			}
		}
		if c.Kind.Action() {
			c.Publisher = entity.Draw(t, "publisher")
		}
		switch c.Kind {
		case CommandPut, CommandSubtract:
			c.Key, c.Value = value.Draw(t, "key"), value.Draw(t, "value")
			expiry()
		case CommandAdd:
			c.Key, c.Value = value.Draw(t, "key"), value.Draw(t, "value")
			c.Init = data.Kind(rapid.IntRange(0, int(data.KindVector)).Draw(t, "init_type"))
			expiry()
		case CommandPutUnique:
			c.Key, c.Value = value.Draw(t, "key"), value.Draw(t, "value")
			expiry()
			c.Who, c.RequestID = entity.Draw(t, "who"), rapid.Uint64().Draw(t, "req_id")
		case CommandPutUniqueResult:
			c.Inserted, c.Who, c.RequestID = rapid.Bool().Draw(t, "inserted"), entity.Draw(t, "who"), rapid.Uint64().Draw(t, "req_id")
		case CommandErase, CommandExpire:
			c.Key = value.Draw(t, "key")
		case CommandAttachWriter:
			c.Num, c.Heartbeat = rapid.Uint64().Draw(t, "offset"), rapid.Uint16().Draw(t, "heartbeat")
		case CommandKeepalive, CommandCumulativeAck, CommandRetransmitFailed:
			c.Num = rapid.Uint64().Draw(t, "seq")
		case CommandNack:
			c.Missing = SeqList{}
			for _, seq := range rapid.SliceOfN(rapid.Uint64(), 0, 200).Draw(t, "seqs") {
				c.Missing = AppendSeq(c.Missing, seq)
			}
		case CommandAckClone:
			c.Num, c.Heartbeat = rapid.Uint64().Draw(t, "offset"), rapid.Uint16().Draw(t, "heartbeat")
			c.Snapshot.Bytes = []byte{}
			for c.Snapshot.Len = range rapid.IntRange(0, 200).Draw(t, "entries") {
				c.Snapshot.Bytes = slices.Concat(c.Snapshot.Bytes, value.Draw(t, "key"), value.Draw(t, "value"))
			}
		}
		return c
	})
}
