package certs

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tests in this file have OpenSSL as the judge, since that is what Broker speaks TLS with.

// openssl runs the command to its end and returns what it wrote.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(opensslPath(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func opensslPath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl on PATH")
	}
	return path
}

// startOpenSSL starts the command. It ends with the test at the latest.
func startOpenSSL(t *testing.T, args ...string) (stdin io.WriteCloser, stdout *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(opensslPath(t), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = patience
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("openssl %s:\n%s", strings.Join(args, " "), stderr.String())
		}
	})
	return stdin, bufio.NewReader(out)
}

func TestOpenSSLVerifies(t *testing.T) {
	ca := newCA(t, "zeekpeer CA")
	f := files(t, ca, ca.issue(t, Request{Name: "worker-1", Hosts: []string{"localhost", "10.0.0.1"}}))
	for _, purpose := range []string{"sslserver", "sslclient"} {
		if out := openssl(t, "verify", "-x509_strict", "-purpose", purpose, "-CAfile", f.CAFile, f.CertFile); !strings.HasSuffix(out, ": OK\n") {
			t.Errorf("%s: %s", purpose, out)
		}
	}
	openssl(t, "verify", "-verify_hostname", "localhost", "-verify_ip", "10.0.0.1", "-CAfile", f.CAFile, f.CertFile)
	openssl(t, "verify", "-verify_hostname", "worker-1", "-CAfile", f.CAFile, f.CertFile)
	if out := openssl(t, "pkey", "-in", f.KeyFile, "-check", "-noout"); !strings.Contains(out, "Key is valid") {
		t.Errorf("key: %s", out)
	}
}

// likeBroker is how a node of Broker sets OpenSSL up, as far as s_client and s_server allow.
func likeBroker(f Files) []string {
	return []string{"-CAfile", f.CAFile, "-no-CApath", "-no-CAstore", "-cert", f.CertFile, "-key", f.KeyFile, "-pass", "pass:" + f.Passphrase,
		"-verify_return_error", "-cipher", "HIGH:!aNULL:!MD5", "-min_protocol", "TLSv1.2", "-quiet"}
}

// fromOpenSSL has openssl s_client connect to a server, which it sends a line. The server answers it.
func fromOpenSSL(t *testing.T, server *Store, version string, args ...string) (end, *bufio.Reader) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	stdin, stdout := startOpenSSL(t, append([]string{"s_client", "-connect", l.Addr().String(), "-" + version}, args...)...)
	tcp, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(patience))
	conn := tls.Server(tcp, server.Server())
	if err = conn.Handshake(); err == nil {
		io.WriteString(stdin, greeting+"\n")
		var line string
		if line, err = bufio.NewReader(conn).ReadString('\n'); err == nil && line != greeting+"\n" {
			err = fmt.Errorf("read %q", line)
		}
		io.WriteString(conn, "answer\n")
		conn.CloseWrite()
	}
	return end{conn.ConnectionState(), Explain(err)}, stdout
}

// toOpenSSL connects to openssl s_server, which sends a line.
func toOpenSSL(t *testing.T, client *Store, version string, args ...string) end {
	t.Helper()
	args = append([]string{"s_server", "-accept", "127.0.0.1:0", "-" + version, "-naccept", "1", "-Verify", "3"}, args...)
	// With -quiet it would not say where it listens.
	args = slices.DeleteFunc(args, func(arg string) bool { return arg == "-quiet" })
	stdin, stdout := startOpenSSL(t, args...)
	var addr string
	for {
		line, err := stdout.ReadString('\n')
		if err != nil {
			t.Fatalf("openssl s_server does not listen: %v", err)
		}
		var ok bool
		if addr, ok = strings.CutPrefix(strings.TrimSpace(line), "ACCEPT "); ok {
			break
		}
	}
	io.WriteString(stdin, greeting+"\n")
	tcp, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	return dial(tcp, client.Client())
}

// TestOpenSSLPeers makes connections with OpenSSL in both roles, both of which have certificates that
// were made here. Then one of them is of a foreign CA.
func TestOpenSSLPeers(t *testing.T) {
	ca, foreign := newCA(t, "zeekpeer CA"), newCA(t, "zeekpeer CA")
	us := node(t, ca, "us", "them")
	them := files(t, ca, ca.issue(t, Request{Name: "them"}))
	strangers := files(t, foreign, foreign.issue(t, Request{Name: "them"}))
	for _, version := range []string{"tls1_2", "tls1_3"} {
		t.Run(version, func(t *testing.T) {
			s, stdout := fromOpenSSL(t, us, version, likeBroker(them)...)
			if s.err != nil || len(PeerNames(s.state)) != 1 {
				t.Errorf("server: %v, names %q", s.err, PeerNames(s.state))
			}
			if line, err := stdout.ReadString('\n'); line != "answer\n" {
				t.Errorf("s_client reads %q, %v", line, err)
			}
			c := toOpenSSL(t, us, version, likeBroker(them)...)
			if c.err != nil || len(PeerNames(c.state)) != 1 {
				t.Errorf("client: %v, names %q", c.err, PeerNames(c.state))
			}

			// It refuses us, or we refuse it: the client is the first who can.
			s, _ = fromOpenSSL(t, us, version, likeBroker(strangers)...)
			want := tls.AlertError(48)
			if version == "tls1_3" {
				want = 0 // it cannot be read
			}
			if got := mustBe[*RefusedError](t, s.err); got.Alert != want {
				t.Errorf("server: %v", s.err)
			}
			mustSay(t, s.err, "the peer refused", "the CA of this node")
			c = toOpenSSL(t, us, version, likeBroker(strangers)...)
			if !isA[x509.UnknownAuthorityError](c.err) {
				t.Errorf("client: %v", c.err)
			}
			// As a server it refuses us in the end.
			c = toOpenSSL(t, unchecked(foreign, ca.issue(t, Request{Name: "us"})), version, likeBroker(strangers)...)
			if got := mustBe[*RefusedError](t, c.err); got.Alert != 48 {
				t.Errorf("client: %v", c.err)
			}
			// Without a certificate.
			s, _ = fromOpenSSL(t, us, version, "-CAfile", them.CAFile)
			if !errors.Is(s.err, ErrNoCertificate) {
				t.Errorf("server: %v", s.err)
			}
		})
	}
}

// TestOpenSSLMade has files that OpenSSL made: keys of all kinds, encrypted in all ways, certificates
// without extensions, and a hashed directory.
func TestOpenSSLMade(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	openssl(t, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", path("ca-key.pem"), "-out", path("ca.pem"),
		"-subj", "/C=US/O=ACME/CN=acme.example", "-days", "90")
	hashed := path("hashed")
	if err := os.Mkdir(hashed, 0o700); err != nil {
		t.Fatal(err)
	}
	hash := strings.TrimSpace(openssl(t, "x509", "-hash", "-noout", "-in", path("ca.pem")))
	write(t, filepath.Join(hashed, hash+".0"), read(t, path("ca.pem")))
	pass := "pass:a pass phrase"
	var others *Store
	for _, test := range []struct {
		name      string
		key       []string
		encrypted [][]string
	}{
		{"rsa", []string{"genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}, [][]string{
			{"rsa", "-aes256"}, {"rsa", "-aes256", "-traditional"}, {"rsa", "-des3", "-traditional"}, {"pkey", "-aes256"}}},
		{"ecdsa", []string{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"}, [][]string{
			{"ec", "-aes128"}, {"pkey", "-aes192"}, {"pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"}}},
		{"ed25519", []string{"genpkey", "-algorithm", "ED25519"}, [][]string{
			{"pkey", "-aes256"}, {"pkey", "-des3"}, {"pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "50000"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, csr, cert := path(test.name+"-key.pem"), path(test.name+".csr"), path(test.name+".pem")
			openssl(t, append(test.key, "-out", key)...)
			openssl(t, "req", "-new", "-key", key, "-subj", "/O=ACME/CN="+test.name, "-out", csr)
			openssl(t, "x509", "-req", "-in", csr, "-CA", path("ca.pem"), "-CAkey", path("ca-key.pem"), "-set_serial", "1", "-days", "90", "-out", cert)
			others = load(t, Files{CAFile: path("ca.pem"), CertFile: cert, KeyFile: key})
			for _, how := range test.encrypted {
				file := path(test.name + "-encrypted.pem")
				openssl(t, append(how, "-in", key, "-out", file, "-passout", pass)...)
				f := Files{CADir: hashed, CertFile: cert, KeyFile: file}
				if _, err := Load(f); !errors.Is(err, ErrNoPassphrase) {
					t.Errorf("openssl %q, without the passphrase: %v", how, err)
				}
				f.Passphrase = "a pass phrase"
				s, err := Load(f)
				if err != nil {
					t.Errorf("openssl %q: %v", how, err)
					continue
				}
				if w := s.Warnings(); len(w) > 0 {
					t.Errorf("openssl %q: warnings %q", how, w)
				}
				if c, s := connect(t, s.Client(), others.Server()); c.err != nil || s.err != nil {
					t.Errorf("openssl %q: client: %v, server: %v", how, c.err, s.err)
				}
				if c, s := connect(t, others.Client(), s.Server()); c.err != nil || s.err != nil {
					t.Errorf("openssl %q: client: %v, server: %v", how, c.err, s.err)
				}
			}
		})
	}
}
