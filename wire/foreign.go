package wire

import (
	"bytes"
	"encoding/binary"
)

// DescribeForeign names who is speaking if first, the first bytes of a connection, are not those of
// a Broker node on plain TCP: "TLS", "HTTP" and so on. It returns "" if they may be a node's, or
// are too few to tell.
func DescribeForeign(first []byte) string {
	switch {
	case len(first) >= 2 && first[0] == 0x16 && first[1] == 0x03:
		return "TLS (the peer has encryption on, this node off)"
	case len(first) >= 2 && first[0] == 0x15 && first[1] == 0x03:
		return "a TLS alert (the peer has encryption on, this node off)"
	case len(first) >= 4 && isHTTP(first):
		return "HTTP"
	case bytes.HasPrefix(first, []byte("SSH-")):
		return "SSH"
	case isBASP(first):
		return "the protocol of Broker before 2.3 (Zeek 4.2 and older)"
	}
	return ""
}

func isHTTP(first []byte) bool {
	for _, method := range []string{"GET ", "POST", "HEAD", "PUT ", "OPTI", "CONN", "DELE", "PATC", "TRAC", "HTTP", "PRI "} {
		if string(first[:4]) == method {
			return true
		}
	}
	return false
}

// isBASP recognises CAF's binary protocol: a header of an operation (1 byte), two bytes of zero,
// flags, the length of the payload (4 bytes) and 8 bytes of operation data. Its first message is a
// server handshake (operation 0), whose data is the version of the protocol. A node's first bytes
// are a length instead, and its first message never has a length of zero.
func isBASP(first []byte) bool {
	const headerLen = 16
	if len(first) < headerLen || first[1] != 0 || first[2] != 0 {
		return false
	}
	op, size, version := first[0], binary.BigEndian.Uint32(first[4:]), binary.BigEndian.Uint64(first[8:])
	return op <= 1 && first[3] == 0 && size > 0 && size < 1<<16 && version > 0 && version < 256
}
