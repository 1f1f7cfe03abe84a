package logs

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// recover completes what an ended process has left: files in the middle of a line, without their end, or complete
// and not archived yet. What a full disk keeps from being done stays marked.
func (f *Files) recover() error {
	marks, err := f.readMarks()
	if err != nil {
		return fmt.Errorf("unfinished files in %s: %w", f.opts.Dir, err)
	}
	for mark, m := range marks {
		info, err := f.exists(m.File)
		if err == nil {
			switch {
			case info == nil:
				err = f.unmark(mark)
			case m.Closed.IsZero():
				err = f.complete(mark, m)
			case f.archive.wanted():
				f.archive.add(mark, rotation{file: m.File, path: m.Path, opened: m.Opened, closed: m.Closed})
			default:
				err = f.unmark(mark)
			}
		}
		if err != nil && !passes(err) {
			return fmt.Errorf("unfinished file %s in %s: %w", m.File, f.opts.Dir, err)
		}
		if err != nil {
			f.opts.Log.Warn("unfinished file of an earlier process left as it is", "file", m.File, "err", err)
		}
	}
	return nil
}

// complete ends a file with its last whole line and with the footer that suits its header, and gives it the name
// under which it stays. Without a mark it may be complete, and what is compressed is taken to be.
func (f *Files) complete(mark string, m marker) error {
	info, err := f.root.Lstat(m.File)
	if err != nil {
		return err
	}
	closed, suffix := info.ModTime(), strings.TrimPrefix(m.File, m.Path)
	if suffix == m.File || !strings.HasPrefix(suffix, ".") {
		m.Path, suffix = m.File, ""
	}
	var e ending
	switch zipped := strings.HasSuffix(m.File, ".gz"); {
	case !info.Mode().IsRegular():
	case info.Size() == 0:
		return errors.Join(f.root.Remove(m.File), f.unmark(mark))
	case zipped && mark != "":
		e, err = f.completeZipped(m.File, closed)
	case !zipped:
		e, err = f.completeText(m.File, closed)
	}
	if err != nil {
		return err
	}
	if m.Opened.IsZero() {
		m.Opened = cmp.Or(e.opened, closed)
	}
	f.opts.Log.Info("file of an earlier process completed", "file", m.File, "cut", e.cut)
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // what is tried once and fails is tried again when the name is wanted
	return f.putAway(ctx, mark, rotation{file: m.File, path: m.Path, opened: m.Opened, closed: closed})
}

// An ending is what was found out about the end of a file.
type ending struct {
	footer []byte    // what is to be appended
	opened time.Time // as the header says; zero if it does not
	cut    int       // bytes behind the last whole line
}

// headBytes are enough to hold the header lines up to the one with the time of opening.
const headBytes = 4 << 10

// endOf finds out how a file is to end, from what it begins with and from its last lines.
func endOf(head, tail []byte, closed time.Time, in *time.Location) (e ending) {
	first, _, _ := strings.Cut(string(head), "\n")
	for line := range strings.Lines(string(head)) {
		line = strings.TrimSuffix(line, "\n")
		prefix, rest, ok := strings.Cut(line, "open")
		if !ok || len(rest) <= len(fileTime) || !strings.HasPrefix(first, prefix+"separator ") {
			continue
		}
		separator := rest[:len(rest)-len(fileTime)]
		opened, err := time.ParseInLocation(fileTime, rest[len(separator):], in)
		if err != nil {
			continue
		}
		e.opened = opened
		last := tail[bytes.LastIndexByte(bytes.TrimSuffix(tail, []byte{'\n'}), '\n')+1:]
		if begin := prefix + "close" + separator; !bytes.HasPrefix(last, []byte(begin)) {
			e.footer = []byte(begin + closed.In(in).Format(fileTime) + "\n")
		}
		break
	}
	return e
}

// completeText completes a file of text.
func (f *Files) completeText(name string, closed time.Time) (e ending, err error) {
	file, err := f.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return e, err
	}
	head := make([]byte, min(size, headBytes))
	if _, err := file.ReadAt(head, 0); err != nil {
		return e, err
	}
	end, tail := size, []byte(nil)
	for chunk := make([]byte, 64<<10); end > 0; {
		from := max(end-int64(len(chunk)), 0)
		part := chunk[:end-from]
		if _, err := file.ReadAt(part, from); err != nil {
			return e, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			end, tail = from+int64(i)+1, part[:i+1]
			break
		}
		end = from
	}
	e = endOf(head, tail, closed, f.opts.Format.Location)
	if e.cut = int(size - end); e.cut > 0 {
		if err := file.Truncate(end); err != nil {
			return e, err
		}
	}
	if len(e.footer) > 0 {
		if _, err := file.WriteAt(e.footer, end); err != nil {
			return e, errors.Join(err, file.Truncate(end))
		}
	}
	return e, nil
}

// completeZipped writes what can be read of a compressed file anew.
func (f *Files) completeZipped(name string, closed time.Time) (e ending, err error) {
	in, err := f.root.Open(name)
	if err != nil {
		return e, err
	}
	defer in.Close()
	temporary := markDir + "/recovered.tmp"
	out, err := f.root.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return e, err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err == nil {
			err = f.root.Rename(temporary, name)
		} else {
			f.root.Remove(temporary)
		}
	}()
	zip := gzip.NewWriter(out)
	var head, tail, half []byte
	unzip, broken := gzip.NewReader(in)
	for chunk := make([]byte, 64<<10); broken == nil; {
		var n int
		n, broken = unzip.Read(chunk)
		half = append(half, chunk[:n]...)
		whole := half[:bytes.LastIndexByte(half, '\n')+1]
		if len(whole) == 0 {
			continue
		}
		if _, err := zip.Write(whole); err != nil {
			return e, err
		}
		head = append(head, whole[:min(len(whole), headBytes-len(head))]...)
		tail = append(tail[:0], whole...)
		half = append(half[:0], half[len(whole):]...)
	}
	e = endOf(head, tail, closed, f.opts.Format.Location)
	e.cut = len(half)
	if _, err := zip.Write(e.footer); err != nil {
		return e, err
	}
	return e, errors.Join(zip.Close(), out.Sync())
}
