package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/topic"
)

func storeStatusCommand() *cobra.Command {
	f := newCloneFlags()
	cmd := &cobra.Command{
		Use:   "status NAME",
		Short: "Say who the master of a store is, and how large the store",
		Long: `status attaches a clone and prints what that knows: the master, where it was found, the number of its
last event, how many events the clone is behind (lag), for how long the master has been silent, entries,
and bytes of keys and values.

Exit codes: 0 success; 1 error; 2 wrong command line; 3 no master in time.`,
		Example: `  zeekpeer store status --peer 127.0.0.1:9999 blocklist
  zeekpeer store status --peer 127.0.0.1:9999 --output json blocklist`,
		Args: wantArgs(1, 1, "the name of a store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.attach(cmd.Context(), args[0], cmd.ErrOrStderr(), false)
			if err != nil {
				return err
			}
			defer c.end()
			return c.print(c.Status(), cmd.OutOrStdout(), f.output)
		},
	}
	f.brief(cmd)
	return cmd
}

// A storeStatus is the status of a store as JSON.
type storeStatus struct {
	Name         string   `json:"name"`
	Master       string   `json:"master"`
	Addr         string   `json:"addr"` // "": no peer any more
	OtherMasters []string `json:"other_masters,omitempty"`
	Ready        bool     `json:"ready"`
	Seq          uint64   `json:"seq"`
	Lag          uint64   `json:"lag"`
	Silence      float64  `json:"silence_seconds"`
	Entries      int      `json:"entries"`
	Bytes        int      `json:"bytes"`
}

// print prints the status of a clone.
func (c *clone) print(s store.Status, w io.Writer, format string) (err error) {
	all := storeStatus{
		Name: s.Name, Master: s.Master.String(), Ready: s.Ready, Seq: s.Seq, Lag: s.Lag, Silence: s.Silence.Seconds(), Entries: s.Entries, Bytes: s.Bytes,
	}
	for _, p := range c.node.Peers() {
		switch {
		case p.ID == s.Master.Endpoint:
			all.Addr = p.Addr
		case slices.Contains(p.Filter, s.Name+topic.MasterSuffix):
			all.OtherMasters = append(all.OtherMasters, p.Addr)
		}
	}
	switch format {
	case "json":
		err = json.NewEncoder(w).Encode(&all)
	case "text":
		_, err = fmt.Fprintf(w, "store    %s\nmaster   %s at %s\nevents   %d, lag %d\nsilence  %v\nentries  %d, %d bytes\n",
			all.Name, all.Master, cmp.Or(all.Addr, "no peer any more"), all.Seq, all.Lag, s.Silence, all.Entries, all.Bytes)
		if err == nil && len(all.OtherMasters) > 0 {
			_, err = fmt.Fprintf(w, "WARNING  other masters of this store at %s: each has contents of its own\n", strings.Join(all.OtherMasters, ", "))
		}
	}
	return outputError(err)
}
