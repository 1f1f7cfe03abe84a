package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// signFor certifies a key that is there.
func (a *Authority) signFor(t testing.TB, name string, key crypto.Signer) *Pair {
	t.Helper()
	template, err := Request{Name: name}.template(defaultNodeValidity)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, key.Public(), a.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Pair{cert, key}
}

func TestIssue(t *testing.T) {
	now := time.Now()
	ca := newCA(t, "test CA")
	pair := ca.issue(t, Request{Name: "worker-1", Hosts: []string{"w1.example.org", "10.0.0.1", "fe80::1"}})
	c := pair.Certificate
	if c.Subject.CommonName != "worker-1" || !slices.Equal(c.DNSNames, []string{"worker-1", "w1.example.org"}) {
		t.Errorf("subject %v, DNS names %q", c.Subject, c.DNSNames)
	}
	if len(c.IPAddresses) != 2 || !c.IPAddresses[0].Equal(net.IPv4(10, 0, 0, 1)) {
		t.Errorf("addresses %v", c.IPAddresses)
	}
	if c.IsCA || !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}) {
		t.Errorf("CA: %v, extended key usage %v", c.IsCA, c.ExtKeyUsage)
	}
	if left := c.NotAfter.Sub(now); left < defaultNodeValidity-time.Minute || left > defaultNodeValidity+time.Minute {
		t.Errorf("valid for %v", left)
	}
	if age := now.Sub(c.NotBefore); age < clockSkew-time.Minute || age > clockSkew+time.Minute {
		t.Errorf("valid since %v", age)
	}
	if left := ca.Certificate.NotAfter.Sub(now); left < defaultCAValidity-time.Minute || left > defaultCAValidity+time.Minute {
		t.Errorf("the CA is valid for %v", left)
	}
	if other := ca.issue(t, Request{Name: "worker-1"}).Certificate; other.SerialNumber.Cmp(c.SerialNumber) == 0 || c.SerialNumber.BitLen() < 100 {
		t.Errorf("serial numbers %v and %v", c.SerialNumber, other.SerialNumber)
	}
	if long := ca.issue(t, Request{Name: "old", Validity: 30 * 365 * 24 * time.Hour}).Certificate; !long.NotAfter.Equal(ca.Certificate.NotAfter) {
		t.Errorf("valid until %v, longer than the CA", long.NotAfter)
	}
	// A node must not sign for others.
	fake := &Authority{*pair}
	if _, err := Load(files(t, ca, fake.issue(t, Request{Name: "forged"}))); err == nil {
		t.Error("a node's signature is taken for that of the CA")
	}
	for _, r := range []Request{
		{Name: ""}, {Name: strings.Repeat("x", 65)}, {Name: "a b"}, {Name: "a/b"}, {Name: "-a"}, {Name: "ä"}, {Name: "a", Validity: -1},
		{Name: "a", Hosts: []string{""}}, {Name: "a", Hosts: []string{"a..b"}}, {Name: "a", Hosts: []string{"*.a"}}, {Name: "a", Hosts: []string{"10.0.0.1:80"}},
	} {
		if _, err := ca.Issue(r); err == nil {
			t.Errorf("%+v: a certificate, want an error", r)
		}
	}
}

func TestWriteFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	ca := newCA(t, "test CA")
	if err := ca.WriteFiles(cert, key, false); err != nil {
		t.Fatal(err)
	}
	check := func(want *Authority) {
		t.Helper()
		for file, mode := range map[string]os.FileMode{cert: 0o644, key: 0o600} {
			if info, err := os.Stat(file); err != nil || info.Mode() != mode {
				t.Errorf("%s: mode %v, %v", file, info.Mode(), err)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("files %v, %v", entries, err)
		}
		got, err := LoadAuthority(cert, key, "")
		if err != nil {
			t.Fatal(err)
		}
		if !got.Certificate.Equal(want.Certificate) {
			t.Errorf("certificate of %v", got.Certificate.Subject)
		}
	}
	check(ca)
	other := newCA(t, "other CA")
	if err := other.WriteFiles(cert, key, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("files that are there: %v", err)
	}
	check(ca)
	if err := other.WriteFiles(cert, filepath.Join(dir, "new"), false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("one file that is there: %v", err)
	}
	check(ca)
	if err := other.WriteFiles(cert, key, true); err != nil {
		t.Fatal(err)
	}
	check(other)
	if err := ca.WriteFiles(filepath.Join(dir, "none", "cert.pem"), filepath.Join(dir, "key2.pem"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	check(other) // and key2.pem is gone
}

func TestLoadAuthority(t *testing.T) {
	ca := newCA(t, "test CA")
	f := files(t, ca, ca.issue(t, Request{Name: "worker-1"}))
	caKey := filepath.Join(filepath.Dir(f.CAFile), "ca-key.pem")
	_, err := LoadAuthority(f.CertFile, f.KeyFile, "")
	mustSay(t, err, f.CertFile, `"worker-1" is not a CA`)
	_, err = LoadAuthority(f.CAFile, f.KeyFile, "")
	mustSay(t, err, f.KeyFile, "does not belong")
	_, err = LoadAuthority(f.CAFile, f.KeyFile+"x", "")
	mustSay(t, err, f.KeyFile+"x", "no such file")
	_, err = LoadAuthority(f.CAFile+"x", f.KeyFile, "")
	mustSay(t, err, f.CAFile+"x", "no such file")
	old, err := NewAuthority(Request{Name: "old CA", NotBefore: time.Now().Add(-2 * time.Hour), Validity: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	old.rewrite(t, f.CAFile, caKey)
	_, err = LoadAuthority(f.CAFile, caKey, "")
	mustSay(t, err, f.CAFile, `CA "old CA" expired on`)
}
