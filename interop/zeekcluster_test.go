package interop

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/roles"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// TestZeekCluster: zeekpeer node in the place of each node of a real cluster.
func TestZeekCluster(t *testing.T) {
	zeekProgram(t)
	ours := build(t)
	for _, name := range fourNodes {
		t.Run(name, func(t *testing.T) { t.Parallel(); takesPlace(t, ours, name) })
		if os.Getenv("ZEEKPEER_LONG_TESTS") != "" { // holds the test itself against Zeek
			t.Run(name+" by Zeek", func(t *testing.T) { t.Parallel(); takesPlace(t, "", name) })
		}
	}
	t.Run("pools", func(t *testing.T) { t.Parallel(); leadsToSameProxies(t, ours) })
	t.Run("logs of a proxy", func(t *testing.T) { t.Parallel(); writesSameLogs(t, ours) })
	t.Run("master of ours", func(t *testing.T) { t.Parallel(); keepsStores(t, "manager") })
	t.Run("clone of ours", func(t *testing.T) { t.Parallel(); keepsStores(t, "worker-1") })
}

// upLine and downLine are what a node writes when another comes and goes: Zeek's as testdata/zeekcluster/node.zeek does,
// and ours.
func upLine(name string) string {
	return `(?:up ` + name + ` (\S+) .*|node_up ` + name + ` \((\S+)\))`
}

func downLine(name string) string {
	return `(?:down ` + name + ` (\S+) .*|node_down ` + name + ` \((\S+)\))`
}

// lastID returns the id in the last of some such lines.
func lastID(lines [][]string) string { return lines[len(lines)-1][1] + lines[len(lines)-1][2] }

// takesPlace starts a cluster in which subject is one of ours, unless that is "", and all others are Zeek's. Both sides are
// killed and started again, and everybody sees it; cluster.log has the rows that it has of a node of Zeek.
func takesPlace(t *testing.T, ours, subject string) {
	c := newZeekCluster(t, ours, "node.zeek", fourNodes...)
	begin := func(name string) {
		if name == subject && ours != "" {
			c.startOurs(t, name, nil)
		} else {
			c.startZeek(t, name)
		}
	}
	others := slices.DeleteFunc(slices.Clone(fourNodes), func(name string) bool { return name == subject })
	// again kills a node and starts it again when all others have missed it.
	again := func(name string) {
		t.Helper()
		rest := slices.DeleteFunc(slices.Clone(fourNodes), func(other string) bool { return other == name })
		was, downs, ups := make(map[string]string), make(map[string]int), make(map[string]int)
		for _, other := range rest {
			known := c.tells(t, other, upLine(name), 1)
			was[other], ups[other], downs[other] = lastID(known), len(known), len(c.tells(t, other, downLine(name), 0))
		}
		c.kill(name)
		for _, other := range rest {
			if id := lastID(c.tells(t, other, downLine(name), downs[other]+1)); id != was[other] {
				t.Errorf("%s says %s with %s is down, which was up with %s", other, name, id, was[other])
			}
		}
		begin(name)
		for _, other := range rest {
			if id := lastID(c.tells(t, other, upLine(name), ups[other]+1)); id == was[other] {
				t.Errorf("%s says %s is up again with %s, as before", other, name, id)
			}
			c.tells(t, name, upLine(other), 1)
		}
	}
	for _, name := range fourNodes {
		begin(name)
	}
	for _, other := range others { // who has a handler for the event that the cluster has started
		c.tells(t, other, "started", 1)
	}
	if subject != "logger-1" {
		again("logger-1") // its logs begin anew
	}
	again(subject)
	if subject != "logger-1" {
		for _, other := range others { // some of them are killed next, with all that they have not sent
			c.awaitRow(t, other, "node down: "+subject)
		}
	}
	for _, other := range others {
		if other != "logger-1" || subject == "logger-1" {
			again(other)
		}
	}
	for _, other := range others {
		seen := c.tells(t, other, `(?:up|down) .* (workers=.*)`, 1)
		if got, want := seen[len(seen)-1][1], countsAt(other); got != want {
			t.Errorf("%s counts %s, want %s", other, got, want)
		}
	}
	c.alive(t)
	if subject == "logger-1" {
		c.end(t, append(others, subject)...)
		if ours != "" && !regexp.MustCompile(`, [1-9]\d* messages with log rows`).MatchString(c.running[subject].String()) {
			t.Errorf("%s has seen no logs", subject)
		}
		return
	}
	downs := make(map[string]int)
	for _, other := range others {
		downs[other] = len(c.tells(t, other, downLine(subject), 0))
	}
	c.end(t, subject)
	for _, other := range others {
		c.tells(t, other, downLine(subject), downs[other]+1)
	}
	others = slices.DeleteFunc(others, func(name string) bool { return name == "logger-1" })
	c.end(t, append(others, "logger-1")...)
	checkClusterLog(t, c, subject)
}

// countsAt returns the counts of testdata/zeekcluster/node.zeek at a node when all are there: nobody counts itself, and
// workers do not see each other.
func countsAt(name string) string {
	counts := map[string]int{"worker": 1, "proxy": 1, "logger": 1, "manager": 1}
	kind, _, _ := strings.Cut(name, "-")
	counts[kind] = 0
	return fmt.Sprintf("workers=%d proxies=%d loggers=%d managers=%d", counts["worker"], counts["proxy"], counts["logger"], counts["manager"])
}

// awaitRow waits until a row of a node is in cluster.log.
func (c *zeekCluster) awaitRow(t *testing.T, node, text string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		file, err := os.ReadFile(filepath.Join(c.dir, "logger-1", "cluster.log"))
		if err == nil && strings.Contains(string(file), "\t"+node+"\t"+text+"\n") {
			return
		}
		select {
		case <-time.After(step):
		case <-timeout:
			t.Fatalf("%q of %s does not come into cluster.log: %v\n%s", text, node, err, file)
		}
	}
}

// clusterLogWant are the rows of a node in cluster.log, from when it starts until the others but the logger were killed and
// came again. Of a node of Zeek those are lost that it writes before it has a logger; ours keeps them until then.
var clusterLogWant = map[string]map[string]int{
	"manager": {
		"listening on manager": 1, "initiate peering with logger-1, retry=1.0 sec, status=T": 1, "got hello from logger-1": 1, "fully connected": 1,
		"got hello from proxy-1": 2, "got hello from worker-1": 2, "node down: proxy-1": 1, "node down: worker-1": 1,
	},
	"proxy-1": {
		"listening on proxy-1": 1, "initiate peering with logger-1, retry=1.0 sec, status=T": 1, "initiate peering with manager, retry=1.0 sec, status=T": 1,
		"got hello from logger-1": 1, "got hello from manager": 2, "got hello from worker-1": 2, "fully connected": 2, "node down: manager": 1, "node down: worker-1": 1,
	},
	"worker-1": {
		"listening on worker-1": 1, "initiate peering with logger-1, retry=1.0 sec, status=T": 1, "initiate peering with manager, retry=1.0 sec, status=T": 1,
		"initiate peering with proxy-1, retry=1.0 sec, status=T": 1, "got hello from logger-1": 1, "got hello from manager": 2, "got hello from proxy-1": 2,
		"fully connected": 2, "node down: manager": 1, "node down: proxy-1": 1,
	},
}

// checkClusterLog compares cluster.log with what it has of a node of Zeek, from when subject was killed on.
func checkClusterLog(t *testing.T, c *zeekCluster, subject string) {
	t.Helper()
	ids := regexp.MustCompile(` \([0-9a-f-]{36}\)$`)
	var places []string
	for name, addr := range c.addrs {
		places = append(places, addr+"/tcp", name)
	}
	naming := strings.NewReplacer(places...)
	own, ofIt := make(map[string]int), make(map[string]int)
	killed := false
	for _, line := range c.log(t, "cluster") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 3 {
			t.Fatalf("cluster.log: %q", line)
		}
		node, text := fields[1], ids.ReplaceAllString(naming.Replace(fields[2]), "")
		if node == "logger-1" && text == "node down: "+subject {
			killed = true
		}
		switch {
		case node == subject && killed: // before are rows of the instance that was killed
			own[text]++
		case text == "node down: "+subject:
			ofIt[node+": down"]++
		case text == "got hello from "+subject && killed:
			ofIt[node+": hello"]++
		}
	}
	want := maps.Clone(clusterLogWant[subject])
	if c.ours != "" {
		if !maps.Equal(own, want) {
			t.Errorf("cluster.log has of %s %v, want %v", subject, own, want)
		}
	} else {
		for text, n := range own {
			if n > want[text] {
				t.Errorf("cluster.log has of %s %q %d times, want %d at the most", subject, text, n, want[text])
			}
		}
		for text, n := range want {
			if n > 1 && own[text] < n-1 {
				t.Errorf("cluster.log has of %s %q %d times, want %d at least", subject, text, own[text], n-1)
			}
		}
	}
	for _, other := range fourNodes {
		if other == subject {
			continue
		}
		// It was killed once and ended once. The others were then started again: that they got hello once more they may
		// have written before they had a logger.
		if ofIt[other+": down"] != 2 || ofIt[other+": hello"] < 1 || ofIt[other+": hello"] > 2 {
			t.Errorf("cluster.log says of %s by %s: %v", subject, other, ofIt)
		}
	}
}

// leadsToSameProxies: what a worker publishes to the pool of proxies leads to a proxy of ours as it does to Zeek's, and what
// a worker of ours publishes leads to the proxies that Zeek's does.
func leadsToSameProxies(t *testing.T, ours string) {
	c := newZeekCluster(t, ours, "pools.zeek", append(fourNodes, "proxy-2", "worker-2")...)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	for _, name := range append(fourNodes, "proxy-2") {
		c.startZeek(t, name)
	}
	c.startOurs(t, "worker-2", read)
	for _, name := range []string{"manager", "proxy-1", "proxy-2"} {
		c.tells(t, "worker-2", upLine(name), 1)
	}
	tasks := func(name string) (tasks, turns []string) {
		c.tells(t, name, `(?:done|zeek/cluster/proxy ZeekpeerTest::done\(\))`, 1)
		for _, line := range c.tells(t, name, `(?:zeek/cluster/node/`+name+`/ ZeekpeerTest::)?(task|turn)[ (](.*?)\)?`, 0) {
			if line[1] == "task" {
				tasks = append(tasks, line[2])
			} else {
				turns = append(turns, line[2])
			}
		}
		return tasks, turns
	}
	want, wantTurns := tasks("proxy-1")
	rest, restTurns := tasks("proxy-2")
	if len(want) < 100 || len(rest) < 100 || len(wantTurns) != 5 || len(restTurns) != 5 {
		t.Fatalf("proxies of Zeek got %d and %d keys, and %q and %q in turn", len(want), len(rest), wantTurns, restTurns)
	}
	// Now the same keys from ours.
	for _, key := range slices.Concat(want, rest) {
		kind, text, _ := strings.Cut(key, " ")
		arg, ok := asArg(kind, text)
		if !ok {
			continue
		}
		fmt.Fprintf(write, "{\"hrw\": \"proxy\", \"key\": %q, \"event\": \"ZeekpeerTest::task\", \"args\": [%q]}\n", arg, "string:ours "+key)
	}
	fmt.Fprintln(write, `{"topic": "zeek/cluster/proxy", "event": "ZeekpeerTest::done", "args": []}`)
	for name, keys := range map[string][]string{"proxy-1": want, "proxy-2": rest} {
		c.tells(t, name, "done", 2)
		var got []string
		for _, line := range c.tells(t, name, `task ours (.*)`, 0) {
			got = append(got, line[1])
		}
		sent := slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
			kind, text, _ := strings.Cut(key, " ")
			_, ok := asArg(kind, text)
			return !ok
		})
		if !slices.Equal(got, sent) {
			t.Errorf("keys that lead to %s with our worker (+) and Zeek's (-):\n%s", name, cmp.Diff(sent, got))
		}
	}
	// And the proxy of ours.
	c.kill("proxy-1")
	c.kill("worker-1")
	c.tells(t, "proxy-2", downLine("worker-1"), 1)
	c.kill("proxy-2")
	c.startOurs(t, "proxy-1", nil, "--sub", "zeek/cluster/node/proxy-1/", "--sub", "zeek/cluster/proxy")
	c.startZeek(t, "proxy-2")
	c.startZeek(t, "worker-1")
	for _, p := range []struct {
		name      string
		keys, rrs []string
	}{{"proxy-1", want, wantTurns}, {"proxy-2", rest, restTurns}} {
		keys, turns := tasks(p.name)
		if !slices.Equal(keys, p.keys) || !slices.Equal(turns, p.rrs) {
			t.Errorf("%s gets beside a proxy of ours (+) and of Zeek (-):\n%s%s", p.name, cmp.Diff(p.keys, keys), cmp.Diff(p.rrs, turns))
		}
	}
	c.alive(t)
}

// asArg returns a key of testdata/zeekcluster/pools.zeek as an argument on our command line. That of an enum is none
// that can be said there, as its hash has the name of its type.
func asArg(kind, text string) (arg string, ok bool) {
	switch kind {
	case "enum":
		return "", false
	case "double":
		kind = "real"
	}
	return kind + ":" + text, true
}

// writesSameLogs: of one capture a proxy of ours writes what Zeek's does.
func writesSameLogs(t *testing.T, ours string) {
	capture := writeCapture(t)
	logs := []string{"software", "known_hosts", "known_services", "known_certs"}
	read := func(own bool) map[string][]string {
		c := newZeekCluster(t, ours, "capture.zeek", fourNodes...)
		for _, name := range fourNodes {
			switch {
			case name == "proxy-1" && own:
				c.startOurs(t, name, nil, "--sub", "zeek/cluster/proxy")
			case name == "worker-1":
				c.startZeek(t, name, "-r", capture)
			default:
				c.startZeek(t, name)
			}
		}
		c.tells(t, "proxy-1", `(?:done|zeek/cluster/proxy ZeekpeerTest::done\(\))`, 1)
		c.end(t, "worker-1", "proxy-1", "manager", "logger-1")
		all := make(map[string][]string)
		for _, name := range logs {
			all[name] = c.log(t, name)
			slices.Sort(all[name]) // Zeek goes through sets in any order
		}
		return all
	}
	want, got := read(false), read(true)
	for _, name := range logs {
		if len(want[name]) < 8 { // 6 lines are before the rows
			t.Errorf("Zeek's %s.log has %d lines only: %q", name, len(want[name]), want[name])
		}
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s.log with a proxy of ours:\n%s\nwith Zeek's:\n%s", name, strings.Join(got[name], "\n"), strings.Join(want[name], "\n"))
		}
	}
}

// keepsStores: a node of ours beside three of Zeek, all of which have two stores of the cluster, with their masters at the
// manager.
func keepsStores(t *testing.T, subject string) {
	c := newZeekCluster(t, "", "stores.zeek", fourNodes...)
	l, err := layout.Load(c.layout, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	n, err := cluster.New(l, subject, cluster.WithEndpoint(endpoint.WithSecurity(endpoint.AnonymousTLS())), cluster.WithTopics("zeek/cluster/experimental/started"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(deadline(t)); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if _, err := roles.Install(n, roles.WithExperimental()); err != nil {
		t.Fatal(err)
	}
	stores := make(map[string]*store.Store)
	for _, name := range []string{"test/first", "test/second"} {
		if stores[name], err = n.CreateStore(name, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	others := slices.DeleteFunc(slices.Clone(fourNodes), func(name string) bool { return name == subject })
	for _, name := range others {
		c.startZeek(t, name)
	}
	first, second := stores["test/first"], stores["test/second"]
	for _, s := range stores {
		if err := s.WaitReady(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := first.Put(deadline(t), data.String("ours"), data.Count(7)); err != nil || out != store.Applied {
		t.Fatal(out, err)
	}
	if out, err := first.Increment(deadline(t), data.String("sum"), data.Count(40)); err != nil || out != store.Applied {
		t.Fatal(out, err)
	}
	// All nodes see what all have put.
	keys := slices.Sorted(slices.Values(append([]string{"ours", "sum"}, others...)))
	for _, name := range others {
		c.tells(t, name, "keys test/first "+strings.Join(keys, " "), 1)
		c.tells(t, name, "keys test/second "+strings.Join(slices.Sorted(slices.Values(append([]string{"unique"}, others...))), " "), 1)
		c.tells(t, name, "sum 43", 1)
	}
	// Of three who put it if it was not there one did.
	winners := 0
	for _, name := range others {
		if c.tells(t, name, "unique (.*)", 1)[0][1] == "T" {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d of %v have put what was not there", winners, others)
	}
	got, err := first.Keys(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	var elems []data.Value
	for _, key := range keys {
		elems = append(elems, data.String(key))
	}
	if want := data.Set(elems...); !got.Equal(want) {
		t.Errorf("test/first has %v, want %v", got, want)
	}
	if v, err := second.Get(deadline(t), data.String("logger-1")); err != nil || !v.Equal(data.Set(data.Count(1), data.Count(2), data.Count(3))) {
		t.Errorf("test/second has %v for logger-1: %v", v, err)
	}
	if out, err := second.PutUnique(deadline(t), data.String("unique"), data.Count(1)); err != nil || out != store.NoEffectOrFailed {
		t.Errorf("to put what is there: %v, %v", out, err)
	}
}
