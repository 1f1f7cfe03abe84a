package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

// nodeFlags are the flags of every command that runs a node.
type nodeFlags struct {
	listen    []string
	peers     []string
	retry     time.Duration
	tls       string
	id        string
	output    string
	count     uint64
	duration  time.Duration
	timeout   time.Duration
	waitPeers int
	logLevel  string
}

func (f *nodeFlags) add(cmd *cobra.Command, timeout time.Duration) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.listen, "listen", nil, "accept peers at `ADDR`, such as 127.0.0.1:9999 or [fe80::1%eth0]:9999 (repeatable)")
	flags.StringArrayVar(&f.peers, "peer", nil, "peer with the node at `ADDR` (repeatable)")
	flags.DurationVar(&f.retry, "retry", time.Second, "dial an unreachable or lost peer again after `DUR`; 0 to dial once")
	flags.StringVar(&f.tls, "tls", "off", "encryption: `off` is the only mode yet")
	flags.StringVar(&f.id, "id", "", "endpoint id of this node, a `UUID` (default random)")
	flags.StringVar(&f.output, "output", "text", "`text`, json (one data message a line) or none")
	flags.Uint64Var(&f.count, "count", f.count, "end after `N` messages; 0 for no limit")
	flags.DurationVar(&f.duration, "for", 0, "end after `DUR`; 0 for no limit")
	flags.DurationVar(&f.timeout, "timeout", timeout, "give up, with exit code 3, if there are no peers after `DUR`; 0 to wait for ever")
	flags.IntVar(&f.waitPeers, "wait-peers", 0, "begin when there are `N` peers (default: as many as --peer names, or 1)")
	flags.StringVar(&f.logLevel, "log-level", "warn", "log to standard error from `LEVEL` on: debug, info, warn or error")
	cmd.Flags().SortFlags = false
}

// check refuses values that no node can be made from.
func (f *nodeFlags) check() error {
	if len(f.listen)+len(f.peers) == 0 {
		return usageError("nobody to talk to: give --peer ADDR to dial a node or --listen ADDR to be dialed")
	}
	if f.tls != "off" {
		return usageError("--tls %s: off is the only mode yet", f.tls)
	}
	if !slices.Contains([]string{"text", "json", "none"}, f.output) {
		return usageError("--output %s: want text, json or none", f.output)
	}
	if f.retry < 0 || f.duration < 0 || f.timeout < 0 || f.waitPeers < 0 {
		return usageError("durations and --wait-peers must not be negative")
	}
	return nil
}

// A node is an endpoint with the addresses of the command line.
type node struct {
	*endpoint.Endpoint
	peerings []*endpoint.Peering
	flags    *nodeFlags
}

// start makes the node, without connecting it yet.
func (f *nodeFlags) start(stderr io.Writer, opts ...endpoint.Option) (*node, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, usageError("--log-level %s: want debug, info, warn or error", f.logLevel)
	}
	opts = append(opts, endpoint.WithRetry(f.retry),
		endpoint.WithLogger(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))))
	if f.id != "" {
		id, err := wire.ParseEndpointID(f.id)
		if err != nil {
			return nil, usageError("--id: %w", err)
		}
		opts = append(opts, endpoint.WithID(id))
	}
	e, err := endpoint.New(opts...)
	if err != nil {
		return nil, err
	}
	return &node{Endpoint: e, flags: f}, nil
}

// connect listens and dials.
func (n *node) connect(ctx context.Context, stderr io.Writer) error {
	for _, addr := range n.flags.listen {
		at, err := n.Listen(ctx, addr)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		fmt.Fprintf(stderr, "listening on %v\n", at)
	}
	for _, addr := range n.flags.peers {
		p, err := n.Peer(addr)
		if err != nil {
			return usageError("--peer: %w", err)
		}
		n.peerings = append(n.peerings, p)
	}
	return nil
}

// waitForPeers waits for as many peers as the flags say.
func (n *node) waitForPeers(ctx context.Context) error {
	want := n.flags.waitPeers
	if want == 0 {
		want = max(len(n.flags.peers), 1)
	}
	waiting := ctx
	if n.flags.timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, n.flags.timeout)
		defer cancel()
	}
	// With --retry 0 an address that failed will not come back.
	waiting, failed := context.WithCancelCause(waiting)
	defer failed(nil)
	for _, p := range n.peerings {
		go func() {
			select {
			case <-p.Done():
				failed(p.Err())
			case <-waiting.Done():
			}
		}()
	}
	err := n.WaitPeers(waiting, want)
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(waiting.Err(), context.DeadlineExceeded):
		return &codedError{exitTimeout, fmt.Errorf("%d of %d peers after %v%s", len(n.Peers()), want, n.flags.timeout, n.problems())}
	}
	return fmt.Errorf("%d of %d peers%s", len(n.Peers()), want, n.problems())
}

// problems lists what keeps the node from its peers.
func (n *node) problems() string {
	var text strings.Builder
	for _, p := range n.peerings {
		if err := p.Err(); err != nil {
			fmt.Fprintf(&text, "\n  %v", err)
		}
	}
	if text.Len() == 0 {
		return ""
	}
	return ":" + text.String()
}

// closeTimeout bounds how long a node takes to end.
const closeTimeout = 5 * time.Second

// end closes the node, having sent what is queued.
func (n *node) end() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	n.Close(ctx)
}

// limited returns the context in which the command works: until --for is over.
func (f *nodeFlags) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.duration > 0 {
		return context.WithTimeout(ctx, f.duration)
	}
	return context.WithCancel(ctx)
}
