package logs

import "encoding/binary"

// putIPv4 writes four bytes as an address.
func putIPv4(out []byte, n int, b []byte) int {
	for _, octet := range b[:4] {
		n = putSmall(out, n, uint64(octet))
		out[n] = '.'
		n++
	}
	return n - 1
}

// putIPv6 writes 16 bytes as an address. Zeek writes the first of the longest runs of at least two groups
// of zeros as "::", and the last two groups like an IPv4 address if there is nothing else behind six zeros, or
// behind "::ffff:" or "::ffff:0:".
func putIPv6(out []byte, n int, b []byte) int {
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

const hexDigits = "0123456789abcdef"

// putHex writes a number without zeros in front.
func putHex(out []byte, n int, v uint16) int {
	for shift := 12; shift > 0; shift -= 4 {
		if v>>shift != 0 {
			out[n] = hexDigits[v>>shift&15]
			n++
		}
	}
	out[n] = hexDigits[v&15]
	return n + 1
}

// putAddr writes a packed address: its family, and then its bytes. size is how long it is packed, or 0 if
// it is malformed.
func putAddr(out []byte, n int, b []byte) (_, size int) {
	switch {
	case len(b) >= 5 && b[0] == 4:
		return putIPv4(out, n, b[1:]), 5
	case len(b) >= 17 && b[0] == 6:
		return putIPv6(out, n, b[1:]), 17
	}
	return n, 0
}

// putSubnet writes a packed subnet: its length, in the 128 bits that an IPv4 address has the last 32 of,
// and then its address.
func putSubnet(out []byte, n int, b []byte) (_, size int) {
	if len(b) == 0 {
		return n, 0
	}
	bits := int(b[0])
	if n, size = putAddr(out, n, b[1:]); size == 5 {
		bits -= 96
	}
	if size == 0 || bits < 0 || bits > 8*(size-1) {
		return n, 0
	}
	out[n] = '/'
	return putUint(out, n+1, uint64(bits)), 1 + size
}
