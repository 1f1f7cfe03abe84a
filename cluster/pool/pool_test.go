package pool

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

var (
	oldEra = NewHasher(layout.Version{Major: 7})
	newEra = NewHasher(layout.Version{Major: 7, Minor: 1})
)

// The constants of CLUSTER.md section 7.3.
func TestConstants(t *testing.T) {
	for _, c := range []struct {
		name     string
		old, new uint32
	}{
		{"manager", 1414959876, 1059896130},
		{"logger-1", 837736392, 406203821}, {"logger-2", 1125919269, 1739014960},
		{"proxy-1", 2555569005, 2719221839}, {"proxy-2", 3888380144, 1703397214},
		{"worker-1", 1921363054, 4178617771}, {"worker-2", 779309855, 3162793146},
	} {
		if got := oldEra.site(c.name, nil); got != c.old {
			t.Errorf("site of %s up to 7.0: %d, want %d", c.name, got, c.old)
		}
		if got := newEra.site(c.name, nil); got != c.new {
			t.Errorf("site of %s from 7.1: %d, want %d", c.name, got, c.new)
		}
	}
	for _, c := range []struct {
		name     string
		got      func(Hasher) Key
		old, new Key
	}{
		{"string a", func(h Hasher) Key { return h.String("a") }, 0x0ab31c76, 0xe40c292c},
		{"count 123", func(h Hasher) Key { return h.Count(123) }, 0xc5b442fd, 0xc5b442fd},
		{"double 123.0", func(h Hasher) Key { return h.Double(123) }, 0x15d2016f, 0x15d2016f},
		{"bool T", func(h Hasher) Key { return h.Bool(true) }, 0x6c1151a5, 0x6c1151a5},
		{"subnet 10.0.0.0/8", func(h Hasher) Key { return h.Subnet(netip.MustParsePrefix("10.0.0.0/8")) }, 0xc6b7564b, 0xc6b7564b},
	} {
		if got := c.got(oldEra); got != c.old {
			t.Errorf("%s up to 7.0: %#x, want %#x", c.name, got, c.old)
		}
		if got := c.got(newEra); got != c.new {
			t.Errorf("%s from 7.1: %#x, want %#x", c.name, got, c.new)
		}
	}
}

// The rows of CLUSTER.md section 7.3.
func TestRendezvous(t *testing.T) {
	for _, era := range []struct {
		h         Hasher
		proxies   string // for the counts
		otherKeys string // among the workers
	}{{oldEra, "22122212", "31231"}, {newEra, "21221111", "31222"}} {
		proxies := newPool(era.h, Spec{}, "", "", []string{"proxy-1", "proxy-2"})
		workers := newPool(era.h, Spec{}, "", "", []string{"worker-1", "worker-2", "worker-3"})
		for _, name := range []string{"proxy-1", "proxy-2", "worker-3", "worker-1", "worker-2"} {
			proxies.Up(name)
			workers.Up(name)
		}
		var got strings.Builder
		for _, n := range []uint64{0, 1, 2, 3, 13, 37, 42, 101} {
			got.WriteString(strings.TrimPrefix(proxies.RendezvousName(era.h.Count(n)), "proxy-"))
		}
		if got.String() != era.proxies {
			t.Errorf("proxies of counts: %s, want %s", got.String(), era.proxies)
		}
		got.Reset()
		for _, v := range []data.Value{
			data.String("example.com"), data.Addr(netip.MustParseAddr("192.168.1.1")), data.Addr(netip.MustParseAddr("2001:db8::1")),
			data.Port(80, data.ProtoTCP), data.Count(42),
		} {
			key, err := era.h.Value(v)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString(strings.TrimPrefix(workers.RendezvousName(key), "worker-"))
		}
		if got.String() != era.otherKeys {
			t.Errorf("workers of other keys: %s, want %s", got.String(), era.otherKeys)
		}
	}
}

// When a member goes, only its keys go elsewhere, and they come back with it.
func TestRendezvousMoves(t *testing.T) {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("worker-%d", i))
	}
	p := newPool(newEra, Spec{}, "", "", names)
	for _, n := range names {
		p.Up(n)
	}
	before := map[uint64]string{}
	for n := range uint64(10_000) {
		before[n] = p.RendezvousName(newEra.Count(n))
	}
	p.Down("worker-7")
	for n, was := range before {
		if now := p.RendezvousName(newEra.Count(n)); now != was && was != "worker-7" || now == "worker-7" {
			t.Fatalf("key %d went from %s to %s", n, was, now)
		}
	}
	p.Up("worker-7")
	for n, was := range before {
		if now := p.RendezvousName(newEra.Count(n)); now != was {
			t.Fatalf("key %d is at %s, was at %s", n, now, was)
		}
	}
}

func TestRoundRobin(t *testing.T) {
	p := newPool(newEra, Spec{}, "t/", "b", []string{"a", "b", "c"})
	if got := p.RoundRobin(""); got != "t/b/" {
		t.Errorf("only the own node is alive: %q", got)
	}
	p.Up("c")
	var got []string
	for range 4 {
		got = append(got, p.RoundRobin("x"))
	}
	p.Up("a")
	for range 3 {
		got = append(got, p.RoundRobin("x"))
	}
	p.Down("b")
	p.Down("c")
	got = append(got, p.RoundRobin("x"), p.RoundRobin("x"))
	p.Down("a")
	got = append(got, p.RoundRobin("x"))
	if want := []string{"t/b/", "t/c/", "t/b/", "t/c/", "t/a/", "t/b/", "t/c/", "t/a/", "t/a/", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// However many keys there are, the turns of a bounded number are remembered: those of the last ones.
func TestRoundRobinKeys(t *testing.T) {
	p := newPool(newEra, Spec{}, "", "", []string{"a", "b"})
	p.Up("a")
	p.Up("b")
	for i := range 3 * maxTurns {
		key := fmt.Sprint(i)
		if first, second := p.RoundRobin(key), p.RoundRobin(key); first != "a/" || second != "b/" {
			t.Fatalf("key %d: %q, %q", i, first, second)
		}
		if len(p.turns) > maxTurns {
			t.Fatalf("the turns of %d keys are remembered, want %d at most", len(p.turns), maxTurns)
		}
	}
	if got := p.RoundRobin("0"); got != "a/" || len(p.turns) != 1 {
		t.Errorf("with one key too many: %q, and %d keys are remembered", got, len(p.turns))
	}
}

func cluster(t *testing.T, workers, proxies int) *layout.Layout {
	t.Helper()
	l := &layout.Layout{Version: layout.Newest, Options: layout.DefaultOptions(layout.Newest)}
	add := func(name string, nodeType layout.NodeType) {
		l.Nodes = append(l.Nodes, layout.Node{Name: name, Type: nodeType})
	}
	add("manager", layout.Manager)
	for i := range workers {
		add(fmt.Sprintf("worker-%d", i+1), layout.Worker)
	}
	for i := range proxies {
		add(fmt.Sprintf("proxy-%d", i+1), layout.Proxy)
	}
	return l
}

// Who is in which pool (CLUSTER.md section 7.1).
func TestAssign(t *testing.T) {
	l := cluster(t, 5, 4)
	pools, err := Assign(l, "manager", append(Defaults(),
		Spec{Topic: "a/exclusive", Type: layout.Worker, MaxNodes: 2, Exclusive: true},
		Spec{Topic: "b/two", Type: layout.Worker, MaxNodes: 2},
		Spec{Topic: "c/two", Type: layout.Worker, MaxNodes: 2},
		Spec{Topic: "d/more", Type: layout.Worker, MaxNodes: 9},
	))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range pools {
		got = append(got, p.Spec.Topic+": "+strings.Join(p.Names(), " "))
	}
	want := []string{
		"a/exclusive: worker-1 worker-2",
		"b/two: worker-3 worker-4",
		"c/two: worker-5 worker-3",
		"d/more: worker-4 worker-5 worker-3",
		"zeek/cluster/pool/logger: manager",
		"zeek/cluster/pool/proxy: proxy-1 proxy-2 proxy-3 proxy-4",
		"zeek/cluster/pool/worker: worker-4 worker-5 worker-3",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	l.Options.ManagerIsLogger = false
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{Topic: "x", Type: layout.Manager}, "cannot be pooled"},
		{Spec{Topic: "x", Type: layout.Worker, Exclusive: true}, "wants a number of nodes"},
		{Spec{Topic: "x", Type: layout.Worker, Exclusive: true, MaxNodes: 6}, "want 6 nodes of type Cluster::WORKER, there are 5"},
		{Spec{Topic: ProxyTopic, Type: layout.Proxy}, "two pools with the topic"},
		{Spec{Topic: "x", Type: layout.Worker, MaxNodes: -1}, "at most -1 nodes"},
	} {
		if _, err := Assign(l, "manager", append(Defaults(), c.spec)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.spec, err, c.want)
		}
	}
}

func benchPool(b *testing.B) *Pool {
	var names []string
	for i := range 500 {
		names = append(names, fmt.Sprintf("worker-%d", i+1))
	}
	p := newPool(newEra, Spec{}, "zeek/cluster/node/", "", names)
	for _, n := range names {
		p.Up(n)
	}
	return p
}

// BenchmarkRendezvous picks one of 500 nodes: by one of 1,000 keys that come again, and by keys that are
// all new.
func BenchmarkRendezvous(b *testing.B) {
	for name, keys := range map[string]uint64{"again": 1000, "new": 1 << 40} {
		b.Run(name, func(b *testing.B) {
			p := benchPool(b)
			n := uint64(0)
			for b.Loop() {
				if n++; n == keys {
					n = 0
				}
				p.Rendezvous(newEra.Count(n))
			}
		})
	}
}

func BenchmarkRoundRobin(b *testing.B) {
	p := benchPool(b)
	for b.Loop() {
		p.RoundRobin("key")
	}
}
