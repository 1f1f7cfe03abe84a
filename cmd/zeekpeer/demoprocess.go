package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// demoLeave is how long the processes of the demo may take to end when they are told to.
const demoLeave = 10 * time.Second

// A demoRequest is a line to a process of the demo, which answers each with one line.
type demoRequest struct {
	Do     string `json:"do"`               // listen, start, publish, stop or report
	Layout string `json:"layout,omitempty"` // a file, with start
}

// A demoReport is the answer: how the node is.
type demoReport struct {
	Error       string            `json:"error,omitempty"` // the request failed
	Port        int               `json:"port"`            // where it listens; 0: it does not
	ID          string            `json:"id"`
	Peers       int               `json:"peers"`
	Known       []string          `json:"known"` // who said hello and is there
	Hellos      uint64            `json:"hellos"`
	NodeUps     uint64            `json:"node_up"`
	NodeDowns   uint64            `json:"node_down"`
	RR          uint64            `json:"rr"`  // tasks received
	HRW         uint64            `json:"hrw"` // hosts received
	Fences      int               `json:"fences"`
	Entries     int               `json:"entries"` // of the store
	Digest      string            `json:"digest"`  // of the store; "": it is not ready
	RowsSent    uint64            `json:"rows_sent"`
	RowsWaiting int               `json:"rows_waiting"`
	RowsFrom    map[string]uint64 `json:"rows_from"` // received by a logger, by id of the node
	Dropped     uint64            `json:"dropped"`
}

// A demoNode is a process of the demo, as the process that started it sees it. One that was killed can be started
// again.
type demoNode struct {
	name, kind string
	report     demoReport // the last
	before     demoReport // sums of the processes before

	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan demoReport
	stderr  *tail
	done    chan struct{} // closed when the process has ended
}

// spawn starts the process: this program again.
func (n *demoNode) spawn(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("%s cannot be started: %w", n.name, err)
	}
	n.before, n.report = n.total(), demoReport{}
	n.cmd, n.stderr = exec.Command(program, "demo", "node", n.name, n.kind), new(tail)
	n.cmd.Args[0] = os.Args[0]
	n.cmd.Stderr = n.stderr
	in, err := n.cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("%s cannot be started: %w", n.name, err)
	}
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		in.Close()
		n.cmd = nil
		return fmt.Errorf("%s cannot be started: %w", n.name, err)
	}
	// Nobody else writes to answers, so that an answer that comes after its request was given up is not
	// taken for the next one's: then the demo is over.
	n.in, n.answers, n.done = in, make(chan demoReport, 1), make(chan struct{})
	go func(cmd *exec.Cmd, answers chan<- demoReport, done chan<- struct{}) {
		defer close(done)
		decoder := json.NewDecoder(bufio.NewReader(out))
		for {
			var r demoReport
			if decoder.Decode(&r) != nil {
				break
			}
			select {
			case answers <- r:
			default: // it was not asked
			}
		}
		io.Copy(io.Discard, out)
		cmd.Wait()
	}(n.cmd, n.answers, n.done)
	return n.ask(ctx, demoRequest{Do: "listen"})
}

// ask sends a request and waits for the answer, which is the report then.
func (n *demoNode) ask(ctx context.Context, request demoRequest) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if n.cmd == nil {
		return fmt.Errorf("%s does not run", n.name)
	}
	// Should the process have ended, that is told below.
	n.in.Write(append(line, '\n'))
	ctx, cancel := context.WithTimeoutCause(ctx, demoPatience, fmt.Errorf("%s, process %d, does not answer", n.name, n.pid()))
	defer cancel()
	select {
	case r := <-n.answers:
		if r.Error != "" {
			return fmt.Errorf("%s: %s%s", n.name, r.Error, n.stderr)
		}
		n.report = r
		return nil
	case <-n.done:
		return fmt.Errorf("%s, process %d, has ended: %v%s", n.name, n.pid(), n.cmd.ProcessState, n.stderr)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// total returns the last report, with the sums of the processes before in it.
func (n *demoNode) total() demoReport {
	all := n.report
	all.Hellos += n.before.Hellos
	all.NodeUps += n.before.NodeUps
	all.NodeDowns += n.before.NodeDowns
	all.RR += n.before.RR
	all.HRW += n.before.HRW
	all.Dropped += n.before.Dropped
	return all
}

func (n *demoNode) pid() int { return n.cmd.Process.Pid }

func (n *demoNode) running() bool { return n.cmd != nil }

// kill ends the process as nobody can survive it, and waits until it is gone.
func (n *demoNode) kill() {
	n.cmd.Process.Kill()
	<-n.done
	n.in.Close()
	n.cmd = nil
}

// leave tells the process to end.
func (n *demoNode) leave() {
	if n.cmd != nil {
		n.in.Close()
	}
}

// wait waits for that until ctx ends, and then kills the process.
func (n *demoNode) wait(ctx context.Context) {
	if n.cmd == nil {
		return
	}
	select {
	case <-n.done:
	case <-ctx.Done():
		n.cmd.Process.Kill()
		<-n.done
	}
	n.cmd = nil
}

// A tail keeps the end of what a process says to standard error, for when it fails.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailSize is how much a tail keeps.
const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if more := len(t.text) - tailSize; more > 0 {
		t.text = append(t.text[:0], t.text[more:]...)
	}
	return len(b), nil
}

// String returns what is kept, behind a line break, or nothing.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(string(t.text)); text != "" {
		return "\n" + text
	}
	return ""
}
