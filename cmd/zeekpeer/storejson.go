package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// What stands before and behind the text of a string in Broker's JSON.
const (
	stringBefore = `{"@data-type":"string","data":`
	stringBehind = `}`
)

// binaryMember is the one member of an object that stands for a value of which JSON has no exact form,
// such as a string that is not UTF-8: its binary encoding in base64.
const binaryMember = "@binary"

// appendJSONValue appends a value so that it reads back as it is: a string as one, others in Broker's
// JSON, or in binary.
func appendJSONValue(dst []byte, v data.Value) []byte {
	start := len(dst)
	if s, ok := v.AsString(); ok && utf8.ValidString(s) {
		dst = data.AppendJSON(dst, v)
		text := dst[start+len(stringBefore) : len(dst)-len(stringBehind)]
		return append(dst[:start], text...)
	} else if !ok {
		dst = data.AppendJSON(dst, v)
		if back, err := data.ParseJSON(dst[start:], data.AnyJSON); err == nil && bytes.Equal(data.AppendValue(nil, back), data.AppendValue(nil, v)) {
			return dst
		}
	}
	dst = append(dst[:start], `{"`+binaryMember+`":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, data.AppendValue(nil, v))
	return append(dst, `"}`...)
}

// appendJSONEntry appends {"key":...,"value":...}.
func appendJSONEntry(dst []byte, key, value data.Value) []byte {
	dst = appendJSONValue(append(dst, `{"key":`...), key)
	dst = appendJSONValue(append(dst, `,"value":`...), value)
	return append(dst, '}')
}

// parseJSONEntry parses a line that appendJSONEntry makes. An error says at which column, counted in bytes
// from 1.
func parseJSONEntry(text []byte) (key, value data.Value, err error) {
	p := entryParser{b: text}
	var seen [2]bool
	p.expect('{', `want {"key":...,"value":...}`)
	for p.next() != '}' && p.err == nil {
		if seen[0] || seen[1] {
			p.expect(',', "want a comma, or the end of the entry")
			p.next()
		}
		at, i := p.at, 0
		switch name := p.extent(); string(name) {
		case `"key"`:
		case `"value"`:
			i = 1
		default:
			p.fail(at, fmt.Errorf(`want "key" and "value", and nothing else, not %.30s`, name))
		}
		if seen[i] {
			p.fail(at, errors.New("this is there twice"))
		}
		seen[i] = true
		p.expect(':', "want a colon")
		*[]*data.Value{&key, &value}[i] = p.value()
	}
	p.expect('}', "the entry does not end")
	if p.next() != 0 {
		p.fail(p.at, errors.New("want nothing behind the entry"))
	}
	if !seen[0] || !seen[1] {
		p.fail(len(text)-1, errors.New(`want both "key" and "value"`))
	}
	return key, value, p.err
}

// An entryParser parses a line. After the first error it is at the end.
type entryParser struct {
	b   []byte
	at  int
	err error
}

func (p *entryParser) fail(at int, err error) {
	if p.err == nil {
		p.err = fmt.Errorf("column %d: %w", at+1, err)
	}
	p.at = len(p.b)
}

// next skips white space and returns the next byte, 0 at the end.
func (p *entryParser) next() byte {
	for ; p.at < len(p.b); p.at++ {
		if c := p.b[p.at]; c != ' ' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

func (p *entryParser) expect(c byte, want string) {
	if p.next() != c {
		p.fail(p.at, errors.New(want))
		return
	}
	p.at++
}

// extent consumes a string, or all between brackets, and returns it. What is inside may be anything.
func (p *entryParser) extent() []byte {
	p.next()
	start, depth, inside := p.at, 0, false
	for ; p.at < len(p.b); p.at++ {
		switch c := p.b[p.at]; {
		case c == '"':
			inside = !inside
		case inside && c == '\\':
			p.at++
			continue
		case inside:
			continue
		case c == '{' || c == '[':
			depth++
		case depth > 0 && (c == '}' || c == ']'):
			depth--
		case depth == 0:
			p.fail(start, fmt.Errorf(`want a string or {"@data-type":...,"data":...}, not %.20s`, p.b[start:]))
			return nil
		}
		if depth == 0 && !inside {
			p.at++
			return p.b[start:p.at]
		}
	}
	p.fail(len(p.b), errors.New("the line ends too early"))
	return nil
}

// value parses a key or value.
func (p *entryParser) value() data.Value {
	p.next()
	at := p.at
	raw := p.extent()
	switch {
	case p.err != nil:
		return data.Value{}
	case raw[0] == '"':
		raw = slices.Concat([]byte(stringBefore), raw, []byte(stringBehind))
		at -= len(stringBefore)
	case bytes.HasPrefix(bytes.TrimLeft(raw[1:], " \t"), []byte(`"`+binaryMember+`"`)):
		v, err := parseBinary(raw)
		if err != nil {
			p.fail(at, err)
		}
		return v
	}
	v, err := data.ParseJSON(raw, data.AnyJSON)
	if e, ok := errors.AsType[*data.SyntaxError](err); ok {
		p.fail(at+e.Offset, e.Err)
	} else if err != nil {
		p.fail(at, err)
	}
	return v
}

// parseBinary parses {"@binary":...}.
func parseBinary(raw []byte) (v data.Value, err error) {
	var members map[string][]byte // from base64
	if err = json.Unmarshal(raw, &members); err == nil {
		if len(members) != 1 {
			return v, fmt.Errorf("want nothing beside %q", binaryMember)
		}
		v, err = data.DecodeValue(members[binaryMember])
	}
	if err != nil {
		return v, fmt.Errorf("%q: %w", binaryMember, err)
	}
	return v, nil
}
