//go:build unix

package admin

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// lockTimeout is how long lockDir waits: the lock is held for moments, unless somebody means harm.
const lockTimeout = 3 * time.Second

// lockDir keeps other processes that call it from passing until unlock is called.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil // which unlocks
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(begin) > lockTimeout {
			f.Close()
			return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
		}
	}
}

// refused tells whether an error of dialing says that nobody listens any more.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}
