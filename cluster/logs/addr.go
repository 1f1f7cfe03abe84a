package logs

import (
	"net/netip"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// putAddr writes a packed address or subnet. size is how long it is packed, or 0 if it is malformed.
func putAddr(out []byte, n int, t zeek.LogType, b []byte) (_, size int) {
	if t == zeek.LogSubnet {
		return putSubnet(out, n, b)
	}
	a, size := addrIn(b)
	if size == 0 {
		return n, 0
	}
	return len(zeek.AppendAddrText(out[:n], a)), size
}

// addrIn returns the packed address that b begins with: its family, and then its bytes.
func addrIn(b []byte) (a netip.Addr, size int) {
	switch {
	case len(b) >= 5 && b[0] == 4:
		return netip.AddrFrom4([4]byte(b[1:])), 5
	case len(b) >= 17 && b[0] == 6:
		return netip.AddrFrom16([16]byte(b[1:])), 17
	}
	return a, 0
}

// putSubnet writes a packed subnet: its length, in the 128 bits that an IPv4 address has the last 32 of,
// and then its address.
func putSubnet(out []byte, n int, b []byte) (_, size int) {
	if len(b) == 0 {
		return n, 0
	}
	bits := int(b[0])
	a, size := addrIn(b[1:])
	if a.Is4() {
		bits -= 96
	}
	if size == 0 || bits < 0 || bits > a.BitLen() {
		return n, 0
	}
	n = len(zeek.AppendAddrText(out[:n], a))
	out[n] = '/'
	return putUint(out, n+1, uint64(bits)), 1 + size
}
