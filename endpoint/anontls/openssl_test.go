package anontls

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The tests in this file speak with OpenSSL, as Zeek does.

const opensslCipher = "AECDH-AES256-SHA:@SECLEVEL=0"

// An openssl is a running openssl command.
type openssl struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
}

func startOpenSSL(t *testing.T, ems bool, args ...string) *openssl {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl on PATH to speak with")
	}
	config := "openssl_conf = o\n[o]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\nMinProtocol = TLSv1.2\n"
	if !ems {
		config += "Options = -ExtendedMasterSecret\n"
	}
	file := filepath.Join(t.TempDir(), "openssl.cnf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &openssl{Cmd: exec.Command(path, args...)}
	o.Env = append(os.Environ(), "OPENSSL_CONF="+file)
	o.Stderr = &o.stderr
	o.WaitDelay = patience
	if o.stdin, err = o.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := o.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.stdout = bufio.NewReader(stdout)
	if err := o.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.Process.Kill()
		o.Wait()
		if t.Failed() {
			t.Logf("openssl %s:\n%s", strings.Join(args, " "), o.stderr.String())
		}
	})
	return o
}

// fromClient starts openssl s_client and returns the connection that it makes.
func fromClient(t *testing.T, ems bool, args ...string) (*openssl, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	o := startOpenSSL(t, ems, append([]string{"s_client", "-connect", l.Addr().String()}, args...)...)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return o, conn
}

// toServer starts openssl s_server and returns a connection to it.
func toServer(t *testing.T, ems bool, args ...string) (*openssl, net.Conn) {
	t.Helper()
	o := startOpenSSL(t, ems, append([]string{"s_server", "-accept", "127.0.0.1:0"}, args...)...)
	addr, err := o.skipTo("ACCEPT ")
	if err != nil {
		t.Fatalf("openssl s_server does not listen: %v", err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return o, conn
}

// skipTo reads the output up to the line that begins so, and returns the rest of the line.
func (o *openssl) skipTo(begin string) (string, error) {
	for {
		line, err := o.stdout.ReadString('\n')
		if err != nil {
			return "", err
		}
		if rest, ok := strings.CutPrefix(line, begin); ok {
			return strings.TrimSpace(rest), nil
		}
	}
}

// lastOfReport begins the last line of what s_server prints about a connection.
const lastOfReport = "Secure Renegotiation IS"

// exchange sends a lot in both directions at the same time, and ends the connection from our side.
func exchange(t *testing.T, o *openssl, conn *Conn) {
	t.Helper()
	text := bytes.Repeat([]byte("0123456789 \n"), 1<<20/12) // no letters: they are commands
	wrote := make(chan error, 2)
	go func() { _, err := conn.Write(text); wrote <- err }()
	go func() { _, err := o.stdin.Write(text); wrote <- err }()
	echoed := make(chan error, 1)
	go func() { echoed <- expectBytes(o.stdout, text) }()
	if err := expectBytes(conn, text); err != nil {
		t.Errorf("from openssl: %v", err)
	}
	if err := <-echoed; err != nil {
		t.Errorf("to openssl: %v", err)
	}
	if err := errors.Join(<-wrote, <-wrote); err != nil {
		t.Error(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Error(err)
	}
	if n, err := conn.Read(make([]byte, 10)); err != io.EOF {
		t.Errorf("after close_notify: read %d bytes, %v; want EOF", n, err)
	}
}

func expectBytes(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	if !bytes.Equal(got, want) {
		return errors.New("received something else")
	}
	return nil
}

func TestOpenSSL(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-no_tls1_1"} {
		for _, etm := range []bool{true, false} {
			for _, ems := range []bool{true, false} {
				args := []string{"-cipher", opensslCipher, version}
				if !etm {
					args = append(args, "-no_etm")
				}
				want := ConnectionState{HandshakeComplete: true, ExtendedMasterSecret: ems, EncryptThenMAC: etm}
				name := fmt.Sprintf("%s,etm=%v,ems=%v", version[1:], etm, ems)
				check := func(t *testing.T, o *openssl, conn *Conn, report string) {
					if err := conn.HandshakeContext(within(t)); err != nil {
						t.Fatal(err)
					}
					if got := conn.ConnectionState(); got != want {
						t.Errorf("state %+v, want %+v", got, want)
					}
					if report != "" {
						if _, err := o.skipTo(report); err != nil {
							t.Fatal(err)
						}
					}
					exchange(t, o, conn)
				}
				t.Run("s_client,"+name, func(t *testing.T) {
					o, conn := fromClient(t, ems, append(args, "-quiet")...)
					check(t, o, Server(conn, nil), "")
				})
				t.Run("s_server,"+name, func(t *testing.T) {
					o, conn := toServer(t, ems, append(args, "-nocert")...)
					check(t, o, Client(conn, nil), lastOfReport)
				})
			}
		}
	}
}

// TestOpenSSLBreaksOff has a server that does not answer the renegotiation indication, which is why
// ours does.
func TestOpenSSLBreaksOff(t *testing.T) {
	_, conn := fromClient(t, true, "-cipher", opensslCipher)
	err := Server(conn, &Config{noRenegotiationInfo: true}).HandshakeContext(within(t))
	if code := alertOf(t, err, true); code != alertHandshakeFailure {
		t.Errorf("got %v", err)
	}
}

// TestOpenSSLOfTheOtherMode has peers that want certificates, or TLS 1.3.
func TestOpenSSLOfTheOtherMode(t *testing.T) {
	for _, c := range []struct {
		arg  string
		code Alert
		is   error
		sees string
	}{
		{"-tls1_2", alertHandshakeFailure, ErrNoAnonymous, "handshake failure"},
		{"-no_tls1_1", alertHandshakeFailure, ErrNoAnonymous, "handshake failure"},
		{"-tls1_3", alertProtocolVersion, ErrVersion, "alert protocol version"},
	} {
		o, conn := fromClient(t, true, c.arg)
		err := Server(conn, nil).HandshakeContext(within(t))
		if alertOf(t, err, false) != c.code || !errors.Is(err, c.is) {
			t.Errorf("s_client %s: %v", c.arg, err)
		}
		conn.Close()
		io.Copy(io.Discard, o.stdout)
		o.Wait()
		if !strings.Contains(o.stderr.String(), c.sees) {
			t.Errorf("s_client %s sees: %s", c.arg, o.stderr.String())
		}
	}

	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	req := startOpenSSL(t, true, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=zeek", "-days", "2", "-keyout", key, "-out", cert, "-config", os.DevNull)
	io.Copy(io.Discard, req.stdout)
	if err := req.Wait(); err != nil {
		t.Fatalf("openssl req: %v\n%s", err, req.stderr.String())
	}
	_, conn := toServer(t, true, "-cert", cert, "-key", key)
	err := Client(conn, nil).HandshakeContext(within(t))
	if alertOf(t, err, true) != alertHandshakeFailure || !errors.Is(err, ErrNoAnonymous) {
		t.Errorf("s_server with a certificate: %v", err)
	}
}

// TestOpenSSLRenegotiation has peers that ask for another handshake. OpenSSL takes no for an answer
// only to break off.
func TestOpenSSLRenegotiation(t *testing.T) {
	o, conn := fromClient(t, true, "-tls1_2", "-cipher", opensslCipher)
	server := Server(conn, nil)
	if err := server.HandshakeContext(within(t)); err != nil {
		t.Fatal(err)
	}
	io.WriteString(o.stdin, "R\n")
	if b, err := io.ReadAll(server); len(b) != 0 || alertOf(t, err, true) != alertHandshakeFailure {
		t.Errorf("s_client: %q, %v", b, err)
	}

	o, conn = toServer(t, true, "-tls1_2", "-nocert", "-cipher", opensslCipher)
	client := Client(conn, nil)
	if err := client.HandshakeContext(within(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := o.skipTo(lastOfReport); err != nil {
		t.Fatal(err)
	}
	io.WriteString(o.stdin, "r\n")
	if b, err := io.ReadAll(client); len(b) != 0 || alertOf(t, err, true) != alertHandshakeFailure {
		t.Errorf("s_server: %q, %v", b, err)
	}
}
