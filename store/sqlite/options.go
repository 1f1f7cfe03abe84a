package sqlite

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// An Option changes what [Open] does by default.
type Option func(*options)

type options struct {
	synchronous    Synchronous
	journal        Journal
	failure        Failure
	integrityCheck bool
	log            *slog.Logger
}

// Synchronous says how hard SQLite tries to have a commit on the disk before it ends.
type Synchronous string

// The values of Broker::SQLITE_SYNCHRONOUS. With less than full, a commit may be lost when the
// machine goes down (with off, the file may be damaged), and an acknowledged write with it.
const (
	SynchronousOff    Synchronous = "OFF"
	SynchronousNormal Synchronous = "NORMAL"
	SynchronousFull   Synchronous = "FULL" // the default
	SynchronousExtra  Synchronous = "EXTRA"
)

// Journal says how SQLite makes a transaction whole.
type Journal string

// The values of Broker::SQLITE_JOURNAL_MODE. By default a file keeps the mode that it has; a new one
// has JournalDelete.
const (
	JournalDelete Journal = "DELETE"
	JournalWAL    Journal = "WAL"
)

// Failure says what becomes of a file that is no database, or a damaged one.
type Failure string

// The values of Broker::SQLITE_FAILURE_MODE.
const (
	FailureFail   Failure = "FAIL"   // Open fails; the default
	FailureDelete Failure = "DELETE" // the file is removed, and an empty one created
)

// WithSynchronous sets the pragma synchronous.
func WithSynchronous(s Synchronous) Option { return func(o *options) { o.synchronous = s } }

// WithJournal sets the journal mode.
func WithJournal(j Journal) Option { return func(o *options) { o.journal = j } }

// WithFailure sets what becomes of a damaged file. Unlike Zeek, FailureDelete removes a file only if
// it is damaged or no database, and not if it is locked, cannot be written, or the disk is full.
func WithFailure(f Failure) Option { return func(o *options) { o.failure = f } }

// WithIntegrityCheck has the whole file checked when it is opened.
func WithIntegrityCheck() Option { return func(o *options) { o.integrityCheck = true } }

// WithLogger logs when a damaged file is removed, when others have written to the file, and which of their rows are
// lost because they have the key of another. By default nothing is logged.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// OptionsFrom reads the options as Zeek's scripts give them to the SQLite backend: path, synchronous,
// journal_mode, failure_mode and integrity_check. Others are ignored (STORE.md section 6.2).
func OptionsFrom(table map[string]data.Value) (path string, opts []Option, err error) {
	v, found := table["path"]
	if !found {
		return "", nil, fmt.Errorf("options of SQLite: no path: give a string with the name of the file")
	}
	path, ok := v.AsString()
	if !ok || path == "" {
		return "", nil, fmt.Errorf("options of SQLite: path is %v %v: want a string with the name of the file", v.Kind(), v)
	}
	var o options
	for _, enum := range []struct {
		name, prefix string
		set          func(string)
		allowed      []string
	}{
		{"synchronous", "Broker::SQLITE_SYNCHRONOUS_", func(s string) { o.synchronous = Synchronous(s) }, []string{"OFF", "NORMAL", "FULL", "EXTRA"}},
		{"journal_mode", "Broker::SQLITE_JOURNAL_MODE_", func(s string) { o.journal = Journal(s) }, []string{"DELETE", "WAL"}},
		{"failure_mode", "Broker::SQLITE_FAILURE_MODE_", func(s string) { o.failure = Failure(s) }, []string{"FAIL", "DELETE"}},
	} {
		v, found := table[enum.name]
		if !found {
			continue
		}
		value, err := enumOf(v, enum.prefix, enum.allowed)
		if err != nil {
			return "", nil, fmt.Errorf("options of SQLite: %s is %w", enum.name, err)
		}
		enum.set(value)
	}
	if v, found := table["integrity_check"]; found {
		if o.integrityCheck, ok = v.AsBool(); !ok {
			return "", nil, fmt.Errorf("options of SQLite: integrity_check is %v %v: want a boolean", v.Kind(), v)
		}
	}
	return path, []Option{o.merge}, nil
}

// enumOf returns what follows the prefix in an enum value, which must be one of those that are allowed.
func enumOf(v data.Value, prefix string, allowed []string) (string, error) {
	name, ok := v.AsEnum()
	if !ok {
		return "", fmt.Errorf("%v %v: want an enum value, one of %s with %s before it", v.Kind(), v, strings.Join(allowed, ", "), prefix)
	}
	for _, value := range allowed {
		if name == prefix+value {
			return value, nil
		}
	}
	return "", fmt.Errorf("%s: want one of %s with %s before it", name, strings.Join(allowed, ", "), prefix)
}

// merge sets in dst what is set in o.
func (o options) merge(dst *options) {
	if o.synchronous != "" {
		dst.synchronous = o.synchronous
	}
	if o.journal != "" {
		dst.journal = o.journal
	}
	if o.failure != "" {
		dst.failure = o.failure
	}
	dst.integrityCheck = dst.integrityCheck || o.integrityCheck
}

// check fails if a value is none of the constants: it would go into a statement as it is.
func (o options) check() error {
	switch o.synchronous {
	case SynchronousOff, SynchronousNormal, SynchronousFull, SynchronousExtra:
	default:
		return fmt.Errorf("synchronous is %q: want OFF, NORMAL, FULL or EXTRA", o.synchronous)
	}
	switch o.journal {
	case "", JournalDelete, JournalWAL:
	default:
		return fmt.Errorf("journal mode is %q: want DELETE or WAL", o.journal)
	}
	switch o.failure {
	case FailureFail, FailureDelete:
	default:
		return fmt.Errorf("failure mode is %q: want FAIL or DELETE", o.failure)
	}
	return nil
}
