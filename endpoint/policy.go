package endpoint

import (
	"fmt"
	"time"
)

// Policy says what becomes of a message for which a queue has no room.
type Policy uint8

const (
	// DropOldest drops what waits longest, as Zeek 7.2 and later do.
	DropOldest Policy = iota
	// DropNewest drops the message that does not fit.
	DropNewest
	// Disconnect ends the peering, as Broker does by default; for a subscription it ends that.
	Disconnect
	// Block makes whoever brings the message wait. For the queue of a peer these are the publishers
	// of this process, each as long as its context allows and QueueLimits.BlockTimeout at the most.
	// For a subscription it is the reading from the peer that brings the message: nothing is read
	// from that peer until there is room, for no subscriber, and its pings go unanswered as long.
	// Messages that are forwarded never wait: for them Block is DropNewest.
	Block
)

var policyNames = [...]string{"drop_oldest", "drop_newest", "disconnect", "block"}

// String returns the name that Broker's options use: "drop_oldest", "drop_newest", "disconnect"; or
// "block".
func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// QueueLimits bound a queue in messages and in bytes of memory, and say what happens at the bound.
type QueueLimits struct {
	Messages     int           // 8192 if zero, as in Zeek
	Bytes        int           // 64 MiB if zero
	Policy       Policy        //
	BlockTimeout time.Duration // how long Block waits at the most; 30 s if zero
}

// The bounds of a queue that nobody set. A peer's are those of Zeek 7.2 and later.
const (
	DefaultQueueMessages = 8192
	DefaultQueueBytes    = 64 << 20
	DefaultBlockTimeout  = 30 * time.Second
)

func (l QueueLimits) withDefaults() (QueueLimits, error) {
	if l.Messages < 0 || l.Bytes < 0 || l.BlockTimeout < 0 {
		return l, fmt.Errorf("queue limits %d messages, %d bytes, %v: none may be negative", l.Messages, l.Bytes, l.BlockTimeout)
	}
	if l.Policy > Block {
		return l, fmt.Errorf("queue policy %v: want drop_oldest, drop_newest, disconnect or block", l.Policy)
	}
	if l.Messages == 0 {
		l.Messages = DefaultQueueMessages
	}
	if l.Bytes == 0 {
		l.Bytes = DefaultQueueBytes
	}
	if l.BlockTimeout == 0 {
		l.BlockTimeout = DefaultBlockTimeout
	}
	return l, nil
}
