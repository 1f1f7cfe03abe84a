package anontls

import (
	"errors"
	"fmt"
	"time"
)

// An Alert is the reason for the end of a connection, as it is on the wire (RFC 5246 section 7.2).
type Alert uint8

const (
	alertCloseNotify          Alert = 0
	alertUnexpectedMessage    Alert = 10
	alertBadRecordMAC         Alert = 20
	alertRecordOverflow       Alert = 22
	alertHandshakeFailure     Alert = 40
	alertIllegalParameter     Alert = 47
	alertDecodeError          Alert = 50
	alertDecryptError         Alert = 51
	alertProtocolVersion      Alert = 70
	alertInsufficientSecurity Alert = 71
	alertNoRenegotiation      Alert = 100
	alertUnsupportedExtension Alert = 110
)

const (
	levelWarning = 1
	levelFatal   = 2
)

var alertNames = map[Alert]string{
	alertCloseNotify:          "close_notify",
	alertUnexpectedMessage:    "unexpected_message",
	alertBadRecordMAC:         "bad_record_mac",
	alertRecordOverflow:       "record_overflow",
	30:                        "decompression_failure",
	alertHandshakeFailure:     "handshake_failure",
	42:                        "bad_certificate",
	43:                        "unsupported_certificate",
	44:                        "certificate_revoked",
	45:                        "certificate_expired",
	46:                        "certificate_unknown",
	alertIllegalParameter:     "illegal_parameter",
	48:                        "unknown_ca",
	49:                        "access_denied",
	alertDecodeError:          "decode_error",
	alertDecryptError:         "decrypt_error",
	alertProtocolVersion:      "protocol_version",
	alertInsufficientSecurity: "insufficient_security",
	80:                        "internal_error",
	86:                        "inappropriate_fallback",
	90:                        "user_canceled",
	alertNoRenegotiation:      "no_renegotiation",
	109:                       "missing_extension",
	alertUnsupportedExtension: "unsupported_extension",
	112:                       "unrecognized_name",
	116:                       "certificate_required",
	120:                       "no_application_protocol",
}

// String returns the number and, if it has one, the name: "40 (handshake_failure)".
func (a Alert) String() string {
	if name := alertNames[a]; name != "" {
		return fmt.Sprintf("%d (%s)", uint8(a), name)
	}
	return fmt.Sprint(uint8(a))
}

// alertTimeout is how long the last alert of a connection may take: the peer may not be reading.
const alertTimeout = time.Second

var (
	// ErrNoAnonymous says that the two ends have no anonymous cipher suite in common.
	ErrNoAnonymous = errors.New("no anonymous cipher suite in common: the peer expects certificates, or its anonymous suites are disabled")
	// ErrVersion says that the two ends have no version of TLS in common.
	ErrVersion = errors.New("this side speaks TLS 1.2 only")
	// ErrFlood says that the peer sent one record after another that carries nothing.
	ErrFlood = errors.New("too many records without data")

	errNotEstablished = errors.New("anontls: the handshake is not complete")
	errWriteClosed    = errors.New("anontls: write after CloseWrite")
)

// An AlertError says that an alert ended the connection. The alert was received from the peer, or it
// was sent to the peer because of Err.
type AlertError struct {
	Code     Alert
	Received bool
	Err      error // what was wrong; for a received alert the likely cause, or nil
}

func (e *AlertError) Error() string {
	switch {
	case !e.Received:
		return fmt.Sprintf("anontls: %v; sent alert %v", e.Err, e.Code)
	case e.Err != nil:
		return fmt.Sprintf("anontls: the peer sent alert %v: %v", e.Code, e.Err)
	}
	return fmt.Sprintf("anontls: the peer sent alert %v", e.Code)
}

func (e *AlertError) Unwrap() error { return e.Err }

// refuse makes the error for which [Conn.fail] sends the alert.
func refuse(code Alert, format string, args ...any) error {
	return &AlertError{Code: code, Err: fmt.Errorf(format, args...)}
}

// receivedAlert takes the body of a record of alerts. It returns nil for a warning, io.EOF for
// close_notify.
func (c *Conn) receivedAlert(body []byte) error {
	if len(body) != 2 || body[0] != levelWarning && body[0] != levelFatal {
		return refuse(alertDecodeError, "alert of %d bytes %x", len(body), body[:min(len(body), 2)])
	}
	code := Alert(body[1])
	switch {
	case code == alertCloseNotify:
		return errCloseNotify
	case body[0] == levelWarning:
		return nil
	}
	err := &AlertError{Code: code, Received: true}
	if !c.established.Load() {
		switch code {
		case alertHandshakeFailure, alertInsufficientSecurity:
			err.Err = ErrNoAnonymous
		case alertProtocolVersion:
			err.Err = ErrVersion
		}
	}
	return err
}

// sendAlert sends an alert. The caller holds c.out.
func (c *Conn) sendAlert(level byte, code Alert) error {
	_, err := c.conn.Write(c.out.appendRecord(nil, recordAlert, []byte{level, byte(code)}))
	return err
}
