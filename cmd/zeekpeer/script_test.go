package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// TestMain makes this binary a zeekpeer, and the odd peers that scripts need. Each is a process of
// its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"zeekpeer": func() {
			code := command()
			// A read of standard input cannot be interrupted: see readLines.
			const this = "github.com/zeekpeer/zeekpeer/cmd/zeekpeer."
			if err := goleak.Find(goleak.IgnoreAnyFunction(this+"readLines"), goleak.IgnoreAnyFunction(this+"readTextLines"), goleak.IgnoreAnyFunction(this+"eachLine")); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(97)
			}
			os.Exit(code)
		},
		"oddpeer": func() { oddPeer(os.Args[1:]) },
	})
}

// TestScripts runs testdata/script/*.txtar. Besides what testscript has, a script can
//
//	run CODE PROG ARG...            run a program, which must end with that exit code
//	start NAME PROG ARG...          start a program; its standard input stays open
//	feed NAME FILE                  write a file to its standard input
//	eof NAME                        close its standard input
//	await NAME STREAM REGEX [VAR]   wait until its stdout or stderr matches, and keep the first group
//	signal NAME HUP|INT|TERM|STOP|CONT|KILL  send it a signal
//	end NAME CODE                   wait for its end, with that exit code or any ("-"); then stdout and stderr are its
//	absent VAR                      an address where nobody listens
//	repeat N FILE OUT               a file N times over
//
// All programs must have ended when the script does.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			all := make(programs)
			// The race detector waits a second at the end of each process, for races still to come.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Values[programsKey{}] = all
			env.Defer(func() {
				for name, p := range all {
					p.cmd.Process.Kill()
					<-p.done
					env.T().Log(name + " still runs at the end of the script:\n" + p.stderr.String())
				}
				if len(all) > 0 {
					env.T().FailNow()
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"run":    runProgram,
			"start":  startProgram,
			"feed":   feedProgram,
			"eof":    func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(find(ts, args[0]).stdin.Close()) },
			"await":  awaitProgram,
			"signal": signalProgram,
			"end":    endProgram,
			"absent": func(ts *testscript.TestScript, _ bool, args []string) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				ts.Check(err)
				ts.Setenv(args[0], l.Addr().String())
				ts.Check(l.Close())
			},
			"repeat": func(ts *testscript.TestScript, _ bool, args []string) {
				n, err := strconv.Atoi(args[0])
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[2]), bytes.Repeat([]byte(ts.ReadFile(args[1])), n), 0o600))
			},
		},
	})
}

// patience is how long a script waits for what must come. It is there to fail and not to hang.
const patience = time.Minute

// programs are those that a script started and has not seen the end of.
type programs map[string]*program

type programsKey struct{} // of the programs among the values of a script

// A program runs in the background of a script.
type program struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr transcript
	done           chan struct{}
}

// A transcript is what a program has written so far.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed at the next change
}

func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
	return w.text.Write(b)
}

func (w *transcript) String() string {
	text, _ := w.now()
	return text
}

// now returns the text, and a channel that is closed when there is more.
func (w *transcript) now() (string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.text.String(), w.changed
}

func find(ts *testscript.TestScript, name string) *program {
	p := ts.Value(programsKey{}).(programs)[name]
	if p == nil {
		ts.Fatalf("no program %s", name)
	}
	return p
}

func runProgram(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func startProgram(ts *testscript.TestScript, _ bool, args []string) {
	p := &program{done: make(chan struct{})}
	all := ts.Value(programsKey{}).(programs)
	if all[args[0]] != nil {
		ts.Fatalf("%s runs already", args[0])
	}
	p.cmd = exec.Command(args[1], args[2:]...)
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = append(os.Environ(), "GORACE="+ts.Getenv("GORACE"), "TMPDIR="+ts.Getenv("TMPDIR"))
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	all[args[0]] = p
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
}

func feedProgram(ts *testscript.TestScript, _ bool, args []string) {
	_, err := io.WriteString(find(ts, args[0]).stdin, ts.ReadFile(args[1]))
	ts.Check(err)
}

func awaitProgram(ts *testscript.TestScript, _ bool, args []string) {
	p := find(ts, args[0])
	stream := map[string]*transcript{"stdout": &p.stdout, "stderr": &p.stderr}[args[1]]
	want, err := regexp.Compile("(?m)" + args[2])
	ts.Check(err)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for over := false; ; {
		text, changed := stream.now()
		if groups := want.FindStringSubmatch(text); groups != nil {
			if len(args) > 3 {
				ts.Setenv(args[3], groups[1])
			}
			return
		}
		if over {
			ts.Fatalf("%s never said %q but:\n%s", args[0], args[2], text)
		}
		select {
		case <-changed:
		case <-p.done:
			over = true
		case <-timer.C:
			over = true
		}
	}
}

func signalProgram(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "INT": os.Interrupt, "TERM": syscall.SIGTERM, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "KILL": os.Kill}
	ts.Check(find(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

func endProgram(ts *testscript.TestScript, _ bool, args []string) {
	p := find(ts, args[0])
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("%s does not end; so far:\n%s", args[0], p.stderr.String())
	}
	delete(ts.Value(programsKey{}).(programs), args[0])
	io.WriteString(ts.Stdout(), p.stdout.String())
	io.WriteString(ts.Stderr(), p.stderr.String())
	if code := p.cmd.ProcessState.ExitCode(); args[1] != "-" && strconv.Itoa(code) != args[1] {
		ts.Fatalf("%s: exit code %d, want %s\n%s", args[0], code, args[1], p.stderr.String())
	}
}
