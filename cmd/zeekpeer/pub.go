package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// maxLine bounds a line of standard input.
const maxLine = 64 << 20

func pubCommand() *cobra.Command {
	var f nodeFlags
	var allowNoRoute bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "pub TOPIC EVENT [ARG...] | pub -",
		Short: "Publish events",
		Long: `pub publishes an event with its arguments, or, with -, the messages that come on standard input,
one data message of Broker's JSON (v1) a line, as "zeekpeer sub --output json" prints them.

An argument that is a bare word is a string. Every other kind has its name before it:
  count:5  int:-3  real:1.5  bool:T  addr:10.0.0.1  subnet:10.0.0.0/8  port:80/tcp
  time:2026-01-31T23:59:59Z  time:1700000000.5  time:now  interval:1.5s  enum:Conn::LOG
  string:5  none:  json:{"@data-type":"set","data":[]}

It waits for its peers, sends, waits until they have taken everything, and ends. If nobody was
subscribed, the exit code is 4.`,
		Example: `  zeekpeer pub --peer 127.0.0.1:9999 /test ping hello count:7
  zeekpeer pub --peer 127.0.0.1:9999 --count 1000 /test ping hello
  zeekpeer sub --peer 10.0.0.1:9999 --output json /test | zeekpeer pub --peer 10.0.0.2:9999 -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" || len(args) >= 2 && args[0] != "-" {
				return nil
			}
			return usageError("pub wants a topic and the name of an event, or - for messages on standard input")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p := publisher{allowNoRoute: allowNoRoute, interval: interval, count: f.count}
			if args[0] != "-" {
				p.topic, p.event = args[0], args[1]
				for i, arg := range args[2:] {
					v, err := data.ParseArg(arg)
					if err != nil {
						return usageError("argument %d: %w", i+1, err)
					}
					p.args = append(p.args, v)
				}
			}
			return p.run(cmd.Context(), &f, cmd.InOrStdin(), cmd.ErrOrStderr())
		},
	}
	f.add(cmd, 10*time.Second)
	cmd.Flags().Lookup("count").Usage = "publish the event `N` times, or the first N lines; 0 for once, or all lines"
	cmd.Flags().BoolVar(&allowNoRoute, "allow-no-route", false, "succeed even if nobody is subscribed")
	cmd.Flags().DurationVar(&interval, "interval", 0, "wait `DUR` between messages")
	return cmd
}

// A publisher is one run of pub.
type publisher struct {
	topic, event string // none: from standard input
	args         []data.Value
	allowNoRoute bool
	interval     time.Duration
	count        uint64

	sent, unrouted uint64
	lost           string // a topic nobody was subscribed to
}

func (p *publisher) run(ctx context.Context, f *nodeFlags, stdin io.Reader, stderr io.Writer) error {
	n, err := f.start(stderr, endpoint.WithPeerQueue(endpoint.QueueLimits{Policy: endpoint.Block}))
	if err != nil {
		return err
	}
	defer n.end()
	if err := n.connect(ctx, stderr); err != nil {
		return err
	}
	ctx, cancel := f.limited(ctx)
	defer cancel()
	if err := n.waitForPeers(ctx); err != nil {
		return err
	}
	if p.event != "" {
		err = p.repeat(ctx, n, f.duration > 0)
	} else {
		err = p.lines(ctx, n, stdin)
	}
	if err != nil && !errors.Is(err, ctx.Err()) {
		return err
	}
	if p.unrouted > 0 && !p.allowNoRoute {
		return &codedError{exitNoRoute, fmt.Errorf("nobody is subscribed to %q: %d of %d messages went nowhere%s", p.lost, p.unrouted, p.sent, subscribed(n))}
	}
	return nil
}

// subscribed says what the peers are subscribed to instead.
func subscribed(n *node) string {
	var text bytes.Buffer
	for _, peer := range n.Peers() {
		fmt.Fprintf(&text, "\n  %s (%v) is subscribed to %q", peer.Addr, peer.ID, peer.Filter)
	}
	return text.String()
}

// repeat publishes the event as often as asked: once, --count times, or as long as --for.
func (p *publisher) repeat(ctx context.Context, n *node, timed bool) error {
	for {
		receivers, err := n.PublishEvent(ctx, p.topic, p.event, p.args...)
		if err != nil {
			return err
		}
		p.note(p.topic, receivers)
		if p.count == p.sent || p.count == 0 && !timed {
			return nil
		}
		if err := p.pause(ctx); err != nil {
			return err
		}
	}
}

// lines publishes the messages on standard input.
func (p *publisher) lines(ctx context.Context, n *node, stdin io.Reader) error {
	type line struct {
		number int
		text   []byte
		err    error
	}
	// Reading cannot be interrupted, so it has a goroutine of its own.
	lines := make(chan line, 64)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(stdin)
		scanner.Buffer(nil, maxLine)
		number := 0
		for scanner.Scan() {
			number++
			select {
			case lines <- line{number: number, text: bytes.Clone(scanner.Bytes())}:
			case <-ctx.Done():
				return
			}
		}
		if err := scanner.Err(); err != nil {
			lines <- line{number: number + 1, err: err}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l, ok := <-lines:
			if !ok {
				return nil
			}
			if l.err != nil {
				return fmt.Errorf("standard input, line %d: %w", l.number, l.err)
			}
			if len(bytes.TrimSpace(l.text)) == 0 {
				continue
			}
			topic, v, err := data.ParseJSONMessage(l.text, data.AnyJSON)
			if err != nil {
				return fmt.Errorf("standard input, line %d: %w", l.number, err)
			}
			receivers, err := n.Publish(ctx, topic, v)
			if err != nil {
				return err
			}
			if p.note(topic, receivers); p.sent == p.count {
				return nil
			}
			if err := p.pause(ctx); err != nil {
				return err
			}
		}
	}
}

func (p *publisher) note(topic string, receivers int) {
	p.sent++
	if receivers == 0 {
		p.unrouted++
		p.lost = topic
	}
}

func (p *publisher) pause(ctx context.Context) error {
	if p.interval == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(p.interval):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
