package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/roles"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/admin"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
)

// clusterNodeFlags are the flags of node. Of those of every node it has what suits one that a layout tells whom to
// dial.
type clusterNodeFlags struct {
	nodeFlags
	layoutFlags
	file       string
	pool       bool
	stdin      bool
	topics     []string
	stores     []string
	storeDir   string
	statusHTTP string
	logs       *loggerFlags

	experimental bool
}

func nodeCommand() *cobra.Command {
	f := clusterNodeFlags{nodeFlags: nodeFlags{output: "text"}, logs: &loggerFlags{}}
	cmd := &cobra.Command{
		Use:   "node [NAME] --layout FILE",
		Short: "Be a node of a Zeek cluster",
		Long: `node joins a cluster as the node NAME of its layout, in place of a Zeek process: worker, proxy, logger,
manager, or a name of one's own that the layout has. Without NAME it is $CLUSTER_NODE. "zeekpeer layout
--help" says what FILE may be. It listens and dials as a node of its type does, greets its peers, knows
who is there, and is in the pools of its type unless --pool=false.

With --stdin it publishes what comes on standard input, one JSON object a line; the node goes on after
the last. A string is a value as pub has it on the command line; all else is Broker's JSON (v1), as are
the messages that sub --output json prints, which may come, too.

  {"topic": "zeek/cluster/manager", "event": "My::alert", "args": ["text", "count:7"]}
  {"rr": "proxy", "event": "My::task", "args": ["count:7"]}              the next proxy
  {"hrw": "proxy", "key": "10.0.0.1", "event": "My::host", "args": []}   the proxy that the key leads to

--sub prints what is published under a topic, as sub does. It hosts the stores of the layout whose master
is on NAME, joins those of --store, and does what Zeek's scripts have a node of its type do, as far as it
says at the start. A logger writes logs with --log-dir, as "zeekpeer logger" does. Events that it has no handler for are told of once for each name, and counted.

SIGHUP makes it read its files again: certificates and access rules take effect; of the layout it says
what has changed, and what needs a restart. systemd is told when it is ready (Type=notify-reload), and
--admin PATH and --status-http ADDR let it be looked at:

  curl --unix-socket PATH http://node` + clusterPage + `

It runs until SIGINT or SIGTERM, or for the time of --for. Exit codes: 0 success; 1 error, such as a
layout that does not have NAME; 2 wrong command line.`,
		Example: `  zeekpeer node worker-7 --layout /opt/zeek/spool/installed-scripts-do-not-touch/auto/cluster-layout.zeek
  CLUSTER_NODE=proxy-1 zeekpeer node --layout /opt/zeek/etc/node.cfg --zeek-version 8.0
  zeekpeer node my-tool --layout cluster.yaml --sub zeek/cluster/node/my-tool/ --stdin`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("node wants one name at the most")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			return f.run(cmd.Context(), name, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.file, "layout", "", "read which nodes there are from `FILE`")
	f.layoutFlags.add(flags)
	flags.BoolVar(&f.pool, "pool", true, "listen on the topics of the pools that the node is in; =false keeps out of them")
	flags.BoolVar(&f.stdin, "stdin", false, "publish the events on standard input")
	flags.StringArrayVar(&f.topics, "sub", nil, "print what is published under `TOPIC` (repeatable)")
	flags.StringArrayVar(&f.stores, "store", nil, "make or join the store `NAME` (repeatable)")
	flags.StringVar(&f.storeDir, "store-dir", "", "keep the files of stores in `DIR`, whatever the layout says")
	flags.StringVar(&f.statusHTTP, "status-http", "", "serve the status as JSON at http://`ADDR`"+clusterPage+", on loopback only")
	flags.BoolVar(&f.experimental, "experimental", false, "take part in the start-up of a cluster that loads policy/frameworks/cluster/experimental")
	f.logs.add(flags, "log-")
	f.addExcept(cmd, "listen", "peer", "retry", "count", "timeout", "wait-peers")
	level := flags.Lookup("log-level")
	level.DefValue = "info"
	level.Value.Set("info")
	flags.Lookup("output").Usage = "with --sub, print as `FORMAT`: text, json (one data message a line) or none"
	return cmd
}

func (f *clusterNodeFlags) run(ctx context.Context, name string, stdin io.Reader, stdout, stderr io.Writer) error {
	l, name, err := f.identify(name, stderr)
	if err != nil {
		return err
	}
	id, level, err := f.checkValues()
	if err != nil {
		return err
	}
	if f.statusHTTP != "" {
		if err := checkLoopback(f.statusHTTP); err != nil {
			return usageError("--status-http %s: %w", f.statusHTTP, err)
		}
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	security, err := f.security.load()
	if err != nil {
		return err
	}
	security.warn(log)
	backends := clusterBackends{log: log, open: make(map[string]store.Backend)}
	defer backends.close()
	if err := backends.load(l, name); err != nil {
		return err
	}
	if id.IsZero() {
		id = backends.id
	}
	if id.IsZero() {
		id = wire.NewEndpointID() // topics of its role have it
	}
	below := log // peers that come and go are told of in plain words, unless somebody wants to know all
	if !f.verbose() {
		below = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: max(level, slog.LevelWarn)}))
	}
	opts := []cluster.Option{
		cluster.WithLogger(log), cluster.WithEndpoint(security.options()...), cluster.WithEndpoint(endpoint.WithID(id), endpoint.WithLogger(below)),
		cluster.WithBackends(backends.take),
	}
	opts = append(opts, cluster.WithTopics(roles.Topics(l, id)...))
	var logs *logging
	if f.logs.dir != "" {
		if logs, err = f.logs.forNode(l, name, log, stderr); err != nil {
			return err
		}
		opts = append(opts, cluster.WithLogPolicy(logs.ownRow))
	}
	if !f.pool {
		opts = append(opts, cluster.WithoutPools())
	}
	n, err := cluster.New(l, name, opts...)
	if err != nil {
		if logs != nil {
			err = errors.Join(err, logs.end())
		}
		return err
	}
	ctx, cancel := f.limited(ctx)
	defer cancel()
	r := &clusterNode{Node: n, flags: f, stderr: stderr, log: log, security: security, logs: logs}
	r.observers.pages = []admin.Page{clusterStatus(n, &r.role)}
	if logs != nil {
		r.observers.pages = append(r.observers.pages, logs.page())
	}
	err = r.run(ctx, cancel, stdin, stdout)
	err = errors.Join(err, r.end())
	if logs != nil {
		err = errors.Join(err, logs.end())
	}
	if r.stopStatus != nil {
		r.stopStatus() // which tells how far the logs are
	}
	return err
}

// verbose tells whether everything is to be logged.
func (f *clusterNodeFlags) verbose() bool { return f.logLevel == "debug" }

// identify reads the layout, and finds who this node is.
func (f *clusterNodeFlags) identify(name string, stderr io.Writer) (*layout.Layout, string, error) {
	if f.file == "" {
		return nil, "", usageError("which cluster? Say it with --layout FILE")
	}
	l, err := f.load(f.file, stderr)
	if err != nil {
		return nil, "", err
	}
	if name = cmp.Or(name, l.Options.Node); name == "" {
		return nil, "", usageError("which node of %s? Give its name, or set CLUSTER_NODE; it has %s", f.file, someNames(l))
	}
	if l.Node(name) == nil {
		return nil, "", fmt.Errorf("%s has no node %q; it has %s", f.file, name, someNames(l))
	}
	l.Options.DefaultStoreDir = cmp.Or(f.storeDir, l.Options.DefaultStoreDir)
	return l, name, nil
}

// someNames lists nodes of a layout, but not hundreds.
func someNames(l *layout.Layout) string {
	const most = 10
	var names []string
	for _, n := range l.Nodes {
		if len(names) == most {
			return strings.Join(names, ", ") + fmt.Sprintf(" and %d more", len(l.Nodes)-most)
		}
		names = append(names, n.Name)
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

// A clusterNode is a node of a cluster with what the command line has it do.
type clusterNode struct {
	*cluster.Node
	flags    *clusterNodeFlags
	stderr   io.Writer
	log      *slog.Logger
	security security
	logs     *logging // nil if this node writes none
	role     roles.State
	input    nodeInput
	observers
	watcher    *watcher
	stopStatus func()
	printing   sync.WaitGroup
	failed     error // in printing; to be read when that is done
}

func (n *clusterNode) run(ctx context.Context, stop func(), stdin io.Reader, stdout io.Writer) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	n.OnMember(func(up bool, name, id string) {
		what := "down"
		if up {
			what = "up"
		}
		fmt.Fprintf(n.stderr, "node_%s %s (%s)\n", what, name, id)
	})
	n.banner()
	var err error
	if n.watcher, err = watch(n.Endpoint(), n.stderr, n.Layout().Options.ConnectRetry(), false); err != nil {
		return err
	}
	if err := n.print(stop, stdout); err != nil {
		return err
	}
	if err := n.takeRole(stop); err != nil {
		return err
	}
	if n.logs != nil {
		n.logs.banner()
		if err := n.logs.begin(n.Endpoint(), []string{n.NodeTopic(n.Name()), logsTopic}, nil); err != nil {
			return err
		}
	}
	if err := n.observe(n.Endpoint(), n.flags.observe, n.stderr); err != nil {
		return err
	}
	if n.flags.statusHTTP != "" {
		page := n.pages[len(n.pages)-1] // a logger's own, if it is one
		if _, n.stopStatus, err = serveStatus(n.flags.statusHTTP, page, n.stderr); err != nil {
			return err
		}
	}
	if err := n.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if n.flags.stdin {
		n.input = nodeInput{node: n.Node, log: n.log}
		go n.input.read(ctx, stdin)
	}
	notifyLogged(n.log, "READY=1", "STATUS="+n.Name()+" of "+n.flags.file)
	fmt.Fprintf(n.stderr, "%s is ready\n", n.Name())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			n.reload()
		}
	}
}

// takeRole has the node do what Zeek's scripts do on a node of its type, stores of the layout included, and joins
// the stores of --store.
func (n *clusterNode) takeRole(stop func()) error {
	opts := []roles.Option{roles.WithLogger(n.log), roles.WithState(&n.role), roles.WithShutdown(stop)}
	if n.flags.experimental {
		opts = append(opts, roles.WithExperimental())
	}
	if n.logs != nil {
		opts = append(opts, roles.WithoutLogs())
	}
	does, err := roles.Install(n.Node, opts...)
	if err != nil {
		return err
	}
	for _, line := range does {
		fmt.Fprintf(n.stderr, "  %-10s %s\n", "role", line)
	}
	for _, name := range n.flags.stores {
		if slices.ContainsFunc(n.Stores(), func(s *store.Store) bool { return s.Name() == name }) {
			continue
		}
		if _, err := n.CreateStore(name, false); err != nil {
			return err
		}
	}
	return nil
}

// banner says who this node is.
func (n *clusterNode) banner() {
	l, self := n.Layout(), n.Layout().Node(n.Name())
	listens := "nowhere: the layout gives it no port"
	if addr, ok := l.Listens(self.Name); ok {
		if host, port, err := net.SplitHostPort(addr); err == nil && host == "" {
			addr = "port " + port + " of all addresses"
		}
		listens = addr
	}
	var mine []string
	for _, p := range n.Status().Pools {
		if slices.Contains(p.Nodes, self.Name) {
			mine = append(mine, p.Topic)
		}
	}
	pools := cmp.Or(strings.Join(mine, ", "), "none")
	if !n.flags.pool {
		pools = "none (--pool=false)"
	}
	dials, dialedBy := l.Dials(self.Name), l.DialedBy(self.Name)
	fmt.Fprintf(n.stderr, "%s, a %s, as %v\n", self.Name, self.Type.Word(), n.ID())
	for _, line := range [][2]string{
		{"layout", fmt.Sprintf("%s: Zeek %v, %s", l.Source, l.Version, l.Census())},
		{"listens", listens},
		{"dials", whom(dials, true)},
		{"dialed by", whom(dialedBy, false)},
		{"pools", pools},
		{"security", n.security.describe()},
	} {
		fmt.Fprintf(n.stderr, "  %-10s %s\n", line[0], line[1])
	}
	const others = 64 // files of stores, sockets, and the like
	peers := len(dials) + len(dialedBy)
	if err := checkOpenFiles(fmt.Sprintf("%d peers and the rest", peers), uint64(peers+others)); err != nil {
		fmt.Fprintf(n.stderr, "warning: %v\n", err)
	}
}

// checkOpenFiles tells whether this process may have as many files open as it needs, and what for.
func checkOpenFiles(what string, need uint64) error {
	if limit, ok := openFiles(); ok && limit < need {
		return fmt.Errorf("%s want %d open files, and this process may have only %d: raise that (ulimit -n %d, LimitNOFILE=%d)", what, need, limit, need, need)
	}
	return nil
}

// whom lists nodes, but not hundreds.
func whom(nodes []layout.Node, addrs bool) string {
	const most = 8
	var list []string
	for i, n := range nodes {
		if i == most {
			list = append(list, fmt.Sprintf("and %d more", len(nodes)-most))
			break
		}
		if text := n.Name; addrs {
			list = append(list, text+" at "+n.DialAddr())
		} else {
			list = append(list, text)
		}
	}
	return cmp.Or(strings.Join(list, ", "), "nobody")
}

// print prints what comes under the topics of --sub, until the end of the node.
func (n *clusterNode) print(stop func(), stdout io.Writer) error {
	if len(n.flags.topics) == 0 {
		return nil
	}
	s, err := n.Endpoint().Subscribe(n.flags.topics, endpoint.WithQueue(subQueue))
	if blocks, ok := errors.AsType[*endpoint.BlocksStoresError](err); ok {
		return usageError("--sub %s keeps Zeek nodes from creating stores whose topics begin so: use a longer topic", blocks.Topic)
	} else if err != nil {
		return usageError("--sub: %w", err)
	}
	t := tally{print: newPrinter(stdout, n.flags.output), stderr: n.stderr}
	n.printing.Go(func() {
		for m := range s.Messages(context.Background()) {
			if !t.message(m, s.Buffered()) {
				break
			}
		}
		if t.failed == nil {
			t.failed = t.print.flush()
		}
		if t.failed != nil {
			n.failed = outputError(t.failed)
			stop()
		}
	})
	return nil
}

// reload reads the files again.
func (n *clusterNode) reload() {
	notifyLogged(n.log, "RELOADING=1", monotonicTime())
	defer notifyLogged(n.log, "READY=1")
	if err := n.security.reload(); err != nil {
		n.log.Error("certificates and rules not reloaded; what was there before stays in force", "err", err)
	}
	n.security.warn(n.log)
	n.Endpoint().ReloadAccess()
	l, _, err := n.flags.identify(n.Name(), n.stderr)
	if err != nil {
		n.log.Error("layout not reloaded; what was there before stays in force", "err", err)
		return
	}
	changes, err := changedLayout(n.Layout(), l, n.Name())
	if err != nil {
		n.log.Error("layout read, but not compared with the one of the start, which stays in force", "err", err)
		return
	}
	restart := 0
	for _, c := range changes {
		effect := "no effect on this node"
		if c.restart {
			effect = "takes effect when this node is restarted"
			restart++
		}
		fmt.Fprintf(n.stderr, "layout: %s: %s\n", c.text, effect)
	}
	fmt.Fprintf(n.stderr, "reloaded: the layout has %d changes since the start, %d of which want a restart of %s\n", len(changes), restart, n.Name())
}

// end takes leave, and says what there was.
func (n *clusterNode) end() error {
	notifyLogged(n.log, "STOPPING=1")
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := n.Close(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // peers that take no leave are not our failure
	}
	s := n.Status()
	s.RowsLost += uint64(s.RowsWaiting) // for a logger that did not come
	n.unobserve()
	n.printing.Wait()
	if n.watcher != nil {
		n.watcher.wait()
	}
	if n.flags.stdin {
		fmt.Fprintf(n.stderr, "standard input: %d events published, %d to nobody, %d bad lines\n", n.input.published.Load(), n.input.nobody.Load(), n.input.bad.Load())
	}
	if len(s.Unhandled) > 0 {
		fmt.Fprintf(n.stderr, "no handler for: %s\n", countsText(s.Unhandled))
	}
	fmt.Fprintf(n.stderr, "%s: %d hellos, %d nodes up, %d down, %d events, %d failed, %d malformed, %d messages with log rows, %d rows sent, %d lost, %d messages dropped\n",
		s.Name, s.Hellos, s.NodeUps, s.NodeDowns, s.Events, s.Failed, s.Malformed, s.LogWrites, s.RowsSent, s.RowsLost, s.Dropped)
	return errors.Join(err, n.failed)
}

// countsText lists counts by name. A name that a terminal would take for more than text is put in quotes.
func countsText(counts map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		count := counts[name]
		if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
			name = quoted
		}
		parts = append(parts, fmt.Sprintf("%s %d", name, count))
	}
	return strings.Join(parts, ", ")
}
