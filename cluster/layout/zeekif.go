package layout

import "fmt"

// A branch is that of an @if which is being read.
type branch struct {
	at      place
	isElse  bool
	unknown bool   // whether it holds
	why     string // it is unknown
}

// directive follows a directive, which is not the next token any more.
func (p *zeekParser) directive(t token) {
	switch t.text {
	case "if", "ifdef", "ifndef":
		if len(p.ifs) >= maxDepth {
			p.stop(t.at, "more than %d @if within each other", maxDepth)
			return
		}
		holds := p.condition(t)
		if p.stopped {
			return
		}
		b := branch{at: t.at}
		if b.unknown = holds.kind != kBool; b.unknown {
			b.why = fmt.Sprintf("the @%s of line %d depends on %v", t.text, t.at.line, &holds)
			p.warn(t.at, "%s", b.why)
		} else if !holds.truth {
			switch p.skipBranch() {
			case "endif":
				return
			case "else":
				b.isElse = true
			}
		}
		p.ifs = append(p.ifs, b)
	case "else":
		i := len(p.ifs) - 1
		if i < 0 || p.ifs[i].isElse {
			p.stop(t.at, "@else without @if")
			return
		}
		p.ifs[i].isElse = true
		if !p.ifs[i].unknown {
			switch p.skipBranch() {
			case "endif":
				p.ifs = p.ifs[:i]
			case "else":
				p.stop(p.lexer.at, "a second @else for the @if of line %d", p.ifs[i].at.line)
			}
		}
	case "endif":
		if len(p.ifs) == 0 {
			p.stop(t.at, "@endif without @if")
			return
		}
		p.ifs = p.ifs[:len(p.ifs)-1]
	default: // @load, @pragma, @deprecated and their kin
		p.restOfLine()
	}
}

// condition reads the condition of an @if and returns its value.
func (p *zeekParser) condition(t token) value {
	open := p.lexer.next()
	if !open.is("(") {
		p.tok = open
		p.unexpected(fmt.Sprintf(`"(" behind @%s`, t.text))
		return value{}
	}
	var tokens []token
	for depth := 1; ; {
		next := p.lexer.next()
		switch {
		case next.is("("):
			depth++
		case next.is(")"):
			depth--
		case next.kind == kEnd || next.kind == kDirective:
			p.tok = next
			p.unexpected(fmt.Sprintf(`")" for the "(" of line %d`, open.at.line))
			return value{}
		}
		if depth == 0 {
			tokens = append(tokens, token{at: next.at, kind: kEnd, text: "the end of the condition"})
			break
		}
		tokens = append(tokens, next)
	}
	// The tokens are read as if they were the rest of the file.
	sub := *p
	sub.tok, sub.given, sub.depth = tokens[0], tokens[1:], 0
	if t.text != "if" {
		name := sub.take()
		if name.kind != kName || sub.tok.kind != kEnd {
			p.tok = name
			p.unexpected("one name")
			return value{}
		}
		return p.defined(name, t.text == "ifndef")
	}
	v := sub.expression()
	if sub.tok.kind != kEnd && !sub.stopped {
		sub.unexpected(`")" at the end of the condition`)
	}
	if p.stopped = sub.stopped; p.stopped {
		p.tok = token{}
	}
	return v
}

// defined returns whether Zeek knows a name, as far as that can be told.
func (p *zeekParser) defined(t token, not bool) value {
	full := p.fullName(t.text)
	_, known := p.consts[full]
	gone := full == "Cluster::TIME_MACHINE" || full == "Cluster::time_machine_topic"
	switch {
	case gone:
		known = p.version.HasTimeMachine()
	case full == "Cluster::worker_count":
		known = p.version.HasWorkerCount()
	case full == "Cluster::broadcast_topics":
		known = p.version.HasNodeCounts()
	case known, isEnum(full), findOption(full) != nil, full == "Cluster::nodes", full == "Cluster::stores":
		known = true
	default:
		return value{kind: kUnknown, at: t.at, text: "whether there is " + full}
	}
	return value{kind: kBool, at: t.at, truth: known != not}
}
