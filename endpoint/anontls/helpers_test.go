package anontls

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what must happen, and ends a test that would hang.
const patience = 20 * time.Second

// deterministic returns a configuration whose bytes depend on the seed only.
func deterministic(seed byte) *Config {
	source := rand.NewChaCha8([32]byte{seed})
	return &Config{
		random: func(b []byte) { source.Read(b) },
		key: func() (*ecdh.PrivateKey, error) {
			return ecdh.P384().NewPrivateKey(bytes.Repeat([]byte{seed}, 48))
		},
	}
}

// loopback returns both ends of a TCP connection.
func loopback(t testing.TB) (dialed, accepted net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialed, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{dialed, accepted} {
		c.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { c.Close() })
	}
	return dialed, accepted
}

// handshakes makes the handshakes of both ends and returns their errors.
func handshakes(client, server *Conn) (clientErr, serverErr error) {
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	clientErr = client.Handshake()
	return clientErr, <-done
}

// established returns both ends of a connection after the handshake.
func established(t testing.TB, clientConfig, serverConfig *Config) (client, server *Conn) {
	t.Helper()
	a, b := loopback(t)
	client, server = Client(a, clientConfig), Server(b, serverConfig)
	if err := errors.Join(handshakes(client, server)); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// A script is a connection whose peer says what is in it and hears nothing.
type script struct {
	io.Reader
	sent   bytes.Buffer
	closed bool
}

func newScript(b []byte) *script { return &script{Reader: bytes.NewReader(b)} }

func (s *script) Write(b []byte) (int, error)      { return s.sent.Write(b) }
func (s *script) Close() error                     { s.closed = true; return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// A tap keeps a copy of what is written.
type tap struct {
	net.Conn
	written bytes.Buffer
}

func (t *tap) Write(b []byte) (int, error) {
	t.written.Write(b)
	return t.Conn.Write(b)
}

// alertOf returns the code of an alert that was sent, or received, and fails if there is none.
func alertOf(t testing.TB, err error, received bool) Alert {
	t.Helper()
	var a *AlertError
	if !errors.As(err, &a) || a.Received != received {
		t.Fatalf("got %v, want an alert with Received %v", err, received)
	}
	return a.Code
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
