package wire

// Probe is what a listener says first, so that a dialer sees what it has reached.
type Probe struct{}

// HandshakeType returns TypeProbe.
func (Probe) HandshakeType() HandshakeType { return TypeProbe }

// AppendFrame appends the message as a frame.
func (Probe) AppendFrame(dst []byte) []byte {
	start := len(dst)
	return EndFrame(append(beginHandshake(dst, TypeProbe), magic...), start)
}

func parseProbe(b []byte) (Probe, error) {
	b, err := takeMagic(b)
	if err != nil {
		return Probe{}, err
	}
	return Probe{}, takeEnd(b)
}
