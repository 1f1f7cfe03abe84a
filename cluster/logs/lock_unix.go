//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package logs

import (
	"os"
	"syscall"
)

// lock takes a file for this process, until it is unlocked or the process ends.
func lock(root *os.Root, name string) (unlock func(), err error) {
	file, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}
