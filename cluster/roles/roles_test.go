package roles_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/roles"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newLayout returns a cluster of a version with one node of each type that counts, and a second worker.
func newLayout(t testing.TB, version, more string) *layout.Layout {
	t.Helper()
	l, err := layout.ParseNative("layout of "+t.Name(), []byte("zeek_version: "+version+`
nodes:
  manager: {type: manager, address: 127.0.0.1, port: 1}
  logger-1: {type: logger, address: 127.0.0.1, port: 2}
  proxy-1: {type: proxy, address: 127.0.0.1, port: 3}
  worker-1: {type: worker, address: 127.0.0.1, port: 4}
  worker-2: {type: worker, address: 127.0.0.1, port: 5}
`+more))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A board makes the nodes of a layout, with their roles.
type board struct {
	*clustertest.Switchboard
	layout *layout.Layout
}

func newBoard(l *layout.Layout) *board { return &board{clustertest.New(l), l} }

// node makes and starts a node, with its role, and returns it with the state of that.
func (b *board) node(t testing.TB, name string, opts ...roles.Option) (*cluster.Node, *roles.State) {
	t.Helper()
	id := wire.NewEndpointID()
	n := b.Node(t, name, cluster.WithLogBatches(400, 5*time.Millisecond), cluster.WithTopics(roles.Topics(b.layout, id)...),
		cluster.WithEndpoint(endpoint.WithID(id), endpoint.WithRetry(5*time.Millisecond)))
	state := new(roles.State)
	if _, err := roles.Install(n, append([]roles.Option{roles.WithState(state)}, opts...)...); err != nil {
		t.Fatal(err)
	}
	clustertest.Run(t, n)
	return n, state
}

// A witness is a peer of one node that says what it likes, and keeps what it hears.
type witness struct {
	node  *cluster.Node
	state *roles.State
	ep    *endpoint.Endpoint

	bell clustertest.Bell
	mu   sync.Mutex
	told []told
}

// told is a message.
type told struct {
	topic string
	zeek.Message
}

// watch starts a node of a version, and a witness of it.
func watch(t *testing.T, version, name string, opts ...roles.Option) *witness {
	t.Helper()
	n, state := newBoard(newLayout(t, version, "")).node(t, name, opts...)
	return witnessOf(t, n, state)
}

func witnessOf(t *testing.T, n *cluster.Node, state *roles.State) *witness {
	t.Helper()
	ep, err := endpoint.New(endpoint.WithSecurity(endpoint.PlainTCP()))
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{node: n, state: state, ep: ep}
	sub, err := ep.Subscribe([]string{"zeek/"}, endpoint.AllowBlockingStores())
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(heard)
		for m := range sub.Messages(ctx) {
			w.hear(t, m.Topic(), m.Payload())
		}
	}()
	t.Cleanup(func() {
		cancel()
		ep.Close(clustertest.Limited(t))
		<-heard
	})
	if _, err := ep.Peer(n.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if err := ep.WaitPeers(clustertest.Limited(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := n.Endpoint().WaitPeers(clustertest.Limited(t), 1); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *witness) hear(t *testing.T, topic string, payload []byte) {
	m, err := zeek.Parse(payload)
	if err != nil {
		t.Errorf("on %s: %v", topic, err)
		return
	}
	defer w.bell.Ring()
	w.mu.Lock()
	defer w.mu.Unlock()
	if batch, ok := m.(zeek.Batch); ok {
		for _, m := range batch {
			w.told = append(w.told, told{topic, m})
		}
		return
	}
	w.told = append(w.told, told{topic, m})
}

// heard returns all messages of which match is true.
func (w *witness) heard(match func(told) bool) []told {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []told
	for _, m := range w.told {
		if match(m) {
			all = append(all, m)
		}
	}
	return all
}

// events returns the events of a name, with their topics, as text.
func (w *witness) events(name string) []string {
	var all []string
	for _, m := range w.heard(func(m told) bool { e, ok := m.Message.(zeek.Event); return ok && e.Name == name }) {
		all = append(all, m.topic+" "+data.Vector(m.Message.(zeek.Event).Args...).String())
	}
	return all
}

// rows returns the packed rows of a stream.
func (w *witness) rows(stream string) [][]byte {
	var all [][]byte
	for _, m := range w.heard(func(m told) bool { l, ok := m.Message.(zeek.LogWrite); return ok && l.Stream == stream }) {
		all = append(all, m.Message.(zeek.LogWrite).Packed)
	}
	return all
}

// creates returns the logs that were made known.
func (w *witness) creates() map[string]zeek.LogCreate {
	all := make(map[string]zeek.LogCreate)
	for _, m := range w.heard(func(m told) bool { _, ok := m.Message.(zeek.LogCreate); return ok }) {
		c := m.Message.(zeek.LogCreate)
		all[c.Stream] = c
	}
	return all
}

// say publishes an event to the node alone.
func (w *witness) say(t *testing.T, event string, args ...data.Value) {
	t.Helper()
	w.send(t, zeek.AppendEvent(nil, event, args...))
}

func (w *witness) send(t *testing.T, payload []byte) {
	t.Helper()
	if n, err := w.ep.PublishPayload(clustertest.Limited(t), w.node.NodeTopic(w.node.Name()), payload); err != nil || n != 1 {
		t.Fatalf("%d receivers, %v", n, err)
	}
}

// settle waits until all is handled that was said, and all is heard that came of it.
func (w *witness) settle(t *testing.T) {
	t.Helper()
	for range 2 {
		before := len(w.events("Control::net_stats_response"))
		w.say(t, "Control::net_stats_request")
		w.bell.Until(t, "answer", func() bool { return len(w.events("Control::net_stats_response")) > before })
		w.node.FlushLogs() // before the second answer
	}
}

// failed checks how many events the node could not handle.
func (w *witness) failed(t *testing.T, want uint64) {
	t.Helper()
	w.settle(t)
	if s := w.node.Status(); s.Failed != want || s.Malformed != 0 {
		t.Errorf("%d events failed, %d malformed; want %d and 0", s.Failed, s.Malformed, want)
	}
}

// text returns a packed row as a line.
func text(row []byte) string {
	var words []string
	r := zeek.ReadRecord(row)
	for {
		c, ok := r.Next()
		if !ok {
			break
		}
		words = append(words, cellText(&c))
	}
	if r.Err() != nil {
		return r.Err().Error()
	}
	return strings.Join(words, " ")
}

func cellText(c *zeek.Cell) string {
	if !c.Set {
		return "-"
	}
	switch c.Type {
	case zeek.LogTime:
		return fmt.Sprintf("%.6f", c.Float())
	case zeek.LogCount:
		return fmt.Sprint(c.Count())
	case zeek.LogAddr:
		return c.Addr().String()
	case zeek.LogPort:
		number, proto := c.Port()
		return fmt.Sprintf("%d/%v", number, proto)
	case zeek.LogSet:
		var words []string
		elems := c.Elems()
		for {
			e, ok := elems.Next()
			if !ok {
				return "{" + strings.Join(words, ",") + "}"
			}
			words = append(words, cellText(&e))
		}
	}
	return string(c.Text())
}

// checkRows compares the rows of a stream.
func (w *witness) checkRows(t *testing.T, stream string, want ...string) {
	t.Helper()
	w.settle(t)
	var got []string
	for _, row := range w.rows(stream) {
		got = append(got, text(row))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", stream, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A frame is a message of a recording of two nodes.
type frame struct {
	dialer  bool // sent it
	topic   string
	payload []byte
}

// recorded returns the data messages of a link of a recorded cluster.
func recorded(t *testing.T, cluster, link string) []frame {
	t.Helper()
	file, err := os.Open(filepath.Join("../../interop/testdata/zeek", cluster, "links", link+".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var frames []frame
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<24)
	peered := false
	for lines.Scan() {
		var line struct{ Dir, Hex string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(line.Dir, "error") || line.Hex == "" {
			continue
		}
		b, err := hex.DecodeString(line.Hex)
		if err != nil {
			t.Fatal(err)
		}
		body, _, _, err := wire.NextFrame(b, len(b))
		if err != nil {
			t.Fatal(err)
		}
		if !peered {
			msg, err := wire.ParseHandshake(body)
			if err != nil {
				t.Fatal(err)
			}
			peered = msg.HandshakeType() == wire.TypeOriginatorAck
			continue
		}
		e, err := wire.ParseEnvelope(body)
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == wire.TypeData {
			frames = append(frames, frame{strings.HasPrefix(line.Dir, "dialer"), string(e.Topic), e.Payload})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return frames
}

// recordings are the clusters that were recorded.
var recordings = []string{"8.2.2-tsv", "8.2.2-json"}
