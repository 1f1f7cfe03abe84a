package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// maxTold is how many invalid messages are told of; the others are only counted.
const maxTold = 10

// A tally prints, checks and counts what sub receives.
type tally struct {
	print                    *printer
	verify                   bool
	count                    uint64 // how many messages are wanted; 0 for no limit
	stderr                   io.Writer
	messages, bytes, invalid uint64
	first, last              time.Time // when messages came
	behind                   bool      // others waited behind the last one
	failed                   error     // in writing the output
}

// receive takes messages until there are enough, the output cannot be written, or ctx or the
// subscription ends.
func (t *tally) receive(ctx context.Context, s *endpoint.Subscription) error {
	more := true
	for m := range s.Messages(ctx) {
		if more = t.message(m, s.Buffered()); !more {
			break
		}
	}
	if t.behind {
		t.last = time.Now()
	}
	if t.failed == nil {
		t.failed = t.print.flush()
	}
	switch {
	case outputError(t.failed) != nil:
		return outputError(t.failed)
	case t.verify && t.invalid > 0:
		return fmt.Errorf("%d of %d messages were no valid events", t.invalid, t.messages)
	case more && s.Err() != nil:
		return errNoPeer
	}
	return nil
}

// message takes one message. If no other waits behind it, what was printed is flushed. It reports
// whether there are to be more.
func (t *tally) message(m endpoint.Message, behind bool) (more bool) {
	if t.messages == 0 {
		t.first = time.Now()
	}
	t.messages++
	t.bytes += uint64(m.Len())
	var invalid error
	invalid, t.failed = t.print.message(m.Topic(), m.Payload())
	if t.verify && invalid == nil {
		invalid = verifyEvent(m)
	}
	if invalid != nil {
		if t.invalid++; t.invalid <= maxTold {
			fmt.Fprintf(t.stderr, "message %d is invalid, on %q from %v: %v\n", t.messages, m.Topic(), m.Sender(), invalid)
		}
	}
	if t.behind = behind; !behind {
		t.last = time.Now()
		if t.failed == nil {
			t.failed = t.print.flush()
		}
	}
	return t.failed == nil && t.messages != t.count
}

// verifyEvent checks a message as an event, all arguments included.
func verifyEvent(m endpoint.Message) error {
	e, err := m.EventView()
	if err != nil {
		return err
	}
	return e.Verify()
}

// report writes the line with which sub ends.
func (t *tally) report(dropped uint64) {
	seconds := t.last.Sub(t.first).Seconds()
	rate := 0.0
	if seconds > 0 {
		rate = float64(t.messages-1) / seconds
	}
	fmt.Fprintf(t.stderr, "received %d messages, %d bytes, in %.3f s (%.0f/s from the first to the last), %d dropped, %d invalid\n",
		t.messages, t.bytes, seconds, rate, dropped, t.invalid)
}
