package interop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// storeName is the store of the tests.
const storeName = "teststore"

// A site is a node that may have a store: a real one or ours.
type site interface {
	listen(t *testing.T) string
	// peer dials addr, and dials it again when the connection is lost. It returns when there is one.
	peer(t *testing.T, addr string)
	attachMaster(t *testing.T, name, backend string) replica
	// attachClone does not wait for the master.
	attachClone(t *testing.T, name string) replica
}

// A siteMaker starts a node that ends with the test.
type siteMaker struct {
	name  string
	start func(t *testing.T, args ...string) site
}

var (
	realSite = siteMaker{"real", func(t *testing.T, args ...string) site { return startStoreNode(t, args...) }}
	ourOwn   = siteMaker{"our", startOurSite}
)

// A pairing says who has the master and who a clone.
type pairing struct{ master, clone siteMaker }

// real tells whether both are: then the test is held against the reference.
func (p pairing) real() bool { return p.master.name == realSite.name && p.clone.name == realSite.name }

// pairings are all pairings with a real node.
var pairings = []pairing{{realSite, realSite}, {realSite, ourOwn}, {ourOwn, realSite}}

// eachPair runs a test with all pairings. Two real nodes, which hold the test itself against the reference,
// are among them if there is time.
func eachPair(t *testing.T, test func(t *testing.T, p pairing)) {
	t.Helper()
	for _, p := range pairings {
		if p.real() && longTests() != "" {
			continue
		}
		t.Run(p.master.name+" master, "+p.clone.name+" clone", func(t *testing.T) { test(t, p) })
	}
}

// A pair is a master and a clone that is attached, over a link.
type pair struct {
	master, clone replica
	link          *link
}

// dialers are the ends of a pair that may dial the other.
var dialers = []string{"master", "clone"}

// start starts both, on plain TCP.
func (p pairing) start(t *testing.T, backend, dialer string) pair {
	t.Helper()
	a, b := p.master.start(t), p.clone.start(t)
	var made pair
	made.master = a.attachMaster(t, storeName, backend)
	if dialer == "master" {
		made.link = newLink(t, b.listen(t))
		a.peer(t, made.link.addr)
	} else {
		made.link = newLink(t, a.listen(t))
		b.peer(t, made.link.addr)
	}
	made.clone = b.attachClone(t, storeName)
	made.clone.idle(t)
	return made
}

// backends are those that a master may have, real or ours. They make no difference, but for what a failed
// operation leaves behind in a real one's memory.
var backends = []string{"memory", "sqlite"}

// All operations, from either side, have the same effect at both, and both tell of the same events.
func TestStoreOps(t *testing.T) {
	eachPair(t, func(t *testing.T, p pairing) {
		for _, backend := range backends {
			t.Run(backend, func(t *testing.T) {
				t.Run("from the master", func(t *testing.T) {
					s := p.start(t, backend, "clone")
					play(t, s.master, s.master, s.clone)
				})
				t.Run("from the clone", func(t *testing.T) {
					s := p.start(t, backend, "master")
					play(t, s.clone, s.master, s.clone)
				})
			})
		}
	})
}

// The same under anonymous TLS, as nodes are by default.
func TestStoreOpsByDefault(t *testing.T) {
	eachPair(t, func(t *testing.T, p pairing) {
		a, b := p.master.start(t, asByDefault), p.clone.start(t, asByDefault)
		master := a.attachMaster(t, storeName, "memory")
		b.peer(t, a.listen(t))
		clone := b.attachClone(t, storeName)
		play(t, clone, master, clone)
	})
}

// Values of every kind, as values and as keys, come over in a snapshot and in events.
func TestStoreValues(t *testing.T) {
	eachPair(t, func(t *testing.T, p pairing) {
		a, b := p.master.start(t), p.clone.start(t)
		b.peer(t, a.listen(t))
		master := a.attachMaster(t, storeName, "memory")
		want := model{}
		put := func(at replica, round string) {
			for name, v := range everyKind() {
				if name == "binary string" {
					continue // cannot be told to the process in JSON
				}
				key := data.String(round + " " + name)
				at.do(t, op("put", key, v))
				want.put(key, v)
				if name == "nan" || name == "deep" {
					continue // as a key it cannot be found again; is too deep
				}
				key = data.Vector(data.String(round), v)
				at.do(t, op("put", key, data.None()))
				want.put(key, data.None())
			}
		}
		put(master, "snapshot")
		clone := b.attachClone(t, storeName)
		clone.idle(t)
		converge(t, want, master, clone)
		put(master, "event")
		put(clone, "write")
		clone.do(t, op("put", markKey, data.None()))
		want.put(markKey, data.None())
		for _, r := range []replica{master, clone} {
			await(t, r, markKey, data.None())
		}
		converge(t, want, master, clone)
	})
}

// Entries expire at both sides, unless they are put again in time or without an expiry. An expiry of zero
// or less is over at once.
func TestStoreExpiry(t *testing.T) {
	const soon, later = 500 * time.Millisecond, 2 * time.Second
	one, count := data.Int(1), data.Count(1)
	eachPair(t, func(t *testing.T, p pairing) {
		for _, backend := range backends {
			t.Run(backend, func(t *testing.T) {
				t.Parallel()
				s := p.start(t, backend, "clone")
				all := []replica{s.master, s.clone}
				for _, who := range []struct {
					replica
					name string
				}{{s.master, "master"}, {s.clone, "clone"}} {
					key := func(name string) data.Value { return data.String(who.name + " " + name) }
					for _, o := range []storeOp{
						op("put", key("soon"), one).expiring(soon),
						op("put_unique", key("unique"), one).expiring(soon),
						op("increment", key("increment"), count).expiring(soon),
						op("put", key("extended"), one).expiring(soon),
						op("put", key("extended"), one).expiring(later),
						op("put", key("put again"), one).expiring(soon),
						op("put", key("put again"), one),
						op("put", key("incremented"), one).expiring(soon),
						op("increment", key("incremented"), one),
						op("put", key("erased"), one).expiring(soon),
						op("erase", key("erased")),
						op("put", key("zero"), one).expiring(0),
						op("put", key("negative"), one).expiring(-time.Second),
						op("put", key("last"), one).expiring(later),
					} {
						who.do(t, o)
					}
				}
				// All that is to expire does, and nothing else has when the last of it has.
				var expired []string
				want := model{}
				for _, who := range dialers {
					for _, key := range []string{"soon", "unique", "increment", "extended", "zero", "negative", "last"} {
						expired = append(expired, "expire "+who+" "+key)
					}
					want.put(data.String(who+" put again"), one)
					want.put(data.String(who+" incremented"), data.Int(2))
				}
				for _, r := range all {
					var got []string
					for _, e := range eventsUntil(t, r, expired...) {
						if strings.HasPrefix(e.what, "expire ") {
							got = append(got, e.what)
						}
					}
					for _, who := range dialers {
						if slices.Index(got, "expire "+who+" soon") > slices.Index(got, "expire "+who+" extended") {
							t.Errorf("what the %s put again has expired before what it did not", who)
						}
					}
					if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(expired))) {
						t.Errorf("%q", got)
					}
				}
				converge(t, want, all...)
			})
		}
	})
}

// Of both sides that put the same key, once, one succeeds, and both have its value.
func TestStorePutUnique(t *testing.T) {
	eachPair(t, func(t *testing.T, p pairing) {
		s := p.start(t, "memory", "clone")
		const rounds = 50
		names := []string{"master", "clone"}
		inserted := make([][]bool, 2)
		done := make(chan struct{})
		put := func(i int, r replica) {
			for n := range rounds {
				inserted[i] = append(inserted[i], r.do(t, op("put_unique", data.Int(int64(n)), data.String(names[i]))))
			}
		}
		go func() {
			defer close(done)
			put(0, s.master)
		}()
		put(1, s.clone)
		<-done
		want := model{}
		for n := range rounds {
			if inserted[0][n] == inserted[1][n] {
				t.Errorf("%d: inserted by both: %v", n, inserted[0][n])
			}
			winner := 0
			if inserted[1][n] {
				winner = 1
			}
			want.put(data.Int(int64(n)), data.String(names[winner]))
		}
		converge(t, want, s.master, s.clone)
	})
}

// What both sides write while the link is cut is at both sides when it is mended, and counts once.
func TestStoreLinkCut(t *testing.T) {
	eachPair(t, func(t *testing.T, p pairing) {
		for _, dialer := range dialers {
			t.Run(dialer+" dials", func(t *testing.T) {
				s := p.start(t, "memory", dialer)
				all := []replica{s.master, s.clone}
				want := model{}
				for round := range 3 {
					both(t, want, s, fmt.Sprintf("up %d", round))
					converge(t, want, all...)
					s.link.cut()
					both(t, want, s, fmt.Sprintf("down %d", round))
					s.link.mend()
					// A real clone learns by the next event what it missed.
					s.master.do(t, op("put", markKey, data.Int(int64(round))))
					want.put(markKey, data.Int(int64(round)))
				}
				s.clone.do(t, op("put", data.String("end"), data.None()))
				want.put(data.String("end"), data.None())
				converge(t, want, all...)
			})
		}
	})
}

// both makes both sides write, and count up.
func both(t *testing.T, want model, s pair, name string) {
	t.Helper()
	counter := data.String("counter")
	n := uint64(0)
	if e, ok := want[counter.String()]; ok {
		n, _ = e.Value.AsCount()
	}
	for i := range 3 {
		for _, who := range []struct {
			replica
			name string
		}{{s.master, "master"}, {s.clone, "clone"}} {
			key := data.String(fmt.Sprintf("%s %s %d", name, who.name, i))
			who.do(t, op("put", key, data.Int(int64(i))))
			want.put(key, data.Int(int64(i)))
			who.do(t, op("increment", counter, data.Count(1)))
			n++
		}
	}
	want.put(counter, data.Count(n))
}

// What the master alone wrote while the link was cut comes without a further event, which it does not
// between two real nodes (STORE.md section 3.8).
func TestStoreTailLoss(t *testing.T) {
	eachPair(t, func(t *testing.T, p pairing) {
		if p.real() {
			t.Skip("a real clone of a real master waits for the next event")
		}
		s := p.start(t, "memory", "clone")
		want := model{}
		s.master.do(t, op("put", markKey, data.Int(0)))
		await(t, s.clone, markKey, data.Int(0))
		s.link.cut()
		for i := range 3 {
			s.master.do(t, op("put", data.Int(int64(i)), data.None()))
			want.put(data.Int(int64(i)), data.None())
		}
		s.link.mend()
		want.put(markKey, data.Int(0))
		converge(t, want, s.master, s.clone)
		s.master.idle(t)
	})
}

// While a quarter of all commands is lost, nothing is lost for good, and nothing is done twice.
func TestStoreLossyLink(t *testing.T) {
	eachPair(t, func(t *testing.T, p pairing) {
		s := p.start(t, "memory", "clone")
		random := rand.New(rand.NewPCG(1, 2))
		s.link.lose(func(e wire.Envelope) bool { return e.Type == wire.TypeCommand && random.IntN(4) == 0 })
		want := model{}
		for round := range 10 {
			both(t, want, s, fmt.Sprint(round))
			if p.real() && round%5 > 0 {
				continue
			}
			// So that there are losses of all kinds of commands, and of what repairs losses.
			key := data.String(fmt.Sprintf("%d clone 2", round))
			await(t, s.master, key, data.Int(2))
		}
		s.link.lose(nil)
		s.clone.do(t, op("put", data.String("end"), data.None()))
		want.put(data.String("end"), data.None())
		await(t, s.master, data.String("end"), data.None())
		s.master.do(t, op("put", markKey, data.None()))
		want.put(markKey, data.None())
		converge(t, want, s.master, s.clone)
	})
}

// Clones of both makes at one master see what each of them writes, also when one has died.
func TestStoreClones(t *testing.T) {
	eachPair(t, func(t *testing.T, p pairing) {
		a := p.master.start(t)
		master := a.attachMaster(t, storeName, "memory")
		addr := a.listen(t)
		var clones []replica
		for _, make := range []siteMaker{realSite, p.clone, realSite} {
			b := make.start(t)
			b.peer(t, addr)
			clones = append(clones, b.attachClone(t, storeName))
		}
		want := model{}
		write := func(round string) {
			for i, c := range clones {
				c.idle(t)
				key := data.String(fmt.Sprintf("%s %d", round, i))
				if !c.do(t, op("put_unique", key, data.Int(int64(i)))) {
					t.Errorf("clone %d cannot put", i)
				}
				want.put(key, data.Int(int64(i)))
			}
			converge(t, want, append(clones, master)...)
		}
		write("all")
		clones[0].(*realStore).kill()
		clones = clones[1:]
		write("without the first")
	})
}

// A clone that was there first gets the master's contents, and its writes are done.
func TestStoreCloneFirst(t *testing.T) {
	eachPair(t, func(t *testing.T, p pairing) {
		a, b := p.master.start(t), p.clone.start(t)
		b.peer(t, a.listen(t))
		clone := b.attachClone(t, storeName)
		early := data.String("early")
		clone.do(t, op("put", early, data.Int(1)))
		clone.do(t, op("increment", early, data.Int(1)))
		master := a.attachMaster(t, storeName, "memory")
		want := model{}
		want.put(early, data.Int(2))
		converge(t, want, master, clone)
	})
}

// Queries are answered alike at both sides, whoever has the master.
func TestStoreQueries(t *testing.T) {
	str, num := data.String, data.Int
	set, vector := data.Set(str("a"), num(1)), data.Vector(str("zero"), str("one"))
	table := data.Table(data.Entry{Key: str("k"), Value: num(7)}, data.Entry{Key: num(2), Value: data.None()})
	none, yes, no := any(nil), data.Bool(true), data.Bool(false)
	eachPair(t, func(t *testing.T, p pairing) {
		s := p.start(t, "memory", "clone")
		for _, v := range []data.Value{set, vector, table, str("text"), num(-5), data.None()} {
			s.master.do(t, op("put", str(v.Kind().String()), v))
		}
		s.master.do(t, op("put", markKey, data.Bool(true)))
		for i, r := range []replica{s.master, s.clone} {
			await(t, r, markKey, data.Bool(true))
			for _, c := range []struct {
				key   string
				index data.Value
				want  any // nil: an error
			}{
				{"set", str("a"), yes}, {"set", num(1), yes}, {"set", num(2), no}, {"set", data.Count(1), no},
				{"table", str("k"), num(7)}, {"table", num(2), data.None()}, {"table", num(3), none}, {"table", data.Count(2), none},
				{"vector", data.Count(0), str("zero")}, {"vector", num(1), str("one")}, {"vector", num(2), none},
				{"vector", num(-1), none}, {"vector", str("0"), none}, {"vector", data.Real(0), none},
				{"string", num(0), str("text")}, {"integer", str("whatever"), num(-5)}, {"none", num(0), data.None()},
				{"nosuch", num(0), none},
			} {
				got, ok := r.index(t, str(c.key), c.index)
				if want, found := c.want.(data.Value); ok != found || found && !got.Equal(want) {
					t.Errorf("replica %d: %s[%v] = %v, %v; want %v", i, c.key, c.index, got, ok, c.want)
				}
			}
		}
	})
}

// A node whose peer has the master of a store cannot have another one. A real node takes any topic that
// begins alike for such a master (STORE.md section 1.5), ours does not.
func TestStoreOneMaster(t *testing.T) {
	node, e := startStoreNode(t), newEndpoint(t)
	ours := ourSite{e}
	ours.peer(t, node.listen(t))
	node.attachMaster(t, "theirs", "memory")
	ours.attachMaster(t, "ours", "memory")
	ping(t, e, onlyPeer(t, e).ID) // behind it each knows what the other has
	const longer = "/<$>/data/master"
	for _, name := range []string{"ours", "ours" + longer} {
		if _, err := asked[any](node, request{Op: "attach_master", Store: name}); err == nil {
			t.Errorf("a real node is the master of %s", name)
		}
	}
	if _, err := store.AttachMaster(e, "theirs"); !errors.Is(err, store.ErrMasterExists) {
		t.Errorf("ours is a second master: %v", err)
	}
	ours.attachMaster(t, "theirs"+longer, "memory")
}

// Of thousands of operations that are written without waiting nothing is lost, done twice or out of order.
func TestStoreBurst(t *testing.T) {
	eachPair(t, func(t *testing.T, p pairing) {
		s := p.start(t, "memory", "clone")
		counter, last := data.String("counter"), data.String("last")
		all := []replica{s.master, s.clone}
		want := model{}
		total := uint64(0)
		for i, who := range all {
			n := 1000 // more may cost a real node its peering: its queue holds 2048 messages
			if _, ours := who.(*ourStore); ours {
				n = 10_000
			}
			for k := range n {
				who.do(t, op("increment", counter, data.Count(1)))
				who.do(t, op("put", last, data.Int(int64(k))))
				total++
			}
			await(t, all[1-i], last, data.Int(int64(n-1)))
			want.put(last, data.Int(int64(n-1)))
			want.put(counter, data.Count(total))
			converge(t, want, all...)
		}
	})
}

// A real clone that stands still for a while, and does not read, catches up.
func TestStoreStoppedClone(t *testing.T) {
	node := startStoreNode(t)
	ours := startOurSite(t)
	master := ours.attachMaster(t, storeName, "memory")
	node.peer(t, ours.listen(t))
	clone := node.attachClone(t, storeName)
	clone.idle(t)
	want := model{}
	for round := range 3 {
		if err := node.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for i := range 5000 {
			key := data.Vector(data.Int(int64(round)), data.Int(int64(i%2000)))
			master.do(t, op("put", key, data.Int(int64(i))))
			want.put(key, data.Int(int64(i)))
		}
		converge(t, want, master)
		if err := node.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		await(t, clone, data.Vector(data.Int(int64(round)), data.Int(999)), data.Int(4999))
		converge(t, want, clone)
		master.idle(t)
	}
}

// longTests says why what takes long is left out; "" if it is not.
func longTests() string {
	if os.Getenv("ZEEKPEER_LONG_TESTS") == "" {
		return "takes long: set ZEEKPEER_LONG_TESTS to run it"
	}
	return ""
}

// Our clone waits for its master longer than the 10 s after which a real one is dead for good (STORE.md
// section 3.7).
func TestStoreLateMaster(t *testing.T) {
	if why := longTests(); why != "" {
		t.Skip(why)
	}
	node := startStoreNode(t)
	ours := startOurSite(t)
	ours.peer(t, node.listen(t))
	clone := ours.attachClone(t, storeName)
	early := data.String("early")
	clone.do(t, op("put", early, data.Int(1)))
	<-time.After(12 * time.Second) // not to wait for something: this is the case
	master := node.attachMaster(t, storeName, "memory")
	want := model{}
	want.put(early, data.Int(1))
	converge(t, want, master, clone)
}

// After a cut that is longer than the 50 s after which a master and a writer give each other up, all that
// can be is repaired: between real nodes nothing is (STORE.md section 3.8).
func TestStoreLongCut(t *testing.T) {
	if why := longTests(); why != "" {
		t.Skip(why)
	}
	eachPair(t, func(t *testing.T, p pairing) {
		if p.real() {
			t.Skip("nothing is repaired between real nodes")
		}
		t.Parallel()
		s := p.start(t, "memory", "clone")
		all := []replica{s.master, s.clone}
		want := model{}
		both(t, want, s, "up")
		converge(t, want, all...)
		s.link.cut()
		both(t, want, s, "down")
		<-time.After(60 * time.Second) // not to wait for something: this is the case
		s.link.mend()
		end := data.String("end")
		s.master.do(t, op("put", end, data.None()))
		want.put(end, data.None())
		if p.clone.name == realSite.name {
			// What a real clone wrote meanwhile, and goes on to write, it drops: it has no path any more. It
			// gets the master's events.
			await(t, s.clone, end, data.None())
			return
		}
		converge(t, want, all...)
	})
}

// converge waits until all replicas have these contents.
func converge(t *testing.T, want model, all ...replica) {
	t.Helper()
	ctx := deadline(t)
	ticker := time.NewTicker(10 * step)
	defer ticker.Stop()
	for i, r := range all {
		for {
			diff := cmp.Diff(want.table(), r.contents(t))
			if diff == "" {
				break
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				t.Fatalf("replica %d: %s", i, diff)
			}
		}
	}
}
