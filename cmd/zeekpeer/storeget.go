package main

import (
	"bufio"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

func storeGetCommand() *cobra.Command {
	f := newCloneFlags()
	cmd := &cobra.Command{
		Use:   "get NAME KEY [INDEX]",
		Short: "Print the value under a key",
		Long: `get prints the value under a key. With an index it prints what stands under that: of a table the value
there, of a vector the element (from 0), of a set whether it has the element.

--output json prints {"key":...,"value":...}, which "zeekpeer store load" reads, or with an index
{"key":...,"index":...,"value":...}.

Exit codes: 0 success; 1 error, no such key or index; 2 wrong command line; 3 no master in time.`,
		Example: `  zeekpeer store get --peer 127.0.0.1:9999 blocklist addr:10.0.0.1
  zeekpeer store get --peer 127.0.0.1:9999 hits per-host addr:10.0.0.1
  zeekpeer store get --peer 127.0.0.1:9999 --output json hits per-host`,
		Args: wantArgs(2, 3, "the name of a store and a key, and perhaps an index"),
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := parseArgs(args[1:], "KEY", "INDEX")
			if err != nil {
				return err
			}
			c, err := f.attach(cmd.Context(), args[0], cmd.ErrOrStderr(), false)
			if err != nil {
				return err
			}
			defer c.end()
			key, v := values[0], data.Value{}
			if len(values) > 1 {
				v, err = c.Index(cmd.Context(), key, values[1])
			} else {
				v, err = c.Get(cmd.Context(), key)
			}
			if err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), func(dst []byte) []byte { return data.AppendText(dst, v) }, func(dst []byte) []byte {
				if len(values) == 1 {
					return appendJSONEntry(dst, key, v)
				}
				dst = appendJSONValue(append(dst, `{"key":`...), key)
				dst = appendJSONValue(append(dst, `,"index":`...), values[1])
				dst = appendJSONValue(append(dst, `,"value":`...), v)
				return append(dst, '}')
			})
		},
	}
	f.brief(cmd)
	return cmd
}

func storeKeysCommand() *cobra.Command {
	f := newCloneFlags()
	cmd := &cobra.Command{
		Use:   "keys NAME",
		Short: "Print all keys",
		Long: `keys prints all keys of a store, each on a line, ordered by kind and value.

Exit codes: 0 success; 1 error; 2 wrong command line; 3 no master in time.`,
		Example: `  zeekpeer store keys --peer 127.0.0.1:9999 blocklist
  zeekpeer store keys --peer 127.0.0.1:9999 --output json blocklist`,
		Args: wantArgs(1, 1, "the name of a store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.attach(cmd.Context(), args[0], cmd.ErrOrStderr(), false)
			if err != nil {
				return err
			}
			defer c.end()
			keys, err := c.Keys(cmd.Context())
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
			for i, key := range keys.Elems() {
				if cmd.Context().Err() != nil {
					return fmt.Errorf("interrupted after %d keys", i)
				}
				err := f.print(out, func(dst []byte) []byte { return data.AppendText(dst, key) }, func(dst []byte) []byte { return appendJSONValue(dst, key) })
				if err != nil {
					return err
				}
			}
			return outputError(out.Flush())
		},
	}
	f.brief(cmd)
	return cmd
}

func storeDumpCommand() *cobra.Command {
	f := newCloneFlags()
	cmd := &cobra.Command{
		Use:   "dump NAME",
		Short: "Print all entries as JSON lines, for load",
		Long: `dump prints all entries of a store as they are at one moment, each as a line {"key":...,"value":...}.
A key or value is a string if it is one, and else in Broker's JSON (v1), {"@data-type":...,"data":...}.
What has no exact form there, such as a string that is not UTF-8, is {"@binary":...}, the value as it is
on the wire, in base64. So "zeekpeer store load" makes of the lines what was dumped, but for expiries,
which only the master knows.

The lines are in an order that depends on the keys alone (by kind, then by length, then by value), so that
two dumps can be compared with diff.

Exit codes: 0 success; 1 error; 2 wrong command line; 3 no master in time.`,
		Example: `  zeekpeer store dump --peer 127.0.0.1:9999 blocklist > blocklist.json
  zeekpeer store dump --peer 127.0.0.1:9999 blocklist | jq -r .key`,
		Args: wantArgs(1, 1, "the name of a store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.output = "json"
			c, err := f.attach(cmd.Context(), args[0], cmd.ErrOrStderr(), false)
			if err != nil {
				return err
			}
			defer c.end()
			all, err := c.All(cmd.Context())
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
			var line []byte
			n := 0
			for key, value := range all {
				if cmd.Context().Err() != nil {
					return fmt.Errorf("interrupted after %d entries", n)
				}
				line = append(appendJSONEntry(line[:0], key, value), '\n')
				if _, err := out.Write(line); err != nil {
					return outputError(err)
				}
				n++
			}
			return outputError(out.Flush())
		},
	}
	f.add(cmd, "count", "for", "admin", "metrics", "output")
	return cmd
}
