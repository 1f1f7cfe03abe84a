package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/topic"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Serve replicated stores, and read and change them",
		Long: `store works with Broker's replicated stores: keys and values that one node, the master, keeps, and that
any number of clones have a copy of.

"store serve" is a master. "store convert" moves what a master keeps from one kind of file to another.
All others are clones that come and go: they peer with the master (--peer ADDR, or --listen ADDR), which
must be a direct peer, get a copy of the store, do what they are asked to, and take leave. The master may
be "store serve", a Zeek node, or any other Broker node.

NAME is the name of the store. KEY and VALUE are strings if they are bare words. Every other kind has its
name before it:
  count:5  int:-3  real:1.5  bool:T  addr:10.0.0.1  subnet:10.0.0.0/8  port:80/tcp
  time:2026-01-31T23:59:59Z  time:1700000000.5  time:now  interval:1.5s  enum:Conn::LOG
  string:5  none:  json:{"@data-type":"set","data":[]}
Arguments that begin with - stand behind --.

With --output json a key or value is a string if it is one, and else in Broker's JSON (v1).

Exit codes: 0 success, and the operation was applied; 1 error, no such key, or the operation had no
effect; 2 wrong command line; 3 no master in time, or no answer from it.`,
		Example: `  zeekpeer store serve blocklist --backend pebble --path /var/lib/blocklist --listen :9999
  zeekpeer store put  --peer 127.0.0.1:9999 blocklist addr:10.0.0.1 "port scan" --expire 1h
  zeekpeer store get  --peer 127.0.0.1:9999 blocklist addr:10.0.0.1
  zeekpeer store dump --peer 127.0.0.1:9999 blocklist > blocklist.json`,
		RunE: helpOnly,
	}
	cmd.AddCommand(storeServeCommand(), storeGetCommand(), storeKeysCommand())
	for i := range mutations {
		cmd.AddCommand(mutations[i].command())
	}
	cmd.AddCommand(storeDumpCommand(), storeLoadCommand(), storeWatchCommand(), storeStatusCommand(), storeConvertCommand())
	return cmd
}

// helpOnly is what a command does that has others below it and none of its own to do.
func helpOnly(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("unknown command %q for %q", args[0], cmd.CommandPath())
	}
	return cmd.Help()
}

// dashes explains the error that an argument such as -3 leads to.
func dashes(_ *cobra.Command, err error) error {
	if strings.HasPrefix(err.Error(), "unknown shorthand flag") {
		return usageError("%w; arguments that begin with - stand behind --", err)
	}
	return usageError("%w", err)
}

// wantArgs returns a check for so many arguments, which usage names.
func wantArgs(least, most int, usage string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError("%s wants %s", cmd.Name(), usage)
		}
		if args[0] == "" {
			return usageError("a store has a name that is not empty")
		}
		return nil
	}
}

// parseArgs parses keys and values, whose names are for errors.
func parseArgs(args []string, names ...string) ([]data.Value, error) {
	values := make([]data.Value, len(args))
	for i, arg := range args {
		var err error
		if values[i], err = data.ParseArg(arg); err != nil {
			return nil, usageError("%s: %w", names[i], err)
		}
	}
	return values, nil
}

// cloneFlags are those of the commands that are a clone for a while.
type cloneFlags struct{ nodeFlags }

func newCloneFlags() *cloneFlags {
	return &cloneFlags{nodeFlags{output: "text", timeout: 10 * time.Second}}
}

func (f *cloneFlags) add(cmd *cobra.Command, except ...string) {
	cmd.SetFlagErrorFunc(dashes)
	f.addExcept(cmd, append(except, "wait-peers")...)
	flags := cmd.Flags()
	flags.Lookup("timeout").Usage = "give up, with exit code 3, if the master is not there after `DUR`, or does not answer for so long; 0 to wait for ever"
	if output := flags.Lookup("output"); output != nil {
		output.Usage = "print as `FORMAT`: text, json or none"
	}
}

// brief adds the flags for a command that ends soon.
func (f *cloneFlags) brief(cmd *cobra.Command) { f.add(cmd, "count", "for", "admin", "metrics") }

// A clone is a clone of a store at a node of its own.
type clone struct {
	*store.Store
	node    *node
	timeout time.Duration
}

// attach makes the clone and waits for its contents. It tells of peers that come and leave only if told to.
func (f *cloneFlags) attach(ctx context.Context, name string, stderr io.Writer, everyPeer bool) (*clone, error) {
	n, err := f.start(stderr, everyPeer)
	if err != nil {
		return nil, err
	}
	s, err := store.AttachClone(n.Endpoint, name, store.WithLogger(f.logger(stderr)))
	if err != nil {
		n.end()
		return nil, usageError("%w", err)
	}
	c := &clone{Store: s, node: n, timeout: f.timeout}
	if err = n.connect(ctx); err == nil {
		err = c.waitReady(ctx)
	}
	if err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// end says goodbye to the master and ends the node.
func (c *clone) end() {
	c.Close()
	c.node.end()
}

// patient returns a context that ends after --timeout.
func (c *clone) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.timeout > 0 {
		return context.WithTimeout(ctx, c.timeout)
	}
	return context.WithCancel(ctx)
}

func (c *clone) waitReady(ctx context.Context) error {
	ctx, disconnect := c.node.whilePeers(ctx)
	defer disconnect(nil)
	waiting, cancel := c.patient(ctx)
	defer cancel()
	switch err := c.WaitReady(waiting); {
	case err == nil:
		return nil
	case context.Cause(ctx) == errNoPeer:
		return errNoPeer
	case ctx.Err() != nil:
		return errors.New("interrupted before the master was there")
	case waiting.Err() == nil:
		return err
	}
	return &codedError{code: exitTimeout, err: fmt.Errorf("no master of store %q after %v: %s", c.Name(), c.timeout, c.seen())}
}

// seen says what there is in place of a master, and what to do.
func (c *clone) seen() string {
	const direct = "the master must be a direct peer"
	peers := c.node.Peers()
	if len(peers) == 0 {
		return "there is no peer"
	}
	var others []string
	for _, p := range peers {
		var masters []string
		for _, t := range p.Filter {
			if name, ok := strings.CutSuffix(t, topic.MasterSuffix); ok {
				masters = append(masters, fmt.Sprintf("%q", name))
			}
		}
		switch {
		case slices.Contains(p.Filter, c.Name()+topic.MasterSuffix):
			return fmt.Sprintf("%s (%v) has it, but does not answer", p.Addr, p.ID)
		case len(masters) > 0:
			slices.Sort(masters)
			others = append(others, fmt.Sprintf("%s has that of %s", p.Addr, strings.Join(masters, ", ")))
		default:
			others = append(others, p.Addr+" has none of any store")
		}
	}
	return strings.Join(others, "; ") + "; " + direct
}

// do submits an operation and waits for its outcome.
func (c *clone) do(ctx context.Context, op store.Op) (store.Outcome, error) {
	waiting, cancel := c.patient(ctx)
	defer cancel()
	p, err := c.Submit(waiting, op)
	if err != nil {
		return store.Submitted, err
	}
	outcome, err := p.Wait(waiting)
	switch {
	case err == nil:
		return outcome, nil
	case ctx.Err() != nil:
		return outcome, fmt.Errorf("interrupted: %w", store.ErrOutcomeUnknown)
	case waiting.Err() != nil:
		err = &codedError{code: exitTimeout, err: fmt.Errorf("%w; waited %v", err, c.timeout)}
	}
	return outcome, err
}

// print prints a line as --output says.
func (f *nodeFlags) print(w io.Writer, text, json func(dst []byte) []byte) error {
	var line []byte
	switch f.output {
	case "text":
		line = text(nil)
	case "json":
		line = json(nil)
	default:
		return nil
	}
	_, err := w.Write(append(line, '\n'))
	return outputError(err)
}
