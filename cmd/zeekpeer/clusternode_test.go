package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/roles"
	"github.com/zeekpeer/zeekpeer/endpoint/admin"
)

const testLayout = `zeek_version: 8.2
nodes:
  manager: {type: manager, address: 127.0.0.1, port: 1}
  logger-1: {type: logger, address: 127.0.0.1, port: 2}
  worker-1: {type: worker, address: 127.0.0.1, interface: eth0}
  worker-2: {type: worker, address: 127.0.0.1, port: 3}
stores:
  hosts: {backend: memory}
`

func parseLayout(t *testing.T, text string) *layout.Layout {
	t.Helper()
	l, err := layout.ParseNative("cluster.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestChangedLayout: what is otherwise than it was, and what it means for a worker.
func TestChangedLayout(t *testing.T) {
	was := parseLayout(t, testLayout)
	for _, c := range []struct {
		old, new string
		want     []string // those that want a restart have a ! before them
	}{
		{"", "", nil},
		{"8.2", "7.2", []string{"!the version of Zeek was 8.2, is 7.2"}},
		{"eth0", "eth1", []string{"interface of worker-1 was eth0, is eth1"}},
		{"port: 2", "port: 5", []string{"!port of logger-1 was 2/tcp, is 5/tcp"}},
		{"port: 3", "port: 5", []string{"port of worker-2 was 3/tcp, is 5/tcp"}},
		{"interface: eth0", "port: 9", []string{"interface of worker-1 was eth0, is unset", "!port of worker-1 was unset, is 9/tcp"}},
		{"worker-2:", "worker-3:", []string{"!node worker-2 is gone", "!node worker-3 is new"}},
		{"  worker-2: {type: worker", "  worker-2: {type: proxy", []string{"!type of worker-2 was worker, is proxy"}},
		{"memory", "sqlite", []string{"!store hosts is another"}},
		{"  hosts", "  guests", []string{"!store guests is new", "!store hosts is gone"}},
		{"stores:", "options:\n  retry_interval: 5s\nstores:", []string{"!option retry_interval was 1s, is 5s"}},
	} {
		changes, err := changedLayout(was, parseLayout(t, strings.Replace(testLayout, c.old, c.new, 1)), "worker-1")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, change := range changes {
			mark := ""
			if change.restart {
				mark = "!"
			}
			got = append(got, mark+change.text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q for %q: %q, want %q", c.new, c.old, got, c.want)
		}
	}
}

// TestNotify: systemd is told, if it is there, in one datagram.
func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := notify("READY=1"); err != nil {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	t.Setenv("NOTIFY_SOCKET", path)
	if err := notify("READY=1"); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET: ") {
		t.Error(err)
	}
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	if err := notify("RELOADING=1", monotonicTime()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	systemd.SetReadDeadline(time.Now().Add(patience))
	n, err := systemd.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	var usec uint64
	if _, err := fmt.Sscanf(string(b[:n]), "RELOADING=1\nMONOTONIC_USEC=%d", &usec); monotonicTime() != "" && (err != nil || usec == 0) {
		t.Errorf("%q: %v", b[:n], err)
	}
}

// TestStatusPage: the status is JSON, with stores, at one address and no other, on loopback only, and at the admin
// socket.
func TestStatusPage(t *testing.T) {
	n, err := cluster.New(parseLayout(t, testLayout), "manager")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	if _, err := n.CreateStore("hosts", false); err != nil {
		t.Fatal(err)
	}
	var role roles.State
	var told strings.Builder
	at, stop, err := serveStatus("127.0.0.1:0", clusterStatus(n, &role), &told)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	socket := filepath.Join(t.TempDir(), "s")
	a, err := admin.Serve(n.Endpoint(), socket, clusterStatus(n, &role))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	unix := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	get := func(client *http.Client, path string) (int, []byte) {
		r, err := client.Get("http://" + at.String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, text
	}
	for _, client := range []*http.Client{&client, &unix} {
		code, text := get(client, "/v1/cluster")
		var s nodeStatus
		if err := json.Unmarshal(text, &s); err != nil || code != http.StatusOK {
			t.Fatalf("%d, %s: %v", code, text, err)
		}
		if s.Name != "manager" || s.Layout != "cluster.yaml" || s.Zeek != "8.2" || s.Program == "" || len(s.Nodes) != 3 || len(s.Stores) != 1 || s.Stores[0].Role != "master" || !s.Stores[0].Ready {
			t.Errorf("%s", text)
		}
	}
	if code, _ := get(&client, "/"); code != http.StatusNotFound {
		t.Errorf("code %d", code)
	}
	if want := "status at http://" + at.String() + "/v1/cluster\n"; told.String() != want {
		t.Errorf("told %q, want %q", &told, want)
	}
	if _, _, err := serveStatus(at.String(), clusterStatus(n, &role), io.Discard); err == nil || !strings.Contains(err.Error(), "--status-http "+at.String()) {
		t.Error(err)
	}
	for addr, ok := range map[string]bool{"127.0.0.1:0": true, "[::1]:80": true, "localhost:80": true, ":80": false, "0.0.0.0:80": false, "10.0.0.1:80": false, "127.0.0.1": false, "example.com:80": false} {
		if err := checkLoopback(addr); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
