package endpoint

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint/anontls"
	"github.com/zeekpeer/zeekpeer/endpoint/certs"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// A Security is a way to protect connections (PROTOCOL.md section 1). Nothing negotiates it: all
// nodes that peer with each other must use the same.
type Security struct {
	name   string
	secure func(ctx context.Context, conn net.Conn, role handshake.Role) (net.Conn, []string, error)
}

// String returns "off", "anonymous" or "cert".
func (s Security) String() string { return s.name }

// PlainTCP leaves connections as they are: whoever is on the way reads and changes what is said.
// Zeek calls it Broker::disable_ssl.
func PlainTCP() Security {
	return Security{"off", func(_ context.Context, conn net.Conn, _ handshake.Role) (net.Conn, []string, error) {
		return conn, nil, nil
	}}
}

// AnonymousTLS is what a Zeek cluster uses if nobody gave it certificates. Connections are encrypted,
// and NOBODY IS AUTHENTICATED: whoever reaches the port is let in, and whoever sits in the middle
// can read and change everything. See package anontls.
func AnonymousTLS() Security { return Security{"anonymous", secureAnonymously} }

func secureAnonymously(ctx context.Context, conn net.Conn, role handshake.Role) (net.Conn, []string, error) {
	side := anontls.Server
	if role == handshake.Dialer {
		side = anontls.Client
	}
	secured := side(conn, &anontls.Config{HandshakeTimeout: math.MaxInt64}) // ctx has the deadline
	err := secured.HandshakeContext(ctx)
	var stranger *anontls.NotTLSError
	switch {
	case errors.As(err, &stranger):
		return nil, nil, notTLS(conn, role, stranger.First, err)
	case errors.Is(err, anontls.ErrNoAnonymous) || errors.Is(err, anontls.ErrVersion):
		return nil, nil, fmt.Errorf("%w: the peer has certificates, and this node is without, that is uses anonymous TLS: give it a certificate, or run the peer without: %w", ErrForeign, err)
	case err != nil:
		return nil, nil, err
	}
	return secured, nil, nil
}

// Certificates gives the configurations of TLS with certificates. They are asked for each connection,
// so that what they hold can be replaced.
type Certificates interface {
	Client() *tls.Config
	Server() *tls.Config
}

// CertificateTLS has both sides present a certificate and verify the other's. Package certs makes
// such configurations from files.
func CertificateTLS(c Certificates) Security {
	return Security{"cert", func(ctx context.Context, conn net.Conn, role handshake.Role) (net.Conn, []string, error) {
		return secureByCertificate(ctx, c, conn, role)
	}}
}

func secureByCertificate(ctx context.Context, c Certificates, conn net.Conn, role handshake.Role) (net.Conn, []string, error) {
	var secured *tls.Conn
	var offered []uint16 // by the client
	if role == handshake.Dialer {
		config := c.Client().Clone()
		config.DynamicRecordSizingDisabled = true // we write much at a time
		secured = tls.Client(conn, config)
	} else {
		config := c.Server().Clone()
		config.DynamicRecordSizingDisabled = true
		choose := config.GetConfigForClient
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			offered = hello.CipherSuites
			if choose != nil {
				return choose(hello)
			}
			return nil, nil
		}
		secured = tls.Server(conn, config)
	}
	err := secured.HandshakeContext(ctx)
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header):
		return nil, nil, notTLS(conn, role, header.RecordHeader[:], err)
	case err != nil && slices.Contains(offered, anonymousSuite):
		return nil, nil, fmt.Errorf("%w: the peer offers anonymous TLS, and this node has certificates: give it a certificate, or run this node without: %w", ErrForeign, err)
	case noCommonSuite(err) && role == handshake.Dialer && len(secured.ConnectionState().PeerCertificates) == 0:
		return nil, nil, fmt.Errorf("%w: the peer is without a certificate, that is uses anonymous TLS, and this node has certificates: give it a certificate, or run this node without: %w", ErrForeign, err)
	case err != nil:
		linger(conn)
		return nil, nil, certs.Explain(err)
	}
	state := secured.ConnectionState()
	if len(state.PeerCertificates) == 0 {
		return nil, nil, errors.New("the peer has presented no certificate")
	}
	return secured, certs.PeerNames(state), nil
}

// linger lets the other side read the alert that says why it is refused: if the connection were closed
// with something unread, a reset would overtake it.
func linger(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, conn, lingerBytes)
}

// How much of what a refused peer still says is read, and for how long.
const (
	lingerTime  = time.Second
	lingerBytes = 64 << 10
)

// anonymousSuite is the cipher suite of anonymous TLS.
const anonymousSuite = 0xC019

// noCommonSuite tells whether the peer has sent the alert that there is no cipher suite in common. The
// standard library has the name of an alert that was received, not its number.
func noCommonSuite(err error) bool {
	var remote *net.OpError
	return errors.As(err, &remote) && remote.Op == "remote error" && remote.Err.Error() == "tls: handshake failure"
}

// protocolVersion is the alert by which a node with TLS off knows that this one has it on. It is what
// OpenSSL sends then; the standard library and anontls say nothing.
const protocolVersion = "\x15\x03\x01\x00\x02\x02\x46"

// notTLS names who has answered in something else than TLS, as far as five bytes tell. A Broker node
// that has dialed learns of it, too.
func notTLS(conn net.Conn, role handshake.Role, first []byte, err error) error {
	foreign := wire.DescribeForeign(first)
	switch {
	case foreign != "":
		return fmt.Errorf("%w: the peer speaks %s", ErrForeign, foreign)
	case len(first) <= wire.FrameHeaderLen || first[0] != 0:
		return fmt.Errorf("%w: %w", ErrForeign, err)
	case first[4] == byte(wire.TypeProbe) || first[4] == byte(wire.TypeHello):
		if role == handshake.Listener {
			io.WriteString(conn, protocolVersion)
		}
		return fmt.Errorf("%w: the peer is a Broker node with TLS off, this node has it on: let both do the same", ErrForeign)
	case bytes.Equal(first[:5], make([]byte, 5)):
		// An operation and flags of zero and the first byte of a length.
		return fmt.Errorf("%w: the peer speaks what may be the protocol of Broker before 2.3 (Zeek 4.2 and older)", ErrForeign)
	}
	return fmt.Errorf("%w: %w", ErrForeign, err)
}

// warnOpen warns of an address at which anybody who reaches it is let in.
func (e *Endpoint) warnOpen(addr net.Addr) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP.IsLoopback() {
		return
	}
	switch e.opts.security.name {
	case "off":
		e.log.Warn("listening without encryption: whoever reaches this address can read and publish", "addr", addr)
	case "anonymous":
		e.log.Warn("listening with anonymous TLS: encrypted, but nobody is authenticated: whoever reaches this address can read and publish", "addr", addr)
	}
}
