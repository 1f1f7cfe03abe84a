package main

import (
	"bufio"
	"io"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A printer writes messages as lines.
type printer struct {
	out    *bufio.Writer
	format string
	line   []byte
}

func newPrinter(w io.Writer, format string) *printer {
	return &printer{out: bufio.NewWriterSize(w, 64<<10), format: format}
}

// message prints one message. The error is the message's, or the writer's.
func (p *printer) message(m endpoint.Message) (invalid, failed error) {
	if p.format == "none" {
		return nil, nil
	}
	v, err := m.Value()
	if err != nil {
		return err, nil
	}
	p.line = p.line[:0]
	if p.format == "json" {
		p.line = data.AppendJSONMessage(p.line, m.Topic(), v)
	} else {
		p.line = appendLine(p.line, m, v)
	}
	_, err = p.out.Write(append(p.line, '\n'))
	return nil, err
}

// appendLine appends a message as text: its topic, then an event as name(arguments), or whatever
// else it is as a value.
func appendLine(dst []byte, m endpoint.Message, v data.Value) []byte {
	dst = append(data.AppendPrintable(dst, m.Topic()), ' ')
	if zeek.TypeOf(m.Payload()) != zeek.TypeEvent {
		return data.AppendText(dst, v)
	}
	e, err := m.Event()
	if err != nil {
		return data.AppendText(dst, v)
	}
	dst = append(data.AppendPrintable(dst, e.Name), '(')
	for i, arg := range e.Args {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = data.AppendText(dst, arg)
	}
	return append(dst, ')')
}

func (p *printer) flush() error { return p.out.Flush() }
