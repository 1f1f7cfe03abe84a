package store_test

import (
	"testing"
	"testing/synctest"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/memnet"
)

// A memNet is a network of hosts in memory, on which nodes live in a bubble of testing/synctest: a partition of
// 400 seconds takes them exactly, and costs nothing.
type memNet struct{ *memnet.Net }

// onMemNet runs a test in a bubble with a network of its own.
func onMemNet(t *testing.T, test func(t *testing.T, n *memNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, &memNet{memnet.New(256 << 10)}) })
}

// node returns a node on a host that has no other.
func (n *memNet) node(t testing.TB, host string, opts ...endpoint.Option) *endpoint.Endpoint {
	t.Helper()
	return node(t, append([]endpoint.Option{endpoint.WithListenFunc(n.Listen), endpoint.WithDialFunc(n.DialFrom(host))}, opts...)...)
}

// serve makes a node listen at its host.
func serve(t testing.TB, ep *endpoint.Endpoint, host string) {
	t.Helper()
	if _, err := ep.Listen(t.Context(), host+":1"); err != nil {
		t.Fatal(err)
	}
}

// peered makes a node keep peered with those on the hosts, and returns when nothing moves any more.
func peered(t testing.TB, ep *endpoint.Endpoint, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		if _, err := ep.Peer(host + ":1"); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
}
