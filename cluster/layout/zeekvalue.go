package layout

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A value is what an expression of a script says.
type value struct {
	kind    kind
	at      place
	text    string // of a string or name; of what is unknown: what it is
	addr    netip.Addr
	port    Port
	number  float64
	span    time.Duration
	truth   bool
	entries []entry // of a table
	fields  []field // of a record
}

// An entry of a table has a key, a value, or both.
type entry struct {
	at    place
	key   []value
	value *value
}

type field struct {
	at    place
	name  string
	value value
}

// String describes the value for an error.
func (v *value) String() string {
	switch v.kind {
	case kName:
		return v.text
	case kString:
		return "the string " + quoted(v.text)
	case kAddr:
		return "the address " + v.addr.String()
	case kPort:
		return "the port " + portText(v.port)
	case kNumber:
		return "the number " + strconv.FormatFloat(v.number, 'g', -1, 64)
	case kInterval:
		return "the interval " + v.span.String()
	case kBool:
		return map[bool]string{true: "T", false: "F"}[v.truth]
	case kUnknown:
		return v.text + ", which only Zeek can tell"
	}
	return kindNames[v.kind]
}

// field returns a field of a record.
func (v *value) field(name string) value {
	if i := slices.IndexFunc(v.fields, func(f field) bool { return f.name == name }); i >= 0 {
		return v.fields[i].value
	}
	if v.kind == kUnknown {
		return *v
	}
	return value{kind: kUnknown, at: v.at, text: "the field $" + name}
}

// index returns an element of a table, by its key, or of a vector, by its number.
func (v *value) index(by []entry) value {
	unknown := value{kind: kUnknown, at: v.at, text: "an element of a table or vector"}
	if v.kind == kUnknown {
		return *v
	}
	if len(by) != 1 || by[0].value == nil {
		return unknown
	}
	key := *by[0].value
	for i := range v.entries {
		e := &v.entries[i]
		isNext := len(e.key) == 0 && key.kind == kNumber && key.number == float64(i)
		isKey := len(e.key) == 1 && e.key[0].kind == key.kind && key.kind == kString && e.key[0].text == key.text
		if (isNext || isKey) && e.value != nil {
			return *e.value
		}
	}
	return unknown
}

// redefined returns the value of a constant after a redef.
func redefined(old value, op string, v value) value {
	switch {
	case op == "=":
		return v
	case op == "+=" && old.kind == kTable && v.kind == kTable:
		old.entries = append(slices.Clip(old.entries), v.entries...)
		return old
	}
	return value{kind: kUnknown, at: v.at, text: "the result of " + op}
}

// binary computes l op r. What is not known stays so.
func binary(at place, op string, l, r value) value {
	unknown := value{kind: kUnknown, at: at, text: "the result of " + op}
	truth := func(b bool) value { return value{kind: kBool, at: at, truth: b} }
	switch op {
	case "&&", "||":
		decided := op == "||" // by one side alone
		for _, v := range []value{l, r} {
			if v.kind == kBool && v.truth == decided {
				return truth(decided)
			}
		}
		if l.kind == kBool && r.kind == kBool {
			return truth(!decided)
		}
		return unknown
	case "+", "-":
		switch {
		case l.kind == kNumber && r.kind == kNumber && op == "+":
			l.number += r.number
			return l
		case l.kind == kNumber && r.kind == kNumber:
			l.number -= r.number
			return l
		case l.kind == kString && r.kind == kString && op == "+":
			l.text += r.text
			return l
		}
		return unknown
	}
	var order int
	switch {
	case l.kind != r.kind:
		return unknown
	case l.kind == kString:
		order = strings.Compare(l.text, r.text)
	case l.kind == kNumber:
		order = cmp.Compare(l.number, r.number)
	case l.kind == kInterval:
		order = cmp.Compare(l.span, r.span)
	case op != "==" && op != "!=":
		return unknown
	case l.kind == kBool && l.truth != r.truth, l.kind == kPort && l.port != r.port, l.kind == kAddr && l.addr != r.addr:
		order = 1
	case l.kind == kName && l.text != r.text:
		order = 1
	case l.kind > kBool:
		return unknown
	}
	switch op {
	case "==":
		return truth(order == 0)
	case "!=":
		return truth(order != 0)
	case "<":
		return truth(order < 0)
	case ">":
		return truth(order > 0)
	case "<=":
		return truth(order <= 0)
	case ">=":
		return truth(order >= 0)
	}
	return unknown
}

// name returns what a name stands for.
func (p *zeekParser) name(at place, text string) value {
	full := p.fullName(text)
	unknown := value{kind: kUnknown, at: at, text: full}
	switch full {
	case "T", "F":
		return value{kind: kBool, at: at, truth: full == "T"}
	case "Version::number":
		return value{kind: kNumber, at: at, number: float64(p.version.number())}
	case "Version::info":
		number := func(n int) value { return value{kind: kNumber, at: at, number: float64(n)} }
		v := p.version
		return value{kind: kRecord, at: at, fields: []field{
			{at, "version_number", number(v.number())}, {at, "major", number(int(v.Major))},
			{at, "minor", number(int(v.Minor))}, {at, "patch", number(int(v.Patch))},
		}}
	case "Cluster::node":
		if p.l.Options.Node == "" {
			return unknown // whoever reads the layout may be any of the nodes, or none
		}
	}
	if v, ok := p.consts[full]; ok {
		v.at = at
		return v
	}
	if o := findOption(full); o != nil {
		switch f := o.field(&p.l.Options).(type) {
		case *string:
			return value{kind: kString, at: at, text: *f}
		case *bool:
			return value{kind: kBool, at: at, truth: *f}
		case *Backend:
			return value{kind: kName, at: at, text: f.String()}
		case *time.Duration:
			return value{kind: kInterval, at: at, span: *f}
		}
	}
	if isEnum(full) {
		return value{kind: kName, at: at, text: full}
	}
	return unknown
}

// isEnum reports whether a full name is that of a member of an enumeration that layouts use.
func isEnum(full string) bool {
	if _, ok := parseProto(full); ok {
		return true
	}
	module, member, _ := strings.Cut(full, "::")
	switch word := strings.ToLower(member); {
	case strings.ToUpper(member) != member:
		return false
	case module == "Cluster":
		return slices.Contains(typeNames[:], word)
	case module == "Broker":
		return slices.Contains(backendNames[:], word)
	}
	return false
}

// call returns what a function returns.
func (p *zeekParser) call(at place, name string, args []value) value {
	var kinds []kind
	for i := range args {
		kinds = append(kinds, args[i].kind)
	}
	takes := func(want ...kind) bool { return slices.Equal(kinds, want) }
	v := value{kind: kUnknown, at: at, text: "the result of " + name}
	switch {
	case name == "getenv" && takes(kString):
		v.kind = kString
		v.text, _ = p.env(args[0].text)
	case name == "zeek_version" && takes():
		v.kind, v.text = kString, p.version.String()
	case name == "Version::at_least" && takes(kString):
		if want, err := ParseVersion(args[0].text); err == nil {
			v.kind, v.truth = kBool, p.version.Compare(want) >= 0
		} else if !errors.Is(err, errVersion) {
			v.kind, v.truth = kBool, true // older than all that there are
		}
	case name == "to_port" && takes(kString):
		var ok bool
		if v.port, ok = parsePort(args[0].text); !ok {
			p.fail(at, "to_port: %s is not a port, want one such as 47760/tcp", quoted(args[0].text))
		}
		v.kind = kPort
	case name == "to_addr" && takes(kString):
		text := args[0].text
		if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
			text = inner[:len(inner)-1]
		}
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			p.fail(at, "to_addr: %s is not an address, want one such as 10.0.0.1 or 2001:db8::1", quoted(args[0].text))
		}
		v.kind, v.addr = kAddr, a.Unmap()
	case name == "count_to_port" && takes(kNumber, kName):
		n := args[0].number
		proto, ok := parseProto(args[1].text)
		if !ok || n < 0 || n > 65535 || n != float64(uint16(n)) {
			p.fail(at, "count_to_port: %v and %v are not a port, want a number up to 65535 and tcp, udp, icmp or unknown", &args[0], &args[1])
			n = 0
		}
		v.kind, v.port = kPort, Port{Number: uint16(n), Proto: proto}
	case name == "blocking_lookup_hostname" && takes(kString) && p.lookup != nil:
		addrs, err := p.lookup(args[0].text)
		if err != nil {
			p.fail(at, "host %s cannot be looked up: %w", quoted(args[0].text), err)
		}
		v.kind = kTable
		for _, a := range addrs {
			v.entries = append(v.entries, entry{at: at, value: &value{kind: kAddr, at: at, addr: a.Unmap().WithZone("")}})
		}
	case name == "to_count" && takes(kString):
		n, err := strconv.ParseUint(args[0].text, 10, 53)
		if err != nil {
			p.fail(at, "to_count: %s is not a number", quoted(args[0].text))
		}
		v.kind, v.number = kNumber, float64(n)
	}
	return v
}
