package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var (
	errClosed    = errors.New("closed before")
	errDamaged   = errors.New("damaged")
	errOthers    = errors.New("another program has changed the file while this one had lost it after a failure: attach the store again to read it")
	errNotAStore = errors.New("is the database of another program: give another path")
)

// explain adds to an error of SQLite what it means here and what to do.
func explain(err error) error {
	switch resultOf(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("is locked: another process, such as a Zeek node, or another store of this one, has it open: %w", err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("is no SQLite database: restore a backup, or move the file away to begin with an empty store: %w", err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("is damaged: restore a backup, or move the file away to begin with an empty store: %w", err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("cannot be written: the file and its directory must be writable: %w", err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("cannot grow: the disk is full: %w", err)
	}
	return err
}

// resultOf returns the primary result code of an error of SQLite, or 0.
func resultOf(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// isDamage tells whether an error says that the file is no database, or a damaged one.
func isDamage(err error) bool {
	code := resultOf(err)
	return code == sqlite3.SQLITE_NOTADB || code == sqlite3.SQLITE_CORRUPT || errors.Is(err, errDamaged)
}
