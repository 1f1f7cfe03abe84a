package main

import (
	"bufio"
	"io"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/dump"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A printer writes messages as lines.
type printer struct {
	out    *bufio.Writer
	format string // of --output
	line   []byte
}

func newPrinter(w io.Writer, format string) *printer {
	return &printer{out: bufio.NewWriterSize(w, 64<<10), format: format}
}

// message prints one message. The error is the message's, or the writer's.
func (p *printer) message(topic string, payload []byte) (invalid, failed error) {
	switch p.format {
	case "none":
		return nil, nil
	case "json":
		p.line, invalid = data.AppendJSONPayload(p.line[:0], topic, payload, maxLine)
	default:
		p.line, invalid = appendLine(p.line[:0], topic, payload)
	}
	if invalid == nil {
		p.line = append(p.line, '\n')
		_, failed = p.out.Write(p.line)
	}
	return invalid, failed
}

// appendLine appends a message as text: its topic, then an event as name(arguments), or whatever
// else it is as a value.
func appendLine(dst []byte, topic string, payload []byte) ([]byte, error) {
	dst = append(data.AppendPrintable(dst, topic), ' ')
	if e, err := zeek.ParseEvent(payload); err == nil {
		return dump.AppendEvent(dst, e), nil
	}
	v, err := data.DecodeValue(payload)
	return data.AppendText(dst, v), err
}

func (p *printer) flush() error { return p.out.Flush() }
