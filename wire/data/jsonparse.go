package data

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// ErrJSON says that a text is no value or message in Broker's JSON. A [SyntaxError] says where.
var ErrJSON = errors.New("invalid JSON")

// JSONDialect says how much a JSON parser takes.
type JSONDialect uint8

const (
	// StrictJSON takes what Broker's newest server takes from clients.
	StrictJSON JSONDialect = iota
	// AnyJSON takes what any Broker since 2.3 writes, too: reals without a fraction, durations with a
	// fraction.
	AnyJSON
)

// ParseJSON parses a value, which must use up b.
func ParseJSON(b []byte, dialect JSONDialect) (Value, error) {
	p := newJSONParser(b, dialect)
	defer p.release()
	v := p.value(0)
	p.end()
	if p.err != nil {
		return Value{}, p.err
	}
	return v, nil
}

// ParseJSONMessage parses a data message and returns its topic and value. Members that are not part
// of a data message are ignored.
func ParseJSONMessage(b []byte, dialect JSONDialect) (topic string, v Value, err error) {
	p := newJSONParser(b, dialect)
	defer p.release()
	m := p.members(0)
	p.end()
	if p.err != nil {
		return "", Value{}, p.err
	}
	if string(m.messageType) != "data-message" {
		return "", Value{}, fmt.Errorf(`%w: "type" is %q, want "data-message"`, ErrJSON, m.messageType)
	}
	if !m.hasTopic {
		return "", Value{}, fmt.Errorf(`%w: no "topic"`, ErrJSON)
	}
	return m.topic, m.v, nil
}

// How a parser takes memory for what it returns: in pieces that the length of the text bounds.
const (
	slabValues = 128  // values in one piece, if not more are needed at once
	slabChars  = 4096 // bytes of strings in one piece
	leastText  = 30   // bytes of text that any value takes: {"@data-type":"set","data":[]}
	keepOpen   = 1024 // values that a parser may hold which is used again
)

// A jsonParser parses in one pass over the text. After the first error it is at the end.
type jsonParser struct {
	b   []byte
	at  int
	any bool
	err error

	skipped int // bytes that were gone over before their type was known

	open  []Value // what the containers hold so far whose end has not come, one behind the other
	slab  []Value // memory for what those hold whose end has come
	chars []byte  // memory for strings
}

var jsonParsers = sync.Pool{New: func() any { return new(jsonParser) }}

// maxSkips is how often the whole text may be gone over in search of types that stand behind their data:
// once for each level, of which the messages of Zeek have fewer than 20.
const maxSkips = 24

// newJSONParser returns a parser that must be released.
func newJSONParser(b []byte, dialect JSONDialect) *jsonParser {
	p := jsonParsers.Get().(*jsonParser)
	p.b, p.any, p.skipped = b, dialect == AnyJSON, 0
	return p
}

func (p *jsonParser) release() {
	clear(p.open) // as close does
	*p = jsonParser{open: p.open[:0]}
	if cap(p.open) <= keepOpen {
		jsonParsers.Put(p)
	}
}

func (p *jsonParser) fail(at int, format string, args ...any) {
	if p.err == nil {
		p.err = &SyntaxError{Offset: at, Err: fmt.Errorf("%w: %w", ErrJSON, fmt.Errorf(format, args...))}
	}
	p.at = len(p.b)
}

// next skips white space and returns the next byte, 0 at the end.
func (p *jsonParser) next() byte {
	for p.at < len(p.b) {
		switch c := p.b[p.at]; c {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return c
		}
	}
	return 0
}

func (p *jsonParser) expect(c byte) bool {
	if p.next() != c {
		p.fail(p.at, "want %q", c)
		return false
	}
	p.at++
	return true
}

// comma tells whether there is another member or element, and if not consumes what ends the list.
func (p *jsonParser) comma(end byte) bool {
	if p.next() == ',' {
		p.at++
		return true
	}
	p.expect(end)
	return false
}

func (p *jsonParser) end() {
	if p.next(); p.at < len(p.b) {
		p.fail(p.at, "text behind the value")
	}
}

// jsonMembers is what an object of interest has.
type jsonMembers struct {
	messageType []byte
	topic       string
	hasTopic    bool
	v           Value
}

// value parses {"@data-type":T,"data":V}.
func (p *jsonParser) value(depth int) Value { return p.members(depth).v }

// usual consumes what nearly all values begin with: {"@data-type":T,"data":
func (p *jsonParser) usual() (kind Kind, ok bool) {
	const before, between = `{"@data-type":"`, `","data":`
	b := p.b[p.at:]
	if len(b) < leastText || string(b[:len(before)]) != before {
		return 0, false
	}
	b = b[len(before):]
	n := bytes.IndexByte(b, '"')
	if n < 0 || len(b) < n+len(between) || string(b[n:n+len(between)]) != between {
		return 0, false
	}
	if kind, ok = kindNamed(b[:n]); ok {
		p.at += len(before) + n + len(between)
	}
	return kind, ok
}

// members parses an object with "@data-type" and "data", in either order.
func (p *jsonParser) members(depth int) (m jsonMembers) {
	p.next()
	start := p.at
	dataAt, done, more := -1, false, true
	kind, hasKind := p.usual()
	if hasKind {
		dataAt = p.at
		m.v, done = p.data(kind, depth), true
		more = p.comma('}')
	} else if p.expect('{') && p.next() == '}' {
		p.at++
		more = false
	}
	for more && p.err == nil {
		p.next()
		at := p.at
		key := p.text()
		if !p.expect(':') {
			return m
		}
		switch string(key) {
		case "@data-type":
			name := p.text()
			var ok bool
			if kind, ok = kindNamed(name); !ok || hasKind {
				p.fail(at, `"@data-type" is %q`, name)
				return m
			}
			hasKind = true
		case "data":
			if dataAt >= 0 {
				p.fail(at, `"data" twice`)
				return m
			}
			p.next()
			if dataAt = p.at; hasKind {
				m.v, done = p.data(kind, depth), true
			} else {
				p.skip(0) // until its type is known
				if p.skipped += p.at - dataAt; p.skipped > maxSkips*len(p.b) {
					p.fail(dataAt, `"data" stands before "@data-type" at too many levels`)
				}
			}
		case "type", "topic":
			if p.next() != '"' {
				p.skip(0)
			} else if text := p.text(); len(key) == len("type") {
				m.messageType = text
			} else {
				m.topic, m.hasTopic = p.keep(text), true
			}
		default:
			p.skip(0)
		}
		more = p.comma('}')
	}
	switch {
	case p.err != nil:
	case !hasKind:
		p.fail(start, `no "@data-type"`)
	case dataAt < 0:
		p.fail(start, `no "data"`)
	case !done:
		after := p.at
		p.at = dataAt
		m.v = p.data(kind, depth)
		if p.err == nil {
			p.at = after
		}
	}
	return m
}

// data parses the data of a value of the given kind.
func (p *jsonParser) data(kind Kind, depth int) Value {
	p.next()
	at := p.at
	switch kind {
	case KindNone:
		p.skip(0) // {}, and whatever else clients write
		return None()
	case KindBool:
		switch rest := p.b[p.at:]; {
		case len(rest) >= 4 && string(rest[:4]) == "true":
			p.at += 4
			return Bool(true)
		case len(rest) >= 5 && string(rest[:5]) == "false":
			p.at += 5
			return Bool(false)
		}
		p.fail(at, "want true or false")
	case KindCount:
		if n, err := strconv.ParseUint(p.number(), 10, 64); err == nil {
			return Count(n)
		}
		p.fail(at, "want a count, 0 to 2^64-1")
	case KindInt:
		if n, err := strconv.ParseInt(p.number(), 10, 64); err == nil {
			return Int(n)
		}
		p.fail(at, "want an integer, -2^63 to 2^63-1")
	case KindReal:
		return p.real(at)
	case KindSet, KindVector, KindTable:
		if depth >= MaxDepth {
			p.fail(at, "%w", ErrDepth)
			return Value{}
		}
		return p.container(kind, at, depth+1)
	case KindString:
		return String(p.str())
	case KindEnum:
		return Enum(p.str())
	default:
		text := p.str()
		if p.err != nil {
			return Value{}
		}
		v, err := parseScalar(kind, text, p.any)
		if err != nil {
			p.fail(at, "%w", err)
		}
		return v
	}
	return Value{}
}

func (p *jsonParser) real(at int) Value {
	if p.next() == '"' {
		switch p.str() {
		case "inf":
			return Real(math.Inf(1))
		case "-inf":
			return Real(math.Inf(-1))
		case "nan":
			return Real(math.NaN())
		}
		p.fail(at, `want a real, "inf", "-inf" or "nan"`)
		return Value{}
	}
	text := p.number()
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		p.fail(at, "want a real")
	case !p.any && !strings.ContainsAny(text, ".eE"):
		p.fail(at, "want a real, got %s, which is an integer; write %s.0", text, text)
	}
	return Real(f)
}

// container parses [...], the data of a set, vector or table.
func (p *jsonParser) container(kind Kind, at, depth int) Value {
	first := len(p.open)
	for more := p.list(); more; more = p.err == nil && p.comma(']') {
		if kind == KindTable {
			p.entry(depth)
		} else {
			v := p.value(depth)
			p.open = append(p.open, v)
		}
	}
	if p.err != nil {
		return Value{}
	}
	elems := p.close(first, depth)
	v := containerOf(kind, elems)
	if len(v.slots()) < len(elems) {
		p.fail(at, "%w", ErrDuplicate)
	}
	return v
}

// close returns what a container holds whose end has come.
func (p *jsonParser) close(first, depth int) []Value {
	open := p.open[first:]
	n := len(open)
	if n > len(p.slab) {
		// What is still to come: all that is open, a value for each container that is, and what the rest
		// of the text may hold.
		more := len(p.open) + depth + (len(p.b)-p.at)/leastText
		p.slab = make([]Value, max(n, min(more, slabValues)))
	}
	elems := p.slab[:n:n]
	p.slab = p.slab[n:]
	copy(elems, open)
	clear(open)
	p.open = p.open[:first]
	return elems
}

// entry parses {"key":K,"value":V}.
func (p *jsonParser) entry(depth int) {
	var e Entry
	p.next()
	start := p.at
	if !p.expect('{') {
		return
	}
	hasKey, hasValue := false, false
	for more := true; more && p.err == nil; more = p.comma('}') {
		p.next()
		at := p.at
		key := p.text()
		if !p.expect(':') {
			return
		}
		switch {
		case string(key) == "key" && !hasKey:
			e.Key, hasKey = p.value(depth), true
		case string(key) == "value" && !hasValue:
			e.Value, hasValue = p.value(depth), true
		default:
			p.fail(at, `want "key" and "value" once each, got %q`, key)
		}
	}
	if p.err == nil && (!hasKey || !hasValue) {
		p.fail(start, `want "key" and "value"`)
	}
	p.open = append(p.open, e.Key, e.Value)
}

// list consumes the beginning of [...] and tells whether there is an element; if not, the end, too.
func (p *jsonParser) list() bool {
	if !p.expect('[') {
		return false
	}
	if p.next() == ']' {
		p.at++
		return false
	}
	return true
}

// number returns the text of a number as JSON allows it, "" if there is none. It is valid as long as
// the text that is parsed.
func (p *jsonParser) number() string {
	start := p.at
	if p.at < len(p.b) && p.b[p.at] == '-' {
		p.at++
	}
	from := p.at
	if !p.digits() || p.b[from] == '0' && p.at > from+1 {
		return ""
	}
	if p.at < len(p.b) && p.b[p.at] == '.' {
		p.at++
		if !p.digits() {
			return ""
		}
	}
	if p.at < len(p.b) && (p.b[p.at] == 'e' || p.b[p.at] == 'E') {
		p.at++
		if p.at < len(p.b) && (p.b[p.at] == '+' || p.b[p.at] == '-') {
			p.at++
		}
		if !p.digits() {
			return ""
		}
	}
	return unsafe.String(&p.b[start], p.at-start)
}

// digits consumes digits, and tells whether there were any.
func (p *jsonParser) digits() bool {
	from := p.at
	for p.at < len(p.b) && p.b[p.at]-'0' <= 9 {
		p.at++
	}
	return p.at > from
}

// str parses a string. Bytes that are not UTF-8 stay as they are: Zeek's strings are bytes.
func (p *jsonParser) str() string { return p.keep(p.text()) }

// keep returns a string of its own.
func (p *jsonParser) keep(text []byte) string {
	if len(text) > cap(p.chars)-len(p.chars) {
		// Most of the text is none of a string's.
		size := min((len(p.b)-p.at)/8, slabChars)
		if len(text) > size/2 {
			return string(text)
		}
		p.chars = make([]byte, 0, size)
	}
	start := len(p.chars)
	p.chars = append(p.chars, text...)
	return unsafe.String(unsafe.SliceData(p.chars[start:]), len(text))
}

// text parses a string, which may share the memory of the text that is parsed.
func (p *jsonParser) text() []byte {
	if p.next() != '"' {
		p.fail(p.at, "want a string")
		return nil
	}
	p.at++
	start := p.at
	for i := start; i < len(p.b); i++ {
		switch c := p.b[i]; {
		case c == '"':
			p.at = i + 1
			return p.b[start:i:i]
		case c == '\\':
			return p.escaped(start, i)
		case c < 0x20:
			p.fail(i, "control character in a string")
			return nil
		}
	}
	p.fail(start-1, "string does not end")
	return nil
}

// escaped parses the rest of a string from the first escape on.
func (p *jsonParser) escaped(start, i int) []byte {
	text := append([]byte(nil), p.b[start:i]...)
	for i < len(p.b) {
		c := p.b[i]
		switch {
		case c == '"':
			p.at = i + 1
			return text
		case c < 0x20:
			p.fail(i, "control character in a string")
			return nil
		case c != '\\':
			text = append(text, c)
			i++
			continue
		}
		if i+1 >= len(p.b) {
			break
		}
		if j := strings.IndexByte(`"\/bfnrt`, p.b[i+1]); j >= 0 {
			text = append(text, "\"\\/\b\f\n\r\t"[j])
			i += 2
			continue
		}
		r, size := unicodeEscape(p.b[i:])
		if size == 0 {
			p.fail(i, "no such escape in a string")
			return nil
		}
		text = utf8.AppendRune(text, r)
		i += size
	}
	p.fail(start-1, "string does not end")
	return nil
}

// unicodeEscape reads \uXXXX, or two of them that make one character.
func unicodeEscape(b []byte) (r rune, size int) {
	one := func(b []byte) (rune, bool) {
		if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
		return rune(n), err == nil
	}
	r, ok := one(b)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		if low, ok := one(b[6:]); ok {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return both, 12
			}
		}
		return utf8.RuneError, 6
	}
	return r, 6
}

// skip skips any JSON value.
func (p *jsonParser) skip(depth int) {
	if depth > 2*MaxDepth {
		p.fail(p.at, "%w", ErrDepth)
		return
	}
	switch c := p.next(); c {
	case '"':
		p.text()
	case '[':
		for more := p.list(); more; more = p.err == nil && p.comma(']') {
			p.skip(depth + 1)
		}
	case '{':
		p.at++
		if p.next() == '}' {
			p.at++
			return
		}
		for more := true; more && p.err == nil; more = p.comma('}') {
			p.text()
			if !p.expect(':') {
				return
			}
			p.skip(depth + 1)
		}
	default:
		for _, word := range []string{"true", "false", "null"} {
			if strings.HasPrefix(string(p.b[p.at:min(p.at+5, len(p.b))]), word) {
				p.at += len(word)
				return
			}
		}
		if at := p.at; p.number() == "" {
			p.fail(at, "want a value")
		}
	}
}
