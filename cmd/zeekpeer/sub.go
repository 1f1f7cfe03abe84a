package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// subQueue is what a sub keeps when it prints more slowly than messages come.
var subQueue = endpoint.QueueLimits{Messages: 1 << 20, Bytes: 256 << 20, Policy: endpoint.DropOldest}

func subCommand() *cobra.Command {
	var f nodeFlags
	var verify, blocksStores bool
	cmd := &cobra.Command{
		Use:   "sub TOPIC...",
		Short: "Print what is published under topics",
		Long: `sub prints every message under the given topics, which are prefixes: /a takes /a/b and /ab.

Events are printed as name(arguments), everything else as values are: [a, b] is a vector, {a, b} a
set, {k -> v} a table, nil is none. With --output json each line is a data message of Broker's JSON
(v1), which "zeekpeer pub -" reads.

At the end one line on standard error says what was received:
  received N messages, B bytes, in S s (R/s from the first to the last), D dropped, V invalid`,
		Example: `  zeekpeer sub --peer 127.0.0.1:9999 /test
  zeekpeer sub --listen 127.0.0.1:9999 --output json --count 10 zeek/cluster/
  zeekpeer sub --peer 10.0.0.1:27761 --for 10s --output none --verify zeek/logs/`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("sub wants one topic at least, such as /test")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, topics []string) error {
			return sub(cmd.Context(), &f, topics, verify, blocksStores, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.add(cmd, 0)
	cmd.Flags().BoolVar(&verify, "verify", false, "decode each message as an event and check every argument, whatever the output")
	cmd.Flags().BoolVar(&blocksStores, "i-know-this-blocks-stores", false, "allow topics that keep Zeek nodes from creating stores")
	return cmd
}

func sub(ctx context.Context, f *nodeFlags, topics []string, verify, blocksStores bool, stdout, stderr io.Writer) error {
	n, err := f.start(stderr)
	if err != nil {
		return err
	}
	defer n.end()
	opts := []endpoint.SubscribeOption{endpoint.WithQueue(subQueue)}
	if blocksStores {
		opts = append(opts, endpoint.AllowBlockingStores())
	}
	s, err := n.Subscribe(topics, opts...)
	var blocks *endpoint.BlocksStoresError
	if errors.As(err, &blocks) {
		return usageError("subscribing to %q keeps Zeek nodes from creating stores whose topics begin so. Use a longer topic, or add --i-know-this-blocks-stores", blocks.Topic)
	} else if err != nil {
		return err
	}
	if err := n.connect(ctx, stderr); err != nil {
		return err
	}
	t := tally{print: newPrinter(stdout, f.output), verify: verify, stderr: stderr}
	defer func() { t.report(stderr, s.Stats().Dropped) }()
	ctx, cancel := f.limited(ctx)
	defer cancel()
	if f.timeout > 0 || f.retry == 0 {
		if err := n.waitForPeers(ctx); err != nil {
			if errors.Is(err, ctx.Err()) {
				return nil
			}
			return err
		}
	}
	return t.receive(ctx, s, f.count)
}

// A tally counts what sub receives.
type tally struct {
	print                    *printer
	verify                   bool
	stderr                   io.Writer
	messages, bytes, invalid uint64
	first, last              time.Time
}

// receive takes messages until ctx ends or there were count. What is printed is flushed when nothing
// more waits.
func (t *tally) receive(ctx context.Context, s *endpoint.Subscription, count uint64) error {
	for m := range s.Messages(ctx) {
		if t.messages == 0 {
			t.first = time.Now()
		}
		t.messages++
		t.bytes += uint64(m.Len())
		invalid, failed := t.print.message(m)
		if t.verify && invalid == nil {
			invalid = verifyEvent(m)
		}
		if invalid != nil {
			if t.invalid++; t.invalid == 1 || !t.verify {
				fmt.Fprintf(t.stderr, "zeekpeer: invalid message from %v on %q: %v\n", m.Sender(), m.Topic(), invalid)
			}
		}
		if failed != nil {
			return nil // whoever read the output has gone
		}
		if t.messages == count {
			break
		}
		if t.print.format != "none" && !s.Buffered() {
			if t.print.flush() != nil {
				return nil
			}
		}
	}
	t.last = time.Now()
	t.print.flush()
	if t.verify && t.invalid > 0 {
		return fmt.Errorf("%d of %d messages were no valid events", t.invalid, t.messages)
	}
	return nil
}

// verifyEvent checks a message as an event, all arguments included.
func verifyEvent(m endpoint.Message) error {
	e, err := m.EventView()
	if err != nil {
		return err
	}
	return e.Verify()
}

func (t *tally) report(w io.Writer, dropped uint64) {
	seconds := t.last.Sub(t.first).Seconds()
	rate := 0.0
	if t.messages > 1 && seconds > 0 {
		rate = float64(t.messages-1) / seconds
	}
	if t.messages == 0 {
		seconds = 0
	}
	fmt.Fprintf(w, "received %d messages, %d bytes, in %.3f s (%.0f/s from the first to the last), %d dropped, %d invalid\n",
		t.messages, t.bytes, seconds, rate, dropped, t.invalid)
}
