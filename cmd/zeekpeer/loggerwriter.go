package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/logs"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

const (
	logsTopic  = "zeek/logs/"
	helloEvent = "Cluster::hello"

	// logsPatience is how long the end waits for a disk and for the archive. Service managers give 90 s.
	logsPatience = 30 * time.Second
)

// logsQueue is what waits for the writers besides what they have in hand. When it is full, no more is read from the
// peers, and then they keep what they have to say; but not for so long that they are taken for dead.
var logsQueue = endpoint.QueueLimits{Messages: 1 << 20, Bytes: 32 << 20, Policy: endpoint.Block, BlockTimeout: 20 * time.Second}

// A logging is what writes the logs that come to an endpoint.
type logging struct {
	name     string
	flags    *loggerFlags
	options  logs.FilesOptions
	log      *slog.Logger
	stderr   io.Writer
	receiver *logs.Receiver
	files    *logs.Files
	sub      *endpoint.Subscription
	self     wire.EndpointID
	own      chan []byte // LogCreates and LogWrites of this node itself
	reading  sync.WaitGroup
	stop     chan struct{} // ends what shows the status
	showing  sync.WaitGroup

	mu    sync.Mutex
	names map[wire.EndpointID]string // by hello
}

// openLogs opens the files, and completes what was left of others.
func openLogs(o logs.FilesOptions, f *loggerFlags, name string, log *slog.Logger, stderr io.Writer) (*logging, error) {
	w := &logging{
		name: name, flags: f, options: o, log: log, stderr: stderr, own: make(chan []byte, 1024), stop: make(chan struct{}),
		names: make(map[wire.EndpointID]string),
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // what lives long is a few large buffers without pointers: collecting is cheap, memory is not
	}
	var err error
	if w.files, err = logs.NewFiles(o); err != nil {
		return nil, err
	}
	w.receiver = logs.NewReceiver(logs.ReceiverOptions{Log: log, PeerName: w.nameOf}, w.files)
	return w, nil
}

// banner says what is written where.
func (w *logging) banner() {
	dir, err := filepath.Abs(w.options.Dir)
	if err != nil {
		dir = w.options.Dir
	}
	format := "TSV"
	if w.options.Format.JSON {
		format = "JSON"
	}
	rotated := "not rotated"
	if w.options.Rotate > 0 {
		rotated = fmt.Sprintf("rotated every %v", w.options.Rotate)
	}
	then := ""
	switch {
	case w.options.Archive != "":
		then = ", compressed into " + w.options.Archive
	case len(w.options.PostProcess) > 0:
		then = ", then given to " + strings.Join(w.options.PostProcess, " ")
	}
	fmt.Fprintf(w.stderr, "  %-10s %s, in %s, %s%s\n", "logs", dir, format, rotated, then)
	const most, others = 1024, 128 // logs that the receiver writes at once; peers, sockets, the archive
	if err := checkOpenFiles(fmt.Sprintf("%d logs and the rest", most), most+others); err != nil {
		fmt.Fprintf(w.stderr, "warning: %v\n", err)
	}
}

// begin takes what comes under topics, until the endpoint ends. greet, if not nil, is called for each peer that comes.
func (w *logging) begin(e *endpoint.Endpoint, topics []string, greet func(wire.EndpointID)) error {
	var err error
	w.sub, err = e.Subscribe(topics, endpoint.WithStatus(), endpoint.WithQueue(logsQueue), endpoint.AllowBlockingStores())
	if err != nil {
		return err
	}
	w.self = e.ID()
	w.reading.Go(func() { w.read(greet) })
	w.showing.Go(w.show)
	return nil
}

func (w *logging) read(greet func(wire.EndpointID)) {
	done := make(chan struct{})
	var own sync.WaitGroup
	own.Go(func() {
		for {
			select {
			case payload := <-w.own:
				w.receiver.Take(w.self, payload)
			case <-done:
				return
			}
		}
	})
	for e := range w.sub.Events(context.Background()) {
		switch {
		case e.Status == nil:
			w.message(e.Message.Sender(), e.Message.Payload())
		case e.Status.Code == endpoint.PeerAdded:
			if greet != nil {
				greet(e.Status.Peer)
			}
		case e.Status.Code == endpoint.PeerLost || e.Status.Code == endpoint.PeerRemoved:
			w.receiver.Forget(e.Status.Peer)
			w.mu.Lock()
			delete(w.names, e.Status.Peer)
			w.mu.Unlock()
		}
	}
	close(done)
	own.Wait()
	for len(w.own) > 0 {
		w.receiver.Take(w.self, <-w.own)
	}
}

func (w *logging) message(from wire.EndpointID, payload []byte) {
	if zeek.TypeOf(payload) != zeek.TypeEvent {
		w.receiver.Take(from, payload)
		return
	}
	e, err := zeek.ParseEventView(payload)
	if err != nil || string(e.Name) != helloEvent {
		return
	}
	var hello struct{ Name, ID string }
	if err := e.Into(&hello); err != nil || hello.ID != from.String() || len(hello.Name) > 256 {
		return
	}
	w.mu.Lock()
	known := w.names[from]
	w.names[from] = hello.Name
	w.mu.Unlock()
	if known == "" {
		w.log.Info("hello", "from", hello.Name, "peer", from)
	}
}

// nameOf returns the name of a peer that has said hello; "" otherwise.
func (w *logging) nameOf(id wire.EndpointID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[id]
}

// greeting returns what says hello to a peer, in the name of a node (CLUSTER.md section 4.2).
func greeting(e *endpoint.Endpoint, name string) func(wire.EndpointID) {
	return func(peer wire.EndpointID) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		e.PublishEvent(ctx, "zeek/cluster/nodeid/"+peer.String()+"/", helloEvent, data.String(name), data.String(e.ID().String()))
	}
}

// clusterLog is how the rows of cluster.log are packed.
var clusterLog = zeek.LogCreate{
	Stream: "Cluster::LOG", Writer: "Log::WRITER_ASCII", Info: zeek.WriterInfo{Path: "cluster", Config: data.Table()},
	Fields: []zeek.Field{
		{Name: "ts", Type: uint64(zeek.LogTime)}, {Name: "node", Type: uint64(zeek.LogString)}, {Name: "message", Type: uint64(zeek.LogString)},
	},
}

// ownRow writes a row of cluster.log of this node itself. It never waits: what there is no room for is in the log of
// the process alone.
func (w *logging) ownRow(stream string, row []byte) bool {
	if stream == clusterLog.Stream {
		messages := append(zeek.AppendBatchHead(nil, 2), clusterLog.AppendMessage(nil)...)
		messages = zeek.AppendLogWrite(messages, clusterLog.Stream, clusterLog.Writer, clusterLog.Info.Path, row)
		select {
		case w.own <- messages:
		default:
		}
	}
	return true
}

// end writes what was received, completes the files, and says what there was. The endpoint has ended before.
func (w *logging) end() error {
	w.reading.Wait()
	close(w.stop)
	w.showing.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), logsPatience)
	defer cancel()
	err := w.receiver.Close(ctx)
	s, f := w.receiver.Status(), w.files.Status()
	if err != nil && s.Lost == 0 {
		err = fmt.Errorf("logs: %w", err)
	}
	fmt.Fprintf(w.stderr, "%s: %d rows of %d logs written, %s, %d files rotated, %d archived\n",
		w.name, s.Rows, len(s.Logs), cmp.Or(troubles(s, w.dropped()), "none refused or lost"), f.Rotated, f.Archived)
	return err
}

// dropped returns how many messages got no place in the queue.
func (w *logging) dropped() uint64 {
	if w.sub == nil {
		return 0
	}
	return w.sub.Stats().Dropped
}

// troubles lists what was not written; "" if there is nothing.
func troubles(s logs.Status, dropped uint64) string {
	var parts []string
	if len(s.Refused) > 0 {
		parts = append(parts, "refused: "+countsText(s.Refused))
	}
	if s.Lost > 0 {
		parts = append(parts, fmt.Sprintf("%d rows lost", s.Lost))
	}
	if dropped > 0 {
		parts = append(parts, fmt.Sprintf("%d messages dropped", dropped))
	}
	return strings.Join(parts, ", ")
}
