package logfile

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// JSON logs, and TSV logs with nothing but the names of their columns, do not say of which types these are.
// A guess holds what fits everything that was seen so far. Names help: Zeek's own logs have ts for times,
// names of addresses end in _h, and ports are orig_p and resp_p.
type guess struct {
	fields []zeek.Field
	index  map[string]int
	moves  int // of columns to other places
}

// kindOfName returns what a column is by its name, given what its value looks like.
func kindOfName(name string, t zeek.LogType) zeek.LogType {
	last := name[strings.LastIndexByte(name, '.')+1:]
	number := t == zeek.LogCount || t == zeek.LogInt || t == zeek.LogDouble
	switch {
	case number && (last == "ts" || strings.HasSuffix(last, "_ts")):
		return zeek.LogTime
	case number && t == zeek.LogDouble && (last == "duration" || last == "rtt" || strings.HasSuffix(last, "_time")):
		return zeek.LogInterval
	case t == zeek.LogCount && (last == "orig_p" || last == "resp_p"):
		return zeek.LogPort
	}
	return t
}

// wider returns the type that has room for both.
func wider(a, b zeek.LogType) zeek.LogType {
	isFloat := func(t zeek.LogType) bool { return t == zeek.LogDouble || t == zeek.LogTime || t == zeek.LogInterval }
	isWhole := func(t zeek.LogType) bool { return t == zeek.LogCount || t == zeek.LogInt || t == zeek.LogPort }
	switch {
	case a == b, b == zeek.LogVoid:
		return a
	case a == zeek.LogVoid:
		return b
	case isFloat(a) && (isWhole(b) || isFloat(b)):
		return a
	case isFloat(b) && isWhole(a):
		return b
	case isWhole(a) && isWhole(b):
		return zeek.LogInt
	}
	return zeek.LogString
}

// see takes a value of a column: its type, and that of its elements. after is the column before it, -1 for
// none. It returns where the column is, and whether anything has changed. Rows leave out what is unset, so
// that only many of them together tell the order of all columns.
func (g *guess) see(name string, t, sub zeek.LogType, after int) (at int, changed bool) {
	at, known := g.index[name]
	if !known {
		f := zeek.Field{Name: name, Type: uint64(t), Subtype: uint64(sub), Optional: true}
		g.set(slices.Insert(slices.Clone(g.fields), after+1, f))
		return after + 1, true
	}
	if at < after && g.moves < maxMoves {
		g.moves++
		f := g.fields[at]
		g.set(slices.Insert(slices.Delete(slices.Clone(g.fields), at, at+1), after, f))
		at, changed = after, true
	}
	f := g.fields[at]
	w := wider(zeek.LogType(f.Type), t)
	ws := wider(zeek.LogType(f.Subtype), sub)
	if !w.Container() {
		ws = 0
	}
	if uint64(w) == f.Type && uint64(ws) == f.Subtype {
		return at, changed
	}
	g.fields = slices.Clone(g.fields) // rows that are out have the old ones
	g.fields[at].Type, g.fields[at].Subtype = uint64(w), uint64(ws)
	return at, true
}

// maxMoves bounds how often columns are put elsewhere, since rows may contradict each other.
const maxMoves = 1000

// set replaces the columns.
func (g *guess) set(fields []zeek.Field) {
	g.fields = fields
	g.index = make(map[string]int, len(fields))
	for i := range fields {
		g.index[fields[i].Name] = i
	}
}

// settled returns the columns with types that may stand in a log, where nothing is known of some.
func (g *guess) settled() []zeek.Field {
	fields := slices.Clone(g.fields)
	for i := range fields {
		f := &fields[i]
		if f.Type == uint64(zeek.LogVoid) {
			f.Type = uint64(zeek.LogString)
		}
		if zeek.LogType(f.Type).Container() && f.Subtype == uint64(zeek.LogVoid) {
			f.Subtype = uint64(zeek.LogString)
		}
	}
	return fields
}

// object takes the members of a JSON object.
func (g *guess) object(members []member) (changed bool) {
	at := -1
	for _, m := range members {
		t, sub := typeOfJSON(m.name, m.value)
		var c bool
		at, c = g.see(m.name, t, sub, at)
		changed = changed || c
	}
	return changed
}

// typeOfJSON returns what a value looks like; void if it does not tell.
func typeOfJSON(name string, value json.RawMessage) (t, sub zeek.LogType) {
	switch value[0] {
	case 'n':
		return zeek.LogVoid, 0
	case 't', 'f':
		return zeek.LogBool, 0
	case '"':
		return typeOfText(name, strings.Trim(string(value), `"`)), 0
	case '[':
		var elems []json.RawMessage
		json.Unmarshal(value, &elems) // it is one
		for _, elem := range elems {
			if elem[0] == '[' || elem[0] == '{' {
				return zeek.LogString, 0
			}
			t, _ := typeOfJSON(name, elem)
			sub = wider(sub, t)
		}
		return zeek.LogVector, sub
	}
	return kindOfName(name, typeOfNumber(string(value))), 0
}

func typeOfNumber(word string) zeek.LogType {
	if _, err := strconv.ParseUint(word, 10, 64); err == nil {
		return zeek.LogCount
	}
	if _, err := strconv.ParseInt(word, 10, 64); err == nil {
		return zeek.LogInt
	}
	return zeek.LogDouble
}

// typeOfText returns what a text is: an address if the name says so, too.
func typeOfText(name, text string) zeek.LogType {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.HasSuffix(last, "_h") {
		if _, err := packWord(nil, zeek.LogAddr, text); err == nil {
			return zeek.LogAddr
		}
	}
	if last == "ts" || strings.HasSuffix(last, "_ts") {
		if _, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return zeek.LogTime
		}
	}
	return zeek.LogString
}

// typeOfWord returns what a value of a TSV file looks like.
func typeOfWord(name, word string) zeek.LogType {
	if word == "T" || word == "F" {
		return zeek.LogBool
	}
	if _, err := strconv.ParseFloat(word, 64); err == nil && strings.Trim(word, "0123456789.-") == "" {
		return kindOfName(name, typeOfNumber(word))
	}
	return typeOfText(name, word)
}

// packGuessed appends the value of a column whose type was guessed: text is what does not suit others.
func packGuessed(dst []byte, f *zeek.Field, value json.RawMessage) ([]byte, error) {
	const beginOfMillis = 1e11 // in seconds this is the year 5138
	switch t := zeek.LogType(f.Type); {
	case t == zeek.LogString && value[0] != '"' && !isNull(value):
		return zeek.AppendLogText(dst, t, []byte(value)), nil
	case t == zeek.LogTime && value[0] != '"' && !isNull(value):
		if at, err := strconv.ParseFloat(string(value), 64); err == nil && at > beginOfMillis {
			return zeek.AppendLogFloat(dst, t, at/1000), nil // JSON::TS_MILLIS
		}
	case t == zeek.LogVector && f.Subtype == uint64(zeek.LogString):
		var elems []json.RawMessage
		if err := json.Unmarshal(value, &elems); err == nil && !isNull(value) {
			for i, elem := range elems {
				if elem[0] != '"' && !isNull(elem) {
					elems[i], _ = json.Marshal(string(elem)) // a string never fails
				}
			}
			value, _ = json.Marshal(elems)
		}
	}
	return packJSON(dst, f, value)
}
