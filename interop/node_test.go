package interop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test with real nodes waits for all that must happen. Nodes dial again after
// 10 s.
const patience = time.Minute

// step is how often a condition that nobody announces is looked at.
const step = 5 * time.Millisecond

// withNodes runs a test with each real node that there is: the programs that ZEEKPEER_BROKER_NODES
// lists, otherwise broker-node on PATH.
func withNodes(t *testing.T, test func(t *testing.T, program string)) {
	t.Helper()
	programs := filepath.SplitList(os.Getenv("ZEEKPEER_BROKER_NODES"))
	if len(programs) == 0 {
		found, err := exec.LookPath("broker-node")
		if err != nil {
			t.Skip("no broker-node on PATH, nor ZEEKPEER_BROKER_NODES set")
		}
		programs = []string{found}
	}
	for _, program := range programs {
		if len(programs) == 1 {
			test(t, program)
			continue
		}
		t.Run(program, func(t *testing.T) { test(t, program) })
	}
}

// A process is a program that a test has started.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // how it ended; valid once exited is closed
	output
}

// start starts a program in an empty directory. It ends with the test at the latest; if the test
// fails, its log has what the program wrote.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	return begin(t, exec.Command(program, args...))
}

// begin is start for a command that may have a directory, standard input and variables besides those of
// the environment.
func begin(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, exited: make(chan struct{})}
	p.changed = make(chan struct{})
	if p.cmd.Dir == "" {
		p.cmd.Dir = t.TempDir()
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "BROKER_") })
	p.cmd.Env = append(env, p.cmd.Env...) // the last of a name counts
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s (%v) wrote:\n%s", p.cmd, p.err, p.String())
		}
	})
	return p
}

// kill ends the process without a warning and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails if it has ended
	<-p.exited
}

// terminate asks the process to end.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// wait waits until the process ends by itself.
func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-p.exited:
		return p.err
	case <-time.After(patience):
		t.Fatalf("%s does not end", p.cmd)
		return nil
	}
}

// output collects what a process writes.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced at every write
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the process has written text n times.
func (p *process) await(t *testing.T, text string, n int) {
	t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if strings.Count(p.String(), text) >= n {
			return
		}
		select {
		case <-changed:
		case <-p.exited:
			if strings.Count(p.String(), text) < n {
				t.Fatalf("%s ended and has not written %q %d times", p.cmd, text, n)
			}
			return
		case <-timeout:
			t.Fatalf("%s does not write %q %d times", p.cmd, text, n)
		}
	}
}

// A node is a broker-node that runs. It subscribes to /test, and forwards it.
type node struct {
	*process
	addr string
}

// nodeTopic is what every node subscribes to.
const nodeTopic = "/test"

// startNode starts a node in a mode of broker-node: relay, which listens and is silent, pong, which
// answers pings, or ping, which sends them. It returns when the node accepts connections.
func startNode(t *testing.T, program, mode string, args ...string) *node {
	t.Helper()
	n := launchNode(t, program, mode, freeAddr(t), args...)
	n.accepts(t)
	return n
}

// launchNode starts a node at addr and does not wait for it.
func launchNode(t *testing.T, program, mode, addr string, args ...string) *node {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--verbose", "--mode=" + mode, "--port=" + port, `--topics=["` + nodeTopic + `"]`}, args...)
	return &node{process: start(t, program, secured(args)...), addr: addr}
}

// launchPipe starts the broker-pipe beside a broker-node, at addr. It subscribes to the same topic and
// prints what it gets, and what becomes of its peers. What it dials, it dials again after 10 s.
func launchPipe(t *testing.T, program, addr string, args ...string) *node {
	t.Helper()
	program = filepath.Join(filepath.Dir(program), "broker-pipe")
	if _, err := os.Stat(program); err != nil {
		t.Skipf("no broker-pipe beside broker-node: %v", err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--mode=subscribe", "--topic=" + nodeTopic, "--local-port=" + port}, args...)
	return &node{process: start(t, program, secured(args)...), addr: addr}
}

// asByDefault is the argument that leaves a node with anonymous TLS, its default. All others have it off.
const asByDefault = "as by default"

func secured(args []string) []string {
	if i := slices.Index(args, asByDefault); i >= 0 {
		return slices.Delete(args, i, i+1)
	}
	return append(args, "--disable-ssl")
}

// dialing is the argument that makes a broker-node dial addr, once, as soon as it listens, and
// pipeDialing that of broker-pipe.
func dialing(addr string) string     { return "--peers=[<tcp://" + addr + ">]" }
func pipeDialing(addr string) string { return `--peers=["` + addr + `"]` }

// freeAddr returns a loopback address that nobody listens at.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// accepts waits until the node greets whoever connects.
func (n *node) accepts(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		err := greeted(ctx, n.addr)
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-n.exited:
			t.Fatalf("%s ended: %v", n.cmd, n.err)
		case <-ctx.Done():
			t.Fatalf("%s does not accept connections: %v", n.cmd, err)
		}
	}
}

// greeted connects to addr and reads a probe.
func greeted(ctx context.Context, addr string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	want := wire.Probe{}.AppendFrame(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(bufio.NewReader(conn), got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("greeted with %x, want %x", got, want)
	}
	return nil
}
