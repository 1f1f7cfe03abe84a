//go:build !linux

package main

// monotonicTime is for systemd, which other systems do not have.
func monotonicTime() string { return "" }
