package pebble

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/storetest"
)

var crashCases = flag.Int("crashes", 300, "how many crashes TestCrash tries")

// withTable makes the database write sorted files, and merge them, much earlier.
func withTable(bytes uint64) Option { return func(o *options) { o.table = bytes } }

// isWrite tells whether an operation changes what is on the disk.
func isWrite(op errorfs.Op) bool {
	return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpLock && op.Kind != errorfs.OpFileClose
}

// A crash is what a file system has after one, and between which states of the contents it was.
type crash struct {
	fs          *vfs.MemFS
	first, last int
}

// A history is the contents after each commit, and the crashes meanwhile.
type history struct {
	mu      sync.Mutex
	states  []*storetest.Contents // states[i] after i commits
	done    int                   // commits that have returned
	crashes []crash
}

func (h *history) returned() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.done
}

// crash adds one that happens now.
func (h *history) crash(files *vfs.MemFS, cfg vfs.CrashCloneCfg) {
	first := h.returned()
	clone := files.CrashClone(cfg)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.crashes = append(h.crashes, crash{clone, first, len(h.states) - 1})
}

func (h *history) commit(t *testing.T, b *Backend, batch *store.Batch) error {
	t.Helper()
	h.mu.Lock()
	next := h.states[len(h.states)-1].Clone()
	if err := next.Commit(batch); err != nil {
		t.Fatal(err)
	}
	h.states = append(h.states, next)
	h.mu.Unlock()
	err := b.Commit(batch)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.states = h.states[:len(h.states)-1]
	} else {
		h.done++
	}
	return err
}

// Whenever the machine goes down, what comes up again are the contents after some commit as a whole,
// records, writers, mark and master: after the last one that returned, or the one that was under way.
func TestCrash(t *testing.T) {
	for n, seed := 0, uint64(0); n < *crashCases; seed++ {
		crashes := crashesOf(t, seed)
		for i, c := range crashes.crashes {
			c.check(t, fmt.Sprintf("seed %d, crash %d", seed, i), crashes.states[c.first:c.last+1])
		}
		n += len(crashes.crashes)
	}
}

// A crash while the database is created may leave the file that names the manifest without the manifest.
func TestCrashOfCreation(t *testing.T) {
	files := vfs.NewMem()
	if err := files.MkdirAll("a/store", 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := files.Create("a/store/marker.manifest.000001.MANIFEST-000001", vfs.WriteCategoryUnspecified)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	crash{fs: files}.check(t, "creation", []*storetest.Contents{storetest.NewContents()})
}

func crashesOf(t *testing.T, seed uint64) *history {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	files := vfs.NewCrashableMem()
	h := &history{states: []*storetest.Contents{storetest.NewContents()}}
	var mu sync.Mutex
	every := 5 + random.IntN(60)
	inject := func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if isWrite(op) && random.IntN(every) == 0 {
			h.crash(files, vfs.CrashCloneCfg{
				UnsyncedDataPercent: []int{0, 50, 100}[random.IntN(3)],
				RNG:                 rand.New(rand.NewPCG(seed, uint64(len(h.crashes)))),
			})
		}
		return nil
	}
	table := uint64(64 << 10)
	b, err := Open("a/store", WithFS(errorfs.Wrap(files, errorfs.InjectorFunc(inject))), withTable(table))
	if err != nil {
		t.Fatal(err)
	}
	batches := storetest.NewGenerator(seed)
	for range 30 {
		if err := h.commit(t, b, batches.Batch(30)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return h
}

// check opens what the crash left, which must be one of the states, and goes on with it.
func (c crash) check(t *testing.T, name string, states []*storetest.Contents) {
	t.Helper()
	b, err := Open("a/store", WithFS(c.fs))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	got := read(t, b)
	diff := ""
	for _, state := range states {
		if diff = got.Diff(state); diff == "" {
			break
		}
	}
	if diff != "" {
		t.Fatalf("%s: not one of %d states; differs from the last: %s", name, len(states), diff)
	}
	commit(t, b, got, storetest.NewGenerator(1).Batch(10))
	reopened(t, b, c.fs, got)
}

// reopened closes b and looks for the contents in a new one.
func reopened(t *testing.T, b *Backend, files vfs.FS, want *storetest.Contents) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(b.path, WithFS(files))
	if err != nil {
		t.Fatal(err)
	}
	if diff := read(t, again).Diff(want); diff != "" {
		t.Fatal(diff)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, b *Backend) *storetest.Contents {
	t.Helper()
	c, err := storetest.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func commit(t *testing.T, b *Backend, model *storetest.Contents, batch *store.Batch) {
	t.Helper()
	if err := errors.Join(b.Commit(batch), model.Commit(batch)); err != nil {
		t.Fatal(err)
	}
}

// A disk that fails at any operation, and for as long as it likes, gives errors from Commit and nothing
// worse. When it works again the same batches go through, and nothing is lost.
func TestFailingDisk(t *testing.T) {
	failures := 0
	for seed := range uint64(*crashCases / 5) {
		failures += failingDisk(t, seed)
	}
	if failures < *crashCases/5 {
		t.Errorf("only %d failed commits", failures)
	}
}

func failingDisk(t *testing.T, seed uint64) (failures int) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 2))
	files := vfs.NewCrashableMem()
	var mu sync.Mutex
	working := -1 // write operations until the disk fails; negative: never
	errnos := rand.New(rand.NewPCG(seed, 3))
	set := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		working = n
	}
	inject := func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case working < 0 || !isWrite(op):
			return nil
		case working > 0:
			working--
			return nil
		case errnos.IntN(2) == 0:
			return syscall.EIO
		}
		return syscall.ENOSPC
	}
	b, err := Open("a/store", WithFS(errorfs.Wrap(files, errorfs.InjectorFunc(inject))), withTable(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	h := &history{states: []*storetest.Contents{storetest.NewContents()}}
	batches := storetest.NewGenerator(seed)
	for range 4 {
		set(random.IntN(80))
		broken := random.IntN(4)
		for range 20 {
			batch := batches.Batch(30)
			for err := h.commit(t, b, batch); err != nil; err = h.commit(t, b, batch) {
				failures++
				if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EIO) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if broken--; broken < 0 {
					set(-1)
				} else if random.IntN(2) == 0 {
					set(random.IntN(10))
				}
			}
		}
		set(-1)
		if diff := read(t, b).Diff(h.states[h.done]); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
	after := files.CrashClone(vfs.CrashCloneCfg{})
	crash{after, h.done, h.done}.check(t, fmt.Sprint("seed ", seed), h.states[h.done:])
	reopened(t, b, files, h.states[h.done])
	return failures
}

// Each Commit syncs the log once, and returns after that.
func TestOneSyncForEachCommit(t *testing.T) {
	files := vfs.NewCrashableMem()
	syncs := make(chan string)
	var mu sync.Mutex
	var watching bool
	inject := func(op errorfs.Op) error {
		mu.Lock()
		report := watching
		mu.Unlock()
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			if report {
				syncs <- op.Path // twice, to stop the disk between the two
				syncs <- op.Path
			}
		}
		return nil
	}
	b, err := Open("a/store", WithFS(errorfs.Wrap(files, errorfs.InjectorFunc(inject))))
	if err != nil {
		t.Fatal(err)
	}
	watch := func(on bool) {
		mu.Lock()
		defer mu.Unlock()
		watching = on
	}
	model := storetest.NewContents()
	batches := storetest.NewGenerator(3)
	for i := range 20 {
		before := model.Clone()
		batch := batches.Batch(20)
		watch(true)
		done := make(chan error, 1)
		go func() { done <- b.Commit(batch) }()
		if name := <-syncs; !strings.HasSuffix(name, ".log") {
			t.Errorf("commit %d syncs %s and not the log", i, name)
		}
		// The sync has not begun: a crash takes the batch with it, and nobody was told.
		crash{files.CrashClone(vfs.CrashCloneCfg{}), 0, 0}.check(t, fmt.Sprint("commit ", i), []*storetest.Contents{before})
		select {
		case err := <-done:
			t.Fatalf("commit %d returned before it was durable: %v", i, err)
		default:
		}
		<-syncs
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case name := <-syncs:
			t.Fatalf("commit %d syncs %s besides", i, name)
		}
		watch(false)
		if err := model.Commit(batch); err != nil {
			t.Fatal(err)
		}
		crash{files.CrashClone(vfs.CrashCloneCfg{}), 0, 0}.check(t, fmt.Sprint("commit ", i), []*storetest.Contents{model})
	}
	reopened(t, b, files, model)
}
