package websocket_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zeekpeer/zeekpeer/endpoint"
	ours "github.com/zeekpeer/zeekpeer/endpoint/websocket"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func TestClient(t *testing.T) {
	ep := newEndpoint(t)
	s, url := serve(t, ep, ours.WithVersion("1.2.3"), ours.WithToken("s3cret"))
	sub, err := ep.Subscribe([]string{"/a"}, endpoint.WithLoopback())
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, strings.TrimSuffix(url, ours.Path), []string{"/b"}, ours.WithToken("s3cret"), ours.WithApplicationName("test/1"))
	if info := s.Clients(); len(info) != 1 || info[0].ApplicationName != "test/1" {
		t.Errorf("%+v", info)
	}
	const n = 1000
	for i := range n {
		if err := c.PublishEvent(t.Context(), "/a/x", "ping", data.Count(uint64(i)), data.String("x")); err != nil {
			t.Fatal(err)
		}
	}
	i := uint64(0)
	for m := range sub.Messages(patient(t)) {
		e, err := m.Event()
		if err != nil || e.Name != "ping" || !e.Args[0].Equal(data.Count(i)) {
			t.Fatalf("got %+v, %v, want %d", e, err, i)
		}
		if _, err := ep.PublishEvent(t.Context(), "/b/y", "pong", e.Args...); err != nil {
			t.Fatal(err)
		}
		if i++; i == n {
			break
		}
	}
	i = 0
	for e := range c.Events(patient(t)) {
		if e.Status != nil {
			if i > 0 || e.Status.Code != ours.Connected || e.Status.Endpoint != ep.ID().String() || e.Status.Version != "1.2.3" {
				t.Errorf("status %+v after %d messages", e.Status, i)
			}
			continue
		}
		event, err := e.Message.Event()
		if err != nil || event.Name != "pong" || e.Message.Topic != "/b/y" || !event.Args[0].Equal(data.Count(i)) {
			t.Fatalf("got %+v, %v, want %d", e.Message, err, i)
		}
		if i++; i == n {
			break
		}
	}
	if st := c.Stats(); st.Sent != n || st.Received != n || st.Connects != 1 || st.Dropped+st.Invalid+st.Unsent != 0 {
		t.Errorf("%+v", st)
	}
}

// What is queued when a client is closed is sent.
func TestClientClose(t *testing.T) {
	ep := newEndpoint(t)
	_, url := serve(t, ep)
	f := join(t, url, "/a")
	c := dial(t, url, nil)
	const n = 500
	for i := range n {
		if err := c.Publish(t.Context(), "/a", data.Count(uint64(i))); err != nil {
			t.Fatal(err)
		}
	}
	closeClient(t, c)
	for i := range n {
		if m := f.next(); string(m.Data) != fmt.Sprint(i) {
			t.Fatalf("got %+v, want %d", m, i)
		}
	}
	if err := c.Publish(t.Context(), "/a", data.None()); !errors.Is(err, endpoint.ErrClosed) {
		t.Errorf("got %v", err)
	}
	var seen []ours.StatusCode
	for e := range c.Events(patient(t)) {
		seen = append(seen, e.Status.Code)
	}
	if fmt.Sprint(seen) != "[connected lost]" {
		t.Error(seen)
	}
}

// A client comes back after its server, and what was published meanwhile is sent then.
func TestReconnect(t *testing.T) {
	ep := newEndpoint(t)
	s, url := serve(t, ep)
	c := dial(t, url, []string{"/a"}, ours.WithBackoff(time.Millisecond, 10*time.Millisecond))
	addr := s.Addr().String()
	shutdown(t, s)
	ctx := patient(t)
	event, stop := iter.Pull(c.Events(ctx))
	defer stop()
	next := func(code ours.StatusCode) *ours.Status {
		t.Helper()
		e, ok := event()
		if !ok || e.Status == nil || e.Status.Code != code {
			t.Fatalf("got %+v, want %v", e, code)
		}
		return e.Status
	}
	next(ours.Connected)
	lost := next(ours.Lost)
	var closing ours.CloseError
	if !errors.As(lost.Err, &closing) || closing.Code != 1001 || closing.Reason != "shutting down" {
		t.Errorf("lost: %v", lost.Err)
	}
	next(ours.Unavailable)
	if err := c.Publish(ctx, "/b", data.Count(1)); err != nil {
		t.Fatal(err)
	}
	sub, err := ep.Subscribe([]string{"/b"}, endpoint.WithLoopback())
	if err != nil {
		t.Fatal(err)
	}
	again, err := ours.Listen(ctx, ep, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, again)
	for m := range sub.Messages(ctx) {
		if v, err := m.Value(); err != nil || !v.Equal(data.Count(1)) {
			t.Errorf("got %v, %v", v, err)
		}
		break
	}
	if _, err := ep.Publish(ctx, "/a", data.Count(2)); err != nil {
		t.Fatal(err)
	}
	connected := false
	for {
		e, ok := event()
		if ok && e.Status != nil {
			connected = connected || e.Status.Code == ours.Connected
			continue
		}
		if !ok || !connected || !e.Message.Value.Equal(data.Count(2)) {
			t.Errorf("got %+v", e)
		}
		break
	}
}

func TestDialRefused(t *testing.T) {
	ep := newEndpoint(t)
	_, url := serve(t, ep, ours.WithToken("s3cret"))
	_, open := serve(t, ep)
	var refused *ours.RefusedError
	if _, err := ours.Dial(patient(t), url, nil); !errors.As(err, &refused) || refused.Status != 401 || refused.Reason != "a bearer token is wanted, and this is not it" {
		t.Errorf("got %v", err)
	}
	if _, err := ours.Dial(patient(t), open+"/x", nil); !errors.As(err, &refused) || refused.Status != 404 {
		t.Errorf("got %v", err)
	}
	var bad *ours.ServerError
	if _, err := ours.Dial(patient(t), open, []string{""}); !errors.As(err, &bad) || bad.Code != "invalid_topic" {
		t.Errorf("got %v", err)
	}
	if _, err := ours.Dial(patient(t), "http://127.0.0.1:1", nil); err == nil || !strings.Contains(err.Error(), "want one such as") {
		t.Errorf("got %v", err)
	}
	// A server that accepts and says nothing.
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}))
	defer silent.Close()
	if _, err := ours.Dial(patient(t), "ws"+strings.TrimPrefix(silent.URL, "http"), nil, ours.WithDialTimeout(20*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nobody accepts
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := ours.Dial(ctx, "ws://"+l.Addr().String(), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// The client speaks to a server that others wrote: it says hello, takes every dialect and tells of
// errors.
func TestForeignServer(t *testing.T) {
	got := make(chan string, 3)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		got <- r.Header.Get("X-Application-Name") + " " + r.Header.Get("Authorization")
		_, topics, _ := conn.ReadMessage()
		got <- string(topics)
		for _, text := range []string{
			`{"type":"ack","endpoint":"e","version":"7.0.0"}`,
			`{"type":"data-message","topic":"/a","@data-type":"timespan","data":"1.5us"}`,
			`{"type":"error","code":"deserialization_failed","context":"input #1 contained invalid data"}`,
			`{"type":"whatever"}`,
			`{"type":"data-message","topic":"/a","@data-type":"real","data":3}`,
		} {
			conn.WriteMessage(websocket.TextMessage, []byte(text))
		}
		_, text, _ := conn.ReadMessage()
		got <- string(text)
		conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1008, "enough"), time.Now().Add(patience))
		conn.ReadMessage()
	}))
	defer server.Close()
	c := dial(t, "ws"+strings.TrimPrefix(server.URL, "http"), nil, ours.WithApplicationName("app"), ours.WithToken("t"), ours.WithBackoff(time.Hour, time.Hour))
	if err := c.PublishEvent(t.Context(), "/b", "hello", data.Int(-1)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"app Bearer t", "[]",
		`{"type":"data-message","topic":"/b","@data-type":"vector","data":[{"@data-type":"count","data":1},{"@data-type":"count","data":1},{"@data-type":"vector","data":[{"@data-type":"string","data":"hello"},{"@data-type":"vector","data":[{"@data-type":"integer","data":-1}]}]}]}`,
	} {
		if text := <-got; text != want {
			t.Errorf("got %s, want %s", text, want)
		}
	}
	var seen []string
	for e := range c.Events(patient(t)) {
		if e.Status != nil {
			seen = append(seen, fmt.Sprint(e.Status.Code, " ", e.Status.Version, " ", e.Status.Err))
		} else {
			seen = append(seen, fmt.Sprint(e.Message.Topic, " ", e.Message.Value))
		}
		if e.Status != nil && e.Status.Code == ours.Lost {
			break
		}
	}
	want := []string{
		"connected 7.0.0 <nil>", "/a 1500ns", "rejected  deserialization_failed: input #1 contained invalid data", "/a 3.0", "lost ",
	}
	for i := range max(len(want), len(seen)) {
		if i >= len(want) || i >= len(seen) || !strings.HasPrefix(seen[i], want[i]) {
			t.Fatalf("got %q, want %q", seen, want)
		}
	}
	if !strings.Contains(seen[4], "enough") || c.Stats().Invalid != 1 {
		t.Errorf("%q, %+v", seen[4], c.Stats())
	}
}

// Nobody asks for events: the oldest are dropped and counted, and publishing goes on.
func TestClientQueues(t *testing.T) {
	ep := newEndpoint(t)
	s, url := serve(t, ep)
	c := dial(t, url, []string{"/a"}, ours.WithClientQueues(10, 1<<20), ours.WithBackoff(time.Hour, time.Hour))
	f := join(t, url, "/b")
	for i := range 100 {
		if _, err := ep.Publish(t.Context(), "/a", data.Count(uint64(i))); err != nil {
			t.Fatal(err)
		}
	}
	for c.Stats().Received < 100 {
		if err := c.Publish(patient(t), "/b", data.None()); err != nil { // so that there is something to wait for
			t.Fatal(err)
		}
		f.next()
	}
	if st := c.Stats(); st.Dropped != 90 || st.QueuedIn != 11 {
		t.Errorf("%+v", st)
	}
	want := uint64(90)
	for m := range c.Messages(patient(t)) {
		if !m.Value.Equal(data.Count(want)) {
			t.Errorf("got %v, want %d", m.Value, want)
		}
		if want++; want == 100 {
			break
		}
	}
	f.Close() // which would not answer the server's close
	shutdown(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var err error
	n := uint64(0)
	for ; err == nil; n++ {
		err = c.Publish(ctx, "/b", data.None())
	}
	if !errors.Is(err, endpoint.ErrFull) || n < 11 {
		t.Errorf("got %v after %d", err, n)
	}
	closeClient(t, c)
	if st := c.Stats(); st.Unsent < 10 || st.QueuedOut != 0 {
		t.Errorf("%+v", st)
	}
}

func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	own := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}

	ep := newEndpoint(t)
	_, url := serve(t, ep, ours.WithTLS(&tls.Config{Certificates: own, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}))
	url = "wss" + strings.TrimPrefix(url, "ws")
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: own}}
	conn, _, err := dialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f := &foreign{conn, t}
	f.send(`["/a"]`)
	f.next()
	c := dial(t, url, []string{"/b"}, ours.WithTLS(&tls.Config{RootCAs: pool, Certificates: own}))
	big := strings.Repeat("x", 1<<20)
	if err := c.Publish(t.Context(), "/a", data.String(big)); err != nil {
		t.Fatal(err)
	}
	if m := f.next(); len(m.Data) != len(big)+2 {
		t.Errorf("got %d bytes", len(m.Data))
	}
	f.send(message("/b", 1))
	for m := range c.Messages(patient(t)) {
		if m.Topic != "/b" {
			t.Errorf("got %+v", m)
		}
		break
	}
	for _, config := range []*tls.Config{{RootCAs: pool}, {Certificates: own}} {
		if _, err := ours.Dial(patient(t), url, nil, ours.WithTLS(config)); err == nil {
			t.Error("connected without the right certificates")
		}
	}
}

// An encoded value is checked, rendered and sent.
func TestPublishPayload(t *testing.T) {
	ep := newEndpoint(t)
	_, url := serve(t, ep)
	f := join(t, url, "/a")
	c := dial(t, url, nil, ours.WithMaxMessage(1024))
	v := data.Vector(data.Count(1), data.Set(data.String("x"), data.Bool(true)))
	if err := c.PublishPayload(t.Context(), "/a/x", data.AppendValue(nil, v)); err != nil {
		t.Fatal(err)
	}
	if m := f.next(); m.Topic != "/a/x" || m.DataType != "vector" {
		t.Errorf("got %+v", m)
	}
	for want, payload := range map[string][]byte{
		"ends too early": {14, 1}, "left over": {0, 0}, "duplicate": {12, 2, 0, 0},
		"more than 1024 bytes": data.AppendValue(nil, data.String(strings.Repeat("x", 1024))),
	} {
		if err := c.PublishPayload(t.Context(), "/a", payload); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := c.PublishPayload(t.Context(), strings.Repeat("x", 1<<16), []byte{0}); !errors.Is(err, endpoint.ErrTopic) {
		t.Errorf("got %v", err)
	}
	if st := c.Stats(); st.Sent != 1 || st.QueuedOut != 0 {
		t.Errorf("%+v", st)
	}
}

// A client in the background may be there before its server.
func TestInBackground(t *testing.T) {
	ep := newEndpoint(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c := dial(t, "ws://"+addr, []string{"/a"}, ours.InBackground(), ours.WithBackoff(time.Millisecond, 10*time.Millisecond))
	if err := c.Publish(t.Context(), "/b", data.Count(1)); err != nil {
		t.Fatal(err)
	}
	ctx := patient(t)
	event, stop := iter.Pull(c.Events(ctx))
	defer stop()
	if e, ok := event(); !ok || e.Status == nil || e.Status.Code != ours.Unavailable {
		t.Fatalf("got %+v", e)
	}
	sub, err := ep.Subscribe([]string{"/b"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ours.Listen(ctx, ep, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, s)
	for m := range sub.Messages(ctx) {
		if v, err := m.Value(); err != nil || !v.Equal(data.Count(1)) {
			t.Errorf("got %v, %v", v, err)
		}
		break
	}
	for e, ok := event(); ok && e.Status.Code != ours.Connected; e, ok = event() {
		if e.Status.Code != ours.Unavailable {
			t.Fatalf("got %+v", e.Status)
		}
	}
	if c.Stats().Connects != 1 {
		t.Errorf("%+v", c.Stats())
	}
	never := dial(t, "ws://192.0.2.1:1", nil, ours.InBackground())
	closeClient(t, never)
	if _, err := ours.Dial(ctx, "http://127.0.0.1", nil, ours.InBackground()); err == nil {
		t.Error("an address of another kind is taken")
	}
}
