package websocket_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/zeekpeer/zeekpeer/endpoint"
	ours "github.com/zeekpeer/zeekpeer/endpoint/websocket"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// Rules say which topics a client gets and what it may publish. What it must not do is answered by an error and
// counted, and the connection stays.
func TestAccess(t *testing.T) {
	ep := newEndpoint(t)
	s, url := serve(t, ep, ours.WithAccess(func(r *http.Request) endpoint.Access {
		switch r.Header.Get("X-Application-Name") {
		case "stranger":
			return endpoint.Access{Refuse: true}
		case "reader":
			return endpoint.Access{Subscribe: []string{"/a/open/", "/b/"}, Publish: []string{}}
		case "writer":
			return endpoint.Access{Subscribe: []string{}, Publish: []string{"/a/open/"}, NoLogs: true}
		}
		return endpoint.Access{}
	}))
	as := func(name string) http.Header { return http.Header{"X-Application-Name": {name}} }
	if _, resp, err := websocket.DefaultDialer.Dial(url, as("stranger")); err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a stranger got in: %v", err)
	}
	admin := join(t, url, "/a", "/b", "/c")
	reader := dialForeign(t, url, as("reader"))
	reader.send(`["/a","/b/x","/c"]`)
	if m := reader.next(); m.Type != "ack" {
		t.Fatalf("got %+v", m)
	}
	if m := reader.next(); m.Type != "error" || m.Code != "not_allowed" || m.Context != `not allowed to subscribe under "/a"` {
		t.Errorf("got %+v", m)
	}
	if info := s.Clients()[1]; fmt.Sprint(info.Topics) != "[/a/open/ /b/x]" || info.Denied != 1 || info.Invalid != 0 {
		t.Errorf("%+v", info)
	}
	reader.send(message("/a/open/x", 1))
	if m := reader.next(); m.Code != "not_allowed" || m.Context != `input #1 was not published -> not allowed to publish data under "/a/open/x"` {
		t.Errorf("got %+v", m)
	}

	writer := dialForeign(t, url, as("writer"))
	writer.send(`[]`)
	if m := writer.next(); m.Type != "ack" {
		t.Fatalf("got %+v", m)
	}
	row := data.Vector(data.Count(zeek.Version), data.Count(uint64(zeek.TypeLogWrite)), data.Vector())
	writer.send(message("/a/secret", 2))
	writer.send(string(data.AppendJSONMessage(nil, "/a/open/x", row)))
	writer.send(message("/a/open/x", 3))
	if m := writer.next(); !strings.HasSuffix(m.Context, `not allowed to publish data under "/a/secret"`) {
		t.Errorf("got %+v", m)
	}
	if m := writer.next(); m.Code != "not_allowed" || !strings.HasSuffix(m.Context, `not allowed to write logs under "/a/open/x"`) {
		t.Errorf("got %+v", m)
	}
	for _, c := range []*foreign{admin, reader} {
		if m := c.next(); m.Topic != "/a/open/x" || string(m.Data) != "3" {
			t.Errorf("got %+v", m)
		}
	}
	admin.send(message("/a/secret", 4))
	admin.send(message("/b/x", 5))
	if m := reader.next(); m.Topic != "/b/x" || string(m.Data) != "5" {
		t.Errorf("got %+v", m)
	}
	for _, c := range []*foreign{admin, reader, writer} {
		c.Close()
	}
	shutdown(t, s)
	if st := s.Stats(); st.Denied != 4 || st.Invalid != 0 || st.Refused != 1 || st.Received != 3 {
		t.Errorf("%+v", st)
	}
}
