package logs

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// FilesOptions say where and how [Files] writes. Zero values stand for what is said behind them.
type FilesOptions struct {
	Dir    string  // of the files that are written; made if it is not there
	Format Options // what Zeek calls LogAscii; the zero value stands for DefaultOptions
	Suffix string  // of names: $ZEEK_LOG_SUFFIX, or "log"

	Rotate     time.Duration // Log::default_rotation_interval; 0 for never
	RotateBase time.Duration // Log::default_log_rotate_base_time, since local midnight

	// Archive is the directory to which rotated files go, compressed, under the names that zeekctl gives them; "" for
	// none. PostProcess is a program with its first arguments, which gets those that Zeek gives it behind them
	// (CLUSTER.md section 6.8). At most one of both.
	Archive     string
	PostProcess []string
	Logger      string // the name of this logger, if there are several: a part of the names in the archive
	Workers     int    // files that are archived or processed at once: 2

	Log *slog.Logger     // nowhere
	Now func() time.Time // time.Now
}

func (o *FilesOptions) defaults() error {
	if o.Format == (Options{}) {
		o.Format = DefaultOptions()
	}
	o.Suffix = cmp.Or(o.Suffix, os.Getenv("ZEEK_LOG_SUFFIX"), "log")
	if o.Workers <= 0 {
		o.Workers = 2
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Format.Location == nil {
		o.Format.Location = time.Local
	}
	switch {
	case o.Dir == "":
		return errors.New("the directory of the logs is not given")
	case strings.ContainsAny(o.Suffix, "/\x00") || len(o.Suffix) > 16:
		return fmt.Errorf("suffix %.40q of logs: want what may end the name of a file, 16 bytes at most", o.Suffix)
	case o.Archive != "" && len(o.PostProcess) > 0:
		return errors.New("an archive and a post-processor: one of both takes the rotated files")
	case o.Rotate < 0 || o.Rotate > 0 && o.Rotate < time.Second:
		return fmt.Errorf("rotation every %v: want 0 for never, or one second at least", o.Rotate)
	}
	return nil
}

// Files is a [Sink] that writes files as Zeek's logger does. It writes nothing outside of its directories,
// whatever a log is called.
//
// A file that is being written has an entry in the directory .zeekpeer; one without is complete. What an ended
// process has left there is completed by the next [NewFiles].
type Files struct {
	opts    FilesOptions
	root    *os.Root
	unlock  func()
	archive *archiver

	mu      sync.Mutex
	names   map[string]bool // that are taken, without suffix
	trouble trouble
	open    atomic.Int64 // files
	zipped  atomic.Int64 // logs
	rotated atomic.Uint64
}

// NewFiles opens the directory, and completes what another process has left unfinished in it. Only one process
// at a time may write to a directory.
func NewFiles(o FilesOptions) (*Files, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("directory of the logs: %w", err)
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("directory of the logs: %w", err)
	}
	f := &Files{opts: o, root: root, names: make(map[string]bool)}
	if err := f.start(); err != nil {
		root.Close()
		return nil, err
	}
	return f, nil
}

func (f *Files) start() (err error) {
	if err := f.root.MkdirAll(markDir, 0o755); err != nil {
		return fmt.Errorf("directory of the logs: %w", err)
	}
	if f.unlock, err = lock(f.root, path.Join(markDir, "lock")); err != nil {
		return fmt.Errorf("%s: another logger writes there: %w", f.opts.Dir, err)
	}
	if f.archive, err = newArchiver(f); err == nil {
		err = f.recover()
	}
	if err != nil {
		f.unlock()
		if f.archive != nil {
			f.archive.stop()
		}
	}
	return err
}

// Close waits for the archive and the post-processors, until ctx ends. What is not done then is done after the
// next start.
func (f *Files) Close(ctx context.Context) error {
	err := f.archive.close(ctx)
	f.unlock()
	return errors.Join(err, f.root.Close())
}

// Open makes the file of a log, with its header. If another log writes a file of that name, it gets a number:
// conn-2.log besides conn.log.
func (f *Files) Open(ctx context.Context, s *Schema) (Writer, error) {
	options := f.opts.Format.For(s)
	format, err := NewFormat(s, options)
	if err != nil {
		return nil, err
	}
	w := &file{files: f, ctx: ctx, schema: s, format: format, gzip: options.GzipLevel}
	w.suffix = "." + f.opts.Suffix
	if w.gzip > 0 && f.zipped.Add(1) > maxZipped {
		f.zipped.Add(-1)
		w.gzip = 0
		f.opts.Log.Warn("log not compressed as its sender asks: there are too many of them", "path", s.Path, "most", maxZipped)
	}
	if w.gzip > 0 {
		w.suffix += ".gz"
	}
	w.name = f.claim(s.Path, w.suffix)
	now := f.opts.Now()
	w.began, w.rotates = now, f.nextRotation(now)
	if err := w.create(); err != nil {
		w.release()
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// claim takes a name for a log.
func (f *Files) claim(name, suffix string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	try := name
	for n := 2; f.names[try+suffix]; n++ {
		try = fmt.Sprintf("%s-%d", name, n)
	}
	f.names[try+suffix] = true
	return try
}

// reclaim takes the best name that is free now, for a file that is to be made again.
func (w *file) reclaim() {
	f := w.files
	f.mu.Lock()
	delete(f.names, w.name+w.suffix)
	f.mu.Unlock()
	w.name = f.claim(w.schema.Path, w.suffix)
}

// release gives back what the log has taken.
func (w *file) release() {
	f := w.files
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.names, w.name+w.suffix)
	if w.gzip > 0 {
		f.zipped.Add(-1)
	}
}

// Bounds of the text that is kept of one file before it is written.
const (
	maxText   = 64 << 10
	minText   = 4 << 10
	totalText = 16 << 20 // of all files
)

// maxZipped bounds the logs that are compressed as they are written: each takes about a megabyte.
const maxZipped = 32

// A file is one log. While it is rotated away and no row has come since, there is no file on the disk.
type file struct {
	files  *Files
	ctx    context.Context
	schema *Schema
	format Format
	gzip   int // level, 0 for none
	name   string
	suffix string // with its point

	disk    *os.File // nil if there is none
	mark    string   // what marks it as unfinished
	size    int64    // bytes on the disk, all of whole lines
	began   time.Time
	rotates time.Time // zero for never

	text  []byte // lines that are not written yet
	rows  int    // in text
	zip   *gzip.Writer
	zipTo bytes.Buffer

	flushes int
}

// create makes the file, moves away what has its name, and begins it with the header.
func (w *file) create() error {
	name := w.name + w.suffix
	err := w.files.persist(w.ctx, name, func() (err error) {
		if dir := path.Dir(name); dir != "." {
			if err := w.files.root.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if err := w.files.setAside(name, w.name); err != nil {
			return err
		}
		if w.mark, err = w.files.marks(marker{File: name, Path: w.name, Opened: w.began}); err != nil {
			return err
		}
		w.disk, err = w.files.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
		return err
	})
	if err != nil {
		return err
	}
	w.files.open.Add(1)
	w.size, w.zip = 0, nil
	if w.gzip > 0 {
		w.zip, _ = gzip.NewWriterLevel(&w.zipTo, min(w.gzip, gzip.BestCompression))
	}
	header := w.format.Header(nil, w.files.opts.Now())
	w.text = append(header, w.text...)
	return nil
}

// Write formats rows. They are written when there are enough of them, or by Flush.
func (w *file) Write(rows [][]byte) error {
	if w.disk == nil {
		err := w.ctx.Err() // then this is given up
		if err == nil {
			w.reclaim()
			err = w.create()
		}
		if err != nil {
			return &LostRows{len(rows), err}
		}
	}
	limit := min(max(totalText/max(int(w.files.open.Load()), 1), minText), maxText)
	var refused *RefusedRows
	for i, row := range rows {
		text, err := w.format.Row(w.text, row)
		if err != nil {
			if refused == nil {
				refused = &RefusedRows{First: err}
			}
			refused.Rows++
			continue
		}
		w.text = text
		w.rows++
		if len(w.text) < limit {
			continue
		}
		if err := w.write(false); err != nil {
			if lost, ok := errors.AsType[*LostRows](err); ok {
				lost.Rows += len(rows) - i - 1
			}
			if refused != nil {
				return errors.Join(refused, err)
			}
			return err
		}
	}
	if refused != nil {
		return refused
	}
	return nil
}

// Flush writes what waits, and rotates when it is time to.
func (w *file) Flush() error {
	if now := w.files.opts.Now(); !w.rotates.IsZero() && !now.Before(w.rotates) {
		return w.rotate(now)
	}
	if err := w.write(true); err != nil || w.disk == nil {
		return err
	}
	if w.flushes++; w.flushes%8 == 0 && w.taken() {
		w.files.opts.Log.Warn("file was moved or removed by somebody: a new one is begun", "file", w.name+w.suffix)
		return errors.Join(w.finish(w.files.opts.Now()), w.create())
	}
	return nil
}

// taken tells whether the file has not its name any more.
func (w *file) taken() bool {
	here, err := w.disk.Stat()
	if err != nil {
		return false
	}
	there, err := w.files.exists(w.name + w.suffix)
	return err == nil && (there == nil || !os.SameFile(here, there))
}

// write writes the text that waits. It waits for a full or failing disk; when ctx ends, it gives up, and what is on
// the disk then ends with a whole line.
func (w *file) write(flush bool) error {
	if len(w.text) == 0 || w.disk == nil {
		return nil
	}
	out := w.text
	if w.zip != nil {
		w.zip.Write(w.text) // to memory
		if flush {
			w.zip.Flush()
		}
		out = w.zipTo.Bytes()
	}
	left, err := w.put(out)
	if err != nil {
		lost := w.rows
		if done := out[:len(out)-len(left)]; w.zip == nil {
			whole := bytes.LastIndexByte(done, '\n') + 1
			lost = min(lost, bytes.Count(out[whole:], []byte{'\n'}))
			w.size += int64(whole)
		}
		w.text, w.rows = w.text[:0], 0
		w.zipTo.Reset()
		err = errors.Join(err, w.cut(), w.abandon())
		return &LostRows{lost, err}
	}
	w.size += int64(len(out))
	w.zipTo.Reset()
	if w.rows = 0; cap(w.text) > 4*len(w.text) || cap(w.text) > 4*maxText {
		w.text = nil // there are few rows, or one was large: the memory is for others
	}
	w.text = w.text[:0]
	return nil
}

// put writes bytes to the disk, and returns those that are left when it gives up.
func (w *file) put(out []byte) (left []byte, err error) {
	n, err := w.disk.Write(out)
	if out = out[n:]; err == nil {
		return out, nil
	}
	err = w.files.persist(w.ctx, w.name+w.suffix, func() error {
		n, err := w.disk.Write(out)
		out = out[n:]
		return err
	})
	return out, err
}

// cut takes away what stands behind the last whole line.
func (w *file) cut() error {
	info, err := w.disk.Stat()
	if err != nil || info.Size() <= w.size { // somebody has emptied it
		return err
	}
	return w.disk.Truncate(w.size)
}

// abandon leaves the file as it is, marked as unfinished, for the next start.
func (w *file) abandon() error {
	err := w.disk.Close()
	w.disk, w.mark = nil, ""
	w.files.open.Add(-1)
	return err
}

// finish completes the file: what waits, the footer, and the end of the compression.
func (w *file) finish(closed time.Time) error {
	w.text = w.format.Footer(w.text, closed)
	if err := w.write(false); err != nil {
		return err
	}
	if w.zip != nil {
		w.zip.Close() // to memory
		out := w.zipTo.Bytes()
		if left, err := w.put(out); err != nil {
			return errors.Join(fmt.Errorf("the last %d bytes of %s: %w", len(left), w.name+w.suffix, err), w.cut(), w.abandon())
		}
		w.zipTo.Reset()
	}
	err := w.disk.Close()
	w.disk = nil
	w.files.open.Add(-1)
	return err
}

// Close completes the file. If files are rotated, that is the end of it under this name.
func (w *file) Close() error {
	defer w.release()
	if w.disk == nil {
		return nil
	}
	now := w.files.opts.Now()
	if err := w.finish(now); err != nil {
		return err
	}
	if w.rotates.IsZero() {
		return w.files.unmark(w.mark)
	}
	return w.files.putAway(w.ctx, w.mark, rotation{file: w.name + w.suffix, path: w.name, opened: w.began, closed: now, last: true})
}

// trouble is what keeps files from being written.
type trouble struct {
	since time.Time
	count int // files that wait
}

// persist does what a full or failing disk may keep from being done, again and again until it is, or until ctx ends.
func (f *Files) persist(ctx context.Context, name string, do func() error) error {
	err := do()
	if err == nil || !passes(err) {
		return err
	}
	f.mu.Lock()
	if f.trouble.count++; f.trouble.count == 1 {
		f.trouble.since = time.Now()
		f.opts.Log.Error("logs cannot be written: rows wait, and peers are held back when too many do", "file", name, "err", err)
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.trouble.count--; f.trouble.count == 0 && err == nil {
			f.opts.Log.Info("logs are written again", "after", time.Since(f.trouble.since).Round(time.Millisecond))
		}
	}()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		if err = do(); err == nil || !passes(err) {
			return err
		}
	}
}

// passes tells whether an error may go away without anybody doing something about the file.
func passes(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EINTR, syscall.ESTALE, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// FilesStatus says how the files are.
type FilesStatus struct {
	Dir         string  `json:"dir"`
	Open        int     `json:"open"`
	Rotated     uint64  `json:"rotated"`
	Archived    uint64  `json:"archived"` // or processed
	ArchiveFail uint64  `json:"archive_failed"`
	ToArchive   int     `json:"to_archive"`
	Stalled     float64 `json:"stalled_seconds"` // since when the disk takes nothing
}

// Status returns how the files are.
func (f *Files) Status() FilesStatus {
	s := FilesStatus{Dir: f.opts.Dir, Open: int(f.open.Load()), Rotated: f.rotated.Load()}
	s.Archived, s.ArchiveFail, s.ToArchive = f.archive.status()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trouble.count > 0 {
		s.Stalled = time.Since(f.trouble.since).Seconds()
	}
	return s
}

// exists tells whether there is anything of that name.
func (f *Files) exists(name string) (fs.FileInfo, error) {
	info, err := f.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}
