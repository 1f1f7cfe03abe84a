package data

import (
	"fmt"
	"strconv"
)

// A FieldError says which part of a Go value could not be read from a value or turned into one. Its
// text is, for example,
//
//	args[1].id.orig_h: got count, want addr
type FieldError struct {
	// Path leads from the whole to the part at fault: names of fields as in the tags, indices of
	// vectors and sets, and [2].key and [2].value for an entry of a table. It is empty for the whole.
	Path string
	// Err is what is wrong: a [*KindError], a [*SyntaxError], [ErrDepth] and so on.
	Err error
}

func (e *FieldError) Error() string {
	text := e.Err.Error()
	if k, ok := e.Err.(*KindError); ok {
		text = fmt.Sprintf("got %s, want %s", k.Got.ZeekName(), k.Want.ZeekName())
		if k.Got == KindNone {
			text = fmt.Sprintf("unset, want %s (what is optional is a pointer)", k.Want.ZeekName())
		}
	}
	if e.Path == "" {
		return text
	}
	return e.Path + ": " + text
}

func (e *FieldError) Unwrap() error { return e.Err }

// under puts a step before the path of err: the name of a field, or an index in brackets. The empty
// step makes err a FieldError and no more.
func under(step string, err error) error {
	e, ok := err.(*FieldError)
	switch {
	case !ok:
		return &FieldError{Path: step, Err: err}
	case step != "" && e.Path != "" && e.Path[0] != '[':
		e.Path = step + "." + e.Path
	default:
		e.Path = step + e.Path
	}
	return e
}

// index returns the step to an element.
func index(of string, i int) string { return of + "[" + strconv.Itoa(i) + "]" }
