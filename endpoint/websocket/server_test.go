package websocket_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zeekpeer/zeekpeer/endpoint"
	ours "github.com/zeekpeer/zeekpeer/endpoint/websocket"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func TestAck(t *testing.T) {
	ep := newEndpoint(t)
	s, url := serve(t, ep, ours.WithVersion("9.0.0"))
	f := dialForeign(t, url, http.Header{"x-APPLICATION-name": {"dash/1.0"}})
	f.send(`["/a","/b"]`)
	_, text, err := f.ReadMessage()
	if want := fmt.Sprintf(`{"type":"ack","endpoint":"%v","version":"9.0.0"}`, ep.ID()); err != nil || string(text) != want {
		t.Fatalf("got %s, %v, want %s", text, err, want)
	}
	info := s.Clients()
	if len(info) != 1 || info[0].ApplicationName != "dash/1.0" || fmt.Sprint(info[0].Topics) != "[/a /b]" {
		t.Errorf("%+v", info)
	}
}

// Header names and values in any case; a client need not wait for the ack before it publishes.
func TestBareHandshake(t *testing.T) {
	ep := newEndpoint(t)
	s, _ := serve(t, ep)
	other := join(t, "ws://"+s.Addr().String()+ours.Path, "/a")
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	text := func(s string) string { // as a frame whose mask is zero
		return string([]byte{0x81, 0x80 | byte(len(s)), 0, 0, 0, 0}) + s
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nhOsT: x\r\nUPGRADE: WebSocket\r\nconnection: keep-alive, UPGRADE\r\nsec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\nSEC-WEBSOCKET-version: 13\r\n\r\n%s%s",
		ours.Path, text(`[]`), text(message("/a", 7)))
	if m := other.next(); m.Topic != "/a" || string(m.Data) != "7" {
		t.Errorf("got %+v", m)
	}
}

// What one client sends goes to the other clients, to peers and to subscriptions here, not back to it.
// What peers and this process publish goes to all clients. Each sender's order is kept.
func TestEverybodySees(t *testing.T) {
	ep, remote := newEndpoint(t), newEndpoint(t)
	here, err := ep.Subscribe([]string{"/x"})
	if err != nil {
		t.Fatal(err)
	}
	there, err := remote.Subscribe([]string{"/x"})
	if err != nil {
		t.Fatal(err)
	}
	peer(t, ep, remote)
	_, url := serve(t, ep)
	const n = 200
	clients := []*foreign{join(t, url, "/x"), join(t, url, "/x", "/y"), join(t, url, "/x")}
	for i, c := range clients {
		for j := range n {
			c.send(message(fmt.Sprintf("/x/%d", i), j))
		}
	}
	for j := range n {
		if _, err := ep.Publish(t.Context(), "/x/here", data.Count(uint64(j))); err != nil {
			t.Fatal(err)
		}
		if got, err := remote.Publish(t.Context(), "/x/there", data.Count(uint64(j))); got != 1 || err != nil {
			t.Fatal(got, err) // the client's topics have been announced: the acks came after
		}
	}
	senders := []string{"/x/0", "/x/1", "/x/2", "/x/here", "/x/there"}
	check := func(who, own string, next func() (string, uint64)) {
		seen := make(map[string]uint64)
		for range n * (len(senders) - strings.Count(own, "/x/")) {
			topic, v := next()
			if topic == own || v != seen[topic] {
				t.Fatalf("%s got %s %d, want %d", who, topic, v, seen[topic])
			}
			seen[topic]++
		}
	}
	for i, c := range clients {
		check(fmt.Sprint("client ", i), senders[i], func() (topic string, v uint64) {
			m := c.next()
			if err := json.Unmarshal(m.Data, &v); err != nil {
				t.Fatal(m, err)
			}
			return m.Topic, v
		})
	}
	subscriber := func(s *endpoint.Subscription) func() (string, uint64) {
		return func() (topic string, n uint64) {
			for m := range s.Messages(patient(t)) {
				v, err := m.Value()
				if err != nil {
					t.Fatal(err)
				}
				n, _ = v.AsCount()
				return m.Topic(), n
			}
			t.Fatal("nothing more")
			return "", 0
		}
	}
	all := senders
	senders = []string{"/x/0", "/x/1", "/x/2", "/x/there"} // what this node publishes needs loopback
	check("subscriber here", "", subscriber(here))
	senders = all
	check("subscriber there", "/x/there", subscriber(there))
}

// All recorded inputs: what the newest Broker accepts comes out as the same bytes, what it rejects is
// answered by an error with the number of the input, and the connection stays.
func TestRecordedInputs(t *testing.T) {
	file, err := os.Open("../../interop/testdata/wire/values.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	ep := newEndpoint(t)
	sub, err := ep.Subscribe([]string{"/test"}, endpoint.WithLoopback())
	if err != nil {
		t.Fatal(err)
	}
	s, url := serve(t, ep)
	f := join(t, url)
	n, rejected := 0, 0
	for line := range bytes.Lines(text) {
		var row struct {
			Name     string          `json:"name"`
			In       json.RawMessage `json:"json_in"`
			Topic    string          `json:"topic"`
			Payload  string          `json:"payload_hex"`
			Rejected string          `json:"rejected"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		if row.Name == "bad subnet length" {
			continue // which the reference reads as another
		}
		n++
		f.send(string(row.In))
		if row.Rejected != "" {
			rejected++
			m := f.next()
			if want := fmt.Sprintf("input #%d contained invalid data", n); m.Type != "error" || m.Code != "deserialization_failed" || !strings.HasPrefix(m.Context, want) {
				t.Errorf("%s: got %+v, want %q", row.Name, m, want)
			}
			continue
		}
		b, _ := hex.DecodeString(row.Payload)
		want, err := data.DecodeValue(b)
		if err != nil {
			t.Fatal(err)
		}
		for m := range sub.Messages(patient(t)) {
			got, err := m.Value()
			// The reference is off by a bit for some reals, and by more for one.
			if err != nil || m.Topic() != row.Topic || !got.Equal(want) && (got.Kind() != data.KindReal || want.Kind() != data.KindReal) {
				t.Errorf("%s: got %s %v, %v, want %s %v", row.Name, m.Topic(), got, err, row.Topic, want)
			}
			break
		}
	}
	if n != 109 || rejected != 11 {
		t.Errorf("%d inputs, %d rejected", n, rejected)
	}
	if info := s.Clients()[0]; info.Invalid != uint64(rejected) || info.Received != uint64(n-rejected) {
		t.Errorf("%+v", info)
	}
}

func TestBadInput(t *testing.T) {
	_, url := serve(t, newEndpoint(t))
	f, other := join(t, url), join(t, url, "/a")
	for i, c := range []struct{ text, code, context string }{
		{`{"type":"data-message"`, "deserialization_failed", "contained malformed JSON"},
		{``, "deserialization_failed", "contained malformed JSON"},
		{`["/topic"]`, "deserialization_failed", "contained invalid data"},
		{`{"type":"data-message","@data-type":"count","data":1}`, "deserialization_failed", "contained invalid data"},
		{`{"type":"ack","topic":"/a","@data-type":"count","data":1}`, "deserialization_failed", "contained invalid data"},
		{message("<$>/local/data/x", 1), "invalid_topic", "was not published"},
		{message(strings.Repeat("t", 1<<16), 1), "invalid_topic", "was not published"},
		{`{"type":"data-message","topic":"/a","@data-type":"vector","data":` + strings.Repeat(`[{"@data-type":"vector","data":`, 50_000), "deserialization_failed", "contained malformed JSON"},
	} {
		f.send(c.text)
		if m := f.next(); m.Type != "error" || m.Code != c.code || !strings.HasPrefix(m.Context, fmt.Sprintf("input #%d %s -> ", i+1, c.context)) {
			t.Errorf("%.80s: got %+v", c.text, m)
		}
	}
	if err := f.WriteMessage(websocket.BinaryMessage, []byte(message("/a", 1))); err != nil {
		t.Fatal(err)
	}
	if m := f.next(); m.Type != "error" || !strings.HasPrefix(m.Context, "input #9 is no text") {
		t.Errorf("binary: got %+v", m)
	}
	f.send(message("/a", 2))
	if m := other.next(); string(m.Data) != "2" {
		t.Errorf("got %+v", m)
	}
}

func TestBadTopics(t *testing.T) {
	_, url := serve(t, newEndpoint(t))
	long, _ := json.Marshal([]string{strings.Repeat("x", 1<<16)})
	many, _ := json.Marshal(make([]string, ours.MaxTopics+1))
	for _, c := range []struct{ text, code, context string }{
		{`["broken", "brrr`, "deserialization_failed", "subscriptions not an array"},
		{`null`, "deserialization_failed", "subscriptions not an array"},
		{`{}`, "deserialization_failed", "subscriptions not an array"},
		{message("/a", 1), "deserialization_failed", "subscriptions not an array"},
		{`[1, "/my_topic"]`, "deserialization_failed", "individual subscription not a string"},
		{`[null]`, "deserialization_failed", "individual subscription not a string"},
		{string(long), "invalid_topic", "topic of 65536 bytes"},
		{string(many), "invalid_topic", "4097 topics"},
		{`[""]`, "invalid_topic", `subscribing to "" would keep`},
		{`["/a","zeek/"]`, "invalid_topic", `subscribing to "zeek/" would keep`},
	} {
		f := dialForeign(t, url, nil)
		f.send(c.text)
		if m := f.next(); m.Type != "error" || m.Code != c.code || !strings.HasPrefix(m.Context, c.context) {
			t.Errorf("%.80s: got %+v", c.text, m)
		}
		f.closed(1008, c.code)
	}
	f := dialForeign(t, url, nil)
	f.send("[" + strings.Repeat(" ", ours.MaxTopicBytes) + "]")
	f.closed(1009, "")
	_, url = serve(t, newEndpoint(t), ours.AllowBlockingStores())
	join(t, url, "", "zeek/")
}

func TestApplicationName(t *testing.T) {
	_, url := serve(t, newEndpoint(t))
	for _, name := range []string{"a b", `x"y`, strings.Repeat("x", 129)} {
		f := dialForeign(t, url, http.Header{"X-Application-Name": {name}})
		if m := f.next(); m.Code != "invalid_application_name" || m.Context != "Invalid X-Application-Name" {
			t.Errorf("%q: got %+v", name, m)
		}
		f.closed(1008, "invalid_application_name")
	}
}

func TestNoTopics(t *testing.T) {
	s, url := serve(t, newEndpoint(t), ours.WithTopicsTimeout(10*time.Millisecond))
	f := dialForeign(t, url, nil)
	f.closed(1008, "no topics within 10ms")
	shutdown(t, s)
	if n := len(s.Clients()); n != 0 {
		t.Errorf("%d clients left", n)
	}
}

// A message is read no further than to the limit, however long it says it is.
func TestTooLarge(t *testing.T) {
	_, url := serve(t, newEndpoint(t), ours.WithMaxMessage(4096))
	other := join(t, url, "/a")
	f := join(t, url)
	head := string(data.AppendJSONMessage(nil, "/a", data.String("")))
	f.send(strings.Replace(head, `""`, `"`+strings.Repeat("x", 4096-len(head))+`"`, 1))
	if m := other.next(); len(m.Data) != 4096-len(head)+2 {
		t.Errorf("got %d bytes", len(m.Data))
	}
	// A frame that announces 1 GiB, and only begins.
	if _, err := f.UnderlyingConn().Write(append([]byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4}, make([]byte, 8192)...)); err != nil {
		t.Fatal(err)
	}
	f.closed(1009, "")
}

// All clients together receive large messages in bounded memory.
func TestReceiveMemory(t *testing.T) {
	s, url := serve(t, newEndpoint(t), ours.WithMaxMessage(1<<20), ours.WithMaxReceiveMemory(0))
	begin := func() *foreign {
		f := join(t, url)
		w, err := f.NextWriter(websocket.TextMessage)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, 600<<10)) // of which 512 KiB do not hold it
		return f
	}
	clients := []*foreign{begin(), begin(), begin()} // each wants 1 MiB, and there are 2
	errs := make(chan error)
	for _, f := range clients {
		go func() {
			_, _, err := f.ReadMessage()
			errs <- err
		}()
	}
	if err := <-errs; !websocket.IsCloseError(err, 1013) {
		t.Errorf("got %v", err)
	}
	for _, f := range clients {
		f.Close()
	}
	for range len(clients) - 1 {
		<-errs
	}
	shutdown(t, s)
	if st := s.Stats(); st.Accepted != 3 || st.Clients != 0 {
		t.Errorf("%+v", st)
	}
}

func TestRefused(t *testing.T) {
	ep := newEndpoint(t)
	open, url := serve(t, ep, ours.WithOrigins("https://dash.example.com", "https://*.example.org"))
	_, guarded := serve(t, ep, ours.WithToken("s3cret"), ours.WithMaxClients(1))
	host := strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), ours.Path)
	guardedHost := strings.TrimSuffix(strings.TrimPrefix(guarded, "ws://"), ours.Path)
	origin := func(s string) http.Header { return http.Header{"Origin": {s}} }
	token := func(s string) http.Header { return http.Header{"Authorization": {s}} }
	var conns []*websocket.Conn
	for _, c := range []struct {
		name, url string
		header    http.Header
		status    int
	}{
		{"no origin", url, nil, 101},
		{"own origin", url, origin("http://" + host), 101},
		{"listed origin", url, origin("https://dash.example.com"), 101},
		{"listed origin, case", url, origin("HTTPS://Dash.Example.com"), 101},
		{"listed pattern", url, origin("https://a.example.org"), 101},
		{"other origin", url, origin("https://evil.example"), 403},
		{"other scheme", url, origin("http://dash.example.com"), 403},
		{"other port", url, origin("http://127.0.0.1:1"), 403},
		{"null origin", url, origin("null"), 403},
		{"rebound name", url, http.Header{"Origin": {"http://evil.example"}, "Host": {"evil.example"}}, 403},
		{"other path", strings.TrimSuffix(url, "/json"), nil, 404},
		{"no token", guarded, nil, 401},
		{"wrong token", guarded, token("Bearer s3cre"), 401},
		{"other scheme of token", guarded, token("Basic s3cret"), 401},
		{"foreign origin with token", guarded, http.Header{"Authorization": {"Bearer s3cret"}, "Origin": {"http://evil.example"}}, 403},
		{"token", guarded, token("bearer s3cret"), 101},
		{"one client too many", guarded, token("Bearer s3cret"), 503},
	} {
		conn, resp, err := websocket.DefaultDialer.DialContext(patient(t), c.url, c.header)
		if conn != nil {
			conns = append(conns, conn)
		}
		if resp == nil || resp.StatusCode != c.status {
			t.Errorf("%s: got %+v, %v, want %d", c.name, resp, err, c.status)
		}
	}
	for _, u := range []string{"http://" + host + ours.Path, "http://" + guardedHost + ours.Path} {
		resp, err := http.Get(u)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("%s: got %s", u, resp.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	for _, conn := range conns {
		conn.Close()
	}
	shutdown(t, open)
	if st := open.Stats(); st.Clients != 0 || st.Accepted != 5 || st.Refused != 6 {
		t.Errorf("%+v", st)
	}
}

func TestListenRefusesOpenAddresses(t *testing.T) {
	ep := newEndpoint(t)
	if s, err := ours.Listen(t.Context(), ep, "0.0.0.0:0"); err == nil {
		shutdown(t, s)
		t.Error("served everybody")
	}
	for _, opt := range []ours.ServerOption{ours.AllowRemote(), ours.WithToken("x")} {
		s, err := ours.Listen(t.Context(), ep, "0.0.0.0:0", opt)
		if err != nil {
			t.Fatal(err)
		}
		shutdown(t, s)
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, opt := range []ours.ServerOption{
		ours.WithQueue(endpoint.QueueLimits{Policy: endpoint.Block}), ours.WithMaxClients(0), ours.WithMaxMessage(0),
		ours.WithPing(0, time.Second), ours.WithPing(2*time.Second, time.Second), ours.WithOrigins("[x"), ours.WithTopicsTimeout(0),
	} {
		if _, err := ours.NewHandler(newEndpoint(t), opt); err == nil {
			t.Errorf("accepted %v", opt)
		}
	}
	for _, opt := range []ours.ClientOption{
		ours.WithApplicationName("a b"), ours.WithBackoff(0, 0), ours.WithDialTimeout(0), ours.WithClientQueues(0, 0), ours.WithMaxMessage(0),
	} {
		if _, err := ours.Dial(t.Context(), "ws://127.0.0.1:1", nil, opt); err == nil || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("accepted: %v", err)
		}
	}
}

// A handler within somebody's own server.
func TestHandler(t *testing.T) {
	h, err := ours.NewHandler(newEndpoint(t))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	defer s.Close()
	f := join(t, "ws"+strings.TrimPrefix(s.URL, "http"), "/a")
	gone := make(chan error)
	go func() { gone <- h.Shutdown(patient(t)) }()
	f.closed(1001, "shutting down")
	if err := <-gone; err != nil {
		t.Error(err)
	}
	_, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.URL, "http"), nil)
	if err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestEndpointCloses(t *testing.T) {
	ep := newEndpoint(t)
	_, url := serve(t, ep)
	f := join(t, url, "/a")
	if err := ep.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	f.closed(1001, "shutting down")
}

// A client that answers nothing is cut when the context of Shutdown ends.
func TestShutdownCuts(t *testing.T) {
	s, url := serve(t, newEndpoint(t))
	f := join(t, url, "/a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("no error")
	}
	if n := len(s.Clients()); n != 0 {
		t.Errorf("%d clients left", n)
	}
	for {
		if _, _, err := f.ReadMessage(); err != nil {
			break
		}
	}
}

// A client that does not read holds up nobody, and what it misses is counted.
func TestSlowClient(t *testing.T) {
	ep := newEndpoint(t)
	s, url := serve(t, ep, ours.WithQueue(endpoint.QueueLimits{Messages: 100}))
	slow, fast := join(t, url, "/a"), join(t, url, "/a")
	dropped := func() uint64 { return s.Clients()[0].Dropped }
	big := data.String(strings.Repeat("x", 64<<10))
	n := 0
	for ; dropped() == 0; n++ {
		if _, err := ep.Publish(t.Context(), "/a", data.Vector(data.Count(uint64(n)), big)); err != nil {
			t.Fatal(err)
		}
		if m := fast.next(); !strings.HasPrefix(string(m.Data), fmt.Sprintf(`[{"@data-type":"count","data":%d}`, n)) {
			t.Fatalf("message %d: got %.80s", n, m.Data)
		}
		if n > 100_000 {
			t.Fatal("nothing dropped")
		}
	}
	// It reads again, and gets the newest.
	for {
		if m := slow.next(); strings.HasPrefix(string(m.Data), fmt.Sprintf(`[{"@data-type":"count","data":%d}`, n-1)) {
			break
		}
	}
}

func TestSlowClientDisconnected(t *testing.T) {
	ep := newEndpoint(t)
	s, url := serve(t, ep, ours.WithQueue(endpoint.QueueLimits{Messages: 100, Policy: endpoint.Disconnect}))
	f := join(t, url, "/a")
	big := data.String(strings.Repeat("x", 64<<10))
	for n := 0; s.Clients()[0].Dropped == 0; n++ {
		if _, err := ep.Publish(t.Context(), "/a", big); err != nil {
			t.Fatal(err)
		}
		if n > 1_000_000 {
			t.Fatal("nothing dropped")
		}
	}
	f.closed(1013, "queue overflow")
}

// Who neither sends nor takes anything is given up.
func TestPingTimeout(t *testing.T) {
	_, url := serve(t, newEndpoint(t), ours.WithPing(20*time.Millisecond, 200*time.Millisecond))
	f := join(t, url)
	f.SetPingHandler(func(string) error { return nil }) // reads pings and does not answer
	f.closed(1011, "ping timeout")
}

// Pings of the client are answered, and a live client is not given up.
func TestPings(t *testing.T) {
	_, url := serve(t, newEndpoint(t), ours.WithPing(10*time.Millisecond, 10*time.Second))
	f := join(t, url)
	pings, pong := 0, ""
	enough := func() {
		if pings >= 3 && pong != "" {
			f.SetReadDeadline(time.Now()) // ends the reading
		}
	}
	ping := f.PingHandler()
	f.SetPingHandler(func(s string) error { pings++; enough(); return ping(s) })
	f.SetPongHandler(func(s string) error { pong = s; enough(); return nil })
	if err := f.WriteControl(websocket.PingMessage, []byte("hello"), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.ReadMessage(); pong != "hello" || pings < 3 {
		t.Errorf("pong %q, %d pings, %v", pong, pings, err)
	}
}
