package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/logs/logfile"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A rowWriter is one run of log write.
type rowWriter struct {
	nodeFlags
	layoutFlags
	file, name   string
	to           string
	stream, path string
	columns      string
	like         string

	stderr io.Writer
	fields []zeek.Field
	node   *cluster.Node
	rows   *cluster.LogStream
	packed []byte

	written, bad uint64
}

// maxRowsWaiting is how many rows may wait for a logger before no more are read.
const maxRowsWaiting = 4000

func logWriteCommand() *cobra.Command {
	w := rowWriter{nodeFlags: nodeFlags{output: "none", timeout: 10 * time.Second}}
	cmd := &cobra.Command{
		Use:   "write --stream STREAM --path PATH {--columns LIST | --like FILE} {--to ADDR | --layout FILE --name NODE}",
		Short: "Send rows from standard input to the loggers of a cluster",
		Long: `write sends what comes on standard input, one JSON object a line whose members are named like the
columns, as rows of a log: to one logger with --to, or, with --layout, to all of a cluster in turn, as the
node NODE of it. A logger of Zeek takes only streams that a script of its has created, such as

  module MyModule;
  export { redef enum Log::ID += { LOG }; type Info: record { ts: time &log; msg: string &log &optional; }; }
  event zeek_init() { Log::create_stream(LOG, [$columns=Info, $path="my_module"]); }

and all nodes that write a log must have the same columns. --columns lists them, with the types that stand
in the #types line of a log, and ? behind what may be unset; --like takes them from a log in TSV. What is
absent or null is unset. A time is a number of seconds since 1970 or text such as 2026-01-31T23:59:59Z,
an interval a number of seconds or text such as 1.5s, a port a number or text such as 53/udp.

A line that is no row is told of, by its number, and left out. Rows wait while no logger is there. At the
end it waits until all are sent, and says how many.

Exit codes: 0 success; 1 error, such as lines that were left out or rows that were not sent; 2 wrong
command line; 3 no logger in time.`,
		Example: `  zeekpeer log write --to 127.0.0.1:27761 --stream MyModule::LOG --path my_module --columns 'ts:time,msg:string?' < rows.jsonl
  zeekpeer log write --layout cluster-layout.zeek --name worker-7 --stream MyModule::LOG --path my_module --like my_module.log
  zeekpeer log read old.log --to json | zeekpeer log write --to 127.0.0.1:27761 --stream Old::LOG --path old --like old.log`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("write reads standard input, and wants no arguments")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			w.stderr = cmd.ErrOrStderr()
			return w.run(cmd.Context(), cmd.InOrStdin())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&w.stream, "stream", "", "the `STREAM` of the log, such as MyModule::LOG")
	flags.StringVar(&w.path, "path", "", "the `PATH` of the log: the name of its file, without .log")
	flags.StringVar(&w.columns, "columns", "", "the columns, a `LIST` such as 'ts:time,uid:string,tags:set[string]?'")
	flags.StringVar(&w.like, "like", "", "the columns are those of the log in `FILE`, all of them optional but ts")
	flags.StringVar(&w.to, "to", "", "send to the logger at `ADDR`")
	flags.StringVar(&w.file, "layout", "", "send to the loggers of the cluster in `FILE`; see \"zeekpeer layout --help\"")
	flags.StringVar(&w.name, "name", "", "be the node `NODE` of the layout; with --to say hello as it (default zeekpeer)")
	w.layoutFlags.add(flags)
	w.addExcept(cmd, "listen", "peer", "output", "count", "wait-peers", "admin", "metrics", "access", "retry")
	flags.Lookup("for").Usage = "end after `DUR`, whatever is left; 0 for no limit"
	flags.Lookup("timeout").Usage = "give up, with exit code 3, if no logger is there after `DUR`; 0 to wait for ever"
	return cmd
}

func (w *rowWriter) run(ctx context.Context, stdin io.Reader) error {
	l, err := w.check()
	if err != nil {
		return err
	}
	w.peers = []string{"127.0.0.1:1"} // check wants one; whom to dial is in the layout
	id, level, err := w.nodeFlags.check()
	if err != nil {
		return err
	}
	security, err := w.security.load()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(w.stderr, &slog.HandlerOptions{Level: level}))
	security.warn(log)
	queue := endpoint.WithPeerQueue(endpoint.QueueLimits{Policy: endpoint.Block})
	of := log
	if w.to != "" && w.logLevel != "debug" { // that the logger has a name of its own is no news
		of = slog.New(slog.NewTextHandler(w.stderr, &slog.HandlerOptions{Level: max(level, slog.LevelError)}))
	}
	w.node, err = cluster.New(l, w.name, cluster.WithLogger(of), cluster.WithHeldRows(2*maxRowsWaiting), cluster.WithoutPools(),
		cluster.WithLogPolicy(func(string, []byte) bool { return false }), // no rows but those of standard input
		cluster.WithEndpoint(security.options()...), cluster.WithEndpoint(endpoint.WithID(id), endpoint.WithLogger(log), queue))
	if err != nil {
		return err
	}
	ctx, cancel := w.limited(ctx)
	defer cancel()
	err = w.write(ctx, stdin)
	return errors.Join(err, w.end())
}

// check reads the flags, and returns the cluster.
func (w *rowWriter) check() (l *layout.Layout, err error) {
	switch {
	case w.stream == "" || w.path == "":
		return nil, usageError("which log? Say it with --stream and --path")
	case (w.columns == "") == (w.like == ""):
		return nil, usageError("which columns has it? Say it with one of --columns and --like")
	case (w.to == "") == (w.file == ""):
		return nil, usageError("where to? Say it with one of --to and --layout")
	case w.file != "" && w.name == "":
		return nil, usageError("which node of %s? Say it with --name", w.file)
	}
	if w.columns != "" {
		if w.fields, err = logfile.ParseColumns(w.columns); err != nil {
			return nil, usageError("--columns: %w", err)
		}
	} else if w.fields, err = columnsLike(w.like); err != nil {
		return nil, fmt.Errorf("--like %s: %w", w.like, err)
	}
	if w.file != "" {
		if l, err = w.load(w.file, w.stderr); err != nil {
			return nil, err
		}
		if l.Node(w.name) == nil {
			return nil, fmt.Errorf("%s has no node %q; it has %s", w.file, w.name, someNames(l))
		}
		return l, nil
	}
	w.name = cmp.Or(w.name, "zeekpeer")
	if l, err = aroundLogger(w.to, w.name); err != nil {
		return nil, usageError("--to %s: %w", w.to, err)
	}
	return l, nil
}

// aroundLogger returns the layout of a cluster of one logger, whose name nobody knows, and a node that
// writes.
func aroundLogger(addr, name string) (*layout.Layout, error) {
	if err := checkAddr(addr); err != nil {
		return nil, err
	}
	host, service, _ := net.SplitHostPort(addr)
	port, err := net.LookupPort("tcp", service)
	if err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		resolved, err := net.ResolveIPAddr("ip", host)
		if err != nil {
			return nil, err
		}
		ip, _ = netip.AddrFromSlice(resolved.IP)
	}
	v, err := layout.ParseVersion(newestZeek)
	if err != nil {
		return nil, err
	}
	logger := "the logger at " + addr // which no node is called, so that its rows go to the topic of all
	o := layout.DefaultOptions(v)
	o.ManagerIsLogger = false
	return &layout.Layout{Options: o, Version: v, Source: "--to " + addr, Nodes: []layout.Node{
		{Name: logger, Type: layout.Logger, IP: ip.Unmap().WithZone(""), ZoneID: ip.Zone(), Port: layout.Port{Number: uint16(port), Proto: data.ProtoTCP}},
		{Name: name, Type: layout.Worker, IP: ip.Unmap().WithZone("")},
	}}, nil
}

// newestZeek is the version of the cluster with --to, where it makes no difference.
const newestZeek = "8.2"

// columnsLike returns the columns of a log. It does not tell what is optional there.
func columnsLike(name string) ([]zeek.Field, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fields, err := logfile.ReadColumns(file)
	for i := range fields {
		fields[i].Optional = fields[i].Name != "ts"
	}
	return fields, err
}

// write sends the lines until their end.
func (w *rowWriter) write(ctx context.Context, stdin io.Reader) (err error) {
	if w.rows, err = w.node.NewLogStream(w.stream, w.path, w.fields); err != nil {
		return err
	}
	if err := w.node.Start(ctx); err != nil {
		return err
	}
	if err := w.await(ctx); err != nil {
		return err
	}
	lines := make(chan textLine)
	go readTextLines(ctx, stdin, lines)
	for {
		select {
		case l, ok := <-lines:
			if !ok {
				return w.settle(ctx, 0)
			}
			if err := w.line(ctx, l); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil // what was read is sent by Close
		}
	}
}

// await waits for a logger.
func (w *rowWriter) await(ctx context.Context) error {
	waiting, cancel := ctx, func() {}
	if w.timeout > 0 {
		waiting, cancel = context.WithTimeout(ctx, w.timeout)
	}
	defer cancel()
	if err := w.node.Endpoint().WaitPeers(waiting, 1); err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return &codedError{code: exitTimeout, err: fmt.Errorf("no logger after %v", w.timeout)}
	}
	return nil
}

// line sends a line.
func (w *rowWriter) line(ctx context.Context, l textLine) (err error) {
	if err = l.err; err == nil {
		w.packed, err = logfile.AppendJSONRow(w.packed[:0], w.fields, l.text)
	}
	if err != nil {
		if w.bad++; w.bad <= maxTold {
			fmt.Fprintf(w.stderr, "standard input, line %d: %v\n", l.number, err)
		}
		return nil
	}
	if err := w.rows.Write(w.packed); err != nil {
		return fmt.Errorf("standard input, line %d: %w", l.number, err)
	}
	if w.written++; w.written%(maxRowsWaiting/4) == 0 {
		return w.settle(ctx, maxRowsWaiting)
	}
	return nil
}

// settle waits until no more than some rows wait to be sent.
func (w *rowWriter) settle(ctx context.Context, most int) error {
	tick := time.NewTicker(drainStep)
	defer tick.Stop()
	for w.node.Status().RowsWaiting > most {
		w.node.FlushLogs()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// end takes leave, and says what was sent.
func (w *rowWriter) end() error {
	(&node{Endpoint: w.node.Endpoint()}).drain(context.Background())
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	w.node.Close(ctx) // a logger that takes no leave is not our failure
	s := w.node.Status()
	fmt.Fprintf(w.stderr, "sent %d of %d rows of %s to %s.log", min(s.RowsSent, w.written), w.written, w.stream, w.path)
	if w.bad > 0 {
		fmt.Fprintf(w.stderr, "; %d lines are no rows", w.bad)
	}
	fmt.Fprintln(w.stderr)
	switch {
	case s.RowsSent < w.written:
		return fmt.Errorf("%d rows were not sent: no logger took them", w.written-s.RowsSent)
	case w.bad > 0:
		return fmt.Errorf("%d lines of standard input are no rows", w.bad)
	}
	return nil
}
