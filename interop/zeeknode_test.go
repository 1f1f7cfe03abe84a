package interop

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
)

// A zeekCluster is a cluster on loopback with anonymous TLS, Zeek's default, whose nodes are real Zeek or zeekpeer
// node.
type zeekCluster struct {
	zeek    string            // the program
	ours    string            // zeekpeer
	script  string            // that all nodes of Zeek load
	dir     string            // where each node has a directory of its name
	layout  string            // the file
	addrs   map[string]string // of the nodes
	running map[string]*process
}

// fourNodes are the nodes of a small cluster, in the order in which they are best started.
var fourNodes = []string{"logger-1", "manager", "proxy-1", "worker-1"}

// zeekProgram returns the Zeek on PATH and its version. Without one that has the Broker backend as these tests load
// it, the test is skipped.
func zeekProgram(t *testing.T) (program string, version layout.Version) {
	t.Helper()
	program, err := exec.LookPath("zeek")
	if err != nil {
		t.Skip("no zeek on PATH")
	}
	out, err := exec.Command(program, "--version").CombinedOutput()
	if err != nil {
		t.Fatalf("%s --version: %v\n%s", program, err, out)
	}
	text := regexp.MustCompile(`\d+\.\d+\.\d+`).Find(out)
	if version, err = layout.ParseVersion(string(text)); err != nil {
		t.Fatalf("%s --version: %q: %v", program, out, err)
	}
	if version.Compare(layout.Version{Major: 8, Minor: 1}) < 0 {
		t.Skipf("%s is Zeek %v: want 8.1 at least", program, version)
	}
	return program, version
}

// build builds zeekpeer.
func build(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "zeekpeer")
	cmd := exec.Command("go", "build", "-o", program, "./cmd/zeekpeer")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return program
}

// newZeekCluster makes a cluster of nodes of that name, and starts none.
func newZeekCluster(t *testing.T, ours, script string, names ...string) *zeekCluster {
	t.Helper()
	program, version := zeekProgram(t)
	script, err := filepath.Abs(filepath.Join("testdata", "zeekcluster", script))
	if err != nil {
		t.Fatal(err)
	}
	c := &zeekCluster{
		zeek: program, ours: ours, script: script, dir: t.TempDir(),
		addrs: make(map[string]string), running: make(map[string]*process),
	}
	text := fmt.Sprintf("# zeek_version: %v\nredef Cluster::manager_is_logger = F;\nredef Cluster::nodes = {\n", version)
	for _, name := range names {
		addr := freeAddr(t)
		c.addrs[name] = addr
		_, port, _ := net.SplitHostPort(addr)
		kind, _, _ := strings.Cut(name, "-")
		manager := `, $manager="manager"`
		if kind == "manager" {
			manager = ""
		}
		text += fmt.Sprintf("\t[%q] = [$node_type=Cluster::%s, $ip=127.0.0.1, $p=%s/tcp%s],\n", name, strings.ToUpper(kind), port, manager)
	}
	text += "};\n"
	// Zeek looks for it in the directory that a node runs in.
	for _, name := range append(names, "") {
		c.layout = filepath.Join(c.dir, name, "cluster-layout.zeek")
		if err := os.MkdirAll(filepath.Dir(c.layout), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.layout, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// begin starts a node.
func (c *zeekCluster) begin(t *testing.T, name string, cmd *exec.Cmd) {
	t.Helper()
	cmd.Dir = filepath.Join(c.dir, name)
	cmd.Env = []string{"CLUSTER_NODE=" + name, "ZEEK_DEFAULT_LISTEN_ADDRESS=127.0.0.1"}
	c.running[name] = begin(t, cmd)
}

// startZeek starts a node of Zeek.
func (c *zeekCluster) startZeek(t *testing.T, name string, args ...string) {
	t.Helper()
	c.begin(t, name, exec.Command(c.zeek, append([]string{c.script}, args...)...))
}

// startOurs starts zeekpeer as a node. in is its standard input, if it has one.
func (c *zeekCluster) startOurs(t *testing.T, name string, in io.Reader, args ...string) {
	t.Helper()
	cmd := exec.Command(c.ours, append([]string{"node", "--layout", c.layout, "--experimental"}, args...)...)
	if in != nil {
		cmd.Stdin = in
		cmd.Args = append(cmd.Args, "--stdin")
	}
	c.begin(t, name, cmd)
}

// kill ends a node without a warning.
func (c *zeekCluster) kill(name string) { c.running[name].kill() }

// end asks nodes to end, one after the other, and waits for each.
func (c *zeekCluster) end(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		c.running[name].terminate(t)
		if err := c.running[name].wait(t); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// tells waits until a node has written so many lines that match a pattern, and returns all there are.
func (c *zeekCluster) tells(t *testing.T, name, pattern string, n int) [][]string {
	t.Helper()
	whole := regexp.MustCompile("(?m)^" + pattern + "\n")
	p := c.running[name]
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if found := whole.FindAllStringSubmatch(p.String(), -1); len(found) >= n {
			return found
		}
		select {
		case <-changed:
		case <-p.exited:
			t.Fatalf("%s ended (%v) and has not written %q %d times", name, p.err, pattern, n)
		case <-timeout:
			t.Fatalf("%s does not write %q %d times", name, pattern, n)
		}
	}
}

// log returns the lines of a log at the logger, without those that tell when it was begun and ended.
func (c *zeekCluster) log(t *testing.T, name string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "logger-1", name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("#open")) && !bytes.HasPrefix(line, []byte("#close")) {
			lines = append(lines, strings.TrimSuffix(string(line), "\n"))
		}
	}
	return lines
}

// alive fails the test if a node has ended.
func (c *zeekCluster) alive(t *testing.T) {
	t.Helper()
	for name, p := range c.running {
		if err := p.cmd.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("%s is no more: %v", name, err)
		}
	}
}
