package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
)

// busyTimeout is how long an opening waits for the lock of another process, in milliseconds.
const busyTimeout = 500

// format is the number of the format of the table zeekpeer_state.
const format = 1

// The version of Broker that a new file is marked with; files of all versions are alike.
const brokerVersion = "2.8.0"

// The keys of zeekpeer_state that are texts.
const (
	keyFormat  = "format"
	keyMaster  = "master"
	keyMark    = "mark"
	keyMetaRow = "meta_row"       // the row id of broker_version in meta
	keyCounter = "change_counter" // of the file's header when we closed it; null while it is open, and in WAL mode
)

// Statements that a database is used with.
const (
	sqlReplace     = "replace into store(key, value, expiry) values(?, ?, ?)"
	sqlErase       = "delete from store where key = ?"
	sqlClear       = "delete from store"
	sqlSetState    = "replace into zeekpeer_state(key, value) values(?, ?)"
	sqlForgetState = "delete from zeekpeer_state where key = ?"
	sqlMetaRow     = "select rowid from meta where key = 'broker_version'"
	sqlCounter     = "select substr(data, 25, 4) from sqlite_dbpage where pgno = 1"
)

// ctx is for the calls of database/sql: a master waits for its backend.
var ctx = context.Background()

// A database is an opening of the file, with the lock on it.
type database struct {
	pool *sql.DB
	conn *sql.Conn // the only one

	replace, erase, setState *sql.Stmt
}

// openDatabase opens a file and takes the lock, but changes nothing yet.
func openDatabase(path string, o *options) (_ *database, err error) {
	// Relative to nothing, with what has a meaning in URIs escaped.
	name := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	pool, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	d := &database{pool: pool}
	defer func() {
		if err != nil {
			_ = d.close()
		}
	}()
	if d.conn, err = d.pool.Conn(ctx); err != nil {
		return nil, err
	}
	err = d.exec(fmt.Sprintf("pragma busy_timeout = %d", busyTimeout),
		"pragma locking_mode = exclusive",
		"pragma synchronous = "+string(o.synchronous),
		"begin exclusive", "commit") // has the lock from here on
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (d *database) exec(statements ...string) error {
	for _, s := range statements {
		if _, err := d.conn.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// get reads one value; found is false if there is no such row.
func (d *database) get(dst any, query string, args ...any) (found bool, err error) {
	err = d.conn.QueryRowContext(ctx, query, args...).Scan(dst)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// close gives up the lock, and removes the journal.
func (d *database) close() error {
	for _, s := range []*sql.Stmt{d.replace, d.erase, d.setState} {
		if s != nil {
			_ = s.Close()
		}
	}
	var err error
	if d.conn != nil {
		err = d.conn.Close()
	}
	return errors.Join(err, d.pool.Close())
}

// transaction calls f inside of a transaction.
func (d *database) transaction(f func() error) error {
	if err := d.exec("begin immediate"); err != nil {
		return err
	}
	err := f()
	if err == nil {
		err = d.exec("commit")
	}
	if err != nil {
		_ = d.exec("rollback") // fails if SQLite has done it by itself
	}
	return err
}

// integrity has SQLite look at the whole file.
func (d *database) integrity() error {
	rows, err := d.conn.QueryContext(ctx, "pragma integrity_check")
	if err != nil {
		return err
	}
	var complaints []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return errors.Join(err, rows.Close())
		}
		complaints = append(complaints, line)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	if len(complaints) != 1 || complaints[0] != "ok" {
		return fmt.Errorf("%w, says its integrity check: %s; restore a backup, or move the file away to begin with an empty store",
			errDamaged, strings.Join(complaints, "; "))
	}
	return nil
}

// look tells what the last master left, and whether others have written to the file since then. It
// fails if the file is not for us, and changes nothing.
func (d *database) look() (state store.State, foreign bool, err error) {
	var all, ours, theirs int
	for _, count := range []struct {
		n     *int
		which string
	}{{&all, "true"}, {&ours, "name = 'zeekpeer_state'"}, {&theirs, "name in ('meta', 'store')"}} {
		if _, err := d.get(count.n, "select count(*) from sqlite_master where type = 'table' and "+count.which); err != nil {
			return state, false, err
		}
	}
	if all > 0 && theirs == 0 {
		return state, false, errNotAStore
	}
	if theirs > 0 {
		for _, query := range []string{"select key, value from meta", "select key, value, expiry from store"} {
			rows, err := d.conn.QueryContext(ctx, query+" limit 0")
			if err != nil {
				return state, false, fmt.Errorf("%w: %w", errNotAStore, err)
			}
			if err := rows.Close(); err != nil {
				return state, false, err
			}
		}
	}
	if ours == 0 {
		return state, false, nil
	}
	var found int64
	if _, err := d.get(&found, "select value from zeekpeer_state where key = ?", keyFormat); err != nil {
		return state, false, fmt.Errorf("table zeekpeer_state: no format to be read: %w", err)
	}
	if found != format {
		return state, false, fmt.Errorf("table zeekpeer_state has format %d, and this version reads format %d: use the version that wrote it, or a newer one", found, format)
	}
	if state, err = d.state(); err != nil {
		return state, false, err
	}
	row, counter, err := d.traces()
	if err != nil {
		return state, false, err
	}
	var lastRow, lastCounter sql.NullInt64
	for key, dst := range map[string]*sql.NullInt64{keyMetaRow: &lastRow, keyCounter: &lastCounter} {
		if _, err := d.get(dst, "select value from zeekpeer_state where key = ?", key); err != nil {
			return state, false, err
		}
	}
	return state, lastRow != row || lastCounter.Valid && lastCounter != counter, nil
}

// state reads what the last master left.
func (d *database) state() (state store.State, err error) {
	rows, err := d.conn.QueryContext(ctx, "select key, value from zeekpeer_state")
	if err != nil {
		return state, err
	}
	state.Writers = map[wire.EntityID]uint64{}
	for rows.Next() && err == nil {
		var key, value any
		if err = rows.Scan(&key, &value); err == nil {
			err = addState(&state, key, value)
		}
	}
	if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return store.State{}, err
	}
	return state, nil
}

func addState(state *store.State, key, value any) error {
	number, isNumber := value.(int64)
	blob, _ := value.([]byte)
	master, masterErr := wire.ParseEntityID(blob)
	text, isWriter := key.([]byte)
	writer, writerErr := wire.ParseEntityID(text)
	switch {
	case key == keyMaster && masterErr == nil:
		state.Master = master
	case key == keyMark && isNumber:
		state.Mark = uint64(number)
	case isWriter && writerErr == nil && isNumber:
		state.Writers[writer] = uint64(number)
	case isWriter || key == keyMaster || key == keyMark:
		return fmt.Errorf("table zeekpeer_state: key %v has the value %v, which is damaged: remove the table to begin with a new master, or restore a backup", key, value)
	}
	return nil
}

// traces returns what others change when they write: the row id of the version in meta, and the change
// counter of the file, which is not valid in WAL mode.
func (d *database) traces() (row, counter sql.NullInt64, err error) {
	if _, err = d.get(&row, sqlMetaRow); err != nil {
		return row, counter, err
	}
	var mode string
	if _, err = d.get(&mode, "pragma journal_mode"); err != nil || strings.EqualFold(mode, string(JournalWAL)) {
		return row, counter, err
	}
	var b []byte
	if _, err = d.get(&b, sqlCounter); err == nil && len(b) == 4 {
		counter = sql.NullInt64{Int64: int64(binary.BigEndian.Uint32(b)), Valid: true}
	}
	return row, counter, err
}

// prepare makes the file one of ours: in the journal mode, with the tables, and with the trace of Zeek
// nodes written down. With forget it begins with a new master.
func (d *database) prepare(o *options, forget bool) error {
	if o.journal != "" {
		var mode string
		if _, err := d.get(&mode, "pragma journal_mode = "+string(o.journal)); err != nil {
			return err
		}
		if !strings.EqualFold(mode, string(o.journal)) {
			return fmt.Errorf("journal mode is %s, and cannot be changed to %s", mode, o.journal)
		}
	}
	err := d.transaction(func() error {
		err := d.exec("create table if not exists meta(key text primary key, value text)",
			"create table if not exists store(key blob primary key, value blob, expiry integer)",
			"create table if not exists zeekpeer_state(key primary key, value) without rowid",
			"insert or ignore into meta(key, value) values('broker_version', '"+brokerVersion+"')")
		if err == nil && forget {
			err = d.exec("delete from zeekpeer_state")
		}
		if err != nil {
			return err
		}
		row, _, err := d.traces()
		if err != nil {
			return err
		}
		return d.set(keyFormat, format, keyMetaRow, row, keyCounter, nil)
	})
	if err != nil {
		return err
	}
	for _, s := range []struct {
		dst **sql.Stmt
		sql string
	}{{&d.replace, sqlReplace}, {&d.erase, sqlErase}, {&d.setState, sqlSetState}} {
		if *s.dst, err = d.conn.PrepareContext(ctx, s.sql); err != nil {
			return err
		}
	}
	return nil
}

// set writes keys of zeekpeer_state that are texts, each with its value behind it.
func (d *database) set(pairs ...any) error {
	for i := 0; i < len(pairs); i += 2 {
		if _, err := d.conn.ExecContext(ctx, sqlSetState, pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// sign writes down the change counter, as the last thing that is done to the file. A transaction
// adds one to it if it writes the first page, as setting the version of the user does.
func (d *database) sign() error {
	_, counter, err := d.traces()
	if err != nil || !counter.Valid {
		return err
	}
	var version int64
	if _, err := d.get(&version, "pragma user_version"); err != nil {
		return err
	}
	signed := (counter.Int64 + 1) & (1<<32 - 1)
	err = d.transaction(func() error {
		if err := d.set(keyCounter, signed); err != nil {
			return err
		}
		return d.exec(fmt.Sprintf("pragma user_version = %d", version))
	})
	if err != nil {
		return err
	}
	if _, counter, err = d.traces(); err != nil || counter.Int64 == signed {
		return err
	}
	return d.set(keyCounter, nil) // it counts otherwise than it should: not to be relied on
}

// commit does the batch.
func (d *database) commit(b *store.Batch) error {
	return d.transaction(func() error {
		if b.Clear {
			if err := d.exec(sqlClear); err != nil {
				return err
			}
		}
		for i := range b.Changes {
			if err := d.change(&b.Changes[i]); err != nil {
				return err
			}
		}
		for _, w := range b.Writers {
			err := error(nil)
			if w.Seq == 0 {
				_, err = d.conn.ExecContext(ctx, sqlForgetState, wire.AppendEntityID(nil, w.Writer))
			} else {
				_, err = d.setState.ExecContext(ctx, wire.AppendEntityID(nil, w.Writer), int64(w.Seq))
			}
			if err != nil {
				return err
			}
		}
		_, err := d.setState.ExecContext(ctx, keyMaster, wire.AppendEntityID(nil, b.Master))
		if err == nil {
			_, err = d.setState.ExecContext(ctx, keyMark, int64(b.Mark))
		}
		return err
	})
}

func (d *database) change(c *store.Change) error {
	if c.Erase {
		_, err := d.erase.ExecContext(ctx, c.Key)
		return err
	}
	_, err := d.replace.ExecContext(ctx, c.Key, c.Value, expiryOf(c.Expiry))
	return err
}

// expiryOf returns null for records that do not expire.
func expiryOf(ns int64) sql.NullInt64 { return sql.NullInt64{Int64: ns, Valid: ns != 0} }
