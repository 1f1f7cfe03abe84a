//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package main

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// terminalSize returns the columns and rows of a terminal.
func terminalSize(f *os.File) (width, height int, err error) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, err
	}
	return int(size.Col), int(size.Row), nil
}

// readKeys calls press with each key on a terminal, without waiting for the end of a line, until the
// function it returns is called, which puts the terminal back as it was.
func readKeys(f *os.File, press func(key byte)) (restore func(), err error) {
	fd := int(f.Fd())
	was, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	now := *was
	now.Lflag &^= unix.ICANON | unix.ECHO
	// A read returns after a tenth of a second without a key, so that the reading can end.
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 0, 1
	if err := unix.IoctlSetTermios(fd, setTermios, &now); err != nil {
		return nil, err
	}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		key := make([]byte, 1)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, err := unix.Read(fd, key)
			if n == 1 {
				press(key[0])
			} else if err != nil && err != unix.EINTR && err != unix.EAGAIN {
				return
			}
		}
	})
	return func() {
		close(stop)
		reading.Wait()
		unix.IoctlSetTermios(fd, setTermios, was)
	}, nil
}
