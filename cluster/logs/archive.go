package logs

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	archiveRetry = 30 * time.Second // how long to wait before what failed is tried again
	commandLimit = 10 * time.Minute // how long a post-processor may take
	maxOutput    = 4 << 10          // bytes of what a post-processor says
)

// An archiver takes files that are complete: it compresses them into the archive, or runs a program on each.
type archiver struct {
	files   *Files
	root    *os.Root // of the archive; nil without
	program string   // the post-processor
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu      sync.Mutex
	waiting []archiving
	claimed map[string]bool // names in the archive
	busy    int
	done    uint64
	failed  uint64
	news    chan struct{} // closed when there is another file
	closing chan struct{} // closed when there will be no more files
}

type archiving struct {
	mark string
	rotation
}

func newArchiver(f *Files) (*archiver, error) {
	a := &archiver{files: f, claimed: make(map[string]bool), news: make(chan struct{}), closing: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	if !a.wanted() {
		return a, nil
	}
	if dir := f.opts.Archive; dir != "" {
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			a.root, err = os.OpenRoot(dir)
		}
		if err != nil {
			return nil, fmt.Errorf("archive of the logs: %w", err)
		}
	} else {
		var err error
		if a.program, err = exec.LookPath(f.opts.PostProcess[0]); err == nil {
			a.program, err = filepath.Abs(a.program) // it runs in the directory of the logs
		}
		if err != nil {
			return nil, fmt.Errorf("post-processor: %w", err)
		}
	}
	for range f.opts.Workers {
		a.work.Go(a.run)
	}
	return a, nil
}

// wanted tells whether files are to be archived or processed.
func (a *archiver) wanted() bool {
	return a.files.opts.Archive != "" || len(a.files.opts.PostProcess) > 0
}

// add hands over a file. mark says that it is not archived yet.
func (a *archiver) add(mark string, r rotation) {
	if !a.wanted() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, archiving{mark, r})
	close(a.news)
	a.news = make(chan struct{})
}

// next returns the next file, or false at the end.
func (a *archiver) next() (r archiving, ok bool) {
	for {
		a.mu.Lock()
		if len(a.waiting) > 0 && a.ctx.Err() == nil {
			r, a.waiting = a.waiting[0], a.waiting[1:]
			a.busy++
			a.mu.Unlock()
			return r, true
		}
		news := a.news
		a.mu.Unlock()
		select {
		case <-news:
		case <-a.closing:
			a.mu.Lock()
			left := len(a.waiting)
			a.mu.Unlock()
			if left == 0 {
				return r, false
			}
		case <-a.ctx.Done():
			return r, false
		}
	}
}

func (a *archiver) run() {
	for {
		r, ok := a.next()
		if !ok {
			return
		}
		var err error
		if a.root != nil {
			err = a.archiveAgain(r)
		} else if err = a.process(r); err != nil {
			a.count(0, 1)
			a.files.opts.Log.Error("post-processor failed", "file", r.file, "err", err)
		}
		if err == nil {
			a.count(1, 0)
		}
		if err == nil || a.root == nil && a.ctx.Err() == nil { // what was interrupted is done after the next start
			if err := a.files.unmark(r.mark); err != nil {
				a.files.opts.Log.Warn("file may be archived or processed again", "file", r.file, "err", err)
			}
		}
		a.mu.Lock()
		a.busy--
		a.mu.Unlock()
	}
}

// archiveAgain archives a file, again and again until it is done or there is no time left.
func (a *archiver) archiveAgain(r archiving) error {
	err := a.archive(r)
	if err == nil || a.ctx.Err() != nil {
		return err
	}
	a.count(0, 1)
	a.files.opts.Log.Error("file not archived; it stays where it is, and is tried again", "file", r.file, "every", archiveRetry, "err", err)
	for err != nil && a.ctx.Err() == nil {
		select {
		case <-time.After(archiveRetry):
			err = a.archive(r)
		case <-a.closing: // the last time
			return a.archive(r)
		case <-a.ctx.Done():
		}
	}
	return err
}

func (a *archiver) count(done, failed uint64) {
	a.mu.Lock()
	a.done += done
	a.failed += failed
	a.mu.Unlock()
}

func (a *archiver) status() (done, failed uint64, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.done, a.failed, len(a.waiting) + a.busy
}

// close waits until all files are done, or until ctx ends.
func (a *archiver) close(ctx context.Context) error {
	close(a.closing)
	defer context.AfterFunc(ctx, a.cancel)()
	a.work.Wait()
	a.stop()
	if !a.wanted() {
		return nil
	}
	marks, err := a.files.readMarks()
	left := 0
	for _, m := range marks {
		if !m.Closed.IsZero() {
			left++
		}
	}
	if left > 0 {
		err = errors.Join(err, fmt.Errorf("%d rotated files are not archived or processed; the next start does it", left))
	}
	return err
}

func (a *archiver) stop() {
	a.cancel()
	a.work.Wait()
	if a.root != nil {
		a.root.Close()
	}
}

// archivedName returns where zeekctl puts a file: DATE/PATH.OPENED-CLOSED[-LOGGER].log.gz.
func (a *archiver) archivedName(r archiving, n int) string {
	o := &a.files.opts
	opened, closed := r.opened.In(o.Format.Location), r.closed.In(o.Format.Location)
	name := fmt.Sprintf("%s/%s.%s-%s", opened.Format(time.DateOnly), r.path, opened.Format(time.TimeOnly), closed.Format(time.TimeOnly))
	if o.Logger != "" {
		name += "-" + o.Logger
	}
	if n > 1 {
		name += fmt.Sprintf("-%d", n)
	}
	return name + "." + o.Suffix + ".gz"
}

// claim returns a name in the archive that is free, and that no other goroutine gets before it is disclaimed.
func (a *archiver) claim(r archiving) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n := 1; ; n++ {
		name := a.archivedName(r, n)
		if a.claimed[name] {
			continue
		}
		if _, err := a.root.Lstat(name); errors.Is(err, os.ErrNotExist) {
			a.claimed[name] = true
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
}

func (a *archiver) disclaim(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.claimed, name)
}

// archive compresses a file into the archive. Under its name there it is complete.
func (a *archiver) archive(r archiving) (err error) {
	in, err := a.files.root.Open(r.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil // somebody took it
	}
	if err != nil {
		return err
	}
	defer in.Close()
	name, err := a.claim(r)
	if err != nil {
		return err
	}
	defer a.disclaim(name)
	if err := a.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	temporary := path.Join(path.Dir(name), "."+path.Base(r.file)+".tmp")
	out, err := a.root.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(a.compress(out, in, strings.HasSuffix(r.file, ".gz")), out.Close()); err != nil {
		a.root.Remove(temporary)
		return err
	}
	if err := a.root.Rename(temporary, name); err != nil {
		return err
	}
	return a.files.root.Remove(r.file)
}

func (a *archiver) compress(out *os.File, in io.Reader, zipped bool) (err error) {
	to, end := io.Writer(out), func() error { return nil }
	if !zipped {
		zip := gzip.NewWriter(out)
		to, end = zip, zip.Close
	}
	for chunk := make([]byte, 256<<10); err == nil; {
		if err = a.ctx.Err(); err == nil {
			var n int
			n, err = in.Read(chunk)
			if _, wrong := to.Write(chunk[:n]); wrong != nil {
				return wrong
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if err := end(); err != nil {
		return err
	}
	return out.Sync() // what was there is removed next
}

// process runs the post-processor on a file, with the arguments that Zeek gives it, and without a shell.
func (a *archiver) process(r archiving) error {
	o := &a.files.opts
	ctx, cancel := context.WithTimeout(a.ctx, commandLimit)
	defer cancel()
	terminating := "0"
	if r.last {
		terminating = "1"
	}
	args := append(append([]string(nil), o.PostProcess[1:]...), r.file, r.path,
		r.opened.In(o.Format.Location).Format(commandTime), r.closed.In(o.Format.Location).Format(commandTime), terminating, "ascii")
	cmd := exec.CommandContext(ctx, a.program, args...)
	cmd.Dir = o.Dir
	cmd.WaitDelay = time.Second
	if o.Logger != "" {
		cmd.Env = append(os.Environ(), "ZEEK_ARG_LOG_SUFFIX="+o.Logger)
	}
	var said lastBytes
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %q", cmd, err, said.text)
	}
	return nil
}

// lastBytes keeps the last of what is written to it.
type lastBytes struct{ text []byte }

func (l *lastBytes) Write(b []byte) (int, error) {
	l.text = append(l.text, b...)
	if over := len(l.text) - maxOutput; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(b), nil
}
