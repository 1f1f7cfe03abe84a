package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Files says where the certificates and the key of a node are, all in PEM.
type Files struct {
	// CAFile has the certificates of the CAs that are trusted, one after the other
	// (Broker::ssl_cafile). CADir is a directory of such files (Broker::ssl_capath): the names of a
	// directory hashed by "openssl rehash" (01234567.0) are read as well as *.pem, *.crt and *.cer.
	// One of the two must be given; both add up. Whatever is neither a CA nor signed by itself is
	// ignored, as OpenSSL does.
	CAFile, CADir string
	// CertFile has the certificate of this node, followed by intermediate CAs if there are any
	// (Broker::ssl_certificate).
	CertFile string
	// KeyFile has the private key of this node (Broker::ssl_keyfile). It may be the same file.
	KeyFile string
	// Passphrase is for a key that is encrypted (Broker::ssl_passphrase).
	Passphrase string
	// AllowedNames, if any, are the only peers that are let in: one of the names of a peer, which
	// are those that [PeerNames] returns, must match one of these. They are patterns as those of
	// [path.Match], such as worker-1 or worker-*, and do not care about upper and lower case. A *
	// stands for dots as well.
	AllowedNames []string
}

// A FileError says what is wrong with a file.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.Path + ": " + e.Err.Error() }

func (e *FileError) Unwrap() error { return e.Err }

const (
	// maxFile bounds a file: the CAs of a whole operating system are below 1 MiB.
	maxFile = 4 << 20
	// expirySoon is when to warn of a certificate that expires.
	expirySoon = 30 * 24 * time.Hour
)

// A content is what is in the files, once everything about them has been checked.
type content struct {
	chain       []*x509.Certificate // of this node, its own first
	key         crypto.Signer
	authorities []*x509.Certificate
	roots       *x509.CertPool
	allowed     []string // in lower case
	warnings    []string
}

func (c *content) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

// read reads the files and checks all of them. The error has everything that was found.
func (f Files) read(now time.Time) (*content, error) {
	c := &content{roots: x509.NewCertPool()}
	var chainErr, keyErr error
	problems := []error{f.readAuthorities(c, now)}
	c.chain, chainErr = readChain(f.CertFile, "certificate file (Broker::ssl_certificate)")
	c.key, keyErr = readKey(c, f.KeyFile, f.Passphrase)
	problems = append(problems, chainErr, keyErr)
	if chainErr == nil {
		problems = append(problems, f.checkChain(c, now))
	}
	if chainErr == nil && keyErr == nil {
		problems = append(problems, f.checkKey(c))
	}
	for _, name := range f.AllowedNames {
		if _, err := path.Match(name, ""); err != nil || name == "" {
			problems = append(problems, fmt.Errorf("allowed name %q: want a name or a pattern such as worker-*", name))
		}
		c.allowed = append(c.allowed, strings.ToLower(name))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return c, nil
}

// inHashedDir are the names of files in a directory of CAs.
var inHashedDir = regexp.MustCompile(`\.(pem|crt|cer)$|^[0-9a-f]{8}\.[0-9]+$`)

// readAuthorities takes the CAs from file and directory.
func (f Files) readAuthorities(c *content, now time.Time) error {
	if f.CAFile == "" && f.CADir == "" {
		return errors.New("no CA file (Broker::ssl_cafile) and no CA directory (Broker::ssl_capath): no peer could be trusted")
	}
	var problems []error
	if f.CAFile != "" {
		found, err := readChain(f.CAFile, "")
		if err == nil && c.trust(f.CAFile, found, true) == 0 {
			err = &FileError{f.CAFile, fmt.Errorf("%s is neither a CA nor signed by itself: want the certificate of the CA", describe(found[0]))}
		}
		problems = append(problems, err)
	}
	if f.CADir != "" {
		problems = append(problems, f.readDir(c))
	}
	alive := 0
	for _, ca := range c.authorities {
		if err := checkDates(ca, now); err != nil {
			c.warn("CA %s %v", describe(ca), err)
			continue
		}
		alive++
		if soon := expiresSoon(ca, now); soon != "" {
			c.warn("CA %s %s", describe(ca), soon)
		}
	}
	if alive == 0 && len(c.authorities) > 0 {
		ca := c.authorities[0]
		problems = append(problems, fmt.Errorf("no CA is valid now: %s %w", describe(ca), checkDates(ca, now)))
	}
	return errors.Join(problems...)
}

func (f Files) readDir(c *content) error {
	entries, err := os.ReadDir(f.CADir)
	if err != nil {
		return fileError(f.CADir, err)
	}
	count := 0
	for _, entry := range entries {
		if entry.IsDir() || !inHashedDir.MatchString(entry.Name()) {
			continue
		}
		name := filepath.Join(f.CADir, entry.Name())
		found, err := readChain(name, "")
		if err != nil && !errors.Is(err, errNoCertificate) {
			c.warn("ignored: %v", err) // one odd file must not take all the others with it
		}
		count += c.trust(name, found, false)
	}
	if count == 0 {
		return &FileError{f.CADir, errors.New("no certificate of a CA in *.pem, *.crt, *.cer or hashed files (01234567.0)")}
	}
	return nil
}

// trust adds those certificates that may be trusted, and returns how many they are.
func (c *content) trust(file string, found []*x509.Certificate, warn bool) (count int) {
	for _, cert := range found {
		selfSigned := bytes.Equal(cert.RawIssuer, cert.RawSubject) &&
			cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
		if !selfSigned && !(cert.BasicConstraintsValid && cert.IsCA) {
			if warn {
				c.warn("%s: %s is neither a CA nor signed by itself: ignored", file, describe(cert))
			}
			continue
		}
		count++
		if slices.ContainsFunc(c.authorities, cert.Equal) {
			continue // in a hashed directory each is there twice
		}
		c.authorities = append(c.authorities, cert)
		c.roots.AddCert(cert)
	}
	return count
}

// checkChain checks the certificate of this node as a peer would.
func (f Files) checkChain(c *content, now time.Time) error {
	leaf := c.chain[0]
	if err := checkDates(leaf, now); err != nil {
		return &FileError{f.CertFile, fmt.Errorf("%s %w", describe(leaf), err)}
	}
	if soon := expiresSoon(leaf, now); soon != "" {
		c.warn("%s: %s %s", f.CertFile, describe(leaf), soon)
	}
	for _, usage := range []struct {
		usage x509.ExtKeyUsage
		text  string
	}{{x509.ExtKeyUsageServerAuth, "as a server: nodes that dial this one"}, {x509.ExtKeyUsageClientAuth, "as a client: nodes that this one dials"}} {
		// OpenSSL does not take "any" for one of the two.
		if (len(leaf.ExtKeyUsage) > 0 || len(leaf.UnknownExtKeyUsage) > 0) && !slices.Contains(leaf.ExtKeyUsage, usage.usage) {
			c.warn("%s: the extended key usage of %s does not allow it %s will refuse it", f.CertFile, describe(leaf), usage.text)
		}
	}
	if len(c.authorities) == 0 {
		return nil // and that is the error
	}
	opts := x509.VerifyOptions{Roots: c.roots, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, cert := range c.chain[1:] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := leaf.Verify(opts); err != nil {
		where := slices.DeleteFunc([]string{f.CAFile, f.CADir}, func(s string) bool { return s == "" })
		return &FileError{f.CertFile, fmt.Errorf("%s, issued by %s, does not verify against the CA in %s: %w",
			describe(leaf), clip(leaf.Issuer.String()), strings.Join(where, " and "), err)}
	}
	return nil
}

// checkKey checks that the key is that of the certificate.
func (f Files) checkKey(c *content) error {
	for i, cert := range c.chain {
		if !belongs(c.key, cert) {
			continue
		}
		if i > 0 {
			return &FileError{f.CertFile, fmt.Errorf("the certificate of the key, %s, is number %d in it: it must come first", describe(cert), i+1)}
		}
		return nil
	}
	return &FileError{f.KeyFile, fmt.Errorf("the key does not belong to the certificate %s in %s", describe(c.chain[0]), f.CertFile)}
}

func belongs(key crypto.Signer, cert *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// checkDates completes a sentence that begins with the certificate.
func checkDates(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return fmt.Errorf("expired on %s, %s ago", date(cert.NotAfter), days(now.Sub(cert.NotAfter)))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("is not valid before %s, in %s: is the clock right?", date(cert.NotBefore), days(cert.NotBefore.Sub(now)))
	}
	return nil
}

func expiresSoon(cert *x509.Certificate, now time.Time) string {
	if left := cert.NotAfter.Sub(now); left < expirySoon {
		return fmt.Sprintf("expires on %s, in %s", date(cert.NotAfter), days(left))
	}
	return ""
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// days is a duration of a certificate's life: in days, or if it is shorter, to the minute.
func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
}

// errNoCertificate says that a file has no certificate in it.
var errNoCertificate = errors.New("no certificate in PEM in it")

// readChain reads the certificates of a file. The name of the option is for when there is no file.
func readChain(file, option string) (chain []*x509.Certificate, err error) {
	if file == "" {
		return nil, fmt.Errorf("no %s", option)
	}
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var seen []string
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
			seen = append(seen, block.Type)
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &FileError{file, fmt.Errorf("certificate %d in it: %w", len(chain)+1, err)}
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, &FileError{file, nothing(errNoCertificate, text, seen, "openssl x509 -inform der")}
	}
	return chain, nil
}

// nothing says what is in a file instead of what is looked for.
func nothing(err error, text []byte, seen []string, convert string) error {
	switch {
	case len(seen) > 0:
		return fmt.Errorf("%w, but %s", err, clip(strings.Join(seen, ", ")))
	case len(text) == 0:
		return fmt.Errorf("%w: it is empty", err)
	case text[0] == 0x30: // a SEQUENCE
		return fmt.Errorf("%w; it looks like DER: convert it with %s", err, convert)
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return fmt.Errorf("%w: what is between BEGIN and END is damaged or cut short", err)
	}
	return err
}

// readFile reads a file of bounded size.
func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fileError(file, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fileError(file, err)
	}
	if len(text) > maxFile {
		return nil, &FileError{file, fmt.Errorf("larger than %d MiB: no file of certificates or keys", maxFile>>20)}
	}
	return text, nil
}

// fileError makes a FileError of what the operating system says, without naming the file twice.
func fileError(file string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return &FileError{file, err}
}
