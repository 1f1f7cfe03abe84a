package yamlfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
)

// What is refused before or by the parser, and where.
func TestErrors(t *testing.T) {
	deep := func(begin, line string, step int) string {
		var b strings.Builder
		b.WriteString(begin)
		for i := range 1000 {
			b.WriteString(strings.Repeat(" ", step*i) + line + "\n")
		}
		return b.String()
	}
	for _, c := range []struct {
		name, text   string
		style        Style
		line, column int
		want         string
	}{
		{"brackets", strings.Repeat("[", 1000), Any, 1, 17, "more than 16"},
		{"brackets in lines", deep("", "{a:", 1), Any, 17, 17, "more than 16"},
		{"mappings", deep("", "a:", 1), Any, 17, 17, "more than 16"},
		{"marks", strings.Repeat("- ", 1000), Any, 1, 33, "more than 16"},
		{"lists in a line", "- - a", Plain, 1, 3, "list within a list"},
		{"anchor", "a: b\nc: &d e", Plain, 2, 4, "an anchor"},
		{"open bracket", "a: [", Any, 1, 4, ""},
	} {
		err := Parse(c.text, c.style, func(ast.Node, []ast.Node) { t.Errorf("%s: was read", c.name) })
		wrong, ok := errors.AsType[*Error](err)
		if !ok || wrong.Line != c.line || wrong.Column != c.column || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %#v, want line %d, column %d, %q", c.name, err, c.line, c.column, c.want)
		}
		if errors.Is(err, ErrNotPlain) != (c.style == Plain) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Within brackets lines may begin anywhere, and what they have is no deeper for that.
func TestLinesInBrackets(t *testing.T) {
	var b strings.Builder
	b.WriteString("a: [\n")
	for i := range 1000 {
		b.WriteString(strings.Repeat(" ", i) + "b,\n")
	}
	b.WriteString("c]\n--- \nd: e\n")
	elements, documents := 0, 0
	err := Parse(b.String(), Plain, func(body ast.Node, more []ast.Node) {
		documents = 1 + len(more)
		pairs, _ := Pairs(body)
		for _, p := range pairs {
			if list, ok := p.Value.(*ast.SequenceNode); ok {
				elements = len(list.Values)
			}
		}
	})
	if err != nil || elements != 1001 || documents != 2 {
		t.Errorf("%d elements in the first of %d documents: %v", elements, documents, err)
	}
}

// A panic is an error: it is the YAML library's, which methods of nodes are a part of.
func TestPanic(t *testing.T) {
	err := Parse("a: b", Any, func(ast.Node, []ast.Node) { panic("odd") })
	if _, ok := errors.AsType[*Error](err); !ok || err.Error() != "not YAML: odd" {
		t.Errorf("%v", err)
	}
}
