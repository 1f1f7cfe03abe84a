package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = time.Minute

func newCA(t testing.TB, name string) *Authority {
	t.Helper()
	ca, err := NewAuthority(Request{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func (a *Authority) issue(t testing.TB, r Request) *Pair {
	t.Helper()
	pair, err := a.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// files writes what a node needs into a new directory: the CA that it trusts and its own pair.
func files(t testing.TB, trusted *Authority, pair *Pair) Files {
	t.Helper()
	dir := t.TempDir()
	f := Files{CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	if err := pair.WriteFiles(f.CertFile, f.KeyFile, false); err != nil {
		t.Fatal(err)
	}
	if err := trusted.WriteFiles(f.CAFile, filepath.Join(dir, "ca-key.pem"), false); err != nil {
		t.Fatal(err)
	}
	return f
}

func load(t testing.TB, f Files) *Store {
	t.Helper()
	s, err := Load(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// node is a store for a node of that name.
func node(t testing.TB, ca *Authority, name string, allowed ...string) *Store {
	t.Helper()
	f := files(t, ca, ca.issue(t, Request{Name: name}))
	f.AllowedNames = allowed
	return load(t, f)
}

// unchecked is a store for a pair that Load would refuse.
func unchecked(trusted *Authority, pair *Pair) *Store {
	c := &content{}
	c.chain, c.key = append(c.chain, pair.Certificate), pair.Key
	c.roots = pool(trusted)
	s := new(Store)
	s.content.Store(c)
	return s
}

// An end is what one side of a connection saw.
type end struct {
	state tls.ConnectionState
	err   error
}

// greeting is what the server sends once it is content, as a listener of Broker sends its probe.
const greeting = "probe"

// connect makes a connection between two configurations over loopback.
func connect(t testing.TB, client, server *tls.Config) (c, s end) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan end, 1)
	go func() {
		tcp, err := l.Accept()
		if err != nil {
			done <- end{err: err}
			return
		}
		defer tcp.Close()
		done <- serve(tcp, server)
	}()
	tcp, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c = dial(tcp, client)
	tcp.Close()
	return c, <-done
}

// serve makes the handshake, greets the client and reads to its end.
func serve(tcp net.Conn, config *tls.Config) end {
	tcp.SetDeadline(time.Now().Add(patience))
	conn := tls.Server(tcp, config)
	err := conn.Handshake()
	if err == nil {
		_, err = io.WriteString(conn, greeting)
	}
	state := conn.ConnectionState()
	// Not to answer what the client still sends with a reset, which would overtake the alert.
	tcp.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, tcp)
	return end{state, Explain(err)}
}

// dial makes the handshake and reads the greeting, which shows that the server was content too.
func dial(tcp net.Conn, config *tls.Config) end {
	tcp.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(tcp, config)
	err := conn.Handshake()
	if err == nil {
		got := make([]byte, len(greeting))
		if _, err = io.ReadFull(conn, got); err == nil && string(got) != greeting {
			err = fmt.Errorf("greeted with %q", got)
		}
	}
	return end{conn.ConnectionState(), Explain(err)}
}

// mustSay checks that an error says all of these.
func mustSay(t testing.TB, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
}

func mustBe[E error](t testing.TB, err error) E {
	t.Helper()
	typed, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("error %T: %v\nwant a %T", err, err, typed)
	}
	return typed
}

func write(t testing.TB, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
