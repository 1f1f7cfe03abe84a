package main

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func storeWatchCommand() *cobra.Command {
	f := newCloneFlags()
	var skip bool
	cmd := &cobra.Command{
		Use:   "watch NAME",
		Short: "Print the contents of a store, and then every change",
		Long: `watch prints what a store contains, and from then on every change as it comes:

  snapshot of 2 entries
  entry KEY = VALUE
  entry KEY = VALUE
  insert KEY = VALUE, expires after 1m0s, by PUBLISHER
  update KEY: OLD -> NEW, by PUBLISHER
  erase KEY, was VALUE, by PUBLISHER
  expire KEY, was VALUE, by PUBLISHER

The publisher is the store whose user caused the change, as endpoint id and number. Another snapshot comes
in place of changes when there are more than can be printed, or when the master was replaced: what the
changes were in between is not known then.

With --output json each line is an object with "event", which is the first word of the lines above, and
"entries", "key", "value", "old", "expiry" (in seconds) and "publisher" where they belong.

It ends after --count changes or --for some time, and with SIGINT or SIGTERM. It waits for a master that
was lost, as long as it takes.

Exit codes: 0 success; 1 error; 2 wrong command line; 3 no master in time.`,
		Example: `  zeekpeer store watch --peer 127.0.0.1:9999 blocklist
  zeekpeer store watch --peer 127.0.0.1:9999 --no-snapshot --output json blocklist | jq -r .key`,
		Args: wantArgs(1, 1, "the name of a store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := f.limited(cmd.Context())
			defer cancel()
			c, err := f.attach(ctx, args[0], cmd.ErrOrStderr(), true)
			if err != nil {
				return err
			}
			defer c.end()
			w := storeWatcher{out: bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10), format: f.output, entries: !skip, left: f.count}
			return w.watch(ctx, c)
		},
	}
	cmd.Flags().BoolVar(&skip, "no-snapshot", false, "print how many entries a snapshot has, and not what they are")
	f.add(cmd)
	cmd.Flags().Lookup("count").Usage = "end after `N` changes, entries of snapshots not counted; 0 for no limit"
	cmd.Flags().Lookup("for").Usage = "end after `DUR`; 0 for no limit"
	return cmd
}

// A storeWatcher prints what happens to a store.
type storeWatcher struct {
	out     *bufio.Writer
	format  string
	entries bool   // of snapshots, too
	left    uint64 // changes to print; 0: no limit
	line    []byte
}

func (w *storeWatcher) watch(ctx context.Context, c *clone) error {
	ctx, disconnect := c.node.whilePeers(ctx)
	defer disconnect(nil)
	first := true
	for u, err := range c.Watch(ctx) {
		if err != nil {
			return err
		}
		more := true
		if u.Kind == store.Snapshot {
			err = w.snapshot(ctx, &u, first)
			first = false
		} else {
			more, err = w.change(&u)
		}
		if err == nil {
			err = w.out.Flush()
		}
		if err != nil || !more {
			return outputError(err)
		}
	}
	if context.Cause(ctx) == errNoPeer {
		return errNoPeer
	}
	return nil
}

func (w *storeWatcher) snapshot(ctx context.Context, u *store.Update, first bool) error {
	why := ""
	if !first {
		why = ", in place of changes that are not known"
	}
	var err error
	if w.format == "json" {
		_, err = fmt.Fprintf(w.out, "{\"event\":\"snapshot\",\"entries\":%d}\n", u.Len())
	} else if w.format == "text" {
		_, err = fmt.Fprintf(w.out, "snapshot of %d entries%s\n", u.Len(), why)
	}
	if !w.entries {
		return err
	}
	for key, value := range u.Entries() {
		if err != nil || ctx.Err() != nil {
			return err
		}
		if w.format == "json" {
			w.line = append(w.line[:0], `{"event":"entry","key":`...)
			w.line = appendJSONValue(w.line, key)
			w.line = appendJSONValue(append(w.line, `,"value":`...), value)
			w.line = append(w.line, '}')
		} else {
			w.line = data.AppendText(append(w.line[:0], "entry "...), key)
			w.line = data.AppendText(append(w.line, " = "...), value)
		}
		err = w.write()
	}
	return err
}

// change prints a change, and reports whether there are to be more.
func (w *storeWatcher) change(u *store.Update) (more bool, err error) {
	if w.format == "json" {
		w.line = appendJSONUpdate(w.line[:0], u)
	} else {
		w.line = appendUpdate(w.line[:0], u)
	}
	if w.left > 0 {
		w.left--
		return w.left > 0, w.write()
	}
	return true, w.write()
}

func (w *storeWatcher) write() error {
	if w.format == "none" {
		return nil
	}
	_, err := w.out.Write(append(w.line, '\n'))
	return err
}

func appendUpdate(dst []byte, u *store.Update) []byte {
	dst = data.AppendText(append(append(dst, u.Kind.String()...), ' '), u.Key())
	switch u.Kind {
	case store.Inserted:
		dst = data.AppendText(append(dst, " = "...), u.Value())
	case store.Updated:
		dst = data.AppendText(append(dst, ": "...), u.Old())
		dst = data.AppendText(append(dst, " -> "...), u.Value())
	default:
		dst = data.AppendText(append(dst, ", was "...), u.Old())
	}
	if u.HasExpiry {
		dst = fmt.Appendf(dst, ", expires after %v", u.Expiry)
	}
	return fmt.Appendf(dst, ", by %v", u.Publisher)
}

func appendJSONUpdate(dst []byte, u *store.Update) []byte {
	dst = fmt.Appendf(dst, `{"event":"%v","key":`, u.Kind)
	dst = appendJSONValue(dst, u.Key())
	if u.Kind == store.Inserted || u.Kind == store.Updated {
		dst = appendJSONValue(append(dst, `,"value":`...), u.Value())
	}
	if u.Kind != store.Inserted {
		dst = appendJSONValue(append(dst, `,"old":`...), u.Old())
	}
	if u.HasExpiry {
		dst = strconv.AppendFloat(append(dst, `,"expiry":`...), float64(u.Expiry)/float64(time.Second), 'f', -1, 64)
	}
	return fmt.Appendf(dst, `,"publisher":"%v"}`, u.Publisher)
}
