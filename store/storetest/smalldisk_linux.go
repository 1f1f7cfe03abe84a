package storetest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// smallDiskEnv is set in the process that may mount file systems.
const smallDiskEnv = "ZEEKPEER_SMALL_DISK"

// OnSmallDisk calls f with a directory on a file system of its own with room for so many bytes. For that
// it runs the test, which must not be a subtest, once more in a process that has its own user and mount
// namespace. Where that is not allowed, the test is skipped.
func OnSmallDisk(t *testing.T, bytes int, f func(dir string)) {
	t.Helper()
	if os.Getenv(smallDiskEnv) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), smallDiskEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		switch {
		case cmd.Process == nil:
			t.Skipf("no namespaces: %v", err)
		case strings.Contains(string(out), "--- SKIP"):
			t.Skipf("in the namespace:\n%s", out)
		case err != nil || !strings.Contains(string(out), "--- PASS"):
			t.Fatalf("in the namespace: %v\n%s", err, out)
		}
		return
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("mounting a tmpfs: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	f(dir)
}

// MakeReadOnly makes the file system of [OnSmallDisk] one that cannot be written to.
func MakeReadOnly(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}
