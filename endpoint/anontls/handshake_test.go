package anontls

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

const (
	fromClientText = "what the client says, in one record"
	fromServerText = "what the server says, which is something else"
)

// A recording is all that was sent in a connection, handshake and data and close_notify, between the
// configurations deterministic(1) and deterministic(2). Sent again to one of them, it is valid.
type recording struct {
	client, server []byte
	state          ConnectionState
}

func record(t testing.TB, change func(client, server *Config)) recording {
	t.Helper()
	clientConfig, serverConfig := deterministic(1), deterministic(2)
	if change != nil {
		change(clientConfig, serverConfig)
	}
	a, b := loopback(t)
	tapA, tapB := &tap{Conn: a}, &tap{Conn: b}
	client, server := Client(tapA, clientConfig), Server(tapB, serverConfig)
	if err := errors.Join(handshakes(client, server)); err != nil {
		t.Fatal(err)
	}
	for _, end := range []struct {
		conn *Conn
		text string
	}{{client, fromClientText}, {server, fromServerText}} {
		if _, err := io.WriteString(end.conn, end.text); err != nil {
			t.Fatal(err)
		}
		if err := end.conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	return recording{tapA.written.Bytes(), tapB.written.Bytes(), client.ConnectionState()}
}

// sent returns what the peer of the role sent.
func (r *recording) sent(toClient bool) []byte {
	if toClient {
		return r.server
	}
	return r.client
}

// replay lets one end, client or server, hear what is in stream, to the end. It returns the
// connection, what was read, and the error, if any.
func replay(toClient bool, config *Config, stream []byte) (*Conn, []byte, error) {
	var c *Conn
	if toClient {
		if config == nil {
			config = deterministic(1)
		}
		c = Client(newScript(stream), config)
	} else {
		if config == nil {
			config = deterministic(2)
		}
		c = Server(newScript(stream), config)
	}
	if err := c.Handshake(); err != nil {
		return c, nil, err
	}
	got, err := io.ReadAll(c)
	return c, got, err
}

// records cuts a stream.
func records(stream []byte) (list [][]byte) {
	for len(stream) > 0 {
		n := 5 + int(stream[3])<<8 + int(stream[4])
		list, stream = append(list, stream[:n:n]), stream[n:]
	}
	return list
}

// messages returns the messages that a stream begins with, and what follows them.
func messages(t testing.TB, stream []byte) (list [][]byte, rest []byte) {
	t.Helper()
	all := records(stream)
	for len(all) > 0 && all[0][0] == byte(recordHandshake) && len(all) > 4 { // then ChangeCipherSpec, Finished, data, close_notify
		for b := all[0][5:]; len(b) > 0; {
			n := 4 + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
			list, b = append(list, b[:n:n]), b[n:]
		}
		all = all[1:]
	}
	return list, bytes.Join(all, nil)
}

// stream puts messages into a record each, before rest.
func stream(list [][]byte, rest []byte) (b []byte) {
	for _, m := range list {
		b = appendPlain(b, recordHandshake, m)
	}
	return append(b, rest...)
}

// roles runs a test against a client and against a server.
func roles(t *testing.T, f func(t *testing.T, toClient bool)) {
	t.Run("client", func(t *testing.T) { f(t, true) })
	t.Run("server", func(t *testing.T) { f(t, false) })
}

func wantText(toClient bool) string {
	if toClient {
		return fromServerText
	}
	return fromClientText
}

func TestHandshake(t *testing.T) {
	for i := range 16 {
		noEMS, noEtM := [2]bool{i&1 != 0, i&2 != 0}, [2]bool{i&4 != 0, i&8 != 0}
		r := record(t, func(client, server *Config) {
			client.noEMS, client.noEtM = noEMS[0], noEtM[0]
			server.noEMS, server.noEtM = noEMS[1], noEtM[1]
		})
		want := ConnectionState{true, !noEMS[0] && !noEMS[1], !noEtM[0] && !noEtM[1]}
		if r.state != want {
			t.Errorf("without EMS %v, without EtM %v: %+v, want %+v", noEMS, noEtM, r.state, want)
		}
		for _, toClient := range []bool{true, false} {
			config := deterministic(map[bool]byte{true: 1, false: 2}[toClient])
			side := map[bool]int{true: 0, false: 1}[toClient]
			config.noEMS, config.noEtM = noEMS[side], noEtM[side]
			c, got, err := replay(toClient, config, r.sent(toClient))
			if err != nil || string(got) != wantText(toClient) {
				t.Errorf("replay to client %v: %q, %v", toClient, got, err)
			}
			if c.ConnectionState() != want {
				t.Errorf("replay to client %v: %+v", toClient, c.ConnectionState())
			}
		}
	}
}

// TestFragments sends the handshake byte by byte: in records of one byte, and in reads of one byte.
func TestFragments(t *testing.T) {
	r := record(t, nil)
	roles(t, func(t *testing.T, toClient bool) {
		list, rest := messages(t, r.sent(toClient))
		var cut []byte
		for _, b := range bytes.Join(list, nil) {
			cut = appendPlain(cut, recordHandshake, []byte{b})
		}
		_, got, err := replay(toClient, nil, append(cut, rest...))
		if err != nil || string(got) != wantText(toClient) {
			t.Errorf("records of one byte: %q, %v", got, err)
		}
		_, got, err = replay(toClient, nil, stream(list, rest))
		if err != nil || string(got) != wantText(toClient) {
			t.Errorf("a record for each message: %q, %v", got, err)
		}
		config := deterministic(map[bool]byte{true: 1, false: 2}[toClient])
		s := newScript(r.sent(toClient))
		s.Reader = oneByte{s.Reader}
		c := newConn(s, config, toClient)
		if got, err = io.ReadAll(c); err != nil || string(got) != wantText(toClient) {
			t.Errorf("reads of one byte: %q, %v", got, err)
		}
	})
}

type oneByte struct{ io.Reader }

func (r oneByte) Read(b []byte) (int, error) { return r.Reader.Read(b[:min(1, len(b))]) }

// TestTruncated ends the stream after each byte. Before the handshake is over that is an error that
// says so, later it is io.ErrUnexpectedEOF: nothing but close_notify is an end.
func TestTruncated(t *testing.T) {
	r := record(t, nil)
	roles(t, func(t *testing.T, toClient bool) {
		sent := r.sent(toClient)
		step := 1
		if testing.Short() {
			step = 17
		}
		for n := 0; n < len(sent); n += step {
			_, got, err := replay(toClient, nil, sent[:n])
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("after %d bytes of %d: %q, %v", n, len(sent), got, err)
			}
			if !strings.HasPrefix(wantText(toClient), string(got)) {
				t.Fatalf("after %d bytes: read %q", n, got)
			}
		}
	})
}

// TestMangledMessages takes each message of a valid handshake and cuts it, lengthens it, repeats it,
// leaves it out, exchanges it with the next, and changes each of its bytes. None of it may end in a
// connection.
func TestMangledMessages(t *testing.T) {
	r := record(t, nil)
	sized := func(m []byte) []byte {
		n := len(m) - 4
		m[1], m[2], m[3] = byte(n>>16), byte(n>>8), byte(n)
		return m
	}
	roles(t, func(t *testing.T, toClient bool) {
		list, rest := messages(t, r.sent(toClient))
		if want := map[bool]int{true: 3, false: 2}[toClient]; len(list) != want {
			t.Fatalf("%d messages, want %d", len(list), want)
		}
		refused := func(what string, list [][]byte, codes ...Alert) {
			t.Helper()
			c, _, err := replay(toClient, nil, stream(list, rest))
			if c.established.Load() {
				t.Fatalf("%s: the handshake was completed", what)
			}
			code := alertOf(t, err, false)
			if len(codes) > 0 && !slices.Contains(codes, code) {
				t.Errorf("%s: %v, want alert %v", what, err, codes)
			}
			sent := records(c.conn.(*script).sent.Bytes())
			last := sent[len(sent)-1]
			if recordType(last[0]) != recordAlert || c.out.sealer == nil && !bytes.Equal(last[5:], []byte{levelFatal, byte(code)}) {
				t.Errorf("%s: the last record sent is %x", what, last)
			}
		}
		with := func(i int, m ...[]byte) [][]byte {
			return slices.Concat(list[:i], m, list[i+1:])
		}
		for i, m := range list {
			name := messageType(m[0]).String()
			for n := 4; n < len(m); n++ {
				// Without its extensions a hello is valid, and then the keys are not the same.
				refused(fmt.Sprintf("%s of %d bytes", name, n), with(i, sized(bytes.Clone(m[:n]))), alertDecodeError, alertIllegalParameter, alertBadRecordMAC)
			}
			refused(name+" with a byte too many", with(i, sized(append(bytes.Clone(m), 0))), alertDecodeError)
			refused(name+" twice", with(i, m, m), alertUnexpectedMessage)
			refused(name+" left out", with(i), alertUnexpectedMessage)
			refused(name+" too long", with(i, []byte{m[0], 0, 0x40, 1}), alertIllegalParameter)
			refused(name+" of 16 MiB", with(i, []byte{m[0], 0xFF, 0xFF, 0xFF}), alertIllegalParameter)
			refused("Certificate before "+name, with(i, []byte{11, 0, 0, 0}, m), alertUnexpectedMessage)
			if i+1 < len(list) {
				swapped := slices.Clone(list)
				swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
				refused(name+" too late", swapped, alertUnexpectedMessage)
			}
			for at := 4; at < len(m); at++ {
				bad := bytes.Clone(m)
				bad[at] ^= 0x21
				refused(fmt.Sprintf("%s with byte %d changed", name, at), with(i, bad))
			}
		}
	})
}

// TestMangledEnd does the same for ChangeCipherSpec and Finished.
func TestMangledEnd(t *testing.T) {
	r := record(t, nil)
	roles(t, func(t *testing.T, toClient bool) {
		all := records(r.sent(toClient))
		n := len(all)
		ccs, finished := all[n-4], all[n-3]
		before := all[: n-4 : n-4]
		plainFinished := appendPlain(nil, recordHandshake, appendMessage(nil, typeFinished, func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, 12)) }))
		changed := bytes.Clone(finished)
		changed[len(changed)-1] ^= 1
		for name, c := range map[string]struct {
			end  [][]byte
			want Alert
		}{
			"no ChangeCipherSpec":         {[][]byte{finished}, alertUnexpectedMessage},
			"a Finished in the clear":     {[][]byte{plainFinished}, alertUnexpectedMessage},
			"a Finished in the clear now": {[][]byte{ccs, plainFinished}, alertBadRecordMAC},
			"ChangeCipherSpec twice":      {[][]byte{ccs, ccs, finished}, alertBadRecordMAC},
			"ChangeCipherSpec of 2":       {[][]byte{appendPlain(nil, recordChangeCipherSpec, []byte{2}), finished}, alertDecodeError},
			"ChangeCipherSpec of 2 bytes": {[][]byte{appendPlain(nil, recordChangeCipherSpec, []byte{1, 1}), finished}, alertDecodeError},
			"an empty ChangeCipherSpec":   {[][]byte{appendPlain(nil, recordChangeCipherSpec, nil), finished}, alertUnexpectedMessage},
			"a changed Finished":          {[][]byte{ccs, changed}, alertBadRecordMAC},
			"data instead of a Finished":  {[][]byte{ccs, all[n-2]}, alertBadRecordMAC},
			"a ticket":                    {[][]byte{appendPlain(nil, recordHandshake, []byte{4, 0, 0, 6, 0, 0, 0, 0, 0, 0}), ccs, finished}, alertUnexpectedMessage},
			"a message begun":             {[][]byte{appendPlain(nil, recordHandshake, []byte{20, 0}), ccs, finished}, alertUnexpectedMessage},
			"data in the clear":           {[][]byte{appendPlain(nil, recordData, []byte("data")), ccs, finished}, alertUnexpectedMessage},
			"an empty record":             {[][]byte{appendPlain(nil, recordHandshake, nil), ccs, finished}, alertUnexpectedMessage},
			"a record of type 24":         {[][]byte{appendPlain(nil, 24, []byte{1}), ccs, finished}, alertUnexpectedMessage},
			"a record of TLS 1.1":         {[][]byte{append([]byte{20, 3, 2}, ccs[3:]...), finished}, alertProtocolVersion},
		} {
			conn, _, err := replay(toClient, nil, bytes.Join(append(before, c.end...), nil))
			if conn.established.Load() {
				t.Fatalf("%s: the handshake was completed", name)
			}
			if code := alertOf(t, err, false); code != c.want {
				t.Errorf("%s: %v, want alert %v", name, err, c.want)
			}
		}

		// A Finished that is sealed as it must be, but is not the right one, or not alone.
		for name, messages := range map[string][]byte{
			"a wrong Finished":           {20, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
			"a short Finished":           {20, 0, 0, 0},
			"no Finished":                {14, 0, 0, 0},
			"a Finished with a follower": nil,
		} {
			config, s := deterministic(map[bool]byte{true: 1, false: 2}[toClient]), (*script)(nil)
			stolen := &stealing{Conn: nil}
			s = newScript(bytes.Join(before, nil))
			stolen.Conn, stolen.script = s, s
			conn := newConn(stolen, config, toClient)
			stolen.last = func() []byte {
				// The test knows both private keys, and so the keys of the peer.
				peer := peerKeys(t, r, toClient)
				if messages == nil {
					messages = append(slices.Clone(openFinished(t, peer, finished)), 0, 0, 0, 0)
				}
				return append(slices.Clone(ccs), newSealer(peer, true, fill).seal(nil, recordHandshake, messages)...)
			}
			err := conn.Handshake()
			if conn.established.Load() || err == nil {
				t.Fatalf("%s: the handshake was completed", name)
			}
			want := map[string]Alert{"a wrong Finished": alertDecryptError, "a short Finished": alertDecryptError}[name]
			if want == 0 {
				want = alertUnexpectedMessage
			}
			if code := alertOf(t, err, false); code != want {
				t.Errorf("%s: %v, want alert %v", name, err, want)
			}
		}
	})
}

// stealing is a script that goes on with last.
type stealing struct {
	net.Conn
	script *script
	last   func() []byte
}

func (s *stealing) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if err == io.EOF && s.last != nil {
		s.script.Reader, s.last = bytes.NewReader(s.last()), nil
		return s.Conn.Read(b)
	}
	return n, err
}

// peerKeys returns the keys under which the peer of a role sent what is in a recording.
func peerKeys(t *testing.T, r recording, toClient bool) direction {
	t.Helper()
	fromClient, _ := messages(t, r.client)
	fromServer, _ := messages(t, r.server)
	c := &Conn{}
	h := newHandshake(c)
	h.ems = true
	client, err := parseClientHello(fromClient[0][4:])
	if err != nil {
		t.Fatal(err)
	}
	server, err := parseServerHello(fromServer[0][4:])
	if err != nil {
		t.Fatal(err)
	}
	h.clientRandom, h.serverRandom = client.random, server.random
	for _, m := range slices.Concat(fromClient[:1], fromServer, fromClient[1:]) {
		h.transcript.Write(m)
	}
	key, _ := deterministic(1).key()
	point, err := parseServerKeyExchange(fromServer[1][4:])
	if err != nil {
		t.Fatal(err)
	}
	if err := h.agree(key, point); err != nil {
		t.Fatal(err)
	}
	if toClient {
		return h.server
	}
	return h.client
}

func openFinished(t *testing.T, keys direction, record []byte) []byte {
	t.Helper()
	b, err := newOpener(keys, true).open(nil, bytes.Clone(record))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hello returns the stream of a ClientHello.
func hello(change func(*clientHello)) []byte {
	m := clientHello{version: versionTLS12, random: make([]byte, 32), suites: []uint16{0x1301, suiteECDHAnonAES256SHA, suiteRenegotiationInfo}, compression: []byte{0}}
	m.groups, m.ems, m.etm = []uint16{29, 23, 24}, true, true
	if change != nil {
		change(&m)
	}
	return appendPlain(nil, recordHandshake, appendMessage(nil, typeClientHello, m.append))
}

// withExtension appends an extension to a ClientHello.
func withExtension(stream []byte, ext ...byte) []byte {
	m := bytes.Clone(stream[5:])
	at := 4 + 2 + 32 + 1
	at += 2 + int(m[at])<<8 + int(m[at+1])
	at += 1 + int(m[at])
	n := int(m[at])<<8 + int(m[at+1]) + len(ext)
	m[at], m[at+1] = byte(n>>8), byte(n)
	m = append(m, ext...)
	m[2], m[3] = byte((len(m)-4)>>8), byte(len(m)-4)
	return appendPlain(nil, recordHandshake, m)
}

func TestClientHello(t *testing.T) {
	for name, c := range map[string]struct {
		stream []byte
		want   Alert // 0 if it is accepted
		is     error
		text   string
	}{
		"valid":                 {stream: hello(nil)},
		"of TLS 1.3 and 1.2":    {stream: hello(func(m *clientHello) { m.versions = []uint16{0x1a1a, 0x0304, 0x0303}; m.sessionID = make([]byte, 32) })},
		"without extensions":    {stream: hello(func(m *clientHello) { m.extensions = extensions{} })},
		"with more compression": {stream: hello(func(m *clientHello) { m.compression = []byte{1, 0} })},
		"with a record of 3.1":  {stream: append([]byte{22, 3, 1}, hello(nil)[3:]...)},
		"with what we ignore":   {stream: withExtension(hello(nil), 0, 35, 0, 0, 0, 13, 0, 4, 0, 2, 4, 3, 0, 51, 0, 1, 9, 0xAA, 0xAA, 0, 0)},
		"of a later version":    {stream: hello(func(m *clientHello) { m.version = 0x0304 })},

		"of TLS 1.3 only": {hello(func(m *clientHello) { m.versions = []uint16{0x0304} }), alertProtocolVersion, ErrVersion, "0x0304"},
		"of TLS 1.1":      {hello(func(m *clientHello) { m.version = 0x0302 }), alertProtocolVersion, ErrVersion, "0x0302"},
		"of SSL 3.0":      {append([]byte{22, 3, 0}, hello(func(m *clientHello) { m.version = 0x0300 })[3:]...), alertProtocolVersion, ErrVersion, "0x0300"},
		"of SSL 2.0":      {[]byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 16}, alertProtocolVersion, ErrVersion, "SSL 2.0"},
		"with certificates": {hello(func(m *clientHello) { m.suites = []uint16{0x1301, 0xC02F, 0xC030} }), alertHandshakeFailure, ErrNoAnonymous,
			"3 cipher suites and no 0xc019: no anonymous cipher suite in common: the peer expects certificates"},
		"with compression":        {hello(func(m *clientHello) { m.compression = []byte{1} }), alertIllegalParameter, nil, "compression"},
		"with other groups":       {hello(func(m *clientHello) { m.groups = []uint16{29, 23} }), alertHandshakeFailure, nil, "groups [29 23]"},
		"with other points":       {hello(func(m *clientHello) { m.points = []byte{1, 2} }), alertIllegalParameter, nil, "uncompressed"},
		"of a renegotiation":      {hello(func(m *clientHello) { m.renegotiation, m.renegotiationBytes = true, make([]byte, 12) }), alertHandshakeFailure, nil, "renegotiation"},
		"with EMS twice":          {withExtension(hello(nil), 0, 23, 0, 0), alertIllegalParameter, nil, "23 twice"},
		"with unknown twice":      {withExtension(hello(nil), 0xAA, 0xAA, 0, 0, 0xAA, 0xAA, 0, 0), alertIllegalParameter, nil, "twice"},
		"with a body in EMS":      {withExtension(hello(func(m *clientHello) { m.ems = false }), 0, 23, 0, 1, 0), alertDecodeError, nil, "23"},
		"with a body in EtM":      {withExtension(hello(func(m *clientHello) { m.etm = false }), 0, 22, 0, 1, 0), alertDecodeError, nil, "22"},
		"with half an extension":  {withExtension(hello(nil), 0, 23, 0), alertDecodeError, nil, "ClientHello"},
		"with odd groups":         {withExtension(hello(func(m *clientHello) { m.groups = nil }), 0, 10, 0, 5, 0, 3, 0, 24, 0), alertDecodeError, nil, "10"},
		"with no groups":          {withExtension(hello(func(m *clientHello) { m.groups = nil }), 0, 10, 0, 2, 0, 0), alertDecodeError, nil, "10"},
		"without suites":          {hello(func(m *clientHello) { m.suites = nil }), alertDecodeError, nil, "ClientHello"},
		"without compression":     {hello(func(m *clientHello) { m.compression = nil }), alertDecodeError, nil, "ClientHello"},
		"with a long session":     {hello(func(m *clientHello) { m.sessionID = make([]byte, 33) }), alertDecodeError, nil, "ClientHello"},
		"with a record of 2^14+1": {appendHeader(nil, recordHandshake, maxPlaintext+1), alertRecordOverflow, nil, "16385"},
		"after a flood":           {append(bytes.Repeat([]byte{21, 3, 3, 0, 2, 1, 112}, maxUseless+1), hello(nil)...), alertUnexpectedMessage, ErrFlood, "without data"},
		"after a HelloRequest":    {append([]byte{22, 3, 3, 0, 4, 0, 0, 0, 0}, hello(nil)...), alertUnexpectedMessage, nil, "HelloRequest"},
		"after a bad alert":       {append([]byte{21, 3, 3, 0, 1, 1}, hello(nil)...), alertDecodeError, nil, "alert"},
	} {
		conn := newScript(c.stream)
		err := Server(conn, nil).Handshake()
		if c.want == 0 {
			// It goes on until it waits for the key, and has answered.
			if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "waiting for the ClientKeyExchange") {
				t.Errorf("ClientHello %s: %v", name, err)
			}
			checkServerHello(t, name, c.stream, conn.sent.Bytes())
			continue
		}
		if code := alertOf(t, err, false); code != c.want || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("ClientHello %s: %v", name, err)
		}
		if want := append(appendHeader(nil, recordAlert, 2), levelFatal, byte(c.want)); !bytes.Equal(conn.sent.Bytes(), want) {
			t.Errorf("ClientHello %s: answered %x, want %x", name, conn.sent.Bytes(), want)
		}
	}
}

func checkServerHello(t *testing.T, name string, asked, answered []byte) {
	t.Helper()
	offer, err := parseClientHello(asked[5+4:])
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseServerHello(answered[5+4 : 5+4+int(answered[7])<<8+int(answered[8])])
	if err != nil {
		t.Fatal(err)
	}
	indicated := slices.Contains(offer.suites, suiteRenegotiationInfo) || offer.renegotiation
	if got.version != versionTLS12 || got.suite != suiteECDHAnonAES256SHA || got.compression != 0 || len(got.sessionID) != 0 ||
		got.ems != offer.ems || got.etm != offer.etm || got.renegotiation != indicated || len(got.renegotiationBytes) != 0 ||
		bytes.HasPrefix(got.random[24:], []byte("DOWNGRD")) {
		t.Errorf("ClientHello %s: answered with %+v", name, got)
	}
}

func TestServerHello(t *testing.T) {
	answer := func(change func(*serverHello)) []byte {
		m := serverHello{version: versionTLS12, random: make([]byte, 32), suite: suiteECDHAnonAES256SHA}
		m.ems, m.etm, m.renegotiation, m.points = true, true, true, []byte{0, 1, 2}
		if change != nil {
			change(&m)
		}
		return appendPlain(nil, recordHandshake, appendMessage(nil, typeServerHello, m.append))
	}
	exchange := func(b ...byte) []byte {
		return append(answer(nil), appendPlain(nil, recordHandshake, append([]byte{12, 0, 0, byte(len(b))}, b...))...)
	}
	key, _ := deterministic(9).key()
	point := key.PublicKey().Bytes()
	off := bytes.Clone(point)
	off[50] ^= 1
	done := appendPlain(nil, recordHandshake, []byte{14, 0, 0, 0})
	keyed := func(point []byte, more ...byte) []byte {
		return append(exchange(slices.Concat([]byte{3, 0, 24, byte(len(point))}, point, more)...), done...)
	}
	for name, c := range map[string]struct {
		stream []byte
		want   Alert
		is     error
		text   string
	}{
		"valid":                    {stream: answer(nil)},
		"with a session id":        {stream: answer(func(m *serverHello) { m.sessionID = make([]byte, 32) })},
		"without extensions":       {stream: answer(func(m *serverHello) { m.extensions = extensions{} })},
		"after HelloRequests":      {stream: append(bytes.Repeat([]byte{22, 3, 3, 0, 4, 0, 0, 0, 0}, maxUseless), answer(nil)...)},
		"after warnings":           {stream: append([]byte{21, 3, 3, 0, 2, 1, 112}, answer(nil)...)},
		"of TLS 1.1":               {answer(func(m *serverHello) { m.version = 0x0302 }), alertProtocolVersion, ErrVersion, "0x0302"},
		"with another suite":       {answer(func(m *serverHello) { m.suite = 0xC018 }), alertIllegalParameter, nil, "0xc018"},
		"with compression":         {answer(func(m *serverHello) { m.compression = 1 }), alertIllegalParameter, nil, "compression"},
		"of TLS 1.3":               {answer(func(m *serverHello) { m.versions = []uint16{0x0304} }), alertUnsupportedExtension, nil, "43"},
		"of a renegotiation":       {answer(func(m *serverHello) { m.renegotiationBytes = make([]byte, 24) }), alertHandshakeFailure, nil, "renegotiation"},
		"with compressed points":   {answer(func(m *serverHello) { m.points = []byte{1} }), alertIllegalParameter, nil, "uncompressed"},
		"after many HelloRequests": {append(bytes.Repeat([]byte{22, 3, 3, 0, 4, 0, 0, 0, 0}, maxUseless+1), answer(nil)...), alertUnexpectedMessage, ErrFlood, ""},
		"and a request":            {append(answer(nil), 22, 3, 3, 0, 4, 13, 0, 0, 0), alertHandshakeFailure, nil, "certificate"},
		"and a certificate":        {append(answer(nil), 22, 3, 3, 0, 7, 11, 0, 0, 3, 0, 0, 0), alertUnexpectedMessage, nil, "Certificate instead of a ServerKeyExchange"},
		"and an explicit curve":    {exchange(1, 0, 24, 1, 4), alertIllegalParameter, nil, "type 1"},
		"and another group":        {exchange(3, 0, 23, 1, 4), alertIllegalParameter, nil, "group 23"},
		"and a signature":          {keyed(point, 4, 3, 0, 1, 9), alertDecodeError, nil, "ServerKeyExchange"},
		"and no point":             {keyed(nil), alertIllegalParameter, nil, "0 bytes"},
		"and infinity":             {keyed([]byte{0}), alertIllegalParameter, nil, "1 bytes"},
		"and a point elsewhere":    {keyed(off), alertIllegalParameter, nil, "secp384r1"},
		"and a compressed point":   {keyed(append([]byte{2}, point[1:49]...)), alertIllegalParameter, nil, "secp384r1"},
		"and a long Done":          {append(keyed(point)[:len(keyed(point))-9], 22, 3, 3, 0, 5, 14, 0, 0, 1, 0), alertDecodeError, nil, "ServerHelloDone"},
	} {
		conn := newScript(c.stream)
		err := Client(conn, nil).Handshake()
		if c.want == 0 {
			if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "waiting for the ServerKeyExchange") {
				t.Errorf("ServerHello %s: %v", name, err)
			}
			continue
		}
		if code := alertOf(t, err, false); code != c.want || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("ServerHello %s: %v", name, err)
		}
		if want := append(appendHeader(nil, recordAlert, 2), levelFatal, byte(c.want)); !bytes.HasSuffix(conn.sent.Bytes(), want) {
			t.Errorf("ServerHello %s: the alert was not sent", name)
		}
	}

	// What was not offered must not be chosen.
	for _, config := range []*Config{{noEMS: true}, {noEtM: true}} {
		if code := alertOf(t, Client(newScript(answer(nil)), config).Handshake(), false); code != alertUnsupportedExtension {
			t.Errorf("an extension that was not offered: alert %v", code)
		}
	}
}

func TestStrangers(t *testing.T) {
	id := "0123456789abcdef"
	for name, c := range map[string]struct {
		first        string
		broker, http bool
	}{
		"a hello of Broker":    {"\x00\x00\x00\x17\x06ZEEK" + id + "\x01\x01", true, false},
		"a probe of Broker":    {"\x00\x00\x00\x05\x07ZEEK", true, false},
		"a request":            {"GET / HTTP/1.1\r\nHost: zeek\r\n\r\n", false, true},
		"a post":               {"POST /v1 HTTP/1.1\r\n\r\n", false, true},
		"a response":           {"HTTP/1.1 400 Bad Request\r\n\r\n", false, true},
		"the beginning of one": {"GET ", false, true},
		"SSH":                  {"SSH-2.0-OpenSSH_9.9\r\n", false, false},
		"nothing much":         {"\x00", false, false},
		"half a probe":         {"\x00\x00\x00\x05\x07Z", false, false},
		"data":                 {"\x17\x03\x03\x00\x01\x00", false, false},
		"TLS 4":                {"\x16\x04\x00\x00\x01\x00", false, false},
	} {
		roles(t, func(t *testing.T, toClient bool) {
			conn := newScript([]byte(c.first))
			conn.Reader = oneByte{conn.Reader}
			err := newConn(conn, nil, toClient).Handshake()
			var stranger *NotTLSError
			if !errors.As(err, &stranger) {
				t.Fatalf("%s: %v", name, err)
			}
			text := "does not speak TLS"
			if c.broker {
				text = "Broker node with TLS disabled"
			} else if c.http {
				text = "speaks HTTP"
			}
			if stranger.Broker() != c.broker || stranger.HTTP() != c.http || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: Broker %v, HTTP %v: %v", name, stranger.Broker(), stranger.HTTP(), err)
			}
			if !strings.HasPrefix(c.first, string(stranger.First)) || len(stranger.First) == 0 {
				t.Errorf("%s: began with %q", name, stranger.First)
			}
			if !toClient && conn.sent.Len() > 0 {
				t.Errorf("%s: was answered with %x", name, conn.sent.Bytes())
			}
		})
	}
}

// TestCertificates is about the other mode: peers of crypto/tls that have certificates.
func TestCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a, b := loopback(t)
	done := make(chan error, 1)
	go func() {
		done <- tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}).Handshake()
	}()
	err = Client(a, nil).HandshakeContext(within(t))
	if alertOf(t, err, true) != alertHandshakeFailure || !errors.Is(err, ErrNoAnonymous) || !strings.Contains(err.Error(), "certificates") {
		t.Errorf("to a server with a certificate: %v", err)
	}
	if <-done == nil {
		t.Error("a server with a certificate accepted us")
	}

	for _, max := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		a, b = loopback(t)
		go func() {
			done <- tls.Client(a, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, MaxVersion: max}).Handshake()
		}()
		err = Server(b, nil).HandshakeContext(within(t))
		if alertOf(t, err, false) != alertHandshakeFailure || !errors.Is(err, ErrNoAnonymous) {
			t.Errorf("from a client that wants a certificate: %v", err)
		}
		if err := <-done; err == nil || !strings.Contains(err.Error(), "handshake failure") {
			t.Errorf("such a client sees: %v", err)
		}
	}
	a, b = loopback(t)
	go func() {
		done <- tls.Client(a, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}).Handshake()
	}()
	if err = Server(b, nil).HandshakeContext(within(t)); alertOf(t, err, false) != alertProtocolVersion || !errors.Is(err, ErrVersion) {
		t.Errorf("from a client of TLS 1.3 only: %v", err)
	}
	<-done
}

// TestReceivedAlerts has a peer that breaks off the handshake.
func TestReceivedAlerts(t *testing.T) {
	roles(t, func(t *testing.T, toClient bool) {
		for code, is := range map[Alert]error{alertHandshakeFailure: ErrNoAnonymous, alertProtocolVersion: ErrVersion, alertIllegalParameter: nil, 200: nil} {
			conn := newScript([]byte{21, 3, 1, 0, 2, levelFatal, byte(code)})
			err := newConn(conn, nil, toClient).Handshake()
			if alertOf(t, err, true) != code || is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), code.String()) {
				t.Errorf("alert %v: %v", code, err)
			}
			if strings.Contains(conn.sent.String(), "\x15\x03\x03\x00\x02") {
				t.Errorf("alert %v was answered with an alert", code)
			}
		}
		err := newConn(newScript([]byte{21, 3, 3, 0, 2, levelWarning, 0}), nil, toClient).Handshake()
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "while waiting for the ") {
			t.Errorf("close_notify: %v", err)
		}
	})
}

func TestHandshakeDeadline(t *testing.T) {
	roles(t, func(t *testing.T, toClient bool) {
		synctest.Test(t, func(t *testing.T) {
			for _, c := range []struct {
				config *Config
				ctx    time.Duration
				cancel bool
				want   time.Duration
			}{
				{nil, time.Hour, false, DefaultHandshakeTimeout},
				{&Config{HandshakeTimeout: time.Minute}, time.Hour, false, time.Minute},
				{nil, time.Second, false, time.Second},
				{nil, time.Second, true, time.Second},
			} {
				a, b := net.Pipe()
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
				want := context.DeadlineExceeded
				if c.cancel {
					cancel()
					ctx, cancel = context.WithCancel(t.Context())
					time.AfterFunc(c.ctx, cancel)
					want = context.Canceled
				}
				go io.Copy(io.Discard, b) // takes all, says nothing
				conn := newConn(a, c.config, toClient)
				err := conn.HandshakeContext(ctx)
				if !errors.Is(err, want) || time.Since(start) != c.want {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				if hello := map[bool]string{true: "ServerHello", false: "ClientHello"}[toClient]; !strings.Contains(err.Error(), "while waiting for the "+hello) {
					t.Errorf("where was it: %v", err)
				}
				if _, again := conn.Write([]byte("data")); again != err {
					t.Errorf("writing after that: %v", again)
				}
				if _, again := conn.Read(make([]byte, 1)); again != err {
					t.Errorf("reading after that: %v", again)
				}
				if _, err := a.Write([]byte{1}); err != io.ErrClosedPipe {
					t.Errorf("the connection was not closed: %v", err)
				}
				cancel()
				b.Close()
			}
		})
	})
}

// TestDeadlineOfTheConnection has a deadline that the caller set.
func TestDeadlineOfTheConnection(t *testing.T) {
	a, _ := loopback(t)
	a.SetDeadline(time.Now().Add(-time.Second))
	err := Client(a, nil).Handshake()
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestNoKey(t *testing.T) {
	want := errors.New("no entropy")
	config := &Config{key: func() (*ecdh.PrivateKey, error) { return nil, want }}
	if err := Server(newScript(hello(nil)), config).Handshake(); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}
