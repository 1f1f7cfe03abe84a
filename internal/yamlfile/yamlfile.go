// Package yamlfile parses files in YAML that people write, and says where something is wrong in them. It refuses what stands
// deep within each other before the YAML parser sees it, which takes memory by the square of the depth, and stack without
// end.
package yamlfile

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// An Error says why a file is not parsed, and where.
type Error struct {
	Line, Column int // from 1; 0 if it is about the whole file
	Err          error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// A Style says which of YAML a file may have.
type Style int

// The styles.
const (
	Any   Style = iota
	Plain       // no anchors, tags, directives, merge keys, keys with ?, and lists within lists in a line
)

// maxNesting bounds what stands within each other: a layout of a cluster has three mappings, access rules have six.
const maxNesting = 16

// ErrNotPlain is why a file is not [Plain], errDeep why it is not parsed at all.
var (
	ErrNotPlain = errors.New("an anchor, tag, directive, key with ? or list within a list")
	errDeep     = fmt.Errorf("more than %d mappings or lists within each other, or anchors, tags or keys with ? in a line", maxNesting)
)

// Parse parses a text and calls read with the body of its first document, nil if there is none, and those of more
// documents. A panic of the YAML library, also in read, is an error. Errors are [*Error].
func Parse(text string, style Style, read func(body ast.Node, more []ast.Node)) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &Error{Err: fmt.Errorf("not YAML: %v", r)}
		}
	}()
	words := lexer.Tokenize(text)
	if err := check(words, style); err != nil {
		return err
	}
	tree, err := parser.Parse(words, 0)
	if err != nil {
		return placed(err)
	}
	var bodies []ast.Node
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		read(nil, nil)
	} else {
		read(bodies[0], bodies[1:])
	}
	return nil
}

// check finds the first token that stands too deep, or is not of the style, before the parser sees it. Outside of
// brackets what is deeper stands further to the right, or else behind a mark, which is counted by the line.
func check(words token.Tokens, style Style) error {
	var indents []int        // of the lines that hold this one
	var closing []token.Type // of the brackets that are open
	marks, line := 0, 0
	for _, t := range words {
		at, column := position(t)
		if at != line {
			line, marks = at, 0
			if len(closing) == 0 {
				for len(indents) > 0 && indents[len(indents)-1] >= column {
					indents = indents[:len(indents)-1]
				}
				indents = append(indents, column)
			}
		}
		plain := true
		switch t.Type {
		case token.MappingStartType:
			closing = append(closing, token.MappingEndType)
		case token.SequenceStartType:
			closing = append(closing, token.SequenceEndType)
		case token.MappingEndType, token.SequenceEndType:
			if last := len(closing) - 1; last >= 0 && closing[last] == t.Type {
				closing = closing[:last]
			}
		case token.SequenceEntryType:
			marks++
			plain = marks == 1
		case token.MappingKeyType, token.AnchorType, token.TagType:
			marks++
			plain = false
		case token.DirectiveType, token.MergeKeyType:
			plain = false
		}
		switch {
		case style == Plain && !plain:
			return &Error{at, column, ErrNotPlain}
		case max(len(indents), len(closing), marks) > maxNesting:
			return &Error{at, column, errDeep}
		}
	}
	return nil
}

// placed returns an error of the parser with its place, and without the lines around it.
func placed(err error) error {
	var syntax interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &syntax) {
		return &Error{Err: err}
	}
	line, column := position(syntax.GetToken())
	return &Error{line, column, errors.New(syntax.GetMessage())}
}

// Position returns where a node begins, or zeros. The token of a mapping is its first colon.
func Position(n ast.Node) (line, column int) {
	switch n := n.(type) {
	case nil:
		return 0, 0
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return Position(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return Position(n.Key)
	}
	return position(n.GetToken())
}

func position(t *token.Token) (line, column int) {
	if t == nil || t.Position == nil {
		return 0, 0
	}
	return t.Position.Line, t.Position.Column
}

// Pairs returns what a mapping has, in its order; ok is false for another node.
func Pairs(n ast.Node) (pairs []*ast.MappingValueNode, ok bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// Text returns the value of a text; ok is false for another node.
func Text(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// What a node is that is no scalar.
const (
	Nothing = "nothing there"
	Mapping = "a mapping"
	List    = "a list"
	Alias   = "an alias"
)

// KindOf says what a node is: one of the constants, or "" for a scalar.
func KindOf(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return Nothing
	case *ast.MappingNode, *ast.MappingValueNode:
		return Mapping
	case *ast.SequenceNode:
		return List
	case *ast.AliasNode:
		return Alias
	}
	return ""
}
