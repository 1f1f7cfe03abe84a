package endpoint_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/anontls"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
)

// Tests and benchmarks that need another process run this test binary again, in one of these roles,
// with arguments. Such a process prints "ready" and what it has to say, and ends with its standard
// input.
var roles = map[string]func(args []string){
	"sender":  sendForEver, // ADDR [anonymous]: a peer that sends events as fast as the socket takes them
	"sinks":   runSinks,    // ADDR N all|own: peers that only count bytes
	"silent":  runSilent,   // ADDR N: connections that say nothing
	"echo":    runEcho,     // sends back what it receives
	"node":    runNode,     // ADDR ID: a node that listens and answers each message on its topic with /answer
	"watcher": runWatcher,  // ADDR ZONE|- PING TIMEOUT ID: a node that keeps peered with ADDR, and asks it
}

const roleEnv = "ZEEKPEER_TEST_ROLE"

func TestMain(m *testing.M) {
	role := strings.Fields(os.Getenv(roleEnv))
	if len(role) == 0 {
		goleak.VerifyTestMain(m)
		return
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	roles[role[0]](role[1:])
	select {}
}

// A process is this binary in a role.
type process struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

// startRole starts another process. prefix, if any, is a command that runs it.
func startRole(t testing.TB, prefix []string, role ...string) *process {
	t.Helper()
	args := slices.Concat(prefix, []string{os.Args[0]})
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), roleEnv+"="+strings.Join(role, " "))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, bufio.NewReader(out)}
	t.Cleanup(func() {
		stdin.Close()
		p.kill()
	})
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// line returns the next line that the process prints.
func (p *process) line(t testing.TB) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the other process: %v", err)
	}
	return strings.TrimSpace(line)
}

// mustShake connects to addr and performs the handshake.
func mustShake(addr string, id wire.EndpointID, filter ...string) *rawPeer {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	p, err := shake(conn, handshake.Dialer, id, filter...)
	if err != nil {
		panic(err)
	}
	return p
}

func sendForEver(args []string) {
	conn, err := net.Dial("tcp", args[0])
	if err != nil {
		panic(err)
	}
	if len(args) > 1 && args[1] == "anonymous" {
		conn = anontls.Client(conn, nil)
	}
	p, err := shake(conn, handshake.Dialer, benchID)
	if err != nil {
		panic(err)
	}
	go io.Copy(io.Discard, p.r)
	block := slices.Repeat(benchFrame(), 64<<10/len(benchFrame()))
	for {
		if _, err := p.Write(block); err != nil {
			return
		}
	}
}

func runSinks(args []string) {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		panic(err)
	}
	for i := range n {
		topic := "/bench/"
		if args[2] == "own" {
			topic = fmt.Sprintf("/bench/%d/", i)
		}
		go discard(mustShake(args[0], wire.NewEndpointID(), topic).Conn.(*net.TCPConn))
	}
	fmt.Println("ready")
}

// discard takes what comes without copying it, as a bare sink does.
func discard(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		panic(err)
	}
	buf := make([]byte, 256<<10)
	for {
		var n int
		var readErr error
		if err := raw.Read(func(fd uintptr) bool {
			n, _, readErr = syscall.Recvfrom(int(fd), buf, syscall.MSG_TRUNC)
			return readErr != syscall.EAGAIN
		}); err != nil || readErr != nil || n == 0 {
			return
		}
	}
}

func runSilent(args []string) {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		panic(err)
	}
	opened := 0
	for range n {
		if conn, err := net.Dial("tcp", args[0]); err == nil {
			defer conn.Close()
			opened++
		}
	}
	fmt.Println("ready", opened)
	select {}
}

func runEcho([]string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("ready", l.Addr())
	conn, err := l.Accept()
	if err != nil {
		panic(err)
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		conn.Write(buf[:n])
	}
}

func runNode(args []string) {
	id, err := wire.ParseEndpointID(args[1])
	if err != nil {
		panic(err)
	}
	e, err := endpoint.New(endpoint.WithSecurity(endpoint.PlainTCP()), endpoint.WithID(id))
	if err != nil {
		panic(err)
	}
	sub, err := e.Subscribe([]string{"/ask"})
	if err != nil {
		panic(err)
	}
	addr, err := e.Listen(context.Background(), args[0])
	if err != nil {
		panic(err)
	}
	fmt.Println("ready", addr)
	for m := range sub.Messages(context.Background()) {
		e.PublishTo(context.Background(), m.Sender(), "/answer", data.AppendString(nil, m.Topic()))
	}
}
