package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// said is what the captures in testdata hold: a zeekpeer pub that peers with a broker-node, publishes
// one event and takes leave.
var said = []string{
	"listener > dialer probe", "dialer > listener hello", "listener > dialer hello", "dialer > listener version_select",
	"dialer > listener originator_syn", "listener > dialer responder_syn_ack", "dialer > listener originator_ack",
	"dialer > listener data", "dialer > listener ping", "listener > dialer pong", "dialer > listener closed",
}

// unplaced cuts the places off lines.
func unplaced(lines []string) []string {
	for i, l := range lines {
		_, lines[i], _ = strings.Cut(l, ": ")
	}
	return lines
}

func TestCaptures(t *testing.T) {
	for _, name := range []string{"pub-ethernet.pcap", "pub-sll2.pcap", "pub.pcapng", "pub-nanoseconds.pcap", "pub.pcap.gz"} {
		b := open(t, name)
		if diff := cmp.Diff(said, unplaced(lines(t, bytes.NewReader(b)))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		err := Read(bytes.NewReader(b), func(it Item) error {
			begin := time.Date(2026, 11, 25, 17, 17, 29, 524_700_000, time.UTC)
			if d := it.Time.Sub(begin); d < 0 || d > 10*time.Millisecond {
				t.Errorf("%s: %s at %v", name, it.Where, it.Time)
			}
			if it.From.Addr != "127.0.0.1:53166" && it.To.Addr != "127.0.0.1:53166" || it.Conn != 1 {
				t.Errorf("%s: %s between %v and %v", name, it.Where, it.From, it.To)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	// Wireshark's dump of the same connection says the same, in its order.
	got := unplaced(lines(t, bytes.NewReader(open(t, "pub.wireshark"))))
	if diff := cmp.Diff(said[1:len(said)-1], got[1:]); diff != "" {
		t.Errorf("pub.wireshark: %s", diff)
	}
}

// packets returns the packets of pub-ethernet.pcap, each with its header in the file, and the header
// of the file.
func packets(t testing.TB) (header []byte, all [][]byte) {
	t.Helper()
	b := open(t, "pub-ethernet.pcap")
	header, b = b[:24], b[24:]
	for len(b) > 0 {
		n := 16 + int(binary.LittleEndian.Uint32(b[8:]))
		all = append(all, b[:n:n])
		b = b[n:]
	}
	return header, all
}

func join(header []byte, packets [][]byte) *bytes.Reader {
	return bytes.NewReader(append(slices.Clone(header), bytes.Join(packets, nil)...))
}

// frames returns what was said in one direction.
func frames(lines []string, from string) (of []string) {
	for _, l := range lines {
		if strings.HasPrefix(l, from) && !strings.Contains(l, "DAMAGE") {
			of = append(of, l)
		}
	}
	return of
}

// TestDisorder: packets out of order and twice do not change what was said in each direction.
func TestDisorder(t *testing.T) {
	header, all := packets(t)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		// The SYNs stay where they are, and so does the end. What is between is put up to three places
		// away, and half of it comes twice. Acknowledgements are taken out: one that comes before what it
		// acknowledges would say that this is missing.
		middle := slices.Clone(all[2:14])
		for i, p := range middle {
			middle[i] = slices.Clone(p)
			binary.BigEndian.PutUint32(middle[i][16+14+20+8:], 0x80000000)
			middle[i][16+14+20+13] &^= flagACK
		}
		for i := range middle {
			if j := i + r.IntN(4); j < len(middle) {
				middle[i], middle[j] = middle[j], middle[i]
			}
		}
		var sent [][]byte
		for i, p := range middle {
			sent = append(sent, p)
			if r.IntN(2) == 0 {
				sent = append(sent, middle[r.IntN(i+1)])
			}
		}
		mixed := slices.Concat(all[:2], sent, all[14:])
		got := unplaced(lines(t, join(header, mixed)))
		for _, from := range []string{"dialer", "listener"} {
			if diff := cmp.Diff(frames(said, from), frames(got, from)); diff != "" {
				t.Fatalf("seed %d: %s", seed, diff)
			}
		}
		if slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "DAMAGE") }) {
			t.Fatalf("seed %d: %q", seed, got)
		}
	}
}

// TestMissingPackets: a packet that is missing is named as so many bytes, and what follows is read.
func TestMissingPackets(t *testing.T) {
	header, all := packets(t)
	without := func(missing ...int) []string {
		var rest [][]byte
		for i, p := range all {
			if !slices.Contains(missing, i+1) {
				rest = append(rest, p)
			}
		}
		return unplaced(lines(t, join(header, rest)))
	}
	// Packet 12 is the event, 106 bytes.
	want := slices.Clone(said)
	want[7] = "dialer > listener DAMAGE 106 bytes are missing in the capture"
	if diff := cmp.Diff(want, without(12)); diff != "" {
		t.Errorf("without the event: %s", diff)
	}
	// Without the three that begin the connection, who dialed is guessed from the ports, and what stands
	// where must be found.
	if diff := cmp.Diff(said, without(1, 2, 3)); diff != "" {
		t.Errorf("without the beginning: %s", diff)
	}
	if got := without(18, 17, 16); got[len(got)-1] != said[len(said)-2] {
		t.Errorf("without the end: %q", got)
	}
}

// TestCutCaptures: a file that ends anywhere says so and tells what it holds.
func TestCutCaptures(t *testing.T) {
	for _, name := range []string{"pub-ethernet.pcap", "pub.pcapng"} {
		b := open(t, name)
		whole := unplaced(lines(t, bytes.NewReader(b)))
		for n := 13; n < len(b); n += 3 { // so that each place within a word occurs
			got := unplaced(lines(t, bytes.NewReader(b[:n])))
			seen := frames(got, "dialer")
			if want := frames(whole, "dialer"); len(seen) > len(want) || !slices.Equal(seen, want[:len(seen)]) {
				t.Fatalf("%s, %d bytes: %q", name, n, got)
			}
		}
	}
	got := lines(t, bytes.NewReader(open(t, "pub-ethernet.pcap")[:320]))
	if want := "byte 0x11e: DAMAGE the file ends in packet 4: 18 of 75 bytes"; !slices.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestBigEndian: a capture from a machine of the other byte order reads the same.
func TestBigEndian(t *testing.T) {
	header, all := packets(t)
	swap := func(b []byte, sizes ...int) {
		for _, n := range sizes {
			slices.Reverse(b[:n])
			b = b[n:]
		}
	}
	header = slices.Clone(header)
	swap(header, 4, 2, 2, 4, 4, 4, 4)
	for i, p := range all {
		all[i] = slices.Clone(p)
		swap(all[i], 4, 4, 4, 4)
	}
	if diff := cmp.Diff(said, unplaced(lines(t, join(header, all)))); diff != "" {
		t.Error(diff)
	}
}

// TestDamagedCaptures: numbers that cannot be right are named with their place.
func TestDamagedCaptures(t *testing.T) {
	header, all := packets(t)
	all[4] = slices.Clone(all[4])
	binary.LittleEndian.PutUint32(all[4][8:], 1<<30)
	got := lines(t, join(header, all))
	want := "packet 5 claims 1073741824 bytes: the file is damaged and cannot be read further"
	if !slices.ContainsFunc(got, func(l string) bool { return strings.HasSuffix(l, want) }) {
		t.Errorf("%q, want %q", got, want)
	}
	ng := slices.Clone(open(t, "pub.pcapng"))
	binary.LittleEndian.PutUint32(ng[4:], 13)
	if got := lines(t, bytes.NewReader(ng)); !strings.Contains(got[0], "a block claims 13 bytes") {
		t.Errorf("%q", got)
	}
}

// TestOtherTraffic: connections of others are named, or passed over.
func TestOtherTraffic(t *testing.T) {
	header, all := packets(t)
	payload := 16 + 14 + 20 + 32
	for i, p := range all {
		if len(p) > payload {
			all[i] = slices.Clone(p)
			copy(all[i][payload:], "\x17\x03\x03\x00\x10")
		}
	}
	want := []string{"listener > dialer TLS: cannot be read"}
	if diff := cmp.Diff(want, unplaced(lines(t, join(header, all)))); diff != "" {
		t.Error(diff)
	}
	// Joined in the middle there is nothing to tell it by.
	want = []string{"DAMAGE no frames of Broker were found in any connection"}
	if diff := cmp.Diff(want, unplaced(lines(t, join(header, all[3:])))); diff != "" {
		t.Error(diff)
	}
}

// TestLinks: the same segment behind every kind of link and network.
func TestLinks(t *testing.T) {
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp, 5000)
	binary.BigEndian.PutUint16(tcp[2:], 9999)
	tcp[12] = 5 << 4
	tcp = append(tcp, "hello"...)
	v4 := make([]byte, 24)
	v4[0], v4[9] = 0x46, protoTCP // with four bytes of options
	binary.BigEndian.PutUint16(v4[2:], uint16(len(v4)+len(tcp)))
	copy(v4[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	v4 = append(v4, tcp...)
	v6 := make([]byte, 40)
	v6[0], v6[6] = 0x60, 0 // a hop-by-hop header follows
	from, to := netip.MustParseAddr("fd00::1").As16(), netip.MustParseAddr("fd00::2").As16()
	copy(v6[8:], from[:])
	copy(v6[24:], to[:])
	hop := []byte{protoTCP, 0, 1, 4, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(v6[4:], uint16(len(hop)+len(tcp)))
	v6 = slices.Concat(v6, hop, tcp)
	padding := make([]byte, 6) // Ethernet pads short packets
	for _, c := range []struct {
		link   uint32
		before string
	}{
		{linkEthernet, "\x01\x02\x03\x04\x05\x06\x01\x02\x03\x04\x05\x06%s"},
		{linkEthernet, "\x01\x02\x03\x04\x05\x06\x01\x02\x03\x04\x05\x06\x81\x00\x00\x05%s"},
		{linkEthernet, "\x01\x02\x03\x04\x05\x06\x01\x02\x03\x04\x05\x06\x88\xa8\x00\x05\x81\x00\x00\x05%s"},
		{linkNull, "\x02\x00\x00\x00"}, {linkLoop, "\x00\x00\x00\x02"}, {linkRaw, ""}, {linkRawBSD, ""}, {linkIPv4, ""},
		{linkSLL, "\x00\x00\x03\x04\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00%s"},
		{linkSLL2, "%s\x00\x00\x00\x00\x00\x01\x03\x04\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00"},
	} {
		for ether, ip := range map[string][]byte{"\x08\x00": v4, "\x86\xdd": v6} {
			before := c.before
			if strings.Contains(before, "%s") {
				before = fmt.Sprintf(before, ether)
			}
			b := slices.Concat([]byte(before), ip, padding)
			g, err := parseSegment(c.link, b)
			if err != nil || string(g.payload) != "hello" || g.from.Port() != 5000 || g.to.Port() != 9999 || g.cut != 0 {
				t.Errorf("link %d, %x: %+v, %v", c.link, ether, g, err)
			}
			g, err = parseSegment(c.link, b[:len(b)-len(padding)-2])
			if err != nil || string(g.payload) != "hel" || g.cut != 2 {
				t.Errorf("link %d, %x, cut: %+v, %v", c.link, ether, g, err)
			}
			for n := range len(b) - len(padding) - 5 {
				if _, err := parseSegment(c.link, b[:n]); err == nil {
					t.Errorf("link %d, %x: %d of %d bytes are a segment", c.link, ether, n, len(b))
				}
			}
		}
	}
	v4[6] = 0x20 // more fragments
	if _, err := parseSegment(linkRaw, v4); err != errFragment {
		t.Errorf("a fragment: %v", err)
	}
	v4[6], v4[9] = 0, 17
	if _, err := parseSegment(linkRaw, v4); err != errNotTCP {
		t.Errorf("UDP: %v", err)
	}
	if _, err := parseSegment(147, v4); err == nil || errors.Is(err, errNotTCP) {
		t.Errorf("an unknown link: %v", err)
	}
}

// TestSequenceNumbersWrap: a connection whose numbers go past the end of 32 bits.
func TestSequenceNumbersWrap(t *testing.T) {
	header, all := packets(t)
	var first [2]uint32 // of each side, by whether it listens
	const listener = 48801
	for i, p := range all {
		all[i] = slices.Clone(p)
		tcp := all[i][16+14+20:]
		side := 0
		if binary.BigEndian.Uint16(tcp) == listener {
			side = 1
		}
		seq, ack := binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:])
		if tcp[13]&flagSYN != 0 {
			first[side] = seq
		}
		const near = 0xffffffe0 // 31 bytes before the end
		binary.BigEndian.PutUint32(tcp[4:], seq-first[side]+near)
		binary.BigEndian.PutUint32(tcp[8:], ack-first[1-side]+near)
	}
	all[11], all[13] = all[13], all[11] // and out of order
	binary.BigEndian.PutUint32(all[12][16+14+20+8:], near32(all[10]))
	got := unplaced(lines(t, join(header, all)))
	for _, from := range []string{"dialer", "listener"} {
		if diff := cmp.Diff(frames(said, from), frames(got, from)); diff != "" {
			t.Error(diff)
		}
	}
}

// near32 returns the sequence number of a packet.
func near32(p []byte) uint32 { return binary.BigEndian.Uint32(p[16+14+20+4:]) }
