package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonicTime is what systemd wants to know with RELOADING=1, to tell one reload from the next.
func monotonicTime() string {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return ""
	}
	return fmt.Sprintf("MONOTONIC_USEC=%d", t.Nano()/1000)
}
