package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBackend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	storetest.Run(t, func() (store.Backend, error) { return Open(path) })
}

// With tables this small, the database writes and merges files all the time.
func TestBackendMerging(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	storetest.Run(t, func() (store.Backend, error) { return Open(path, withTable(32<<10)) })
}

func TestFullDisk(t *testing.T) {
	storetest.FullDisk(t, func(dir string) (store.Backend, error) { return Open(filepath.Join(dir, "s")) })
}

func TestReadOnly(t *testing.T) {
	storetest.OnSmallDisk(t, 8<<20, func(dir string) {
		path := filepath.Join(dir, "s")
		b, err := Open(path)
		if err == nil {
			err = b.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		storetest.MakeReadOnly(t, dir)
		for path, want := range map[string]string{path: "must be writable", filepath.Join(dir, "new"): "cannot create"} {
			if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: want %s and %q", err, path, want)
			}
		}
	})
}

func TestUnusable(t *testing.T) {
	good := func(t *testing.T, path string) {
		b, err := Open(path, withTable(32<<10))
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := b.Commit(storetest.NewGenerator(1).Batch(200)); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	set := func(t *testing.T, path, key string, value []byte) {
		db, err := pebble.Open(path, &pebble.Options{Logger: logger{slog.New(slog.DiscardHandler), &disk{}}})
		if err == nil {
			err = errors.Join(db.Set([]byte(key), value, pebble.Sync), db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		make func(t *testing.T, path string)
		want string // in the error
	}{
		{"file", func(t *testing.T, path string) { write(t, path, []byte("x")) }, "is a file"},
		{"other directory", func(t *testing.T, path string) { write(t, filepath.Join(path, "home", "x"), nil) }, `holds "home" and no store`},
		{"other database", func(t *testing.T, path string) { set(t, path, "k", nil) }, "another program"},
		{"newer format", func(t *testing.T, path string) {
			good(t, path)
			set(t, path, "f", newEncoder().any(map[string]any{"format": 2, "more": "x"}))
		}, "has format 2, and this version reads format 1"},
		{"damaged format", func(t *testing.T, path string) {
			good(t, path)
			set(t, path, "f", []byte{0xc1})
		}, "format is damaged"},
		{"damaged state", func(t *testing.T, path string) {
			good(t, path)
			set(t, path, "s", newEncoder().any(&stateRecord{Master: []byte("short")}))
		}, "the key 73 is damaged"},
		{"damaged writer", func(t *testing.T, path string) {
			good(t, path)
			set(t, path, "wx", newEncoder().number(1))
		}, "the key 7778 is damaged"},
		{"damaged record", func(t *testing.T, path string) {
			good(t, path)
			set(t, path, "r\x00", newEncoder().record(store.Record{Value: []byte("x")})[:3])
		}, "the key 7200 is damaged"},
		{"no manifest", func(t *testing.T, path string) {
			good(t, path)
			remove(t, path, "MANIFEST-*")
		}, "cannot be"},
		{"no tables", func(t *testing.T, path string) {
			good(t, path)
			remove(t, path, "*.sst")
		}, "cannot be opened"},
		{"damaged tables", func(t *testing.T, path string) {
			good(t, path)
			names, err := filepath.Glob(filepath.Join(path, "*.sst"))
			if err != nil || len(names) == 0 {
				t.Fatal(names, err)
			}
			for _, name := range names {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				for i := range b {
					b[i] ^= 0x55
				}
				write(t, name, b)
			}
		}, "is damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			test.make(t, path)
			before := filesOf(t, path)
			b, err := Open(path)
			if err == nil {
				// Damage is found when it is read, and what is no damage to the database as such stays.
				_, err = storetest.Read(b)
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			} else if diff := changes(before, filesOf(t, path)); diff != "" {
				t.Error(diff)
			}
			t.Log(err)
			if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v: want the path and %q", err, test.want)
			}
		})
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, pattern string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func filesOf(t *testing.T, path string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[name], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func changes(before, after map[string][]byte) string {
	for name, b := range after {
		if old, found := before[name]; filepath.Base(name) != "LOCK" && (!found || !bytes.Equal(old, b)) {
			return fmt.Sprintf("%s has changed, or is new", name)
		}
	}
	for name := range before {
		if _, found := after[name]; !found {
			return name + " is gone"
		}
	}
	return ""
}

func TestLocked(t *testing.T) {
	path := t.TempDir()
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "another process") || !strings.Contains(err.Error(), path) {
		t.Errorf("%v: want that another holds %s", err, path)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = Open(path); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}
