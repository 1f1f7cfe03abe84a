package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/zeekpeer/zeekpeer/endpoint/anontls"
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
	secured := side(conn, nil)
	err := secured.HandshakeContext(ctx)
	var stranger *anontls.NotTLSError
	if errors.As(err, &stranger) {
		return nil, nil, notTLS(stranger.First, err)
	}
	return secured, nil, err
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
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			offered = hello.CipherSuites
			return nil, nil
		}
		secured = tls.Server(conn, config)
	}
	err := secured.HandshakeContext(ctx)
	var header tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &header):
		return nil, nil, notTLS(header.RecordHeader[:], err)
	case err != nil && slices.Contains(offered, anonymousSuite):
		return nil, nil, fmt.Errorf("%w: the peer offers anonymous TLS, and this node has certificates: give it a certificate, or run this node without: %w", ErrForeign, err)
	case errors.As(err, &alert) && alert == alertHandshakeFailure && role == handshake.Dialer:
		return nil, nil, fmt.Errorf("the peer may be without a certificate, that is use anonymous TLS, or may not accept this node's: %w", err)
	case err != nil:
		return nil, nil, err
	}
	state := secured.ConnectionState()
	if len(state.PeerCertificates) == 0 {
		return nil, nil, errors.New("the peer has presented no certificate")
	}
	leaf := state.PeerCertificates[0]
	names := slices.Clone(leaf.DNSNames)
	if name := leaf.Subject.CommonName; name != "" && !slices.Contains(names, name) {
		names = append(names, name)
	}
	return secured, names, nil
}

// anonymousSuite is the cipher suite of anonymous TLS.
const anonymousSuite = 0xC019

// alertHandshakeFailure is the alert with which a server says that there is no common cipher suite.
const alertHandshakeFailure = 40

// notTLS names who has answered in something else than TLS.
func notTLS(first []byte, err error) error {
	if foreign := wire.DescribeForeign(first); foreign != "" {
		return fmt.Errorf("%w: the peer speaks %s", ErrForeign, foreign)
	}
	if len(first) >= wire.FrameHeaderLen+1 && first[0] == 0 && (first[4] == byte(wire.TypeProbe) || first[4] == byte(wire.TypeHello)) {
		return fmt.Errorf("%w: the peer is a Broker node with TLS off, this node has it on", ErrForeign)
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
