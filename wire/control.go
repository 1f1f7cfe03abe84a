package wire

// AppendRoutingUpdate appends the message with which a node tells its peer receiver what it
// subscribes to from now on. It replaces what it said before.
func AppendRoutingUpdate(dst []byte, sender, receiver EndpointID, filter []string) []byte {
	start := len(dst)
	dst = AppendEnvelopeHeader(dst, sender, receiver, TypeRoutingUpdate, DefaultTTL, ControlTopic)
	return EndFrame(AppendFilter(dst, filter), start)
}

// AppendPing appends a ping, which the peer receiver answers with a pong of the same payload.
func AppendPing(dst []byte, sender, receiver EndpointID, payload []byte) []byte {
	return appendControl(dst, TypePing, sender, receiver, payload)
}

// AppendPong appends the answer to a ping.
func AppendPong(dst []byte, sender, receiver EndpointID, payload []byte) []byte {
	return appendControl(dst, TypePong, sender, receiver, payload)
}

func appendControl(dst []byte, t MessageType, sender, receiver EndpointID, payload []byte) []byte {
	start := len(dst)
	dst = AppendEnvelopeHeader(dst, sender, receiver, t, DefaultTTL, ControlTopic)
	return EndFrame(append(dst, payload...), start)
}

// byeMark begins the payload of the ping with which a node says that it leaves.
const byeMark = "BYE"

// ByeLen is the number of bytes of a payload that says BYE: the mark and a token.
const ByeLen = len(byeMark) + 8

// AppendBye appends the payload of the ping with which a node leaves. The peer's pong tells that it
// has everything that was sent before.
func AppendBye(dst []byte, token [8]byte) []byte {
	return append(append(dst, byeMark...), token[:]...)
}

// IsBye tells whether the payload of a ping or pong says BYE.
func IsBye(payload []byte) bool {
	return len(payload) == ByeLen && string(payload[:len(byeMark)]) == byeMark
}
