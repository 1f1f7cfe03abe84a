package anontls

import (
	"crypto/ecdh"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/crypto/cryptobyte"
)

const (
	labelClientFinished = "client finished"
	labelServerFinished = "server finished"
)

// A handshake is what is needed until a connection is established, and not after that.
type handshake struct {
	c          *Conn
	stage      string    // where we are, for errors
	transcript hash.Hash // over all messages, sent and received
	messages   []byte    // to be sent

	clientRandom, serverRandom []byte
	ems, etm                   bool // agreed on
	master                     []byte
	client, server             direction
}

func newHandshake(c *Conn) *handshake {
	return &handshake{c: c, transcript: sha256.New(), stage: "before anything was sent"}
}

// run makes the handshake. The caller holds c.in.
func (h *handshake) run() error {
	if h.c.client {
		return h.runClient()
	}
	return h.runServer()
}

// explain adds to an error of the connection below where we were.
func (h *handshake) explain(err error) error {
	var alert *AlertError
	var stranger *NotTLSError
	switch {
	case errors.As(err, &alert), errors.As(err, &stranger):
		return err
	case errors.Is(err, io.EOF), err == errCloseNotify:
		err = fmt.Errorf("the peer closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("anontls: %w %s", err, h.stage)
}

func (h *handshake) newRandom() []byte {
	b := make([]byte, randomLen)
	h.c.config.random(b)
	return b
}

// add appends a message to those that are to be sent.
func (h *handshake) add(typ messageType, body func(*cryptobyte.Builder)) {
	before := len(h.messages)
	h.messages = appendMessage(h.messages, typ, body)
	h.transcript.Write(h.messages[before:])
}

// flush sends the messages, and if s is not nil then ChangeCipherSpec and, as first record under s,
// a Finished: all in one write.
func (h *handshake) flush(s *sealer, label string) error {
	out := &h.c.out
	out.Lock()
	defer out.Unlock()
	if out.err != nil {
		return out.err
	}
	var records []byte
	if len(h.messages) > 0 {
		records = out.appendRecord(records, recordHandshake, h.messages)
		h.messages = h.messages[:0]
	}
	if s != nil {
		records = out.appendRecord(records, recordChangeCipherSpec, []byte{1})
		out.sealer = s
		verify := verifyData(h.master, label, h.transcript.Sum(nil))
		h.add(typeFinished, func(b *cryptobyte.Builder) { b.AddBytes(verify) })
		records = out.appendRecord(records, recordHandshake, h.messages)
		h.messages = nil
	}
	if _, err := h.c.conn.Write(records); err != nil {
		out.err = err
		return err
	}
	return nil
}

// expect returns the body of the next message, which must be of type want.
func (h *handshake) expect(want messageType) ([]byte, error) {
	msg, err := h.read(want)
	if err != nil {
		return nil, err
	}
	h.transcript.Write(msg)
	return msg[messageHeaderLen:], nil
}

// read is expect for a whole message that does not become part of the transcript.
func (h *handshake) read(want messageType) ([]byte, error) {
	c := h.c
	h.stage = "while waiting for the " + want.String()
	for {
		msg, err := c.nextMessage()
		if err != nil {
			return nil, err
		}
		if msg == nil {
			typ, body, err := h.readRecord()
			if err != nil {
				return nil, err
			}
			if typ != recordHandshake {
				return nil, refuse(alertUnexpectedMessage, "record of type %d instead of a %v", typ, want)
			}
			c.in.hand = append(c.in.hand, body...)
			continue
		}
		switch got := messageType(msg[0]); {
		case got == want:
			c.in.useless = 0
			return msg, nil
		case got == typeHelloRequest && c.client:
			// To be ignored until the handshake is over (RFC 5246 section 7.4.1.1).
			if err := c.countUseless(); err != nil {
				return nil, err
			}
		case got == typeCertificateRequest && c.client:
			return nil, refuse(alertHandshakeFailure, "an anonymous server asks for a certificate") // section 7.4.4
		default:
			return nil, refuse(alertUnexpectedMessage, "%v instead of a %v", got, want)
		}
	}
}

// readRecord returns the next record that is no alert.
func (h *handshake) readRecord() (recordType, []byte, error) {
	for {
		typ, body, err := h.c.readRecord(nil)
		if err != nil || typ != recordAlert {
			return typ, body, err
		}
		if err := h.c.receivedAlert(body); err != nil {
			return 0, nil, err
		}
		if err := h.c.countUseless(); err != nil {
			return 0, nil, err
		}
	}
}

// readFinished reads ChangeCipherSpec and then, as first record under o, a Finished.
func (h *handshake) readFinished(o *opener, label string) error {
	c := h.c
	h.stage = "while waiting for the ChangeCipherSpec"
	typ, body, err := h.readRecord()
	switch {
	case err != nil:
		return err
	case typ == recordHandshake:
		return refuse(alertUnexpectedMessage, "%v instead of a ChangeCipherSpec", messageType(body[0]))
	case typ != recordChangeCipherSpec:
		return refuse(alertUnexpectedMessage, "record of type %d instead of a ChangeCipherSpec", typ)
	case len(body) != 1 || body[0] != 1:
		return refuse(alertDecodeError, "malformed ChangeCipherSpec")
	}
	c.in.opener = o
	want := verifyData(h.master, label, h.transcript.Sum(nil))
	msg, err := h.read(typeFinished)
	switch {
	case err != nil:
		return err
	case subtle.ConstantTimeCompare(msg[messageHeaderLen:], want) != 1:
		return refuse(alertDecryptError, "the peer's Finished is wrong: what was sent is not what was received")
	case len(c.in.hand) > 0:
		return refuse(alertUnexpectedMessage, "%v after the Finished", messageType(c.in.hand[0]))
	}
	h.transcript.Write(msg)
	c.in.hand = nil
	return nil
}

// newKey returns a key for this handshake only.
func (h *handshake) newKey() (*ecdh.PrivateKey, error) {
	key, err := h.c.config.key()
	if err != nil {
		return nil, fmt.Errorf("anontls: making a key: %w", err)
	}
	return key, nil
}

// agree derives the secrets from our key and the peer's point. The transcript ends with the
// ClientKeyExchange.
func (h *handshake) agree(key *ecdh.PrivateKey, point []byte) error {
	peer, err := ecdh.P384().NewPublicKey(point)
	if err != nil {
		return refuse(alertIllegalParameter, "the peer's key of %d bytes is no point of secp384r1", len(point))
	}
	premaster, err := key.ECDH(peer)
	if err != nil {
		return refuse(alertIllegalParameter, "key agreement failed: %w", err)
	}
	var session []byte
	if h.ems {
		session = h.transcript.Sum(nil)
	}
	h.master = masterSecret(premaster, session, h.clientRandom, h.serverRandom)
	h.client, h.server = deriveKeys(h.master, h.clientRandom, h.serverRandom)
	return nil
}

// messageHeaderLen is the length of a type and a length of 24 bits.
const messageHeaderLen = 4

// nextMessage takes the next message out of c.in.hand. It returns nil if it is not there as a whole.
func (c *Conn) nextMessage() ([]byte, error) {
	b := c.in.hand
	if len(b) < messageHeaderLen {
		return nil, nil
	}
	n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if n > maxMessage {
		return nil, refuse(alertIllegalParameter, "%v of %d bytes; %d are allowed", messageType(b[0]), n, maxMessage)
	}
	n += messageHeaderLen
	if len(b) < n {
		return nil, nil
	}
	c.in.hand = b[n:]
	return b[:n:n], nil
}

// receivedLate takes messages of the handshake after it is over, which ask for another one. They are
// refused, and the connection goes on (RFC 5246 section 7.2.2); while somebody is writing they are
// ignored, so that reading does not wait for that.
func (c *Conn) receivedLate(body []byte) error {
	c.in.hand = append(c.in.hand, body...)
	want := typeClientHello
	if c.client {
		want = typeHelloRequest
	}
	for {
		msg, err := c.nextMessage()
		if err != nil {
			return err
		}
		if msg == nil {
			break
		}
		if typ := messageType(msg[0]); typ != want {
			return refuse(alertUnexpectedMessage, "%v after the handshake", typ)
		}
		if err := c.countUseless(); err != nil {
			return err
		}
		if c.out.TryLock() {
			if c.out.err == nil {
				c.out.err = c.sendAlert(levelWarning, alertNoRenegotiation)
			}
			c.out.Unlock()
		}
	}
	if len(c.in.hand) == 0 {
		c.in.hand = nil
	}
	return nil
}
