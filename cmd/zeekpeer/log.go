package main

import (
	"github.com/spf13/cobra"
)

func logCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Read logs, and write rows of a log into a cluster",
		Long: `log reads the logs that Zeek and "zeekpeer logger" write, and sends rows to the loggers of a cluster as its
nodes do.`,
		Example: `  zeekpeer log read conn.log --where 'id.resp_p == 443' --to json
  generate | zeekpeer log write --to 127.0.0.1:27761 --stream MyModule::LOG --path my_module --columns 'ts:time,msg:string'`,
		RunE: helpOnly,
	}
	cmd.AddCommand(logReadCommand(), logWriteCommand())
	return cmd
}
