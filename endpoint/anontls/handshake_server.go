package anontls

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

func (h *handshake) runServer() error {
	c := h.c
	body, err := h.expect(typeClientHello)
	if err != nil {
		return err
	}
	hello, err := parseClientHello(body)
	if err != nil {
		return err
	}
	if err := h.acceptClientHello(hello); err != nil {
		return err
	}
	c.in.negotiated = true

	key, err := h.newKey()
	if err != nil {
		return err
	}
	// All of the random is random: the sentinel of RFC 8446 section 4.1.3 is for servers that could
	// have spoken TLS 1.3, and a client that offered it would break off. There is no session id, since
	// the session cannot be resumed; one that the client made up for TLS 1.3 is not echoed.
	h.serverRandom = h.newRandom()
	answer := serverHello{version: versionTLS12, random: h.serverRandom, suite: suiteECDHAnonAES256SHA}
	answer.ems, answer.etm = h.ems, h.etm
	answer.renegotiation = hello.renegotiation || slices.Contains(hello.suites, suiteRenegotiationInfo)
	if c.config.noRenegotiationInfo {
		answer.renegotiation = false
	}
	if hello.points != nil {
		answer.points = []byte{pointUncompressed}
	}
	h.add(typeServerHello, answer.append)
	h.add(typeServerKeyExchange, func(b *cryptobyte.Builder) { appendServerKeyExchange(b, key.PublicKey().Bytes()) })
	h.add(typeServerHelloDone, func(*cryptobyte.Builder) {})
	if err := h.flush(nil, ""); err != nil {
		return err
	}

	if body, err = h.expect(typeClientKeyExchange); err != nil {
		return err
	}
	point, err := parsePoint(typeClientKeyExchange, body)
	if err != nil {
		return err
	}
	if err := h.agree(key, point); err != nil {
		return err
	}
	if err := h.readFinished(newOpener(h.client, h.etm), labelClientFinished); err != nil {
		return err
	}
	return h.flush(newSealer(h.server, h.etm, c.config.random), labelServerFinished)
}

// acceptClientHello checks what the client offers, and takes what it can of it.
func (h *handshake) acceptClientHello(hello *clientHello) error {
	switch {
	case hello.version < versionTLS12:
		return refuse(alertProtocolVersion, "ClientHello of version %#04x: %w", hello.version, ErrVersion)
	case hello.versions != nil && !slices.Contains(hello.versions, versionTLS12):
		return refuse(alertProtocolVersion, "ClientHello of versions %#04x only: %w", hello.versions[:min(len(hello.versions), 8)], ErrVersion)
	case !slices.Contains(hello.suites, suiteECDHAnonAES256SHA):
		return refuse(alertHandshakeFailure, "ClientHello with %d cipher suites and no %#04x: %w", len(hello.suites), suiteECDHAnonAES256SHA, ErrNoAnonymous)
	case !slices.Contains(hello.compression, 0):
		return refuse(alertIllegalParameter, "ClientHello that insists on compression")
	case len(hello.renegotiationBytes) > 0:
		return refuse(alertHandshakeFailure, "ClientHello of a renegotiation")
	case hello.groups != nil && !slices.Contains(hello.groups, groupP384):
		// Without the extension the choice is the server's (RFC 8422 section 4).
		return refuse(alertHandshakeFailure, "ClientHello with groups %d, without secp384r1 (%d)", hello.groups[:min(len(hello.groups), 16)], groupP384)
	}
	if err := hello.checkPoints(typeClientHello); err != nil {
		return err
	}
	h.clientRandom = hello.random
	h.ems = hello.ems && !h.c.config.noEMS
	h.etm = hello.etm && !h.c.config.noEtM
	return nil
}

// checkPoints refuses a peer that does not take points as they are.
func (e *extensions) checkPoints(typ messageType) error {
	if e.points != nil && !slices.Contains(e.points, pointUncompressed) {
		return refuse(alertIllegalParameter, "%v without uncompressed points", typ)
	}
	return nil
}
