package logfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// maxNesting bounds objects within objects.
const maxNesting = 16

// A member is one member of a JSON object. Those of an object within it have its name and a dot before
// theirs.
type member struct {
	name  string
	value json.RawMessage
}

// parseObject returns the members of an object in their order.
func parseObject(text []byte) (members []member, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if members, err = appendMembers(nil, d, "", maxNesting); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the object")
	}
	return members, nil
}

func appendMembers(members []member, d *json.Decoder, prefix string, depth int) ([]member, error) {
	start, err := d.Token()
	if err == nil && start != json.Delim('{') {
		err = errors.New("want a JSON object")
	}
	for err == nil && d.More() {
		var key json.Token
		var value json.RawMessage
		if key, err = d.Token(); err != nil {
			break
		}
		if err = d.Decode(&value); err != nil {
			break
		}
		name := prefix + key.(string)
		switch {
		case value[0] != '{':
			members = append(members, member{name, value})
		case depth == 0:
			err = fmt.Errorf("objects are nested more than %d deep", maxNesting)
		default:
			members, err = appendMembers(members, json.NewDecoder(bytes.NewReader(value)), name+".", depth-1)
		}
	}
	if err == nil {
		_, err = d.Token() // the end of the object
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("no JSON object: %w", err)
	}
	return members, nil
}

// AppendJSONRow appends a packed record with the columns of fields, from a JSON object whose members are
// named like them. What is absent or null is unset, which only optional columns may be.
//
// A time is a number of seconds since 1970, or text such as "2026-01-31T23:59:59Z"; an interval is a number
// of seconds, or text such as "1.5s"; a port is a number, or text such as "53/udp".
func AppendJSONRow(dst []byte, fields []zeek.Field, text []byte) ([]byte, error) {
	members, err := parseObject(text)
	if err != nil {
		return dst, err
	}
	values := make(map[string]json.RawMessage, len(members))
	for _, m := range members {
		values[m.name] = m.value
	}
	out := zeek.AppendRecord(dst, len(fields))
	for i := range fields {
		f := &fields[i]
		value, ok := values[f.Name]
		if delete(values, f.Name); !ok || isNull(value) {
			if !f.Optional {
				return dst, fmt.Errorf("column %s: unset, and it is not optional", f.Name)
			}
			out = zeek.AppendUnset(out, zeek.LogType(f.Type))
			continue
		}
		if out, err = packJSON(out, f, value); err != nil {
			return dst, fmt.Errorf("column %s: %w", f.Name, err)
		}
	}
	for _, m := range members {
		if _, ok := values[m.name]; ok {
			return dst, fmt.Errorf("there is no column %s", m.name)
		}
	}
	return out, nil
}

func isNull(value json.RawMessage) bool { return string(value) == "null" }

// packJSON appends the value of a column.
func packJSON(dst []byte, f *zeek.Field, value json.RawMessage) (_ []byte, err error) {
	t := zeek.LogType(f.Type)
	if isNull(value) {
		return zeek.AppendUnset(dst, t), nil
	}
	if !t.Container() {
		return packJSONAtom(dst, t, value)
	}
	var elems []json.RawMessage
	if err := json.Unmarshal(value, &elems); err != nil {
		return dst, fmt.Errorf("%.100s is no array", value)
	}
	dst = zeek.AppendLogContainer(dst, t, len(elems))
	for i, elem := range elems {
		if sub := zeek.LogType(f.Subtype); isNull(elem) {
			dst = zeek.AppendUnset(dst, sub)
		} else if dst, err = packJSONAtom(dst, sub, elem); err != nil {
			return dst, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return dst, nil
}

func packJSONAtom(dst []byte, t zeek.LogType, value json.RawMessage) ([]byte, error) {
	word, isText := string(value), value[0] == '"'
	if isText {
		if err := json.Unmarshal(value, &word); err != nil {
			return dst, err
		}
	}
	refused := func() ([]byte, error) { return dst, fmt.Errorf("%.100s is no %v", value, t) }
	if t.Text() && isText {
		return zeek.AppendLogText(dst, t, word), nil
	}
	switch t {
	case zeek.LogBool:
		if !isText && (word == "true" || word == "false") {
			return zeek.AppendLogBool(dst, word == "true"), nil
		}
	case zeek.LogTime:
		if isText {
			at, err := time.Parse(time.RFC3339Nano, word)
			if err != nil {
				return refused()
			}
			return zeek.AppendLogTime(dst, at), nil
		}
		return packWord(dst, t, word)
	case zeek.LogInterval:
		if isText {
			d, err := time.ParseDuration(word)
			if err != nil {
				return refused()
			}
			return zeek.AppendLogInterval(dst, d), nil
		}
		return packWord(dst, t, word)
	case zeek.LogInt, zeek.LogCount, zeek.LogDouble:
		if !isText {
			return packWord(dst, t, word)
		}
	case zeek.LogPort:
		return packWord(dst, t, word)
	case zeek.LogAddr, zeek.LogSubnet:
		if isText {
			return packWord(dst, t, strings.TrimSpace(word))
		}
	}
	return refused()
}
