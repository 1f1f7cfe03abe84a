package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"
)

var (
	// ErrNoCertificate says that the peer showed no certificate.
	ErrNoCertificate = errors.New("no certificate")
	// ErrName says that none of the peer's names is allowed.
	ErrName = errors.New("none of its names is allowed")
)

// A PeerError says why the certificate of a peer was refused. Err is [ErrNoCertificate], wraps
// [ErrName], or is what crypto/x509 says, such as an [x509.UnknownAuthorityError].
//
// What the certificate says is what somebody claims: nobody has vouched for it.
type PeerError struct {
	Certificate *x509.Certificate // nil if there was none
	Err         error
}

func (e *PeerError) Error() string {
	if e.Certificate == nil {
		return "the peer showed no certificate: it must have one of this cluster's CA"
	}
	hint := ""
	if _, ok := errors.AsType[x509.UnknownAuthorityError](e.Err); ok {
		hint = "; the CA that signed it is not in this node's CA file"
	}
	c := e.Certificate
	return fmt.Sprintf("refused the peer's certificate %s, issued by %s, valid %s to %s: %v%s",
		describe(c), clip(c.Issuer.String()), date(c.NotBefore), date(c.NotAfter), e.Err, hint)
}

func (e *PeerError) Unwrap() error { return e.Err }

// A RefusedError says that the peer ended the handshake with an alert about this node's certificate.
type RefusedError struct {
	Alert tls.AlertError // the number on the wire (RFC 8446 section 6), or 0 if it could not be read
	Err   error          // what crypto/tls said
}

func (e *RefusedError) Error() string {
	if e.Alert == 0 {
		return fmt.Sprintf("the peer refused, as OpenSSL does when it does not take this node's certificate: its CA file may lack the CA of this node (%v)", e.Err)
	}
	return fmt.Sprintf("the peer refused: alert %d, %s", uint8(e.Alert), refusals[e.Alert])
}

func (e *RefusedError) Unwrap() error { return e.Err }

// refusals are the alerts that have to do with certificates, with what they mean here. OpenSSL sends
// them precisely. This package as a client sends bad_certificate for everything.
var refusals = map[tls.AlertError]string{
	40:  "handshake_failure: it may speak anonymous TLS, without certificates, or have no cipher suite in common",
	42:  "bad_certificate: it does not take this node's certificate; its log says why",
	43:  "unsupported_certificate: this node's certificate is not for this use (extended key usage), or its key is of a kind that the peer cannot use",
	44:  "certificate_revoked: this node's certificate is revoked",
	45:  "certificate_expired: this node's certificate is expired, or one of the two clocks is wrong",
	46:  "certificate_unknown: it does not take this node's certificate; its log says why",
	48:  "unknown_ca: the CA of this node's certificate is not in the peer's CA file",
	49:  "access_denied: this node's certificate is valid, but not allowed there",
	116: "certificate_required: it got no certificate from this node",
}

// Explain turns the error of a handshake into a [*PeerError] or a [*RefusedError] if it is about
// certificates, and returns it as it is otherwise. With TLS 1.3 a client learns that it was refused
// only when it first reads, so the error of the first read should be explained as well.
func Explain(err error) error {
	op, _ := errors.AsType[*net.OpError](err)
	switch {
	case op == nil:
	case op.Op == "local error" && op.Err.Error() == badRecordMAC.Error():
		return &RefusedError{0, err}
	case op.Op == "remote error":
		for alert := range refusals {
			// The type of the alert in it is not exported, its text is that of the one that is.
			if op.Err.Error() == alert.Error() {
				return &RefusedError{alert, err}
			}
		}
	}
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(invalid.UnverifiedCertificates) > 0 {
		return &PeerError{invalid.UnverifiedCertificates[0], invalid.Err}
	}
	if err != nil && err.Error() == noClientCertificate {
		return &PeerError{Err: ErrNoCertificate}
	}
	return err
}

// badRecordMAC is what a server of TLS 1.3 makes of an OpenSSL that refuses its certificate: the client
// sends that alert in the clear, where the server expects it encrypted.
const badRecordMAC tls.AlertError = 20

// noClientCertificate is the one error of a server in crypto/tls about certificates that has no type.
const noClientCertificate = "tls: client didn't provide a certificate"

// PeerNames returns the names in the peer's certificate: the common name of its subject, then the
// DNS names among its subject alternative names. They can be relied on once a handshake with a
// configuration of a [Store] is complete.
func PeerNames(state tls.ConnectionState) []string {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	return namesOf(state.PeerCertificates[0])
}

func namesOf(cert *x509.Certificate) (names []string) {
	for _, name := range append([]string{cert.Subject.CommonName}, cert.DNSNames...) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// verifyServer checks what a server shows: chain, dates, extended key usage and name.
func (c *content) verifyServer(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return &PeerError{Err: ErrNoCertificate}
	}
	// The usage is that of a server by default.
	opts := x509.VerifyOptions{Roots: c.roots, Intermediates: x509.NewCertPool()}
	for _, cert := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := state.PeerCertificates[0].Verify(opts); err != nil {
		return &PeerError{state.PeerCertificates[0], err}
	}
	return c.verifyName(state)
}

// verifyName checks that the peer, whose certificate is valid, is one of those that are allowed.
func (c *content) verifyName(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return &PeerError{Err: ErrNoCertificate}
	}
	if len(c.allowed) == 0 {
		return nil
	}
	for _, name := range PeerNames(state) {
		for _, pattern := range c.allowed {
			if ok, _ := path.Match(pattern, strings.ToLower(name)); ok {
				return nil
			}
		}
	}
	return &PeerError{state.PeerCertificates[0], fmt.Errorf("%w: want %s", ErrName, strings.Join(c.allowed, ", "))}
}

// What is quoted of a certificate is bounded, since strangers show certificates as well.
const (
	maxNames = 4
	maxText  = 100
)

// describe names a certificate by its names, or else by its subject.
func describe(cert *x509.Certificate) string {
	names := namesOf(cert)
	if len(names) == 0 {
		return clip(cert.Subject.String())
	}
	more := ""
	if len(names) > maxNames {
		more = fmt.Sprintf(" and %d more", len(names)-maxNames)
		names = names[:maxNames]
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = clip(name)
	}
	return strings.Join(quoted, ", ") + more
}

// clip quotes a text of others.
func clip(text string) string {
	if len(text) > maxText {
		return fmt.Sprintf("%q...", text[:maxText])
	}
	return fmt.Sprintf("%q", text)
}
