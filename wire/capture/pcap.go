package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxPacket bounds a packet, in bytes: tcpdump's own bound.
const maxPacket = 256 << 10

// A packet is one packet of a capture. Its bytes are used again for the next one.
type packet struct {
	number int
	time   time.Time
	link   uint32 // what data begins with: a LINKTYPE
	data   []byte
	length int // on the network; more than was captured if packets were cut
}

func (p *packet) where() string { return fmt.Sprintf("packet %d", p.number) }

// The magic numbers of pcap, as they stand in the byte order of whoever wrote the file.
const (
	pcapMicro = 0xa1b2c3d4
	pcapNano  = 0xa1b23c4d
)

func isPcap(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	for _, order := range []binary.ByteOrder{binary.BigEndian, binary.LittleEndian} {
		if magic := order.Uint32(b); magic == pcapMicro || magic == pcapNano {
			return true
		}
	}
	return false
}

// readPcap reads a file in the classic format: a header of 24 bytes, then packets with a header of 16.
func readPcap(in *bufio.Reader, s *sink) error {
	var header [24]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		s.damage("byte 0x0", "the header of the pcap file is cut short")
		return cut(err)
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if magic := binary.BigEndian.Uint32(header[:]); magic == pcapMicro || magic == pcapNano {
		order = binary.BigEndian
	}
	unit := time.Microsecond
	if order.Uint32(header[:]) == pcapNano {
		unit = time.Nanosecond
	}
	p := packet{link: order.Uint32(header[20:]) & 0xffff}
	t := newTracker(s)
	defer t.end()
	at := int64(len(header))
	for s.err == nil {
		var head [16]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			if !errors.Is(err, io.EOF) {
				s.damage(fmt.Sprintf("byte %#x", at), "the file ends in the header of packet %d", p.number+1)
			}
			return cut(err)
		}
		p.number++
		captured := order.Uint32(head[8:])
		if captured > maxPacket {
			s.damage(fmt.Sprintf("byte %#x", at), "packet %d claims %d bytes: the file is damaged and cannot be read further", p.number, captured)
			return nil
		}
		p.time = time.Unix(int64(order.Uint32(head[:])), int64(time.Duration(order.Uint32(head[4:]))*unit))
		p.length = int(min(order.Uint32(head[12:]), maxPacket))
		var err error
		if p.data, err = readInto(in, p.data, int(captured)); err != nil {
			s.damage(fmt.Sprintf("byte %#x", at), "the file ends in packet %d: %d of %d bytes", p.number, len(p.data), captured)
			t.packet(&p)
			return cut(err)
		}
		at += int64(len(head)) + int64(captured)
		t.packet(&p)
	}
	return s.err
}

// readInto reads n bytes, into buf if they fit. It returns what there was.
func readInto(in io.Reader, buf []byte, n int) ([]byte, error) {
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	got, err := io.ReadFull(in, buf[:n])
	return buf[:got], err
}

// cut returns an error of reading, unless the file just ended, which has been told.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// The blocks of pcapng that are read; all others are passed over.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockSimple    = 3
	blockPacket    = 6
	sectionMagic   = 0x1a2b3c4d
	optionEnd      = 0
	optionTsresol  = 9
	maxInterfaces  = 4096
)

func isPcapng(b []byte) bool {
	return len(b) >= 12 && binary.BigEndian.Uint32(b) == blockSection &&
		(binary.BigEndian.Uint32(b[8:]) == sectionMagic || binary.LittleEndian.Uint32(b[8:]) == sectionMagic)
}

// An iface is an interface that packets were captured on.
type iface struct {
	link    uint32
	snaplen uint32
	perSec  uint64 // units of its times
}

// readPcapng reads the newer format: blocks of a type, a length, content and the length again.
func readPcapng(in *bufio.Reader, s *sink) error {
	order := binary.ByteOrder(binary.LittleEndian)
	var ifaces []iface
	var p packet
	var block []byte
	t := newTracker(s)
	defer t.end()
	for at := int64(0); s.err == nil; {
		where := fmt.Sprintf("byte %#x", at)
		head, err := in.Peek(12)
		if len(head) == 0 {
			return cut(err)
		}
		if len(head) < 12 {
			s.damage(where, "the file ends in the header of a block")
			return cut(err)
		}
		if binary.BigEndian.Uint32(head) == blockSection {
			if order = binary.LittleEndian; binary.BigEndian.Uint32(head[8:]) == sectionMagic {
				order = binary.BigEndian
			}
			ifaces = ifaces[:0]
		}
		kind, n := order.Uint32(head), order.Uint32(head[4:])
		const overhead = 12
		if n < overhead || n%4 != 0 || n > maxPacket+64<<10 {
			s.damage(where, "a block claims %d bytes: the file is damaged and cannot be read further", n)
			return nil
		}
		if block, err = readInto(in, block, int(n)); err != nil {
			s.damage(where, "the file ends in a block: %d of %d bytes", len(block), n)
			return cut(err)
		}
		if order.Uint32(block[n-4:]) != n {
			s.damage(where, "a block ends with a length of %d bytes, and begins with %d", order.Uint32(block[n-4:]), n)
		}
		content := block[8 : n-4]
		at += int64(n)
		switch kind {
		case blockInterface:
			if len(ifaces) < maxInterfaces {
				ifaces = append(ifaces, parseInterface(content, order))
			}
		case blockPacket:
			p.number++
			if len(content) < 20 {
				s.damage(where, "packet %d: %d bytes, at least 20 wanted", p.number, len(content))
				continue
			}
			index, captured := order.Uint32(content), order.Uint32(content[12:])
			if uint64(index) >= uint64(len(ifaces)) || uint64(captured) > uint64(len(content)-20) {
				s.damage(where, "packet %d: interface %d of %d, %d bytes of %d", p.number, index, len(ifaces), captured, len(content)-20)
				continue
			}
			i := ifaces[index]
			p.time = i.at(uint64(order.Uint32(content[4:]))<<32 | uint64(order.Uint32(content[8:])))
			p.link, p.data, p.length = i.link, content[20:20+captured], int(min(order.Uint32(content[16:]), maxPacket))
			t.packet(&p)
		case blockSimple:
			p.number++
			if len(content) < 4 || len(ifaces) == 0 {
				s.damage(where, "packet %d has no interface or no length", p.number)
				continue
			}
			i := ifaces[0]
			length := order.Uint32(content)
			captured := min(uint64(length), uint64(len(content)-4))
			if i.snaplen > 0 {
				captured = min(captured, uint64(i.snaplen))
			}
			p.time, p.link, p.data, p.length = time.Time{}, i.link, content[4:4+captured], int(min(length, maxPacket))
			t.packet(&p)
		}
	}
	return s.err
}

// parseInterface reads the description of an interface. What it does not say is the default.
func parseInterface(content []byte, order binary.ByteOrder) iface {
	i := iface{link: ^uint32(0), perSec: 1e6}
	if len(content) < 8 {
		return i
	}
	i.link, i.snaplen = uint32(order.Uint16(content)), order.Uint32(content[4:])
	for options := content[8:]; len(options) >= 4; {
		code, n := order.Uint16(options), int(order.Uint16(options[2:]))
		padded := (n + 3) &^ 3
		if options = options[4:]; code == optionEnd || padded > len(options) {
			break
		}
		if code == optionTsresol && n == 1 {
			i.perSec = 1
			base, exponent := uint64(10), options[0]
			if exponent&0x80 != 0 {
				base, exponent = 2, exponent&0x7f
			}
			for range exponent {
				if i.perSec > 1<<59 {
					break // no clock ticks so fast
				}
				i.perSec *= base
			}
		}
		options = options[padded:]
	}
	return i
}

// at returns the time that a packet's stamp stands for.
func (i *iface) at(stamp uint64) time.Time {
	seconds, rest := stamp/i.perSec, stamp%i.perSec
	return time.Unix(int64(seconds), int64(float64(rest)/float64(i.perSec)*1e9))
}
