package store

import (
	"iter"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

// An outbox holds the commands that are to be sent when a batch is done with.
type outbox struct {
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
	for i := 0; i < len(o.sends); {
		to := o.sends[i].to
		if to.IsZero() {
			_, _ = ep.PublishCommand(topic, o.bytes[at:o.sends[i].end])
			at = o.sends[i].end
			i++
			continue
		}
		from, first := at, i
		for i < len(o.sends) && o.sends[i].to == to && at-from < maxTogether {
			at = o.sends[i].end
			i++
		}
		_, _ = ep.PublishCommandsTo(to, topic, o.payloads(from, o.sends[first:i]))
	}
	o.discard()
}

// payloads returns commands that stand side by side, the first one from a place on.
func (o *outbox) payloads(at int, sends []send) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, s := range sends {
			if !yield(o.bytes[at:s.end]) {
				return
			}
			at = s.end
		}
	}
}

// maxTogether is about how many bytes are queued for one peer at once.
const maxTogether = 256 << 10

// discard forgets what is queued.
func (o *outbox) discard() {
	o.sends, o.bytes = o.sends[:0], o.bytes[:0]
	if cap(o.bytes) > maxSpare {
		o.bytes = nil
	}
}
