package store_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// Tests that need other processes run this test binary again, in one of these roles, with arguments. Such
// a process reads commands from its standard input, and ends with it.
var roles = map[string]func(args []string, in *bufio.Scanner) error{
	"master": runMaster, // BACKEND PATH ADDR: a master that is the same one after a restart
	"writer": runWriter, // ADDR NAME: a clone that writes without pause, and says what it learns
}

const roleEnv = "ZEEKPEER_STORE_TEST_ROLE"

func TestMain(m *testing.M) {
	role := strings.Fields(os.Getenv(roleEnv))
	if len(role) == 0 {
		goleak.VerifyTestMain(m)
		return
	}
	if err := roles[role[0]](role[1:], bufio.NewScanner(os.Stdin)); err != nil {
		io.WriteString(os.Stderr, strings.Join(role, " ")+": "+err.Error()+"\n")
		os.Exit(1)
	}
	os.Exit(0)
}

// A process is this binary in a role.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said sync.WaitGroup // until all that it has said was heard
}

// startRole starts another process. Hear is called with each line that it prints, until the last one.
func startRole(t testing.TB, hear func(line string), role ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+strings.Join(role, " "))
	cmd.Stderr = os.Stderr
	p := &process{cmd: cmd}
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.said.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			hear(lines.Text())
		}
	})
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as kill -9 does, and returns when everything that it had said was heard.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.said.Wait()
	p.cmd.Wait()
}

// tell writes a line to the standard input of the process.
func (p *process) tell(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
}
