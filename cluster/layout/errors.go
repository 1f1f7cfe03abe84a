package layout

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// An Error says what is wrong in a layout, and where.
type Error struct {
	File         string
	Line, Column int // from 1, columns in characters; 0 if it is about the whole file
	Err          error
}

func (e *Error) Error() string { return at(e.File, place{e.Line, e.Column}) + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// A place is a line and a column, or zero for the whole file.
type place struct{ line, column int }

func at(file string, p place) string {
	if p.line == 0 {
		return file + ": "
	}
	return fmt.Sprintf("%s:%d:%d: ", file, p.line, p.column)
}

// maxErrors and maxWarnings bound what is told of one file: more help nobody.
const (
	maxErrors   = 20
	maxWarnings = 100
)

// A report collects what is wrong or odd in a file, so that one look at it is enough.
type report struct {
	file     string
	errs     []error
	warnings []string
	more     [2]int               // errors and warnings that are not told
	once     map[string]*repeated // warnings that are told for the first place only
}

type repeated struct {
	index int // among the warnings
	n     int
}

func (r *report) fail(p place, format string, args ...any) {
	if len(r.errs) >= maxErrors {
		r.more[0]++
		return
	}
	e := &Error{File: r.file, Line: p.line, Column: p.column, Err: fmt.Errorf(format, args...)}
	if !slices.ContainsFunc(r.errs, func(told error) bool { return told.Error() == e.Error() }) { // as of a constant that several use
		r.errs = append(r.errs, e)
	}
}

func (r *report) warn(p place, format string, args ...any) {
	if len(r.warnings) >= maxWarnings {
		r.more[1]++
		return
	}
	r.warnings = append(r.warnings, at(r.file, p)+fmt.Sprintf(format, args...))
}

// warnOnce warns at the first place of many with the same text.
func (r *report) warnOnce(p place, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if seen := r.once[text]; seen != nil {
		seen.n++
		return
	}
	if r.once == nil {
		r.once = make(map[string]*repeated)
	}
	if r.warn(p, "%s", text); len(r.warnings) < maxWarnings {
		r.once[text] = &repeated{index: len(r.warnings) - 1}
	}
}

// end returns the warnings and the errors.
func (r *report) end() ([]string, error) {
	for _, seen := range r.once {
		if seen.n > 0 && seen.index < len(r.warnings) {
			r.warnings[seen.index] += fmt.Sprintf(" (and %d more)", seen.n)
			seen.n = 0
		}
	}
	if r.more[1] > 0 {
		r.warnings = append(r.warnings, fmt.Sprintf("%s: and %d more warnings", r.file, r.more[1]))
	}
	line := func(err error) int {
		if e, ok := errors.AsType[*Error](err); ok && e.Line > 0 {
			return e.Line
		}
		return math.MaxInt // what is about the whole file comes last
	}
	slices.SortStableFunc(r.errs, func(a, b error) int { return cmp.Compare(line(a), line(b)) })
	if r.more[0] > 0 {
		r.errs = append(r.errs, &Error{File: r.file, Err: fmt.Errorf("and %d more errors", r.more[0])})
	}
	return r.warnings, errors.Join(r.errs...)
}

// quoted returns text for an error, in quotes and not too long.
func quoted(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return fmt.Sprintf("%q...", s[:cut])
	}
	return fmt.Sprintf("%q", s)
}
