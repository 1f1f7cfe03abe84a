package wire

import (
	"encoding/binary"
	"fmt"
)

// FrameHeaderLen is the number of bytes of a frame's length, which stands before its body.
const FrameHeaderLen = 4

// A FrameTooLargeError says that a peer announced a frame above the limit.
type FrameTooLargeError struct {
	Len   uint32 // as announced, without the four bytes of the length
	Limit int
}

func (e *FrameTooLargeError) Error() string {
	return fmt.Sprintf("frame of %d bytes announced, at most %d accepted", e.Len, e.Limit)
}

// NextFrame splits the first frame off b: its body, and what follows it. If b does not hold a whole
// frame, body is nil and need says how many bytes of b are wanted in all for the next step, the
// length of the frame or, once that is known, the frame. A frame above limit is an error as soon as
// its length is there, so nobody needs to make room for it.
func NextFrame(b []byte, limit int) (body, rest []byte, need int, err error) {
	if len(b) < FrameHeaderLen {
		return nil, b, FrameHeaderLen, nil
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(limit) {
		return nil, b, 0, &FrameTooLargeError{Len: n, Limit: limit}
	}
	end := FrameHeaderLen + int(n)
	if len(b) < end {
		return nil, b, end, nil
	}
	return b[FrameHeaderLen:end:end], b[end:], 0, nil
}

// BeginFrame makes room for the length of a frame whose body is appended next. EndFrame, called
// with the length that dst had before, fills it in.
func BeginFrame(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// EndFrame fills in the length of the frame that begins at start and ends where dst ends.
func EndFrame(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-FrameHeaderLen))
	return dst
}
