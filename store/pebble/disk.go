package pebble

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A disk is the file system of one opening of the database. It stands still with the first write that
// fails, for example for lack of room: from then on nothing is written any more, and everything seems
// to succeed. What is left on the real file system is what a crash at that moment leaves, and that
// the database knows how to live with. Its own answers to failed writes are panics, deadlocks and the
// end of the process.
//
// Whoever uses the database asks Failure after each thing it has done. A database whose disk stands
// still is good for nothing but to be closed; the contents are read from a new opening.
type disk struct {
	vfs.FS
	failed func() // called once, when the disk stands still

	mu      sync.RWMutex
	failure error
}

// Failure returns why the disk stands still, or nil.
func (d *disk) Failure() error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.failure
}

// fail makes the disk stand still.
func (d *disk) fail(err error) {
	d.mu.Lock()
	first := d.failure == nil
	if first {
		d.failure = err
	}
	d.mu.Unlock()
	if first && d.failed != nil {
		d.failed()
	}
}

// write does a write unless the disk stands still.
func (d *disk) write(op func() error) {
	if d.Failure() != nil {
		return
	}
	if err := op(); err != nil {
		d.fail(err)
	}
}

// create returns the file that op creates, or one that goes nowhere.
func (d *disk) create(op func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	d.write(func() (err error) {
		f, err = op()
		return err
	})
	if f == nil {
		return &nowhere{vfs.NewMemFile(nil)}, nil
	}
	return &diskFile{File: f, disk: d}, nil
}

func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.create(func() (vfs.File, error) { return d.FS.Create(name, category) })
}

func (d *disk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.create(func() (vfs.File, error) { return d.FS.ReuseForWrite(oldname, newname, category) })
}

func (d *disk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.create(func() (vfs.File, error) { return d.FS.OpenReadWrite(name, category, opts...) })
}

// OpenDir opens a directory, to sync it.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d}, nil
}

func (d *disk) Link(oldname, newname string) error {
	d.write(func() error { return d.FS.Link(oldname, newname) })
	return nil
}

func (d *disk) Rename(oldname, newname string) error {
	d.write(func() error { return d.FS.Rename(oldname, newname) })
	return nil
}

func (d *disk) MkdirAll(dir string, perm os.FileMode) error {
	d.write(func() error { return d.FS.MkdirAll(dir, perm) })
	return nil
}

func (d *disk) Remove(name string) error    { return d.remove(name, d.FS.Remove) }
func (d *disk) RemoveAll(name string) error { return d.remove(name, d.FS.RemoveAll) }

func (d *disk) remove(name string, op func(string) error) (missing error) {
	d.write(func() error {
		err := op(name)
		if errors.Is(err, fs.ErrNotExist) {
			missing, err = err, nil
		}
		return err
	})
	return missing
}

func (d *disk) Lock(string) (io.Closer, error) {
	return nil, errors.New("the lock belongs to the backend, not to one opening of the database")
}

func (d *disk) Unwrap() vfs.FS { return d.FS }

// A diskFile is a file to write to, or a directory to sync, on a disk.
type diskFile struct {
	vfs.File
	disk *disk
}

func (f *diskFile) Write(b []byte) (int, error) {
	f.disk.write(func() error {
		_, err := f.File.Write(b)
		return err
	})
	return len(b), nil
}

func (f *diskFile) WriteAt(b []byte, offset int64) (int, error) {
	f.disk.write(func() error {
		_, err := f.File.WriteAt(b, offset)
		return err
	})
	return len(b), nil
}

func (f *diskFile) Sync() error {
	f.disk.write(f.File.Sync)
	return nil
}

func (f *diskFile) SyncData() error {
	f.disk.write(f.File.SyncData)
	return nil
}

func (f *diskFile) SyncTo(length int64) (full bool, err error) {
	f.disk.write(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, nil
}

// Preallocate is a wish: whether there is room the writes will tell.
func (f *diskFile) Preallocate(offset, length int64) error {
	if f.disk.Failure() == nil {
		_ = f.File.Preallocate(offset, length)
	}
	return nil
}

func (f *diskFile) Close() error {
	if err := f.File.Close(); err != nil {
		f.disk.fail(err)
	}
	return nil
}

// Stat returns the size of the file. One that cannot say it is as good as one that cannot be written.
func (f *diskFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		f.disk.fail(err)
		return vfs.NewMemFile(nil).Stat()
	}
	return info, nil
}

// A nowhere is a file that was created on a disk that stands still. It stays empty.
type nowhere struct{ vfs.File }

func (*nowhere) Write(b []byte) (int, error)            { return len(b), nil }
func (*nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (*nowhere) Preallocate(int64, int64) error         { return nil }
func (*nowhere) Sync() error                            { return nil }
func (*nowhere) SyncData() error                        { return nil }
func (*nowhere) SyncTo(int64) (bool, error)             { return true, nil }
func (*nowhere) Close() error                           { return nil }
