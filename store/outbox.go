package store

import (
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

// An outbox holds the commands that are to be sent when a batch is done with.
type outbox struct {
	event []byte // room to encode one
	bytes []byte
	sends []send
}

type send struct {
	to  wire.EndpointID // zero: all
	end int             // of the command in bytes; it begins where the one before ends
}

// maxSpare is how much memory an outbox keeps for later.
const maxSpare = 4 << 20

// add queues a command, given as header and kind with fields.
func (o *outbox) add(to wire.EndpointID, seq uint64, sender, receiver wire.EntityID, event []byte) {
	o.bytes = append(wire.AppendCommandHeader(o.bytes, seq, sender, receiver), event...)
	o.sends = append(o.sends, send{to, len(o.bytes)})
}

// flush sends what is queued. What a peer's queue has no room for is lost, as on the network, and asked
// for again.
func (o *outbox) flush(ep *endpoint.Endpoint, topic string) {
	at := 0
	for _, s := range o.sends {
		payload := o.bytes[at:s.end]
		at = s.end
		if s.to.IsZero() {
			_, _ = ep.PublishCommand(topic, payload)
		} else {
			_, _ = ep.PublishCommandTo(s.to, topic, payload, nil)
		}
	}
	o.discard()
}

// discard forgets what is queued.
func (o *outbox) discard() {
	o.sends, o.bytes = o.sends[:0], o.bytes[:0]
	if cap(o.bytes) > maxSpare {
		o.bytes = nil
	}
}
