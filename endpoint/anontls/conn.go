package anontls

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// DefaultHandshakeTimeout is for how long a handshake may last if nothing else is configured.
const DefaultHandshakeTimeout = 10 * time.Second

// maxUseless is how many records in a row may come that carry nothing: warnings, empty records,
// requests to renegotiate. crypto/tls has the same limit.
const maxUseless = 16

// A Config configures a [Conn]. The zero Config, and nil, are valid.
type Config struct {
	// HandshakeTimeout bounds the handshake, besides its context. Zero means
	// [DefaultHandshakeTimeout].
	HandshakeTimeout time.Duration

	// For tests.
	noEMS, noEtM, noRenegotiationInfo bool
	random                            func([]byte)
	key                               func() (*ecdh.PrivateKey, error)
}

// withDefaults returns a copy of c in which everything is set.
func (c *Config) withDefaults() Config {
	var config Config
	if c != nil {
		config = *c
	}
	if config.HandshakeTimeout <= 0 {
		config.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if config.random == nil {
		config.random = func(b []byte) { rand.Read(b) } // never fails
	}
	if config.key == nil {
		config.key = func() (*ecdh.PrivateKey, error) { return ecdh.P384().GenerateKey(rand.Reader) }
	}
	return config
}

// A Conn is a connection under anonymous TLS: encrypted, with nobody authenticated. Its methods may
// be called at the same time, as those of any [net.Conn].
type Conn struct {
	conn   net.Conn
	config Config
	client bool

	established atomic.Bool
	closed      atomic.Bool

	handshake    lock // before in, which is before out
	handshakeErr error
	state        ConnectionState

	in struct {
		lock             // for all that has to do with reading, and for input
		err        error // for ever
		opener     *opener
		negotiated bool   // the version is known
		hand       []byte // parts of messages of the handshake
		plain      []byte // data that were opened and not yet read, in the buffer of input
		useless    int    // records in a row
	}
	input input
	out   output
}

// An output is the sending half of a connection.
type output struct {
	lock
	err    error // for ever
	sealer *sealer
}

func (o *output) appendRecord(dst []byte, typ recordType, data []byte) []byte {
	if o.sealer == nil {
		return appendPlain(dst, typ, data)
	}
	return o.sealer.seal(dst, typ, data)
}

// A ConnectionState tells what was agreed on.
type ConnectionState struct {
	HandshakeComplete    bool
	ExtendedMasterSecret bool // RFC 7627
	EncryptThenMAC       bool // RFC 7366
}

// Client returns the side of a connection that speaks first. The handshake is made by the first
// Read, Write or [Conn.HandshakeContext].
func Client(conn net.Conn, config *Config) *Conn { return newConn(conn, config, true) }

// Server returns the side of a connection that waits for the other. The handshake is made by the
// first Read, Write or [Conn.HandshakeContext].
func Server(conn net.Conn, config *Config) *Conn { return newConn(conn, config, false) }

func newConn(conn net.Conn, config *Config, client bool) *Conn {
	c := &Conn{conn: conn, config: config.withDefaults(), client: client, input: input{conn: conn}}
	c.handshake, c.in.lock, c.out.lock = newLock(), newLock(), newLock()
	return c
}

// ConnectionState returns what was agreed on. It waits for a handshake that is under way.
func (c *Conn) ConnectionState() ConnectionState {
	c.handshake.Lock()
	defer c.handshake.Unlock()
	return c.state
}

// LocalAddr returns the local address of the connection below.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr returns the remote address of the connection below.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// SetDeadline sets both deadlines. See [Conn.SetWriteDeadline].
func (c *Conn) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

// SetReadDeadline sets the deadline of Read. After it has passed, reading can go on with a new one.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of Write. A Write that did not make it may have sent a part of a
// record, so that all later ones fail with its error.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }

// Handshake is [Conn.HandshakeContext] without a context of its own.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

// HandshakeContext makes the handshake, if it has not been made. If it takes longer than the context
// or the configuration allow, the connection below is closed; after any other error, closing it is
// the caller's.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	if c.established.Load() {
		return nil
	}
	select {
	case c.handshake <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("anontls: %w while waiting for the handshake of another caller", ctx.Err())
	}
	defer c.handshake.Unlock()
	if c.established.Load() || c.handshakeErr != nil {
		return c.handshakeErr
	}
	c.in.Lock()
	defer c.in.Unlock()
	ctx, cancel := context.WithTimeout(ctx, c.config.HandshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })

	h := newHandshake(c)
	err := h.run()
	if !stop() {
		err = fmt.Errorf("anontls: %w %s", ctx.Err(), h.stage)
	} else if err != nil {
		err = h.explain(err)
	}
	if err != nil {
		c.handshakeErr = c.fail(err)
		return c.handshakeErr
	}
	c.state = ConnectionState{HandshakeComplete: true, ExtendedMasterSecret: h.ems, EncryptThenMAC: h.etm}
	c.established.Store(true)
	return nil
}

// Write sends b. It returns when the connection below has taken all of it.
func (c *Conn) Write(b []byte) (n int, err error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	c.out.Lock()
	defer c.out.Unlock()
	if c.out.err != nil {
		return 0, c.out.err
	}
	buffer := batches.Get().(*batch)
	defer batches.Put(buffer)
	for n < len(b) {
		records, next := buffer[:0], n
		for next < len(b) && batchLen-len(records) >= maxSealed {
			data := b[next:min(len(b), next+maxPlaintext)]
			records = c.out.sealer.seal(records, recordData, data)
			next += len(data)
		}
		if _, err := c.conn.Write(records); err != nil {
			c.out.err = err
			return n, err
		}
		n = next
	}
	return n, nil
}

// Read reads what has arrived, at least one byte, and as much as fits. At the end of what the peer
// sent it returns [io.EOF]; what we send after that still goes out.
func (c *Conn) Read(b []byte) (n int, err error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	c.in.Lock()
	defer c.in.Unlock()
	n = copy(b, c.in.plain)
	c.keep(c.in.plain[n:])
	for n < len(b) && (n == 0 || c.in.err == nil && c.input.whole()) {
		m, err := c.readData(b[n:])
		if n += m; n == 0 && err != nil {
			return 0, err
		}
	}
	return n, nil
}

// readData takes one record. It puts the data into b, and keeps what does not fit; there may be none.
func (c *Conn) readData(b []byte) (int, error) {
	if c.in.err != nil {
		return 0, c.in.err
	}
	typ, data, err := c.readRecord(b)
	if err == nil && (typ != recordData || len(data) == 0) {
		err, data = c.receivedOther(typ, data), nil
	}
	switch {
	case err != nil:
		return 0, c.readFailed(err)
	case len(data) == 0:
		return 0, nil
	}
	c.in.useless = 0
	if &data[0] == &b[0] {
		return len(data), nil
	}
	n := copy(b, data)
	c.keep(data[n:])
	return n, nil
}

// keep remembers data for the next Read. No data must not keep the buffer that they were in.
func (c *Conn) keep(data []byte) {
	if len(data) == 0 {
		data = nil
	}
	c.in.plain = data
}

// readFailed returns what the reader is told. Only a deadline is not the end.
func (c *Conn) readFailed(err error) error {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return err
	case err == errCloseNotify:
		err = io.EOF
	case errors.Is(err, io.EOF):
		err = errCut
	}
	return c.fail(err)
}

var (
	errCloseNotify = errors.New("close_notify")
	errCut         = fmt.Errorf("anontls: the connection ended without close_notify: %w", io.ErrUnexpectedEOF)
)

// readRecord reads the next record, and opens it into dst, if that is large enough, otherwise in the
// buffer of input.
func (c *Conn) readRecord(dst []byte) (recordType, []byte, error) {
	for len(c.input.pending()) < headerLen {
		if err := c.input.fill(); err != nil {
			if p := c.input.pending(); len(p) > 0 && !c.in.negotiated && p[0] != byte(recordHandshake) && p[0] != byte(recordAlert) {
				err = c.stranger()
			}
			return 0, nil, err
		}
	}
	p := c.input.pending()
	typ, version, n := recordType(p[0]), binary.BigEndian.Uint16(p[1:]), int(binary.BigEndian.Uint16(p[3:]))
	limit := maxPlaintext
	if c.in.opener != nil {
		limit = maxCiphertext
	}
	switch {
	case !c.in.negotiated && (typ != recordHandshake && typ != recordAlert || version>>8 != 3):
		return 0, nil, c.stranger()
	case c.in.negotiated && version != versionTLS12:
		return 0, nil, refuse(alertProtocolVersion, "record of version %#04x: %w", version, ErrVersion)
	case n > limit:
		return 0, nil, refuse(alertRecordOverflow, "record of %d bytes; %d are allowed", n, limit)
	}
	for !c.input.whole() {
		if err := c.input.fill(); err != nil {
			return 0, nil, err
		}
	}
	record := c.input.take(headerLen + n)
	data := record[headerLen:]
	if c.in.opener != nil {
		var err error
		if data, err = c.in.opener.open(dst, record); err != nil {
			return 0, nil, err
		}
	}
	switch {
	case len(data) == 0 && typ != recordData:
		return 0, nil, refuse(alertUnexpectedMessage, "empty record of type %d", typ)
	case len(c.in.hand) > 0 && typ != recordHandshake && typ != recordAlert:
		return 0, nil, refuse(alertUnexpectedMessage, "record of type %d within a message of the handshake", typ)
	}
	return typ, data, nil
}

// receivedOther takes a record that is not data, or is empty, once the connection is established.
func (c *Conn) receivedOther(typ recordType, body []byte) error {
	if err := c.countUseless(); err != nil { // a message of the handshake counts twice
		return err
	}
	switch typ {
	case recordAlert:
		return c.receivedAlert(body)
	case recordHandshake:
		return c.receivedLate(body)
	case recordData:
		return nil
	}
	return refuse(alertUnexpectedMessage, "unexpected record of type %d", typ)
}

func (c *Conn) countUseless() error {
	if c.in.useless++; c.in.useless > maxUseless {
		return refuse(alertUnexpectedMessage, "%w", ErrFlood)
	}
	return nil
}

// fail ends the reading half with err, which it returns, and if there is an alert to send, sends it and ends the
// writing half. The caller holds c.in.
func (c *Conn) fail(err error) error {
	c.in.err = err
	c.in.hand = nil
	c.input.release()
	var alert *AlertError
	if errors.As(err, &alert) && !alert.Received {
		c.conn.SetWriteDeadline(time.Now().Add(alertTimeout)) // for who holds c.out, too
		c.out.Lock()
		defer c.out.Unlock()
		if c.out.err == nil {
			c.sendAlert(levelFatal, alert.Code)
			c.out.err = err
		}
	}
	return err
}

// CloseWrite tells the peer that no more data follow. Reading can go on. The connection below stays
// as it is.
func (c *Conn) CloseWrite() error {
	if !c.established.Load() {
		return errNotEstablished
	}
	c.out.Lock()
	defer c.out.Unlock()
	if c.out.err != nil {
		if c.out.err == errWriteClosed {
			return nil
		}
		return c.out.err
	}
	c.out.err = errWriteClosed
	if err := c.sendAlert(levelWarning, alertCloseNotify); err != nil {
		c.out.err = err
		return err
	}
	return nil
}

// Close takes leave of the peer, if nobody is writing and the peer takes it within a second, and
// closes the connection below, which ends every Read, Write and handshake that is under way.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	if c.established.Load() && c.out.TryLock() {
		if c.out.err == nil {
			c.conn.SetWriteDeadline(time.Now().Add(alertTimeout))
			c.sendAlert(levelWarning, alertCloseNotify) // if that fails, the peer is gone
		}
		c.out.err = net.ErrClosed
		c.out.Unlock()
	}
	return c.conn.Close()
}
