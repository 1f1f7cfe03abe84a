package layout

import (
	"fmt"
	"slices"
)

// The operators, from those that bind least.
var operators = [...][]string{{"||"}, {"&&"}, {"==", "!=", "<", ">", "<=", ">="}, {"+", "-"}}

func (p *zeekParser) expression() value { return p.operation(0) }

func (p *zeekParser) operation(level int) value {
	if level == len(operators) {
		return p.unary()
	}
	v := p.operation(level + 1)
	for p.tok.kind == kSign && slices.Contains(operators[level], p.tok.text) {
		op := p.take()
		v = binary(op.at, op.text, v, p.operation(level+1))
	}
	return v
}

// deeper enters an expression within another, and returns what leaves it.
func (p *zeekParser) deeper() (leave func()) {
	if p.depth++; p.depth > maxDepth {
		p.stop(p.tok.at, "more than %d expressions within each other", maxDepth)
	}
	return func() { p.depth-- }
}

func (p *zeekParser) unary() value {
	defer p.deeper()()
	at := p.tok.at
	switch {
	case p.took("!"):
		v := p.unary()
		if v.kind != kBool && v.kind != kUnknown {
			p.stop(v.at, "saw %v behind !, want T or F", &v)
		}
		v.truth, v.at = !v.truth, at
		return v
	case p.took("-"):
		v := p.unary()
		if v.kind != kNumber && v.kind != kInterval && v.kind != kUnknown {
			p.stop(v.at, "saw %v behind -, want a number", &v)
		}
		v.number, v.span, v.at = -v.number, -v.span, at
		return v
	}
	first := p.tok
	v := p.primary()
	for {
		open := p.tok
		switch {
		case p.took("$"):
			if p.tok.kind != kName {
				p.unexpected("the name of a field behind $")
				return v
			}
			v = v.field(p.take().text)
		case (first.kind == kName || first.is("(")) && p.took("["): // behind others it begins something else
			v = v.index(p.entries(open, "]"))
		case open.isName("as"):
			p.take()
			p.typeName()
		default:
			return v
		}
	}
}

func (p *zeekParser) primary() value {
	t := p.tok
	v := value{kind: t.kind, at: t.at, text: t.text, addr: t.addr, port: t.port, number: t.number, span: t.span}
	switch {
	case t.fault != "":
		p.unexpected("")
	case t.kind == kString, t.kind == kAddr, t.kind == kPort, t.kind == kNumber, t.kind == kInterval:
		p.take()
	case t.kind == kName:
		p.take()
		if p.tok.is("(") {
			return p.construct(t)
		}
		return p.name(t.at, t.text)
	case p.took("("):
		v = p.expression()
		p.expect(")", fmt.Sprintf(`an operator, or ")" for the "(" of line %d`, t.at.line))
	case p.took("{"):
		v.kind = kTable
		v.entries = p.entries(t, "}")
	case p.took("["):
		if p.tok.is("$") {
			v.kind = kRecord
			v.fields = p.fields(t, "]")
		} else {
			v.kind = kTable
			v.entries = p.entries(t, "]")
		}
	default:
		p.unexpected("a value")
	}
	return v
}

// construct reads what follows the name of a function, a record or table().
func (p *zeekParser) construct(name token) value {
	open := p.take()
	v := value{kind: kTable, at: name.at}
	switch {
	case name.text == "table" || name.text == "set" || name.text == "vector":
		v.entries = p.entries(open, ")")
	case p.tok.is("$"), p.tok.is(")") && p.fullName(name.text) == "Cluster::Node":
		v.kind = kRecord
		v.fields = p.fields(open, ")")
	default:
		var args []value
		for _, e := range p.entries(open, ")") {
			if e.value != nil {
				args = append(args, *e.value)
			}
		}
		if full := p.fullName(name.text); full == "Cluster::Node" {
			p.stop(name.at, "Cluster::Node wants fields, such as $node_type=Cluster::WORKER")
		} else if !p.stopped {
			return p.call(name.at, full, args)
		}
	}
	return v
}

// closing says what may follow an element.
func closing(open token, end string) string {
	return fmt.Sprintf(`"," or %q for the %q of line %d`, end, open.text, open.at.line)
}

// entries reads the entries of a table, or values, up to end.
func (p *zeekParser) entries(open token, end string) (all []entry) {
	defer p.deeper()()
	for !p.took(end) && !p.stopped {
		e := entry{at: p.tok.at}
		var first value
		bracket := p.tok
		if p.took("[") {
			if p.tok.is("$") {
				first = value{kind: kRecord, at: bracket.at, fields: p.fields(bracket, "]")}
			} else {
				first = value{kind: kTable, at: bracket.at, entries: p.entries(bracket, "]")}
				for _, k := range first.entries {
					if k.value != nil && len(k.key) == 0 {
						e.key = append(e.key, *k.value)
					}
				}
			}
		} else {
			first = p.expression()
		}
		if end != "]" && p.took("=") {
			if e.key == nil {
				e.key = []value{first}
			}
			v := p.expression()
			e.value = &v
		} else if bracket.is("[") && len(e.key) > 0 && end == "}" {
			// An index alone, which -= has.
		} else {
			e.key, e.value = nil, &first
		}
		all = append(all, e)
		if !p.took(",") && !p.tok.is(end) {
			p.unexpected(closing(open, end))
		}
	}
	return all
}

// fields reads the fields of a record up to end.
func (p *zeekParser) fields(open token, end string) (all []field) {
	for !p.took(end) && !p.stopped {
		f := field{at: p.tok.at}
		p.expect("$", fmt.Sprintf(`a field, such as $ip=10.0.0.1, or %q for the %q of line %d`, end, open.text, open.at.line))
		if f.name = p.tok.text; p.tok.kind != kName {
			p.unexpected("the name of a field behind $")
		}
		p.take()
		p.expect("=", fmt.Sprintf("= behind $%s", f.name))
		f.value = p.expression()
		all = append(all, f)
		if !p.took(",") && !p.tok.is(end) {
			p.unexpected(closing(open, end))
		}
	}
	return all
}
