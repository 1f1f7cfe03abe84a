package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/storetest"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, path string, opts ...Option) *Backend {
	t.Helper()
	b, err := Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !b.closed {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

func closed(t *testing.T, b *Backend) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, b *Backend, batch *store.Batch) {
	t.Helper()
	if err := b.Commit(batch); err != nil {
		t.Fatal(err)
	}
}

// outside does something to a file as another program would.
func outside(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

var journals = []Journal{JournalDelete, JournalWAL}

func TestBackend(t *testing.T) {
	for _, journal := range journals {
		t.Run(string(journal), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a", "odd 100%? #name", "s.sqlite")
			storetest.Run(t, func() (store.Backend, error) { return Open(path, WithJournal(journal), WithIntegrityCheck()) })
			if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
				t.Errorf("left in the directory: %v, %v", names, err)
			}
		})
	}
}

// The file is Zeek's, but for one table.
func TestSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sqlite")
	b := open(t, path)
	commit(t, b, &store.Batch{Changes: []store.Change{
		{Record: store.Record{Key: data.AppendString(nil, "k"), Value: data.AppendCount(nil, 7)}},
		{Record: store.Record{Key: data.AppendString(nil, "l"), Value: data.AppendCount(nil, 8), Expiry: 5}},
	}})
	closed(t, b)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for query, want := range map[string]string{
		"select group_concat(sql, '; ') from sqlite_master where sql is not null": "CREATE TABLE meta(key text primary key, value text); " +
			"CREATE TABLE store(key blob primary key, value blob, expiry integer); CREATE TABLE zeekpeer_state(key primary key, value) without rowid",
		"select key || '=' || value from meta":                                        "broker_version=2.8.0",
		"select group_concat(quote(key) || quote(value) || quote(expiry)) from store": "X'05016B'X'020000000000000007'NULL,X'05016C'X'020000000000000008'5",
		"pragma journal_mode":   "delete",
		"pragma page_size":      "4096",
		"pragma user_version":   "0",
		"pragma application_id": "0",
		"pragma encoding":       "UTF-8",
	} {
		var got string
		if err := db.QueryRow(query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", query, got, err, want)
		}
	}
}

// What is committed survives the loss of power, unless the options say otherwise.
func TestSynchronous(t *testing.T) {
	for want, opts := range map[int][]Option{0: {WithSynchronous(SynchronousOff)}, 2: nil, 3: {WithSynchronous(SynchronousExtra)}} {
		b := open(t, filepath.Join(t.TempDir(), "s.sqlite"), opts...)
		var got int
		if found, err := b.db.get(&got, "pragma synchronous"); !found || err != nil || got != want {
			t.Errorf("synchronous is %d, %v; want %d", got, err, want)
		}
		closed(t, b)
	}
}

// What others do to the file between two openings, and whether they are noticed.
func TestOthers(t *testing.T) {
	const zeek = "replace into meta(key, value) values('broker_version', '2.8.0')"
	const edit = "replace into store(key, value, expiry) values(x'050161', x'0101', null)"
	for _, test := range []struct {
		name    string
		journal Journal
		do      []string
		noticed bool
	}{
		{"nobody", JournalDelete, nil, false},
		{"nobody", JournalWAL, nil, false},
		{"a reader", JournalDelete, []string{"select * from store"}, false},
		{"a reader", JournalWAL, []string{"select * from store"}, false},
		{"a Zeek node", JournalDelete, []string{zeek}, true},
		{"a Zeek node", JournalWAL, []string{zeek}, true},
		{"somebody", JournalDelete, []string{edit}, true},
		{"somebody who changes the journal mode", JournalWAL, []string{"pragma journal_mode = delete", edit, zeek}, true},
		{"somebody who changes the journal mode", JournalDelete, []string{"pragma journal_mode = wal", edit}, true},
	} {
		t.Run(test.name+" "+string(test.journal), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.sqlite")
			model := storetest.NewContents()
			batches := storetest.NewGenerator(1)
			for range 3 {
				b := open(t, path, WithJournal(test.journal))
				storetest.Equal(t, b, model)
				for range 3 {
					batch := batches.Batch(10)
					batch.Master, batch.Mark = wire.EntityID{Object: 9}, batch.Mark+1
					commit(t, b, batch)
					if err := model.Commit(batch); err != nil {
						t.Fatal(err)
					}
				}
				closed(t, b)
			}
			if test.do != nil {
				outside(t, path, test.do...)
			}
			if slices.Contains(test.do, edit) {
				model.Records["\x05\x01a"] = storetest.Record{Value: "\x01\x01"}
			}
			if test.noticed {
				model.State = storetest.NewContents().State
			}
			var log bytes.Buffer
			for range 2 { // also after a crash before the first commit
				b := open(t, path, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				storetest.Equal(t, b, model)
				closed(t, b)
			}
			if logged := strings.Count(log.String(), "another program"); (logged > 0) != test.noticed || logged > 1 {
				t.Errorf("log: %s", &log)
			}
		})
	}
}

// Keys and values in other forms than ours are brought into it.
func TestOtherForms(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sqlite")
	closed(t, open(t, path))
	outside(t, path,
		"insert into store values(x'0c0205016205016101', x'0102', 5)",    // unsorted set and something behind it
		"insert into store values(x'050161', x'0101ffff', null)",         // something behind the value
		"insert into store values(x'05820062', x'00', null)",             // long length
		"insert into store values(x'0102', x'050178', 0)",                // true, and long ago
		"insert into store values(x'0101', x'0c020501620501610b', null)", // true again, and unsorted
	)
	want := map[string]storetest.Record{
		"\x0c\x02\x05\x01a\x05\x01b": {Value: "\x01\x01", Expiry: 5},
		"\x05\x01a":                  {Value: "\x01\x01"},
		"\x01\x01":                   {Value: "\x0c\x02\x05\x01a\x05\x01b"},
	}
	b := open(t, path)
	if _, err := storetest.Read(b); err == nil || !strings.Contains(err.Error(), "x'05820062'") {
		t.Errorf("%v: want an error with the row", err)
	}
	closed(t, b)
	outside(t, path, "delete from store where key = x'05820062'")
	var log bytes.Buffer
	for range 2 {
		b := open(t, path, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		got, err := storetest.Read(b)
		if err != nil || !maps.Equal(got.Records, want) {
			t.Errorf("%v, %v", got, err)
		}
		closed(t, b)
	}
	if text := log.String(); strings.Count(text, "rows were removed") != 1 || !strings.Contains(text, "rows=1 first=x'0102'") || !strings.Contains(text, path) {
		t.Errorf("log: %s", text)
	}
}

func TestUnusable(t *testing.T) {
	good := func(t *testing.T, path string) {
		b := open(t, path)
		commit(t, b, storetest.NewGenerator(1).Batch(200))
		closed(t, b)
	}
	for _, test := range []struct {
		name    string
		make    func(t *testing.T, path string)
		opts    []Option
		want    string // in the error
		deleted bool   // with FailureDelete
	}{
		{name: "directory", want: "no regular file", make: func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "text", want: "no SQLite database", deleted: true, make: func(t *testing.T, path string) {
			write(t, path, []byte(strings.Repeat("text", 1000)))
		}},
		{name: "other program", want: "another program", make: func(t *testing.T, path string) {
			outside(t, path, "create table moz_places(id integer)")
		}},
		{name: "other columns", want: "another program", make: func(t *testing.T, path string) {
			outside(t, path, "create table meta(key text primary key, value text)", "create table store(name text)")
		}, deleted: false},
		{name: "newer format", want: "has format 2, and this version reads format 1", make: func(t *testing.T, path string) {
			good(t, path)
			outside(t, path, "update zeekpeer_state set value = 2 where key = 'format'")
		}},
		{name: "damaged state", want: "zeekpeer_state: key master", make: func(t *testing.T, path string) {
			good(t, path)
			outside(t, path, "update zeekpeer_state set value = 2 where key = 'master'")
		}},
		{name: "damaged", want: "is damaged", deleted: true, make: func(t *testing.T, path string) {
			good(t, path)
			b := contentsOf(t, path)
			for i := 4096 + 200; i < len(b); i++ {
				b[i] ^= 0x55
			}
			write(t, path, b)
		}},
		{name: "cut", want: "damaged", deleted: true, opts: []Option{WithIntegrityCheck()}, make: func(t *testing.T, path string) {
			good(t, path)
			write(t, path, contentsOf(t, path)[:3*4096])
		}},
		{name: "wrong option", want: "synchronous", make: good, opts: []Option{WithSynchronous("MAYBE")}},
		{name: "wrong journal", want: "journal mode", make: good, opts: []Option{WithJournal("MEMORY")}},
		{name: "wrong failure", want: "failure mode", make: good, opts: []Option{WithFailure("IGNORE")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.sqlite")
			test.make(t, path)
			var before []byte
			if test.name != "directory" {
				before = contentsOf(t, path)
			}
			err := readAll(path, test.opts...)
			t.Log(err)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v: want the path and %q", err, test.want)
			}
			if before != nil && !bytes.Equal(contentsOf(t, path), before) {
				t.Error("the file has changed")
			}
			if test.name == "wrong failure" {
				return
			}
			opts := append(slices.Clone(test.opts), WithFailure(FailureDelete), WithIntegrityCheck())
			if err := readAll(path, opts...); (err == nil) != test.deleted {
				t.Errorf("with failure mode delete: %v", err)
			}
			if before != nil && !test.deleted && !bytes.Equal(contentsOf(t, path), before) {
				t.Error("the file has changed")
			}
		})
	}
}

// readAll opens a file and reads it.
func readAll(path string, opts ...Option) error {
	b, err := Open(path, opts...)
	if err != nil {
		return err
	}
	_, err = storetest.Read(b)
	return errors.Join(err, b.Close())
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func contentsOf(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLocked(t *testing.T) {
	for _, journal := range journals {
		path := filepath.Join(t.TempDir(), "s.sqlite")
		b := open(t, path, WithJournal(journal))
		batch := storetest.NewGenerator(1).Batch(100)
		commit(t, b, batch)
		_, err := Open(path, WithFailure(FailureDelete))
		if err == nil || !strings.Contains(err.Error(), "locked") || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: want that %s is locked", err, path)
		}
		model := storetest.NewContents()
		if err := model.Commit(batch); err != nil {
			t.Fatal(err)
		}
		commit(t, b, batch)
		closed(t, b)
		storetest.Equal(t, open(t, path), model)
	}
}

// A full disk is an error from Commit, and none any more when there is room.
func TestFull(t *testing.T) {
	for _, journal := range journals {
		path := filepath.Join(t.TempDir(), "s.sqlite")
		b := open(t, path, WithJournal(journal))
		batches := storetest.NewGenerator(4)
		model := storetest.NewContents()
		for range 5 {
			batch := batches.Batch(50)
			commit(t, b, batch)
			if err := model.Commit(batch); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.db.exec("pragma max_page_count = 1"); err != nil { // as many as there are
			t.Fatal(err)
		}
		large := &store.Batch{Clear: true, Mark: 77, Changes: []store.Change{{Record: store.Record{
			Key: data.AppendNone(nil), Value: data.AppendString(nil, strings.Repeat("x", 1<<20))}}}}
		if err := b.Commit(large); err == nil || !strings.Contains(err.Error(), "the disk is full") {
			t.Fatalf("%v: want that the disk is full", err)
		}
		got, err := storetest.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := got.Diff(model); diff != "" {
			t.Fatal(diff)
		}
		commit(t, b, large)
		if err := model.Commit(large); err != nil {
			t.Fatal(err)
		}
		closed(t, b)
		storetest.Equal(t, open(t, path), model)
	}
}

func TestFullDisk(t *testing.T) {
	storetest.FullDisk(t, func(dir string) (store.Backend, error) { return Open(filepath.Join(dir, "s.sqlite")) })
}

func TestFullDiskWAL(t *testing.T) {
	storetest.FullDisk(t, func(dir string) (store.Backend, error) {
		return Open(filepath.Join(dir, "s.sqlite"), WithJournal(JournalWAL))
	})
}

func TestReadOnly(t *testing.T) {
	storetest.OnSmallDisk(t, 8<<20, func(dir string) {
		path := filepath.Join(dir, "s.sqlite")
		closed(t, open(t, path))
		storetest.MakeReadOnly(t, dir)
		for _, path := range []string{path, filepath.Join(dir, "new.sqlite"), filepath.Join(dir, "new", "s.sqlite")} {
			_, err := Open(path, WithFailure(FailureDelete))
			if err == nil || !strings.Contains(err.Error(), path) || !errorsAbout(err, "cannot be written", "cannot create") {
				t.Errorf("%v: want that %s cannot be written", err, path)
			}
		}
	})
}

func errorsAbout(err error, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(err.Error(), text) })
}

// If the lock was lost after a failure, and others have written meanwhile, nothing is written over it.
func TestOthersAfterFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sqlite")
	b := open(t, path)
	commit(t, b, storetest.NewGenerator(1).Batch(10))
	if err := b.lose(); err != nil {
		t.Fatal(err)
	}
	outside(t, path, "delete from store")
	before := contentsOf(t, path)
	for range 2 {
		if err := b.Commit(&store.Batch{Mark: 5}); !errors.Is(err, errOthers) {
			t.Errorf("%v: want %v", err, errOthers)
		}
	}
	if !bytes.Equal(contentsOf(t, path), before) {
		t.Error("the file has changed")
	}
}

func TestOptionsFrom(t *testing.T) {
	enum := func(name string) data.Value { return data.Enum("Broker::SQLITE_" + name) }
	path := data.String("/p")
	for _, test := range []struct {
		table map[string]data.Value
		want  options
		err   string
	}{
		{table: map[string]data.Value{"path": path}},
		{table: map[string]data.Value{"path": path, "foo": data.Count(1)}},
		{table: map[string]data.Value{"path": path, "synchronous": enum("SYNCHRONOUS_OFF"), "journal_mode": enum("JOURNAL_MODE_WAL"),
			"failure_mode": enum("FAILURE_MODE_DELETE"), "integrity_check": data.Bool(true)},
			want: options{synchronous: SynchronousOff, journal: JournalWAL, failure: FailureDelete, integrityCheck: true}},
		{table: map[string]data.Value{"path": path, "synchronous": enum("SYNCHRONOUS_EXTRA"), "journal_mode": enum("JOURNAL_MODE_DELETE"),
			"failure_mode": enum("FAILURE_MODE_FAIL"), "integrity_check": data.Bool(false)},
			want: options{synchronous: SynchronousExtra, journal: JournalDelete, failure: FailureFail}},
		{table: nil, err: "no path"},
		{table: map[string]data.Value{"path": data.Count(1)}, err: "path is count 1"},
		{table: map[string]data.Value{"path": path, "synchronous": data.String("FULL")}, err: "synchronous is string"},
		{table: map[string]data.Value{"path": path, "synchronous": data.Enum("FULL")}, err: "synchronous is FULL"},
		{table: map[string]data.Value{"path": path, "journal_mode": enum("JOURNAL_MODE_MEMORY")}, err: "journal_mode is Broker::SQLITE_JOURNAL_MODE_MEMORY"},
		{table: map[string]data.Value{"path": path, "failure_mode": enum("JOURNAL_MODE_DELETE")}, err: "failure_mode is"},
		{table: map[string]data.Value{"path": path, "integrity_check": data.Count(1)}, err: "integrity_check is count"},
	} {
		path, opts, err := OptionsFrom(test.table)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v: %v; want %q", test.table, err, test.err)
			}
			continue
		}
		var got options
		for _, opt := range opts {
			opt(&got)
		}
		if err != nil || path != "/p" || got != test.want {
			t.Errorf("%v: %q, %+v, %v", test.table, path, got, err)
		}
	}
}
