package wire

// VersionSelect is the originator's choice among the versions it was offered.
type VersionSelect struct {
	Sender  EndpointID
	Version uint8
}

// HandshakeType returns TypeVersionSelect.
func (VersionSelect) HandshakeType() HandshakeType { return TypeVersionSelect }

// AppendFrame appends the message as a frame.
func (v VersionSelect) AppendFrame(dst []byte) []byte {
	start := len(dst)
	dst = append(beginHandshake(dst, TypeVersionSelect), magic...)
	return EndFrame(append(append(dst, v.Sender[:]...), v.Version), start)
}

func parseVersionSelect(b []byte) (v VersionSelect, err error) {
	if b, err = takeMagic(b); err != nil {
		return v, err
	}
	if v.Sender, b, err = takeID(b); err != nil {
		return v, err
	}
	if len(b) < 1 {
		return v, errTruncated
	}
	v.Version = b[0]
	return v, takeEnd(b[1:])
}
