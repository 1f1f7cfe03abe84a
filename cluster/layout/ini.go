package layout

import (
	"bytes"
	"strings"
)

// A section of an INI file.
type section struct {
	name string
	at   place
	keys map[string]setting
}

type setting struct {
	value string
	at    place
}

// parseINI reads a file as Python's configparser does: sections in brackets, keys in any case with = or : and a value,
// comments at the beginning of lines, and values that go on in lines that are further indented. The section DEFAULT
// holds for all others.
func parseINI(r *report, src []byte) []section {
	var all []section
	defaults := section{keys: make(map[string]setting)}
	var current *section
	var key string // to which indented lines belong
	keyIndent := 0
	names := make(map[string]place)
	number := 0
	for line := range strings.Lines(string(bytes.TrimPrefix(src, []byte("\ufeff")))) {
		number++
		text := strings.TrimSpace(line)
		indent := len(line) - len(strings.TrimLeft(line, " \t\r\n\v\f"))
		here := place{number, indent + 1}
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		if current != nil && key != "" && indent > keyIndent {
			s := current.keys[key]
			s.value += "\n" + text
			current.keys[key] = s
			continue
		}
		keyIndent = indent
		if end := strings.LastIndexByte(text, ']'); text[0] == '[' && end > 1 {
			name := text[1:end]
			key = ""
			if first, ok := names[name]; ok {
				r.fail(here, "two sections are named %s, the other is at line %d", quoted(name), first.line)
				current = &section{keys: make(map[string]setting)}
				continue
			}
			names[name] = here
			if name == "DEFAULT" {
				current = &defaults
				continue
			}
			all = append(all, section{name: name, at: here, keys: make(map[string]setting)})
			current = &all[len(all)-1]
			continue
		}
		i := strings.IndexAny(text, "=:")
		switch {
		case current == nil:
			r.fail(here, "saw %s, want a section such as [manager] first", quoted(text))
			return nil
		case i <= 0:
			r.fail(here, "saw %s, want key=value, or a section in brackets", quoted(text))
			key = ""
			continue
		}
		key = strings.ToLower(strings.TrimSpace(text[:i]))
		if first, ok := current.keys[key]; ok {
			r.fail(here, "%s is there twice, the other is at line %d", quoted(key), first.at.line)
			continue
		}
		current.keys[key] = setting{strings.TrimSpace(text[i+1:]), here}
	}
	for i := range all {
		s := &all[i]
		for key, v := range defaults.keys {
			if _, ok := s.keys[key]; !ok {
				s.keys[key] = v
			}
		}
		for key, v := range s.keys {
			rest := strings.ReplaceAll(v.value, "%%", "")
			if strings.Contains(rest, "%") {
				r.fail(v.at, "%s: a percent sign in %s, want %%%% for one; references to other keys are not followed", quoted(key), quoted(v.value))
			}
			v.value = strings.ReplaceAll(v.value, "%%", "%")
			s.keys[key] = v
		}
	}
	return all
}
