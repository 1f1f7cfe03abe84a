//go:build unix

package admin

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// TestSocket: only the owner may open it; one that is dead is replaced, everything else is left alone.
func TestSocket(t *testing.T) {
	e, err := endpoint.New()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	path := filepath.Join(t.TempDir(), "s")
	// Even where files are everybody's.
	defer syscall.Umask(syscall.Umask(0))
	s, err := Serve(e, path)
	if err != nil {
		t.Fatal(err)
	}
	if file, err := os.Lstat(path); err != nil || file.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", file.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v in the directory: %v", left, err)
	}
	if _, err := Serve(e, path); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second server: %v", err)
	}
	// A file that has taken its place is not removed.
	if err := errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600), s.Close()); err != nil {
		t.Error(err)
	}
	if _, err := Serve(e, path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: %v", err)
	}
	// What a killed process leaves behind.
	os.Remove(path)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if s, err = Serve(e, path); err != nil {
		t.Fatalf("over a dead socket: %v", err)
	}
	c := NewClient(path)
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	c.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Serve(e, filepath.Join(t.TempDir(), "missing", "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
	if _, err := Serve(e, filepath.Join(t.TempDir(), strings.Repeat("x", 300))); err == nil {
		t.Error("a name too long is taken")
	}
}
