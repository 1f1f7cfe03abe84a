package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const recordings = "../testdata/zeek/8.2.2-tsv/links/"

// load loads the link of a recording.
func load(t *testing.T, name string) *Link {
	t.Helper()
	file, err := os.Open(recordings + name + "-0.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	links, err := Load(file)
	if err != nil || len(links) != 1 {
		t.Fatalf("%d links, %v", len(links), err)
	}
	return links[0]
}

// A sent message is what a node receives of one.
type sent struct {
	kind    wire.MessageType
	topic   string
	payload string
}

// recorded returns the messages that the dialer of a recording sent and that a node with these
// subscriptions gets, found without what is tested.
func recorded(t *testing.T, name string, filter ...string) (all []sent) {
	t.Helper()
	file, err := os.Open(recordings + name + "-0.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	err = capture.Read(file, func(it capture.Item) error {
		f := it.Frame
		if f == nil || f.Handshake != nil || f.Err != nil || it.From.Name != "dialer" {
			return nil
		}
		e := f.Envelope
		wanted := !e.Receiver.IsZero() || slices.ContainsFunc(filter, func(prefix string) bool { return strings.HasPrefix(string(e.Topic), prefix) })
		if wanted && (e.Type == wire.TypeData || e.Type == wire.TypeCommand) {
			all = append(all, sent{e.Type, string(e.Topic), string(e.Payload)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A listener is the live node.
type listener struct {
	*endpoint.Endpoint
	sub  *endpoint.Subscription
	addr string
	last []string // what the player was subscribed to in the end
}

func listen(t *testing.T, topics []string, opts ...endpoint.SubscribeOption) *listener {
	t.Helper()
	ep, err := endpoint.New(endpoint.WithSecurity(endpoint.PlainTCP()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close(context.Background()) })
	large := endpoint.QueueLimits{Messages: 1 << 20, Bytes: 1 << 30}
	sub, err := ep.Subscribe(topics, append([]endpoint.SubscribeOption{endpoint.WithCommands(), endpoint.WithStatus(), endpoint.AllowBlockingStores(), endpoint.WithQueue(large)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := ep.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &listener{Endpoint: ep, sub: sub, addr: addr.String()}
}

// takes returns what comes until the peer takes leave, and the peer as it was when it came.
func (l *listener) takes(t *testing.T) (all []sent, peer *endpoint.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for e := range l.sub.Events(ctx) {
		switch s := e.Status; {
		case s == nil:
			all = append(all, sent{e.Message.Type(), e.Message.Topic(), string(e.Message.Payload())})
		case s.Code == endpoint.PeerAdded:
			peer = s
		case s.Code == endpoint.PeerLost:
			if !errors.Is(s.Err, endpoint.ErrBye) {
				t.Errorf("the player did not take leave: %v", s.Err)
			}
			l.last = s.Last.Filter
			return all, peer
		}
	}
	t.Fatalf("no leave after %d messages", len(all))
	return nil, nil
}

var plain = []endpoint.Option{endpoint.WithSecurity(endpoint.PlainTCP())}

// play plays a link, and returns what the listener got.
func play(t *testing.T, link *Link, l *listener, o Options) (all []sent, peer *endpoint.Status, count *Count) {
	t.Helper()
	o.Endpoint, o.Times = append(o.Endpoint, plain...), max(o.Times, 1)
	count = new(Count)
	done := make(chan error, 1)
	go func() { done <- link.Play(t.Context(), l.addr, o, count) }()
	all, peer = l.takes(t)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return all, peer, count
}

// renamed puts live ids in the place of recorded ones.
func renamed(text string, link *Link, dialer, listener wire.EndpointID) string {
	return strings.NewReplacer(link.Dialer.String(), dialer.String(), link.Listener.String(), listener.String(),
		string(link.Dialer[:]), string(dialer[:]), string(link.Listener[:]), string(listener[:])).Replace(text)
}

// A node gets what was recorded, all of it and in order, with the ids of the two that talk now.
func TestPlay(t *testing.T) {
	files, _ := filepath.Glob(recordings + "*.jsonl.gz")
	if len(files) != 6 {
		t.Fatalf("%d recordings", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), "-0.jsonl.gz")
		t.Run(name, func(t *testing.T) {
			link := load(t, name)
			topics := []string{"zeek/", "___sync_store_X509::known_log_certs_with_broker/<$>/data/"}
			l := listen(t, topics)
			got, peer, count := play(t, link, l, Options{})
			want := recorded(t, name, topics...)
			if len(got) != len(want) || len(got) == 0 {
				t.Fatalf("%d messages, recorded are %d", len(got), len(want))
			}
			size := 0
			for i := range got {
				w := sent{want[i].kind, renamed(want[i].topic, link, peer.Peer, l.ID()), renamed(want[i].payload, link, peer.Peer, l.ID())}
				if got[i] != w {
					t.Fatalf("message %d: got %v %s %q\nwant %v %s %q", i, got[i].kind, got[i].topic, got[i].payload, w.kind, w.topic, w.payload)
				}
				size += len(w.payload)
			}
			if n := count.Messages.Load(); n != uint64(len(want)) || count.Bytes.Load() != uint64(size) || count.Unrouted.Load() != 0 {
				t.Errorf("counted %d messages, %d bytes, %d unrouted; there are %d, %d", n, count.Bytes.Load(), count.Unrouted.Load(), len(want), size)
			}
			first, last := link.Filter, link.Filter
			for _, m := range link.messages {
				if m.kind == wire.TypeRoutingUpdate {
					last = m.filter
				}
			}
			for _, c := range [][2][]string{{peer.Filter, first}, {l.last, last}} {
				var want []string
				for _, topic := range c[1] {
					want = append(want, renamed(topic, link, peer.Peer, l.ID()))
				}
				if slices.Sort(want); !slices.Equal(c[0], want) {
					t.Errorf("the player's subscriptions: %q, want %q", c[0], want)
				}
			}
			if link.Skipped != 0 {
				t.Errorf("%d frames skipped", link.Skipped)
			}
		})
	}
}

// A node with another name gets what was for the recorded one, and the dialer may have another name, too.
func TestPlayNames(t *testing.T) {
	link := load(t, "worker-1_to_logger-1")
	l := listen(t, []string{"zeek/logs/", "zeek/cluster/node/logger-go/", "zeek/cluster/nodeid/"})
	got, peer, count := play(t, link, l, Options{As: "worker-99"})
	if !slices.Contains(peer.Filter, "zeek/cluster/node/worker-99/") || slices.Contains(peer.Filter, "zeek/cluster/node/worker-1/") {
		t.Errorf("subscribed to %q", peer.Filter)
	}
	hellos, named := 0, 0
	for _, m := range got {
		if m.topic == "zeek/cluster/node/logger-go/" {
			named++
		}
		if e, err := zeek.ParseEvent([]byte(m.payload)); err == nil && e.Name == "Cluster::hello" {
			hellos++
			want := []data.Value{data.String("worker-99"), data.String(peer.Peer.String())}
			if !slices.EqualFunc(e.Args, want, data.Value.Equal) || m.topic != "zeek/cluster/nodeid/"+l.ID().String()+"/" {
				t.Errorf("hello%v on %s, want %v", e.Args, m.topic, want)
			}
		}
	}
	if hellos != 1 || named < 800 {
		t.Errorf("%d hellos, %d messages to the name of the node", hellos, named)
	}
	if n := count.Unrouted.Load(); n > 2 {
		t.Errorf("%d messages went nowhere", n)
	}
}

// rows returns the packed rows of each log in what was sent, by topic and log, and the sizes of the batches.
func rows(t *testing.T, all []sent) (byLog map[string][]string, batches []int) {
	t.Helper()
	byLog = map[string][]string{}
	created := map[string]bool{}
	for _, m := range all {
		if m.kind != wire.TypeData {
			continue
		}
		message, err := zeek.Parse([]byte(m.payload))
		if err != nil {
			t.Fatal(err)
		}
		members := []zeek.Message{message}
		if batch, ok := message.(zeek.Batch); ok {
			members = batch
			batches = append(batches, len(batch))
		}
		for _, member := range members {
			switch w := member.(type) {
			case zeek.LogCreate:
				created[w.Stream] = true
			case zeek.LogWrite:
				if !created[w.Stream] {
					t.Fatalf("a row of %s before its LogCreate", w.Stream)
				}
				key := m.topic + " " + w.Stream
				byLog[key] = append(byLog[key], string(w.Packed))
			}
		}
	}
	return byLog, batches
}

// Played several times and in batches of another size, the same rows come, each log in its order.
func TestPlayRebatched(t *testing.T) {
	link := load(t, "worker-1_to_logger-1")
	const times, size = 3, 100
	l := listen(t, []string{"zeek/"})
	got, peer, count := play(t, link, l, Options{Times: times, Rebatch: size})
	want := map[string][]string{}
	once, before := rows(t, recorded(t, "worker-1_to_logger-1", "zeek/"))
	n := 0
	for key, packed := range once {
		for i := range packed {
			packed[i] = renamed(packed[i], link, peer.Peer, l.ID())
		}
		for range times {
			want[key] = append(want[key], packed...)
		}
		n += times * len(packed)
	}
	gotRows, batches := rows(t, got)
	if len(gotRows) != len(want) {
		t.Errorf("%d logs, want %d", len(gotRows), len(want))
	}
	for key := range want {
		if !slices.Equal(gotRows[key], want[key]) {
			t.Errorf("%s: %d rows, want %d", key, len(gotRows[key]), len(want[key]))
		}
	}
	full := 0
	for _, b := range batches {
		if b > size {
			t.Errorf("a batch of %d", b)
		}
		if b == size {
			full++
		}
	}
	if full < 30 || len(batches) > times*len(before)/4 {
		t.Errorf("%d batches, %d full; recorded were %d", len(batches), full, len(before))
	}
	if count.Rows.Load() != uint64(n) || link.Rows*times != n || n < times*2000 {
		t.Errorf("counted %d rows, and %d in the link; there are %d", count.Rows.Load(), link.Rows, n)
	}
}

// A node that takes little at a time makes the player wait: nothing is lost.
func TestPlayWaits(t *testing.T) {
	link := load(t, "worker-1_to_logger-1")
	const times = 40 // more than the buffers of the sockets and the queue hold
	narrow := endpoint.QueueLimits{Messages: 10, Policy: endpoint.Block}
	l := listen(t, []string{"zeek/"}, endpoint.WithQueue(narrow))
	got, _, count := play(t, link, l, Options{Times: times})
	if uint64(len(got)) != count.Messages.Load() || len(got) < times*900 {
		t.Errorf("%d messages came, %d were sent", len(got), count.Messages.Load())
	}
}

// What the node is not subscribed to is counted, not sent; what is addressed to it is.
func TestPlayUnrouted(t *testing.T) {
	link := load(t, "worker-1_to_logger-1")
	l := listen(t, []string{"nothing"})
	_, _, count := play(t, link, l, Options{})
	direct := len(recorded(t, "worker-1_to_logger-1"))
	if n := int(count.Messages.Load()); n != direct || n == 0 {
		t.Errorf("%d messages sent, %d are addressed to the node", n, direct)
	}
	if n := int(count.Unrouted.Load()); n+direct != published(link) {
		t.Errorf("%d unrouted and %d addressed of %d", n, direct, published(link))
	}
}

// published counts the messages of a link that are no changes of subscriptions.
func published(l *Link) (n int) {
	for _, m := range l.messages {
		if m.kind != wire.TypeRoutingUpdate {
			n++
		}
	}
	return n
}

// A node that goes ends the play, and one that is not there does not begin it.
func TestPlayFails(t *testing.T) {
	link := load(t, "worker-1_to_logger-1")
	l := listen(t, []string{"zeek/"})
	done := make(chan error, 1)
	go func() { done <- link.Play(t.Context(), l.addr, Options{Times: 0, Endpoint: plain}, new(Count)) }()
	for range l.sub.Messages(t.Context()) {
		break
	}
	l.Close(context.Background())
	if err := <-done; !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
	if err := link.Play(t.Context(), l.addr, Options{Times: 1, Endpoint: plain}, new(Count)); !errors.Is(err, ErrUnreached) {
		t.Errorf("got %v, want ErrUnreached", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := link.Play(ctx, l.addr, Options{Times: 1, Retry: time.Hour, Endpoint: plain}, new(Count)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
	if err := link.Play(t.Context(), l.addr, Options{Speed: -1}, new(Count)); err == nil {
		t.Error("a negative speed passed")
	}
}

// At a speed, messages are sent when they are due, and at once if that has passed.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		for _, c := range []struct {
			speed     float64
			due, want time.Duration
		}{{1, time.Second, time.Second}, {4, 8 * time.Second, 2 * time.Second}, {4, time.Second, 2 * time.Second}, {0, time.Hour, 2 * time.Second}, {0.5, 2 * time.Second, 4 * time.Second}} {
			p := player{opts: Options{Speed: c.speed}}
			if err := p.pace(t.Context(), start, c.due); err != nil || time.Since(start) != c.want {
				t.Errorf("speed %v: what is due after %v is sent after %v, want %v: %v", c.speed, c.due, time.Since(start), c.want, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p := player{opts: Options{Speed: 1}}
		if err := p.pace(ctx, start, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
	if l := load(t, "worker-1_to_proxy-1"); l.span() < time.Second || l.messages[0].since != 0 {
		t.Errorf("the recording lasts %v", l.span())
	}
}

// What can be played is found, whatever is damaged around it; what cannot be is said.
func TestLoad(t *testing.T) {
	id := wire.EndpointID{1}
	frame := wire.AppendEnvelope(nil, wire.Envelope{Sender: id, Type: wire.TypeData, TTL: 16, Topic: []byte("/t"), Payload: data.AppendValue(nil, data.Count(1))})
	bad := wire.AppendEnvelope(nil, wire.Envelope{Sender: id, Type: wire.TypeData, TTL: 16, Topic: []byte("/t"), Payload: []byte{0xff}})
	line := func(conn int, dir string, frame []byte, more string) string {
		return fmt.Sprintf(`{"t":1,"dir":%q,"conn":%d,"hex":"%x"%s}`+"\n", dir, conn, frame, more)
	}
	links, err := Load(strings.NewReader(line(1, "dialer->listener", frame, "") + line(2, "listener->dialer", frame, "") +
		line(3, "dialer->listener", bad, "") + line(3, "dialer->listener", frame, `,"dropped":true`) + line(3, "dialer->listener", frame, "") + "{\n"))
	if err != nil || len(links) != 2 {
		t.Fatalf("%d links, %v", len(links), err)
	}
	for i, want := range []Link{{Dialer: id, Messages: 1}, {Dialer: id, Messages: 1, Skipped: 2}} {
		if got := links[i]; got.Dialer != want.Dialer || got.Messages != want.Messages || got.Skipped != want.Skipped {
			t.Errorf("link %d: %+v", i, got)
		}
	}
	for input, want := range map[string]string{
		"":                       "it is empty",
		"\x00":                   "neither a recording",
		`{"t":1,"hex":"00"}`:     "nothing that a dialer sent to a peer, and damage: line 1",
		`{"t":1,"note":"hello"}`: "nothing that a dialer sent to a peer",
	} {
		if _, err := Load(strings.NewReader(input)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", input, err, want)
		}
	}
	whole, err := os.ReadFile(recordings + "worker-1_to_logger-1-0.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	links, err = Load(bytes.NewReader(whole[:len(whole)/2]))
	if err != nil || len(links) < 1 || links[0].Messages < 300 {
		t.Errorf("of half a file: %d links, %v", len(links), err)
	}
}
