package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/endpoint/rules"
)

func accessCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "access FILE",
		Short: "Check a file of access rules, and say what it allows",
		Long: `access reads the rules that --access FILE of the other commands would follow, and prints in words what
they allow to whom, and which of them authenticate. Mistakes are told with line and column.

The file is YAML: a list of rules, of which the first that matches a peer holds, and what holds if none
does. A rule that leaves something out allows it.

  rules:
    - name: workers
      match: {cert: "worker-*"}            # by certificate (--tls cert): authentication
      publish: [zeek/cluster/, zeek/logs/]
      subscribe: [zeek/cluster/]
      commands: [zeek/known/]              # stores under this name
      identifiers: deny                    # no global variable of a script is changed
    - name: dashboards                     # by address: a guard against mistakes, no more
      match: {websocket: true, addr: 10.0.0.0/8}
      subscribe: [zeek/alerts/]
      read_only: true
    - name: old sensor
      match: {id: 18ab3d51-006e-4e20-828b-f70212768b71}
      logs: deny
  default:
    refuse: true

A node reads its rules again at SIGHUP.`,
		Example: "  zeekpeer access /etc/zeekpeer/access.yaml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError("access takes one file with rules")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := rules.Load(args[0])
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), r.Describe())
			return outputError(err)
		},
	}
}
