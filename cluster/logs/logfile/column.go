// Package logfile reads the logs that Zeek and its loggers write, in all their forms, and picks rows and
// columns out of them. Rows are packed records (CLUSTER.md section 6.4), as they travel to loggers.
package logfile

import (
	"fmt"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// ParseColumns parses a list of columns such as
//
//	ts:time, uid:string, tags:set[string]?, n:count?
//
// with the types that stand in the #types line of a log, and ? behind what is optional.
func ParseColumns(list string) ([]zeek.Field, error) {
	var fields []zeek.Field
	for part := range strings.SplitSeq(list, ",") {
		name, typ, _ := strings.Cut(strings.TrimSpace(part), ":")
		typ, optional := strings.CutSuffix(typ, "?")
		f, err := ParseType(typ)
		switch {
		case name == "":
			return nil, fmt.Errorf("column %q: want NAME:TYPE", part)
		case err != nil:
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
		for _, other := range fields {
			if other.Name == name {
				return nil, fmt.Errorf("column %s: there are two of that name", name)
			}
		}
		f.Name, f.Optional = name, optional
		fields = append(fields, f)
	}
	return fields, nil
}

// ParseType parses a type as it stands in the #types line of a log. The result has no name.
func ParseType(text string) (f zeek.Field, err error) {
	outer, inner, list := strings.Cut(strings.TrimSuffix(text, "]"), "[")
	if outer == "table" {
		outer = "set" // Zeek up to 2.1
	}
	t, ok := typeOf(outer)
	switch {
	case !ok, list != t.Container(), list != strings.HasSuffix(text, "]"):
		return f, fmt.Errorf("no type %q: want bool, int, count, double, time, interval, string, enum, port, addr, subnet, func, file, set[...] or vector[...]", text)
	case !list:
		return zeek.Field{Type: uint64(t)}, nil
	}
	elem, ok := typeOf(inner)
	if !ok || elem.Container() {
		return f, fmt.Errorf("no type %q: elements are of one type that holds no others", text)
	}
	return zeek.Field{Type: uint64(t), Subtype: uint64(elem)}, nil
}

func typeOf(name string) (zeek.LogType, bool) {
	for t := zeek.LogBool; t <= zeek.LogVector; t++ {
		if t.String() == name && (t.Atomic() || t.Container()) {
			return t, true
		}
	}
	return 0, false
}
