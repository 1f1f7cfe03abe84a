package logfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A Filter says which rows are wanted. See [ParseFilter].
type Filter struct {
	root  node
	log   *Log            // that the columns were found in
	cells []zeek.Cell     // of the present row
	known map[string]bool // the columns that it names: whether a log had them
}

// ParseFilter parses an expression such as
//
//	id.resp_p == 443 and not (id.orig_h in 10.0.0.0/8 or service ~ "^dns")
//
// What is compared is a column and a value, by what the column is: == != < <= > >= for all types, and
//
//	COLUMN ~ REGEXP      the text of the value matches; !~ for that it does not
//	COLUMN in SUBNET     the address, or the subnet, is within it
//	COLUMN in {A, B}     it is one of these
//	COLUMN == unset      there is no value
//
// and, or, not and parentheses join them. Values that are no plain words stand in double or single quotes.
// Times are numbers of seconds since 1970 or 2026-01-31T23:59:59Z, intervals numbers of seconds or 1.5s,
// bools T and F. Of a set or vector one element that matches is enough. What is unset equals nothing, and so
// only != and !~ hold for it.
func ParseFilter(text string) (*Filter, error) {
	p := parser{text: text}
	root, err := p.either(0)
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("%q, want and, or, or the end", p.peek())
	}
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", p.last+1, err)
	}
	return &Filter{root: root, known: p.columns}, nil
}

// Match tells whether a row is wanted. An error says that a value cannot be compared with a column.
func (f *Filter) Match(row *Row) (bool, error) {
	if f.log != row.Log {
		for name := range f.known {
			f.known[name] = f.known[name] || row.Log.Index(name) >= 0
		}
		if err := f.root.bind(row.Log); err != nil {
			return false, err
		}
		f.log = row.Log
	}
	f.cells = f.cells[:0]
	r := zeek.ReadRecord(row.Packed)
	for c, ok := r.Next(); ok; c, ok = r.Next() {
		f.cells = append(f.cells, c)
	}
	return f.root.match(f.cells), r.Err()
}

// Unknown returns the columns that no log had so far.
func (f *Filter) Unknown() (names []string) {
	for name, known := range f.known {
		if !known {
			names = append(names, name)
		}
	}
	return names
}

// A node is a part of an expression.
type node interface {
	bind(log *Log) error // finds the columns
	match(cells []zeek.Cell) bool
}

type both struct{ a, b node }

func (n both) bind(l *Log) error        { return errors.Join(n.a.bind(l), n.b.bind(l)) }
func (n both) match(c []zeek.Cell) bool { return n.a.match(c) && n.b.match(c) }

type either struct{ a, b node }

func (n either) bind(l *Log) error        { return errors.Join(n.a.bind(l), n.b.bind(l)) }
func (n either) match(c []zeek.Cell) bool { return n.a.match(c) || n.b.match(c) }

type not struct{ of node }

func (n not) bind(l *Log) error        { return n.of.bind(l) }
func (n not) match(c []zeek.Cell) bool { return !n.of.match(c) }

// A comparison compares a column with values.
type comparison struct {
	column string
	op     string
	words  []string // one, but for in {...}
	unset  bool     // with unset instead

	at   int // of the column, -1 if the log has none
	test func(c *zeek.Cell) bool
}

func (n *comparison) match(cells []zeek.Cell) bool {
	negated := n.op == "!=" || n.op == "!~"
	set := n.at >= 0 && cells[n.at].Set
	switch {
	case n.unset:
		return set == negated
	case !set:
		return negated
	}
	c := &cells[n.at]
	if !c.Type.Container() {
		return n.test(c) != negated
	}
	elems := c.Elems()
	for e, ok := elems.Next(); ok; e, ok = elems.Next() {
		if e.Set && n.test(&e) {
			return !negated
		}
	}
	return negated
}

func (n *comparison) bind(log *Log) (err error) {
	if n.at = log.Index(n.column); n.at < 0 || n.unset {
		return nil
	}
	f := log.Fields[n.at]
	t := zeek.LogType(f.Type)
	if t.Container() {
		t = zeek.LogType(f.Subtype)
	}
	var tests []func(*zeek.Cell) bool
	for _, word := range n.words {
		test, err := n.compare(t, word)
		if err != nil {
			return fmt.Errorf("column %s, of type %s: %w", n.column, f.TypeName(), err)
		}
		tests = append(tests, test)
	}
	n.test = func(c *zeek.Cell) bool {
		for _, test := range tests {
			if test(c) {
				return true
			}
		}
		return false
	}
	return nil
}

// compare returns what compares a value of a type with a word.
func (n *comparison) compare(t zeek.LogType, word string) (func(*zeek.Cell) bool, error) {
	switch n.op {
	case "~", "!~":
		re, err := regexp.Compile(word)
		if err != nil {
			return nil, err
		}
		return func(c *zeek.Cell) bool { return re.Match(textOf(c)) }, nil
	case "in":
		net, err := netip.ParsePrefix(word)
		if t == zeek.LogSubnet && err == nil {
			return func(c *zeek.Cell) bool {
				s := c.Subnet()
				return s.IsValid() && s.Bits() >= net.Bits() && net.Contains(s.Addr())
			}, nil
		}
		if err == nil && t == zeek.LogAddr {
			return func(c *zeek.Cell) bool { return net.Contains(c.Addr()) }, nil
		}
		if err == nil && t.Text() { // as JSON logs have addresses
			return func(c *zeek.Cell) bool {
				a, err := netip.ParseAddr(string(c.Text()))
				return err == nil && net.Contains(a.Unmap())
			}, nil
		}
	}
	order, err := orderFor(t, word)
	if err != nil {
		return nil, err
	}
	holds := map[string]func(int) bool{
		"==": func(o int) bool { return o == 0 }, "!=": func(o int) bool { return o == 0 }, "in": func(o int) bool { return o == 0 },
		"<": func(o int) bool { return o < 0 }, "<=": func(o int) bool { return o <= 0 },
		">": func(o int) bool { return o > 0 }, ">=": func(o int) bool { return o >= 0 },
	}[n.op]
	return func(c *zeek.Cell) bool {
		o, ok := order(c)
		return ok && holds(o)
	}, nil
}

// orderFor returns what tells whether a value is before or after a word. It is not ok for NaN.
func orderFor(t zeek.LogType, word string) (func(*zeek.Cell) (order int, ok bool), error) {
	if t.Text() {
		want := []byte(word)
		return func(c *zeek.Cell) (int, bool) { return bytes.Compare(c.Text(), want), true }, nil
	}
	switch t {
	case zeek.LogAddr:
		want, err := netip.ParseAddr(word)
		if err != nil {
			return nil, fmt.Errorf("%q is no address", word)
		}
		return func(c *zeek.Cell) (int, bool) { return c.Addr().Compare(want.Unmap()), true }, nil
	case zeek.LogSubnet:
		want, err := netip.ParsePrefix(word)
		if err != nil {
			return nil, fmt.Errorf("%q is no subnet", word)
		}
		return func(c *zeek.Cell) (int, bool) { return c.Subnet().Compare(want), true }, nil
	case zeek.LogBool:
		if word != "T" && word != "F" {
			return nil, fmt.Errorf("%q is neither T nor F", word)
		}
		want := word == "T"
		return func(c *zeek.Cell) (int, bool) {
			switch {
			case c.Bool() == want:
				return 0, true
			case want:
				return -1, true
			}
			return 1, true
		}, nil
	}
	// Whole numbers are compared exactly, which floating point is not from 2^53 on.
	if n, err := strconv.ParseInt(word, 10, 64); err == nil && t == zeek.LogInt {
		return func(c *zeek.Cell) (int, bool) { return cmp.Compare(c.Int(), n), true }, nil
	}
	if n, err := strconv.ParseUint(word, 10, 64); err == nil && t == zeek.LogCount {
		return func(c *zeek.Cell) (int, bool) { return cmp.Compare(c.Count(), n), true }, nil
	}
	if p, ok := parsePort(word); ok && t == zeek.LogPort {
		return func(c *zeek.Cell) (int, bool) {
			number, _ := c.Port()
			return cmp.Compare(number, uint64(p.Number)), true
		}, nil
	}
	want, err := strconv.ParseFloat(word, 64)
	if at, timeErr := time.Parse(time.RFC3339Nano, word); err != nil && t == zeek.LogTime && timeErr == nil {
		want, err = zeek.Seconds(at), nil
	}
	if d, spanErr := time.ParseDuration(word); err != nil && t == zeek.LogInterval && spanErr == nil {
		want, err = d.Seconds(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no %v", word, t)
	}
	return func(c *zeek.Cell) (int, bool) {
		f := numberOf(c)
		return cmp.Compare(f, want), f == f && want == want
	}, nil
}

func numberOf(c *zeek.Cell) float64 {
	switch c.Type {
	case zeek.LogInt:
		return float64(c.Int())
	case zeek.LogCount:
		return float64(c.Count())
	case zeek.LogPort:
		number, _ := c.Port()
		return float64(number)
	}
	return c.Float()
}

// textOf returns a value as text, for regular expressions.
func textOf(c *zeek.Cell) []byte {
	if c.Type.Text() {
		return c.Text()
	}
	switch c.Type {
	case zeek.LogAddr:
		return zeek.AppendAddrText(nil, c.Addr())
	case zeek.LogSubnet:
		return []byte(c.Subnet().String())
	case zeek.LogBool:
		if c.Bool() {
			return []byte("T")
		}
		return []byte("F")
	case zeek.LogInt:
		return strconv.AppendInt(nil, c.Int(), 10)
	case zeek.LogCount:
		return strconv.AppendUint(nil, c.Count(), 10)
	case zeek.LogPort:
		number, _ := c.Port()
		return strconv.AppendUint(nil, number, 10)
	}
	return strconv.AppendFloat(nil, c.Float(), 'f', -1, 64)
}

// A parser parses an expression, by recursive descent.
type parser struct {
	text    string
	at      int
	last    int // where the last token began
	columns map[string]bool
}

// maxDepth bounds parentheses within parentheses.
const maxDepth = 200

const operators = "(){},"

// token returns the next token without consuming it, "" at the end, and where it ends.
func (p *parser) token() (token string, quoted bool, end int, err error) {
	at := p.at
	for at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[at]) >= 0 {
		at++
	}
	p.last = at
	if at == len(p.text) {
		return "", false, at, nil
	}
	rest := p.text[at:]
	if rest[0] == '"' || rest[0] == '\'' {
		var word []byte
		for i := 1; i < len(rest); i++ {
			switch {
			case rest[i] == rest[0]:
				return string(word), true, at + i + 1, nil
			case rest[i] == '\\' && i+1 < len(rest) && (rest[i+1] == rest[0] || rest[i+1] == '\\'):
				i++
			}
			word = append(word, rest[i])
		}
		return "", true, at, errors.New("a quote that does not end")
	}
	for _, op := range []string{"==", "!=", "<=", ">=", "!~", "<", ">", "~", "=", "!"} {
		if strings.HasPrefix(rest, op) {
			return op, false, at + len(op), nil
		}
	}
	if strings.IndexByte(operators, rest[0]) >= 0 {
		return rest[:1], false, at + 1, nil
	}
	i := strings.IndexAny(rest, " \t\r\n<>=!~\"'"+operators)
	if i < 0 {
		i = len(rest)
	}
	return rest[:i], false, at + i, nil
}

// peek returns the next token; a quoted one as something that no keyword is.
func (p *parser) peek() string {
	token, quoted, _, err := p.token()
	if quoted || err != nil {
		return "\x00"
	}
	return token
}

func (p *parser) next() (token string, quoted bool, err error) {
	token, quoted, end, err := p.token()
	p.at = end
	return token, quoted, err
}

// accept consumes a token if it is the next.
func (p *parser) accept(want string) bool {
	if p.peek() != want {
		return false
	}
	p.next()
	return true
}

func (p *parser) either(depth int) (node, error) {
	a, err := p.both(depth)
	for err == nil && p.accept("or") {
		var b node
		b, err = p.both(depth)
		a = either{a, b}
	}
	return a, err
}

func (p *parser) both(depth int) (node, error) {
	a, err := p.factor(depth)
	for err == nil && p.accept("and") {
		var b node
		b, err = p.factor(depth)
		a = both{a, b}
	}
	return a, err
}

func (p *parser) factor(depth int) (node, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deep")
	}
	if p.accept("not") {
		n, err := p.factor(depth + 1)
		return not{n}, err
	}
	if !p.accept("(") {
		return p.comparison()
	}
	n, err := p.either(depth + 1)
	if err == nil && !p.accept(")") {
		err = fmt.Errorf("%q, want )", p.peek())
	}
	return n, err
}

func (p *parser) comparison() (node, error) {
	column, err := p.word("a column")
	if err != nil {
		return nil, err
	}
	op, _, err := p.next()
	switch {
	case err != nil:
		return nil, err
	case op == "=":
		op = "=="
	case !strings.Contains(" == != < <= > >= ~ !~ in ", " "+op+" ") || op == "":
		return nil, fmt.Errorf("%q, want one of == != < <= > >= ~ !~ in", op)
	}
	if p.columns == nil {
		p.columns = make(map[string]bool)
	}
	p.columns[column] = false
	n := &comparison{column: column, op: op, at: -1}
	if (op == "==" || op == "!=") && p.accept("unset") {
		n.unset = true
		return n, nil
	}
	if op == "in" && p.accept("{") {
		for {
			word, err := p.word("a value")
			if err != nil {
				return nil, err
			}
			n.words = append(n.words, word)
			if p.accept("}") {
				return n, nil
			}
			if !p.accept(",") {
				return nil, fmt.Errorf("%q, want , or }", p.peek())
			}
		}
	}
	word, err := p.word("a value")
	if err != nil {
		return nil, err
	}
	n.words = []string{word}
	if op == "~" || op == "!~" {
		_, err = regexp.Compile(word)
	}
	return n, err
}

// word consumes a word, which may stand in quotes.
func (p *parser) word(what string) (string, error) {
	token, quoted, err := p.next()
	if err == nil && !quoted && (token == "" || strings.Contains(operators+"== != <= >= !~", token)) {
		err = fmt.Errorf("%q, want %s", token, what)
		if token == "" {
			err = fmt.Errorf("the end, want %s", what)
		}
	}
	return token, err
}
