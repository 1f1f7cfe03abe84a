package zeek_test

import (
	"net/netip"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// All IPv4 octets, and all patterns of zeros in IPv6: what is written reads back, and is what package netip writes but
// for the dots of Zeek.
func TestAppendAddrText(t *testing.T) {
	dotted := map[string]string{
		"::102:304": "::1.2.3.4", "::ffff:0:102:304": "::ffff:0:1.2.3.4", "::ff00:0": "::255.0.0.0", "::ffff:0:ff00:0": "::ffff:0:255.0.0.0",
	}
	check := func(a netip.Addr, want string) {
		t.Helper()
		if got := string(zeek.AppendAddrText([]byte("x"), a)); got != "x"+want {
			t.Errorf("%v: %s, want %s", a, got[1:], want)
		}
	}
	for text, want := range dotted {
		check(netip.MustParseAddr(text), want)
	}
	for v := range 256 {
		a := netip.AddrFrom4([4]byte{byte(v), 0, byte(255 - v), byte(v)})
		check(a, a.String())
		var b [16]byte
		for i := range 8 {
			if v>>i&1 == 1 {
				b[2*i], b[2*i+1] = byte(v*i>>4), byte(i+1)
			}
		}
		a = netip.AddrFrom16(b)
		if six := netip.PrefixFrom(netip.IPv6Unspecified(), 96); six.Contains(a) && b[12]|b[13] != 0 {
			check(a, "::"+netip.AddrFrom4([4]byte(b[12:])).String())
		} else {
			check(a, a.String())
		}
	}
	check(netip.MustParseAddr("::ffff:1.2.3.4"), "::ffff:1.2.3.4")
}
