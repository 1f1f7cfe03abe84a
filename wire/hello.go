package wire

// Hello is the first message of the dialer, and the answer of a listener whose id is the larger one:
// who it is, and which versions of the protocol it speaks.
type Hello struct {
	Sender   EndpointID
	Min, Max uint8
}

// HandshakeType returns TypeHello.
func (Hello) HandshakeType() HandshakeType { return TypeHello }

// AppendFrame appends the message as a frame.
func (h Hello) AppendFrame(dst []byte) []byte {
	start := len(dst)
	dst = append(beginHandshake(dst, TypeHello), magic...)
	dst = append(dst, h.Sender[:]...)
	return EndFrame(append(dst, h.Min, h.Max), start)
}

func parseHello(b []byte) (h Hello, err error) {
	if b, err = takeMagic(b); err != nil {
		return h, err
	}
	if h.Sender, b, err = takeID(b); err != nil {
		return h, err
	}
	if len(b) < 2 {
		return h, errTruncated
	}
	h.Min, h.Max = b[0], b[1]
	return h, takeEnd(b[2:])
}
