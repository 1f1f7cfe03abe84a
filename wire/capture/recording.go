package capture

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// maxRecordLine bounds a line of a recording: the largest frame in hex, and what stands around it.
const maxRecordLine = 2*MaxFrame + 64<<10

// maxDirections bounds how many directions of connections a recording may have at a time.
const maxDirections = 1 << 16

// A record is one line of a recording.
type record struct {
	T         *float64 `json:"t"` // seconds since the beginning
	Dir       string   `json:"dir"`
	Conn      int      `json:"conn"`
	Hex       string   `json:"hex"` // whole frames, the four bytes of the length included
	Frame     string   `json:"frame_hex"`
	Note      string   `json:"note"`
	Dropped   bool     `json:"dropped"`
	Ends      []End    `json:"ends"`
	WallStart float64  `json:"wall_start"` // seconds since 1970
	Scenario  string   `json:"scenario"`
	About     string   `json:"description"`
}

// errorSuffix ends the direction of a line that says, in the hex of its text, how a connection ended.
const errorSuffix = " error"

type directionKey struct {
	conn int
	dir  string
}

// A recordReader reads recordings.
type recordReader struct {
	s      *sink
	start  time.Time
	phases map[directionKey]*Phase
	ends   map[int][]End
}

func readRecording(in *bufio.Reader, s *sink) error {
	r := recordReader{s: s, phases: make(map[directionKey]*Phase), ends: make(map[int][]End)}
	var line []byte
	for number := 1; s.err == nil; number++ {
		var tooLong bool
		var err error
		line, tooLong, err = readLine(in, line[:0])
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		where := "line " + strconv.Itoa(number)
		if text := bytes.TrimSpace(line); tooLong {
			s.damage(where, "longer than %d bytes", maxRecordLine)
		} else if len(text) > 0 {
			r.line(where, text)
		}
		if err != nil {
			return nil
		}
	}
	return s.err
}

// readLine appends a line to dst, of a bounded length.
func readLine(in *bufio.Reader, dst []byte) (line []byte, tooLong bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(dst)+len(part) > maxRecordLine {
			tooLong = true
		} else {
			dst = append(dst, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return dst, tooLong, err
		}
	}
}

func (r *recordReader) line(where string, text []byte) {
	var l record
	if err := json.Unmarshal(text, &l); err != nil {
		r.s.damage(where, "not a line of a recording: %v", err)
		return
	}
	if l.T == nil && l.Hex+l.Frame+l.Note == "" {
		r.header(where, &l)
		return
	}
	it := Item{Where: where, Conn: l.Conn, Note: l.Note, Lost: l.Dropped}
	if t := l.T; t != nil && math.Abs(*t) < 1e9 {
		it.Since = time.Duration(math.Round(*t * 1e9))
		if !r.start.IsZero() {
			it.Time = r.start.Add(it.Since)
		}
	}
	if len(l.Ends) == 2 {
		if len(r.ends) >= maxDirections {
			clear(r.ends)
		}
		r.ends[l.Conn] = l.Ends
	}
	if l.Hex+l.Frame == "" {
		if ends := l.Ends; len(ends) == 2 {
			it.From, it.To = ends[0], ends[1]
		}
		r.s.put(it)
		return
	}
	it.Note = ""
	dir, isError := strings.CutSuffix(l.Dir, errorSuffix)
	it.From, it.To = r.between(l.Conn, dir)
	frames, err := hex.DecodeString(l.Hex + l.Frame)
	if err != nil {
		r.s.damage(where, "the hex: %v", err)
		return
	}
	if isError {
		it.Note = string(frames)
		r.s.put(it)
		return
	}
	key := directionKey{l.Conn, l.Dir}
	phase := r.phases[key]
	if phase == nil {
		if len(r.phases) >= maxDirections {
			clear(r.phases)
		}
		phase = new(Phase)
		r.phases[key] = phase
	}
	for len(frames) > 0 {
		body, rest, need, err := wire.NextFrame(frames, MaxFrame)
		if err != nil {
			r.s.damage(where, "%v", err)
			return
		}
		if need > 0 {
			r.s.damage(where, "the frame is cut short: %d of %d bytes", len(frames), need)
			return
		}
		f := phase.Parse(body)
		it.Frame = &f
		r.s.put(it)
		frames = rest
	}
}

// header takes a line about the whole recording.
func (r *recordReader) header(where string, l *record) {
	if s := l.WallStart; s > 0 && s < 1<<33 {
		r.start = time.UnixMicro(int64(s * 1e6))
	}
	if text := strings.TrimSpace(l.Scenario + " " + l.About); text != "" {
		r.s.put(Item{Where: where, Note: text, Time: r.start})
	}
}

// between returns the ends of a direction such as "dialer->listener".
func (r *recordReader) between(conn int, dir string) (from, to End) {
	from.Name, to.Name, _ = strings.Cut(dir, "->")
	for _, end := range r.ends[conn] {
		switch end.Name {
		case from.Name:
			from = end
		case to.Name:
			to = end
		}
	}
	return from, to
}

// A Writer writes a recording: a header, then a line for each frame and each note,
//
//	{"format":"...","wall_start":1795417832.195215,"node":"<id>"}
//	{"t":0,"conn":1,"note":"peer","ends":[{"name":"dialer","addr":"..."},{"name":"listener","id":"..."}]}
//	{"t":0.001251,"dir":"dialer->listener","conn":1,"hex":"00000005075a45454b"}
//
// t is in seconds since wall_start, hex holds whole frames, their length included. The ends of a
// connection are told before its first frame.
type Writer struct {
	out   io.Writer
	start time.Time
	known map[int]struct{}
	line  []byte
}

// recordFormat stands in the header.
const recordFormat = "zeekpeer 1: t in seconds since wall_start; hex holds whole frames, the 4-byte length included"

// NewWriter returns a writer of a recording that begins at start. node is the one that records, if it
// is one.
func NewWriter(out io.Writer, start time.Time, node wire.EndpointID) (*Writer, error) {
	w := &Writer{out: out, start: start, known: make(map[int]struct{})}
	w.line = append(w.line, `{"format":"`+recordFormat+`"`...)
	if !start.IsZero() {
		w.line = append(w.line, `,"wall_start":`...)
		w.line = strconv.AppendFloat(w.line, float64(start.UnixMicro())/1e6, 'f', 6, 64)
	}
	if !node.IsZero() {
		w.line = fmt.Appendf(w.line, `,"node":"%v"`, node)
	}
	return w, w.flush()
}

// Write writes a line.
func (w *Writer) Write(it *Item) error {
	if it.Conn > 0 && it.From.Name != "" {
		if _, ok := w.known[it.Conn]; !ok {
			if len(w.known) >= maxDirections {
				clear(w.known)
			}
			w.known[it.Conn] = struct{}{}
			if it.Frame != nil { // a note tells the ends itself
				if err := w.write(&Item{Time: it.Time, Since: it.Since, Conn: it.Conn, From: it.From, To: it.To, Note: "connection"}); err != nil {
					return err
				}
			}
		}
	}
	return w.write(it)
}

func (w *Writer) write(it *Item) error {
	since := it.Since
	if !it.Time.IsZero() && !w.start.IsZero() {
		since = it.Time.Sub(w.start)
	}
	w.line = append(w.line[:0], `{"t":`...)
	w.line = strconv.AppendFloat(w.line, since.Seconds(), 'f', -1, 64)
	if it.Frame != nil {
		w.line = append(w.line, `,"dir":`...)
		w.line = appendQuoted(w.line, it.From.Name+"->"+it.To.Name)
	}
	if it.Conn > 0 {
		w.line = strconv.AppendInt(append(w.line, `,"conn":`...), int64(it.Conn), 10)
	}
	if it.Frame != nil {
		w.line = append(w.line, `,"hex":"`...)
		n := len(it.Frame.Body)
		w.line = hex.AppendEncode(w.line, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		w.line = append(hex.AppendEncode(w.line, it.Frame.Body), '"')
		if it.Lost {
			w.line = append(w.line, `,"dropped":true`...)
		}
	} else {
		w.line = appendQuoted(append(w.line, `,"note":`...), it.Note)
		if it.From.Name != "" {
			ends, err := json.Marshal([]End{it.From, it.To})
			if err != nil {
				return err
			}
			w.line = append(append(w.line, `,"ends":`...), ends...)
		}
	}
	return w.flush()
}

func (w *Writer) flush() error {
	w.line = append(w.line, "}\n"...)
	_, err := w.out.Write(w.line)
	if cap(w.line) > 1<<20 {
		w.line = nil
	}
	return err
}

func appendQuoted(dst []byte, s string) []byte {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r > '~' }) {
		return append(append(append(dst, '"'), s...), '"')
	}
	quoted, _ := json.Marshal(s) // a string never fails
	return append(dst, quoted...)
}
