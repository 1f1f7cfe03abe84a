package interop

import (
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

// A node as it is out of the box, with anonymous TLS: we dial it and it dials us, messages go both ways,
// and both go on after a restart.
func TestNodeByDefault(t *testing.T) {
	asBoth(t, func(t *testing.T, program string, id wire.EndpointID) {
		n := launchNode(t, program, "pong", freeAddr(t), asByDefault)
		e := newEndpoint(t, endpoint.WithID(id), endpoint.WithSecurity(endpoint.AnonymousTLS()))
		w := watch(t, e, nodeTopic)
		connect(t, e, n.addr)
		before := w.status(t, endpoint.PeerAdded)
		answers(t, e, w, nodeTopic)
		n.kill()
		if s := w.status(t, endpoint.PeerLost); s.Peer != before.Peer {
			t.Errorf("lost %v, had %v", s.Peer, before.Peer)
		}
		launchNode(t, program, "pong", n.addr, asByDefault)
		w.status(t, endpoint.PeerAdded)
		answers(t, e, w, nodeTopic)
	})
	withNodes(t, func(t *testing.T, program string) {
		e := newEndpoint(t, endpoint.WithSecurity(endpoint.AnonymousTLS()))
		w := watch(t, e)
		addr := listen(t, e)
		pipe := launchPipe(t, program, freeAddr(t), pipeDialing(addr), asByDefault)
		w.status(t, endpoint.PeerAdded)
		hears(t, e, pipe, "before")
		if err := e.Close(deadline(t)); err != nil {
			t.Fatal(err)
		}
		again := newEndpoint(t, endpoint.WithSecurity(endpoint.AnonymousTLS()))
		w = watch(t, again)
		if _, err := again.Listen(t.Context(), addr); err != nil {
			t.Fatal(err)
		}
		w.status(t, endpoint.PeerAdded)
		hears(t, again, pipe, "after")
	})
}
