package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/zeekpeer/zeekpeer/store"
)

// A Backend keeps the contents of one store in a file. It implements [store.Backend].
type Backend struct {
	path    string
	options options
	db      *database     // nil after a failure, until the next use
	counter sql.NullInt64 // the change counter when db was lost
	closed  bool
}

var _ store.Backend = (*Backend)(nil)

// Open opens the file, which is created if it is missing, like the directories above it. It locks it
// against other processes, and fails without having changed anything if it is no store, or if its
// table zeekpeer_state has a newer format.
func Open(path string, opts ...Option) (*Backend, error) {
	b := &Backend{path: path, options: options{
		synchronous: SynchronousFull,
		failure:     FailureFail,
		log:         slog.New(slog.DiscardHandler),
	}}
	for _, opt := range opts {
		opt(&b.options)
	}
	if err := b.first(); err != nil {
		return nil, b.errorf("%w", err)
	}
	return b, nil
}

// errorf is fmt.Errorf with the path before it.
func (b *Backend) errorf(format string, args ...any) error {
	return fmt.Errorf("store in %s: "+format, append([]any{b.path}, args...)...)
}

func (b *Backend) first() (err error) {
	if err := b.options.check(); err != nil {
		return err
	}
	if b.path == "" {
		return errors.New("no path: give the name of a file")
	}
	if b.path, err = filepath.Abs(b.path); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.path), 0o755); err != nil {
		return fmt.Errorf("cannot create the directory: %w", err)
	}
	info, err := os.Stat(b.path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("is no regular file (%v): give another path, or move it away", info.Mode())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = b.open(false)
	if err != nil && isDamage(err) && b.options.failure == FailureDelete {
		b.options.log.Warn("store: removing a damaged file, as the failure mode says", "path", b.path, "err", err)
		if err := os.Remove(b.path); err != nil {
			return fmt.Errorf("is damaged, and cannot be removed: %w", err)
		}
		err = b.open(false)
	}
	return explain(err)
}

// open opens the file. Again is for after a failure, when the contents are in memory already.
func (b *Backend) open(again bool) (err error) {
	d, err := openDatabase(b.path, &b.options)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = d.close()
		}
	}()
	if b.options.integrityCheck {
		if err := d.integrity(); err != nil {
			return err
		}
	}
	state, foreign, err := d.look()
	if err != nil {
		return err
	}
	if again {
		_, counter, err := d.traces()
		if err != nil {
			return err
		}
		if foreign || b.counter.Valid && counter != b.counter {
			return errOthers
		}
	}
	if foreign {
		b.options.log.Warn("store: another program, such as a Zeek node, has written to the file: its contents are taken over under a new master",
			"path", b.path, "master", state.Master, "mark", state.Mark)
	}
	if err := d.prepare(&b.options, foreign); err != nil {
		_, b.counter, _ = d.traces()
		return err
	}
	b.db = d
	return nil
}

// use calls f with the database, which is opened again if it was closed after a failure.
func (b *Backend) use(f func(*database) error) error {
	if b.closed {
		return b.errorf("%w", errClosed)
	}
	if b.db == nil {
		if err := b.open(true); err != nil {
			return b.errorf("%w", explain(err))
		}
	}
	if err := f(b.db); err != nil {
		return b.errorf("%w", err)
	}
	return nil
}

// lose closes the file after a failure. Whoever writes to it from now on changes the counter.
func (b *Backend) lose() error {
	_, b.counter, _ = b.db.traces()
	err := b.db.close()
	b.db = nil
	return err
}

// State returns what the last Commit left; nothing if others have written to the file after it.
func (b *Backend) State() (state store.State, err error) {
	err = b.use(func(d *database) (err error) {
		state, err = d.state()
		return err
	})
	return state, err
}

// Load calls yield for each record. Rows that other programs have written in other forms than ours are brought into it.
func (b *Backend) Load(yield func(store.Record) error) error {
	return b.use(func(d *database) error { return d.load(b.options.log.With("path", b.path), yield) })
}

// Commit does the batch in one transaction. After a failure the next Commit opens the file anew; if
// others have written to it meanwhile, it and all that follow fail.
func (b *Backend) Commit(batch *store.Batch) error {
	return b.use(func(d *database) error {
		err := d.commit(batch)
		if err != nil {
			b.options.log.Error("store: writing failed, the file is closed until the next commit", "path", b.path, "err", err)
			err = errors.Join(explain(err), b.lose())
		}
		return err
	})
}

// Close closes the file and gives up the lock.
func (b *Backend) Close() error {
	if b.closed {
		return b.errorf("%w", errClosed)
	}
	b.closed = true
	if b.db == nil {
		return nil
	}
	if err := b.db.sign(); err != nil {
		b.options.log.Warn("store: cannot tell next time whether others have changed the file", "path", b.path, "err", err)
	}
	if err := b.db.close(); err != nil {
		return b.errorf("closing: %w", explain(err))
	}
	return nil
}
