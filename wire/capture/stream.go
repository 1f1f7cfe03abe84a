package capture

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A Stream turns the bytes of one direction of a connection into frames. It keeps what is received of
// one frame, so no more than [MaxFrame].
//
// Bytes may be missing: then it looks for the next place that can be the beginning of a frame. Bytes
// that are no Broker node's are named once and ignored from then on.
type Stream struct {
	phase  Phase
	state  streamState
	buf    []byte
	skip   uint64          // state skipping: bytes of a frame that are still to be passed over
	passed uint64          // state searching: bytes passed over
	sender wire.EndpointID // of the last envelope
	frames int
	bad    int // malformed frames in a row
}

type streamState uint8

const (
	fresh     streamState = iota // at the first byte of a connection
	synced                       // at the beginning of a frame, or within one
	searching                    // somewhere
	skipping                     // within a frame that is too large
	foreign                      // not Broker
)

// NewStream returns a stream whose first byte is the first of a connection, or, if start is not set,
// may stand anywhere.
func NewStream(start bool) *Stream {
	if start {
		return &Stream{}
	}
	return &Stream{state: searching}
}

// newDumpStream returns a stream whose first byte is likely to be the first of a frame.
func newDumpStream() *Stream { return &Stream{state: synced} }

// Frames returns how many frames there were.
func (s *Stream) Frames() int { return s.frames }

// Buffered returns how many bytes wait for the rest of their frame.
func (s *Stream) Buffered() int { return len(s.buf) }

// Foreign tells whether the bytes are not those of a Broker node on plain TCP.
func (s *Stream) Foreign() bool { return s.state == foreign }

// An emitter takes a frame, whose memory is valid during the call, or a note on what cannot be read.
// behind is how many bytes of what was fed last stand behind the beginning of the frame, or behind
// what the note is about.
type emitter = func(f *Frame, behind int, note string)

// Feed takes the next bytes.
func (s *Stream) Feed(b []byte, emit emitter) {
	if s.state == skipping {
		n := min(s.skip, uint64(len(b)))
		if s.skip -= n; s.skip > 0 {
			return
		}
		b, s.state = b[n:], synced
	}
	if s.state == foreign || len(b) == 0 {
		return
	}
	// Without bytes left from before, frames are read where they stand.
	own := len(s.buf) > 0
	if own {
		s.buf = append(s.buf, b...)
		b = s.buf
	}
	rest := s.consume(b, emit)
	switch {
	case len(rest) == 0:
		if s.buf = s.buf[:0]; cap(s.buf) > 1<<20 {
			s.buf = nil
		}
	case own:
		if len(rest) < len(s.buf) {
			s.buf = s.buf[:copy(s.buf, rest)]
		}
	default:
		s.buf = append(s.buf, rest...)
	}
}

// consume consumes what is complete in b and returns the rest.
func (s *Stream) consume(b []byte, emit emitter) []byte {
	for len(b) > 0 {
		var wait bool
		switch s.state {
		case fresh:
			if wait = len(b) <= wire.FrameHeaderLen; !wait {
				if what := speaker(b); what != "" {
					s.state = foreign
					emit(nil, len(b), what+": cannot be read")
					return nil
				}
				s.state = synced
			}
		case synced:
			b, wait = s.frame(b, emit)
		case searching:
			b, wait = s.search(b, emit)
		case skipping:
			n := min(s.skip, uint64(len(b)))
			b = b[n:]
			if s.skip -= n; s.skip == 0 {
				s.state = synced
			}
		}
		if wait {
			break
		}
	}
	return b
}

// speaker says who speaks if first, the first five bytes or more of a connection, is not a Broker node
// on plain TCP; "" if it may be one.
func speaker(first []byte) string {
	switch {
	case first[0] >= 0x14 && first[0] <= 0x17 && first[1] == 0x03:
		return "TLS"
	case binary.BigEndian.Uint32(first) <= MaxFrame && isHandshakeType(first[wire.FrameHeaderLen]):
		return ""
	}
	if what := wire.DescribeForeign(first); what != "" {
		return what
	}
	return "not the protocol of Broker"
}

// frame consumes one frame.
func (s *Stream) frame(b []byte, emit emitter) (rest []byte, wait bool) {
	body, rest, need, err := wire.NextFrame(b, MaxFrame)
	head := b[min(wire.FrameHeaderLen, len(b)):]
	switch {
	case err != nil || need > 1<<16:
		// Either it is large, or the length is none and this is not the beginning of a frame. The header
		// of the envelope tells.
		if len(head) < wire.EnvelopeHeaderLen {
			return b, true
		}
		if !s.envelopeLike(head) {
			emit(nil, len(b), fmt.Sprintf("a frame of %d bytes is announced that cannot be one", binary.BigEndian.Uint32(b)))
			return s.lost(b[1:]), false
		}
		if err != nil {
			s.skip = uint64(binary.BigEndian.Uint32(b)) + wire.FrameHeaderLen
			s.state = skipping
			emit(nil, len(b), fmt.Sprintf("a frame of %d bytes, too large to show", s.skip-wire.FrameHeaderLen))
			return b, false
		}
		return b, true
	case body == nil && need > 0:
		return b, true
	}
	f := s.phase.Parse(body)
	if f.Err != nil && len(body) > 0 {
		if s.bad++; s.bad > 1 {
			// The second in a row: the boundaries are lost rather than the frames bad.
			return s.lost(b[1:]), false
		}
	} else {
		s.bad = 0
		if f.Handshake == nil && f.Err == nil {
			s.sender = f.Envelope.Sender
		}
	}
	s.frames++
	emit(&f, len(b), "")
	return rest, false
}

// envelopeLike tells whether what stands behind the length of a frame can be an envelope.
func (s *Stream) envelopeLike(head []byte) bool {
	t := wire.MessageType(head[wire.TypeOffset])
	handshake := !s.phase.peered && (head[0] == byte(wire.TypeOriginatorSyn) || head[0] == byte(wire.TypeResponderSynAck))
	return t >= wire.TypeData && t <= wire.TypePong || handshake
}

// lost goes over to search in b.
func (s *Stream) lost(b []byte) []byte {
	s.state, s.passed, s.bad = searching, 1, 0
	return b
}

// Lose says that bytes are missing from here on, of unknown number. What was received of a frame is
// given up.
func (s *Stream) Lose() {
	if s.state == foreign {
		return
	}
	if s.state != searching {
		s.state, s.passed, s.skip = searching, 0, 0
	}
	s.passed += uint64(len(s.buf))
	s.buf = s.buf[:0]
}

// search passes over bytes until a frame seems to begin.
func (s *Stream) search(b []byte, emit emitter) (rest []byte, wait bool) {
	for i := range b {
		switch plausible(b[i:], s.sender) {
		case yes:
			s.passed += uint64(i)
			if s.passed > 0 {
				emit(nil, len(b)-i, fmt.Sprintf("%d bytes passed over that belong to no frame", s.passed))
			}
			s.state, s.passed = synced, 0
			return b[i:], false
		case unknown:
			s.passed += uint64(i)
			return b[i:], true
		}
	}
	s.passed += uint64(len(b))
	return nil, false
}

// End says that nothing more comes.
func (s *Stream) End(emit emitter) {
	b := s.buf
	for s.state == searching && len(b) > 0 {
		// What would have to be longer to be a frame is none.
		s.passed++
		b = s.consume(b[1:], emit)
	}
	s.buf = b
	switch {
	case s.state == searching && s.passed > 0:
		emit(nil, 0, fmt.Sprintf("%d bytes at the end belong to no frame", s.passed))
	case s.state == skipping:
		emit(nil, 0, fmt.Sprintf("ends in the middle of a frame: %d bytes are missing", s.skip))
	case s.state == synced && len(s.buf) >= wire.FrameHeaderLen:
		emit(nil, 0, fmt.Sprintf("ends in the middle of a frame: %d of %d bytes", len(s.buf), wire.FrameHeaderLen+int64(binary.BigEndian.Uint32(s.buf))))
	case s.state == synced && len(s.buf) > 0, s.state == fresh && len(s.buf) > 0:
		emit(nil, 0, fmt.Sprintf("ends in the middle of a frame: %d bytes of its length", len(s.buf)))
	}
	s.buf = nil
}

type verdict uint8

const (
	no verdict = iota
	yes
	unknown // with more bytes
)

// plausible tells whether a frame may begin at b, as strictly as can be said without knowing anything
// but, perhaps, the sender. A wrong yes costs a frame that is shown as malformed.
func plausible(b []byte, sender wire.EndpointID) verdict {
	if len(b) < wire.FrameHeaderLen+1 {
		return unknown
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > MaxFrame {
		return no
	}
	body := b[wire.FrameHeaderLen:]
	// Of the handshake, four messages have a magic number.
	if t := wire.HandshakeType(body[0]); t >= wire.TypeHello && t <= wire.TypeDropConn && n < 1<<16 {
		const magic = "ZEEK"
		have := body[1:min(len(body), 1+len(magic))]
		if strings.HasPrefix(magic, string(have)) {
			if len(have) < len(magic) {
				return unknown
			}
			return yes
		}
	}
	if n < wire.EnvelopeHeaderLen {
		return no
	}
	if len(body) < wire.EnvelopeHeaderLen {
		return unknown
	}
	e := body[:wire.EnvelopeHeaderLen]
	t, topicLen := wire.MessageType(e[wire.TypeOffset]), int(binary.BigEndian.Uint16(e[wire.TopicLenOffset:]))
	if t < wire.TypeData || t > wire.TypePong || wire.EnvelopeHeaderLen+topicLen > int(n) {
		return no
	}
	if !sender.IsZero() && wire.EndpointID(e[:wire.IDLen]) == sender {
		return yes
	}
	// Otherwise: TTLs are small, ids are UUIDs, and topics are text and not long.
	const mostTTL, mostTopic = 255, 1024
	if binary.BigEndian.Uint16(e[wire.TTLOffset:]) > mostTTL || topicLen == 0 || topicLen > mostTopic || !uuidLike(e[:wire.IDLen]) {
		return no
	}
	if receiver := wire.EndpointID(e[wire.ReceiverOffset:wire.TypeOffset]); !receiver.IsZero() && !uuidLike(receiver[:]) {
		return no
	}
	topic := body[wire.EnvelopeHeaderLen:min(len(body), wire.EnvelopeHeaderLen+topicLen)]
	for _, c := range topic {
		if c < ' ' {
			return no
		}
	}
	if len(topic) < topicLen {
		return unknown
	}
	return yes
}

func uuidLike(id []byte) bool {
	version := id[6] >> 4
	return version >= 1 && version <= 8 && id[8]>>6 == 2
}
