package endpoint_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// runWatcher prints the statuses and the answers that it gets. Whoever becomes a peer is asked at once.
func runWatcher(args []string) {
	ping, err := time.ParseDuration(args[2])
	if err != nil {
		panic(err)
	}
	timeout, err := time.ParseDuration(args[3])
	if err != nil {
		panic(err)
	}
	id, err := wire.ParseEndpointID(args[4])
	if err != nil {
		panic(err)
	}
	e, err := endpoint.New(endpoint.WithSecurity(endpoint.PlainTCP()), endpoint.WithID(id), endpoint.WithPing(ping, timeout), endpoint.WithRetry(ping), endpoint.WithDialTimeout(timeout))
	if err != nil {
		panic(err)
	}
	sub, err := e.Subscribe([]string{"/answer"}, endpoint.WithStatus())
	if err != nil {
		panic(err)
	}
	var opts []endpoint.PeerOption
	if args[1] != "-" {
		opts = append(opts, endpoint.InZone(args[1]))
	}
	if _, err := e.Peer(args[0], opts...); err != nil {
		panic(err)
	}
	for ev := range sub.Events(context.Background()) {
		if ev.Status == nil {
			v, err := ev.Message.Value()
			fmt.Println("answer", ev.Message.Sender(), v, err)
			continue
		}
		fmt.Println(ev.Status)
		if ev.Status.Code == endpoint.PeerAdded {
			e.Publish(context.Background(), "/ask/"+id.String(), data.None())
		}
	}
}

// awaitLine reads what a process prints up to a line that contains all of parts.
func (p *process) awaitLine(t *testing.T, parts ...string) string {
	t.Helper()
	timer := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	var seen []string
	for {
		line, err := p.out.ReadString('\n')
		if err != nil {
			t.Fatalf("no line with %q among\n%s", parts, strings.Join(seen, ""))
		}
		seen = append(seen, line)
		matches := 0
		for _, part := range parts {
			if strings.Contains(line, part) {
				matches++
			}
		}
		if matches == len(parts) {
			return strings.TrimSpace(line)
		}
	}
}

// Loopback is an address of IPv6, too.
func TestIPv6Loopback(t *testing.T) {
	a, b := newEndpoint(t), newEndpoint(t)
	addr, err := a.Listen(t.Context(), "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	sub := subscribe(t, b, []string{"/x"})
	p := connect(t, b, addr.String())
	if host, _, err := net.SplitHostPort(p.Addr()); host != "::1" || err != nil {
		t.Errorf("address %q", p.Addr())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.WaitPeers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	publish(t, a, "/x", 1, 1)
	for m := range sub.Messages(ctx) {
		if count(t, m) != 1 {
			t.Error("another message")
		}
		return
	}
	t.Error("no message")
}

// A zone is added to a link-local address that has none, and to nothing else.
func TestInZone(t *testing.T) {
	node := newEndpoint(t, endpoint.WithDialFunc(func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }))
	for _, c := range []struct{ addr, zone, want string }{
		{"[fe80::1]:9999", "eth0", "[fe80::1%eth0]:9999"},
		{"[fe80::1%eth1]:9999", "eth0", "[fe80::1%eth1]:9999"},
		{"[fe80::1]:9999", "", "[fe80::1]:9999"},
		{"127.0.0.1:9999", "eth0", "127.0.0.1:9999"},
		{"zeek.example:9999", "eth0", "zeek.example:9999"},
	} {
		p, err := node.Peer(c.addr, endpoint.InZone(c.zone))
		if err != nil {
			t.Fatal(err)
		}
		if p.Addr() != c.want {
			t.Errorf("%s in zone %q: %s, want %s", c.addr, c.zone, p.Addr(), c.want)
		}
	}
	for _, addr := range []string{"", "127.0.0.1", "fe80::1:9999:x", "[fe80::1]"} {
		if _, err := node.Peer(addr); err == nil {
			t.Errorf("%q accepted", addr)
		}
	}
}

// Two hosts are two network namespaces with a cable between them.
type twoHosts struct{ left, right string } // names of namespaces, and of the interface in each

// inside returns the command that runs something in a namespace.
func inside(host string) []string { return []string{"ip", "netns", "exec", host} }

// newTwoHosts makes two namespaces, or skips the test if it may not. The left one has the address
// fe80::1, the right one fe80::2.
func newTwoHosts(t *testing.T) twoHosts {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("making network namespaces needs ip: %v", err)
	}
	id := wire.NewEndpointID()
	name := fmt.Sprintf("zp%x", id[:5])
	h := twoHosts{name + "l", name + "r"}
	for _, host := range []string{h.left, h.right} {
		if out, err := exec.Command("ip", "netns", "add", host).CombinedOutput(); err != nil {
			t.Skipf("this system makes no network namespaces: %v: %s", err, out)
		}
		t.Cleanup(func() { ip(t, "netns", "del", host) })
	}
	ip(t, "-n", h.left, "link", "add", h.left, "type", "veth", "peer", "name", h.right, "netns", h.right)
	for i, host := range []string{h.left, h.right} {
		ip(t, "-n", host, "link", "set", host, "up")
		ip(t, "-n", host, "addr", "add", fmt.Sprintf("fe80::%d/64", i+1), "dev", host, "nodad")
	}
	return h
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// Nodes on two hosts peer over link-local addresses, whose zone stands in the address or in an option.
func TestLinkLocal(t *testing.T) {
	t.Parallel()
	h := newTwoHosts(t)
	id := wire.NewEndpointID()
	node := startRole(t, inside(h.left), "node", fmt.Sprintf("[fe80::1%%%s]:0", h.left), id.String())
	_, port, err := net.SplitHostPort(strings.TrimPrefix(node.line(t), "ready "))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ host, zone string }{
		{"fe80::1%" + h.right, "-"},
		{"fe80::1", h.right},
	} {
		own := wire.NewEndpointID()
		watcher := startRole(t, inside(h.right), "watcher", net.JoinHostPort(c.host, port), c.zone, "1s", "3s", own.String())
		watcher.awaitLine(t, "peer_added", fmt.Sprintf("[fe80::1%%%s]:%s", h.right, port), id.String())
		watcher.awaitLine(t, "answer", id.String(), "/ask/"+own.String())
		watcher.kill()
	}
}

// A peer whose host vanished is lost by the silence, and when it is there again the two peer again,
// though the host that vanished never noticed.
func TestHostVanishes(t *testing.T) {
	t.Parallel()
	h := newTwoHosts(t)
	id, own := wire.NewEndpointID(), wire.NewEndpointID()
	node := startRole(t, inside(h.left), "node", fmt.Sprintf("[fe80::1%%%s]:0", h.left), id.String())
	_, port, err := net.SplitHostPort(strings.TrimPrefix(node.line(t), "ready "))
	if err != nil {
		t.Fatal(err)
	}
	watcher := startRole(t, inside(h.right), "watcher", net.JoinHostPort("fe80::1%"+h.right, port), "-", "100ms", "300ms", own.String())
	for range 2 {
		watcher.awaitLine(t, "peer_added", id.String())
		watcher.awaitLine(t, "answer", id.String(), "/ask/"+own.String())
		ip(t, "-n", h.left, "link", "set", h.left, "down")
		watcher.awaitLine(t, "peer_lost", id.String(), endpoint.ErrTimeout.Error())
		ip(t, "-n", h.left, "link", "set", h.left, "up")
		ip(t, "-n", h.left, "addr", "replace", "fe80::1/64", "dev", h.left, "nodad")
	}
	watcher.awaitLine(t, "answer", id.String(), "/ask/"+own.String())
}
