package endpoint

import "sync/atomic"

// DropReason says why a message was lost.
type DropReason uint8

// Why messages are lost.
const (
	DropQueueFull      DropReason = iota // the queue of the peer was full
	DropForgedSender                     // the sender field named another node than the peer
	DropMalformed                        // not an envelope, or not a routing update, or too large for its type
	DropInvalidPayload                   // to be forwarded, and not a value
	DropTTL                              // to be forwarded, and its TTL used up
	DropNotForUs                         // addressed to another node, and forwarding off or that node not a peer
	DropNoSubscriber                     // nobody here is subscribed to the topic
	DropPongFlood                        // a pong not sent: the peer asks for more than it reads, or for more than 1 MiB
	DropSubscriberFull                   // the queue of a subscription of this process was full
	DropPeeringEnded                     // queued, or being written, when the peering ended
	DropNotAllowed                       // by the access rules; subscriptions count as one each time
	numDropReasons     = iota
)

var dropNames = [...]string{
	"queue full", "forged sender", "malformed", "invalid payload", "ttl used up", "not for us",
	"no subscriber", "pong flood", "subscriber full", "peering ended",
	"not allowed",
}

// String returns the reason in words.
func (r DropReason) String() string {
	if int(r) < len(dropNames) {
		return dropNames[r]
	}
	return "unknown"
}

// counters counts the traffic with one peer.
type counters struct {
	framesIn, bytesIn   atomic.Uint64
	framesOut, bytesOut atomic.Uint64
	drops               [numDropReasons]atomic.Uint64
}

func (c *counters) drop(r DropReason, n int) {
	if n > 0 {
		c.drops[r].Add(uint64(n))
	}
}
