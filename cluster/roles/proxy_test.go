package roles_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/cluster/pool"
	"github.com/zeekpeer/zeekpeer/cluster/roles"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// proxyStreams are the logs that a proxy writes for workers.
var proxyStreams = []string{"Known::HOSTS_LOG", "Known::SERVICES_LOG", "Known::CERTS_LOG", "Software::LOG"}

// TestProxyRecorded: of what a worker of Zeek said to a proxy, ours makes the same rows, in the same order, and passes
// on the same events.
func TestProxyRecorded(t *testing.T) {
	for _, recording := range recordings {
		t.Run(recording, func(t *testing.T) {
			w := watch(t, "8.2.2", "proxy-1")
			relayed := make(map[string][]data.Value) // by event
			events := 0
			for _, f := range recorded(t, recording, "worker-1_to_proxy-1-0") {
				m, err := zeek.Parse(f.payload)
				if err != nil {
					t.Fatal(err)
				}
				e, ok := m.(zeek.Event)
				if !ok || e.Name == "Cluster::hello" {
					continue
				}
				if !f.dialer {
					if f.topic != "zeek/cluster/worker" {
						t.Errorf("the proxy of Zeek publishes on %s", f.topic)
					}
					relayed[e.Name] = append(relayed[e.Name], data.Vector(e.Args...))
					continue
				}
				w.send(t, f.payload)
				events++
			}
			w.failed(t, 0)
			if events < 400 || len(relayed) != 2 {
				t.Fatalf("%d events, %d kinds passed on", events, len(relayed))
			}
			for name, want := range relayed {
				var got []data.Value
				for _, m := range w.heard(func(m told) bool { e, ok := m.Message.(zeek.Event); return ok && e.Name == name }) {
					if m.topic != "zeek/cluster/worker" {
						t.Errorf("%s on %s", name, m.topic)
					}
					got = append(got, data.Vector(m.Message.(zeek.Event).Args...))
				}
				if !slices.EqualFunc(got, want, data.Value.Equal) {
					t.Errorf("%s: %v\nwant %v", name, got, want)
				}
			}
			wantRows, wantCreates := make(map[string][][]byte), make(map[string]zeek.LogCreate)
			for _, f := range recorded(t, recording, "proxy-1_to_logger-1-0") {
				m, err := zeek.Parse(f.payload)
				if err != nil {
					t.Fatal(err)
				}
				all, ok := m.(zeek.Batch)
				if !ok {
					all = zeek.Batch{m}
				}
				for _, m := range all {
					switch m := m.(type) {
					case zeek.LogWrite:
						wantRows[m.Stream] = append(wantRows[m.Stream], m.Packed)
					case zeek.LogCreate:
						wantCreates[m.Stream] = m
					}
				}
			}
			creates, total := w.creates(), 0
			for _, stream := range proxyStreams {
				got, want := w.rows(stream), wantRows[stream]
				total += len(want)
				for i := range max(len(got), len(want)) {
					if i >= len(got) || i >= len(want) || !bytes.Equal(got[i], want[i]) {
						t.Errorf("%s: %d rows, want %d; row %d:\n%s\nwant\n%s", stream, len(got), len(want), i, textAt(got, i), textAt(want, i))
						break
					}
				}
				c, want2 := creates[stream], wantCreates[stream]
				if c.Writer != want2.Writer || c.Info.Path != want2.Info.Path || !reflect.DeepEqual(c.Fields, want2.Fields) {
					t.Errorf("%s: made known as %+v\nwant %+v", stream, c, want2)
				}
				if n := w.state.Status().RowsWritten[stream]; n != uint64(len(want)) {
					t.Errorf("%s: the status says %d rows", stream, n)
				}
			}
			if total < 300 {
				t.Errorf("%d rows in the recording", total)
			}
			if s := w.state.Status(); s.Relayed != uint64(len(relayed["sync_add_expected_data"])+len(relayed["sync_remove_expected_data"])) {
				t.Errorf("the status says that %d were passed on", s.Relayed)
			}
		})
	}
}

func textAt(rows [][]byte, i int) string {
	if i < len(rows) {
		return text(rows[i])
	}
	return "nothing"
}

// Values of events.
var (
	when = data.Timestamp(1_700_000_000_123_456_000)
	none = data.None()
)

func host(s string) data.Value { return data.Addr(netip.MustParseAddr(s)) }
func tcp(n uint16) data.Value  { return data.Port(n, data.ProtoTCP) }
func str(s string) data.Value  { return data.String(s) }
func list(v ...data.Value) data.Value {
	return data.Vector(v...)
}

// banner is software that said something of itself.
func banner(addr, said string, force bool) data.Value {
	return list(when, host(addr), none, data.Enum("HTTP::BROWSER"), none, none, str(said), data.Bool(force))
}

func service(addr string, names ...string) data.Value {
	var set []data.Value
	for _, n := range names {
		set = append(set, str(n))
	}
	return list(when, host(addr), tcp(80), data.Enum("tcp"), data.Set(set...))
}

// clock is a time that tests set.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.Load()) }

func (c *clock) pass(d time.Duration) { c.Add(int64(d)) }

// TestProxyDeduplicates: each thing is logged once a day, counted from when it was first seen.
func TestProxyDeduplicates(t *testing.T) {
	var c clock
	w := watch(t, "8.2", "proxy-1", roles.WithClock(c.now))
	cert := list(when, host("10.0.0.1"), none, str("CN=a"), none, none)
	round := func() {
		for range 2 {
			w.say(t, "known_host_add", list(when, host("10.0.0.1")))
			w.say(t, "known_service_add", service("10.0.0.1", "HTTP"))
			w.say(t, "known_cert_add", cert, str("00ff"))
			w.say(t, "Software::new", banner("10.0.0.1", "curl/8.1", false))
		}
	}
	round()
	w.say(t, "known_host_add", list(when, host("2001:db8::1")))
	w.say(t, "known_service_add", service("10.0.0.1", "HTTP", "SSL", "XMPP"))
	w.say(t, "known_service_add", service("10.0.0.1"))
	w.say(t, "known_service_add", service("10.0.0.2"))
	w.say(t, "known_service_add", service("10.0.0.2"))
	w.say(t, "known_cert_add", cert, str("00fe"))
	w.settle(t)
	c.pass(24*time.Hour - 1)
	round()
	w.settle(t)
	c.pass(1)
	round()
	const at = "1700000000.123456 "
	w.checkRows(t, "Known::HOSTS_LOG", at+"10.0.0.1", at+"2001:db8::1", at+"10.0.0.1")
	w.checkRows(t, "Known::SERVICES_LOG", at+"10.0.0.1 80/tcp tcp {HTTP}", at+"10.0.0.1 80/tcp tcp {SSL,XMPP}", at+"10.0.0.2 80/tcp tcp {}", at+"10.0.0.1 80/tcp tcp {HTTP}")
	w.checkRows(t, "Known::CERTS_LOG", at+"10.0.0.1 - CN=a - -", at+"10.0.0.1 - CN=a - -", at+"10.0.0.1 - CN=a - -")
	curl := at + "10.0.0.1 - HTTP::BROWSER curl 8 1 - - - curl/8.1"
	w.checkRows(t, "Software::LOG", curl, curl)
	w.failed(t, 0)
	for _, m := range w.state.Status().Memories {
		if m.Entries != 1 || m.Forgotten != 0 || m.Bytes <= 0 || m.Bytes > 1024 {
			t.Errorf("%+v", m)
		}
	}
}

// TestSoftwareVersions: up to 8.2 a version that is not the last one is logged, from 9.0 one that was not yet seen.
func TestSoftwareVersions(t *testing.T) {
	said := []string{"curl/8.1", "curl/8.2", "curl/8.1", "curl/8.1 (x)", "wget/1.0", "curl/8.1 (x)", "curl/8.1-beta"}
	for version, want := range map[string][]int{"8.2": {0, 1, 2, 3, 4, 6, 6}, "9.0": {0, 1, 3, 4, 6, 6}} {
		w := watch(t, version, "proxy-1")
		for _, s := range said {
			w.say(t, "Software::new", banner("10.0.0.1", s, false))
		}
		w.say(t, "Software::new", banner("10.0.0.1", said[6], true)) // whatever is known
		w.settle(t)
		rows := w.rows("Software::LOG")
		if len(rows) != len(want) {
			t.Errorf("%s: %d rows, want %d", version, len(rows), len(want))
			continue
		}
		for i, row := range rows {
			if line := text(row); !strings.HasSuffix(line, " "+said[want[i]]) {
				t.Errorf("%s: row %d is %s, want %s", version, i, line, said[want[i]])
			}
		}
	}
}

// TestSoftwareParsed: software that comes with its version is not parsed.
func TestSoftwareParsed(t *testing.T) {
	for _, version := range []string{"8.2", "9.0"} {
		w := watch(t, version, "proxy-1")
		info := func(major uint64) data.Value {
			return list(none, host("10.0.0.1"), tcp(22), none, str("Thing"), list(data.Count(major), none, none, data.Count(7), str("x")), none, none)
		}
		w.say(t, "Software::new", info(3))
		w.say(t, "Software::new", info(3))
		w.say(t, "Software::new", info(4))
		w.checkRows(t, "Software::LOG", "- 10.0.0.1 22/tcp Software::UNKNOWN Thing 3 - - 7 x -", "- 10.0.0.1 22/tcp Software::UNKNOWN Thing 4 - - 7 x -")
		w.failed(t, 0)
	}
}

// TestManyReleases: proxies of 9.0 begin anew after 20 versions of a program at a host.
func TestManyReleases(t *testing.T) {
	w := watch(t, "9.0", "proxy-1")
	for i := range 20 {
		w.say(t, "Software::new", banner("10.0.0.1", fmt.Sprintf("a/%d.0", i), false))
	}
	for _, i := range []int{0, 19, 20, 20, 0, 0} { // known, known, too many, known, anew, known
		w.say(t, "Software::new", banner("10.0.0.1", fmt.Sprintf("a/%d.0", i), false))
	}
	w.settle(t)
	if got := len(w.rows("Software::LOG")); got != 22 {
		t.Errorf("%d rows, want 22", got)
	}
}

// TestProxyForgets: a memory that is full forgets the oldest, and says so.
func TestProxyForgets(t *testing.T) {
	var log clustertest.Log
	w := watch(t, "8.2", "proxy-1", roles.WithMemory(2000), roles.WithLogger(log.Logger()))
	for i := range 100 {
		w.say(t, "known_host_add", list(when, host(fmt.Sprintf("10.0.0.%d", i))))
	}
	w.say(t, "known_host_add", list(when, host("10.0.0.99")))
	w.say(t, "known_host_add", list(when, host("10.0.0.0")))
	for i := range 100 { // all in one entry
		w.say(t, "known_service_add", service("10.0.0.1", strings.Repeat("x", i)))
	}
	w.say(t, "Software::new", banner("10.0.0.1", strings.Repeat("y", 10_000), false)) // more than there is room for
	w.settle(t)
	if got := len(w.rows("Known::HOSTS_LOG")); got != 101 {
		t.Errorf("%d rows of hosts, want 101", got)
	}
	if got := len(w.rows("Known::SERVICES_LOG")); got != 100 {
		t.Errorf("%d rows of services, want 100", got)
	}
	for _, m := range w.state.Status().Memories {
		if m.Name != "certs" && m.Forgotten == 0 || m.Bytes > 2000 || m.Bytes < 0 || (m.Entries == 0) != (m.Bytes == 0) {
			t.Errorf("%+v", m)
		}
		if n, want := log.Count("memory="+m.Name), min(int(m.Forgotten), 1); n != want {
			t.Errorf("%s: %d warnings, want %d", m.Name, n, want)
		}
	}
	w.failed(t, 0)
}

// TestShares: what workers publish by key to proxies arrives at the logger, once.
func TestShares(t *testing.T) {
	b := newBoard(newLayout(t, "8.2", "  proxy-2: {type: proxy, address: 127.0.0.1, port: 6}\n"))
	nodes, states := make(map[string]*cluster.Node), make(map[string]*roles.State)
	for _, name := range []string{"manager", "logger-1", "proxy-1", "proxy-2", "worker-1", "worker-2"} {
		nodes[name], states[name] = b.node(t, name)
	}
	const hosts = 100
	for _, name := range []string{"worker-1", "worker-2"} {
		if err := nodes[name].WaitNodes(clustertest.Limited(t), "proxy-1", "proxy-2"); err != nil {
			t.Fatal(err)
		}
		for i := range hosts {
			h := host(fmt.Sprintf("10.0.0.%d", i))
			if err := nodes[name].PublishHRW(clustertest.Limited(t), pool.ProxyTopic, h, "known_host_add", list(when, h)); err != nil {
				t.Fatal(err)
			}
		}
	}
	clustertest.Until(t, "events at both proxies", func() bool { return nodes["proxy-1"].Status().Events+nodes["proxy-2"].Status().Events >= 2*hosts+10 }) // with 4 hellos and the masters of the manager each
	clustertest.Until(t, "rows at the logger", func() bool { return states["logger-1"].Status().Logs["Known::HOSTS_LOG"].Rows >= hosts })
	written := func(name string) uint64 { return states[name].Status().RowsWritten["Known::HOSTS_LOG"] }
	if a, b := written("proxy-1"), written("proxy-2"); a+b != hosts || a < hosts/5 || b < hosts/5 {
		t.Errorf("%d rows of one proxy, %d of the other", a, b)
	}
	if s := states["logger-1"].Status().Logs["Known::HOSTS_LOG"]; s.Rows != hosts || s.Creates < 2 {
		t.Errorf("%+v", s)
	}
}

// TestProxyCutsOff: from 8.1 Zeek cuts off what is too long for a log.
func TestProxyCutsOff(t *testing.T) {
	var many []string
	for i := range 120 {
		many = append(many, fmt.Sprintf("%03d%s", i, strings.Repeat("z", 4997)))
	}
	for version, want := range map[string]struct{ subject, elems, bytes int }{"8.0": {5000, 120, 600_000}, "8.2": {4096, 100, 256_000}} {
		w := watch(t, version, "proxy-1")
		w.say(t, "known_service_add", service("10.0.0.1", many...))
		w.say(t, "known_cert_add", list(when, host("10.0.0.1"), none, str(many[0]), none, str("1")), str("00"))
		w.settle(t)
		subject := strings.Fields(text(w.rows("Known::CERTS_LOG")[0]))[3]
		_, set, _ := strings.Cut(text(w.rows("Known::SERVICES_LOG")[0]), "{")
		elems := strings.Split(strings.TrimSuffix(set, "}"), ",")
		if n := len(strings.Join(elems, "")); len(subject) != want.subject || len(elems) != want.elems || n != want.bytes {
			t.Errorf("%s: a subject of %d bytes, a set of %d elements with %d bytes; want %+v", version, len(subject), len(elems), n, want)
		}
	}
}

// TestNewerRecords: what newer versions or sites append to records is no harm.
func TestNewerRecords(t *testing.T) {
	w := watch(t, "8.2", "proxy-1")
	more := func(v data.Value) data.Value { return list(append(slices.Clone(v.Elems()), str("new"), none)...) }
	w.say(t, "known_host_add", more(list(when, host("10.0.0.1"))))
	w.say(t, "known_service_add", more(service("10.0.0.1", "HTTP")))
	w.say(t, "known_cert_add", more(list(when, host("10.0.0.1"), tcp(443), none, none, str("01"))), str("00ff"))
	w.say(t, "Software::new", more(banner("10.0.0.1", "curl/8.1", false)))
	w.failed(t, 0)
	for _, stream := range proxyStreams {
		if n := len(w.rows(stream)); n != 1 {
			t.Errorf("%s: %d rows", stream, n)
		}
	}
}

// TestWrongArguments: what is not as it should be is counted, and nothing comes of it.
func TestWrongArguments(t *testing.T) {
	w := watch(t, "8.2", "proxy-1")
	soft := banner("10.0.0.1", "curl/8.1", false).Elems()
	with := func(i int, v data.Value) data.Value {
		all := slices.Clone(soft)
		all[i] = v
		return list(all...)
	}
	cert := []data.Value{when, host("10.0.0.1"), tcp(443), none, none, str("01")}
	wrong := []struct {
		event string
		args  []data.Value
	}{
		{"known_host_add", nil},
		{"known_host_add", []data.Value{list(when)}},
		{"known_host_add", []data.Value{list(when, none)}},
		{"known_host_add", []data.Value{list(when, str("10.0.0.1"))}},
		{"known_host_add", []data.Value{list(when, host("10.0.0.1")), none}},
		{"known_host_add", []data.Value{str("x")}},
		{"known_service_add", []data.Value{list(service("10.0.0.1", "HTTP").Elems()[:4]...)}},
		{"known_service_add", []data.Value{list(when, host("10.0.0.1"), tcp(1), str("tcp"), data.Set())}},
		{"known_service_add", []data.Value{list(when, host("10.0.0.1"), tcp(1), data.Enum("tcp"), data.Set(data.Count(1)))}},
		{"known_cert_add", []data.Value{list(cert...)}},
		{"known_cert_add", []data.Value{list(cert[:5]...), str("00ff")}},
		{"known_cert_add", []data.Value{list(append(slices.Clone(cert[:5]), data.Count(1))...), str("00ff")}},
		{"known_cert_add", []data.Value{list(cert...), data.Count(1)}},
		{"Software::new", []data.Value{list(soft[:7]...)}},
		{"Software::new", []data.Value{with(6, none)}},
		{"Software::new", []data.Value{with(5, list(none, none, none, none, none))}}, // a version without a name
		{"Software::new", []data.Value{with(5, list(data.Int(-1)))}},
		{"Software::new", []data.Value{with(3, str("x"))}},
		{"Software::new", []data.Value{with(7, data.Count(1))}},
		{"sync_remove_expected_data", []data.Value{host("10.0.0.1")}},
		{"sync_add_expected_data", []data.Value{host("10.0.0.1"), list()}},
		{"Intel::insert_indicator", []data.Value{none}},
	}
	for _, e := range wrong {
		w.say(t, e.event, e.args...)
	}
	w.failed(t, uint64(len(wrong)))
	if c := w.creates(); len(c) != 1 { // cluster.log
		t.Errorf("logs made known: %v", c)
	}
	if s := w.state.Status(); s.Relayed != 0 {
		t.Errorf("%d events passed on", s.Relayed)
	}
}
