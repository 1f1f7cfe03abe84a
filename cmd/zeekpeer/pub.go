package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

func pubCommand() *cobra.Command {
	f := nodeFlags{output: "none", timeout: 10 * time.Second}
	var p publisher
	cmd := &cobra.Command{
		Use:   "pub {TOPIC EVENT [ARG...] | -}",
		Short: "Publish events",
		Long: `pub publishes an event with its arguments, or, with -, the messages that come on standard input,
one data message of Broker's JSON (v1) a line, as "zeekpeer sub --output json" prints them.

An argument that is a bare word is a string. Every other kind has its name before it:
  count:5  int:-3  real:1.5  bool:T  addr:10.0.0.1  subnet:10.0.0.0/8  port:80/tcp
  time:2026-01-31T23:59:59Z  time:1700000000.5  time:now  interval:1.5s  enum:Conn::LOG
  string:5  none:  json:{"@data-type":"set","data":[]}
Arguments that begin with - stand behind --.

It waits for its peers, and up to --wait-route more for somebody to subscribe, publishes, waits until
the peers have taken everything, and ends. --output json prints what is published.

Exit codes: 0 success; 1 error, such as a line that is no message, or messages that were not
delivered; 2 wrong command line; 3 no peers in time; 4 there were messages to whose topic nobody was
subscribed.`,
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
			if args[0] != "-" {
				p.topic = args[0]
				values := make([]data.Value, len(args)-2)
				for i, arg := range args[2:] {
					var err error
					if values[i], err = data.ParseArg(arg); err != nil {
						return usageError("argument %d: %w", i+1, err)
					}
				}
				p.event = zeek.AppendEvent(nil, args[1], values...)
			}
			if p.count = f.count; p.event != nil && f.count == 0 && f.duration == 0 {
				p.count = 1
			}
			p.print = newPrinter(cmd.OutOrStdout(), f.output)
			return p.run(cmd.Context(), &f, cmd.InOrStdin(), cmd.ErrOrStderr())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if strings.HasPrefix(err.Error(), "unknown shorthand flag") {
			return usageError("%w; arguments that begin with - stand behind --", err)
		}
		return usageError("%w", err)
	})
	f.add(cmd)
	flags := cmd.Flags()
	flags.Lookup("count").Usage = "publish the event `N` times, or the first N lines; 0 for once, or as often as fits --for, or all lines"
	flags.DurationVar(&p.patience, "wait-route", time.Second, "once the peers are there, wait up to `DUR` for somebody to subscribe")
	flags.BoolVar(&p.allowNoRoute, "allow-no-route", false, "succeed even if nobody is subscribed, and do not wait for it")
	flags.DurationVar(&p.interval, "interval", 0, "wait `DUR` between messages")
	return cmd
}

// A publisher is one run of pub.
type publisher struct {
	topic        string
	event        []byte // nil: messages come on standard input
	count        uint64 // 0: no limit
	interval     time.Duration
	patience     time.Duration // with peers that may be about to subscribe
	allowNoRoute bool
	print        *printer

	node           *node
	routeBy        time.Time // until then messages wait for a subscriber
	sent, unrouted uint64
	lost           string // a topic nobody was subscribed to
}

// routeStep is how often pub looks whether somebody has subscribed.
const routeStep = 5 * time.Millisecond

func (p *publisher) run(ctx context.Context, f *nodeFlags, stdin io.Reader, stderr io.Writer) (err error) {
	p.node, err = f.start(stderr, false, endpoint.WithPeerQueue(endpoint.QueueLimits{Policy: endpoint.Block}))
	if err != nil {
		return err
	}
	defer p.node.end()
	if p.event != nil {
		// There are no peers yet, so this only tells whether it can be published.
		if _, err := p.node.PublishPayload(ctx, p.topic, p.event); err != nil {
			return usageError("%w", err)
		}
	}
	if err := p.node.connect(ctx); err != nil {
		return err
	}
	limited, cancel := f.limited(ctx)
	defer cancel()
	working, done := p.node.whilePeers(limited)
	defer done(nil)
	if err := p.node.waitForPeers(working); err != nil {
		return err
	}
	if !p.allowNoRoute {
		p.routeBy = time.Now().Add(p.patience)
	}
	if p.event != nil {
		err = p.repeat(working)
	} else {
		err = p.lines(working, stdin)
	}
	if errors.Is(err, working.Err()) {
		err = nil // the end came from outside
		if context.Cause(working) == errNoPeer {
			err = errNoPeer
		}
	}
	if err == nil && ctx.Err() != nil {
		if p.sent < p.count {
			err = fmt.Errorf("interrupted: %d of %d messages published", p.sent, p.count)
		} else {
			fmt.Fprintf(stderr, "interrupted after %d messages\n", p.sent)
		}
	}
	filters := p.subscribed()
	p.node.drain(ctx)
	undelivered := p.node.end()
	switch {
	case err != nil:
		return err
	case undelivered > 0:
		return fmt.Errorf("%d messages were not delivered: their receivers went or did not take them", undelivered)
	case p.unrouted > 0 && !p.allowNoRoute:
		return &codedError{code: exitNoRoute, err: fmt.Errorf("nobody is subscribed to %q: %d of %d messages went nowhere%s", p.lost, p.unrouted, p.sent, filters)}
	}
	return nil
}

// subscribed says what the peers are subscribed to.
func (p *publisher) subscribed() string {
	var text bytes.Buffer
	for _, peer := range p.node.Peers() {
		fmt.Fprintf(&text, "\n  %s (%v) is subscribed to %q", peer.Addr, peer.ID, peer.Filter)
	}
	return text.String()
}

// repeat publishes the event as often as asked.
func (p *publisher) repeat(ctx context.Context) error {
	for {
		if more, err := p.publish(ctx, p.topic, p.event); !more {
			return err
		}
	}
}

// lines publishes the messages on standard input.
func (p *publisher) lines(ctx context.Context, stdin io.Reader) error {
	lines := make(chan line)
	go readLines(ctx, stdin, lines)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l, ok := <-lines:
			if !ok {
				return nil
			}
			more, err := false, l.err
			if err == nil {
				more, err = p.publish(ctx, l.topic, l.payload)
			}
			if errors.Is(err, endpoint.ErrTopic) || l.err != nil {
				err = fmt.Errorf("standard input, line %d: %w", l.number, err)
			}
			if !more {
				return err
			}
		}
	}
}

// publish publishes one message and waits for --interval. It reports whether there are to be more.
func (p *publisher) publish(ctx context.Context, topic string, payload []byte) (more bool, err error) {
	receivers, err := p.node.PublishPayload(ctx, topic, payload)
	for err == nil && receivers == 0 && time.Now().Before(p.routeBy) && pause(ctx, routeStep) {
		receivers, err = p.node.PublishPayload(ctx, topic, payload)
	}
	if err != nil {
		return false, err
	}
	p.sent++
	if receivers == 0 {
		p.unrouted++
		p.lost = topic
	}
	_, err = p.print.message(topic, payload)
	if err == nil {
		err = p.print.flush()
	}
	switch {
	case err != nil:
		return false, outputError(err)
	case p.sent == p.count:
		return false, nil
	}
	more = pause(ctx, p.interval)
	return more, ctx.Err()
}

// pause waits, and reports whether ctx has still not ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}
