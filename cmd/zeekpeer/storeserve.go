package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/store"
)

func storeServeCommand() *cobra.Command {
	f := nodeFlags{output: "none"}
	var b backendFlags
	cmd := &cobra.Command{
		Use:   "serve NAME",
		Short: "Be the master of a store",
		Long: `serve is the master of a store, to which clones attach: those of zeekpeer and of Zeek, each as a direct
peer. With --backend pebble or sqlite the contents and the expiries are kept, and a write is acknowledged
when it is on the disk. A restarted master is the same as before, and clones go on where they were: the
endpoint id comes from the file, and --id is not needed. A file of sqlite may be a Zeek node's, and may
become one again; one program at a time.

It runs until SIGINT or SIGTERM, or for the time of --for. Standard error tells at first what is served,
then of peers and clones that come and go, and ends with one line:

  NAME: E entries, B bytes, N events, A attached clones, R rejected commands; where the contents are

An event is a change that clones are told of, or the answer to a write that had no effect. --metrics serves
zeekpeer_store_entries, _bytes, _events_total, _clones, _lag_events, _writers, _attached_total, _rejected_total
and _failing (1 as long as the backend fails), by store, besides the metrics of every node.

Exit codes: 0 success; 1 error, such as a file that is locked or damaged; 2 wrong command line.`,
		Example: `  zeekpeer store serve blocklist --listen 127.0.0.1:9999
  zeekpeer store serve blocklist --listen :9999 --backend pebble --path /var/lib/zeekpeer/blocklist
  zeekpeer store serve known_hosts --peer 10.0.0.1:9999 --backend sqlite --path /var/lib/zeek/known_hosts.sqlite`,
		Args: wantArgs(1, 1, "the name of one store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return serveStore(cmd.Context(), &f, &b, args[0], cmd.ErrOrStderr(), cmd.Flags().Changed("log-level"))
		},
	}
	b.add(cmd.Flags())
	f.addExcept(cmd, "output", "count", "timeout", "wait-peers")
	for flag, usage := range map[string]string{
		"id":        "endpoint id of the master, a `UUID` (default that of the master before, if a backend knows one, or random)",
		"for":       "end after `DUR`; 0 for no limit",
		"log-level": "log to standard error from `LEVEL` on: debug, info, warn or error (by default the store from info on, the rest from warn)",
	} {
		cmd.Flags().Lookup(flag).Usage = usage
	}
	return cmd
}

func serveStore(ctx context.Context, f *nodeFlags, b *backendFlags, name string, stderr io.Writer, levelChosen bool) error {
	if _, _, err := f.check(); err != nil {
		return err
	}
	// Who attaches is of interest, and little else is logged at this level.
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if levelChosen {
		log = f.logger(stderr)
	}
	backend, err := b.open(log)
	if err != nil {
		return err
	}
	opts := []store.Option{store.WithLogger(log)}
	closeBackend := func() error { return nil }
	if backend != nil {
		opts, closeBackend = append(opts, store.WithBackend(backend)), backend.Close
		if f.id == "" {
			id, err := store.EndpointID(backend)
			if err != nil {
				return errors.Join(err, closeBackend())
			}
			f.id = id.String()
		}
	}
	n, err := f.start(stderr, true)
	if err != nil {
		return errors.Join(err, closeBackend())
	}
	defer n.end()
	s, err := store.AttachMaster(n.Endpoint, name, opts...)
	if err != nil {
		return errors.Join(err, closeBackend())
	}
	defer s.Close()
	n.collectors = append(n.collectors, storeCollector{s})
	start := s.Status()
	fmt.Fprintf(stderr, "master of store %s: %d entries, %d bytes\n", name, start.Entries, start.Bytes)
	fmt.Fprintf(stderr, "contents in %v\n", b)
	fmt.Fprintf(stderr, "endpoint %v, %s\n", n.ID(), n.security.describe())
	if err := n.connect(ctx); err != nil {
		return err
	}
	err = errors.Join(n.work(ctx), s.Status().Err, s.Close())
	n.end()
	end := s.Status()
	fmt.Fprintf(stderr, "%s: %d entries, %d bytes, %d events, %d attached clones, %d rejected commands; %v\n",
		name, end.Entries, end.Bytes, end.Seq-start.Seq, end.Attaches, end.Rejected, b)
	return err
}
