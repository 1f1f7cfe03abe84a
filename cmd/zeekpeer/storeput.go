package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A mutation is a command that changes a store by one operation.
type mutation struct {
	use, short, long, example string
	permanent                 bool   // an expiry makes no sense
	flag, flagUsage           string // of its own, a yes or no
	shows                     bool   // it prints the value that comes of it

	// parse parses the arguments behind the name; nil for one value each.
	parse func(args []string) ([]data.Value, error)
	// op makes the operation. set is what --flag says.
	op func(ctx context.Context, c *clone, v []data.Value, set bool) (store.Op, error)
}

// always makes an op of one that depends on the arguments alone.
func always(op func(v []data.Value) store.Op) func(context.Context, *clone, []data.Value, bool) (store.Op, error) {
	return func(_ context.Context, _ *clone, v []data.Value, _ bool) (store.Op, error) { return op(v), nil }
}

var mutations = []mutation{
	{
		use: "put NAME KEY VALUE", short: "Put a value under a key",
		long: `put puts a value under a key, in place of what is there, or with --unique only if nothing is: of all who
try that, one succeeds.`,
		example: `  zeekpeer store put --peer 127.0.0.1:9999 blocklist addr:10.0.0.1 "port scan" --expire 1h
  zeekpeer store put --peer 127.0.0.1:9999 --unique locks job-7 worker-3 --expire 1m`,
		flag: "unique", flagUsage: "only if there is no value under the key",
		op: func(_ context.Context, _ *clone, v []data.Value, unique bool) (store.Op, error) {
			if unique {
				return store.PutUniqueOp(v[0], v[1]), nil
			}
			return store.PutOp(v[0], v[1]), nil
		},
	},
	{
		use: "erase NAME KEY", short: "Remove the value under a key", permanent: true,
		long:    "erase removes the value under a key.",
		example: "  zeekpeer store erase --peer 127.0.0.1:9999 blocklist addr:10.0.0.1",
		op:      always(func(v []data.Value) store.Op { return store.EraseOp(v[0]) }),
	},
	{
		use: "incr NAME KEY [BY]", short: "Add to a number or time", shows: true,
		long: `incr adds BY, 1 if it is left out, to the number under a key, and prints what is there then. A number
without a kind is of the kind of what it is added to; if nothing is there, a count, or a real if it has
a fraction. A negative one stands behind --, and is subtracted. To an interval or time an interval is
added (interval:5s). Nothing to begin with counts as zero, but nothing is subtracted from it.`,
		example: `  zeekpeer store incr --peer 127.0.0.1:9999 hits total
  zeekpeer store incr --peer 127.0.0.1:9999 hits total -- -3
  zeekpeer store incr --peer 127.0.0.1:9999 hits seconds real:0.25`,
		parse: parseIncrement, op: increment,
	},
	{
		use: "add NAME KEY ELEMENT [VALUE]", short: "Insert an element into a set, or an entry into a table",
		long: `add inserts an element into the set under a key or, with a value, sets what stands under an index of a
table. Without a set or table there it begins with an empty one.`,
		example: `  zeekpeer store add --peer 127.0.0.1:9999 hosts web addr:10.0.0.1
  zeekpeer store add --peer 127.0.0.1:9999 hosts roles addr:10.0.0.1 web`,
		op: always(func(v []data.Value) store.Op {
			if len(v) == 3 {
				return store.InsertEntryOp(v[0], v[1], v[2])
			}
			return store.InsertIntoOp(v[0], v[1])
		}),
	},
	{
		use: "remove NAME KEY ELEMENT", short: "Remove an element from a set, or an index from a table",
		long:    "remove removes an element from the set under a key, or an index and its value from a table.",
		example: "  zeekpeer store remove --peer 127.0.0.1:9999 hosts web addr:10.0.0.1",
		op:      always(func(v []data.Value) store.Op { return store.RemoveFromOp(v[0], v[1]) }),
	},
	{
		use: "append NAME KEY TEXT", short: "Append to a string",
		long: `append appends a text, whatever it looks like, to the string under a key. Without one it begins with an
empty string.`,
		example: `  zeekpeer store append --peer 127.0.0.1:9999 notes today "; seen again"`,
		parse: func(args []string) ([]data.Value, error) {
			v, err := parseArgs(args[:1], "KEY")
			return append(v, data.String(args[1])), err
		},
		op: always(func(v []data.Value) store.Op {
			text, _ := v[1].AsString()
			return store.AppendOp(v[0], text)
		}),
	},
	{
		use: "push NAME KEY VALUE", short: "Append an element to a vector",
		long:    "push appends an element to the vector under a key. Without one it begins with an empty vector.",
		example: "  zeekpeer store push --peer 127.0.0.1:9999 queues jobs job-7",
		op:      always(func(v []data.Value) store.Op { return store.PushOp(v[0], v[1]) }),
	},
	{
		use: "pop NAME KEY", short: "Remove the last element of a vector",
		long:    "pop removes the last element of the vector under a key.",
		example: "  zeekpeer store pop --peer 127.0.0.1:9999 queues jobs",
		op:      always(func(v []data.Value) store.Op { return store.PopOp(v[0]) }),
	},
	{
		use: "clear NAME --yes", short: "Remove everything", permanent: true,
		long:    "clear removes all entries of a store, for everybody.",
		example: "  zeekpeer store clear --peer 127.0.0.1:9999 blocklist --yes",
		flag:    "yes", flagUsage: "really remove everything (required)",
		op: always(func([]data.Value) store.Op { return store.ClearOp() }),
	},
}

const mutationHelp = `

What is no string has its kind before it, such as count:5; "zeekpeer store --help" has them all.

It prints "applied" when the master has executed the operation, and has made it durable if it is a
zeekpeer; --output json prints {"outcome":"applied"} or {"outcome":"no effect"}.`

const expiryHelp = ` An entry that is changed
without --expire stays for ever, even if it had an expiry before.`

const mutationCodes = `

Exit codes: 0 applied; 1 error, or it had no effect: there is no such key, or what is there does not suit
the operation; 2 wrong command line; 3 no master in time, or its answer did not come.`

func (m *mutation) command() *cobra.Command {
	f := newCloneFlags()
	var expire time.Duration
	var set bool
	usage, _, _ := strings.Cut(m.use, " --")
	names := strings.Fields(usage)[1:]
	least := len(names) - strings.Count(usage, "[")
	long := m.long + mutationHelp
	if !m.permanent {
		long += expiryHelp
	}
	cmd := &cobra.Command{
		Use: m.use, Short: m.short, Long: long + mutationCodes, Example: m.example,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case m.flag == "yes" && !set:
				return usageError("clear removes everything, for everybody: add --yes if that is meant")
			case cmd.Flags().Changed("expire") && expire <= 0:
				return usageError("--expire %v: want more than zero", expire)
			}
			return wantArgs(least, len(names), strings.Join(names, " "))(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			parse := m.parse
			if parse == nil {
				parse = func(args []string) ([]data.Value, error) { return parseArgs(args, names[1:]...) }
			}
			values, err := parse(args[1:])
			if err != nil {
				return err
			}
			c, err := f.attach(cmd.Context(), args[0], cmd.ErrOrStderr(), false)
			if err != nil {
				return err
			}
			defer c.end()
			op, err := m.op(cmd.Context(), c, values, set)
			if err != nil {
				return err
			}
			if expire > 0 {
				op = op.Expiring(expire)
			}
			outcome, err := c.do(cmd.Context(), op)
			if err != nil {
				return err
			}
			return m.report(cmd.Context(), c, f, values, outcome, cmd.OutOrStdout())
		},
	}
	if m.flag != "" {
		cmd.Flags().BoolVar(&set, m.flag, false, m.flagUsage)
	}
	if !m.permanent {
		cmd.Flags().DurationVar(&expire, "expire", 0, "remove the entry again after `DUR`, such as 90s or 12h")
	}
	f.brief(cmd)
	return cmd
}

// report prints what became of an operation.
func (m *mutation) report(ctx context.Context, c *clone, f *cloneFlags, values []data.Value, outcome store.Outcome, stdout io.Writer) error {
	if outcome != store.Applied {
		if f.output == "json" {
			if _, err := io.WriteString(stdout, "{\"outcome\":\"no effect\"}\n"); err != nil {
				return outputError(err)
			}
		}
		if len(values) == 0 {
			return errors.New("no effect")
		}
		return fmt.Errorf("no effect: %s", c.there(ctx, values[0]))
	}
	if m.shows {
		if v, err := c.Get(ctx, values[0]); err == nil { // nobody has erased it meanwhile
			return f.print(stdout, func(dst []byte) []byte { return data.AppendText(dst, v) }, func(dst []byte) []byte {
				return append(appendJSONValue(append(dst, `{"outcome":"applied","value":`...), v), '}')
			})
		}
	}
	return f.print(stdout, func(dst []byte) []byte { return append(dst, "applied"...) }, func(dst []byte) []byte {
		return append(dst, `{"outcome":"applied"}`...)
	})
}

// there says what is under a key, for whom an operation had no effect.
func (c *clone) there(ctx context.Context, key data.Value) string {
	v, err := c.Get(ctx, key)
	switch {
	case errors.Is(err, store.ErrNoSuchKey):
		return fmt.Sprintf("no such key: %v", key)
	case err != nil:
		return err.Error()
	}
	return fmt.Sprintf("the value under %v is of kind %v: %.200v", key, v.Kind(), v)
}

// parseIncrement parses a key and what is to be added. A number whose kind is open remains a string.
func parseIncrement(args []string) ([]data.Value, error) {
	v, err := parseArgs(args[:1], "KEY")
	if err != nil {
		return nil, err
	}
	if len(args) == 1 {
		return append(v, data.String("1")), nil
	}
	if _, err := strconv.ParseFloat(args[1], 64); err == nil {
		return append(v, data.String(args[1])), nil
	}
	by, err := parseArgs(args[1:], "BY")
	if err != nil {
		return nil, err
	}
	switch by[0].Kind() {
	case data.KindCount, data.KindInt, data.KindReal, data.KindTimespan:
		return append(v, by[0]), nil
	}
	return nil, usageError("BY: want a number, such as 5, real:0.5 or interval:5s, not %s", args[1])
}

// increment makes the operation of incr. A number whose kind is open gets that of what is there.
func increment(ctx context.Context, c *clone, v []data.Value, _ bool) (store.Op, error) {
	text, open := v[1].AsString()
	if !open {
		return store.IncrementOp(v[0], v[1]), nil
	}
	there, err := c.Get(ctx, v[0])
	kind := there.Kind()
	if errors.Is(err, store.ErrNoSuchKey) {
		if kind = data.KindCount; strings.ContainsAny(text, ".eE") {
			kind = data.KindReal
		}
	} else if err != nil {
		return store.Op{}, err
	}
	digits, negative := strings.CutPrefix(text, "-")
	decrement := false
	switch kind {
	case data.KindInt:
		text = "int:" + strings.TrimPrefix(text, "+")
	case data.KindReal:
		text = "real:" + text
	case data.KindTimespan, data.KindTime:
		return store.Op{}, fmt.Errorf("under %v is a %v: say what to add as interval:%ss", v[0], kind, text)
	default: // for the master to refuse if it is no count
		text, decrement = "count:"+strings.TrimPrefix(digits, "+"), negative
	}
	by, err := data.ParseArg(text)
	switch {
	case err != nil:
		return store.Op{}, fmt.Errorf("under %v is a %v: %w", v[0], kind, err)
	case decrement:
		return store.DecrementOp(v[0], by), nil
	}
	return store.IncrementOp(v[0], by), nil
}
