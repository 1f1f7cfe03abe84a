package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// subQueue is what a sub keeps when it prints more slowly than messages come.
var subQueue = endpoint.QueueLimits{Messages: 1 << 20, Bytes: 256 << 20, Policy: endpoint.DropOldest}

func subCommand() *cobra.Command {
	f := nodeFlags{output: "text"}
	var verify, blocksStores bool
	cmd := &cobra.Command{
		Use:   "sub TOPIC...",
		Short: "Print what is published under topics",
		Long: `sub prints every message under the given topics, which are prefixes: /a takes /a/b and /ab.

Events are printed as name(arguments), everything else as values are: [a, b] is a vector, {a, b} a
set, {k -> v} a table, nil is none. With --output json each line is a data message of Broker's JSON
(v1), which "zeekpeer pub -" reads.

It ends after --count messages or --for some time, with SIGINT or SIGTERM, when nobody reads what it
prints, and, with --retry 0, when the last peer has gone. It waits for peers as long as it takes,
unless --timeout says otherwise. If it cannot keep up with what comes, it drops the oldest messages
and says how many. Standard error tells of peers that come and go, and ends with one line:

  received N messages, B bytes, in S s (R/s from the first to the last), D dropped, V invalid

Exit codes: 0 success; 1 error, peers gone, or, with --verify, invalid messages; 2 wrong command line;
3 no peers in time.`,
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
			opts := []endpoint.SubscribeOption{endpoint.WithQueue(subQueue)}
			if blocksStores {
				opts = append(opts, endpoint.AllowBlockingStores())
			}
			t := tally{print: newPrinter(cmd.OutOrStdout(), f.output), verify: verify, count: f.count, stderr: cmd.ErrOrStderr()}
			return sub(cmd.Context(), &f, topics, opts, &t)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&verify, "verify", false, "decode each message as an event and check every argument, whatever the output")
	cmd.Flags().BoolVar(&blocksStores, "i-know-this-blocks-stores", false, "allow topics that keep Zeek nodes from creating stores")
	return cmd
}

// subscribe subscribes to topics of the command line.
func (n *node) subscribe(topics []string, opts ...endpoint.SubscribeOption) (*endpoint.Subscription, error) {
	s, err := n.Subscribe(topics, opts...)
	if blocks, ok := errors.AsType[*endpoint.BlocksStoresError](err); ok {
		return nil, usageError("subscribing to %q keeps Zeek nodes from creating stores whose topics begin so. Use a longer topic, or add --i-know-this-blocks-stores", blocks.Topic)
	} else if err != nil {
		return nil, usageError("%w", err)
	}
	return s, nil
}

func sub(ctx context.Context, f *nodeFlags, topics []string, opts []endpoint.SubscribeOption, t *tally) error {
	n, err := f.start(t.stderr, true)
	if err != nil {
		return err
	}
	defer n.end()
	s, err := n.subscribe(topics, opts...)
	if err != nil {
		return err
	}
	if err := n.connect(ctx); err != nil {
		return err
	}
	ctx, cancel := f.limited(ctx)
	defer cancel()
	connected, disconnect := n.whilePeers(ctx)
	defer disconnect(nil)
	if f.timeout > 0 || f.waitPeers > 0 || f.retry == 0 {
		err = n.waitForPeers(connected)
	}
	if err == nil {
		context.AfterFunc(connected, func() {
			if context.Cause(connected) == errNoPeer {
				n.end() // and so the subscription, after the last message
			}
		})
		err = t.receive(ctx, s)
	}
	n.end() // which tells of peers until it returns
	if err == errInterrupted {
		err = nil
	}
	if err != nil {
		tell(t.stderr, err)
		err = &codedError{code: codeOf(err), err: err, told: true}
	}
	t.report(s.Stats().Dropped)
	return err
}
