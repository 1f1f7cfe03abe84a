package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/pool"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// demoNodeCommand is a process of the demo. It does what is asked on its standard input, and ends with that: whoever
// started it may just die.
func demoNodeCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "node NAME TYPE",
		Short:  "A node of the demo, which its process starts",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Ctrl-C comes to all processes of a terminal, and is for the one that started this.
			signal.Ignore(os.Interrupt)
			m := demoMachine{name: args[0], kind: args[1], rowsFrom: make(map[string]uint64)}
			return m.serve(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

const (
	demoTask  = "Demo::task"  // (count), in turn
	demoHost  = "Demo::host"  // (string), by key
	demoFence = "Demo::fence" // behind all others of a publisher

	demoHosts    = 64
	demoInterval = 10 * time.Millisecond // between events of a publisher
)

var demoLogFields = []zeek.Field{
	{Name: "ts", Type: uint64(zeek.LogTime)}, {Name: "node", Type: uint64(zeek.LogString)}, {Name: "task", Type: uint64(zeek.LogCount)},
}

// A demoMachine is what runs in a process of the demo.
type demoMachine struct {
	name, kind string
	listener   net.Listener // nil for a worker: nobody dials it
	node       *cluster.Node
	store      *store.Store
	tasks      *cluster.LogStream
	stop       func() // publishing

	mu       sync.Mutex // guards what follows
	rr, hrw  uint64
	fences   int
	rowsFrom map[string]uint64
}

// serve answers requests until there are no more.
func (m *demoMachine) serve(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer m.end()
	requests := make(chan demoRequest)
	go func() {
		defer close(requests)
		eachLine(stdin, func(_ int, text []byte, err error) bool {
			var r demoRequest
			if err != nil || json.Unmarshal(text, &r) != nil {
				return false
			}
			select {
			case requests <- r:
			case <-ctx.Done():
			}
			return ctx.Err() == nil
		})
	}()
	out := json.NewEncoder(stdout)
	for {
		select {
		case <-ctx.Done():
			return nil
		case r, ok := <-requests:
			if !ok {
				return nil
			}
			err := m.do(ctx, r, stderr)
			report := m.report(ctx)
			if err != nil {
				report.Error = err.Error()
			}
			if err := out.Encode(report); err != nil {
				return nil // nobody is there any more
			}
		}
	}
}

func (m *demoMachine) do(ctx context.Context, r demoRequest, stderr io.Writer) (err error) {
	switch r.Do {
	case "listen":
		if m.kind != "worker" {
			m.listener, err = net.Listen("tcp", "127.0.0.1:0")
		}
		return err
	case "start":
		return m.start(ctx, r.Layout, stderr)
	case "publish":
		m.publish(ctx)
		return nil
	case "stop":
		m.stop()
		_, err := m.node.Publish(ctx, m.node.Layout().Options.WorkerTopic, demoFence)
		return err
	case "report":
		return nil
	}
	return fmt.Errorf("not a request of the demo: %q", r.Do)
}

// start makes the node, and starts it.
func (m *demoMachine) start(ctx context.Context, file string, stderr io.Writer) error {
	l, err := layout.Load(file, nil)
	if err != nil {
		return err
	}
	m.node, err = cluster.New(l, m.name,
		cluster.WithLogger(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))),
		cluster.WithEndpoint(endpoint.WithListenFunc(func(context.Context, string, string) (net.Listener, error) { return m.listener, nil })),
		cluster.WithLogBatches(400, 50*time.Millisecond))
	if err != nil {
		return err
	}
	count := func(what *uint64) {
		m.mu.Lock()
		defer m.mu.Unlock()
		*what++
	}
	switch m.kind {
	case "worker":
		if m.tasks, err = m.node.NewLogStream("Demo::LOG", "demo", demoLogFields); err != nil {
			return err
		}
		cluster.On(m.node, demoTask, func(_ context.Context, args struct{ Number uint64 }) error {
			count(&m.rr)
			row := zeek.AppendLogTime(zeek.AppendRecord(nil, len(demoLogFields)), time.Now())
			return m.tasks.Write(zeek.AppendLogCount(zeek.AppendLogText(row, zeek.LogString, m.name), args.Number))
		})
		cluster.On(m.node, demoHost, func(ctx context.Context, args struct{ Host string }) error {
			count(&m.hrw)
			_, err := m.store.Increment(ctx, data.String(args.Host), data.Count(1), store.NoWait())
			return err
		})
		cluster.On(m.node, demoFence, func(context.Context, struct{}) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.fences++
			return nil
		})
	case "logger":
		m.node.OnLogs(m.count)
	}
	if m.store, err = m.node.CreateStore("demo/hosts", false); err != nil {
		return err
	}
	return m.node.Start(ctx)
}

// count counts the rows that a logger receives.
func (m *demoMachine) count(from wire.EndpointID, payload []byte) {
	message, err := zeek.Parse(payload)
	rows, ok := message.(zeek.Batch)
	if err != nil || !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rowsFrom[from.String()] += uint64(len(rows))
}

// publish publishes until it is stopped: the manager tasks in turn, the proxy hosts by key.
func (m *demoMachine) publish(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	m.stop = func() { cancel(); <-done }
	go func() {
		defer close(done)
		tick := time.NewTicker(demoInterval)
		defer tick.Stop()
		for i := uint64(0); ; i++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			var err error
			if m.kind == "manager" {
				err = m.node.PublishRR(ctx, pool.WorkerTopic, "demo", demoTask, data.Count(i))
			} else {
				host := data.String(fmt.Sprintf("host-%02d", i%demoHosts))
				err = m.node.PublishHRW(ctx, pool.WorkerTopic, host, demoHost, host)
			}
			if err != nil && ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "not published: %v\n", err)
			}
		}
	}()
}

// report says how the node is.
func (m *demoMachine) report(ctx context.Context) *demoReport {
	r := new(demoReport)
	if m.listener != nil {
		r.Port = m.listener.Addr().(*net.TCPAddr).Port
	}
	if m.node == nil {
		return r
	}
	s := m.node.Status()
	r.ID, r.Peers, r.Hellos, r.NodeUps, r.NodeDowns, r.Dropped = s.ID, s.Peers, s.Hellos, s.NodeUps, s.NodeDowns, s.Dropped
	r.RowsSent, r.RowsWaiting = s.RowsSent, s.RowsWaiting
	for _, n := range s.Nodes {
		if n.ID != "" {
			r.Known = append(r.Known, n.Name)
		}
	}
	if m.store != nil && m.store.Status().Ready {
		r.Entries, r.Digest = m.digest(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r.RR, r.HRW, r.Fences = m.rr, m.hrw, m.fences
	r.RowsFrom = make(map[string]uint64, len(m.rowsFrom))
	for id, rows := range m.rowsFrom {
		r.RowsFrom[id] = rows
	}
	return r
}

// digest returns how much is in the store, and a hash of it.
func (m *demoMachine) digest(ctx context.Context) (int, string) {
	all, err := m.store.All(ctx)
	if err != nil {
		return 0, ""
	}
	var entries []string
	for key, value := range all {
		entries = append(entries, string(data.AppendValue(data.AppendValue(nil, key), value)))
	}
	slices.Sort(entries)
	hash := sha256.New()
	for _, e := range entries {
		io.WriteString(hash, e)
	}
	return len(entries), hex.EncodeToString(hash.Sum(nil))
}

// end ends the node.
func (m *demoMachine) end() {
	if m.stop != nil {
		m.stop()
	}
	if m.node == nil {
		if m.listener != nil {
			m.listener.Close()
		}
		return
	}
	// Nobody wants to be told: the others end, too.
	now, cancel := context.WithCancel(context.Background())
	cancel()
	m.node.Close(now)
}
