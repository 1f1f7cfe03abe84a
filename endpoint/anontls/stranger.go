package anontls

import (
	"bytes"
	"fmt"
)

// A NotTLSError says that the peer does not speak TLS, and who it seems to be.
type NotTLSError struct {
	First []byte // the first bytes that it sent
}

// Broker tells whether the peer is a Broker node with TLS disabled: after a length of 4 bytes, it
// sent a hello or a probe (PROTOCOL.md section 3).
func (e *NotTLSError) Broker() bool {
	return len(e.First) >= brokerFirst && bytes.Equal(e.First[5:brokerFirst], []byte("ZEEK")) && (e.First[4] == 6 || e.First[4] == 7)
}

// HTTP tells whether the peer sent the beginning of an HTTP request or response.
func (e *NotTLSError) HTTP() bool {
	for _, word := range []string{"GET ", "HEAD", "POST", "PUT ", "DELE", "OPTI", "PATC", "CONN", "TRAC", "PRI ", "HTTP"} {
		if bytes.HasPrefix(e.First, []byte(word)) {
			return true
		}
	}
	return false
}

func (e *NotTLSError) Error() string {
	switch {
	case e.Broker():
		return "anontls: the peer is a Broker node with TLS disabled: enable it there, or disable it here"
	case e.HTTP():
		return fmt.Sprintf("anontls: the peer speaks HTTP, not TLS: it sent %q", e.First)
	}
	return fmt.Sprintf("anontls: the peer does not speak TLS: it sent %q", e.First)
}

// brokerFirst is how many bytes it takes to know a Broker node.
const brokerFirst = 4 + 1 + 4

// stranger returns who the peer is that has not begun with a record of TLS. A Broker node's first
// bytes may be under way.
func (c *Conn) stranger() error {
	for p := c.input.pending(); len(p) < brokerFirst && bytes.HasPrefix(p, []byte{0, 0}); p = c.input.pending() {
		if c.input.fill() != nil {
			break
		}
	}
	p := c.input.pending()
	if len(p) >= 3 && p[0]&0x80 != 0 && p[2] == byte(typeClientHello) {
		return refuse(alertProtocolVersion, "the peer sent a ClientHello of SSL 2.0: %w", ErrVersion)
	}
	return &NotTLSError{First: bytes.Clone(p[:min(len(p), 16)])}
}
