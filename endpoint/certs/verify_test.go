package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// versions runs a test with each version of TLS that Broker speaks.
func versions(t *testing.T, test func(t *testing.T, connect func(client, server *Store) (c, s end))) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) {
			test(t, func(client, server *Store) (c, s end) {
				config := client.Client()
				config.MaxVersion = v
				return connect(t, config, server.Server())
			})
		})
	}
}

func TestMutual(t *testing.T) {
	ca := newCA(t, "test CA")
	client, server := node(t, ca, "worker-1"), node(t, ca, "logger-1")
	versions(t, func(t *testing.T, connect func(client, server *Store) (c, s end)) {
		c, s := connect(client, server)
		if c.err != nil || s.err != nil {
			t.Fatalf("client: %v, server: %v", c.err, s.err)
		}
		if got := PeerNames(c.state); !slices.Equal(got, []string{"logger-1"}) {
			t.Errorf("the client sees %q, want logger-1", got)
		}
		if got := PeerNames(s.state); !slices.Equal(got, []string{"worker-1"}) {
			t.Errorf("the server sees %q, want worker-1", got)
		}
		if got, want := c.state.Version, tls.VersionTLS13; strings.HasSuffix(t.Name(), "1.3") && got != uint16(want) {
			t.Errorf("version %s", tls.VersionName(got))
		}
	})
}

func TestOldVersionsAreRefused(t *testing.T) {
	ca := newCA(t, "test CA")
	client, server := node(t, ca, "a").Client(), node(t, ca, "b").Server()
	client.MinVersion, client.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	if _, s := connect(t, client, server); s.err == nil {
		t.Error("the server speaks TLS 1.1")
	}
	client, server = node(t, ca, "a").Client(), node(t, ca, "b").Server()
	server.MinVersion, server.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	if c, _ := connect(t, client, server); c.err == nil {
		t.Error("the client speaks TLS 1.1")
	}
}

// TestNoResumption tries to resume with a client that would like to.
func TestNoResumption(t *testing.T) {
	ca := newCA(t, "test CA")
	client, server := node(t, ca, "a"), node(t, ca, "b")
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cache := tls.NewLRUClientSessionCache(1)
		for range 2 {
			config := client.Client()
			config.MaxVersion, config.ClientSessionCache, config.ServerName = v, cache, "b"
			c, s := connect(t, config, server.Server())
			if c.err != nil || s.err != nil {
				t.Fatalf("client: %v, server: %v", c.err, s.err)
			}
			if c.state.DidResume || s.state.DidResume {
				t.Errorf("%s: the session was resumed", tls.VersionName(v))
			}
		}
	}
}

// TestRefusals has in each case one side that does not take the other's certificate.
func TestRefusals(t *testing.T) {
	ca, foreign := newCA(t, "test CA"), newCA(t, "foreign CA")
	sameName := newCA(t, "test CA")
	good := node(t, ca, "good")
	past := Request{Name: "old", NotBefore: time.Now().Add(-48 * time.Hour), Validity: 24 * time.Hour}
	future := Request{Name: "young", NotBefore: time.Now().Add(24 * time.Hour)}
	forServers := ca.sign(t, Request{Name: "lame"}, x509.ExtKeyUsageServerAuth)
	forClients := ca.sign(t, Request{Name: "lame"}, x509.ExtKeyUsageClientAuth)

	unknown := isA[x509.UnknownAuthorityError]
	invalid := func(reason x509.InvalidReason) func(error) bool {
		return func(err error) bool {
			invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
			return ok && invalid.Reason == reason
		}
	}
	name := func(err error) bool { return errors.Is(err, ErrName) }
	for _, test := range []struct {
		what           string
		client, server *Store
		byClient       bool
		is             func(error) bool
		says           []string
		alert          tls.AlertError // that the other side sees
	}{
		{"foreign server", good, unchecked(ca, foreign.issue(t, Request{Name: "evil"})), true,
			unknown, []string{`"evil"`, `issued by "CN=foreign CA"`, "not in this node's CA file"}, 42},
		{"foreign client", unchecked(ca, foreign.issue(t, Request{Name: "evil"})), good, false,
			unknown, []string{`"evil"`, `issued by "CN=foreign CA"`, "not in this node's CA file"}, 48},
		{"foreign server whose CA has the same name", good, unchecked(ca, sameName.issue(t, Request{Name: "evil"})), true,
			unknown, []string{`"evil"`}, 42},
		{"foreign client whose CA has the same name", unchecked(ca, sameName.issue(t, Request{Name: "evil"})), good, false,
			unknown, []string{`"evil"`}, 48},
		{"expired server", good, unchecked(ca, ca.issue(t, past)), true,
			invalid(x509.Expired), []string{`"old"`, date(past.NotBefore)}, 42},
		{"expired client", unchecked(ca, ca.issue(t, past)), good, false,
			invalid(x509.Expired), []string{`"old"`, date(past.NotBefore.Add(past.Validity))}, 45},
		{"server of the future", good, unchecked(ca, ca.issue(t, future)), true,
			invalid(x509.Expired), []string{`"young"`}, 42},
		{"client of the future", unchecked(ca, ca.issue(t, future)), good, false,
			invalid(x509.Expired), []string{`"young"`}, 45},
		{"server with a certificate for clients", good, unchecked(ca, forClients), true,
			invalid(x509.IncompatibleUsage), []string{`"lame"`}, 42},
		{"client with a certificate for servers", unchecked(ca, forServers), good, false,
			invalid(x509.IncompatibleUsage), []string{`"lame"`}, 42},
		{"name of the server", node(t, ca, "a", "logger-*", "proxy-1"), good, true,
			name, []string{`"good"`, "logger-*, proxy-1"}, 42},
		{"name of the client", good, node(t, ca, "b", "logger-*", "proxy-1"), false,
			name, []string{`"good"`, "logger-*, proxy-1"}, 42},
	} {
		t.Run(test.what, func(t *testing.T) {
			versions(t, func(t *testing.T, connect func(client, server *Store) (c, s end)) {
				c, s := connect(test.client, test.server)
				refuser, refused := s.err, c.err
				if test.byClient {
					refuser, refused = c.err, s.err
				}
				if peerErr := mustBe[*PeerError](t, refuser); peerErr.Certificate == nil {
					t.Error("the error has no certificate")
				}
				if !test.is(refuser) {
					t.Errorf("error of another kind: %v", refuser)
				}
				mustSay(t, refuser, test.says...)
				if got := mustBe[*RefusedError](t, refused); got.Alert != test.alert {
					t.Errorf("alert %d (%v), want %d", got.Alert, refused, test.alert)
				}
				mustSay(t, refused, "the peer refused: alert ", "this node's certificate")
			})
		})
	}
}

func isA[E error](err error) bool { _, ok := errors.AsType[E](err); return ok }

// TestNoClientCertificate is a client that shows none.
func TestNoClientCertificate(t *testing.T) {
	server := node(t, newCA(t, "test CA"), "b")
	for version, alert := range map[uint16]tls.AlertError{tls.VersionTLS12: 40, tls.VersionTLS13: 116} {
		c, s := connect(t, &tls.Config{InsecureSkipVerify: true, MaxVersion: version}, server.Server())
		if peerErr := mustBe[*PeerError](t, s.err); peerErr.Certificate != nil || !errors.Is(s.err, ErrNoCertificate) {
			t.Errorf("%s: %#v", tls.VersionName(version), peerErr)
		}
		mustSay(t, s.err, "showed no certificate")
		if got := mustBe[*RefusedError](t, c.err); got.Alert != alert {
			t.Errorf("%s: alert %d, want %d", tls.VersionName(version), got.Alert, alert)
		}
	}
}

// TestNoKey is a client that shows the certificate of a node without having its key.
func TestNoKey(t *testing.T) {
	ca := newCA(t, "test CA")
	server := node(t, ca, "b")
	stolen := &Pair{ca.issue(t, Request{Name: "victim"}).Certificate, ca.issue(t, Request{Name: "thief"}).Key}
	versions(t, func(t *testing.T, connect func(client, server *Store) (c, s end)) {
		if _, s := connect(unchecked(ca, stolen), server); s.err == nil {
			t.Error("the server lets in a client without the key of its certificate")
		}
		if c, _ := connect(server, unchecked(ca, stolen)); c.err == nil {
			t.Error("the client accepts a server without the key of its certificate")
		}
	})
}

func TestAllowedNames(t *testing.T) {
	ca := newCA(t, "test CA")
	peer := ca.issue(t, Request{Name: "Worker-1", Hosts: []string{"w1.example.org", "10.0.0.1"}})
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{peer.Certificate}}
	if got, want := PeerNames(state), []string{"Worker-1", "w1.example.org"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	for pattern, want := range map[string]bool{
		"worker-1": true, "WORKER-1": true, "worker-*": true, "worker-[12]": true, "*.example.org": true, "*": true,
		"worker": false, "worker-2": false, "orker-1": false, "w1.example": false, "10.0.0.1": false, "worker-1?": false,
	} {
		err := node(t, ca, "me", "nobody", pattern).content.Load().verifyName(state)
		if got := err == nil; got != want {
			t.Errorf("allowed %q: %v", pattern, err)
		}
	}
	if got := PeerNames(tls.ConnectionState{}); got != nil {
		t.Errorf("names %q of a peer without a certificate", got)
	}
	if err := node(t, ca, "me").content.Load().verifyName(tls.ConnectionState{}); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("a peer without a certificate: %v", err)
	}
}

// TestErrorsAreBounded shows a certificate with more names than anybody wants to read.
func TestErrorsAreBounded(t *testing.T) {
	ca := newCA(t, "test CA")
	var hosts []string
	for range 1000 {
		hosts = append(hosts, strings.Repeat("a", 50)+"."+strings.Repeat("b", len(hosts)%60+1)+"."+strings.Repeat("c", len(hosts)/60+1))
	}
	err := &PeerError{ca.issue(t, Request{Name: "many", Hosts: hosts}).Certificate, ErrName}
	if got := len(err.Error()); got > 1000 {
		t.Errorf("an error of %d bytes", got)
	}
	mustSay(t, err, `"many"`, "and 997 more")
}

func TestExplainLeavesOthers(t *testing.T) {
	if got := Explain(io.EOF); got != io.EOF {
		t.Errorf("EOF became %v", got)
	}
	if got := Explain(nil); got != nil {
		t.Errorf("nil became %v", got)
	}
}
