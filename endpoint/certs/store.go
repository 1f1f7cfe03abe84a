package certs

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Store holds the certificates of a node. It may be used from several goroutines.
type Store struct {
	files   Files
	mu      sync.Mutex // held while reading, so that of two reloads the later one stays
	content atomic.Pointer[content]
}

// Load reads the files and checks everything about them: that they are there, that the key is that of
// the certificate, that the CA has signed it, that it is valid now. The error has all that was found;
// a [*FileError] in it names the file. What works now but should be seen to is in [Store.Warnings].
func Load(f Files) (*Store, error) {
	f.AllowedNames = slices.Clone(f.AllowedNames)
	s := &Store{files: f}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the files again. If anything is wrong with them, what was loaded before stays in use.
// It does not touch connections that are up.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.files.read(time.Now())
	if err == nil {
		s.content.Store(c)
	}
	return err
}

// Warnings says what should be seen to: a certificate that expires within 30 days, a key that
// everybody can read, and the like. It is as of the last load.
func (s *Store) Warnings() []string { return slices.Clone(s.content.Load().warnings) }

// Certificate returns the certificate of this node. It must not be changed.
func (s *Store) Certificate() *x509.Certificate { return s.content.Load().chain[0] }

// Authorities returns the certificates of the CAs that are trusted. They must not be changed.
func (s *Store) Authorities() []*x509.Certificate {
	return slices.Clone(s.content.Load().authorities)
}

// Client returns the configuration for one connection to a peer.
func (s *Store) Client() *tls.Config {
	c := s.content.Load()
	own := c.own()
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Show the certificate whatever CAs the peer says to want: its error says more than "none".
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
		// This leaves out the host name only: verifyServer does all the rest, in every handshake.
		InsecureSkipVerify: true,
		VerifyConnection:   c.verifyServer,
	}
}

// Server returns the configuration for one connection from a peer.
func (s *Store) Server() *tls.Config {
	c := s.content.Load()
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		Certificates:           []tls.Certificate{c.own()},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              c.roots,
		VerifyConnection:       c.verifyName,
		SessionTicketsDisabled: true,
	}
}

// own returns what this node shows.
func (c *content) own() tls.Certificate {
	own := tls.Certificate{PrivateKey: c.key, Leaf: c.chain[0]}
	for _, cert := range c.chain {
		own.Certificate = append(own.Certificate, cert.Raw)
	}
	return own
}
