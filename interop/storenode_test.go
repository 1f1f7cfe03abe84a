package interop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// python returns an interpreter with Broker's module: the one that ZEEKPEER_BROKER_PYTHON names,
// otherwise python3 on PATH. It returns "" if python3 has no such module.
var python = sync.OnceValues(func() (string, error) {
	program := os.Getenv("ZEEKPEER_BROKER_PYTHON")
	named := program != ""
	if !named {
		program = "python3"
	}
	cmd := exec.Command(program, "-c", "import broker")
	if out, err := cmd.CombinedOutput(); err != nil {
		if named {
			return "", fmt.Errorf("ZEEKPEER_BROKER_PYTHON=%s: import broker: %w\n%s", program, err, out)
		}
		return "", nil
	}
	return program, nil
})

// A storeNode is a real node that may have stores: testdata/storenode.py in a process of its own.
type storeNode struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	replies *bufio.Reader
	output         // of its standard error
	dir     string // of what its master keeps
}

// startStoreNode starts a node without stores, on plain TCP unless it is to be as by default. It ends
// with the test at the latest. Without Broker's Python module the test is skipped.
func startStoreNode(t *testing.T, args ...string) *storeNode {
	t.Helper()
	program, err := python()
	if err != nil {
		t.Fatal(err)
	}
	if program == "" {
		t.Skip("no python3 with the module broker on PATH, nor ZEEKPEER_BROKER_PYTHON set")
	}
	script, err := filepath.Abs(filepath.Join("testdata", "storenode.py"))
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{script, "--plain"}
	if slices.Contains(args, asByDefault) {
		flags = flags[:1]
	}
	n := &storeNode{cmd: exec.Command(program, flags...)}
	n.changed = make(chan struct{})
	n.cmd.Dir, n.cmd.Stderr = t.TempDir(), &n.output
	n.dir = n.cmd.Dir
	n.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "BROKER_") })
	if n.in, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.replies = bufio.NewReader(out)
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.kill()
		if text := n.String(); t.Failed() && text != "" {
			t.Logf("%s wrote:\n%s", n.cmd, text)
		}
	})
	return n
}

// kill ends the process without a warning and waits for its end.
func (n *storeNode) kill() {
	_ = n.cmd.Process.Kill() // fails if it has ended
	_ = n.cmd.Wait()         // fails, having been killed
}

// A request is one of those of storenode.py.
type request struct {
	Op      string               `json:"op"`
	Store   string               `json:"store,omitempty"`
	Address string               `json:"address,omitempty"`
	Port    int                  `json:"port,omitempty"`
	Retry   int                  `json:"retry,omitempty"` // seconds; 0: never
	Backend string               `json:"backend,omitempty"`
	Options map[string]jsonValue `json:"options,omitempty"`
	Args    []jsonValue          `json:"args,omitempty"`
	Expiry  string               `json:"expiry,omitempty"`
	Timeout float64              `json:"timeout,omitempty"` // seconds
}

// A jsonValue is a value that marshals as Broker's JSON.
type jsonValue struct{ data.Value }

func (v jsonValue) MarshalJSON() ([]byte, error) { return data.AppendJSON(nil, v.Value), nil }

func (v *jsonValue) UnmarshalJSON(b []byte) (err error) {
	v.Value, err = data.ParseJSON(b, data.AnyJSON)
	return err
}

// ask sends a request and decodes its answer.
func ask[T any](t *testing.T, n *storeNode, r request) T {
	t.Helper()
	v, err := asked[T](n, r)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	return v
}

// asked is ask for what may fail.
func asked[T any](n *storeNode, r request) (v T, err error) {
	line, err := json.Marshal(r)
	if err != nil {
		return v, err
	}
	timer := time.AfterFunc(patience, func() { _ = n.cmd.Process.Kill() })
	defer timer.Stop()
	if _, err := n.in.Write(append(line, '\n')); err != nil {
		return v, err
	}
	if line, err = n.replies.ReadBytes('\n'); err != nil {
		return v, fmt.Errorf("no answer: %w", err)
	}
	var reply struct {
		OK    T      `json:"ok"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(line, &reply); err != nil {
		return v, fmt.Errorf("%.200s: %w", line, err)
	}
	if reply.Error != "" {
		return v, errors.New(reply.Error)
	}
	return reply.OK, nil
}

// listen makes the node listen and returns where.
func (n *storeNode) listen(t *testing.T) string {
	t.Helper()
	port := ask[int](t, n, request{Op: "listen", Address: "127.0.0.1"})
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// peer makes the node dial addr, and dial it again after a second whenever the connection is lost. It
// returns when they are peers.
func (n *storeNode) peer(t *testing.T, addr string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if !ask[bool](t, n, request{Op: "peer", Address: host, Port: number, Retry: 1}) {
		t.Fatalf("%s: no peering with %s", n.cmd, addr)
	}
}

// A realStore is a master or a clone at a real node.
type realStore struct {
	*storeNode
	name   string
	memory bool // a master that keeps its contents in memory
}

// attachMaster makes the node the master of a store: in memory, or in a file of the node's directory.
func (n *storeNode) attachMaster(t *testing.T, name, backend string) replica {
	t.Helper()
	r := request{Op: "attach_master", Store: name, Backend: backend}
	if backend == "sqlite" {
		r.Options = map[string]jsonValue{"path": {data.String(filepath.Join(n.dir, "store.sqlite"))}}
	}
	ask[any](t, n, r)
	return &realStore{storeNode: n, name: name, memory: backend == "memory"}
}

// attachClone makes the node a clone of a store. It does not wait for the master.
func (n *storeNode) attachClone(t *testing.T, name string) replica {
	t.Helper()
	ask[any](t, n, request{Op: "attach_clone", Store: name})
	return &realStore{storeNode: n, name: name}
}

func jsonValues(args []data.Value) (all []jsonValue) {
	for _, v := range args {
		all = append(all, jsonValue{v})
	}
	return all
}

func (s *realStore) do(t *testing.T, op storeOp) bool {
	t.Helper()
	r := request{Op: op.call, Store: s.name, Args: jsonValues(op.args)}
	if op.expires {
		r.Expiry = strconv.FormatInt(int64(op.expiry), 10) + "ns"
	}
	answer := ask[*jsonValue](t, s.storeNode, r)
	if op.call != "put_unique" {
		return true
	}
	if answer == nil {
		t.Fatalf("%v: no answer", op)
	}
	inserted, _ := answer.AsBool()
	return inserted
}

func (s *realStore) get(t *testing.T, key data.Value) (data.Value, bool) {
	t.Helper()
	v := ask[*jsonValue](t, s.storeNode, request{Op: "get", Store: s.name, Args: []jsonValue{{key}}})
	if v == nil {
		return data.Value{}, false
	}
	return v.Value, true
}

func (s *realStore) contents(t *testing.T) data.Value {
	t.Helper()
	pairs := ask[[][2]jsonValue](t, s.storeNode, request{Op: "dump", Store: s.name})
	if pairs == nil {
		t.Fatalf("%s at %s tells no contents", s.name, s.cmd)
	}
	var entries []data.Entry
	for _, pair := range pairs {
		entries = append(entries, data.Entry{Key: pair[0].Value, Value: pair[1].Value})
	}
	return data.Table(entries...)
}

func (s *realStore) idle(t *testing.T) {
	t.Helper()
	if !ask[bool](t, s.storeNode, request{Op: "await_idle", Store: s.name, Timeout: patience.Seconds()}) {
		t.Fatalf("%s at %s does not become idle", s.name, s.cmd)
	}
}

func (s *realStore) events(t *testing.T) (all []storeEvent) {
	t.Helper()
	for _, v := range ask[[]jsonValue](t, s.storeNode, request{Op: "store_events", Store: s.name}) {
		elems := v.Elems()
		kind, _ := elems[0].AsString()
		n := len(elems) - 2
		e := storeEvent{what: kind, publisher: elems[n].String() + "/" + elems[n+1].String()}
		if kind == "insert" || kind == "update" {
			n--
			e.expiry = elems[n].String()
		}
		for _, v := range elems[2:n] { // 1 is the name
			e.what += " " + v.String()
		}
		all = append(all, e)
	}
	return all
}

func (s *realStore) index(t *testing.T, key, index data.Value) (data.Value, bool) {
	t.Helper()
	v := ask[*jsonValue](t, s.storeNode, request{Op: "get_index_from_value", Store: s.name, Args: []jsonValue{{key}, {index}}})
	if v == nil {
		return data.Value{}, false
	}
	return v.Value, true
}
