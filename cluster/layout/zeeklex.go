package layout

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A kind of token, and of value.
type kind uint8

const (
	kEnd       kind = iota // of the file
	kName                  // a name: of a type, a variable, a function, a member of an enumeration
	kString                //
	kAddr                  //
	kPort                  //
	kNumber                //
	kInterval              //
	kDirective             // @name at the beginning of a line
	kSign                  // one of signs, or any other character
	kBool                  // a value only, as what follows
	kTable                 //
	kRecord                //
	kUnknown               // that only Zeek could tell
)

var kindNames = [...]string{"the end of the file", "a name", "a string", "an address", "a port", "a number", "an interval", "a directive", "a sign", "T or F", "a table", "a record", "something unknown"}

// A token is a word of a script.
type token struct {
	kind   kind
	text   string // as written; of a string what it says; of a name without @
	at     place
	addr   netip.Addr
	port   Port
	number float64
	span   time.Duration
	fault  string // what is wrong with it, for the error
	maybe  bool   // within an @if that cannot be decided
}

// is reports whether the token is that sign.
func (t *token) is(sign string) bool { return t.kind == kSign && t.text == sign }

// isName reports whether the token is that name.
func (t *token) isName(name string) bool { return t.kind == kName && t.text == name }

// String describes the token for an error.
func (t *token) String() string {
	switch t.kind {
	case kEnd:
		if t.text != "" {
			return t.text
		}
		return kindNames[kEnd]
	case kString:
		return "the string " + quoted(t.text)
	case kDirective:
		return "@" + t.text
	}
	return quoted(t.text)
}

// A lexer splits a script into tokens.
type lexer struct {
	src       []byte
	pos       int
	at        place // of pos
	lineStart bool  // nothing but blanks since the line began
}

func newLexer(src []byte) lexer {
	return lexer{src: bytes.TrimPrefix(src, []byte("\ufeff")), at: place{1, 1}, lineStart: true}
}

// skip goes on by n bytes.
func (x *lexer) skip(n int) {
	for _, c := range x.src[x.pos : x.pos+n] {
		switch {
		case c == '\n':
			x.at.line, x.at.column = x.at.line+1, 1
		case utf8.RuneStart(c):
			x.at.column++
		}
	}
	x.pos += n
}

// span returns how many bytes at pos+from satisfy in.
func (x *lexer) span(from int, in func(byte) bool) int {
	n := 0
	for x.pos+from+n < len(x.src) && in(x.src[x.pos+from+n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isBlank(c byte) bool  { return c == ' ' || c == '\t' || c == '\r' || c == '\f' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) }
func inLine(c byte) bool   { return c != '\n' }

// blanks skips blanks and comments.
func (x *lexer) blanks() {
	for x.pos < len(x.src) {
		switch c := x.src[x.pos]; {
		case c == '\n':
			x.skip(1)
			x.lineStart = true
		case isBlank(c):
			x.skip(1)
		case c == '#':
			x.restOfLine()
		default:
			return
		}
	}
}

// restOfLine skips what is left of the line, but not its end.
func (x *lexer) restOfLine() { x.skip(x.span(0, inLine)) }

// signs are those of more than one character.
var signs = []string{"+=", "-=", "==", "!=", "<=", ">=", "&&", "||", "?$"}

// next returns the next token.
func (x *lexer) next() token {
	x.blanks()
	t := token{at: x.at}
	first := x.lineStart
	x.lineStart = false
	if x.pos == len(x.src) {
		return t
	}
	n := 1
	switch c := x.src[x.pos]; {
	case c == '@' && first && x.span(1, isLetter) > 0:
		n += x.span(1, func(c byte) bool { return isWord(c) || c == '-' })
		t.kind, t.text = kDirective, string(x.src[x.pos+1:x.pos+n])
		x.skip(n)
		return t
	case isLetter(c):
		t.kind, n = kName, x.name()
	case isDigit(c):
		n = x.digits(&t)
	case c == '"':
		n = x.quoted(&t)
		x.skip(n)
		return t
	case c == '[':
		t.kind = kSign
		if length := x.bracketed(&t); length > 0 {
			n = length
		}
	default:
		t.kind = kSign
		for _, s := range signs {
			if bytes.HasPrefix(x.src[x.pos:], []byte(s)) {
				n = len(s)
			}
		}
		if c >= utf8.RuneSelf {
			_, n = utf8.DecodeRune(x.src[x.pos:])
		}
	}
	t.text = string(x.src[x.pos : x.pos+n])
	x.skip(n)
	return t
}

// name returns the length of the name at pos.
func (x *lexer) name() int {
	n := x.span(0, isWord)
	for bytes.HasPrefix(x.src[x.pos+n:], []byte("::")) {
		more := x.span(n+2, isWord)
		if more == 0 {
			break
		}
		n += 2 + more
	}
	return n
}

// digits reads what begins with a digit: an address, a port, a number or an interval. It returns the length.
func (x *lexer) digits(t *token) int {
	t.kind = kNumber
	n := x.span(0, func(c byte) bool { return isDigit(c) || c == '.' })
	text := string(x.src[x.pos : x.pos+n])
	if dots := strings.Count(text, "."); dots > 1 {
		t.kind = kAddr
		var err error
		if t.addr, err = netip.ParseAddr(text); err != nil {
			t.fault = "not an IPv4 address"
		}
		return n
	} else if slash := x.span(n, func(c byte) bool { return c == '/' }); dots == 0 && slash == 1 {
		if letters := x.span(n+1, isLetter); letters > 0 {
			n += 1 + letters
			text = string(x.src[x.pos : x.pos+n])
			t.kind = kPort
			var ok bool
			if t.port, ok = parsePort(text); !ok {
				t.fault = "not a port, want a number up to 65535 and /tcp, /udp, /icmp or /unknown"
			}
			return n
		}
	}
	var err error
	if t.number, err = strconv.ParseFloat(text, 64); err != nil {
		t.fault = "not a number"
	}
	blanks := x.span(n, func(c byte) bool { return c == ' ' || c == '\t' })
	letters := x.span(n+blanks, isWord)
	unit, ok := units[strings.TrimSuffix(string(x.src[x.pos+n+blanks:x.pos+n+blanks+letters]), "s")]
	if ok {
		n += blanks + letters
		t.kind = kInterval
		if t.span, ok = interval(t.number, unit); !ok {
			t.fault = "too long an interval"
		}
	}
	return n
}

// quoted reads a string and returns its length.
func (x *lexer) quoted(t *token) int {
	t.kind = kString
	var b []byte
	rest := x.src[x.pos+1:]
	for i := 0; i < len(rest) && rest[i] != '\n'; i++ {
		switch c := rest[i]; {
		case c == '"':
			t.text = string(b)
			return i + 2
		case c == '\\' && i+1 < len(rest) && rest[i+1] != '\n':
			char, n := unescape(rest[i+1:])
			b = append(b, char)
			i += n
		default:
			b = append(b, c)
		}
	}
	// Where all is skipped, it may be a part of a pattern: what follows counts.
	t.kind, t.text, t.fault = kSign, `"`, "the beginning of a string that is not closed within its line"
	return 1
}

// unescape returns the character that stands behind a backslash, and how many bytes name it.
func unescape(s []byte) (char byte, n int) {
	digits := func(from, most int, base uint64) (byte, int) {
		n := from
		var v uint64
		for n < len(s) && n < from+most {
			d, err := strconv.ParseUint(string(s[n:n+1]), int(base), 8)
			if err != nil {
				break
			}
			v = v*base + d
			n++
		}
		return byte(v), n
	}
	switch s[0] {
	case 'n':
		return '\n', 1
	case 't':
		return '\t', 1
	case 'r':
		return '\r', 1
	case 'a', 'b', 'f', 'v':
		return map[byte]byte{'a': '\a', 'b': '\b', 'f': '\f', 'v': '\v'}[s[0]], 1
	case 'x':
		if v, n := digits(1, 2, 16); n > 1 {
			return v, n
		}
	case '0', '1', '2', '3', '4', '5', '6', '7':
		return digits(0, 3, 8)
	}
	return s[0], 1
}

// bracketed reads an IPv6 address in brackets, if there is one, and returns its length.
func (x *lexer) bracketed(t *token) int {
	const longest = 80 // of an address with a zone
	text := x.src[x.pos+1 : min(x.pos+1+longest, len(x.src))]
	end := bytes.IndexByte(text, ']')
	if end < 0 {
		return 0
	}
	addr, _, zoned := strings.Cut(string(text[:end]), "%")
	if strings.Count(addr, ":") < 2 || strings.Trim(addr, "0123456789abcdefABCDEF:.") != "" {
		return 0
	}
	t.kind = kAddr
	a, err := netip.ParseAddr(addr)
	switch t.addr = a.Unmap(); {
	case err != nil:
		t.fault = "not an IPv6 address"
	case zoned:
		t.fault = "a zone within an address, want it as $zone_id"
	}
	return end + 2
}

// skipBranch skips the lines of an @if up to the directive that ends its branch, and returns it: else, endif, or ""
// at the end of the file.
func (x *lexer) skipBranch() string {
	for depth := 0; ; {
		x.restOfLine()
		if x.pos == len(x.src) {
			return ""
		}
		x.skip(1)
		x.skip(x.span(0, isBlank))
		if x.pos == len(x.src) || x.src[x.pos] != '@' {
			continue
		}
		word := string(x.src[x.pos+1 : x.pos+1+x.span(1, isWord)])
		switch {
		case strings.HasPrefix(word, "if"):
			depth++
		case word == "endif" && depth > 0:
			depth--
		case depth == 0 && (word == "else" || word == "endif"):
			x.skip(1 + len(word))
			return word
		}
	}
}
