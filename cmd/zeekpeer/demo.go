package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
)

func demoCommand() *cobra.Command {
	var d demo
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a whole cluster on this machine, without any Zeek",
		Long: `demo starts a complete cluster on loopback, over Zeek's anonymous TLS: a manager, two loggers, a proxy and
three workers, each a process of its own. They greet each other; the manager hands out tasks to the workers
in turn (round robin), the proxy hosts by their name (rendezvous hashing); the workers count the hosts in a
store that all nodes share, and log each task. One worker is killed with SIGKILL: its peers say node_down,
the others take over, and it is started again. It ends with a summary, and leaves nothing behind.

On a terminal it shows a table of the nodes while it runs; q or Ctrl-C ends it.

With --output json the last line, and the only one on standard output, is one object:

  {"zeekpeer": VERSION, "nodes": [{"name", "type", "id", "peers"}], "hellos": N, "node_up": N, "node_down": N,
   "rr": {NODE: N}, "hrw": {NODE: N}, "store": {"entries": N, "equal": BOOL}, "log_rows": N, "dropped": N}

hellos, node_up and node_down are those that all nodes saw; rr and hrw what each worker received; log_rows
what the loggers did; dropped the messages that full queues lost.

Exit codes: 0 success; 1 error, such as a node that does not start, or interrupted; 2 wrong command line.`,
		Example: `  zeekpeer demo
  zeekpeer demo --for 3s --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				return usageError("demo takes no arguments")
			case d.output != "text" && d.output != "json":
				return usageError("--output %s: want text or json", d.output)
			case d.duration <= 0:
				return usageError("--for %v: want more than zero", d.duration)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&d.duration, "for", 10*time.Second, "let the cluster work for `DUR`, and as long as it takes to see each part of it")
	flags.StringVar(&d.output, "output", "text", "print as `FORMAT`: text, or json (one object at the end; the rest goes to standard error)")
	flags.BoolVar(&d.keep, "keep", false, "keep the directory with the layout, and say where it is")
	flags.SortFlags = false
	cmd.AddCommand(demoNodeCommand())
	return cmd
}

const (
	demoPatience = 2 * time.Minute        // for each step, on however slow a machine
	demoPoll     = 20 * time.Millisecond  // how often a step looks whether it is done
	demoRefresh  = 250 * time.Millisecond // how often the table is drawn
	demoVictim   = "worker-2"
)

// demoCluster are the nodes of the demo.
var demoCluster = []struct{ name, kind string }{
	{"manager", "manager"}, {"logger-1", "logger"}, {"logger-2", "logger"}, {"proxy-1", "proxy"},
	{"worker-1", "worker"}, {"worker-2", "worker"}, {"worker-3", "worker"},
}

// A demo is one run of the demo.
type demo struct {
	duration time.Duration
	output   string
	keep     bool

	dir    string
	file   string // the layout
	layout *layout.Layout
	nodes  []*demoNode
	out    io.Writer // where it is told what happens
	screen *screen
	told   []string // what has happened, for the screen
	drawn  time.Time
	begun  time.Time
}

// A demoResult is what the demo ends with.
type demoResult struct {
	Version  string            `json:"zeekpeer"`
	Nodes    []demoMember      `json:"nodes"`
	Hellos   uint64            `json:"hellos"`
	NodeUp   uint64            `json:"node_up"`
	NodeDown uint64            `json:"node_down"`
	RR       map[string]uint64 `json:"rr"`
	HRW      map[string]uint64 `json:"hrw"`
	Store    demoStore         `json:"store"`
	LogRows  uint64            `json:"log_rows"`
	Dropped  uint64            `json:"dropped"`
}

type demoMember struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	ID    string `json:"id"`
	Peers int    `json:"peers"`
}

type demoStore struct {
	Entries int  `json:"entries"`
	Equal   bool `json:"equal"`
}

func (d *demo) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	const files = 64 // three pipes for each process, more while it starts; and each as many for its peers
	if err := checkOpenFiles("the processes of the demo", files); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if d.out = stdout; d.output == "json" {
		d.out = stderr
	}
	if out, ok := stdout.(*os.File); ok && d.output == "text" {
		if s, err := openScreen(stdin, out, stop); err == nil {
			d.screen = s
		}
	}
	d.begun = time.Now()
	result, err := d.play(ctx)
	err = errors.Join(err, d.end())
	if d.screen != nil {
		d.draw(true)
		d.screen.close()
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted before the end")
	case err != nil:
		return err
	case d.output == "json":
		if err := json.NewEncoder(stdout).Encode(result); err != nil {
			return outputError(err)
		}
	default:
		if _, err := io.WriteString(stdout, d.summary(result)); err != nil {
			return outputError(err)
		}
	}
	if !result.Store.Equal {
		return errors.New("the copies of the store differ")
	}
	return nil
}

// play goes through the steps of the demo. What is left then is for end.
func (d *demo) play(ctx context.Context) (*demoResult, error) {
	var err error
	if d.dir, err = os.MkdirTemp("", "zeekpeer-demo-"); err != nil {
		return nil, err
	}
	d.tell("a cluster on loopback, over anonymous TLS, a process for each node")
	for _, n := range demoCluster {
		d.nodes = append(d.nodes, &demoNode{name: n.name, kind: n.kind})
	}
	for _, n := range d.nodes {
		if err := n.spawn(ctx); err != nil {
			return nil, err
		}
	}
	if err := d.writeLayout(); err != nil {
		return nil, err
	}
	for _, n := range d.nodes {
		if err := n.ask(ctx, demoRequest{Do: "start", Layout: d.file}); err != nil {
			return nil, err
		}
		d.tell("%s runs as process %d", n.name, n.pid())
	}
	if err := d.until(ctx, "the nodes to greet each other", d.complete); err != nil {
		return nil, err
	}
	sum := d.sum()
	d.tell("all %d nodes have greeted their peers: %d hellos, %d times node_up", len(d.nodes), sum.Hellos, sum.NodeUp)

	work := time.Now()
	publishers := []*demoNode{d.node("manager"), d.node("proxy-1")}
	for _, n := range publishers {
		if err := n.ask(ctx, demoRequest{Do: "publish"}); err != nil {
			return nil, err
		}
	}
	d.tell("the manager publishes tasks in turn, the proxy hosts by key")
	if err := d.until(ctx, "every worker to get tasks and hosts", d.busy); err != nil {
		return nil, err
	}
	if err := d.work(ctx, work.Add(d.duration/3)); err != nil {
		return nil, err
	}
	if err := d.kill(ctx); err != nil {
		return nil, err
	}
	if err := d.work(ctx, work.Add(d.duration/2)); err != nil {
		return nil, err
	}
	victim := d.node(demoVictim)
	if err := errors.Join(victim.spawn(ctx), victim.ask(ctx, demoRequest{Do: "start", Layout: d.file})); err != nil {
		return nil, err
	}
	d.tell("%s runs again, as process %d", victim.name, victim.pid())
	if err := d.until(ctx, "the nodes to greet the new "+victim.name, d.complete); err != nil {
		return nil, err
	}
	d.tell("node_up %s at %s", victim.name, strings.Join(d.peersOf(victim.name), ", "))
	if err := d.until(ctx, "every worker to get tasks and hosts", d.busy); err != nil {
		return nil, err
	}
	if err := d.work(ctx, work.Add(d.duration)); err != nil {
		return nil, err
	}

	for _, n := range publishers {
		if err := n.ask(ctx, demoRequest{Do: "stop"}); err != nil {
			return nil, err
		}
	}
	if err := d.until(ctx, "all that was published to arrive", func() bool { return d.arrived(len(publishers)) }); err != nil {
		return nil, err
	}
	d.tell("all has arrived")
	// Copies that never become equal are a result, not a step that hangs.
	settled, cancel := context.WithTimeout(ctx, demoPatience/4)
	defer cancel()
	if err := d.until(settled, "the copies of the store to be equal", d.equal); err != nil && settled.Err() == nil {
		return nil, err
	}
	return d.result(), ctx.Err()
}

// writeLayout writes the layout of the cluster, with the ports that the nodes listen on already.
func (d *demo) writeLayout() (err error) {
	var text strings.Builder
	fmt.Fprintf(&text, "zeek_version: %v\nnodes:\n", layout.Newest)
	for _, n := range d.nodes {
		fmt.Fprintf(&text, "  %s: {type: %s, address: 127.0.0.1", n.name, n.kind)
		if n.report.Port != 0 {
			fmt.Fprintf(&text, ", port: %d", n.report.Port)
		}
		text.WriteString("}\n")
	}
	text.WriteString("options:\n  default_listen_address: 127.0.0.1\n")
	d.file = filepath.Join(d.dir, "cluster.yaml")
	if d.layout, err = layout.ParseNative(d.file, []byte(text.String())); err != nil {
		return err
	}
	return os.WriteFile(d.file, []byte(text.String()), 0o600)
}

// kill kills one worker, and waits until its peers know.
func (d *demo) kill(ctx context.Context) error {
	victim := d.node(demoVictim)
	if err := victim.ask(ctx, demoRequest{Do: "report"}); err != nil {
		return err
	}
	pid, at := victim.pid(), time.Now()
	victim.kill()
	d.tell("%s, process %d, is killed with SIGKILL", victim.name, pid)
	peers := d.peersOf(victim.name)
	err := d.until(ctx, "node_down "+victim.name, func() bool {
		for _, name := range peers {
			if slices.Contains(d.node(name).report.Known, victim.name) {
				return false
			}
		}
		return true
	})
	if err == nil {
		d.tell("node_down %s at %s, %v later", victim.name, strings.Join(peers, ", "), time.Since(at).Round(time.Millisecond))
	}
	return err
}

func (d *demo) node(name string) *demoNode {
	return d.nodes[slices.IndexFunc(d.nodes, func(n *demoNode) bool { return n.name == name })]
}

// peersOf returns whom a node has peerings with.
func (d *demo) peersOf(name string) (names []string) {
	for _, n := range append(d.layout.Dials(name), d.layout.DialedBy(name)...) {
		names = append(names, n.Name)
	}
	return names
}

// look asks all nodes how they are.
func (d *demo) look(ctx context.Context) error {
	for _, n := range d.nodes {
		if n.running() {
			if err := n.ask(ctx, demoRequest{Do: "report"}); err != nil {
				return err
			}
		}
	}
	d.draw(false)
	return nil
}

// until waits until a condition holds of what the nodes say.
func (d *demo) until(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoPatience, fmt.Errorf("waited %v in vain for %s", demoPatience, what))
	defer cancel()
	for {
		if err := d.look(ctx); err != nil {
			return err
		}
		if holds() {
			return nil
		}
		if !pause(ctx, demoPoll) {
			return context.Cause(ctx)
		}
	}
}

// work lets the cluster work until some time.
func (d *demo) work(ctx context.Context, end time.Time) error {
	for time.Now().Before(end) {
		if !pause(ctx, min(demoRefresh, time.Until(end))) {
			return context.Cause(ctx)
		}
		if err := d.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// complete tells whether all nodes know all their peers.
func (d *demo) complete() bool {
	for _, n := range d.nodes {
		for _, name := range d.peersOf(n.name) {
			if !slices.Contains(n.report.Known, name) {
				return false
			}
		}
	}
	return true
}

// busy tells whether all workers were given something.
func (d *demo) busy() bool {
	return !slices.ContainsFunc(d.nodes, func(n *demoNode) bool { return n.kind == "worker" && (n.report.RR == 0 || n.report.HRW == 0) })
}

// arrived tells whether the workers have what the publishers sent last, and the loggers all rows.
func (d *demo) arrived(publishers int) bool {
	written := make(map[string]uint64)
	for _, n := range d.nodes {
		for id, rows := range n.report.RowsFrom {
			written[id] += rows
		}
	}
	for _, n := range d.nodes {
		r := &n.report
		if n.kind == "worker" && r.Fences < publishers || n.kind != "logger" && (r.RowsWaiting > 0 || written[r.ID] < r.RowsSent) {
			return false
		}
	}
	return true
}

// equal tells whether all nodes have the same in their store.
func (d *demo) equal() bool {
	first := &d.nodes[0].report
	return first.Digest != "" && !slices.ContainsFunc(d.nodes, func(n *demoNode) bool { return n.report.Digest != first.Digest })
}

// sum returns the result so far.
func (d *demo) sum() *demoResult {
	version, _ := programVersion()
	result := demoResult{Version: version, RR: make(map[string]uint64), HRW: make(map[string]uint64)}
	for _, n := range d.nodes {
		all := n.total()
		result.Nodes = append(result.Nodes, demoMember{n.name, n.kind, n.report.ID, n.report.Peers})
		result.Hellos += all.Hellos
		result.NodeUp += all.NodeUps
		result.NodeDown += all.NodeDowns
		result.Dropped += all.Dropped
		for _, rows := range all.RowsFrom {
			result.LogRows += rows
		}
		if n.kind == "worker" {
			result.RR[n.name], result.HRW[n.name] = all.RR, all.HRW
		}
	}
	return &result
}

func (d *demo) result() *demoResult {
	result := d.sum()
	result.Store = demoStore{Entries: d.nodes[0].report.Entries, Equal: d.equal()}
	return result
}

// end ends all processes and removes what they left.
func (d *demo) end() error {
	for _, n := range d.nodes {
		n.leave()
	}
	ctx, cancel := context.WithTimeout(context.Background(), demoLeave) // for all together
	defer cancel()
	for _, n := range d.nodes {
		n.wait(ctx)
	}
	if d.dir == "" {
		return nil
	}
	if d.keep {
		d.tell("the layout is kept in %s", d.file)
		return nil
	}
	return os.RemoveAll(d.dir)
}

// tell tells what has happened.
func (d *demo) tell(format string, args ...any) {
	line := fmt.Sprintf("%6.2f s  ", time.Since(d.begun).Seconds()) + fmt.Sprintf(format, args...)
	if d.screen == nil {
		fmt.Fprintln(d.out, line)
		return
	}
	d.told = append(d.told, line)
	d.draw(true)
}

// draw draws the table, unless it has just been.
func (d *demo) draw(now bool) {
	if d.screen == nil || !now && time.Since(d.drawn) < demoRefresh {
		return
	}
	d.drawn = time.Now()
	lines, told := append(d.table(), ""), d.told
	if height := d.screen.height(); height > 0 { // some terminals do not know
		room := max(height-len(lines), 1)
		told = told[max(len(told)-room, 0):]
	}
	lines = append(lines, told...)
	if width := d.screen.width(); width > 0 {
		for i, line := range lines {
			lines[i] = cutRunes(line, width)
		}
	}
	d.screen.show(strings.Join(lines, "\n"))
}

// table returns the nodes as a table.
func (d *demo) table() []string {
	rows := [][]string{{"NODE", "PROCESS", "PEERS", "HELLOS", "UP", "DOWN", "RR", "HRW", "STORE", "LOG ROWS", "DROPPED"}}
	for _, n := range d.nodes {
		all, process, peers := n.total(), "-", "-"
		if n.running() {
			process, peers = fmt.Sprint(n.pid()), fmt.Sprint(n.report.Peers)
		}
		written := uint64(0)
		for _, from := range all.RowsFrom {
			written += from
		}
		rows = append(rows, []string{n.name, process, peers, fmt.Sprint(all.Hellos), fmt.Sprint(all.NodeUps), fmt.Sprint(all.NodeDowns),
			figure(all.RR), figure(all.HRW), fmt.Sprint(n.report.Entries), figure(written), fmt.Sprint(all.Dropped)})
	}
	return aligned(rows, 1, len(rows[0]))
}

// figure returns a number, or a dash if there is none.
func figure(n uint64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// summary returns how it was.
func (d *demo) summary(r *demoResult) string {
	equal := "equal on all nodes"
	if !r.Store.Equal {
		equal = "NOT EQUAL on all nodes"
	}
	table := ""
	if d.screen == nil {
		table = "\n" + strings.Join(d.table(), "\n") + "\n"
	}
	return table + "\n" + fmt.Sprintf(
		"%d nodes, %d hellos, %d times node_up, %d times node_down\nin turn: %s; by key: %s\nstore: %d entries, %s\nlog: %d rows; %d messages dropped\n",
		len(r.Nodes), r.Hellos, r.NodeUp, r.NodeDown, countsText(r.RR), countsText(r.HRW), r.Store.Entries, equal, r.LogRows, r.Dropped)
}
