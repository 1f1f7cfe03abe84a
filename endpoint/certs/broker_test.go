package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The tests in this file speak with a real node, if there is one on this machine: broker-node on PATH,
// or the first of the programs in ZEEKPEER_BROKER_NODES, as in interop.

// What nodes send first (PROTOCOL.md section 3): the probe of a listener, and the length, type and
// magic of the hello of a dialer, whose id and two versions follow.
var (
	probe = []byte("\x00\x00\x00\x05\x07ZEEK")
	hello = []byte("\x00\x00\x00\x17\x06ZEEK")
)

// startNode starts a broker-node with these files, or none, listening at port.
func startNode(t *testing.T, f Files, port string, args ...string) {
	t.Helper()
	program := filepath.SplitList(os.Getenv("ZEEKPEER_BROKER_NODES"))
	if len(program) == 0 {
		found, err := exec.LookPath("broker-node")
		if err != nil {
			t.Skip("no broker-node on PATH, nor ZEEKPEER_BROKER_NODES set")
		}
		program = []string{found}
	}
	args = append([]string{"--mode=relay", "--verbose", "--port=" + port, `--topics=["/test"]`}, args...)
	for option, value := range map[string]string{"cafile": f.CAFile, "certificate": f.CertFile, "key": f.KeyFile, "passphrase": f.Passphrase} {
		if value != "" {
			args = append(args, "--broker.ssl."+option+"="+value)
		}
	}
	cmd := exec.Command(program[0], args...)
	cmd.Dir = t.TempDir()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", strings.Join(cmd.Args, " "), output.String())
		}
	})
}

// freePort returns a loopback address that nobody listens at.
func freePort(t *testing.T) (addr, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr = l.Addr().String()
	_, port, _ = net.SplitHostPort(addr)
	return addr, port
}

// dialNode waits until somebody listens at addr, and connects.
func dialNode(t *testing.T, addr string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			conn.SetDeadline(time.Now().Add(patience))
			return conn
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("the node does not listen: %v", err)
		}
	}
}

// greet makes the handshake and reads what the peer sends first, which shows that it is content.
func greet(conn *tls.Conn, want []byte) error {
	err := conn.Handshake()
	if err == nil {
		got := make([]byte, len(want))
		if _, err = io.ReadFull(conn, got); err == nil && !bytes.Equal(got, want) {
			err = errors.New("greeted with " + string(got))
		}
	}
	return Explain(err)
}

// TestBrokerNode peers with a node that has certificates made here, in both roles, and refuses and is
// refused by it.
func TestBrokerNode(t *testing.T) {
	ca, foreign := newCA(t, "zeekpeer CA"), newCA(t, "zeekpeer CA")
	us := node(t, ca, "us", "them")
	theirs := files(t, ca, ca.issue(t, Request{Name: "them"}))

	addr, port := freePort(t)
	ours, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	ours.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	startNode(t, theirs, port, "--peers=[<tcp://"+ours.Addr().String()+">]")

	for version, name := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
		t.Run("we dial with "+name, func(t *testing.T) {
			connect := func(s *Store) error {
				tcp := dialNode(t, addr)
				defer tcp.Close()
				config := s.Client()
				config.MaxVersion = version
				conn := tls.Client(tcp, config)
				err := greet(conn, probe)
				if err == nil {
					if got := PeerNames(conn.ConnectionState()); strings.Join(got, " ") != "them" {
						t.Errorf("names %q", got)
					}
				}
				return err
			}
			if err := connect(us); err != nil {
				t.Error(err)
			}
			if err := connect(unchecked(foreign, foreign.issue(t, Request{Name: "us"}))); !isA[x509.UnknownAuthorityError](err) {
				t.Errorf("we have a foreign CA: %v", err)
			}
			if err := connect(unchecked(ca, foreign.issue(t, Request{Name: "us"}))); !isA[*RefusedError](err) {
				t.Errorf("we have a foreign certificate: %v", err)
			} else {
				mustSay(t, err, "unknown_ca")
			}
		})
	}

	// It dials once it listens, and dials again after 10 s.
	t.Run("it dials", func(t *testing.T) {
		tcp, err := ours.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		tcp.SetDeadline(time.Now().Add(patience))
		conn := tls.Server(tcp, us.Server())
		if err := greet(conn, hello); err != nil {
			t.Fatal(err)
		}
		state := conn.ConnectionState()
		if got := PeerNames(state); strings.Join(got, " ") != "them" || state.Version != tls.VersionTLS13 {
			t.Errorf("names %q, %s", got, tls.VersionName(state.Version))
		}
	})
}

// TestBrokerNodeRefusesOurServer has the node dial a listener whose certificate is foreign.
func TestBrokerNodeRefusesOurServer(t *testing.T) {
	ca, foreign := newCA(t, "zeekpeer CA"), newCA(t, "zeekpeer CA")
	ours, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	ours.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	startNode(t, files(t, ca, ca.issue(t, Request{Name: "them"})), "0", "--peers=[<tcp://"+ours.Addr().String()+">]")
	tcp, err := ours.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(patience))
	err = greet(tls.Server(tcp, unchecked(ca, foreign.issue(t, Request{Name: "us"})).Server()), hello)
	if !isA[*RefusedError](err) {
		t.Errorf("a node that does not know our CA: %v", err)
	}
}

// TestBrokerNodeEncryptedKey gives the node and us a key of OpenSSL's old encrypted form, which is
// that of Broker's own tests.
func TestBrokerNodeEncryptedKey(t *testing.T) {
	ca := newCA(t, "zeekpeer CA")
	f := files(t, ca, ca.issue(t, Request{Name: "both"}))
	encrypted := f.KeyFile + ".encrypted"
	openssl(t, "ec", "-aes256", "-in", f.KeyFile, "-out", encrypted, "-passout", "pass:12345")
	f.KeyFile, f.Passphrase = encrypted, "12345"
	us := load(t, f)
	ours, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	ours.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	startNode(t, f, "0", "--peers=[<tcp://"+ours.Addr().String()+">]")
	tcp, err := ours.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(patience))
	if err := greet(tls.Server(tcp, us.Server()), hello); err != nil {
		t.Error(err)
	}
}

// TestAnonymousBrokerNode has a node without certificates, which is the default of Broker.
func TestAnonymousBrokerNode(t *testing.T) {
	addr, port := freePort(t)
	startNode(t, Files{}, port)
	tcp := dialNode(t, addr)
	defer tcp.Close()
	err := greet(tls.Client(tcp, node(t, newCA(t, "test CA"), "us").Client()), probe)
	if got := mustBe[*RefusedError](t, err); got.Alert != 40 {
		t.Errorf("alert %d: %v", got.Alert, err)
	}
	mustSay(t, err, "anonymous")
}
