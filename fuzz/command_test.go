package fuzz

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// commands returns commands of every kind.
func commands() (all []wire.Command) {
	who := wire.EntityID{Endpoint: largeID, Object: 8}
	var contents []byte
	for i, v := range values() {
		key := data.AppendCount(nil, uint64(i))
		value := data.AppendValue(nil, v)
		contents = append(append(contents, key...), value...)
		all = append(all,
			wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPut}, Key: key, Value: value, Publisher: who},
			wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAdd}, Key: value, Value: key, Init: v.Kind(), Publisher: who})
	}
	key := data.AppendString(nil, "key")
	all = append(all,
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUnique}, Key: key, Value: key, HasExpiry: true, Expiry: time.Second, Who: who, RequestID: 3, Publisher: who},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUniqueResult}, Inserted: true, Who: who, RequestID: 3},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandErase}, Key: key, Publisher: who},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandExpire}, Key: key, Publisher: who},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandSubtract}, Key: key, Value: key, HasExpiry: true, Expiry: -1},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandClear}, Publisher: who},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAttachWriter}, Num: 1, Heartbeat: 5},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandKeepalive}, Num: 1 << 62},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandCumulativeAck}, Num: 2},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandNack}, Missing: wire.AppendSeq(wire.AppendSeq(nil, 3), 2)},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandAckClone}, Num: 1, Heartbeat: 5, Snapshot: wire.Snapshot{Len: len(values()), Bytes: contents}},
		wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandRetransmitFailed}, Num: 2},
	)
	for i := range all {
		all[i].Seq = uint64(i)
		all[i].Sender = wire.EntityID{Endpoint: smallID, Object: 7}
		all[i].Receiver = wire.EntityID{Endpoint: middleID, Object: 7}
	}
	return all
}

// A command that parses is written in a form that parses to the same, and no longer than it was; its
// values are well-formed, and so are those of a snapshot as far as it can be gone over. One that does
// not parse still has its header.
func FuzzCommand(f *testing.F) {
	for _, c := range commands() {
		f.Add(wire.AppendCommand(nil, &c))
	}
	for _, tail := range []string{"\x0b\xff\xff\xff\xff\x0f", "\x0c\x00\x00\x00\x00\x00\x00\x00\x01\x00\x05\xff\xff\xff\xff\x0f", "\x0e", "\x00\x0f"} {
		f.Add(append(wire.AppendCommandHeader(nil, 1, wire.EntityID{}, wire.EntityID{}), tail...))
	}
	addFrames(f, func(body []byte) {
		if e, err := wire.ParseEnvelope(body); err == nil && e.Type == wire.TypeCommand {
			f.Add(e.Payload)
		}
	})
	f.Fuzz(func(t *testing.T, payload []byte) {
		var c wire.Command
		var err error
		bounded(t, len(payload), func() { c, err = wire.ParseCommand(payload) })
		header, headerErr := wire.ParseCommandHeader(payload)
		if c.CommandHeader != header || headerErr != nil && err == nil {
			t.Fatalf("header %+v, %v, of %+v, %v", header, headerErr, c, err)
		}
		if err != nil {
			if !errors.Is(err, wire.ErrCommand) || !cmp.Equal(c, wire.Command{CommandHeader: header}) {
				t.Fatalf("%+v, %v", c, err)
			}
			return
		}
		again := wire.AppendCommand(nil, &c)
		back, err := wire.ParseCommand(again)
		if err != nil || !cmp.Equal(c, back) || len(again) > len(payload) {
			t.Fatalf("%+v is written as %x and read as %+v, %v", c, again, back, err)
		}
		if third := wire.AppendCommand(nil, &back); !bytes.Equal(third, again) {
			t.Fatalf("%x, then %x", again, third)
		}
		if len(c.Missing) != 8*c.Missing.Len() {
			t.Fatalf("%d numbers in %d bytes", c.Missing.Len(), len(c.Missing))
		}
		checkEncoded(t, c.Key)
		checkEncoded(t, c.Value)
		at, entries := 0, 0
		bounded(t, len(payload), func() {
			at, entries = 0, 0
			err = c.Snapshot.Each(func(key, value []byte) error {
				if !bytes.Equal(c.Snapshot.Bytes[at:at+len(key)], key) || !bytes.HasPrefix(c.Snapshot.Bytes[at+len(key):], value) {
					t.Fatalf("entry %d is not where the last one ended", entries)
				}
				at += len(key) + len(value)
				entries++
				return nil
			})
		})
		if err == nil && entries != c.Snapshot.Len || err != nil && (entries >= c.Snapshot.Len || !errors.Is(err, wire.ErrCommand)) {
			t.Fatalf("%d entries of %d, %v", entries, c.Snapshot.Len, err)
		}
	})
}

// checkEncoded checks a value of a command: somebody can decode it, unless a set or table repeats itself.
func checkEncoded(t *testing.T, b []byte) {
	t.Helper()
	if b == nil {
		return
	}
	if _, err := (data.Decoder{Lenient: true}).Decode(b); err != nil || cap(b) > len(b) {
		t.Fatalf("%x with room for %d bytes: %v", b, cap(b)-len(b), err)
	}
}
