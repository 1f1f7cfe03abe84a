package logs

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeekpeer/zeekpeer/store/storetest"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A clock is what tests turn.
type clock struct{ at atomic.Int64 }

func newClock(t testing.TB, at string) *clock {
	t.Helper()
	c := new(clock)
	c.set(t, at)
	return c
}

func (c *clock) set(t testing.TB, at string) {
	t.Helper()
	c.at.Store(must(time.Parse(time.DateTime, at))(t).UnixNano())
}

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()) }

func testSchema(t testing.TB, path string) *Schema {
	t.Helper()
	return must(NewSchema(testLog(path)))(t)
}

// packed is the row in a LogWrite of testRow.
func packed(msg string) []byte {
	return zeek.AppendLogText(zeek.AppendLogFloat(zeek.AppendRecord(nil, 2), zeek.LogTime, 1700000000.5), zeek.LogString, msg)
}

func openLog(t testing.TB, f *Files, path string) Writer {
	t.Helper()
	return must(f.Open(t.Context(), testSchema(t, path)))(t)
}

func ok(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// testFile returns a file of testLog as it is to be.
func testFile(path, opened, closed string, messages ...string) string {
	b := "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t" + path + "\n#open\t" + opened + "\n#fields\tts\tmsg\n#types\ttime\tstring\n"
	for _, msg := range messages {
		b += testLine(msg)
	}
	if closed != "" {
		b += "#close\t" + closed + "\n"
	}
	return b
}

// checkDir compares all files below a directory, save locks, with those wanted.
func checkDir(t testing.TB, dir string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	ok(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "lock" {
			return err
		}
		b, err := os.ReadFile(name)
		if err == nil && strings.HasSuffix(name, ".gz") {
			var zip *gzip.Reader
			if zip, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
				b, err = io.ReadAll(zip)
			}
		}
		rel, _ := filepath.Rel(dir, name)
		got[rel] = string(b)
		return err
	}))
	for name, text := range got {
		if w, ok := want[name]; !ok {
			t.Errorf("%s: not wanted:\n%s", name, text)
		} else if text != w {
			t.Errorf("%s:\n%s\nwant\n%s", name, text, w)
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s: not there", name)
		}
	}
}

func TestFilesWithoutRotation(t *testing.T) {
	dir, now := t.TempDir(), newClock(t, "2026-01-02 03:04:05")
	f := newFiles(t, FilesOptions{Dir: dir, Now: now.now})
	w := openLog(t, f, "test")
	other := openLog(t, f, "sub/test")
	checkDir(t, filepath.Join(dir, "sub"), map[string]string{"test.log": testFile("sub/test", "2026-01-02-03-04-05", "")}) // at once
	ok(t, w.Write([][]byte{packed("a"), packed("b")}), w.Flush())
	now.set(t, "2026-01-03 00:00:00")
	ok(t, w.Write([][]byte{packed("c")}), w.Flush(), w.Close(), other.Close(), f.Close(t.Context()))
	checkDir(t, dir, map[string]string{
		"test.log":     testFile("test", "2026-01-02-03-04-05", "2026-01-03-00-00-00", "a", "b", "c"),
		"sub/test.log": testFile("sub/test", "2026-01-02-03-04-05", "2026-01-03-00-00-00"),
	})
	// The next one does not overwrite it.
	now.set(t, "2026-01-03 01:00:00")
	f = newFiles(t, FilesOptions{Dir: dir, Now: now.now})
	w = openLog(t, f, "test")
	ok(t, w.Write([][]byte{packed("d")}), w.Close(), f.Close(t.Context()))
	checkDir(t, dir, map[string]string{
		"test.2026-01-02-03-04-05.log": testFile("test", "2026-01-02-03-04-05", "2026-01-03-00-00-00", "a", "b", "c"),
		"test.log":                     testFile("test", "2026-01-03-01-00-00", "2026-01-03-01-00-00", "d"),
		"sub/test.log":                 testFile("sub/test", "2026-01-02-03-04-05", "2026-01-03-00-00-00"),
	})
}

func TestFilesRotate(t *testing.T) {
	dir, now := t.TempDir(), newClock(t, "2026-01-02 03:24:05")
	f := newFiles(t, FilesOptions{Dir: dir, Now: now.now, Rotate: time.Hour})
	w := openLog(t, f, "test")
	ok(t, w.Write([][]byte{packed("a")}))
	now.set(t, "2026-01-02 03:59:59")
	ok(t, w.Flush())
	now.set(t, "2026-01-02 04:00:01") // in time
	ok(t, w.Flush())
	want := map[string]string{"test.2026-01-02-03-24-05.log": testFile("test", "2026-01-02-03-24-05", "2026-01-02-04-00-00", "a")}
	checkDir(t, dir, want) // and no new file before the next row
	now.set(t, "2026-01-02 05:00:00")
	ok(t, w.Flush())
	now.set(t, "2026-01-02 05:30:00")
	ok(t, w.Write([][]byte{packed("b")}), w.Flush())
	now.set(t, "2026-01-02 07:10:00") // too late for 06:00
	ok(t, w.Write([][]byte{packed("c")}), w.Flush())
	want["test.2026-01-02-05-00-00.log"] = testFile("test", "2026-01-02-05-30-00", "2026-01-02-07-10-00", "b", "c")
	checkDir(t, dir, want)
	ok(t, w.Write([][]byte{packed("d")}))
	now.set(t, "2026-01-02 07:20:00")
	ok(t, w.Close(), f.Close(t.Context()))
	want["test.2026-01-02-07-10-00.log"] = testFile("test", "2026-01-02-07-10-00", "2026-01-02-07-20-00", "d")
	checkDir(t, dir, want)
	if s := f.rotated.Load(); s != 3 {
		t.Errorf("%d rotated", s)
	}
}

// A file that somebody moves, as logrotate does, or removes is begun anew; the rows until then are where it went.
func TestFilesTaken(t *testing.T) {
	dir, now := t.TempDir(), newClock(t, "2026-01-02 03:24:05")
	f := newFiles(t, FilesOptions{Dir: dir, Now: now.now})
	w := openLog(t, f, "test")
	ok(t, w.Write([][]byte{packed("a")}), w.Flush(), os.Rename(filepath.Join(dir, "test.log"), filepath.Join(dir, "test.log.1")), w.Write([][]byte{packed("b")}))
	for range 8 {
		ok(t, w.Flush())
	}
	ok(t, w.Write([][]byte{packed("c")}), w.Flush(), os.Remove(filepath.Join(dir, "test.log")))
	for range 8 {
		ok(t, w.Flush())
	}
	ok(t, w.Write([][]byte{packed("d")}), w.Close(), f.Close(t.Context()))
	const at = "2026-01-02-03-24-05"
	checkDir(t, dir, map[string]string{"test.log.1": testFile("test", at, at, "a", "b"), "test.log": testFile("test", at, at, "d")})
}

func TestNextRotation(t *testing.T) {
	berlin := must(time.LoadLocation("Europe/Berlin"))(t)
	for _, test := range []struct {
		every, base time.Duration
		now, want   string
	}{
		{time.Hour, 0, "2026-01-02 03:24:05", "2026-01-02 04:00:00"},
		{time.Hour, 0, "2026-01-02 04:00:00", "2026-01-02 05:00:00"},
		{24 * time.Hour, 0, "2026-01-02 23:59:59", "2026-01-03 00:00:00"},
		{7 * time.Hour, 0, "2026-01-02 22:00:00", "2026-01-03 04:00:00"}, // counted from the midnight before
		{7 * time.Hour, 0, "2026-01-03 00:00:00", "2026-01-03 07:00:00"},
		{time.Hour, 10 * time.Minute, "2026-01-02 00:05:00", "2026-01-02 00:10:00"},
		{time.Hour, 90 * time.Minute, "2026-01-02 00:05:00", "2026-01-02 00:30:00"},
		{time.Hour, 90 * time.Minute, "2026-01-02 00:30:00", "2026-01-02 01:30:00"},
		{time.Hour, 0, "2026-03-29 01:59:59", "2026-03-29 03:00:00"}, // there is no 2 o'clock
	} {
		f := &Files{opts: FilesOptions{Rotate: test.every, RotateBase: test.base, Format: Options{Location: berlin}}}
		now := must(time.ParseInLocation(time.DateTime, test.now, berlin))(t)
		if got := f.nextRotation(now).Format(time.DateTime); got != test.want {
			t.Errorf("every %v from %v, at %s: next is %s, want %s", test.every, test.base, test.now, got, test.want)
		}
	}
	if next := (&Files{}).nextRotation(time.Now()); !next.IsZero() {
		t.Errorf("without rotation: %v", next)
	}
}

func TestFilesArchive(t *testing.T) {
	dir, now := t.TempDir(), newClock(t, "2026-01-02 23:24:05")
	archive := filepath.Join(dir, "archive")
	o := FilesOptions{Dir: filepath.Join(dir, "logs"), Archive: archive, Now: now.now, Rotate: time.Hour, Logger: "logger-2"}
	f := newFiles(t, o)
	w, sub := openLog(t, f, "test"), openLog(t, f, "sub/test")
	ok(t, w.Write([][]byte{packed("a")}))
	now.set(t, "2026-01-03 00:00:00")
	ok(t, w.Flush(), sub.Flush(), w.Write([][]byte{packed("b")}))
	now.set(t, "2026-01-03 00:10:00")
	ok(t, w.Close(), sub.Close())
	now.set(t, "2026-01-03 00:00:00") // a clock that is set back: nothing is overwritten
	w = openLog(t, f, "test")
	now.set(t, "2026-01-03 00:10:00")
	ok(t, w.Close(), f.Close(t.Context()))
	checkDir(t, dir, map[string]string{
		"archive/2026-01-02/test.23:24:05-00:00:00-logger-2.log.gz":     testFile("test", "2026-01-02-23-24-05", "2026-01-03-00-00-00", "a"),
		"archive/2026-01-02/sub/test.23:24:05-00:00:00-logger-2.log.gz": testFile("sub/test", "2026-01-02-23-24-05", "2026-01-03-00-00-00"),
		"archive/2026-01-03/test.00:00:00-00:10:00-logger-2.log.gz":     testFile("test", "2026-01-03-00-00-00", "2026-01-03-00-10-00", "b"),
		"archive/2026-01-03/test.00:00:00-00:10:00-logger-2-2.log.gz":   testFile("test", "2026-01-03-00-00-00", "2026-01-03-00-10-00"),
	})
	if done, failed, waiting := f.archive.status(); done != 4 || failed != 0 || waiting != 0 {
		t.Errorf("%d archived, %d failed, %d wait", done, failed, waiting)
	}
}

// An archive that cannot be written to costs nothing: the files stay, and the next start archives them.
func TestFilesArchiveFails(t *testing.T) {
	dir, now := t.TempDir(), newClock(t, "2026-01-02 23:24:05")
	archive := filepath.Join(dir, "archive")
	log, said := record()
	o := FilesOptions{Dir: filepath.Join(dir, "logs"), Archive: archive, Now: now.now, Rotate: time.Hour, Log: log}
	ok(t, os.MkdirAll(archive, 0o755), os.WriteFile(filepath.Join(archive, "2026-01-02"), nil, 0o644)) // where a directory should be
	f := newFiles(t, o)
	w := openLog(t, f, "test")
	ok(t, w.Write([][]byte{packed("a")}), w.Close())
	if err := f.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "1 rotated files are not archived") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(said(), "file not archived") {
		t.Error(said())
	}
	ok(t, os.Remove(filepath.Join(archive, "2026-01-02")), newFiles(t, o).Close(t.Context()))
	checkDir(t, dir, map[string]string{"archive/2026-01-02/test.23:24:05-23:24:05.log.gz": testFile("test", "2026-01-02-23-24-05", "2026-01-02-23-24-05", "a")})
}

// A program gets what Zeek gives it, and no shell sees it.
func TestFilesPostProcess(t *testing.T) {
	dir, now := t.TempDir(), newClock(t, "2026-01-02 03:24:05")
	script := filepath.Join(dir, "process")
	ok(t, os.WriteFile(script, []byte("#!/bin/sh\nprintf '%s|' \"$ZEEK_ARG_LOG_SUFFIX\" \"$@\" >> out\necho >> out\nrm \"$2\"\ntest \"$3\" != fails\n"), 0o755))
	log, said := record()
	f := newFiles(t, FilesOptions{Dir: filepath.Join(dir, "logs"), PostProcess: []string{script, "$(first)"}, Now: now.now, Rotate: time.Hour, Logger: "logger-1", Workers: 1, Log: log})
	w := openLog(t, f, "a; touch b")
	now.set(t, "2026-01-02 04:00:00")
	ok(t, w.Flush(), w.Close())
	w = openLog(t, f, "fails")
	now.set(t, "2026-01-02 04:10:00")
	ok(t, w.Close(), f.Close(t.Context()))
	checkDir(t, filepath.Join(dir, "logs"), map[string]string{
		"out": "logger-1|$(first)|a; touch b.2026-01-02-03-24-05.log|a; touch b|26-01-02_03.24.05|26-01-02_04.00.00|0|ascii|\n" +
			"logger-1|$(first)|fails.2026-01-02-04-00-00.log|fails|26-01-02_04.00.00|26-01-02_04.10.00|1|ascii|\n",
	})
	if !strings.Contains(said(), "post-processor failed") || !strings.Contains(said(), "exit status 1") {
		t.Error(said())
	}
}

func TestFilesRefusesOptions(t *testing.T) {
	dir := t.TempDir()
	for _, o := range []FilesOptions{
		{}, {Dir: dir, Suffix: "a/b"}, {Dir: dir, Rotate: -1}, {Dir: dir, Rotate: time.Millisecond},
		{Dir: dir, Archive: dir, PostProcess: []string{"true"}}, {Dir: dir, PostProcess: []string{"/no/such/program"}},
		{Dir: "/dev/null"}, {Dir: dir, Archive: "/dev/null"},
	} {
		if f, err := NewFiles(o); err == nil {
			f.Close(t.Context())
			t.Errorf("%+v was taken", o)
		}
	}
}

// Two processes do not write to one directory.
func TestFilesAlone(t *testing.T) {
	dir := t.TempDir()
	f := newFiles(t, FilesOptions{Dir: dir})
	if _, err := NewFiles(FilesOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another logger") {
		t.Errorf("%v", err)
	}
	ok(t, f.Close(t.Context()))
	ok(t, newFiles(t, FilesOptions{Dir: dir}).Close(t.Context()))
}

// Whatever stands where a log is to be written, nothing is written behind it.
func TestFilesStaysInside(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	inside := filepath.Join(dir, "logs")
	ok(t, os.MkdirAll(outside, 0o755), os.MkdirAll(inside, 0o755), os.WriteFile(filepath.Join(outside, "file"), []byte("x"), 0o644),
		os.Symlink(filepath.Join(outside, "file"), filepath.Join(inside, "link.log")), os.Symlink(outside, filepath.Join(inside, "away")),
		os.Mkdir(filepath.Join(inside, "dir.log"), 0o755))
	f := newFiles(t, FilesOptions{Dir: inside})
	for _, path := range []string{"link", "dir"} {
		w := openLog(t, f, path)
		ok(t, w.Write([][]byte{packed("a")}), w.Close())
	}
	if w, err := f.Open(t.Context(), testSchema(t, "away/test")); err == nil {
		w.Close()
		t.Error("a log outside of the directory")
	}
	ok(t, f.Close(t.Context()))
	checkDir(t, outside, map[string]string{"file": "x"})
	if b := must(os.ReadFile(filepath.Join(inside, "link.log")))(t); !strings.Contains(string(b), testLine("a")) {
		t.Errorf("%s", b)
	}
}

func TestFilesGzip(t *testing.T) {
	dir, now := t.TempDir(), newClock(t, "2026-01-02 03:04:05")
	c := testLog("test")
	c.Info.Config = data.Table(data.Entry{Key: data.String("gzip_level"), Value: data.String("3")})
	f := newFiles(t, FilesOptions{Dir: dir, Now: now.now})
	w := must(f.Open(t.Context(), must(NewSchema(c))(t)))(t)
	ok(t, w.Write([][]byte{packed("a"), packed("b")}), w.Close(), f.Close(t.Context()))
	checkDir(t, dir, map[string]string{"test.log.gz": testFile("test", "2026-01-02-03-04-05", "2026-01-02-03-04-05", "a", "b")})
}

// What an ended process has left is completed.
func TestFilesRecover(t *testing.T) {
	const opened = "2026-01-02-03-04-05"
	closed := must(time.Parse(time.DateTime, "2026-01-02 03:30:00"))(t)
	whole := testFile("test", opened, "", "a", "b")
	compressed := func(s string) string {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		zip.Write([]byte(s))
		zip.Flush() // and no end
		return b.String()
	}
	for _, test := range []struct {
		name, file, left, want string
	}{
		{"whole lines", "test.log", whole, whole + "#close\t2026-01-02-03-30-00\n"},
		{"half a line", "test.log", whole + "1700000000.50", whole + "#close\t2026-01-02-03-30-00\n"},
		{"complete", "test.log", whole + "#close\t2026-01-02-03-29-00\n", whole + "#close\t2026-01-02-03-29-00\n"},
		{"half a footer", "test.log", whole + "#close\t2026-", whole + "#close\t2026-01-02-03-30-00\n"},
		{"header alone", "test.log", testFile("test", opened, ""), testFile("test", opened, "2026-01-02-03-30-00")},
		{"half a header", "test.log", "#separator \\x09\n#set_sep", "#separator \\x09\n"},
		{"JSON", "test.log", "{\"ts\":1}\n{\"ts\":", "{\"ts\":1}\n"},
		{"a long line", "test.log", whole + strings.Repeat("x", 200_000), whole + "#close\t2026-01-02-03-30-00\n"},
		{"no line at all", "test.log", strings.Repeat("x", 200_000), ""},
		{"zeroes of a power failure", "test.log", whole + string(make([]byte, 4096)), whole + "#close\t2026-01-02-03-30-00\n"},
		{"compressed", "test.log.gz", compressed(whole + "1700"), whole + "#close\t2026-01-02-03-30-00\n"},
		{"compressed JSON", "test.log.gz", compressed("{\"ts\":1}\n{"), "{\"ts\":1}\n"},
		{"compressed nothing", "test.log.gz", compressed("")[:5], ""},
		{"empty", "test.log", "", "gone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			f := newFiles(t, FilesOptions{Dir: dir})
			must(f.marks(marker{File: test.file, Path: "test", Opened: must(time.Parse(fileTime, opened))(t)}))(t)
			must(f.marks(marker{File: "never.log", Path: "never", Opened: closed}))(t)
			ok(t, os.WriteFile(filepath.Join(dir, test.file), []byte(test.left), 0o644), os.Chtimes(filepath.Join(dir, test.file), closed, closed), f.Close(t.Context()))
			f = newFiles(t, FilesOptions{Dir: dir})
			want := map[string]string{}
			if test.want != "gone" {
				want["test."+opened+strings.TrimPrefix(test.file, "test")] = test.want
			}
			checkDir(t, dir, want)
			ok(t, f.Close(t.Context()))
		})
	}
	t.Run("unreadable mark", func(t *testing.T) {
		dir := t.TempDir()
		ok(t, os.MkdirAll(filepath.Join(dir, markDir), 0o755), os.WriteFile(filepath.Join(dir, markDir, "x.json"), []byte(`{"file":"../../etc/passwd"}`), 0o644),
			os.WriteFile(filepath.Join(dir, markDir, "y.json"), []byte(`{"fi`), 0o644))
		ok(t, newFiles(t, FilesOptions{Dir: dir}).Close(t.Context()))
		checkDir(t, dir, nil)
	})
	t.Run("not archived yet", func(t *testing.T) {
		dir := t.TempDir()
		f := newFiles(t, FilesOptions{Dir: dir, Rotate: time.Hour})
		must(f.marks(marker{File: "test.x.log", Path: "test", Opened: closed, Closed: closed}))(t)
		ok(t, os.WriteFile(filepath.Join(dir, "test.x.log"), []byte(whole), 0o644), f.Close(t.Context()))
		f = newFiles(t, FilesOptions{Dir: dir, Rotate: time.Hour, Archive: filepath.Join(dir, "archive")})
		ok(t, f.Close(t.Context()))
		checkDir(t, dir, map[string]string{"archive/2026-01-02/test.03:30:00-03:30:00.log.gz": whole})
	})
}

// childEnv is set in the process that TestFilesKilled kills: the directory.
const childEnv = "ZEEKPEER_LOGS_CHILD"

// A process that is killed while it writes has lost no row that it was given a second ago, and after the next start
// no line is broken.
func TestFilesKilled(t *testing.T) {
	if dir := os.Getenv(childEnv); dir != "" {
		killedChild(dir)
		return
	}
	dir := t.TempDir()
	for range 2 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFilesKilled$")
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		out := must(cmd.StdoutPipe())(t)
		ok(t, cmd.Start())
		// It says how many rows it had given away a second before.
		var said bytes.Buffer
		line := make([]byte, 64)
		for bytes.Count(said.Bytes(), []byte{'\n'}) < 3 {
			n, err := out.Read(line)
			said.Write(line[:n])
			ok(t, err)
		}
		ok(t, cmd.Process.Kill())
		rest, _ := io.ReadAll(out)
		said.Write(rest)
		cmd.Wait()
		lines := strings.Fields(said.String()[:strings.LastIndexByte(said.String(), '\n')])
		safe := must(strconv.Atoi(lines[len(lines)-1]))(t)
		ok(t, newFiles(t, FilesOptions{Dir: dir}).Close(t.Context()))
		total := 0
		for _, e := range must(os.ReadDir(dir))(t) {
			if e.IsDir() {
				continue
			}
			name := filepath.Join(dir, e.Name())
			lines, meta := body(must(os.ReadFile(name))(t))
			ok(t, os.Remove(name))
			for i, line := range lines {
				if want := testLine(fmt.Sprint(strings.Repeat("x", 300), i)); line != want {
					t.Fatalf("%s: row %d is %q", e.Name(), i, line)
				}
			}
			if meta[len(meta)-1] != "#close" {
				t.Errorf("%s: ends with %q", e.Name(), meta)
			}
			total += len(lines)
			if len(lines) < safe {
				t.Errorf("%s: %d rows, and %d had been given away a second before", e.Name(), len(lines), safe)
			}
		}
		if total == 0 {
			t.Error("no rows at all")
		}
	}
}

// killedChild writes two logs as fast as it can, and prints how many rows of each it had given away a second ago.
func killedChild(dir string) {
	f, err := NewFiles(FilesOptions{Dir: dir, Format: func() Options { o := DefaultOptions(); o.Location = time.UTC; return o }()})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	r := NewReceiver(ReceiverOptions{Interval: time.Second}, f)
	for _, path := range []string{"one", "two"} {
		r.Take(someone(1), testLog(path).AppendMessage(nil))
	}
	var given []int
	start := time.Now()
	for i := 0; ; i++ {
		for _, path := range []string{"one", "two"} {
			r.Take(someone(1), testRow(path, fmt.Sprint(strings.Repeat("x", 300), i)))
		}
		if i%100 == 0 { // or there would be far more rows to compare than are needed
			time.Sleep(time.Millisecond)
		}
		if tenths := int(time.Since(start) / (100 * time.Millisecond)); tenths > len(given) {
			if given = append(given, i); len(given) > 10 {
				fmt.Println(given[len(given)-11])
			}
		}
	}
}

// A full disk costs nothing: rows wait, up to the bound, and are written when there is room.
func TestFilesFullDisk(t *testing.T) {
	storetest.OnSmallDisk(t, 1<<20, func(dir string) {
		synctest.Test(t, func(t *testing.T) { testFilesFullDisk(t, dir) })
	})
}

func testFilesFullDisk(t *testing.T, dir string) {
	log, said := record()
	f := newFiles(t, FilesOptions{Dir: dir, Log: log})
	r := NewReceiver(ReceiverOptions{Log: log, Interval: 20 * time.Millisecond}, f)
	r.Take(someone(1), testLog("test").AppendMessage(nil))
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	const rows = 5000
	var want []string
	for i := range rows {
		msg := fmt.Sprint(strings.Repeat("x", 50), i)
		r.Take(someone(1), testRow("test", msg))
		want = append(want, testLine(msg))
	}
	// A log that is opened now waits, too.
	r.Take(someone(1), testLog("late").AppendMessage(nil))
	r.Take(someone(1), testRow("late", "x"))
	settle()
	if f.Status().Stalled == 0 {
		t.Fatal("the disk has room")
	}
	ok(t, os.Remove(ballast))
	closeReceiver(t, r)
	if got, _ := body(must(os.ReadFile(filepath.Join(dir, "test.log")))(t)); !slices.Equal(got, want) {
		t.Errorf("%d rows, want %d", len(got), rows)
	}
	if got, _ := body(must(os.ReadFile(filepath.Join(dir, "late.log")))(t)); len(got) != 1 {
		t.Errorf("%q", got)
	}
	if n := strings.Count(said(), "cannot be written"); n != 1 || strings.Count(said(), "written again") != 1 {
		t.Errorf("told %d times:\n%s", n, said())
	}
}

// With a disk that stays full the end comes in time, says what is lost, and leaves whole lines.
func TestFilesFullForEver(t *testing.T) {
	storetest.OnSmallDisk(t, 1<<20, func(dir string) {
		f := newFiles(t, FilesOptions{Dir: dir})
		r := NewReceiver(ReceiverOptions{Interval: 20 * time.Millisecond}, f)
		r.Take(someone(1), testLog("test").AppendMessage(nil))
		const rows = 20_000
		for i := range rows {
			r.Take(someone(1), testRow("test", fmt.Sprint(strings.Repeat("x", 50), i)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		err := r.Close(ctx)
		s := r.Status()
		file := must(os.ReadFile(filepath.Join(dir, "test.log")))(t)
		lines, _ := body(file)
		if err == nil || s.Lost == 0 || len(lines)+int(s.Lost) != rows || s.Rows != uint64(len(lines)) {
			t.Errorf("%v: %d rows in the file, %d taken, %d lost, want %d", err, len(lines), s.Rows, s.Lost, rows)
		}
		if !bytes.HasSuffix(file, []byte{'\n'}) || len(lines) == 0 {
			t.Errorf("%d rows, end with %q", len(lines), file[max(len(file)-50, 0):])
		}
		// What is left is marked, and completed when there is room.
		o := FilesOptions{Dir: dir}
		ok(t, newFiles(t, o).Close(t.Context()))
		names := must(filepath.Glob(filepath.Join(dir, "test*.log")))(t)
		if len(names) != 1 {
			t.Errorf("%q", names)
		}
	})
}

// Logs of many senders and paths at once, while files are rotated.
func TestFilesManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	f := newFiles(t, FilesOptions{Dir: dir, Rotate: time.Second})
	r := NewReceiver(ReceiverOptions{Interval: 5 * time.Millisecond}, f)
	const peers, paths, rows = 8, 10, 300
	var senders sync.WaitGroup
	for p := range peers {
		senders.Go(func() {
			for i := range paths {
				r.Take(someone(byte(p)), testLog(fmt.Sprint("log", i)).AppendMessage(nil))
			}
			for i := range rows {
				for j := range paths {
					r.Take(someone(byte(p)), testRow(fmt.Sprint("log", j), fmt.Sprint(p, "-", i)))
				}
			}
			r.Forget(someone(byte(p)))
		})
	}
	senders.Wait()
	closeReceiver(t, r)
	next := map[string]map[string]int{}
	names := must(filepath.Glob(filepath.Join(dir, "*.log")))(t)
	slices.Sort(names)
	for _, name := range names {
		path, _, _ := strings.Cut(filepath.Base(name), ".")
		if next[path] == nil {
			next[path] = map[string]int{}
		}
		lines, meta := body(must(os.ReadFile(name))(t))
		if meta[len(meta)-1] != "#close" {
			t.Errorf("%s: %q", name, meta)
		}
		for _, line := range lines {
			_, msg, _ := strings.Cut(strings.TrimSpace(line), "\t")
			p, n, _ := strings.Cut(msg, "-")
			if n != strconv.Itoa(next[path][p]) {
				t.Fatalf("%s: %q, want row %d", name, line, next[path][p])
			}
			next[path][p]++
		}
	}
	for path, of := range next {
		for p, n := range of {
			if n != rows {
				t.Errorf("%s: %d rows of %s, want %d", path, n, p, rows)
			}
		}
	}
	if len(next) != paths {
		t.Errorf("%d logs", len(next))
	}
}
