package logs

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// ConnHead is the first ten columns of conn.log, for this benchmark and the tests of streams.
type ConnHead struct {
	TS  time.Time `zeek:"ts"`
	UID string    `zeek:"uid"`
	ID  struct {
		OrigH netip.Addr         `zeek:"orig_h"`
		OrigP data.TransportPort `zeek:"orig_p"`
		RespH netip.Addr         `zeek:"resp_h"`
		RespP data.TransportPort `zeek:"resp_p"`
	} `zeek:"id"`
	Proto     data.EnumName  `zeek:"proto"`
	Service   *string        `zeek:"service"`
	Duration  *time.Duration `zeek:"duration"`
	OrigBytes *uint64        `zeek:"orig_bytes"`
}

// BenchmarkAppendRow packs a row with ten columns of all kinds.
func BenchmarkAppendRow(b *testing.B) {
	columns, err := columnsOf(reflect.TypeFor[ConnHead]())
	if err != nil {
		b.Fatal(err)
	}
	service, duration := "http", time.Second
	r := ConnHead{TS: time.Unix(1700000000, 0), UID: "CHhAvVGS1DHFjwGM9", Proto: "tcp", Service: &service, Duration: &duration}
	r.ID.OrigH, r.ID.RespH = netip.MustParseAddr("192.168.1.10"), netip.MustParseAddr("2001:db8::1")
	var packed []byte
	b.ReportAllocs()
	for b.Loop() {
		if packed, err = appendRow(packed[:0], columns, &r); err != nil {
			b.Fatal(err)
		}
	}
}
