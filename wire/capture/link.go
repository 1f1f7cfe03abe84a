package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// The kinds of links that are read, as pcap numbers them.
const (
	linkNull     = 0
	linkEthernet = 1
	linkRawBSD   = 12
	linkRawOpen  = 14
	linkRaw      = 101
	linkLoop     = 108
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherVLAN = 0x8100
	etherQinQ = 0x88a8
)

const protoTCP = 6

// A segment is one segment of TCP.
type segment struct {
	from, to netip.AddrPort
	seq, ack uint32
	flags    uint8
	payload  []byte
	cut      int // bytes of the payload that were not captured
}

const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	_
	flagACK
)

var (
	errNotTCP   = errors.New("not TCP")
	errFragment = errors.New("a fragment of an IP packet")
	errShort    = errors.New("cut short")
)

// parseSegment finds the TCP segment in a packet.
func parseSegment(link uint32, b []byte) (segment, error) {
	ip, err := network(link, b)
	if err != nil {
		return segment{}, err
	}
	if len(ip) == 0 {
		return segment{}, errShort
	}
	switch ip[0] >> 4 {
	case 4:
		return parseIPv4(ip)
	case 6:
		return parseIPv6(ip)
	}
	return segment{}, errNotTCP
}

// network takes the header of the link off.
func network(link uint32, b []byte) ([]byte, error) {
	switch link {
	case linkRaw, linkRawBSD, linkRawOpen, linkIPv4, linkIPv6:
		return b, nil
	case linkNull, linkLoop:
		return after(b, 4)
	case linkSLL:
		return ofType(b, 14, 16)
	case linkSLL2:
		return ofType(b, 0, 20)
	case linkEthernet:
		at := 12
		for len(b) >= at+2 {
			t := binary.BigEndian.Uint16(b[at:])
			if t != etherVLAN && t != etherQinQ {
				break
			}
			at += 4
		}
		return ofType(b, at, at+2)
	}
	return nil, fmt.Errorf("link of type %d: want Ethernet, Linux cooked, loopback or raw IP", link)
}

func after(b []byte, n int) ([]byte, error) {
	if len(b) < n {
		return nil, errShort
	}
	return b[n:], nil
}

// ofType returns what stands at offset, if the type of Ethernet at typeAt says that it is IP.
func ofType(b []byte, typeAt, offset int) ([]byte, error) {
	if len(b) < offset {
		return nil, errShort
	}
	if t := binary.BigEndian.Uint16(b[typeAt:]); t != etherIPv4 && t != etherIPv6 {
		return nil, errNotTCP
	}
	return b[offset:], nil
}

func parseIPv4(b []byte) (segment, error) {
	if len(b) < 20 {
		return segment{}, errShort
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if b[9] != protoTCP {
		return segment{}, errNotTCP
	}
	if fragment := binary.BigEndian.Uint16(b[6:]); fragment&0x3fff != 0 {
		return segment{}, errFragment
	}
	if total == 0 { // the network card cuts it later
		total = len(b)
	}
	if header < 20 || total < header || len(b) < header {
		return segment{}, errShort
	}
	from, to := netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	return parseTCP(from, to, b[header:min(total, len(b))], total-header)
}

func parseIPv6(b []byte) (segment, error) {
	if len(b) < 40 {
		return segment{}, errShort
	}
	from, to := netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	total, next := int(binary.BigEndian.Uint16(b[4:])), b[6]
	b = b[40:]
	if total == 0 {
		total = len(b)
	}
	b = b[:min(total, len(b))]
	for next != protoTCP {
		const hopByHop, routing, fragment, options = 0, 43, 44, 60
		switch next {
		case fragment:
			return segment{}, errFragment
		case hopByHop, routing, options:
		default:
			return segment{}, errNotTCP
		}
		if len(b) < 8 {
			return segment{}, errShort
		}
		n := 8 * (int(b[1]) + 1)
		if len(b) < n {
			return segment{}, errShort
		}
		next, b, total = b[0], b[n:], total-n
	}
	return parseTCP(from, to, b, total)
}

// parseTCP parses a segment of total bytes, of which b may be the beginning only.
func parseTCP(from, to netip.Addr, b []byte, total int) (segment, error) {
	if len(b) < 20 {
		return segment{}, errShort
	}
	header := int(b[12]>>4) * 4
	if header < 20 || len(b) < header {
		return segment{}, errShort
	}
	return segment{
		from:    netip.AddrPortFrom(from, binary.BigEndian.Uint16(b)),
		to:      netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:])),
		seq:     binary.BigEndian.Uint32(b[4:]),
		ack:     binary.BigEndian.Uint32(b[8:]),
		flags:   b[13],
		payload: b[header:],
		cut:     total - len(b),
	}, nil
}
