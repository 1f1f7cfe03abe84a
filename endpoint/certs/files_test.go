package certs

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sign makes a certificate with these uses only.
func (a *Authority) sign(t testing.TB, r Request, usage ...x509.ExtKeyUsage) *Pair {
	t.Helper()
	template, err := r.template(defaultNodeValidity)
	if err != nil {
		t.Fatal(err)
	}
	template.ExtKeyUsage = usage
	pair, err := sign(template, a)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func pool(a *Authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Certificate)
	return p
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TestProblems breaks one thing at a time. The error must name the file and say what is wrong.
func TestProblems(t *testing.T) {
	ca, foreign := newCA(t, "test CA"), newCA(t, "foreign CA")
	good := ca.issue(t, Request{Name: "worker-1"})
	other := ca.issue(t, Request{Name: "worker-2"})
	now := time.Now()
	for _, test := range []struct {
		what string
		ruin func(f *Files)
		file func(f *Files) string // that the error names, if it is about one
		says []string
	}{
		{"no CA", func(f *Files) { f.CAFile = "" }, nil, []string{"no CA file", "ssl_cafile", "ssl_capath"}},
		{"no certificate", func(f *Files) { f.CertFile = "" }, nil, []string{"no certificate file", "ssl_certificate"}},
		{"no key", func(f *Files) { f.KeyFile = "" }, nil, []string{"no key file", "ssl_keyfile"}},
		{"CA missing", func(f *Files) { os.Remove(f.CAFile) }, caFile, []string{"no such file"}},
		{"certificate missing", func(f *Files) { os.Remove(f.CertFile) }, certFile, []string{"no such file"}},
		{"key missing", func(f *Files) { os.Remove(f.KeyFile) }, keyFile, []string{"no such file"}},
		{"CA directory missing", func(f *Files) { f.CAFile, f.CADir = "", f.CAFile+".d" }, caDir, []string{"no such file"}},
		{"CA directory without any", func(f *Files) { f.CAFile, f.CADir = "", t.TempDir() }, caDir, []string{"no certificate of a CA in *.pem"}},
		{"a directory", func(f *Files) { f.CertFile = t.TempDir() }, certFile, []string{"is a directory"}},
		{"empty", func(f *Files) { write(t, f.CertFile, nil) }, certFile, []string{"no certificate in PEM in it", "empty"}},
		{"no PEM", func(f *Files) { write(t, f.CertFile, []byte("hello")) }, certFile, []string{"no certificate in PEM in it"}},
		{"DER", func(f *Files) { write(t, f.CertFile, good.Certificate.Raw) }, certFile, []string{"DER", "openssl x509"}},
		{"DER key", func(f *Files) { write(t, f.KeyFile, good.Certificate.Raw) }, keyFile, []string{"DER", "openssl pkey"}},
		{"cut short", func(f *Files) { write(t, f.CertFile, read(t, f.CertFile)[:200]) }, certFile, []string{"damaged or cut short"}},
		{"too large", func(f *Files) { write(t, f.CAFile, bytes.Repeat([]byte("x"), maxFile+1)) }, caFile, []string{"larger than 4 MiB"}},
		{"key for certificate", func(f *Files) { f.CertFile = f.KeyFile }, keyFile, []string{"no certificate in PEM in it", "PRIVATE KEY"}},
		{"certificate for key", func(f *Files) { f.KeyFile = f.CertFile }, certFile, []string{"no private key in PEM in it", "CERTIFICATE"}},
		{"garbage in a certificate", func(f *Files) {
			write(t, f.CAFile, append(read(t, f.CAFile), pemOf("CERTIFICATE", []byte("garbage"))...))
		}, caFile, []string{"certificate 2"}},
		{"garbage in a key", func(f *Files) { write(t, f.KeyFile, pemOf("PRIVATE KEY", []byte("garbage"))) }, keyFile, nil},
		{"key of another kind", func(f *Files) {
			key, err := ecdh.X25519().GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			write(t, f.KeyFile, pemOf("PRIVATE KEY", der))
		}, keyFile, []string{"ecdh", "want RSA, ECDSA or Ed25519"}},
		{"key of ssh", func(f *Files) { write(t, f.KeyFile, pemOf("OPENSSH PRIVATE KEY", []byte("x"))) }, keyFile, []string{"OPENSSH", "openssl pkey"}},
		{"another's key", func(f *Files) { other.rewrite(t, f.CertFile+"2", f.KeyFile) }, keyFile, []string{"does not belong", `"worker-1"`}},
		{"wrong order", func(f *Files) {
			write(t, f.CertFile, append(pemOf("CERTIFICATE", ca.Certificate.Raw), read(t, f.CertFile)...))
		}, certFile, []string{"must come first", "number 2"}},
		{"not signed by the CA", func(f *Files) { foreign.rewrite(t, f.CAFile, f.CAFile+"2") }, certFile, []string{`"worker-1"`, `issued by "CN=test CA"`, "does not verify"}},
		{"a node's certificate for that of the CA", func(f *Files) { f.CAFile = f.CertFile }, certFile, []string{"neither a CA nor signed by itself"}},
		{"expired", func(f *Files) {
			ca.issue(t, Request{Name: "old", NotBefore: now.Add(-100 * time.Hour), Validity: 50 * time.Hour}).rewrite(t, f.CertFile, f.KeyFile)
		}, certFile, []string{`"old" expired on ` + date(now.Add(-50*time.Hour)), "2 days ago"}},
		{"not yet valid", func(f *Files) {
			ca.issue(t, Request{Name: "young", NotBefore: now.Add(24*time.Hour + 30*time.Second)}).rewrite(t, f.CertFile, f.KeyFile)
		}, certFile, []string{`"young" is not valid before ` + date(now.Add(24*time.Hour+30*time.Second)), "in 24h0m", "clock"}},
		{"expired CA", func(f *Files) {
			old, err := NewAuthority(Request{Name: "old CA", NotBefore: now.Add(-100 * time.Hour), Validity: 50 * time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			old.rewrite(t, f.CAFile, f.CAFile+"2")
		}, nil, []string{"no CA is valid now", `"old CA" expired on`}},
		{"bad pattern", func(f *Files) { f.AllowedNames = []string{"worker-1", "worker-[1"} }, nil, []string{`"worker-[1"`, "worker-*"}},
		{"empty pattern", func(f *Files) { f.AllowedNames = []string{""} }, nil, []string{"want a name"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			f := files(t, ca, good)
			test.ruin(&f)
			s, err := Load(f)
			if err == nil || s != nil {
				t.Fatalf("loaded: %v, %v", s, err)
			}
			mustSay(t, err, test.says...)
			if test.file != nil {
				if got := mustBe[*FileError](t, err); got.Path != test.file(&f) {
					t.Errorf("the error names %s, want %s: %v", got.Path, test.file(&f), err)
				}
			}
			if strings.Contains(test.what, "missing") && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("not fs.ErrNotExist: %v", err)
			}
		})
	}
}

func caFile(f *Files) string   { return f.CAFile }
func caDir(f *Files) string    { return f.CADir }
func certFile(f *Files) string { return f.CertFile }
func keyFile(f *Files) string  { return f.KeyFile }

func (p *Pair) rewrite(t testing.TB, certFile, keyFile string) {
	t.Helper()
	if err := p.WriteFiles(certFile, keyFile, true); err != nil {
		t.Fatal(err)
	}
}

// TestAllProblemsAtOnce has three, and wants to hear of all of them.
func TestAllProblemsAtOnce(t *testing.T) {
	_, err := Load(Files{CAFile: "/nonexistent/ca", CertFile: "/nonexistent/cert", KeyFile: "/nonexistent/key", AllowedNames: []string{"["}})
	mustSay(t, err, "/nonexistent/ca: no such", "/nonexistent/cert: no such", "/nonexistent/key: no such", `"["`)
}

func TestWarnings(t *testing.T) {
	ca := newCA(t, "test CA")
	good := ca.issue(t, Request{Name: "worker-1"})
	for _, test := range []struct {
		what string
		make func(f *Files)
		want string // in the only warning; none if empty
	}{
		{"nothing", func(*Files) {}, ""},
		{"expires soon", func(f *Files) {
			ca.issue(t, Request{Name: "ripe", Validity: 29*24*time.Hour + time.Hour}).rewrite(t, f.CertFile, f.KeyFile)
		}, `cert.pem: "ripe" expires on `},
		{"lasts", func(f *Files) {
			ca.issue(t, Request{Name: "ripe", Validity: 30*24*time.Hour + time.Hour}).rewrite(t, f.CertFile, f.KeyFile)
		}, ""},
		{"CA expires soon", func(f *Files) {
			ripe, err := NewAuthority(Request{Name: "ripe CA", Validity: 24 * time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			write(t, f.CAFile, append(read(t, f.CAFile), pemOf("CERTIFICATE", ripe.Certificate.Raw)...))
		}, `CA "ripe CA" expires on `},
		{"one CA is expired", func(f *Files) {
			old, err := NewAuthority(Request{Name: "old CA", NotBefore: time.Now().Add(-100 * time.Hour), Validity: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			write(t, f.CAFile, append(read(t, f.CAFile), pemOf("CERTIFICATE", old.Certificate.Raw)...))
		}, `CA "old CA" expired on `},
		{"key for everybody", func(f *Files) { chmod(t, f.KeyFile, 0o644) }, "(mode 0644): chmod 600"},
		{"key for the group", func(f *Files) { chmod(t, f.KeyFile, 0o640) }, ""},
		{"passphrase for nothing", func(f *Files) { f.Passphrase = "secret" }, "not encrypted"},
		{"for clients only", func(f *Files) {
			ca.sign(t, Request{Name: "c"}, x509.ExtKeyUsageClientAuth).rewrite(t, f.CertFile, f.KeyFile)
		}, "as a server: nodes that dial this one will refuse it"},
		{"for servers only", func(f *Files) {
			ca.sign(t, Request{Name: "s"}, x509.ExtKeyUsageServerAuth).rewrite(t, f.CertFile, f.KeyFile)
		}, "as a client: nodes that this one dials will refuse it"},
		{"for any use", func(f *Files) {
			ca.sign(t, Request{Name: "any"}).rewrite(t, f.CertFile, f.KeyFile)
		}, ""},
		{"a node among the CAs", func(f *Files) {
			write(t, f.CAFile, append(read(t, f.CAFile), read(t, f.CertFile)...))
		}, `"worker-1" is neither a CA nor signed by itself: ignored`},
		{"one file of a directory", func(f *Files) {
			f.CADir = t.TempDir()
			write(t, filepath.Join(f.CADir, "ca.pem"), read(t, f.CAFile))
			write(t, filepath.Join(f.CADir, "bad.pem"), pemOf("CERTIFICATE", []byte("garbage")))
		}, "bad.pem: certificate 1"},
	} {
		t.Run(test.what, func(t *testing.T) {
			f := files(t, ca, good)
			test.make(&f)
			got := load(t, f).Warnings()
			if test.want == "" {
				if len(got) > 0 {
					t.Errorf("warnings %q, want none", got)
				}
				return
			}
			if len(got) != 1 || !strings.Contains(got[0], test.want) {
				t.Errorf("warnings %q, want one that says %q", got, test.want)
			}
		})
	}
}

func chmod(t *testing.T, file string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

// TestCADirectory trusts what is in a directory as "openssl rehash" leaves it, and does not trust
// the certificates of nodes that lie there too.
func TestCADirectory(t *testing.T) {
	ca, second, unread := newCA(t, "first CA"), newCA(t, "second CA"), newCA(t, "unread CA")
	f := files(t, ca, ca.issue(t, Request{Name: "a"}))
	dir := t.TempDir()
	write(t, filepath.Join(dir, "first.pem"), pemOf("CERTIFICATE", ca.Certificate.Raw))
	if err := os.Symlink("first.pem", filepath.Join(dir, "0a1b2c3d.0")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "89abcdef.1"), pemOf("CERTIFICATE", second.Certificate.Raw))
	write(t, filepath.Join(dir, "README.txt"), pemOf("CERTIFICATE", unread.Certificate.Raw))
	write(t, filepath.Join(dir, "node.crt"), read(t, f.CertFile))
	write(t, filepath.Join(dir, "node-key.pem"), read(t, f.KeyFile))
	f.CAFile, f.CADir = "", dir
	s := load(t, f)
	var got []string
	for _, ca := range s.Authorities() {
		got = append(got, ca.Subject.CommonName)
	}
	if want := "first CA second CA"; strings.Join(got, " ") != want {
		t.Errorf("trusts %q, want %q", got, want)
	}
	if w := s.Warnings(); len(w) > 0 {
		t.Errorf("warnings %q", w)
	}
}

// TestIntermediate has a CA below the CA, whose certificate the nodes send along.
func TestIntermediate(t *testing.T) {
	root := newCA(t, "root CA")
	template, err := Request{Name: "middle CA"}.template(defaultCAValidity)
	if err != nil {
		t.Fatal(err)
	}
	template.BasicConstraintsValid, template.IsCA, template.KeyUsage = true, true, x509.KeyUsageCertSign
	rootTemplate := *root.Certificate
	rootTemplate.MaxPathLen, rootTemplate.MaxPathLenZero = -1, false
	der, err := x509.CreateCertificate(rand.Reader, &rootTemplate, &rootTemplate, root.Key.Public(), root.Key)
	if err != nil {
		t.Fatal(err)
	}
	if root.Certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pair, err := sign(template, root)
	if err != nil {
		t.Fatal(err)
	}
	middle := &Authority{*pair}
	f := files(t, root, middle.issue(t, Request{Name: "a"}))
	_, err = Load(f)
	mustSay(t, err, "does not verify")
	write(t, f.CertFile, append(read(t, f.CertFile), pemOf("CERTIFICATE", middle.Certificate.Raw)...))
	s := load(t, f)
	if c, s := connect(t, s.Client(), s.Server()); c.err != nil || s.err != nil {
		t.Errorf("client: %v, server: %v", c.err, s.err)
	}
}

// TestSelfSigned is what the tests of Broker do as well: one certificate for both, which is its own CA.
func TestSelfSigned(t *testing.T) {
	template, err := Request{Name: "lonely"}.template(defaultNodeValidity)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := sign(template, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := load(t, files(t, &Authority{*pair}, pair))
	if c, s := connect(t, s.Client(), s.Server()); c.err != nil || s.err != nil {
		t.Errorf("client: %v, server: %v", c.err, s.err)
	}
}

// TestOneFileForAll has certificate and key in one file, as some tools write it.
func TestOneFileForAll(t *testing.T) {
	ca := newCA(t, "test CA")
	f := files(t, ca, ca.issue(t, Request{Name: "a"}))
	write(t, f.CertFile, append(append(read(t, f.KeyFile), "\nsome text\n"...), read(t, f.CertFile)...))
	f.KeyFile = f.CertFile
	if got := load(t, f).Certificate().Subject.CommonName; got != "a" {
		t.Errorf("certificate of %q", got)
	}
}
