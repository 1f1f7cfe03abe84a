package logs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"
)

// The times in names of files and in their headers and footers, and those that post-processors are given, all local
// (CLUSTER.md sections 6.7 and 6.8).
const (
	fileTime    = "2006-01-02-15-04-05"
	commandTime = "06-01-02_15.04.05"
)

// nextRotation returns when a file is to be rotated next: at the next multiple of the interval since local
// midnight, as Zeek does, or never.
func (f *Files) nextRotation(now time.Time) time.Time {
	if f.opts.Rotate == 0 {
		return time.Time{}
	}
	now = now.In(f.opts.Format.Location)
	year, month, day := now.Date()
	base := time.Date(year, month, day, 0, 0, 0, 0, now.Location()).Add(f.opts.RotateBase)
	n := now.Sub(base) / f.opts.Rotate
	if now.Before(base) && now.Sub(base)%f.opts.Rotate != 0 {
		n--
	}
	return base.Add((n + 1) * f.opts.Rotate)
}

// maxLate is how long after its time a rotation still counts as in time, and gets that time as its own.
const maxLate = 10 * time.Second

// rotate completes the file and gives it the name under which it stays. The next row begins a new one.
func (w *file) rotate(now time.Time) error {
	at := w.rotates
	if now.Sub(at) > maxLate {
		at = now // this process or the machine has slept
	}
	var err error
	if w.disk != nil {
		if err = w.finish(at); err == nil {
			err = w.files.putAway(w.ctx, w.mark, rotation{file: w.name + w.suffix, path: w.name, opened: w.began, closed: at})
		}
	}
	w.began, w.rotates = at, w.files.nextRotation(now)
	return err
}

// A rotation is a file that is complete, and to be put away.
type rotation struct {
	file           string
	path           string // of its log, without suffix
	opened, closed time.Time
	last           bool // because the logger ends
}

// rotatedName returns the name under which a file stays: that of Zeek's default.
func (f *Files) rotatedName(r rotation, n int) string {
	number := ""
	if n > 1 {
		number = fmt.Sprintf("-%d", n)
	}
	return r.path + "." + r.opened.In(f.opts.Format.Location).Format(fileTime) + number + r.file[len(r.path):]
}

// putAway gives a file the name under which it stays, and hands it to the archive. mark is what has marked it as
// unfinished.
func (f *Files) putAway(ctx context.Context, mark string, r rotation) error {
	name := ""
	for n := 1; ; n++ {
		name = f.rotatedName(r, n)
		if info, err := f.exists(name); err != nil {
			return err
		} else if info == nil {
			break
		}
	}
	done := ""
	if f.archive.wanted() {
		err := f.persist(ctx, name, func() (err error) {
			done, err = f.marks(marker{File: name, Path: r.path, Opened: r.opened, Closed: r.closed})
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := f.root.Rename(r.file, name); err != nil {
		return errors.Join(err, f.unmark(done))
	}
	f.rotated.Add(1)
	err := f.unmark(mark)
	r.file = name
	f.archive.add(done, r)
	return err
}

// setAside moves away what has the name that a log is about to get, and was not known to be unfinished: the file of a
// logger of Zeek, or one that was closed and not rotated.
func (f *Files) setAside(name, log string) error {
	info, err := f.exists(name)
	if err != nil || info == nil {
		return err
	}
	return f.complete("", marker{File: name, Path: log})
}

// markDir holds the marks of unfinished files.
const markDir = ".zeekpeer"

// A marker is what is known of an unfinished file. Without Closed it is being written; with it, it waits for the
// archive or a post-processor.
type marker struct {
	File   string    `json:"file"`
	Path   string    `json:"path"`
	Opened time.Time `json:"opened"`
	Closed time.Time `json:"closed,omitzero"`
}

// marks marks a file as unfinished. Names of marks are of one length, whatever that of the file is.
func (f *Files) marks(m marker) (mark string, err error) {
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(m.File))
	mark = path.Join(markDir, hex.EncodeToString(sum[:12])+".json")
	if err := f.root.WriteFile(mark, append(text, '\n'), 0o644); err != nil {
		f.root.Remove(mark)
		return "", err
	}
	return mark, nil
}

func (f *Files) unmark(mark string) error {
	if mark == "" {
		return nil
	}
	if err := f.root.Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readMarks returns the marks that are there.
func (f *Files) readMarks() (marks map[string]marker, err error) {
	dir, err := f.root.Open(markDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	marks = make(map[string]marker)
	for _, name := range names {
		if path.Ext(name) != ".json" {
			continue
		}
		name = path.Join(markDir, name)
		var m marker
		text, err := f.root.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		if err == nil && !fs.ValidPath(m.File) {
			err = fmt.Errorf("file %q", m.File)
		}
		if err != nil { // written while the machine went down; the file is set aside when its name is wanted
			f.opts.Log.Warn("mark of an unfinished file cannot be read, and is removed", "mark", name, "err", err)
			if err := f.unmark(name); err != nil {
				return nil, err
			}
			continue
		}
		marks[name] = m
	}
	return marks, nil
}
