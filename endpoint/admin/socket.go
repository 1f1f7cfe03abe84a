package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// probeTimeout is how long a socket that is in the way may take to answer.
const probeTimeout = time.Second

// A socket is a Unix socket that its owner alone may open.
type socket struct {
	net.Listener
	path string
	file fs.FileInfo // of the socket at path
}

// listenSocket makes a socket at path. A socket of a process that is gone is replaced; one that
// answers, and any other file, is not touched.
func listenSocket(path string) (*socket, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	// The lock is on the directory: of two processes that find the same dead socket, one replaces it.
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := checkFree(path); err != nil {
		return nil, err
	}
	// Made in a directory that nobody else can enter, so that there is no moment at which others could
	// connect, and moved where it belongs, which replaces what is dead.
	private, err := os.MkdirTemp(dir, ".zp")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	hidden := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("%s: %w (a path of a socket has about 100 bytes at the most)", path, err)
	}
	l.SetUnlinkOnClose(false) // it would look for the hidden path
	s := &socket{Listener: l, path: path}
	if err = os.Chmod(hidden, 0o600); err == nil {
		if err = os.Rename(hidden, path); err == nil {
			s.file, err = os.Lstat(path)
		}
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return s, nil
}

// checkFree tells whether a socket may be put at path.
func checkFree(path string) error {
	file, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case file.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s is there already and no socket: remove it, or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		c.Close()
		return fmt.Errorf("%s is in use by another process: choose another path", path)
	}
	if !refused(err) {
		return fmt.Errorf("%s is there already, and it cannot be told whether it is in use: %w", path, err)
	}
	return nil
}

// Close ends the listening and removes the socket, unless another has taken its place.
func (s *socket) Close() error {
	err := s.Listener.Close()
	if now, statErr := os.Lstat(s.path); statErr == nil && os.SameFile(now, s.file) {
		return errors.Join(err, os.Remove(s.path))
	}
	return err
}
