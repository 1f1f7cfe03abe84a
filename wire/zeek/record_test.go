package zeek_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// The examples of CLUSTER.md section 6.4.
func TestPackedValues(t *testing.T) {
	for _, c := range []struct {
		name, want string
		got        []byte
	}{
		{"bool T", "00000001 00000000 01 0000000000000001", zeek.AppendLogBool(nil, true)},
		{"int -42", "00000002 00000000 01 ffffffffffffffd6", zeek.AppendLogInt(nil, -42)},
		{"count 21", "00000003 00000000 01 0000000000000015", zeek.AppendLogCount(nil, 21)},
		{"double 3.14", "00000004 00000000 01 40091eb851eb851f", zeek.AppendLogFloat(nil, zeek.LogDouble, 3.14)},
		{"time 1700000000.123456", "00000005 00000000 01 41d954fc4007e6b4", zeek.AppendLogTime(nil, time.Unix(1700000000, 123456000))},
		{"interval 100 s", "00000006 00000000 01 4059000000000000", zeek.AppendLogInterval(nil, 100*time.Second)},
		{"string hi", "00000007 00000000 01 00000002 6869", zeek.AppendLogText(nil, zeek.LogString, "hi")},
		{"string empty", "00000007 00000000 01 00000000", zeek.AppendLogText(nil, zeek.LogString, "")},
		{"string unset", "00000007 00000000 00", zeek.AppendUnset(nil, zeek.LogString)},
		{"enum Notice::LOG", "00000009 00000000 01 0000000b 4e6f746963653a3a4c4f47", zeek.AppendLogText(nil, zeek.LogEnum, "Notice::LOG")},
		{"enum tcp", "00000009 00000000 01 00000003 746370", zeek.AppendLogText(nil, zeek.LogEnum, "tcp")},
		{"port 443/tcp", "0000000a 00000000 01 00000000000001bb 00000001", zeek.AppendLogPort(nil, 443, data.ProtoTCP)},
		{"addr 1.2.3.4", "0000000b 00000000 01 04 01020304", zeek.AppendLogAddr(nil, netip.MustParseAddr("1.2.3.4"))},
		{"addr 2001:db8::1", "0000000b 00000000 01 06 20010db8000000000000000000000001", zeek.AppendLogAddr(nil, netip.MustParseAddr("2001:db8::1"))},
		{"subnet 10.0.0.0/24", "0000000c 00000000 01 78 04 0a000000", zeek.AppendLogSubnet(nil, netip.MustParsePrefix("10.0.0.0/24"))},
		{"subnet 2001:db8::/32", "0000000c 00000000 01 20 06 20010db8000000000000000000000000", zeek.AppendLogSubnet(nil, netip.MustParsePrefix("2001:db8::/32"))},
		{"set[count] {1}", "0000000e 00000000 01 0000000000000001 00000003 00000000 01 0000000000000001", zeek.AppendLogCount(zeek.AppendLogContainer(nil, zeek.LogSet, 1), 1)},
		{"set[string] empty", "0000000e 00000000 01 0000000000000000", zeek.AppendLogContainer(nil, zeek.LogSet, 0)},
		{"set unset", "0000000e 00000000 00", zeek.AppendUnset(nil, zeek.LogSet)},
		{"vector [a, hole]", "00000013 00000000 01 0000000000000002 00000007 00000000 01 00000001 61 00000007 00000000 00", zeek.AppendUnset(zeek.AppendLogText(zeek.AppendLogContainer(nil, zeek.LogVector, 2), zeek.LogString, "a"), zeek.LogString)},
		{"func foo", "00000011 00000000 01 00000003 666f6f", zeek.AppendLogText(nil, zeek.LogFunc, "foo")},
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(c.want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.got, want) {
			t.Errorf("%s: got %x, want %x", c.name, c.got, want)
		}
		if got := repack(t, append(zeek.AppendRecord(nil, 1), want...)); !bytes.Equal(got[4:], want) {
			t.Errorf("%s: read and packed again as %x", c.name, got[4:])
		}
	}
}

// repack reads a record and packs what it read.
func repack(t testing.TB, packed []byte) []byte {
	t.Helper()
	r := zeek.ReadRecord(packed)
	dst := repackCells(t, zeek.AppendRecord(nil, r.Len()), &r)
	if err := r.Err(); err != nil {
		t.Fatalf("%x: %v", packed, err)
	}
	return dst
}

func repackCells(t testing.TB, dst []byte, r *zeek.RecordReader) []byte {
	for c, ok := r.Next(); ok; c, ok = r.Next() {
		if !c.Set {
			dst = zeek.AppendUnset(dst, c.Type)
			continue
		}
		switch c.Type {
		case zeek.LogBool:
			dst = zeek.AppendLogBool(dst, c.Bool())
		case zeek.LogInt:
			dst = zeek.AppendLogInt(dst, c.Int())
		case zeek.LogCount:
			dst = zeek.AppendLogCount(dst, c.Count())
		case zeek.LogDouble, zeek.LogTime, zeek.LogInterval:
			dst = zeek.AppendLogFloat(dst, c.Type, c.Float())
		case zeek.LogString, zeek.LogEnum, zeek.LogFunc, zeek.LogFile:
			dst = zeek.AppendLogText(dst, c.Type, c.Text())
		case zeek.LogPort:
			number, proto := c.Port()
			dst = zeek.AppendLogPort(dst, uint16(number), proto)
		case zeek.LogAddr:
			dst = zeek.AppendLogAddr(dst, c.Addr())
		case zeek.LogSubnet:
			dst = zeek.AppendLogSubnet(dst, c.Subnet())
		default:
			elems := c.Elems()
			dst = repackCells(t, zeek.AppendLogContainer(dst, c.Type, c.Len()), &elems)
		}
	}
	return dst
}

// Every row that a real worker, proxy or manager sent reads as the columns that its log was created with,
// and packs to the same bytes again.
func TestRecordedRows(t *testing.T) {
	schemas := map[string][]zeek.Field{}
	rows, cells := 0, 0
	eachRecorded(t, func(e wire.Envelope) {
		m, err := zeek.Parse(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		members := []zeek.Message{m}
		if batch, ok := m.(zeek.Batch); ok {
			members = batch
		}
		for _, m := range members {
			switch m := m.(type) {
			case zeek.LogCreate:
				schemas[m.Stream+m.Info.Path] = m.Fields
			case zeek.LogWrite:
				rows++
				// In certificates a true bool may be 255.
				if got := repack(t, m.Packed); !bytes.Equal(got, m.Packed) && m.Stream != "X509::LOG" {
					t.Fatalf("%s: %x became %x", m.Stream, m.Packed, got)
				}
				fields := schemas[m.Stream+m.Path]
				r := zeek.ReadRecord(m.Packed)
				if len(fields) != r.Len() {
					t.Fatalf("%s: %d values, %d fields", m.Stream, r.Len(), len(fields))
				}
				for _, f := range fields {
					c, _ := r.Next()
					if cells++; uint64(c.Type) != f.Type {
						t.Errorf("%s %s: %v, want %s", m.Stream, f.Name, c.Type, f.TypeName())
					}
				}
			}
		}
	})
	if rows == 0 {
		t.Error("no rows among the recordings")
	}
	t.Logf("%d rows, %d values", rows, cells)
}

func TestBadRecords(t *testing.T) {
	for _, c := range []struct{ name, packed, want string }{
		{"nothing", "", "0 bytes"},
		{"short", "000000", "3 bytes"},
		{"negative count", "ffffffff", "-1 values announced"},
		{"more values than bytes", "00000002 00000007 00000000 00", "2 values announced in 13 bytes"},
		{"cut off", "00000001 00000003 00000000 01 000000", "3 bytes left where 8 are wanted"},
		{"negative text", "00000001 00000007 00000000 01 ffffffff", "text of -1 bytes"},
		{"long text", "00000001 00000007 00000000 01 00000005 6869", "2 bytes left where 5 are wanted"},
		{"family", "00000001 0000000b 00000000 01 05 01020304", "address family 5"},
		{"type", "00000001 00000017 00000000 00", "a value of type type 23"},
		{"record", "00000001 0000000f 00000000 00", "a value of type record"},
		{"set in a set", "00000001 0000000e 00000000 01 0000000000000001 0000000e 00000000 00", "a value of type set"},
		{"many elements", "00000001 0000000e 00000000 01 00000000ffffffff", "4294967295 elements announced"},
		{"more", "00000001 00000007 00000000 00 00", "1 bytes behind the last value"},
	} {
		packed, err := hex.DecodeString(strings.ReplaceAll(c.packed, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		r := zeek.ReadRecord(packed)
		for _, ok := r.Next(); ok; _, ok = r.Next() {
		}
		if err := r.Err(); !errors.Is(err, zeek.ErrRecord) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func BenchmarkReadRecord(b *testing.B) {
	var rows [][]byte
	eachRecorded(b, func(e wire.Envelope) {
		if m, err := zeek.Parse(e.Payload); err == nil {
			if batch, ok := m.(zeek.Batch); ok {
				for _, m := range batch {
					if w, ok := m.(zeek.LogWrite); ok && w.Stream == "Conn::LOG" {
						rows = append(rows, w.Packed)
					}
				}
			}
		}
	})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		r := zeek.ReadRecord(rows[i%len(rows)])
		for _, ok := r.Next(); ok; _, ok = r.Next() {
		}
		if r.Err() != nil {
			b.Fatal(r.Err())
		}
		i++
	}
}
