package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MessageType says what the payload of an envelope is.
type MessageType uint8

// The types of messages between peers (PROTOCOL.md section 4).
const (
	TypeData          MessageType = 1
	TypeCommand       MessageType = 2
	TypeRoutingUpdate MessageType = 3
	TypePing          MessageType = 4
	TypePong          MessageType = 5
)

var messageNames = [...]string{"invalid", "data", "command", "routing_update", "ping", "pong"}

// String returns the name of the type.
func (t MessageType) String() string {
	if int(t) < len(messageNames) {
		return messageNames[t]
	}
	return fmt.Sprintf("unknown message type %d", uint8(t))
}

// DefaultTTL is the TTL that nodes put on what they publish.
const DefaultTTL = 16

// MaxTopicLen is the longest topic that fits an envelope.
const MaxTopicLen = 1<<16 - 1

// ControlTopic is the topic of routing updates, pings and pongs.
const ControlTopic = "<$>"

// Where the fields of an envelope stand in the body of its frame.
const (
	ReceiverOffset = IDLen
	TypeOffset     = 2 * IDLen
	TTLOffset      = TypeOffset + 1
	TopicLenOffset = TTLOffset + 2
	// EnvelopeHeaderLen is what stands before the topic.
	EnvelopeHeaderLen = TopicLenOffset + 2
)

// An Envelope is a message between peers. What [ParseEnvelope] returns shares the memory of the
// frame.
type Envelope struct {
	Sender   EndpointID // the last hop
	Receiver EndpointID // zero: everyone whose filter matches
	Type     MessageType
	TTL      uint16
	Topic    []byte
	Payload  []byte
}

// ErrEnvelope says that a frame is no envelope. A node drops such a frame and keeps the connection.
var ErrEnvelope = errors.New("malformed envelope")

// ParseEnvelope parses the body of a frame. It does not look into the payload.
func ParseEnvelope(body []byte) (e Envelope, err error) {
	if len(body) < EnvelopeHeaderLen {
		return e, fmt.Errorf("%w: %d bytes, at least %d wanted", ErrEnvelope, len(body), EnvelopeHeaderLen)
	}
	e = Envelope{
		Sender:   EndpointID(body[:IDLen]),
		Receiver: EndpointID(body[ReceiverOffset:TypeOffset]),
		Type:     MessageType(body[TypeOffset]),
		TTL:      binary.BigEndian.Uint16(body[TTLOffset:]),
	}
	if e.Type < TypeData || e.Type > TypePong {
		return e, fmt.Errorf("%w: %v", ErrEnvelope, e.Type)
	}
	topicLen := int(binary.BigEndian.Uint16(body[TopicLenOffset:]))
	rest := body[EnvelopeHeaderLen:]
	if topicLen > len(rest) {
		return e, fmt.Errorf("%w: topic of %d bytes announced, %d left", ErrEnvelope, topicLen, len(rest))
	}
	e.Topic, e.Payload = rest[:topicLen:topicLen], rest[topicLen:]
	return e, nil
}

// AppendEnvelope appends the message as a frame. The topic must not be longer than [MaxTopicLen].
func AppendEnvelope(dst []byte, e Envelope) []byte {
	start := len(dst)
	dst = AppendEnvelopeHeader(dst, e.Sender, e.Receiver, e.Type, e.TTL, string(e.Topic))
	return EndFrame(append(dst, e.Payload...), start)
}

// AppendEnvelopeHeader begins a frame and appends what stands before the payload. The caller appends
// the payload and calls [EndFrame].
func AppendEnvelopeHeader(dst []byte, sender, receiver EndpointID, t MessageType, ttl uint16, topic string) []byte {
	dst = BeginFrame(dst)
	dst = append(dst, sender[:]...)
	dst = append(dst, receiver[:]...)
	dst = append(dst, byte(t), byte(ttl>>8), byte(ttl), byte(len(topic)>>8), byte(len(topic)))
	return append(dst, topic...)
}
