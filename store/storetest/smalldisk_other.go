//go:build !linux

package storetest

import "testing"

// OnSmallDisk calls f with a directory on a file system of its own with room for so many bytes. It is
// for Linux; elsewhere the test is skipped.
func OnSmallDisk(t *testing.T, bytes int, f func(dir string)) {
	t.Helper()
	t.Skip("needs mount namespaces")
}

// MakeReadOnly makes the file system of [OnSmallDisk] one that cannot be written to.
func MakeReadOnly(t *testing.T, dir string) { t.Helper() }
