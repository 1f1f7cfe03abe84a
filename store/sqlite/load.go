package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A column is what a row has in one, of any type: SQLite does not mind which.
type column struct{ v any }

func (c *column) Scan(v any) error {
	c.v = v
	return nil
}

// load calls yield for each record, in canonical form. Other programs may have written keys in other
// forms, which neither we nor a Zeek node would ever find again; those rows are replaced, and log tells of those that are
// lost by that.
func (d *database) load(log *slog.Logger, yield func(store.Record) error) error {
	rows, err := d.conn.QueryContext(ctx, "select key, value, expiry from store")
	if err != nil {
		return explain(err)
	}
	var odd []oddRow
	var key, value, expiry column
	for rows.Next() && err == nil {
		if err = rows.Scan(&key, &value, &expiry); err != nil {
			break
		}
		var r store.Record
		if r, err = recordOf(key.v, value.v, expiry.v); err != nil {
			break
		}
		if stored := key.v.([]byte); string(stored) != string(r.Key) {
			r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
			odd = append(odd, oddRow{string(stored), r})
			continue
		}
		err = yield(r)
	}
	if err == nil {
		err = explain(rows.Err())
	}
	if err = errors.Join(err, rows.Close()); err != nil || len(odd) == 0 {
		return err
	}
	lost, err := d.replaceOdd(odd, yield)
	if err == nil && len(lost) > 0 {
		log.Warn("store: rows were removed whose keys are written in another form than those of rows that are there, too, and stay",
			"rows", len(lost), "first", fmt.Sprintf("x'%x'", lost[0]))
	}
	return err
}

// An oddRow is a row whose key is not in canonical form.
type oddRow struct {
	stored string
	store.Record
}

// replaceOdd puts records under their right keys. If there is something already, that stays, and the row is lost: it
// returns the keys of those as they were stored.
func (d *database) replaceOdd(odd []oddRow, yield func(store.Record) error) (lost []string, err error) {
	err = d.transaction(func() error {
		for _, row := range odd {
			if _, err := d.erase.ExecContext(ctx, []byte(row.stored)); err != nil {
				return explain(err)
			}
			var n int
			taken, err := d.get(&n, "select 1 from store where key = ?", row.Key)
			if err != nil {
				return explain(err)
			}
			if taken {
				lost = append(lost, row.stored)
				continue
			}
			if err := d.change(&store.Change{Record: row.Record}); err != nil {
				return explain(err)
			}
			if err := yield(row.Record); err != nil {
				return err
			}
		}
		return nil
	})
	return lost, err
}

// recordOf returns what a row holds.
func recordOf(key, value, expiry any) (r store.Record, err error) {
	k, ok := key.([]byte)
	if !ok {
		return r, fmt.Errorf("table store: a row has the key %v, which is no blob: %s", key, repair)
	}
	if r.Key, err = canonical(k); err != nil {
		return r, fmt.Errorf("table store, the row with the key x'%x': this is no key: %w: %s", k, err, repair)
	}
	v, ok := value.([]byte)
	if !ok {
		return r, fmt.Errorf("table store, the row with the key x'%x': the value is no blob: %s", k, repair)
	}
	if r.Value, err = canonical(v); err != nil {
		return r, fmt.Errorf("table store, the row with the key x'%x': this is no value: %w: %s", k, err, repair)
	}
	switch ns := expiry.(type) {
	case nil:
	case int64:
		if r.Expiry = ns; ns == 0 {
			r.Expiry = 1 // 0 says never to us; both are long ago
		}
	default:
		return r, fmt.Errorf("table store, the row with the key x'%x': the expiry %v is no integer: %s", k, expiry, repair)
	}
	return r, nil
}

const repair = "nothing was changed; delete the row with the program sqlite3, or restore a backup"

// canonical returns a value in canonical form, without what follows it in a blob, which is ignored
// (STORE.md section 6.2).
func canonical(b []byte) ([]byte, error) {
	c, err := data.Canonical(b)
	if errors.Is(err, data.ErrTrailing) {
		_, rest, err := data.Decoder{Lenient: true}.Parse(b)
		if err != nil {
			return nil, err
		}
		return data.Canonical(b[:len(b)-len(rest)])
	}
	return c, err
}
