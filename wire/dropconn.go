package wire

import "strings"

// maxDescription is how much of a refusal's text is kept: enough for every text that nodes are
// known to send, and too little to flood a log.
const maxDescription = 512

// DropConn refuses a connection and says why.
type DropConn struct {
	Sender      EndpointID
	Code        Code
	Description string
}

// HandshakeType returns TypeDropConn.
func (DropConn) HandshakeType() HandshakeType { return TypeDropConn }

// AppendFrame appends the message as a frame.
func (d DropConn) AppendFrame(dst []byte) []byte {
	start := len(dst)
	dst = append(beginHandshake(dst, TypeDropConn), magic...)
	dst = append(append(dst, d.Sender[:]...), byte(d.Code))
	return EndFrame(appendString(dst, d.Description), start)
}

func parseDropConn(b []byte) (d DropConn, err error) {
	if b, err = takeMagic(b); err != nil {
		return d, err
	}
	if d.Sender, b, err = takeID(b); err != nil {
		return d, err
	}
	if len(b) < 1 {
		return d, errTruncated
	}
	d.Code, b = Code(b[0]), b[1:]
	text, b, err := takeString(b)
	if err != nil {
		return d, err
	}
	d.Description = strings.Clone(string(text[:min(len(text), maxDescription)]))
	return d, takeEnd(b)
}
