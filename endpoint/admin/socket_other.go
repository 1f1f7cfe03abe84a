//go:build !unix

package admin

// lockDir does nothing where there are no such locks.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }

// refused never replaces a socket where it cannot be told why dialing failed.
func refused(error) bool { return false }
