package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// A Request says what certificate to make.
type Request struct {
	// Name is the name of the node or of the CA, of 64 bytes at most. That of a node is among its DNS
	// names too.
	Name string
	// Hosts are further names and IP addresses of the node. Broker does not look at them; browsers
	// and curl do. A name that several nodes share does not tell them apart in [Files.AllowedNames].
	Hosts []string
	// NotBefore is when it begins to be valid: by default an hour ago, for clocks that are behind.
	NotBefore time.Time
	// Validity is for how long: by default 825 days for a node and 10 years for a CA. A node's
	// certificate ends with that of the CA at the latest.
	Validity time.Duration
}

const (
	defaultNodeValidity = 825 * 24 * time.Hour
	defaultCAValidity   = 10 * 365 * 24 * time.Hour
	clockSkew           = time.Hour
	maxName             = 64 // ub-common-name, RFC 5280 appendix A
)

// A Pair is a certificate with its private key.
type Pair struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// An Authority is a CA that signs the certificates of nodes itself.
type Authority struct{ Pair }

// NewAuthority makes a CA. Hosts of the request are ignored.
func NewAuthority(r Request) (*Authority, error) {
	template, err := r.template(defaultCAValidity)
	if err != nil {
		return nil, err
	}
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.BasicConstraintsValid, template.IsCA, template.MaxPathLenZero = true, true, true
	pair, err := sign(template, nil)
	if err != nil {
		return nil, err
	}
	return &Authority{*pair}, nil
}

// LoadAuthority reads a CA from files in PEM. The passphrase is for a key that is encrypted.
func LoadAuthority(certFile, keyFile, passphrase string) (*Authority, error) {
	f := Files{CAFile: certFile, CertFile: certFile, KeyFile: keyFile, Passphrase: passphrase}
	c := new(content)
	chain, err := readChain(certFile, "CA file")
	if err != nil {
		return nil, err
	}
	if c.key, err = readKey(c, keyFile, passphrase); err != nil {
		return nil, err
	}
	c.chain = chain
	if err := f.checkKey(c); err != nil {
		return nil, err
	}
	if ca := chain[0]; !ca.BasicConstraintsValid || !ca.IsCA {
		return nil, &FileError{certFile, fmt.Errorf("%s is not a CA", describe(ca))}
	}
	if err := checkDates(chain[0], time.Now()); err != nil {
		return nil, &FileError{certFile, fmt.Errorf("CA %s %w", describe(chain[0]), err)}
	}
	return &Authority{Pair{chain[0], c.key}}, nil
}

// hostName is what is taken for the name of a host or a node.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)

// Issue makes a key and a certificate for a node, which it can use as a client and as a server.
func (a *Authority) Issue(r Request) (*Pair, error) {
	template, err := r.template(defaultNodeValidity)
	if err != nil {
		return nil, err
	}
	for _, host := range append([]string{r.Name}, r.Hosts...) {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if len(host) <= 253 && hostName.MatchString(host) {
			template.DNSNames = append(template.DNSNames, host)
		} else {
			return nil, fmt.Errorf("certificate for %q: %q is neither the name of a host nor an IP address", r.Name, host)
		}
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if template.NotAfter.After(a.Certificate.NotAfter) {
		template.NotAfter = a.Certificate.NotAfter
	}
	return sign(template, a)
}

func (r Request) template(validity time.Duration) (*x509.Certificate, error) {
	if r.Name == "" || len(r.Name) > maxName {
		return nil, fmt.Errorf("certificate for %q: want a name of 1 to %d bytes", r.Name, maxName)
	}
	if r.Validity < 0 {
		return nil, fmt.Errorf("certificate for %q, valid for %v: want more than zero", r.Name, r.Validity)
	}
	if r.Validity > 0 {
		validity = r.Validity
	}
	begin, from := time.Now(), r.NotBefore
	if from.IsZero() {
		from = begin.Add(-clockSkew)
	} else {
		begin = from
	}
	return &x509.Certificate{Subject: pkix.Name{CommonName: r.Name}, NotBefore: from, NotAfter: begin.Add(validity)}, nil
}

// sign makes a key and the certificate for it, signed by a, or by itself.
func sign(template *x509.Certificate, a *Authority) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signer := Pair{template, key}
	if a != nil {
		signer = a.Pair
	}
	// Without a serial number in the template, CreateCertificate makes one of 159 random bits.
	der, err := x509.CreateCertificate(rand.Reader, template, signer.Certificate, key.Public(), signer.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate for %q: %w", template.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Pair{cert, key}, nil
}

// WriteFiles writes certificate and key in PEM, the key with mode 0600. Files that are there are not
// touched, and the error is [fs.ErrExist], unless replace is set: then each is replaced in one step.
func (p *Pair) WriteFiles(certFile, keyFile string, replace bool) error {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		return err
	}
	if !replace {
		for _, file := range []string{certFile, keyFile} {
			if _, err := os.Lstat(file); err == nil {
				return &FileError{file, fs.ErrExist}
			}
		}
	}
	if err := writePEM(keyFile, "PRIVATE KEY", der, 0o600, replace); err != nil {
		return err
	}
	err = writePEM(certFile, "CERTIFICATE", p.Certificate.Raw, 0o644, replace)
	if err != nil && !replace {
		err = errors.Join(err, os.Remove(keyFile)) // which is new, and of no use
	}
	return err
}

func writePEM(file, kind string, der []byte, mode os.FileMode, replace bool) (err error) {
	var f *os.File
	if replace {
		f, err = os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*") // mode 0600
	} else {
		f, err = os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	}
	if err != nil {
		return fileError(file, err)
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if err == nil {
		err = f.Chmod(mode) // whatever the umask is: peers' programs may run as another user
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil && replace {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
		return fileError(file, err)
	}
	return nil
}
