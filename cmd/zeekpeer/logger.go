package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/logs"
)

// loggerFlags say where and how a logger writes.
type loggerFlags struct {
	prefix      string // of the names of the flags
	dir         string
	format      string
	timestamps  string
	rotate      time.Duration
	archive     string
	postProcess string
}

// add adds the flags, whose names get a prefix.
func (f *loggerFlags) add(flags *pflag.FlagSet, prefix string) {
	f.prefix = prefix
	flags.StringVar(&f.dir, prefix+"dir", f.dir, "write logs to files in `DIR`, which is made if it is not there")
	flags.StringVar(&f.format, prefix+"format", "tsv", "write logs as `FORMAT` where their senders do not say: tsv or json")
	flags.StringVar(&f.timestamps, prefix+"json-timestamps", "epoch", "write times in JSON as `KIND`: epoch, millis, millis-unsigned or iso8601")
	flags.DurationVar(&f.rotate, prefix+"rotate", time.Hour, "begin new files every `DUR`, counted from local midnight; 0 for never")
	flags.StringVar(&f.archive, prefix+"archive", "", "compress rotated files into `DIR`/DATE/, under the names that zeekctl gives them")
	flags.StringVar(&f.postProcess, prefix+"post-process", "", "run `COMMAND` on each rotated file with the arguments that Zeek gives it; words apart by blanks, no shell")
}

// options returns what the flags ask for.
func (f *loggerFlags) options(log *slog.Logger) (logs.FilesOptions, error) {
	o := logs.FilesOptions{
		Dir: f.dir, Format: logs.DefaultOptions(), Rotate: f.rotate, Archive: f.archive, PostProcess: strings.Fields(f.postProcess), Log: log,
	}
	switch f.format {
	case "tsv":
	case "json":
		o.Format.JSON = true
	default:
		return o, usageError("--%sformat %s: want tsv or json", f.prefix, f.format)
	}
	kinds := map[string]string{"epoch": "JSON::TS_EPOCH", "millis": "JSON::TS_MILLIS", "millis-unsigned": "JSON::TS_MILLIS_UNSIGNED", "iso8601": "JSON::TS_ISO8601"}
	if o.Format.JSONTimestamps = kinds[f.timestamps]; o.Format.JSONTimestamps == "" {
		return o, usageError("--%sjson-timestamps %s: want epoch, millis, millis-unsigned or iso8601", f.prefix, f.timestamps)
	}
	if f.rotate < 0 || f.rotate > 0 && f.rotate < time.Second {
		return o, usageError("--%srotate %v: want 0 for never, or 1s at least", f.prefix, f.rotate)
	}
	if f.archive != "" && f.postProcess != "" {
		return o, usageError("--%[1]sarchive and --%[1]spost-process: one of both takes the rotated files", f.prefix)
	}
	return o, nil
}

func loggerCommand() *cobra.Command {
	f := clusterNodeFlags{nodeFlags: nodeFlags{output: "none"}, pool: true, logs: &loggerFlags{dir: "."}}
	name := ""
	cmd := &cobra.Command{
		Use:   "logger --layout FILE | --listen ADDR",
		Short: "Write the logs of a Zeek cluster, in place of Zeek's logger",
		Long: `logger takes the place of a logger of Zeek: it writes what workers, proxies and the manager log to files
like Zeek's, byte for byte, as TSV or JSON.

With --layout it is the node NAME of a cluster, as "zeekpeer node" would be, of type LOGGER (or the manager, if
the layout says that it is the logger). With --listen it needs no layout: whoever dials it and says hello is
welcome. Zeek nodes dial it when their layout has a logger of that name, address and port.

A file conn.log is rotated to conn.2026-01-31-13-00-00.log: every --rotate, and at the end. Files are complete
when they have that name; DIR/.zeekpeer knows which are not. What a logger that was killed has left there is
completed when the next one starts, and what has the name of a new file is moved aside, never overwritten. Rows
are in the files after one second at the latest. Nothing is written outside of DIR and the archive.

A log of which two nodes announce different columns has two files: conn.log and conn-2.log. Rows that do not
suit their columns are refused. While a disk is full or stalls, rows wait: 64 MiB here, and then in the nodes
that send them, which are read no further. All that is refused or lost is counted, and told of once.

On a terminal it shows live what it does; --status-http ADDR and --admin PATH tell more:

  curl --unix-socket PATH http://node` + loggerPage + `

It runs until SIGINT or SIGTERM, or for the time of --for; then everything that it has received is written.
Exit codes: 0 success; 1 error, such as rows that a full disk never took; 2 wrong command line.`,
		Example: `  zeekpeer logger --name logger-1 --layout cluster-layout.zeek --dir /var/log/zeek --archive /var/log/zeek/archive
  zeekpeer logger --listen :27761 --name logger-1 --dir logs --format json --rotate 0`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("logger wants no arguments: the name is --name %s", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			stderr := newLiveLine(cmd.ErrOrStderr())
			switch {
			case f.file != "" && len(f.listen) > 0:
				return usageError("--layout and --listen: the layout says where to listen")
			case f.file != "":
				return f.run(cmd.Context(), name, cmd.InOrStdin(), cmd.OutOrStdout(), stderr)
			case len(f.listen) == 0:
				return usageError("whose logs? Give --layout FILE of a cluster, or --listen ADDR for all who come")
			}
			if name == "" {
				name = "logger-1"
			}
			return f.logs.serve(cmd.Context(), &f, name, stderr)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "the `NAME` of this logger (default $CLUSTER_NODE; without a layout logger-1)")
	flags.StringVar(&f.file, "layout", "", "read which nodes there are from `FILE`")
	f.layoutFlags.add(flags)
	f.logs.add(flags, "")
	flags.StringVar(&f.statusHTTP, "status-http", "", "serve the status as JSON at http://`ADDR`"+loggerPage+", on loopback only")
	f.addExcept(cmd, "peer", "retry", "count", "timeout", "wait-peers", "output")
	level := flags.Lookup("log-level")
	level.DefValue = "info"
	level.Value.Set("info")
	return cmd
}

// handlesLogs tells whether a node of a layout writes logs.
func handlesLogs(l *layout.Layout, name string) bool {
	n := l.Node(name)
	return n.Type == layout.Logger || n.Type == layout.Manager && l.Options.ManagerIsLogger
}

// forNode opens the files for a node of a layout.
func (f *loggerFlags) forNode(l *layout.Layout, name string, log *slog.Logger, stderr io.Writer) (*logging, error) {
	if !handlesLogs(l, name) {
		return nil, fmt.Errorf("%s is a %s in %s: want a logger, or a manager with manager_is_logger", name, l.Node(name).Type.Word(), l.Source)
	}
	o, err := f.options(log)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(l.Nodes, func(n layout.Node) bool { return n.Name != name && handlesLogs(l, n.Name) }) {
		o.Logger = name
	}
	return openLogs(o, f, name, log, stderr)
}

// serve writes the logs of whoever comes.
func (f *loggerFlags) serve(ctx context.Context, all *clusterNodeFlags, name string, stderr io.Writer) error {
	o, err := f.options(nil)
	if err != nil {
		return err
	}
	if all.statusHTTP != "" {
		if err := checkLoopback(all.statusHTTP); err != nil {
			return usageError("--status-http %s: %w", all.statusHTTP, err)
		}
	}
	quiet := all.nodeFlags // of the endpoint, who comes and goes is told of in plain words
	if quiet.logLevel == "info" {
		quiet.logLevel = "warn"
	}
	n, err := quiet.start(stderr, true)
	if err != nil {
		return err
	}
	defer n.end()
	log := all.nodeFlags.logger(stderr)
	o.Log = log
	w, err := openLogs(o, f, name, log, stderr)
	if err != nil {
		return err
	}
	n.pages = append(n.pages, w.page())
	id := n.ID().String()
	topics := []string{"zeek/cluster/node/" + name + "/", "zeek/cluster/nodeid/" + id + "/", "zeek/cluster/logger", "zeek/cluster/pool/logger", logsTopic}
	fmt.Fprintf(stderr, "%s, a logger, as %s\n", name, id)
	fmt.Fprintf(stderr, "  %-10s %s\n", "nodes", "all that dial and say hello")
	fmt.Fprintf(stderr, "  %-10s %s\n", "security", n.security.describe())
	w.banner()
	err = w.begin(n.Endpoint, topics, greeting(n.Endpoint, name))
	if err == nil && all.statusHTTP != "" {
		var stop func()
		if _, stop, err = serveStatus(all.statusHTTP, w.page(), stderr); err == nil {
			defer stop()
		}
	}
	if err == nil {
		err = n.connect(ctx)
	}
	if err == nil {
		fmt.Fprintf(stderr, "%s is ready\n", name)
		notifyLogged(log, "READY=1", "STATUS="+name)
		limited, cancel := all.limited(ctx)
		<-limited.Done()
		cancel()
		notifyLogged(log, "STOPPING=1")
	}
	n.end()
	return errors.Join(err, w.end())
}
