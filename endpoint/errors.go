package endpoint

import (
	"errors"
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire"
)

var (
	// ErrClosed says that the endpoint, the subscription or the peering has ended.
	ErrClosed = errors.New("closed")
	// ErrFull says that a queue with the policy [Block] had no room in time.
	ErrFull = errors.New("queue full")
	// ErrOverflow says that a queue with the policy [Disconnect] ran over.
	ErrOverflow = errors.New("queue overflow")
	// ErrTimeout says that a peer did not answer in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrReplaced says that a peering was given up for a new connection of the same node, since it no
	// longer answered.
	ErrReplaced = errors.New("replaced by a new connection of the same node")
	// ErrNotPeered says that a node is no peer, or no longer one.
	ErrNotPeered = errors.New("not a peer")
	// ErrBye says that the other node took leave.
	ErrBye = errors.New("the peer took leave")
	// ErrTopic says that a topic cannot be used.
	ErrTopic = errors.New("invalid topic")
	// ErrMemory says that the peers together sent messages larger than the memory set aside for them.
	ErrMemory = errors.New("receive memory exhausted")
	// ErrForeign says that whoever is at the other end is no Broker node, or one with another
	// security than this one.
	ErrForeign = errors.New("not a Broker node that protects connections as this one does")
	// ErrTooLarge says that a message is larger than peers accept, which is what this node accepts.
	ErrTooLarge = errors.New("message too large")
	// ErrSubscribed says that this node has such a subscription already. See [Alone].
	ErrSubscribed = errors.New("subscribed already")
	// ErrReadOnly says that this node was made not to publish.
	ErrReadOnly = errors.New("this node is read-only")
	// ErrNotWelcome says that the access rules refuse a peer.
	ErrNotWelcome = errors.New("not welcome by the access rules")
	// ErrTooManyPeers says that there are as many peers as there may be.
	ErrTooManyPeers = errors.New("too many peers")
)

// A PeerError says what went wrong with which peer.
type PeerError struct {
	Addr string          // its address, as given or as seen
	ID   wire.EndpointID // zero if it did not come to know each other
	Op   string          // "dial", "handshake", "read", "write"
	Err  error
}

func (e *PeerError) Error() string {
	if e.ID.IsZero() {
		return fmt.Sprintf("%s %s: %v", e.Op, e.Addr, e.Err)
	}
	return fmt.Sprintf("%s %s (%v): %v", e.Op, e.Addr, e.ID, e.Err)
}

func (e *PeerError) Unwrap() error { return e.Err }

// A BlocksStoresError warns that a subscription keeps real nodes from creating stores: a node refuses
// to be the master of a store if a peer is subscribed to a prefix of that store's topics
// (STORE.md section 1.5).
type BlocksStoresError struct{ Topic string }

func (e *BlocksStoresError) Error() string {
	return fmt.Sprintf("subscribing to %q keeps peers from creating stores whose topics begin so; subscribe to a longer topic or allow it with endpoint.AllowBlockingStores", e.Topic)
}
