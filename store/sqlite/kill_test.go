package sqlite

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/zeekpeer/zeekpeer/store/storetest"
)

// childEnv makes the test binary commit batches to the file that it names until it is killed.
const childEnv = "ZEEKPEER_SQLITE_CHILD"

// child says on its standard output how many batches it has committed.
func child() int {
	b, err := Open(os.Getenv(childEnv), WithJournal(Journal(os.Args[1])))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	seed, _ := strconv.ParseUint(os.Args[2], 10, 64)
	batches := storetest.NewGenerator(seed)
	for n := 1; ; n++ {
		if err := b.Commit(batches.Batch(30)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(n)
	}
}

// A process that is killed leaves what it committed, and perhaps the batch after that, as a whole.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for i := range 10 {
		seed := uint64(i)
		journal := journals[i%2]
		path := filepath.Join(t.TempDir(), "s.sqlite")
		cmd := exec.Command(os.Args[0], string(journal), fmt.Sprint(seed))
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 1 + rand.N(30) {
			if !lines.Scan() {
				t.Fatal("the process ended by itself")
			}
		}
		_ = cmd.Process.Kill()
		done, _ := strconv.Atoi(lines.Text())
		for lines.Scan() {
			done, _ = strconv.Atoi(lines.Text())
		}
		_ = cmd.Wait()
		before := storetest.NewContents()
		batches := storetest.NewGenerator(seed)
		for range done {
			if err := before.Commit(batches.Batch(30)); err != nil {
				t.Fatal(err)
			}
		}
		after := before.Clone()
		if err := after.Commit(batches.Batch(30)); err != nil {
			t.Fatal(err)
		}
		b := open(t, path, WithIntegrityCheck())
		got, err := storetest.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := got.Diff(before); diff != "" {
			if other := got.Diff(after); other != "" {
				t.Fatalf("journal %s, seed %d, after %d commits: %s; and against the next: %s", journal, seed, done, diff, other)
			}
		}
		closed(t, b)
	}
}
