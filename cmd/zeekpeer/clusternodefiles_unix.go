//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package main

import "golang.org/x/sys/unix"

// openFiles returns how many files and sockets this process may have open; ok is false if there is no telling. The
// runtime has raised the soft limit to the hard one.
func openFiles() (limit uint64, ok bool) {
	var l unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	return uint64(l.Cur), err == nil
}
