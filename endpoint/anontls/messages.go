package anontls

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

type messageType uint8

const (
	typeHelloRequest       messageType = 0
	typeClientHello        messageType = 1
	typeServerHello        messageType = 2
	typeNewSessionTicket   messageType = 4
	typeCertificate        messageType = 11
	typeServerKeyExchange  messageType = 12
	typeCertificateRequest messageType = 13
	typeServerHelloDone    messageType = 14
	typeClientKeyExchange  messageType = 16
	typeFinished           messageType = 20
)

var messageNames = map[messageType]string{
	typeHelloRequest:       "HelloRequest",
	typeClientHello:        "ClientHello",
	typeServerHello:        "ServerHello",
	typeNewSessionTicket:   "NewSessionTicket",
	typeCertificate:        "Certificate",
	typeServerKeyExchange:  "ServerKeyExchange",
	typeCertificateRequest: "CertificateRequest",
	typeServerHelloDone:    "ServerHelloDone",
	typeClientKeyExchange:  "ClientKeyExchange",
	typeFinished:           "Finished",
}

func (t messageType) String() string {
	if name := messageNames[t]; name != "" {
		return name
	}
	return fmt.Sprintf("handshake message %d", uint8(t))
}

const (
	suiteECDHAnonAES256SHA = 0xC019
	suiteRenegotiationInfo = 0x00FF // stands in for the extension (RFC 5746 section 3.3)
	groupP384              = 24
	curveNamed             = 3 // ECCurveType named_curve
	pointUncompressed      = 0

	randomLen    = 32
	maxSessionID = 32

	// maxMessage is the longest message of a handshake that is taken. The longest there is, a
	// ClientHello with key shares of all kinds, has 2 KiB.
	maxMessage = 1 << 14
)

// appendMessage appends a message with its header.
func appendMessage(dst []byte, typ messageType, body func(*cryptobyte.Builder)) []byte {
	b := cryptobyte.NewBuilder(dst)
	b.AddUint8(uint8(typ))
	b.AddUint24LengthPrefixed(body)
	return b.BytesOrPanic() // nothing of ours is too long
}

// A clientHello is what matters of a ClientHello (RFC 5246 section 7.4.1.2).
type clientHello struct {
	version     uint16
	random      []byte
	sessionID   []byte
	suites      []uint16
	compression []byte
	extensions
}

func (m *clientHello) append(b *cryptobyte.Builder) {
	b.AddUint16(m.version)
	b.AddBytes(m.random)
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(m.sessionID) })
	addUint16s(b, m.suites)
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(m.compression) })
	m.extensions.append(b)
}

func parseClientHello(body []byte) (*clientHello, error) {
	m, s := new(clientHello), cryptobyte.String(body)
	var session, suites, compression cryptobyte.String
	if !s.ReadUint16(&m.version) || !s.ReadBytes(&m.random, randomLen) ||
		!s.ReadUint8LengthPrefixed(&session) || len(session) > maxSessionID ||
		!s.ReadUint16LengthPrefixed(&suites) || len(suites) == 0 || !readUint16s(suites, &m.suites) ||
		!s.ReadUint8LengthPrefixed(&compression) || len(compression) == 0 {
		return nil, malformed(typeClientHello)
	}
	m.sessionID, m.compression = session, compression
	return m, m.extensions.parse(typeClientHello, s)
}

// A serverHello is what matters of a ServerHello (RFC 5246 section 7.4.1.3).
type serverHello struct {
	version     uint16
	random      []byte
	sessionID   []byte
	suite       uint16
	compression uint8
	extensions
}

func (m *serverHello) append(b *cryptobyte.Builder) {
	b.AddUint16(m.version)
	b.AddBytes(m.random)
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(m.sessionID) })
	b.AddUint16(m.suite)
	b.AddUint8(m.compression)
	m.extensions.append(b)
}

func parseServerHello(body []byte) (*serverHello, error) {
	m, s := new(serverHello), cryptobyte.String(body)
	var session cryptobyte.String
	if !s.ReadUint16(&m.version) || !s.ReadBytes(&m.random, randomLen) ||
		!s.ReadUint8LengthPrefixed(&session) || len(session) > maxSessionID ||
		!s.ReadUint16(&m.suite) || !s.ReadUint8(&m.compression) {
		return nil, malformed(typeServerHello)
	}
	m.sessionID = session
	return m, m.extensions.parse(typeServerHello, s)
}

// appendServerKeyExchange writes a ServerKeyExchange (RFC 8422 section 5.4), which has no signature,
// since nobody is authenticated.
func appendServerKeyExchange(b *cryptobyte.Builder, point []byte) {
	b.AddUint8(curveNamed)
	b.AddUint16(groupP384)
	appendPoint(b, point)
}

func parseServerKeyExchange(body []byte) (point []byte, err error) {
	s := cryptobyte.String(body)
	var curve uint8
	var group uint16
	if !s.ReadUint8(&curve) {
		return nil, malformed(typeServerKeyExchange)
	}
	if curve != curveNamed {
		return nil, refuse(alertIllegalParameter, "ServerKeyExchange with a curve of type %d, not a named one", curve)
	}
	if !s.ReadUint16(&group) {
		return nil, malformed(typeServerKeyExchange)
	}
	if group != groupP384 {
		return nil, refuse(alertIllegalParameter, "ServerKeyExchange with group %d; only secp384r1 (%d) was offered", group, groupP384)
	}
	return parsePoint(typeServerKeyExchange, s)
}

// appendPoint writes a point of the curve, which is also a ClientKeyExchange (RFC 8422 section 5.7).
func appendPoint(b *cryptobyte.Builder, point []byte) {
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(point) })
}

func parsePoint(typ messageType, s cryptobyte.String) ([]byte, error) {
	var point cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&point) || !s.Empty() {
		return nil, malformed(typ)
	}
	return point, nil
}

func malformed(typ messageType) error {
	return refuse(alertDecodeError, "malformed %v", typ)
}

func addUint16s(b *cryptobyte.Builder, values []uint16) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, v := range values {
			b.AddUint16(v)
		}
	})
}

// readUint16s reads all of s, which is in memory already.
func readUint16s(s cryptobyte.String, values *[]uint16) bool {
	*values = make([]uint16, 0, len(s)/2)
	for !s.Empty() {
		var v uint16
		if !s.ReadUint16(&v) {
			return false
		}
		*values = append(*values, v)
	}
	return true
}
