package dump

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// mostHex is how many bytes of what cannot be shown otherwise are shown in hex.
const mostHex = 64

// AppendText appends an item as a line for people, without its end:
//
//	2026-01-31T10:15:02.123456Z #1 127.0.0.1:51234 > 127.0.0.1:9999 data 64770b6b > all /topic event(1, x) [183 B]
//
// #1 is the connection, data the kind of frame; ids are cut to eight digits except where a node says
// its own. A note begins with two dashes.
func AppendText(dst []byte, it *capture.Item) []byte {
	switch {
	case !it.Time.IsZero():
		dst = append(it.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z"), ' ')
	case it.Since != 0:
		dst = append(strconv.AppendFloat(dst, it.Since.Round(time.Microsecond).Seconds(), 'f', 6, 64), ' ')
	case it.Where != "":
		dst = append(append(dst, it.Where...), ": "...)
	}
	if it.Conn > 0 {
		dst = append(strconv.AppendInt(append(dst, '#'), int64(it.Conn), 10), ' ')
	}
	if it.From.Name != "" {
		dst = append(data.AppendPrintable(dst, it.From.String()), " > "...)
		dst = append(data.AppendPrintable(dst, it.To.String()), ' ')
	}
	if it.Frame == nil {
		dst = data.AppendPrintable(append(dst, "-- "...), it.Note)
		if it.Damage && it.Where != "" && (!it.Time.IsZero() || it.Since != 0) {
			dst = append(append(append(dst, " ("...), it.Where...), ')')
		}
		return dst
	}
	dst = appendFrame(dst, it.Frame)
	if it.Lost {
		dst = append(dst, " [never arrived]"...)
	}
	return dst
}

// appendFrame appends the kind of a frame and what it says.
func appendFrame(dst []byte, f *capture.Frame) []byte {
	dst = append(dst, f.Kind()...)
	switch {
	case f.Handshake != nil:
		return appendHandshake(dst, f.Handshake)
	case f.Err != nil && len(f.Body) == 0:
		return dst
	case f.Err != nil:
		dst = data.AppendPrintable(append(dst, ": "...), f.Err.Error())
		return appendSize(appendHex(append(dst, "; "...), f.Body), f)
	}
	e := &f.Envelope
	dst = append(append(dst, ' '), capture.ShortID(e.Sender)...)
	if e.Receiver.IsZero() {
		dst = append(dst, " > all "...)
	} else {
		dst = append(append(append(dst, " > "...), capture.ShortID(e.Receiver)...), ' ')
	}
	if topic := string(e.Topic); topic != wire.ControlTopic || e.Type <= wire.TypeCommand {
		dst = append(data.AppendPrintable(dst, topic), ' ')
	}
	if e.TTL != wire.DefaultTTL {
		dst = fmt.Appendf(dst, "ttl %d ", e.TTL)
	}
	var err error
	switch e.Type {
	case wire.TypeData:
		dst, err = appendPayload(dst, e.Payload)
	case wire.TypeCommand:
		dst, err = appendCommand(dst, e.Payload)
	case wire.TypeRoutingUpdate:
		var filter []string
		if filter, err = wire.ParseFilter(e.Payload); err == nil {
			dst = appendFilter(dst, filter)
		}
	case wire.TypePing, wire.TypePong:
		if wire.IsBye(e.Payload) {
			dst = append(append(dst, "BYE "...), hex.EncodeToString(e.Payload[3:])...)
			break
		}
		dst = appendHex(dst, e.Payload)
	default:
		dst = appendHex(dst, e.Payload)
	}
	if err != nil {
		dst = data.AppendPrintable(append(dst, "invalid: "...), err.Error())
		dst = appendHex(append(dst, "; "...), e.Payload)
	}
	return appendSize(dst, f)
}

func appendSize(dst []byte, f *capture.Frame) []byte {
	return fmt.Appendf(dst, " [%d B]", len(f.Body)+wire.FrameHeaderLen)
}

func appendHandshake(dst []byte, msg wire.Handshake) []byte {
	switch m := msg.(type) {
	case wire.Hello:
		return fmt.Appendf(dst, " %v, versions %d to %d", m.Sender, m.Min, m.Max)
	case wire.VersionSelect:
		return fmt.Appendf(dst, " %v, version %d", m.Sender, m.Version)
	case wire.DropConn:
		dst = fmt.Appendf(dst, " %v, code %d %v: ", m.Sender, uint8(m.Code), m.Code)
		return data.AppendPrintable(dst, m.Description)
	case wire.OriginatorSyn:
		return appendFilter(append(dst, ' '), m.Filter)
	case wire.ResponderSynAck:
		return appendFilter(append(dst, ' '), m.Filter)
	}
	return dst
}

func appendFilter(dst []byte, filter []string) []byte {
	dst = append(dst, '[')
	for i, topic := range filter {
		dst = data.AppendPrintable(comma(dst, i), topic)
	}
	return append(dst, ']')
}

// appendHex appends bytes in hex, not too many of them.
func appendHex(dst, b []byte) []byte {
	if len(b) == 0 {
		return append(dst, "empty"...)
	}
	dst = hex.AppendEncode(append(dst, "0x"...), b[:min(len(b), mostHex)])
	if len(b) > mostHex {
		dst = fmt.Appendf(dst, "... (%d bytes)", len(b))
	}
	return dst
}
