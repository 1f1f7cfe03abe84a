package layout

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// ParseZeek reads a cluster-layout.zeek, in the grammar of section 2.4 of the specification: what zeekctl, Zeek's own
// generators and people write. What it says of Cluster::nodes, Cluster::stores and the options counts; all else is
// skipped, with a warning if it might mean something. file is for errors, which are [*Error], joined.
//
// A layout does not say for which version of Zeek it is. A comment does, which Zeek does not mind:
//
//	# zeek_version: 8.2
func ParseZeek(file string, src []byte, opts ...Option) (*Layout, error) {
	s := newSettings(opts)
	l, _, err := parseZeek(file, src, s)
	return l, err
}

// parseZeek returns besides the layout which options it sets.
func parseZeek(file string, src []byte, s settings) (*Layout, map[string]bool, error) {
	r := &report{file: file}
	version := s.fileVersion(r, src)
	p := &zeekParser{
		report: r, lexer: newLexer(src), version: version, env: s.env, lookup: s.resolve, consts: make(map[string]value), set: make(map[string]bool),
		l: &Layout{Version: version, Options: DefaultOptions(version), Source: file}, nodes: make(map[string]*draft), stores: make(map[string]*storeDraft),
	}
	if bytesAreUTF16(src) {
		r.fail(place{}, "%w", errUTF16)
	} else {
		if name, ok := s.env("CLUSTER_NODE"); ok {
			p.l.Options.Node = name // only a default; see Load
		}
		p.advance()
		p.file()
	}
	p.finish()
	warnings, err := r.end()
	if err != nil {
		return nil, nil, err
	}
	p.l.Warnings = warnings
	return p.l, p.set, nil
}

// bytesAreUTF16 reports whether the text begins with the byte order mark of UTF-16.
func bytesAreUTF16(src []byte) bool {
	return len(src) >= 2 && (src[0] == 0xff && src[1] == 0xfe || src[0] == 0xfe && src[1] == 0xff)
}

var errUTF16 = fmt.Errorf("the file is UTF-16, want UTF-8: save it as such")

var versionComment = regexp.MustCompile(`(?m)^\x{feff}?[ \t]*#+[ \t]*zeek_version[ \t]*[:=][ \t]*(\S+)`)

// A zeekParser reads a script. It stops at what it does not understand, and goes on behind what it understands
// and is wrong.
type zeekParser struct {
	*report
	lexer
	tok     token // the next one
	stopped bool  // by an error; then tok stays the end of the file
	given   []token
	ifs     []branch
	depth   int  // of expressions
	maybe   bool // some token of the statement is within an @if that cannot be decided

	version Version
	env     func(string) (string, bool)
	lookup  func(string) ([]netip.Addr, error) // nil: nobody looks up names of hosts
	module  string
	consts  map[string]value
	l       *Layout
	set     map[string]bool // options by full name
	nodes   map[string]*draft
	stores  map[string]*storeDraft
}

// maxDepth bounds expressions within expressions, and @if within @if.
const maxDepth = 100

// stop ends parsing with an error.
func (p *zeekParser) stop(at place, format string, args ...any) {
	if !p.stopped {
		p.fail(at, format, args...)
	}
	p.stopped = true
	p.tok = token{at: p.tok.at}
}

// unexpected ends parsing at the next token.
func (p *zeekParser) unexpected(want string) {
	if p.tok.fault != "" {
		p.stop(p.tok.at, "%v is %s", &p.tok, p.tok.fault)
		return
	}
	p.stop(p.tok.at, "saw %v, want %s", &p.tok, want)
}

// advance goes on to the next token, following directives.
func (p *zeekParser) advance() {
	for !p.stopped {
		p.tok = p.lexer.next()
		if p.tok.kind == kEnd && len(p.ifs) > 0 {
			open := p.ifs[len(p.ifs)-1]
			p.stop(p.tok.at, "saw the end of the file, want @endif for the @if of line %d", open.at.line)
		}
		if p.tok.kind != kDirective {
			p.tok.maybe = slices.ContainsFunc(p.ifs, func(b branch) bool { return b.unknown })
			return
		}
		p.directive(p.tok)
	}
}

// take returns the next token and goes on.
func (p *zeekParser) take() token {
	t := p.tok
	p.maybe = p.maybe || t.maybe
	switch {
	case t.kind == kEnd:
	case len(p.given) > 0:
		p.tok, p.given = p.given[0], p.given[1:]
	default:
		p.advance()
	}
	return t
}

// took goes on if the next token is that sign.
func (p *zeekParser) took(sign string) bool {
	if !p.tok.is(sign) {
		return false
	}
	p.take()
	return true
}

// expect goes on behind a sign, or stops.
func (p *zeekParser) expect(sign, want string) {
	if !p.took(sign) {
		p.unexpected(want)
	}
}

// knownNames are those that a script may use without their module, besides options and members of enumerations.
var knownNames = []string{"Cluster::nodes", "Cluster::stores", "Cluster::Node", "Version::number", "Version::info", "Version::at_least"}

// fullName returns the full name of what a script names, within its module.
func (p *zeekParser) fullName(name string) string {
	if strings.Contains(name, "::") || p.module == "" || name == "T" || name == "F" {
		return name
	}
	full := p.module + "::" + name
	if _, ok := p.consts[full]; ok || isEnum(full) || findOption(full) != nil || slices.Contains(knownNames, full) {
		return full
	}
	return name
}

// file reads all statements.
func (p *zeekParser) file() {
	for open := []place(nil); ; { // of export blocks
		if p.tok.kind == kEnd {
			if len(open) > 0 {
				p.unexpected(fmt.Sprintf(`"}" for the "{" of line %d`, open[0].line))
			}
			return
		}
		switch at := p.tok.at; {
		case p.tok.isName("export"):
			p.take()
			p.expect("{", `"{" behind export`)
			open = append(open, at)
		case len(open) > 0 && p.tok.is("}"):
			p.take()
			open = open[:len(open)-1]
		default:
			p.statement()
		}
	}
}

const wantStatement = "redef, const, event or a directive at the beginning of a line"

func (p *zeekParser) statement() {
	p.maybe = false
	t := p.take()
	switch {
	case t.is(";"):
	case t.isName("redef"):
		p.redef()
	case t.isName("const"), t.isName("global"), t.isName("option"):
		p.declaration()
	case t.isName("module"):
		if p.tok.kind != kName {
			p.unexpected("the name of a module")
			return
		}
		if p.module = p.tok.text; p.module == "GLOBAL" {
			p.module = ""
		}
		p.take()
		p.expect(";", `";" behind the module`)
	case t.isName("event"), t.isName("hook"), t.isName("function"):
		p.warn(t.at, "%s %s is not run here", t.text, p.tok.text)
		p.body(t)
	case t.isName("type"):
		p.rest(t, "a type")
	default:
		p.tok = t
		p.unexpected(wantStatement)
	}
}

// body skips the rest of an event handler or function, up to the brace that closes it.
func (p *zeekParser) body(t token) {
	next := t
	for depth := 0; p.tok.kind != kEnd; {
		next = p.skim(next)
		switch {
		case next.is("{"):
			depth++
		case next.is("}"):
			depth--
			if depth <= 0 {
				return
			}
		case next.is(";") && depth == 0:
			return
		}
	}
	p.unexpected(fmt.Sprintf(`"}" for the %s of line %d`, t.text, t.at.line))
}

// skim takes the next token of what is skipped. A slash where no value ends begins a pattern, which is passed over.
func (p *zeekParser) skim(before token) token {
	if p.tok.is("/") && before.kind == kSign && !before.is(")") && !before.is("]") {
		x := &p.lexer
		escaped := false
		n := x.span(0, func(c byte) bool {
			end := c == '\n' || c == '/' && !escaped
			escaped = c == '\\' && !escaped
			return !end
		})
		if x.skip(n); x.pos < len(x.src) && x.src[x.pos] == '/' {
			x.skip(1)
		}
	}
	return p.take()
}

// rest skips up to the semicolon that ends a statement.
func (p *zeekParser) rest(t token, what string) {
	next := token{kind: kSign}
	for depth := 0; p.tok.kind != kEnd; {
		next = p.skim(next)
		if next.kind != kSign {
			continue
		}
		switch next.text {
		case "{", "[", "(":
			depth++
		case "}", "]", ")":
			depth--
		case ";":
			if depth <= 0 {
				return
			}
		}
	}
	p.unexpected(fmt.Sprintf(`";" at the end of %s that begins at line %d`, what, t.at.line))
}

// redef reads what follows "redef".
func (p *zeekParser) redef() {
	name := p.tok
	if name.kind != kName {
		p.unexpected("the name of an option behind redef")
		return
	}
	p.take()
	if name.text == "record" || name.text == "enum" {
		p.rest(name, "a redef")
		return
	}
	full := p.fullName(name.text)
	o := findOption(full)
	_, isConst := p.consts[full]
	if o == nil && !isConst && full != "Cluster::nodes" && full != "Cluster::stores" {
		p.warn(name.at, "%s is not read: nothing but Cluster::nodes and Cluster::manager_is_logger belongs into a layout", full)
		p.rest(name, "a redef")
		return
	}
	p.typeAnnotation()
	op := p.tok
	if !op.is("=") && !op.is("+=") && !op.is("-=") {
		p.unexpected(fmt.Sprintf("=, += or -= behind %s", name.text))
		return
	}
	p.take()
	v := p.expression()
	p.attributes()
	if !p.tok.is(";") {
		p.unexpected(`";" at the end of the redef`)
		return
	}
	// It is applied before the next token is looked at, which may be within an @if that depends on it.
	p.apply(name, full, o, op, v)
	p.take()
}

// apply applies a redef of what matters here: of the option o, or if that is nil, of nodes, stores or a constant.
func (p *zeekParser) apply(name token, full string, o *option, op token, v value) {
	matters := o != nil || full == "Cluster::nodes" || full == "Cluster::stores"
	switch maybe := p.maybe || p.tok.maybe; {
	case maybe && !matters:
		p.consts[full] = value{kind: kUnknown, at: name.at, text: full}
		return
	case maybe:
		why := "an @if that ended within"
		if i := slices.IndexFunc(p.ifs, func(b branch) bool { return b.unknown }); i >= 0 {
			why = p.ifs[i].why
		}
		p.fail(name.at, "whether and how %s is changed cannot be told (%s): write the layout without", full, why)
		return
	}
	switch full {
	case "Cluster::nodes":
		p.redefNodes(op, v)
	case "Cluster::stores":
		p.belongs(name.at, full)
		p.redefStores(op, v)
	default:
		if o == nil {
			p.consts[full] = redefined(p.consts[full], op.text, v)
		} else if !op.is("=") {
			p.fail(op.at, "saw %q, want = for %s", op.text, full)
		} else {
			if full != "Cluster::manager_is_logger" {
				p.belongs(name.at, full)
			}
			p.setOption(o, full, v)
		}
	}
}

// belongs warns of what is applied but belongs elsewhere.
func (p *zeekParser) belongs(at place, full string) {
	p.warn(at, "%s is taken from here, but Zeek wants nothing but Cluster::nodes and Cluster::manager_is_logger in a layout", full)
}

// typeAnnotation skips ": type", and returns the first word of the type.
func (p *zeekParser) typeAnnotation() string {
	if !p.took(":") {
		return ""
	}
	word := p.tok.text
	p.typeName()
	return word
}

// typeName skips a type, such as "table[string] of vector of addr".
func (p *zeekParser) typeName() {
	for p.tok.kind == kName {
		p.take()
		if open := p.tok; p.took("[") {
			p.entries(open, "]")
		}
		if !p.tok.isName("of") {
			return
		}
		p.take()
	}
	p.unexpected("the name of a type")
}

// attributes skips "&redef" and its kin.
func (p *zeekParser) attributes() {
	for p.took("&") {
		if p.tok.kind != kName {
			p.unexpected("the name of an attribute behind &")
		}
		p.take()
		if p.took("=") {
			p.expression()
		}
	}
}

// declaration reads what follows const, global or option.
func (p *zeekParser) declaration() {
	name := p.tok
	if name.kind != kName {
		p.unexpected("a name")
		return
	}
	p.take()
	full := name.text
	if p.module != "" && !strings.Contains(full, "::") {
		full = p.module + "::" + full
	}
	// What is not an expression of a layout, such as a pattern, is for Zeek: then all up to the semicolon is skipped.
	before, told := *p, *p.report
	before.ifs = slices.Clone(p.ifs)
	v := value{kind: kUnknown, at: name.at, text: full}
	switch p.typeAnnotation() {
	case "table", "set", "vector":
		v.kind = kTable // an empty one, if it is not said
	}
	if p.took("=") {
		v = p.expression()
	}
	p.attributes()
	whole := p.tok.is(";") && !p.stopped
	if !whole {
		*p, *before.report = before, told
	}
	if !whole || p.maybe || p.tok.maybe {
		v = value{kind: kUnknown, at: name.at, text: full}
	}
	p.consts[full] = v // before the next token is looked at, as in redef
	p.rest(name, "a declaration")
}
