//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package store

import (
	"fmt"
	"os"
)

// lockFile creates a file if it is missing. There is no flock here: that a directory is used once at a
// time is up to the operator.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot create the lock: %w: the directory must be writable", err)
	}
	return f, nil
}
