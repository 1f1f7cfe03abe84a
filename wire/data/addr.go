package data

import (
	"encoding/binary"
	"net/netip"
)

// addrHalves returns the 16 bytes of an address as two numbers, IPv4 as ::ffff:a.b.c.d.
func addrHalves(a netip.Addr) (high, low uint64) {
	if !a.IsValid() {
		return 0, 0
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

func addrFromHalves(high, low uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], high)
	binary.BigEndian.PutUint64(b[8:], low)
	return netip.AddrFrom16(b)
}

// maskHalves clears all but the first bits bits.
func maskHalves(high, low uint64, bits int) (uint64, uint64) {
	if bits <= 64 {
		return high &^ (^uint64(0) >> bits), 0
	}
	return high, low &^ (^uint64(0) >> (bits - 64))
}
