package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
)

const (
	// memTable is how much the database keeps in memory before it writes a sorted file. The log, which
	// is read at each opening, has as much.
	memTable = 4 << 20
	// noStall keeps the database from making writers wait until it has merged files: it merges them
	// after, and nobody reads them but the next start.
	noStall = 1 << 20
)

// A Backend keeps the contents of one store in a directory. It implements [store.Backend].
type Backend struct {
	path    string
	options options
	lock    *pebble.Lock
	enc     *encoder

	mu     sync.Mutex // held by every method, and by the burials
	db     *pebble.DB // nil after a failure, until the next use, and at the end
	disk   *disk      // that db writes to
	closed bool

	burials sync.WaitGroup
}

var _ store.Backend = (*Backend)(nil)

var errClosed = errors.New("closed before")

// Open opens the database in the directory path, which is created if it is missing. It locks it
// against other processes, and fails without having changed anything if it is no database of a store,
// if it has a newer format, or if it is damaged.
func Open(path string, opts ...Option) (*Backend, error) {
	b := &Backend{
		path:    path,
		options: options{fs: vfs.Default, cache: 8 << 20, table: memTable, log: slog.New(slog.DiscardHandler)},
		enc:     newEncoder(),
	}
	for _, opt := range opts {
		opt(&b.options)
	}
	if err := b.take(); err != nil {
		return nil, b.errorf("%w", err)
	}
	if err := b.first(); err != nil {
		b.burials.Wait()
		return nil, errors.Join(b.errorf("%w", err), b.lock.Close())
	}
	return b, nil
}

// errorf is fmt.Errorf with the path before it.
func (b *Backend) errorf(format string, args ...any) error {
	return fmt.Errorf("store in %s: "+format, append([]any{b.path}, args...)...)
}

// take looks what is at the path, creates the directory if nothing is, and locks it.
func (b *Backend) take() error {
	if b.path == "" {
		return errors.New("no path: give a directory")
	}
	files := b.options.fs
	info, err := files.Stat(b.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := mkdirAll(files, b.path); err != nil {
			return fmt.Errorf("cannot create the directory: %w", err)
		}
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("is a file and not a directory: give another path, or move it away")
	default:
		if err := b.refuseForeign(); err != nil {
			return err
		}
	}
	b.lock, err = pebble.LockDirectory(b.path, files)
	var pathError *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pathError):
		return fmt.Errorf("cannot create the lock in the directory: %w: it must be writable", err)
	}
	return fmt.Errorf("cannot lock the directory: another process, or another store of this one, holds it (%w)", err)
}

// refuseForeign fails if the directory holds anything but a database, or what a crash during the
// creation of one leaves.
func (b *Backend) refuseForeign() error {
	names, err := b.options.fs.List(b.path)
	if err != nil {
		return err
	}
	if desc, err := pebble.Peek(b.path, b.options.fs); err != nil {
		return fmt.Errorf("cannot be read by this version: %w", err)
	} else if desc.Exists {
		return nil
	}
	for _, name := range names {
		if name != "LOCK" && !strings.HasPrefix(name, "MANIFEST-") && !strings.HasPrefix(name, "marker.") &&
			!strings.HasPrefix(name, "OPTIONS-") && !strings.HasSuffix(name, ".log") && !strings.HasSuffix(name, ".dbtmp") {
			return fmt.Errorf("the directory holds %q and no store: give an empty directory, or one that does not exist", name)
		}
	}
	return nil
}

// mkdirAll creates a directory and those above it, durably.
func mkdirAll(files vfs.FS, path string) error {
	parent := files.PathDir(path)
	if _, err := files.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := mkdirAll(files, parent); err != nil {
			return err
		}
	}
	if err := files.MkdirAll(path, 0o755); err != nil {
		return err
	}
	dir, err := files.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// first opens the database for the first time: if there is one, only for reading, so that one that is
// not for us stays as it is.
func (b *Backend) first() error {
	desc, err := pebble.Peek(b.path, b.options.fs)
	if err != nil {
		return err
	}
	isNew := true
	if unborn, err := b.removeUnborn(desc); err != nil {
		return err
	} else if desc.Exists && !unborn {
		db, _, err := b.open(true)
		if err != nil {
			return err
		}
		isNew, err = checkFormat(db)
		if cerr := db.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return explain(err)
		}
	}
	if b.db, b.disk, err = b.open(false); err != nil {
		return err
	}
	if !isNew {
		return nil
	}
	err = b.db.Set([]byte{formatKey}, b.enc.any(formatRecord{Format: format}), pebble.Sync)
	if err = errors.Join(err, b.disk.Failure()); err != nil {
		return errors.Join(err, b.shut())
	}
	return nil
}

// removeUnborn removes what a crash during the creation of a database may leave: the file that names
// the manifest, without the manifest. As long as nothing was committed there are no tables and no logs.
func (b *Backend) removeUnborn(desc *pebble.DBDesc) (unborn bool, err error) {
	files := b.options.fs
	if !desc.Exists {
		return false, nil
	}
	if _, err := files.Stat(desc.ManifestFilename); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	names, err := files.List(b.path)
	if err != nil {
		return false, err
	}
	var markers []string
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "marker.manifest."):
			markers = append(markers, name)
		case name != "LOCK":
			return false, nil
		}
	}
	for _, name := range markers {
		if err := files.Remove(files.PathJoin(b.path, name)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// checkFormat tells whether the database is empty, and fails unless it is or has our format.
func checkFormat(db *pebble.DB) (empty bool, err error) {
	record, closer, err := db.Get([]byte{formatKey})
	if errors.Is(err, pebble.ErrNotFound) {
		it, err := db.NewIter(nil)
		if err != nil {
			return false, err
		}
		empty := !it.First()
		if err := errors.Join(it.Error(), it.Close()); err != nil {
			return false, err
		}
		if !empty {
			return false, errors.New("is the database of another program: give another path")
		}
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var found formatRecord
	if err := errors.Join(unmarshal(record, &found), closer.Close()); err != nil {
		return false, fmt.Errorf("the record of the format is damaged: %w: %s", err, restore)
	}
	if found.Format != format {
		return false, fmt.Errorf("has format %d, and this version reads format %d: use the version that wrote it, or a newer one", found.Format, format)
	}
	return false, nil
}

// open opens the database on a new disk.
func (b *Backend) open(readOnly bool) (*pebble.DB, *disk, error) {
	d := &disk{FS: b.options.fs}
	d.failed = func() { b.burials.Go(func() { b.bury(d) }) }
	log := logger{b.options.log, d}
	db, err := pebble.Open(b.path, &pebble.Options{
		FS:                          d,
		Lock:                        b.lock,
		ReadOnly:                    readOnly,
		Logger:                      log,
		EventListener:               log.events(),
		CacheSize:                   b.options.cache,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		MemTableSize:                b.options.table,
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       noStall,
	})
	if failure := d.Failure(); failure != nil {
		if err == nil {
			_ = db.Close()
		}
		return nil, nil, failure
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be opened: %w: %s", oneLine{err}, restore)
	}
	return db, d, nil
}

// bury closes the database if d, which stands still, is still its disk: it would go on to merge files
// that are nowhere.
func (b *Backend) bury(d *disk) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.db != nil && b.disk == d {
		b.options.log.Error("store: writing failed, the database is closed until the next commit", "path", b.path, "err", d.Failure())
		_ = b.shut()
	}
}

// shut closes the database. What a disk that stands still makes of it is of no interest.
func (b *Backend) shut() error {
	err := b.db.Close()
	if b.disk.Failure() != nil {
		err = nil
	}
	b.db, b.disk = nil, nil
	return err
}

// use calls f with the database, which is opened again if it was closed after a failure.
func (b *Backend) use(f func(db *pebble.DB) error) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return b.errorf("%w", errClosed)
	}
	if b.db == nil {
		if b.db, b.disk, err = b.open(false); err != nil {
			return b.errorf("%w", err)
		}
		b.options.log.Info("store: database opened again", "path", b.path)
	}
	err = f(b.db)
	if failure := b.disk.Failure(); failure != nil {
		_ = b.shut()
		return b.errorf("writing failed: %w", oneLine{failure})
	}
	if err != nil {
		return b.errorf("%w", explain(err))
	}
	return nil
}

// explain adds what to do to an error of the database that says that a file is damaged.
func explain(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("is damaged: %w: %s", oneLine{err}, restore)
	}
	return err
}

// restore says what to do about damage.
const restore = "restore a backup, or move the directory away to begin with an empty store"

// A oneLine is an error of the database without its line feeds.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.ReplaceAll(e.error.Error(), "\n", "; ") }
func (e oneLine) Unwrap() error { return e.error }

// Commit writes the batch to the log of the database, with one fsync. If that fails, for example
// because the disk is full, the next Commit opens the database anew.
func (b *Backend) Commit(batch *store.Batch) error {
	return b.use(func(db *pebble.DB) error {
		out := db.NewBatchWithSize(sizeOf(batch))
		if err := b.fill(out, batch); err != nil {
			return errors.Join(err, out.Close())
		}
		return errors.Join(out.Commit(pebble.Sync), out.Close())
	})
}

// sizeOf returns about how many bytes a batch will take.
func sizeOf(batch *store.Batch) int {
	size := 128 + 64*len(batch.Writers)
	for i := range batch.Changes {
		size += 32 + len(batch.Changes[i].Key) + len(batch.Changes[i].Value)
	}
	return size
}

func (b *Backend) fill(out *pebble.Batch, batch *store.Batch) error {
	var key []byte
	if batch.Clear {
		if err := out.DeleteRange([]byte{recordPrefix}, []byte{recordPrefix + 1}, nil); err != nil {
			return err
		}
	}
	for i := range batch.Changes {
		c := &batch.Changes[i]
		key = append(append(key[:0], recordPrefix), c.Key...)
		err := error(nil)
		if c.Erase {
			err = out.Delete(key, nil)
		} else {
			err = out.Set(key, b.enc.record(c.Record), nil)
		}
		if err != nil {
			return err
		}
	}
	for _, w := range batch.Writers {
		key = wire.AppendEntityID(append(key[:0], writerPrefix), w.Writer)
		err := error(nil)
		if w.Seq == 0 {
			err = out.Delete(key, nil)
		} else {
			err = out.Set(key, b.enc.number(w.Seq), nil)
		}
		if err != nil {
			return err
		}
	}
	master := wire.AppendEntityID(nil, batch.Master)
	return out.Set([]byte{stateKey}, b.enc.any(&stateRecord{Master: master, Mark: batch.Mark}), nil)
}

// State returns what the last Commit left.
func (b *Backend) State() (state store.State, err error) {
	err = b.use(func(db *pebble.DB) error {
		record, closer, err := db.Get([]byte{stateKey})
		if errors.Is(err, pebble.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		var found stateRecord
		if err := errors.Join(unmarshal(record, &found), closer.Close()); err != nil {
			return damaged([]byte{stateKey}, err)
		}
		if state.Master, err = wire.ParseEntityID(found.Master); err != nil {
			return damaged([]byte{stateKey}, err)
		}
		state.Mark, state.Writers = found.Mark, map[wire.EntityID]uint64{}
		return each(db, writerPrefix, func(key, value []byte) error {
			writer, err := wire.ParseEntityID(key)
			if err != nil {
				return err
			}
			var seq uint64
			if err := unmarshal(value, &seq); err != nil {
				return err
			}
			state.Writers[writer] = seq
			return nil
		})
	})
	if err != nil {
		return store.State{}, err
	}
	return state, nil
}

// Load calls yield for each record, in the order of the encoded keys.
func (b *Backend) Load(yield func(store.Record) error) error {
	var failed error
	err := b.use(func(db *pebble.DB) error {
		dec := newDecoder()
		return each(db, recordPrefix, func(key, record []byte) error {
			value, expiry, err := dec.record(record)
			if err != nil {
				return err
			}
			failed = yield(store.Record{Key: key, Value: value, Expiry: expiry})
			if failed != nil {
				return errStop
			}
			return nil
		})
	})
	if failed != nil {
		return failed
	}
	return err
}

var errStop = errors.New("stopped by the caller")

// each calls f for each key with the prefix, and what follows it.
func each(db *pebble.DB, prefix byte, f func(key, value []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		value, verr := it.ValueAndErr()
		if err = verr; err == nil {
			if err = f(it.Key()[1:], value); err != nil && !errors.Is(err, errStop) {
				err = damaged(it.Key(), err)
			}
		}
	}
	if cerr := it.Close(); err == nil { // the first error of the iteration
		err = cerr
	}
	return err
}

func damaged(key []byte, err error) error {
	return fmt.Errorf("the record with the key %x is damaged: %w: %s", key, err, restore)
}

// Close closes the database and gives up the lock.
func (b *Backend) Close() (err error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return b.errorf("%w", errClosed)
	}
	b.closed = true
	if b.db != nil {
		err = b.shut()
	}
	b.mu.Unlock()
	b.burials.Wait()
	if err = errors.Join(err, b.lock.Close()); err != nil {
		return b.errorf("closing: %w", err)
	}
	return nil
}
