package dump

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
)

// A Format is a way to write what was captured.
type Format string

// The formats.
const (
	Text      Format = "text"
	JSON      Format = "json"
	Recording Format = "recording" // what [capture.Read] reads again
)

// Formats are the formats there are.
var Formats = []Format{Text, JSON, Recording}

// ParseFormat returns the format of a name.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(Formats, f) {
		return f, nil
	}
	names := make([]string, len(Formats))
	for i, f := range Formats {
		names[i] = string(f)
	}
	return "", fmt.Errorf("format %q: want %s", name, strings.Join(names, ", "))
}

// A Printer writes items as lines.
type Printer struct {
	out       *bufio.Writer
	format    Format
	filter    Filter
	recording *capture.Writer
	line      []byte
	frames    uint64
	damaged   uint64
}

// NewPrinter returns a printer of what the filter lets through.
func NewPrinter(out io.Writer, format Format, filter Filter) *Printer {
	return &Printer{out: bufio.NewWriterSize(out, 64<<10), format: format, filter: filter}
}

// Print writes an item. The error is the writer's.
func (p *Printer) Print(it *capture.Item) error {
	if it.Damage {
		p.damaged++
	}
	if !p.filter.Match(it) {
		return nil
	}
	if it.Frame != nil {
		p.frames++
	}
	switch p.format {
	case Recording:
		if p.recording == nil {
			var err error
			if p.recording, err = capture.NewWriter(p.out, it.Time, wire.EndpointID{}); err != nil {
				return err
			}
		}
		return p.recording.Write(it)
	case JSON:
		var err error
		if p.line, err = AppendJSON(p.line[:0], it); err != nil {
			return err
		}
	default:
		p.line = AppendText(p.line[:0], it)
	}
	p.line = append(p.line, '\n')
	_, err := p.out.Write(p.line)
	return err
}

// Frames returns how many frames were printed.
func (p *Printer) Frames() uint64 { return p.frames }

// Damaged returns how many notes of damage there were.
func (p *Printer) Damaged() uint64 { return p.damaged }

// Flush writes what is buffered.
func (p *Printer) Flush() error { return p.out.Flush() }
