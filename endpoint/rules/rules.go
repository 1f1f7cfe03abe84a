package rules

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// maxFile bounds a file of rules: tens of thousands of rules.
const maxFile = 4 << 20

// Rules are the access rules of a file. Their methods may be called from several goroutines at a time.
type Rules struct {
	path string
	set  atomic.Pointer[ruleSet]
}

// Load reads rules from a file. The error is an [*Error], or several joined, if the file can be read and is
// wrong.
func Load(path string) (*Rules, error) {
	r := &Rules{path: path}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload reads the file again. With an error, the rules stay what they were. For peers that are there,
// call [endpoint.Endpoint.ReloadAccess] then.
func (r *Rules) Reload() error {
	file, err := os.Open(r.path)
	if err != nil {
		return fmt.Errorf("access rules: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return fmt.Errorf("access rules: %w", err)
	}
	if len(text) > maxFile {
		return &Error{File: r.path, Err: fmt.Errorf("more than %d bytes", maxFile)}
	}
	set, err := parse(r.path, text)
	if err != nil {
		return err
	}
	r.set.Store(set)
	return nil
}

// Access returns what somebody may do. It is for [endpoint.WithAccess].
func (r *Rules) Access(id endpoint.Identity) endpoint.Access {
	_, access := r.Decide(id)
	return access
}

// Decide returns which rule holds for somebody, such as `rule 2 "workers" (line 7)`, and what it allows.
func (r *Rules) Decide(id endpoint.Identity) (rule string, access endpoint.Access) {
	set := r.set.Load()
	who := newSubject(id)
	for i := range set.rules {
		if set.rules[i].match.holds(&who) {
			return set.rules[i].title, set.rules[i].access
		}
	}
	return set.byDefault.title, set.byDefault.access
}

// A ruleSet is what a file says. It does not change.
type ruleSet struct {
	rules     []rule
	byDefault rule
}

// A rule says what those may do who match it.
type rule struct {
	title  string
	match  match
	access endpoint.Access
}

// An Error says what is wrong in a file of rules, and where.
type Error struct {
	File         string
	Line, Column int // from 1; 0 if it is about the whole file
	Err          error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// errEmpty says that there are no rules.
var errEmpty = errors.New("no rules: want a list under \"rules:\" and what holds for all others under \"default:\"")
