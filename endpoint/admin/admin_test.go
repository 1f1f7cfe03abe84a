package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/dump"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come. It is there to fail and not to hang.
const patience = time.Minute

// pair returns two nodes that are peers; the first has dialed.
func pair(t *testing.T) (a, b *endpoint.Endpoint) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var nodes [2]*endpoint.Endpoint
	for i := range nodes {
		e, err := endpoint.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close(context.Background()) })
		nodes[i] = e
	}
	a, b = nodes[0], nodes[1]
	addr, err := b.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Peer(addr.String()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.WaitPeers(ctx, 1), b.WaitPeers(ctx, 1)); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// serve serves a node at a new path.
func serve(t *testing.T, e *endpoint.Endpoint) (*Client, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	s, err := Serve(e, path)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(path)
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
	})
	return c, path
}

func publish(t *testing.T, e *endpoint.Endpoint, topic, event string) {
	t.Helper()
	n, err := e.PublishEvent(t.Context(), topic, event, data.Count(7))
	if err != nil || n != 1 {
		t.Fatalf("published to %d peers: %v", n, err)
	}
}

// subscribe subscribes, and waits until the publisher knows.
func subscribe(t *testing.T, publisher, subscriber *endpoint.Endpoint, topic string) *endpoint.Subscription {
	t.Helper()
	s, err := subscriber.Subscribe([]string{topic})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		for _, p := range publisher.Peers() {
			for _, f := range p.Filter {
				if f == topic {
					return s
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the publisher never heard of %s", topic)
		}
	}
}

// receive waits for one message.
func receive(t *testing.T, s *endpoint.Subscription) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range s.Messages(ctx) {
		return
	}
	t.Fatal("no message came")
}

func TestStatus(t *testing.T) {
	a, b := pair(t)
	c, _ := serve(t, b)
	s := subscribe(t, a, b, "/t")
	publish(t, a, "/t/x", "ping")
	receive(t, s)
	status, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.ID != b.ID() || status.Version == "" || status.Started.After(status.Now) {
		t.Errorf("%+v", status)
	}
	if len(status.Peers) != 1 || status.Peers[0].ID != a.ID() || status.Peers[0].Dialed || status.Peers[0].FramesIn != 1 {
		t.Errorf("peers %+v", status.Peers)
	}
	if status.Stats.FramesIn != 1 || status.Stats.BytesIn == 0 {
		t.Errorf("stats %+v", status.Stats)
	}
	if want := (Topic{Topic: "/t/x", MessagesIn: 1, BytesIn: status.Stats.BytesIn}); len(status.Topics) != 1 || status.Topics[0] != want {
		t.Errorf("topics %+v, want %+v", status.Topics, want)
	}
	// A node without anything to say says so in lists that are there.
	lonely, err := endpoint.New()
	if err != nil {
		t.Fatal(err)
	}
	defer lonely.Close(t.Context())
	text, err := json.Marshal(statusOf(lonely, time.Now()))
	if err != nil || !strings.Contains(string(text), `"peers":[],"topics":[]`) || !strings.Contains(string(text), `"dropped":{}`) {
		t.Errorf("%s, %v", text, err)
	}
}

// A watched is a tap that a test reads.
type watched struct {
	items chan string
	body  io.Closer
	done  chan error
}

// watch opens a tap and waits until it has begun.
func watch(t *testing.T, c *Client, filter dump.Filter, dir string) *watched {
	t.Helper()
	body, err := c.Tap(t.Context(), filter, dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{items: make(chan string, 1000), body: body, done: make(chan error, 1)}
	in := bufio.NewReader(body)
	header, err := in.ReadBytes('\n') // written when the tap is there
	if err != nil || !bytes.Contains(header, []byte(`"format"`)) {
		t.Fatalf("%s, %v", header, err)
	}
	go func() {
		w.done <- capture.ReadRecording(in, func(it capture.Item) error {
			if it.Frame != nil {
				it.Where, it.Time, it.Since = "", time.Time{}, 0
				w.items <- string(dump.AppendText(nil, &it))
			}
			return nil
		})
		close(w.items)
	}()
	return w
}

func (w *watched) next(t *testing.T) string {
	t.Helper()
	select {
	case it, ok := <-w.items:
		if !ok {
			t.Fatal("the tap has ended")
		}
		return it
	case <-time.After(patience):
		t.Fatal("nothing comes")
	}
	return ""
}

func TestTap(t *testing.T) {
	a, b := pair(t)
	c, _ := serve(t, a)
	s := subscribe(t, a, b, "/t")
	back := subscribe(t, b, a, "/back")
	all := watch(t, c, dump.Filter{}, "")
	in := watch(t, c, dump.Filter{Kinds: []string{"data"}}, "in")
	out := watch(t, c, dump.Filter{Topics: []string{"/t/y"}}, "out")
	publish(t, a, "/t/x", "one")
	receive(t, s)
	publish(t, a, "/t/y", "two")
	receive(t, s)
	publish(t, b, "/back", "three")
	receive(t, back)
	idA, idB := capture.ShortID(a.ID()), capture.ShortID(b.ID())
	addr := a.Peers()[0].Addr
	sent := fmt.Sprintf("#1 %s > %s data %s > all", idA, addr, idA)
	got := fmt.Sprintf("#1 %s > %s data %s > all", addr, idA, idB)
	for _, step := range []struct {
		tap  *watched
		want string
	}{
		{all, sent + " /t/x one(7)"}, {all, sent + " /t/y two(7)"}, {all, got + " /back three(7)"},
		{in, got + " /back three(7)"},
		{out, sent + " /t/y two(7)"},
	} {
		if it := step.tap.next(t); !strings.HasPrefix(it, step.want+" [") {
			t.Errorf("got %q, want %q", it, step.want)
		}
	}
	// The end of the node ends the taps, after everything that it said; a reader ends one.
	in.body.Close()
	<-in.done
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if it := all.next(t); !strings.Contains(it, "BYE") {
		t.Errorf("%q", it)
	}
	for _, w := range []*watched{all, out} {
		if err := <-w.done; err != nil {
			t.Errorf("the end: %v", err)
		}
		w.body.Close()
	}
}

// TestTapDialer: a tap tells who dialed.
func TestTapDialer(t *testing.T) {
	a, b := pair(t)
	s := subscribe(t, a, b, "/t")
	for _, e := range []*endpoint.Endpoint{a, b} {
		c, _ := serve(t, e)
		body, err := c.Tap(t.Context(), dump.Filter{}, "")
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(body)
		if _, err := in.ReadBytes('\n'); err != nil {
			t.Fatal(err)
		}
		publish(t, a, "/t", "x")
		receive(t, s)
		stop := errors.New("stop")
		err = capture.ReadRecording(in, func(it capture.Item) error {
			if it.Frame == nil {
				return nil
			}
			if it.From.Name != capture.Dialer || it.From.ID != a.ID() || it.To.ID != b.ID() {
				t.Errorf("tap of %v: from %+v to %+v", e.ID(), it.From, it.To)
			}
			return stop
		})
		if err != stop {
			t.Error(err)
		}
		body.Close()
	}
}

// TestTapLoss: a reader that does not read loses frames and is told how many; the node goes on.
func TestTapLoss(t *testing.T) {
	before := tapQueue
	tapQueue.Messages = 4
	defer func() { tapQueue = before }()
	a, b := pair(t)
	c, _ := serve(t, a)
	s := subscribe(t, a, b, "/t")
	body, err := c.Tap(t.Context(), dump.Filter{}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	// More than the buffers between the node and this reader hold.
	const count = 200
	large := data.String(strings.Repeat("x", 64<<10))
	for range count {
		if _, err := a.PublishEvent(t.Context(), "/t", "x", large); err != nil {
			t.Fatal(err)
		}
		receive(t, s)
	}
	shown, lost := 0, 0
	stop := errors.New("stop")
	err = capture.ReadRecording(body, func(it capture.Item) error {
		if n := 0; it.Frame != nil && it.Frame.Kind() == "data" {
			shown++
		} else if _, err := fmt.Sscanf(it.Note, "%d frames lost", &n); err == nil {
			lost += n
		}
		if shown+lost >= count {
			return stop
		}
		return nil
	})
	if err != stop || lost == 0 || shown == 0 {
		t.Errorf("%d shown, %d lost: %v", shown, lost, err)
	}
}

// TestBadRequests: what cannot be is refused with a reason.
func TestBadRequests(t *testing.T) {
	e, _ := pair(t)
	c, path := serve(t, e)
	if _, err := c.Tap(t.Context(), dump.Filter{Kinds: []string{"date"}}, ""); err == nil || !strings.Contains(err.Error(), `type "date"`) {
		t.Error(err)
	}
	if _, err := c.Tap(t.Context(), dump.Filter{}, "up"); err == nil || !strings.Contains(err.Error(), "want in or out") {
		t.Error(err)
	}
	if _, err := c.get(t.Context(), "/v2/status", nil); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
	post, err := c.http.Post("http://node/v1/status", "", nil)
	if err != nil || post.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("%v, %v", post, err)
	}
	post.Body.Close()
	var taps []io.Closer
	for range maxTaps {
		body, err := c.Tap(t.Context(), dump.Filter{}, "")
		if err != nil {
			t.Fatal(err)
		}
		taps = append(taps, body)
	}
	if _, err := c.Tap(t.Context(), dump.Filter{}, ""); err == nil || !strings.Contains(err.Error(), "8 taps already") {
		t.Error(err)
	}
	for _, body := range taps {
		body.Close()
	}
	nobody := NewClient(path + "x")
	if _, err := nobody.Status(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "no node answers at "+path+"x") {
		t.Error(err)
	}
}
