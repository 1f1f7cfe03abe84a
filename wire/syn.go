package wire

// OriginatorSyn announces the filter of the originator.
type OriginatorSyn struct{ Filter []string }

// HandshakeType returns TypeOriginatorSyn.
func (OriginatorSyn) HandshakeType() HandshakeType { return TypeOriginatorSyn }

// AppendFrame appends the message as a frame.
func (s OriginatorSyn) AppendFrame(dst []byte) []byte {
	start := len(dst)
	return EndFrame(AppendFilter(beginHandshake(dst, TypeOriginatorSyn), s.Filter), start)
}

func parseOriginatorSyn(b []byte) (OriginatorSyn, error) {
	filter, err := ParseFilter(b)
	return OriginatorSyn{Filter: filter}, err
}

// ResponderSynAck answers [OriginatorSyn] with the filter of the responder.
type ResponderSynAck struct{ Filter []string }

// HandshakeType returns TypeResponderSynAck.
func (ResponderSynAck) HandshakeType() HandshakeType { return TypeResponderSynAck }

// AppendFrame appends the message as a frame.
func (s ResponderSynAck) AppendFrame(dst []byte) []byte {
	start := len(dst)
	return EndFrame(AppendFilter(beginHandshake(dst, TypeResponderSynAck), s.Filter), start)
}

func parseResponderSynAck(b []byte) (ResponderSynAck, error) {
	filter, err := ParseFilter(b)
	return ResponderSynAck{Filter: filter}, err
}

// OriginatorAck ends the handshake: both sides are peered.
type OriginatorAck struct{}

// HandshakeType returns TypeOriginatorAck.
func (OriginatorAck) HandshakeType() HandshakeType { return TypeOriginatorAck }

// AppendFrame appends the message as a frame.
func (OriginatorAck) AppendFrame(dst []byte) []byte {
	start := len(dst)
	return EndFrame(beginHandshake(dst, TypeOriginatorAck), start)
}

func parseOriginatorAck(b []byte) (OriginatorAck, error) { return OriginatorAck{}, takeEnd(b) }
