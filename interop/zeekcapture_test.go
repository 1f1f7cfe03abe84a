package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A packetWriter writes packets to a capture in the format of pcap, without checksums.
type packetWriter struct {
	packets []byte
	at      time.Time
}

// packet appends the payload of a packet of IPv4 or IPv6, a hundredth of a second after the one before.
func (w *packetWriter) packet(proto byte, from, to netip.Addr, payload []byte) {
	w.at = w.at.Add(10*time.Millisecond + 7*time.Microsecond)
	frame := make([]byte, 12, 14+40+len(payload)) // Ethernet, from nowhere to nowhere
	if from.Is4() {
		frame = append(frame, 0x08, 0x00, 0x45, 0)
		frame = binary.BigEndian.AppendUint16(frame, uint16(20+len(payload)))
		frame = append(frame, 0, 1, 0, 0, 64, proto, 0, 0)
	} else {
		frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0)
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(payload)))
		frame = append(frame, proto, 64)
	}
	frame = append(frame, from.AsSlice()...)
	frame = append(frame, to.AsSlice()...)
	frame = append(frame, payload...)
	w.packets = binary.LittleEndian.AppendUint32(w.packets, uint32(w.at.Unix()))
	w.packets = binary.LittleEndian.AppendUint32(w.packets, uint32(w.at.Nanosecond()/1000))
	w.packets = binary.LittleEndian.AppendUint32(w.packets, uint32(len(frame)))
	w.packets = binary.LittleEndian.AppendUint32(w.packets, uint32(len(frame)))
	w.packets = append(w.packets, frame...)
}

// file returns the capture.
func (w *packetWriter) file() []byte {
	head := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	head = append(head, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	head = binary.LittleEndian.AppendUint32(head, 1<<18)
	head = binary.LittleEndian.AppendUint32(head, 1) // Ethernet
	return append(head, w.packets...)
}

// A said is what one side of a conversation says before the other says something.
type said struct {
	client bool
	data   []byte
}

// talk makes a conversation of texts, which both sides say in turn: those of the server begin with "<".
func talk(texts ...string) (all []said) {
	for _, text := range texts {
		text, server := strings.CutPrefix(text, "<")
		all = append(all, said{!server, []byte(text)})
	}
	return all
}

// The flags of TCP.
const (
	fin = 1
	syn = 2
	ack = 16
)

// tcp writes a conversation of TCP from its handshake to its end.
func (w *packetWriter) tcp(client, server netip.AddrPort, conversation []said) {
	seq := map[bool]uint32{true: 1000, false: 2000}
	segment := func(fromClient bool, flags byte, data []byte) {
		from, to := client, server
		if !fromClient {
			from, to = to, from
		}
		b := binary.BigEndian.AppendUint16(nil, from.Port())
		b = binary.BigEndian.AppendUint16(b, to.Port())
		b = binary.BigEndian.AppendUint32(b, seq[fromClient])
		acked := seq[!fromClient]
		if flags&ack == 0 {
			acked = 0
		}
		b = binary.BigEndian.AppendUint32(b, acked)
		b = append(b, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
		w.packet(6, from.Addr(), to.Addr(), append(b, data...))
		seq[fromClient] += uint32(len(data))
		if flags&(syn|fin) != 0 {
			seq[fromClient]++
		}
	}
	segment(true, syn, nil)
	segment(false, syn|ack, nil)
	segment(true, ack, nil)
	for _, s := range conversation {
		for rest := s.data; len(rest) > 0; {
			n := min(len(rest), 1400)
			segment(s.client, ack, rest[:n])
			rest = rest[n:]
		}
		segment(!s.client, ack, nil)
	}
	segment(true, fin|ack, nil)
	segment(false, fin|ack, nil)
	segment(true, ack, nil)
}

// udp writes a conversation of UDP.
func (w *packetWriter) udp(client, server netip.AddrPort, conversation []said) {
	for _, s := range conversation {
		from, to := client, server
		if !s.client {
			from, to = to, from
		}
		b := binary.BigEndian.AppendUint16(nil, from.Port())
		b = binary.BigEndian.AppendUint16(b, to.Port())
		b = binary.BigEndian.AppendUint16(b, uint16(8+len(s.data)))
		w.packet(17, from.Addr(), to.Addr(), append(append(b, 0, 0), s.data...))
	}
}

// A listener hears what one side of a connection writes.
type listener struct {
	net.Conn
	hear func([]byte)
}

func (l listener) Write(b []byte) (int, error) {
	l.hear(b)
	return l.Conn.Write(b)
}

// tlsConversation returns what client and server say to each other over TLS 1.2, in which the certificate can be read.
func tlsConversation(t *testing.T, name string) (all []said) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(0x1234567890abcdef), Subject: pkix.Name{CommonName: name, Organization: []string{"Größe, Inc."}, Country: []string{"DE"}},
		NotBefore: time.Unix(1_600_000_000, 0), NotAfter: time.Unix(1_900_000_000, 0), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	hear := func(client bool) func([]byte) {
		return func(b []byte) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, said{client, append([]byte(nil), b...)})
		}
	}
	a, b := net.Pipe()
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, ServerName: name, SessionTicketsDisabled: true,
	}
	server := tls.Server(listener{b, hear(false)}, config)
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(server, "hello\n")
		done <- err
	}()
	client := tls.Client(listener{a, hear(true)}, config)
	if _, err := client.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.Close()
	b.Close()
	return all
}

// writeCapture writes a capture that has something for each log that proxies write, some of it twice.
func writeCapture(t *testing.T) (path string) {
	t.Helper()
	w := packetWriter{at: time.Unix(1_700_000_000, 123_456_000)}
	clients := 0
	client := func(n int) netip.AddrPort {
		clients++
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(n)}), uint16(40_000+clients))
	}
	at := func(n, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(n)}), uint16(port))
	}
	web := func(agent, program string) []said {
		return talk("GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: "+agent+"\r\n\r\n", "<HTTP/1.1 200 OK\r\nServer: "+program+"\r\nContent-Length: 2\r\n\r\nok")
	}
	long := strings.Repeat("Long", 1500) // longer than a text may be in a log of Zeek 8.1
	for i, c := range [][2]string{
		{"Wget/1.21.3", "Apache/2.4.57 (Debian)"}, {"Wget/1.21.3", "Apache/2.4.57 (Debian)"}, {"Wget/1.21.4", "nginx/1.24.0"}, {"curl/8.5.0", "nginx/1.24.0"},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0", "Microsoft-IIS/10.0"}, {"Opera/9.80 (Windows NT 6.1) Presto/2.12.388 Version/12.18", "lighttpd"},
		{"Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1)", "ECS (dcb/7F83)"}, {"\xff\x80odd\t\\x agent/1.2.3.4.5-ü", "PHP/5.3.3-7+squeeze14 a, b"},
		{long + "/1.2", "Server/0.1"}, {"-", "(empty)"}, {"Wget/1.21.3", "Apache/2.4.58 (Debian)"},
	} {
		w.tcp(client(1+i%3), at(1+i%4, 80), web(c[0], c[1]))
	}
	six := func(n, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", n)), uint16(port))
	}
	w.tcp(six(1, 40_000), six(0xabcd, 8080), web("Wget/1.21.3", "Apache/2.4.57 (Debian)"))
	for i, banner := range []string{"SSH-2.0-OpenSSH_9.6p1 Debian-1\r\n", "SSH-2.0-OpenSSH_7.4\r\n", "SSH-1.99-Cisco-1.25\r\n", "SSH-2.0-dropbear_2022.83\r\n"} {
		w.tcp(client(10+i), at(10+i%2, 22), talk("<"+banner, "SSH-2.0-PuTTY_Release_0.78\r\n"))
	}
	w.tcp(client(20), at(20, 21), talk(
		"<220 ProFTPD ready\r\n", "USER anonymous\r\n", "<331 ok\r\n", "PASS x\r\n", "<230 in\r\n", "CLNT TotalCommander 10.5\r\n", "<200 noted\r\n",
		"QUIT\r\n", "<221 bye\r\n"))
	w.tcp(client(21), at(21, 25), talk(
		"<220 mail ESMTP\r\n", "EHLO there\r\n", "<250 mail\r\n", "MAIL FROM:<a@example.com>\r\n", "<250 ok\r\n", "RCPT TO:<b@example.com>\r\n", "<250 ok\r\n",
		"DATA\r\n", "<354 go on\r\n",
		"From: a@example.com\r\nX-Mailer: Microsoft Outlook Build 10.0.2616\r\nSubject: x\r\n\r\nx\r\n.\r\n", "<250 ok\r\n", "QUIT\r\n", "<221 bye\r\n"))
	first := tlsConversation(t, "one.example.com")
	w.tcp(client(30), at(30, 443), first)
	w.tcp(client(31), at(30, 443), first)
	w.tcp(client(31), at(31, 8443), tlsConversation(t, "two.example.com"))
	w.tcp(six(1, 40_001), six(30, 443), first)
	query := []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01")
	answer := append([]byte("\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"), query[12:]...)
	answer = append(answer, "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x02\x00\x01"...)
	w.udp(client(40), at(40, 53), []said{{true, query}, {false, answer}})
	w.udp(client(41), at(41, 53), []said{{true, query}})                          // nobody answers
	w.tcp(client(42), at(42, 9999), talk("something\r\n", "<of no protocol\r\n")) // told of after five minutes
	w.tcp(client(42), at(42, 80), talk("something\r\n", "<of no protocol\r\n"))
	w.at = w.at.Add(10 * time.Minute)
	w.tcp(client(43), at(10, 80), web("Wget/1.21.3", "Apache/2.4.57 (Debian)"))
	w.at = w.at.Add(10 * time.Minute)
	w.udp(client(44), at(44, 12345), []said{{true, []byte("last")}})
	path = filepath.Join(t.TempDir(), "made.pcap")
	if err := os.WriteFile(path, w.file(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
