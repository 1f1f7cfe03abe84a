// Package capture reads what Broker nodes said to each other from wherever it was kept, and puts the
// frames of their connections together again: recordings (one JSON object a line, see [Writer]),
// hex dumps, raw bytes, and captures of packets (pcap and pcapng) of plain TCP.
//
// Nothing in it trusts its input: memory stays bounded whatever a file says, and damage is told, with
// its place, while the rest is read.
package capture

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// MaxFrame is the largest frame that is shown, in bytes. Larger ones are named and passed over.
const MaxFrame = 64 << 20

// An Item is one thing that a capture tells: a frame, or a note on what happened.
type Item struct {
	Where  string    // the place in the capture: "line 7", "packet 12", "byte 0x40"; "" if live
	Time   time.Time // when; zero if unknown
	Since  time.Duration
	Conn   int // the number of the connection, from 1; 0 if there is but one
	From   End // who sends; with a note about a connection, who dialed
	To     End
	Frame  *Frame // nil: a note. Its memory is used again after the call that brings it.
	Note   string
	Lost   bool // the frame never arrived, as the recording says
	Damage bool // the note tells of something that cannot be read
}

// An End is one end of a connection. Any part may be unknown.
type End struct {
	Name string          `json:"name"` // its part: "dialer", "listener", or as recorded
	Addr string          `json:"addr,omitempty"`
	ID   wire.EndpointID `json:"id,omitzero"`
}

// String returns the most telling name that there is: the address, the beginning of the id, the part.
func (e End) String() string {
	switch {
	case e.Addr != "":
		return e.Addr
	case !e.ID.IsZero():
		return ShortID(e.ID)
	}
	return e.Name
}

// ShortID returns the first eight digits of an id, which tell nodes apart well enough for the eye.
func ShortID(id wire.EndpointID) string { return id.String()[:8] }

// The parts of the ends of a connection.
const (
	Dialer   = "dialer"
	Listener = "listener"
)

// A Frame is what one frame says: a message of the handshake or an envelope.
type Frame struct {
	Body      []byte         // without the length
	Handshake wire.Handshake // nil: an envelope
	Envelope  wire.Envelope
	Err       error // why it is neither
}

// Kind names what the frame is: "hello", "data" and so on, "empty", or "malformed".
func (f *Frame) Kind() string {
	switch {
	case f.Handshake != nil:
		return f.Handshake.HandshakeType().String()
	case f.Err == nil:
		return f.Envelope.Type.String()
	case len(f.Body) == 0:
		return "empty"
	}
	return "malformed"
}

var errEmpty = errors.New("no bytes")

// A Phase follows one direction of a connection from the handshake to the peering, since what a frame
// is follows from what was sent before it. The zero Phase is at the beginning. When it cannot know
// it takes what fits.
type Phase struct{ peered bool }

// Parse parses the body of the next frame.
func (p *Phase) Parse(body []byte) Frame {
	f := Frame{Body: body}
	if len(body) == 0 {
		f.Err = errEmpty
		return f
	}
	var e wire.Envelope
	var envelopeErr error
	if e, envelopeErr = wire.ParseEnvelope(body); envelopeErr == nil && p.peered {
		f.Envelope = e
		return f
	}
	msg, handshakeErr := wire.ParseHandshake(body)
	switch {
	case handshakeErr == nil:
		f.Handshake = msg
		t := msg.HandshakeType()
		p.peered = t == wire.TypeResponderSynAck || t == wire.TypeOriginatorAck
	case envelopeErr == nil:
		f.Envelope, p.peered = e, true
	case p.peered || len(body) >= wire.EnvelopeHeaderLen && !isHandshakeType(body[0]):
		f.Err = envelopeErr
	default:
		f.Err = handshakeErr
	}
	return f
}

func isHandshakeType(b byte) bool {
	return b >= byte(wire.TypeHello) && b <= byte(wire.TypeOriginatorAck)
}

// ErrUnknown says that a file is nothing that [Read] knows.
var ErrUnknown = errors.New("neither a recording, a hex dump, raw bytes of the protocol nor a capture of packets (pcap, pcapng)")

// A sink passes items on until the receiver has had enough.
type sink struct {
	each func(Item) error
	err  error
}

func (s *sink) put(it Item) {
	if s.err == nil {
		s.err = s.each(it)
	}
}

func (s *sink) damage(where, format string, args ...any) {
	s.put(Item{Where: where, Note: fmt.Sprintf(format, args...), Damage: true})
}

// Read reads a capture, whose format it sees from its beginning and which may be compressed with
// gzip, and calls each with what it tells, in order. It returns an error if r or each fails or the
// capture is none; what is damaged in it is told as items.
func Read(r io.Reader, each func(Item) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	begin, err := in.Peek(2)
	if err != nil && len(begin) == 0 {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("it is empty: %w", io.ErrUnexpectedEOF)
		}
		return err
	}
	s := &sink{each: each}
	if bytes.Equal(begin, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		in = bufio.NewReaderSize(z, 64<<10)
	}
	err = read(in, s)
	if s.err != nil {
		return s.err
	}
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		s.damage("end", "the compressed file ends too early or is damaged: %v", err)
		return s.err
	}
	return err
}

// ReadRecording reads a recording, line by line as it comes, and calls each with what it tells. It
// returns an error if r or each fails.
func ReadRecording(r io.Reader, each func(Item) error) error {
	s := &sink{each: each}
	if err := readRecording(bufio.NewReaderSize(r, 64<<10), s); s.err == nil {
		return err
	}
	return s.err
}

func read(in *bufio.Reader, s *sink) error {
	// What may come live is known by its first bytes, so that it need not wait for more.
	begin, err := in.Peek(12)
	if len(begin) == 0 {
		return err
	}
	text := bytes.TrimLeft(begin, " \t\r\n\ufeff")
	switch {
	case isPcap(begin):
		return readPcap(in, s)
	case isPcapng(begin):
		return readPcapng(in, s)
	case len(text) > 0 && text[0] == '{':
		return readRecording(in, s)
	}
	begin, _ = in.Peek(4096)
	switch {
	case isHexText(begin):
		return readHex(in, s, hexStyle(begin))
	case wire.DescribeForeign(begin) != "" || !looksRaw(begin):
		return ErrUnknown
	}
	return readRaw(in, s)
}

// looksRaw tells whether b begins with a frame of a handshake or a peering.
func looksRaw(b []byte) bool {
	if len(b) < wire.FrameHeaderLen+1 || b[0] != 0 {
		return false
	}
	return isHandshakeType(b[wire.FrameHeaderLen]) || plausible(b, wire.EndpointID{}) == yes
}

// readRaw reads the bytes of one direction of a connection, or of both as they came.
func readRaw(in io.Reader, s *sink) error {
	d := newDump(s)
	buf := make([]byte, 64<<10)
	for s.err == nil {
		n, err := in.Read(buf)
		d.feed(buf[:n])
		if err != nil {
			d.end()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
	return s.err
}

// A dump is a capture without times: bytes and where they stand.
type dump struct {
	s        *sink
	stream   *Stream
	at       int64
	from, to string // the part of who sends, and of the other; "" if not known
}

func newDump(s *sink) *dump { return &dump{s: s, stream: newDumpStream()} }

func (d *dump) feed(b []byte) {
	d.at += int64(len(b))
	d.stream.Feed(b, d.emit)
}

func (d *dump) emit(f *Frame, behind int, note string) {
	where := fmt.Sprintf("byte %#x", d.at-int64(behind))
	d.s.put(Item{Where: where, From: End{Name: d.from}, To: End{Name: d.to}, Frame: f, Note: note, Damage: f == nil})
}

func (d *dump) end() {
	d.stream.End(d.emit)
}
