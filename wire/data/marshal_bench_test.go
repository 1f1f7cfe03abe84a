package data_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

type connID struct {
	OrigH netip.Addr         `zeek:"orig_h"`
	OrigP data.TransportPort `zeek:"orig_p"`
	RespH netip.Addr         `zeek:"resp_h"`
	RespP data.TransportPort `zeek:"resp_p"`
}

// conn is a row of conn.log, as in shapes.
type conn struct {
	TS            time.Time      `zeek:"ts"`
	UID           string         `zeek:"uid"`
	ID            connID         `zeek:"id"`
	Proto         data.EnumName  `zeek:"proto"`
	Service       *string        `zeek:"service"`
	Duration      *time.Duration `zeek:"duration"`
	OrigBytes     *uint64        `zeek:"orig_bytes"`
	RespBytes     *uint64        `zeek:"resp_bytes"`
	ConnState     *string        `zeek:"conn_state"`
	LocalOrig     *bool          `zeek:"local_orig"`
	LocalResp     *bool          `zeek:"local_resp"`
	MissedBytes   uint64         `zeek:"missed_bytes"`
	History       *string        `zeek:"history"`
	OrigPkts      *uint64        `zeek:"orig_pkts"`
	OrigIPBytes   *uint64        `zeek:"orig_ip_bytes"`
	RespPkts      *uint64        `zeek:"resp_pkts"`
	RespIPBytes   *uint64        `zeek:"resp_ip_bytes"`
	TunnelParents []string       `zeek:"tunnel_parents,set,optional"`
}

func aConn() *conn {
	return &conn{
		TS: time.Unix(1_700_000_000, 123456000).UTC(), UID: "CHhAvVGS1DHFjwGM9",
		ID: connID{
			netip.MustParseAddr("10.1.2.3"), data.TransportPort{Number: 49152, Proto: data.ProtoTCP},
			netip.MustParseAddr("93.184.216.34"), data.TransportPort{Number: 443, Proto: data.ProtoTCP},
		},
		Proto: "tcp", Service: new("ssl"), Duration: new(123 * time.Millisecond), OrigBytes: new(uint64(1024)),
		RespBytes: new(uint64(2048)), ConnState: new("SF"), LocalOrig: new(true), LocalResp: new(false),
		History: new("ShADadFf"), OrigPkts: new(uint64(12)), OrigIPBytes: new(uint64(1500)), RespPkts: new(uint64(14)),
		RespIPBytes: new(uint64(2600)), TunnelParents: []string{"CUM0KZ3MLUfNB0cl11"},
	}
}

// connValue is what one writes by hand instead.
func connValue(c *conn) data.Value {
	parents := make([]data.Value, len(c.TunnelParents))
	for i, p := range c.TunnelParents {
		parents[i] = data.String(p)
	}
	return data.Vector(
		data.Time(c.TS), data.String(c.UID),
		data.Vector(data.Addr(c.ID.OrigH), data.Port(c.ID.OrigP.Number, c.ID.OrigP.Proto),
			data.Addr(c.ID.RespH), data.Port(c.ID.RespP.Number, c.ID.RespP.Proto)),
		data.Enum(string(c.Proto)), data.String(*c.Service), data.Timespan(*c.Duration), data.Count(*c.OrigBytes),
		data.Count(*c.RespBytes), data.String(*c.ConnState), data.Bool(*c.LocalOrig), data.Bool(*c.LocalResp),
		data.Count(c.MissedBytes), data.String(*c.History), data.Count(*c.OrigPkts), data.Count(*c.OrigIPBytes),
		data.Count(*c.RespPkts), data.Count(*c.RespIPBytes), data.Set(parents...))
}

func BenchmarkConn(b *testing.B) {
	c := aConn()
	encoded := data.AppendValue(nil, connValue(c))
	dst := make([]byte, 0, len(encoded))
	b.Run("append/struct", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = data.Append(dst[:0], c)
		}
	})
	b.Run("append/by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = data.AppendValue(dst[:0], connValue(c))
		}
	})
	b.Run("read/struct", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var c conn
			r := data.NewReader(encoded)
			if err := r.Into(&c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read/tree", func(b *testing.B) { // which then remains to be taken apart
		b.ReportAllocs()
		for b.Loop() {
			if _, err := data.DecodeValue(encoded); err != nil {
				b.Fatal(err)
			}
		}
	})
}
