package main

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/wire"
)

// nodeFlags are the flags of every command that runs a node. What is set before they are added is
// the default.
type nodeFlags struct {
	listen    []string
	peers     []string
	retry     time.Duration
	security  securityFlags
	id        string
	output    string
	count     uint64
	duration  time.Duration
	timeout   time.Duration
	waitPeers int
	logLevel  string
	observe   observeFlags
}

func (f *nodeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.listen, "listen", nil, "accept peers at `ADDR`, such as 127.0.0.1:9999 or [fe80::1%eth0]:9999; port 0 is any (repeatable)")
	flags.StringArrayVar(&f.peers, "peer", nil, "peer with the node at `ADDR` (repeatable)")
	flags.DurationVar(&f.retry, "retry", time.Second, "dial an unreachable or lost peer again after `DUR`; 0 to dial once")
	flags.StringVar(&f.id, "id", "", "endpoint id of this node, a `UUID` (default random)")
	flags.StringVar(&f.output, "output", f.output, "print as `FORMAT`: text, json (one data message a line) or none")
	flags.Uint64Var(&f.count, "count", f.count, "end after `N` messages; 0 for no limit")
	flags.DurationVar(&f.duration, "for", 0, "end after `DUR`, however few messages there were; 0 for no limit")
	flags.DurationVar(&f.timeout, "timeout", f.timeout, "give up, with exit code 3, if the peers are not there after `DUR`; 0 to wait for ever")
	flags.IntVar(&f.waitPeers, "wait-peers", 0, "begin when there are `N` peers (default: all that --peer names, or 1)")
	flags.StringVar(&f.logLevel, "log-level", "warn", "log to standard error from `LEVEL` on: debug, info, warn or error")
	f.security.add(flags)
	f.observe.add(flags)
	flags.SortFlags = false
}

// check refuses values that no node can be made from.
func (f *nodeFlags) check() (id wire.EndpointID, level slog.Level, err error) {
	if len(f.listen)+len(f.peers) == 0 {
		return id, level, usageError("nobody to talk to: give --peer ADDR to dial a node or --listen ADDR to be dialed")
	}
	for _, addr := range f.listen {
		if err := checkAddr(addr); err != nil {
			return id, level, usageError("--listen %s: %w", addr, err)
		}
	}
	for _, addr := range f.peers {
		if err := checkAddr(addr); err != nil {
			return id, level, usageError("--peer %s: %w", addr, err)
		}
	}
	return f.checkValues()
}

// checkValues is check without the addresses, which a node of a cluster has from its layout.
func (f *nodeFlags) checkValues() (id wire.EndpointID, level slog.Level, err error) {
	if !slices.Contains([]string{"text", "json", "none"}, f.output) {
		return id, level, usageError("--output %s: want text, json or none", f.output)
	}
	if f.retry < 0 || f.duration < 0 || f.timeout < 0 || f.waitPeers < 0 {
		return id, level, usageError("--retry, --for, --timeout and --wait-peers must not be negative")
	}
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return id, level, usageError("--log-level %s: want debug, info, warn or error", f.logLevel)
	}
	if f.id != "" {
		if id, err = wire.ParseEndpointID(f.id); err != nil {
			return id, level, usageError("--id: %w", err)
		}
		if id.IsZero() {
			return id, level, usageError("--id %s: this id names nobody; leave --id out for a random one", f.id)
		}
	}
	return id, level, nil
}

// checkAddr tells whether addr looks like an address, so that nobody waits for one that cannot be.
func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return errors.New("want HOST:PORT, such as 127.0.0.1:9999 or [::1]:9999")
	}
	return nil
}
