package endpoint

import (
	"bytes"
	"encoding/binary"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A Message is what a subscription receives. It points into memory that is used again: outside the
// loop iteration that it came with it is garbage, unless it is a [Message.Clone]. The topic, and what
// Value, Event and the like decode, may be kept.
type Message struct {
	topic   string
	body    []byte // the frame, without its length
	payload int    // where the payload begins
}

// Topic returns the topic of the message.
func (m Message) Topic() string { return m.topic }

// Sender returns the id of the peer that the message came from. With forwarding that need not be the
// node that published it.
func (m Message) Sender() wire.EndpointID { return wire.EndpointID(m.body[:wire.IDLen]) }

// Direct tells whether the message was addressed to this node alone.
func (m Message) Direct() bool {
	return wire.EndpointID(m.body[wire.ReceiverOffset:wire.TypeOffset]) != wire.EndpointID{}
}

// Type returns what the payload is: data, or a command of a store.
func (m Message) Type() wire.MessageType { return wire.MessageType(m.body[wire.TypeOffset]) }

// Payload returns the encoded value (or store command) as it was received. Nothing has checked it.
func (m Message) Payload() []byte { return m.body[m.payload:] }

// Len returns the number of bytes of the message on the wire, its length included.
func (m Message) Len() int { return len(m.body) + wire.FrameHeaderLen }

// Value decodes the payload. The error says what is wrong with it and where.
func (m Message) Value() (data.Value, error) { return data.DecodeValue(m.Payload()) }

// Event decodes the payload as an event of Zeek.
func (m Message) Event() (zeek.Event, error) { return zeek.ParseEvent(m.Payload()) }

// EventView reads the payload as an event of Zeek without building a tree. Like the message it is
// valid within the loop iteration.
func (m Message) EventView() (zeek.EventView, error) { return zeek.ParseEventView(m.Payload()) }

// Clone returns a copy that may be kept.
func (m Message) Clone() Message {
	m.body = bytes.Clone(m.body)
	return m
}

// messageAt returns the first message in b, which holds whole frames, and its length. last is the
// topic of the message before, which very often is this one's too.
func messageAt(b []byte, last string) (m Message, n int) {
	n = frameLen(b)
	body := b[wire.FrameHeaderLen:n:n]
	end := wire.EnvelopeHeaderLen + int(binary.BigEndian.Uint16(body[wire.TopicLenOffset:]))
	name := body[wire.EnvelopeHeaderLen:end]
	if string(name) != last {
		last = string(name)
	}
	return Message{topic: last, body: body, payload: end}, n
}
