package zeek

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
)

// maxAddrText is the room that an address takes, with a word more that is written over.
const maxAddrText = 48

// octets are the numbers of a byte in decimal, each with a point behind it, as the first four bytes of a little-endian
// word, and above them how many bytes that is. A table has no branches that guess wrong.
var octets = func() (words [256]uint64) {
	for v := range words {
		text := strconv.Itoa(v) + "."
		words[v] = uint64(len(text)) << 32
		for i := range len(text) {
			words[v] |= uint64(text[i]) << (8 * i)
		}
	}
	return words
}()

// AppendAddrText appends an address as Zeek writes it into logs, and hashes it (CLUSTER.md section 6.7): the first of
// the longest runs of at least two groups of zeros as "::", and the last two groups like an IPv4 address if there is
// nothing else behind just six zeros, or behind "::ffff:" or "::ffff:0:". The latter is not what package netip has.
func AppendAddrText(dst []byte, a netip.Addr) []byte {
	n := len(dst)
	if cap(dst)-n < maxAddrText {
		dst = slices.Grow(dst, maxAddrText)
	}
	out := dst[n : n+maxAddrText]
	if a.Is4() {
		b := a.As4()
		return dst[:n+putIPv4(out, 0, b[:])]
	}
	b := a.As16()
	return dst[:n+putIPv6(out, &b)]
}

// putIPv4 writes four bytes as an address at out[n:], and returns the index behind it.
func putIPv4(out []byte, n int, b []byte) int {
	for _, octet := range b[:4] {
		word := octets[octet]
		binary.LittleEndian.PutUint32(out[n:], uint32(word))
		n += int(word >> 32)
	}
	return n - 1
}

// putIPv6 writes 16 bytes as an address, and returns how long it is.
func putIPv6(out []byte, b *[16]byte) int {
	var groups [8]uint16
	run, length := 0, 1 // the longest run of zeros
	for i, zeros := 0, 0; i < 8; i++ {
		if groups[i] = binary.BigEndian.Uint16(b[2*i:]); groups[i] != 0 {
			zeros = 0
		} else if zeros++; zeros > length {
			run, length = i+1-zeros, zeros
		}
	}
	if length == 1 {
		run = -1
	}
	dotted := run == 0 && (length == 6 || length == 5 && groups[5] == 0xffff || length == 4 && groups[4] == 0xffff && groups[5] == 0)
	n := 0
	for i := 0; i < 8; i++ {
		if i == run {
			n += copy(out[n:], "::")
			if i += length; i == 8 {
				break
			}
		} else if i > 0 {
			out[n] = ':'
			n++
		}
		if i == 6 && dotted {
			return putIPv4(out, n, b[12:])
		}
		n = putHex(out, n, groups[i])
	}
	return n
}

// putHex writes a number without zeros in front.
func putHex(out []byte, n int, v uint16) int {
	const digits = "0123456789abcdef"
	for shift := 12; shift > 0; shift -= 4 {
		if v>>shift != 0 {
			out[n] = digits[v>>shift&15]
			n++
		}
	}
	out[n] = digits[v&15]
	return n + 1
}
