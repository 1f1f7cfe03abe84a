package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// maxLine bounds a line of standard input, in bytes: no peer takes a larger message.
const maxLine = 64 << 20

// A line is a message on standard input, or the error that ends it.
type line struct {
	number  int // from 1
	topic   string
	payload []byte
	err     error
}

// readLines sends the messages in r to lines, which it closes at the end. Reading cannot be
// interrupted: after the end of ctx it goes on to wait for one more line.
func readLines(ctx context.Context, r io.Reader, lines chan<- line) {
	defer close(lines)
	eachLine(r, func(number int, text []byte, err error) (more bool) {
		l := line{number: number, err: err}
		if err == nil {
			var v data.Value
			if l.topic, v, l.err = data.ParseJSONMessage(text, data.AnyJSON); l.err == nil {
				l.payload = data.AppendValue(nil, v)
			}
		}
		select {
		case lines <- l:
			return l.err == nil
		case <-ctx.Done():
			return false
		}
	})
}

// eachLine calls f with each line of r that is not blank, as it is, or with what keeps more from being read, until
// that or until f returns false. The text is good until f returns.
func eachLine(r io.Reader, f func(number int, text []byte, err error) (more bool)) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	number := 1
	for ; scanner.Scan(); number++ {
		if text := scanner.Bytes(); len(bytes.TrimSpace(text)) > 0 && !f(number, text, nil) {
			return
		}
	}
	if err := scanner.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("longer than %d bytes", maxLine)
		}
		f(number, nil, err)
	}
}
