package interop

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/pebble"
	"github.com/zeekpeer/zeekpeer/store/sqlite"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// durable are our backends, by their names.
var durable = map[string]func(path string) (store.Backend, error){
	"pebble": func(path string) (store.Backend, error) { return pebble.Open(path) },
	"sqlite": func(path string) (store.Backend, error) { return sqlite.Open(path) },
}

// listening is what a masterProcess writes before its address.
const listening = "listening at "

// TestStoreMasterProcess is no test: with a backend and its path as arguments it is the process of
// [startMasterProcess].
func TestStoreMasterProcess(t *testing.T) {
	if flag.NArg() != 2 {
		t.Skip("a process of other tests")
	}
	backend, err := durable[flag.Arg(0)](flag.Arg(1))
	if err != nil {
		t.Fatal(err)
	}
	id, err := store.EndpointID(backend)
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, endpoint.WithID(id))
	if _, err := store.AttachMaster(e, storeName, store.WithBackend(backend)); err != nil {
		t.Fatal(err)
	}
	fmt.Println(listening + listen(t, e))
	select {} // until it is killed
}

// startMasterProcess starts a process with a master of ours that keeps its contents at path, and returns
// where it listens.
func startMasterProcess(t *testing.T, backend, path string) (p *process, addr string) {
	t.Helper()
	p = start(t, os.Args[0], "-test.run=^TestStoreMasterProcess$", "-test.timeout=5m", backend, path)
	p.await(t, listening, 1)
	_, addr, _ = strings.Cut(p.String(), listening)
	addr, _, _ = strings.Cut(addr, "\n")
	return p, addr
}

// Our master is killed again and again while clones of both makes write. It goes on where it was: every
// write is executed once.
func TestStoreMasterKilled(t *testing.T) {
	for backend := range durable {
		t.Run(backend, func(t *testing.T) {
			node := startStoreNode(t)
			path := filepath.Join(t.TempDir(), "store")
			master, addr := startMasterProcess(t, backend, path)
			l := newLink(t, addr)
			node.peer(t, l.addr)
			ours := startOurSite(t)
			ours.peer(t, l.addr)
			clones := []replica{node.attachClone(t, storeName), ours.attachClone(t, storeName)}
			for _, c := range clones {
				c.idle(t)
			}
			counter := data.String("counter")
			want, total := model{}, uint64(0)
			write := func(round string, n int) {
				for i := range n {
					for who, c := range clones {
						key := data.String(fmt.Sprintf("%s %d %d", round, i, who))
						c.do(t, op("put", key, data.Int(int64(i))))
						want.put(key, data.Int(int64(i)))
						c.do(t, op("increment", counter, data.Count(1)))
						total++
					}
				}
				want.put(counter, data.Count(total))
			}
			for round := range 4 {
				write(fmt.Sprintf("up %d", round), 50)
				master.kill()
				write(fmt.Sprintf("down %d", round), 20)
				master, addr = startMasterProcess(t, backend, path)
				l.retarget(addr)
				converge(t, want, clones...)
			}
		})
	}
}

// A real master is killed and comes back as another one, with its file. Our clone, which real ones do
// not, finds it, and what it put meanwhile is there.
func TestStoreRealMasterRestarts(t *testing.T) {
	node := startStoreNode(t)
	node.attachMaster(t, storeName, "sqlite")
	l := newLink(t, node.listen(t))
	ours := startOurSite(t)
	ours.peer(t, l.addr)
	clone := ours.attachClone(t, storeName)
	clone.idle(t)
	want := model{}
	write := func(round string) {
		for i := range 20 {
			key := data.String(fmt.Sprintf("%s %d", round, i))
			clone.do(t, op("put", key, data.Int(int64(i))))
			want.put(key, data.Int(int64(i)))
		}
		gone := data.String("gone")
		clone.do(t, op("put", gone, data.None()))
		clone.do(t, op("erase", gone))
	}
	for round := range 3 {
		write(fmt.Sprintf("up %d", round))
		node.kill()
		write(fmt.Sprintf("down %d", round))
		again := startStoreNode(t)
		again.dir = node.dir
		node = again
		master := node.attachMaster(t, storeName, "sqlite")
		l.retarget(node.listen(t))
		clone.idle(t)
		converge(t, want, master, clone)
	}
}

// Real clones that were cut off one after the other have three different numbers of events when our master
// is killed. What they miss is gone with it, and still all of them come to its contents, go on with it, and
// what they wrote while they were cut off is there, once.
func TestStoreClonesBehindRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	master, addr := startMasterProcess(t, "pebble", path)
	ours := startOurSite(t)
	mine := newLink(t, addr)
	ours.peer(t, mine.addr)
	writer := ours.attachClone(t, storeName)
	links := make([]*link, 3)
	clones := make([]replica, len(links))
	for i := range clones {
		node := startStoreNode(t)
		links[i] = newLink(t, addr)
		node.peer(t, links[i].addr)
		clones[i] = node.attachClone(t, storeName)
		clones[i].idle(t)
	}
	want := model{}
	write := func(round string) {
		for i := range 30 {
			key := data.String(fmt.Sprintf("%s %d", round, i%20))
			writer.do(t, op("put", key, data.Int(int64(i))))
			want.put(key, data.Int(int64(i)))
		}
		gone := data.String("gone in " + round)
		writer.do(t, op("put", gone, data.None()))
		writer.do(t, op("erase", gone))
	}
	write("all are there")
	converge(t, want, append(clones, writer)...)
	for i, l := range links {
		l.cut()
		write(fmt.Sprintf("without %d", i))
		converge(t, want, append(clones[i+1:], writer)...)
		counter := data.String(fmt.Sprintf("counter of %d", i))
		for range 5 {
			clones[i].do(t, op("increment", counter, data.Count(1)))
		}
	}
	master.kill()
	_, addr = startMasterProcess(t, "pebble", path)
	for i := range clones {
		want.put(data.String(fmt.Sprintf("counter of %d", i)), data.Count(5))
	}
	for _, l := range append(links, mine) {
		l.retarget(addr)
		l.mend()
	}
	converge(t, want, append(clones, writer)...)
	write("after the restart")
	converge(t, want, append(clones, writer)...)
}
