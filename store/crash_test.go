package store_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/pebble"
	"github.com/zeekpeer/zeekpeer/store/sqlite"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// crashKills is how many times a process is killed, and crashSeed says which and when. Both can be set
// in the environment.
var (
	crashKills = fromEnv("ZEEKPEER_CRASH_KILLS", 8)
	crashSeed  = fromEnv("ZEEKPEER_CRASH_SEED", 4)
)

func fromEnv(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

func openBackend(kind, path string) (store.Backend, error) {
	switch kind {
	case "pebble":
		return pebble.Open(path)
	case "sqlite":
		return sqlite.Open(path)
	}
	return nil, fmt.Errorf("no backend %q", kind)
}

// A suicidalLog kills its own process at a commit when it is told to, before it or just after it.
type suicidalLog struct {
	store.Backend
	when atomic.Pointer[string] // "before" or "after"
}

func (l *suicidalLog) Commit(b *store.Batch) error {
	when := l.when.Load()
	if when != nil && *when == "before" {
		killMyself()
	}
	err := l.Backend.Commit(b)
	if when != nil && err == nil {
		killMyself()
	}
	return err
}

func killMyself() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		p.Kill()
	}
	select {}
}

// serveCrash attaches the master of the crash test: the same one each time, at the same address.
func serveCrash(b store.Backend, addr string) (ep *endpoint.Endpoint, master *store.Store, at string, err error) {
	id, err := store.EndpointID(b)
	if err != nil {
		return nil, nil, "", err
	}
	if ep, err = endpoint.New(endpoint.WithSecurity(endpoint.PlainTCP()), endpoint.WithID(id)); err != nil {
		return nil, nil, "", err
	}
	if master, err = store.AttachMaster(ep, "crash", store.WithBackend(b)); err != nil {
		return nil, nil, "", err
	}
	l, err := ep.Listen(context.Background(), addr)
	if err != nil {
		return nil, nil, "", err
	}
	return ep, master, l.String(), nil
}

// runMaster prints "ready" and its address, and serves until its input ends, or it is killed: by itself
// at the next commit if it reads "before" or "after".
func runMaster(args []string, in *bufio.Scanner) error {
	b, err := openBackend(args[0], args[1])
	if err != nil {
		return err
	}
	log := &suicidalLog{Backend: b}
	ep, master, addr, err := serveCrash(log, args[2])
	if err != nil {
		return err
	}
	fmt.Println("ready", addr)
	for in.Scan() {
		when := in.Text()
		log.when.Store(&when)
	}
	return errors.Join(master.Close(), ep.Close(context.Background()))
}

// A crashOp is an operation of the writer called name, the n-th of its life. Everything about it follows
// from these two, so that a writer needs to say no more than the number.
type crashOp struct {
	kind byte // put, erase, unique, increment: by their first letters
	key  string
	op   store.Op
}

func opOf(name string, n int) crashOp {
	value := data.String(fmt.Sprint(name, " ", n))
	switch n % 8 {
	case 0, 1, 2:
		key := fmt.Sprint(name, " p", n%5)
		return crashOp{'p', key, store.PutOp(data.String(key), value)}
	case 3:
		key := fmt.Sprint(name, " p", n%5)
		return crashOp{'e', key, store.EraseOp(data.String(key))}
	case 4, 5:
		key := fmt.Sprint("u", n) // which the other writers want, too
		return crashOp{'u', key, store.PutUniqueOp(data.String(key), value)}
	case 6:
		key := name + " n"
		return crashOp{'i', key, store.IncrementOp(data.String(key), data.Count(1))}
	}
	return crashOp{'i', "n", store.IncrementOp(data.String("n"), data.Count(1))}
}

// runWriter prints "s N" before it submits its N-th operation, and what became of it after that: "a N" if
// it was applied, "n N" if it had no effect, "u N" if nobody knows and "m N" if it was not sent. Told to
// "stop" it waits for the outcomes and prints "stopped". Told to "show" it prints what the store contains.
func runWriter(args []string, in *bufio.Scanner) error {
	ctx := context.Background()
	addr, name := args[0], args[1]
	ep, err := endpoint.New(endpoint.WithSecurity(endpoint.PlainTCP()), endpoint.WithRetry(20*time.Millisecond))
	if err != nil {
		return err
	}
	if _, err := ep.Peer(addr); err != nil {
		return err
	}
	clone, err := store.AttachClone(ep, "crash")
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	pending := make(chan *store.Pending, 64)
	go func() {
		defer close(pending)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			fmt.Println("s", n)
			p, err := clone.Submit(ctx, opOf(name, n).op)
			if err != nil {
				panic(err)
			}
			pending <- p
		}
	}()
	go func() {
		n := 0
		for p := range pending {
			o, err := p.Wait(ctx)
			switch {
			case errors.Is(err, store.ErrNoSuchMaster):
				fmt.Println("m", n)
			case err != nil:
				fmt.Println("u", n)
			case o == store.Applied:
				fmt.Println("a", n)
			default:
				fmt.Println("n", n)
			}
			n++
		}
		fmt.Println("stopped")
	}()
	for in.Scan() {
		switch in.Text() {
		case "stop":
			close(stop)
		case "show":
			sum, err := digest(ctx, clone)
			if err != nil {
				return err
			}
			fmt.Println("shows", sum)
		}
	}
	return nil
}

// digest returns the number of entries of a store and a hash of all.
func digest(ctx context.Context, s *store.Store) (string, error) {
	all, err := s.All(ctx)
	if err != nil {
		return "", err
	}
	var entries []data.Entry
	for k, v := range all {
		entries = append(entries, data.Entry{Key: k, Value: v})
	}
	return fmt.Sprintf("%d entries %x", len(entries), sha256.Sum256(data.AppendValue(nil, data.Table(entries...)))), nil
}

// A crashWriter is what the parent knows of one life of a writer.
type crashWriter struct {
	name      string
	p         *process
	submitted int
	outcomes  map[int]byte
	stopped   chan struct{}
	shows     chan string
}

// outcome returns what became of an operation, 'u' if that was not told.
func (w *crashWriter) outcome(n int) byte { return cmp.Or(w.outcomes[n], 'u') }

// A crashTest is a master and its writers, in processes that are killed.
type crashTest struct {
	testing.TB
	kind, path, addr string
	master           *process

	mu       sync.Mutex
	heard    int // outcomes of all writers
	goal     int
	reached  chan struct{}  // closed when heard has come to goal
	writers  []*crashWriter // that live
	everyone []*crashWriter
}

func (c *crashTest) startMaster() {
	c.Helper()
	ready := make(chan string, 1)
	master := startRole(c, func(line string) {
		if addr, ok := strings.CutPrefix(line, "ready "); ok {
			ready <- addr
		}
	}, "master", c.kind, c.path, cmp.Or(c.addr, "127.0.0.1:0"))
	c.master = master
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		master.said.Wait()
	}()
	select {
	case c.addr = <-ready:
	case <-gone:
		c.Fatal("the master ended by itself")
	}
}

func (c *crashTest) startWriter(i int) {
	c.Helper()
	w := &crashWriter{
		name: fmt.Sprintf("w%d.%d", i, len(c.everyone)), outcomes: make(map[int]byte),
		stopped: make(chan struct{}), shows: make(chan string, 1),
	}
	w.p = startRole(c, func(line string) { c.hear(w, line) }, "writer", c.addr, w.name)
	c.writers[i] = w
	c.everyone = append(c.everyone, w)
}

func (c *crashTest) hear(w *crashWriter, line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case line == "stopped":
		close(w.stopped)
		return
	case strings.HasPrefix(line, "shows "):
		w.shows <- line[len("shows "):]
		return
	}
	n, err := strconv.Atoi(line[2:])
	if err != nil {
		c.Error(err)
		return
	}
	if line[0] == 's' {
		w.submitted = n + 1
		return
	}
	w.outcomes[n] = line[0]
	if c.heard++; c.heard == c.goal {
		close(c.reached)
	}
}

// await returns when n more operations have come to an end.
func (c *crashTest) await(ctx context.Context, n int) {
	c.Helper()
	c.mu.Lock()
	reached := make(chan struct{})
	c.goal, c.reached = c.heard+n, reached
	c.mu.Unlock()
	select {
	case <-reached:
	case <-ctx.Done():
		c.Fatal("the writers do not get on")
	}
}

// Masters and clones are killed while clones write. No write that was acknowledged is lost, none is
// executed twice, and in the end all have the same.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, kind := range []string{"pebble", "sqlite"} {
		t.Run(kind, func(t *testing.T) { testKill(t, kind) })
	}
}

func testKill(t *testing.T, kind string) {
	ctx := within(t, time.Minute+time.Duration(crashKills)*5*time.Second)
	c := &crashTest{TB: t, kind: kind, path: filepath.Join(t.TempDir(), "store"), writers: make([]*crashWriter, 3)}
	random := rand.New(rand.NewPCG(uint64(crashSeed), 0))
	c.startMaster()
	for i := range c.writers {
		c.startWriter(i)
	}
	masters := 0
	for range crashKills {
		c.await(ctx, 1+random.IntN(400))
		victim := random.IntN(2 * len(c.writers)) // half of the time the master
		if victim < len(c.writers) {
			c.writers[victim].p.kill()
			c.startWriter(victim)
		} else {
			masters++
			// At any moment, or between the two in which a write becomes durable and is acknowledged.
			if when := [...]string{"", "before", "after"}[random.IntN(3)]; when != "" {
				c.master.tell(t, when)
				c.master.said.Wait()
			}
			c.master.kill()
			if victim == len(c.writers) { // and a clone with it
				c.writers[0].p.kill()
				c.startMaster()
				c.startWriter(0)
			} else {
				c.startMaster()
			}
		}
	}
	c.await(ctx, 100)
	for _, w := range c.writers {
		w.p.tell(t, "stop")
	}
	for _, w := range c.writers {
		select {
		case <-w.stopped:
		case <-ctx.Done():
			t.Fatalf("%s does not get its outcomes", w.name)
		}
	}
	c.master.kill()
	b, err := openBackend(c.kind, c.path)
	if err != nil {
		t.Fatal(err)
	}
	ep, master, _, err := serveCrash(b, c.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Close(ctx)
	defer master.Close()
	c.check(ctx, master)
	want, err := digest(ctx, master)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range c.writers {
		for shown := ""; shown != want; {
			w.p.tell(t, "show")
			select {
			case shown = <-w.shows:
			case <-ctx.Done():
				t.Fatalf("%s has %s, the master %s", w.name, shown, want)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	outcomes := make(map[byte]int)
	for _, w := range c.everyone {
		for n := range w.submitted {
			outcomes[w.outcome(n)]++
		}
	}
	t.Logf("seed %d, %d kills, %d of them of the master; %d lives of writers; %d operations applied, %d without effect, %d not sent, %d unknown; %s",
		crashSeed, crashKills, masters, len(c.everyone), outcomes['a'], outcomes['n'], outcomes['m'], outcomes['u'], want)
}

// check compares what the master has with what the writers were told.
func (c *crashTest) check(ctx context.Context, master *store.Store) {
	c.mu.Lock()
	defer c.mu.Unlock()
	contents := make(map[string]data.Value)
	all, err := master.All(ctx)
	if err != nil {
		c.Fatal(err)
	}
	for k, v := range all {
		key, _ := k.AsString()
		contents[key] = v
	}
	type counter struct{ applied, unknown uint64 }
	counters := make(map[string]*counter)
	type claim struct{ applied, maybe []string } // the values that writers have put
	claims := make(map[string]*claim)
	may := make(map[string]map[string]bool) // what may stand under keys that one writer has to itself; "": nothing
	for _, w := range c.everyone {
		for n := range w.submitted {
			op, outcome := opOf(w.name, n), w.outcome(n)
			value := fmt.Sprint(w.name, " ", n)
			switch op.kind {
			case 'i':
				k := counters[op.key]
				if k == nil {
					k = new(counter)
					counters[op.key] = k
				}
				switch outcome {
				case 'a':
					k.applied++
				case 'u':
					k.unknown++
				case 'n':
					c.Errorf("%s: increment %d had no effect", w.name, n)
				}
			case 'u':
				k := claims[op.key]
				if k == nil {
					k = new(claim)
					claims[op.key] = k
				}
				switch outcome {
				case 'a':
					k.applied = append(k.applied, value)
				case 'u':
					k.maybe = append(k.maybe, value)
				case 'n':
					if _, ok := contents[op.key]; !ok {
						c.Errorf("%s: put_unique %d of %s found something, but there is nothing", w.name, n, op.key)
					}
				}
			default:
				if op.kind == 'e' {
					value = ""
				}
				states := may[op.key]
				if states == nil {
					states = map[string]bool{"": true}
					may[op.key] = states
				}
				switch {
				case outcome == 'a', outcome == 'n' && op.kind == 'e':
					clear(states)
					states[value] = true
				case outcome == 'u':
					states[value] = true
				case outcome == 'n':
					c.Errorf("%s: put %d had no effect", w.name, n)
				}
			}
		}
	}
	for key, k := range counters {
		got, _ := contents[key].AsCount()
		if got < k.applied || got > k.applied+k.unknown {
			c.Errorf("counter %s is %d: %d increments were applied, of %d it is not known", key, got, k.applied, k.unknown)
		}
	}
	for key, k := range claims {
		got, _ := contents[key].AsString()
		switch {
		case len(k.applied) > 1:
			c.Errorf("put_unique of %s has the winners %q", key, k.applied)
		case len(k.applied) == 1 && got != k.applied[0]:
			c.Errorf("%s is %q: %q has won", key, got, k.applied)
		case len(k.applied) == 0 && got != "" && !slices.Contains(k.maybe, got):
			c.Errorf("%s is %q, which was not put; it may be one of %q", key, got, k.maybe)
		}
	}
	for key, states := range may {
		if got, _ := contents[key].AsString(); !states[got] {
			c.Errorf("%s is %q, and may be one of %v", key, got, states)
		}
	}
}
