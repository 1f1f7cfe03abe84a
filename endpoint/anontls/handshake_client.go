package anontls

import "golang.org/x/crypto/cryptobyte"

func (h *handshake) runClient() error {
	c := h.c
	h.clientRandom = h.newRandom()
	offer := clientHello{
		version:     versionTLS12,
		random:      h.clientRandom,
		suites:      []uint16{suiteECDHAnonAES256SHA},
		compression: []byte{0},
		extensions: extensions{
			renegotiation: true,
			points:        []byte{pointUncompressed},
			groups:        []uint16{groupP384},
			etm:           !c.config.noEtM,
			ems:           !c.config.noEMS,
		},
	}
	h.add(typeClientHello, offer.append)
	if err := h.flush(nil, ""); err != nil {
		return err
	}

	body, err := h.expect(typeServerHello)
	if err != nil {
		return err
	}
	if err := h.acceptServerHello(body, &offer); err != nil {
		return err
	}
	c.in.negotiated = true
	if body, err = h.expect(typeServerKeyExchange); err != nil {
		return err
	}
	point, err := parseServerKeyExchange(body)
	if err != nil {
		return err
	}
	if body, err = h.expect(typeServerHelloDone); err != nil {
		return err
	}
	if len(body) != 0 {
		return malformed(typeServerHelloDone)
	}

	key, err := h.newKey()
	if err != nil {
		return err
	}
	h.add(typeClientKeyExchange, func(b *cryptobyte.Builder) { appendPoint(b, key.PublicKey().Bytes()) })
	if err := h.agree(key, point); err != nil {
		h.messages = nil
		return err
	}
	if err := h.flush(newSealer(h.client, h.etm, c.config.random), labelClientFinished); err != nil {
		return err
	}
	return h.readFinished(newOpener(h.server, h.etm), labelServerFinished)
}

// acceptServerHello checks what the server chose. A server that does not know the renegotiation
// indication is accepted, since we never renegotiate.
func (h *handshake) acceptServerHello(body []byte, offer *clientHello) error {
	hello, err := parseServerHello(body)
	switch {
	case err != nil:
		return err
	case hello.version != versionTLS12:
		return refuse(alertProtocolVersion, "ServerHello of version %#04x: %w", hello.version, ErrVersion)
	case hello.suite != suiteECDHAnonAES256SHA:
		return refuse(alertIllegalParameter, "ServerHello with cipher suite %#04x, which was not offered", hello.suite)
	case hello.compression != 0:
		return refuse(alertIllegalParameter, "ServerHello with compression %d, which was not offered", hello.compression)
	case hello.etm && !offer.etm || hello.ems && !offer.ems:
		return refuse(alertUnsupportedExtension, "ServerHello with an extension that was not offered")
	case len(hello.renegotiationBytes) > 0:
		return refuse(alertHandshakeFailure, "ServerHello of a renegotiation")
	}
	if err := hello.checkPoints(typeServerHello); err != nil {
		return err
	}
	h.serverRandom, h.ems, h.etm = hello.random, hello.ems, hello.etm
	return nil
}
