package websocket_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/endpoint"
	ours "github.com/zeekpeer/zeekpeer/endpoint/websocket"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func newEndpoint(t testing.TB, opts ...endpoint.Option) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(append([]endpoint.Option{endpoint.WithSecurity(endpoint.PlainTCP())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// peer connects two endpoints.
func peer(t testing.TB, a, b *endpoint.Endpoint) {
	t.Helper()
	addr, err := a.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Peer(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := a.WaitPeers(patient(t), 1); err != nil {
		t.Fatal(err)
	}
}

func serve(t testing.TB, ep *endpoint.Endpoint, opts ...ours.ServerOption) (s *ours.Server, url string) {
	t.Helper()
	s, err := ours.Listen(t.Context(), ep, "127.0.0.1:0", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	return s, "ws://" + s.Addr().String() + ours.Path
}

func shutdown(t testing.TB, s *ours.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// A foreign client is one that others wrote.
type foreign struct {
	*websocket.Conn
	t testing.TB
}

// frame is any message as JSON has it.
type frame struct {
	Type     string          `json:"type"`
	Endpoint string          `json:"endpoint"`
	Version  string          `json:"version"`
	Code     string          `json:"code"`
	Context  string          `json:"context"`
	Topic    string          `json:"topic"`
	DataType string          `json:"@data-type"`
	Data     json.RawMessage `json:"data"`
}

func dialForeign(t testing.TB, url string, header http.Header) *foreign {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.DialContext(patient(t), url, header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(patience))
	return &foreign{conn, t}
}

// join connects a foreign client and subscribes.
func join(t testing.TB, url string, topics ...string) *foreign {
	t.Helper()
	f := dialForeign(t, url, nil)
	if topics == nil {
		topics = []string{}
	}
	if err := f.WriteJSON(topics); err != nil {
		t.Fatal(err)
	}
	if ack := f.next(); ack.Type != "ack" {
		t.Fatalf("got %+v", ack)
	}
	return f
}

func (f *foreign) send(text string) {
	f.t.Helper()
	if err := f.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *foreign) next() (m frame) {
	f.t.Helper()
	kind, text, err := f.ReadMessage()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &m); err != nil || kind != websocket.TextMessage {
		f.t.Fatalf("%q: %v", text, err)
	}
	return m
}

// closed reads until the server closes, and checks how.
func (f *foreign) closed(code int, reason string) {
	f.t.Helper()
	for {
		_, _, err := f.ReadMessage()
		var closing *websocket.CloseError
		switch {
		case err == nil:
		case !errors.As(err, &closing) || closing.Code != code || !strings.Contains(closing.Text, reason):
			f.t.Fatalf("got %v, want code %d, %q", err, code, reason)
		default:
			return
		}
	}
}

func dial(t testing.TB, url string, topics []string, opts ...ours.ClientOption) *ours.Client {
	t.Helper()
	c, err := ours.Dial(patient(t), url, topics, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeClient(t, c) })
	return c
}

func closeClient(t testing.TB, c *ours.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// message is a data message with a count.
func message(topic string, n int) string {
	return string(data.AppendJSONMessage(nil, topic, data.Count(uint64(n))))
}
