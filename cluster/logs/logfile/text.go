package logfile

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A dialect says how the values of a TSV file are written.
type dialect struct{ separator, setSeparator, empty, unset []byte }

func defaultDialect() dialect {
	return dialect{[]byte("\t"), []byte(","), []byte("(empty)"), []byte("-")}
}

// pack appends the value of a column.
func (d *dialect) pack(dst []byte, f *zeek.Field, text []byte) (_ []byte, err error) {
	t := zeek.LogType(f.Type)
	if bytes.Equal(text, d.unset) {
		return zeek.AppendUnset(dst, t), nil
	}
	if !t.Container() {
		return d.atom(dst, t, text)
	}
	if bytes.Equal(text, d.empty) {
		return zeek.AppendLogContainer(dst, t, 0), nil
	}
	elems := bytes.Split(text, d.setSeparator)
	dst = zeek.AppendLogContainer(dst, t, len(elems))
	for _, elem := range elems {
		if sub := zeek.LogType(f.Subtype); bytes.Equal(elem, d.unset) {
			dst = zeek.AppendUnset(dst, sub)
		} else if dst, err = d.atom(dst, sub, elem); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// atom appends a value that holds no others.
func (d *dialect) atom(dst []byte, t zeek.LogType, text []byte) ([]byte, error) {
	if !t.Text() {
		return packWord(dst, t, string(text))
	}
	if bytes.Equal(text, d.empty) {
		text = nil
	}
	return zeek.AppendLogText(dst, t, unescape(text)), nil
}

// packWord appends the value of a type that is no text.
func packWord(dst []byte, t zeek.LogType, word string) ([]byte, error) {
	switch t {
	case zeek.LogBool:
		if word == "T" || word == "F" {
			return zeek.AppendLogBool(dst, word == "T"), nil
		}
	case zeek.LogInt:
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			return zeek.AppendLogInt(dst, n), nil
		}
	case zeek.LogCount:
		if n, err := strconv.ParseUint(word, 10, 64); err == nil {
			return zeek.AppendLogCount(dst, n), nil
		}
	case zeek.LogDouble, zeek.LogTime, zeek.LogInterval:
		if f, err := strconv.ParseFloat(word, 64); err == nil {
			return zeek.AppendLogFloat(dst, t, f), nil
		}
	case zeek.LogPort:
		if p, ok := parsePort(word); ok {
			return zeek.AppendLogPort(dst, p.Number, p.Proto), nil
		}
	case zeek.LogAddr:
		if a, err := netip.ParseAddr(word); err == nil && a.Zone() == "" {
			return zeek.AppendLogAddr(dst, a), nil
		}
	case zeek.LogSubnet:
		if p, err := netip.ParsePrefix(word); err == nil {
			return zeek.AppendLogSubnet(dst, p), nil
		}
	}
	return dst, fmt.Errorf("%.100q is no %v", word, t)
}

// parsePort parses a port with its protocol, as 53/udp, or without, as logs have it.
func parsePort(word string) (p data.TransportPort, ok bool) {
	number, proto, _ := strings.Cut(word, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	switch proto {
	case "":
		ok = len(number) == len(word)
	case "tcp":
		p.Proto, ok = data.ProtoTCP, true
	case "udp":
		p.Proto, ok = data.ProtoUDP, true
	case "icmp":
		p.Proto, ok = data.ProtoICMP, true
	}
	p.Number = uint16(n)
	return p, ok && err == nil
}

// unescape undoes \xhh and \\. A backslash before anything else stands for itself, as in the logs of old
// versions of Zeek.
func unescape(text []byte) []byte {
	at := bytes.IndexByte(text, '\\')
	if at < 0 {
		return text
	}
	out := bytes.Clone(text[:at])
	for at < len(text) {
		rest := text[at:]
		if len(rest) >= 4 && rest[0] == '\\' && rest[1] == 'x' {
			if b, err := strconv.ParseUint(string(rest[2:4]), 16, 8); err == nil {
				out = append(out, byte(b))
				at += 4
				continue
			}
		}
		if len(rest) >= 2 && rest[0] == '\\' && rest[1] == '\\' {
			at++
		}
		out = append(out, text[at])
		at++
	}
	return out
}
