package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

func pingCommand() *cobra.Command {
	f := nodeFlags{output: "text", count: 4, timeout: 10 * time.Second}
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "ping",
		Short: "Measure the round trip to peers",
		Long: `ping sends protocol pings, which every Broker node answers by itself, to each peer in turn and prints
how long the answers took. A summary comes on standard error.

Exit codes: 0 all were answered; 1 error; 2 wrong command line; 3 no peers in time, or no answer.`,
		Example: `  zeekpeer ping --peer 127.0.0.1:9999
  zeekpeer ping --peer 10.0.0.1:27761 --peer 10.0.0.2:27761 --count 5 --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("ping takes no arguments: give the address as --peer %s", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ping(cmd.Context(), &f, interval, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.add(cmd)
	cmd.Flags().Lookup("count").Usage = "end after `N` rounds; 0 for no limit"
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "wait `DUR` between rounds")
	return cmd
}

// pingTimeout is how long one answer may take.
const pingTimeout = 5 * time.Second

func ping(ctx context.Context, f *nodeFlags, interval time.Duration, stdout, stderr io.Writer) error {
	n, err := f.start(stderr, false)
	if err != nil {
		return err
	}
	defer n.end()
	if err := n.connect(ctx); err != nil {
		return err
	}
	ctx, cancel := f.limited(ctx)
	defer cancel()
	ctx, disconnect := n.whilePeers(ctx)
	defer disconnect(nil)
	if err := n.waitForPeers(ctx); err != nil {
		return err
	}
	var times []time.Duration
	lost := 0
	known := 0 // how many peers there were at most
	for round := uint64(0); f.count == 0 || round < f.count; round++ {
		if round > 0 && !pause(ctx, interval) {
			break
		}
		peers := n.Peers()
		known = max(known, len(peers))
		if gone := known - len(peers); gone > 0 {
			lost += gone
			fmt.Fprintf(stderr, "%d of %d peers cannot be pinged\n", gone, known)
		}
		for _, peer := range peers {
			one, cancel := context.WithTimeout(ctx, pingTimeout)
			rtt, err := n.Ping(one, peer.ID)
			cancel()
			if ctx.Err() != nil {
				break
			}
			if err != nil {
				lost++
				fmt.Fprintf(stderr, "no answer from %s: %v\n", peer.Addr, err)
				continue
			}
			times = append(times, rtt)
			switch f.output {
			case "text":
				_, err = fmt.Fprintf(stdout, "pong from %s (%v): %v\n", peer.Addr, peer.ID, rtt.Round(time.Microsecond/10))
			case "json":
				_, err = fmt.Fprintf(stdout, "{\"addr\":%q,\"id\":%q,\"rtt_us\":%.1f}\n", peer.Addr, peer.ID, float64(rtt)/1e3)
			}
			if err != nil {
				return outputError(err)
			}
		}
	}
	if len(times) > 0 {
		slices.Sort(times)
		fmt.Fprintf(stderr, "%d answers, %d lost; min %v, median %v, max %v\n", len(times), lost, times[0], times[len(times)/2], times[len(times)-1])
	}
	switch {
	case context.Cause(ctx) == errNoPeer:
		return errNoPeer
	case lost > 0 || len(times) == 0 && ctx.Err() == nil:
		return &codedError{code: exitTimeout, err: fmt.Errorf("%d of %d pings were not answered", lost, lost+len(times))}
	}
	return nil
}
