package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
)

func layoutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "layout",
		Short: "Check and draw the layout of a cluster",
		Long: `layout reads which nodes a cluster has, as "zeekpeer node" does.

FILE is one of
  cluster-layout.zeek   as zeekctl, Zeek's generators and people write it
  node.cfg              of zeekctl, whose ports are assigned as zeekctl does; zeekctl.cfg beside it counts
  a native layout       YAML:

    zeek_version: 8.2
    nodes:
      manager:  {type: manager, address: 10.0.0.1, port: 27760}
      logger-1: {type: logger, address: 10.0.0.1, port: 27761}
      proxy-1:  {type: proxy, address: 10.0.0.2, port: 27762}
      worker-1: {type: worker, address: 10.0.0.7}
    options:                          # those of Zeek's module Cluster
      retry_interval: 5s
    stores:
      zeek/known/hosts: {backend: sqlite}

The version of Zeek is what --zeek-version says, else "zeek_version:" in the layout (in Zeek's own files the
comment "# zeek_version: 8.2"), else the newest known, with a warning. Environment variables count as they
do for Zeek: CLUSTER_NODE, ZEEK_DEFAULT_LISTEN_ADDRESS, ZEEK_DEFAULT_CONNECT_RETRY, ZEEK_DEFAULT_LISTEN_RETRY.

Exit codes: 0 success; 1 the layout cannot work, or check --strict has warnings; 2 wrong command line.`,
		Example: `  zeekpeer layout check cluster-layout.zeek
  zeekpeer layout show --format svg node.cfg > cluster.svg`,
		RunE: helpOnly,
	}
	cmd.AddCommand(layoutCheckCommand(), layoutShowCommand())
	return cmd
}

// layoutFlags say which layout.
type layoutFlags struct {
	version string // --zeek-version
}

func (f *layoutFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.version, "zeek-version", "", "the cluster runs version `V` of Zeek, such as 8.2, whatever the layout says")
	flags.SortFlags = false
}

// load reads the layout, and tells its warnings.
func (f *layoutFlags) load(path string, stderr io.Writer) (*layout.Layout, error) {
	var opts []layout.Option
	if f.version != "" {
		v, err := layout.ParseVersion(f.version)
		if err != nil {
			return nil, usageError("--zeek-version: %w", err)
		}
		opts = append(opts, layout.ForVersion(v))
	}
	l, err := layout.Load(path, os.LookupEnv, opts...)
	if err != nil {
		return nil, err
	}
	for _, w := range l.Warnings {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
	return l, nil
}

// oneFile wants one argument.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError("%s wants one file with a layout", cmd.Name())
	}
	return nil
}

func layoutCheckCommand() *cobra.Command {
	var f layoutFlags
	var strict bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong with a layout",
		Long: `check reads a layout and says, with line and column, what is wrong with it: errors for what cannot work,
warnings for what Zeek would put up with. "zeekpeer layout --help" says what FILE may be.

Exit codes: 0 success; 1 the layout cannot work, or, with --strict, there are warnings; 2 wrong command line.`,
		Example: `  zeekpeer layout check cluster-layout.zeek
  zeekpeer layout check --strict --zeek-version 7.0 /opt/zeek/etc/node.cfg`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.load(args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if n := len(l.Warnings); strict && n > 0 {
				return fmt.Errorf("%s: warnings, and --strict", args[0])
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok: Zeek %v, %s\n", args[0], l.Version, l.Census())
			return outputError(err)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&strict, "strict", false, "fail if there are warnings")
	return cmd
}

// layoutFormats are those of --format.
var layoutFormats = map[string]func(*layout.Layout) []byte{
	"text": func(l *layout.Layout) []byte { return []byte(layout.Text(l)) },
	"svg":  layout.SVG,
	"json": (*layout.Layout).JSON,
	"yaml": (*layout.Layout).Native,
}

func layoutShowCommand() *cobra.Command {
	var f layoutFlags
	var format string
	formats := []string{"text", "svg", "json", "yaml"}
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Draw who listens and who dials whom",
		Long: `show reads a layout and prints it: as a table of who listens and who dials whom (text), as a picture
(svg), for programs (json), or as a native layout (yaml), such as to change over to one.
"zeekpeer layout --help" says what FILE may be.

Exit codes: 0 success; 1 the layout cannot work; 2 wrong command line.`,
		Example: `  zeekpeer layout show cluster-layout.zeek
  zeekpeer layout show --format svg cluster-layout.zeek > cluster.svg
  zeekpeer layout show --format yaml --zeek-version 8.0 node.cfg > cluster.yaml
  zeekpeer layout show --format json cluster.yaml | jq -r '.nodes[] | select(.type == "worker") | .name'`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(formats, format) {
				return usageError("--format %q: want %s", format, strings.Join(formats, ", "))
			}
			l, err := f.load(args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(layoutFormats[format](l))
			return outputError(err)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&format, "format", "text", "print `FORMAT`: "+strings.Join(formats, ", "))
	return cmd
}
