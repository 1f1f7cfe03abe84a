package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/dump"
)

const (
	// maxTaps bounds the taps at a time; each keeps up to tapQueue of traffic for a slow reader.
	maxTaps = 8
	// flushInterval is how long a frame waits for others to go with it.
	flushInterval = 50 * time.Millisecond
	// statusTimeout bounds the answer to anything but a tap.
	statusTimeout = 10 * time.Second
)

// tapQueue is what waits for a reader of a tap.
var tapQueue = endpoint.QueueLimits{Messages: 1 << 16, Bytes: 32 << 20, Policy: endpoint.DropOldest}

// A Server answers at the admin socket of a node.
type Server struct {
	ep      *endpoint.Endpoint
	socket  *socket
	http    http.Server
	started time.Time
	taps    atomic.Int32
	cancel  context.CancelFunc
	done    chan struct{}
}

// A Page is what else there is to ask for at a socket: at Path, what Get returns, as JSON.
type Page struct {
	Path string
	Get  func() any
}

// Serve makes the socket at path and answers there until it is closed, which is to be done after the
// endpoint is. A socket that a dead process has left at path is replaced.
func Serve(ep *endpoint.Endpoint, path string, pages ...Page) (*Server, error) {
	socket, err := listenSocket(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{ep: ep, socket: socket, started: time.Now(), cancel: cancel, done: make(chan struct{})}
	mux := http.NewServeMux()
	for _, p := range append(pages, Page{"/v1/status", func() any { return statusOf(s.ep, s.started) }}) {
		mux.HandleFunc("GET "+p.Path, p.serve)
	}
	mux.HandleFunc("GET /v1/tap", func(w http.ResponseWriter, r *http.Request) { s.tap(ctx, w, r) })
	s.http = http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	go func() {
		defer close(s.done)
		s.http.Serve(socket) // until Close
	}()
	return s, nil
}

// Close ends the answering, taps included, and removes the socket.
func (s *Server) Close() error {
	s.cancel()
	// What is being answered may end; a tap whose reader has stopped reading may not.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	<-s.done
	return err
}

func (p Page) serve(w http.ResponseWriter, _ *http.Request) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(statusTimeout))
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(p.Get())
}

// tap streams what the node and its peers say. A reader that stops reading costs what tapQueue allows
// and no more, so it may stop as long as it likes.
func (s *Server) tap(closing context.Context, w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	filter := dump.Filter{Topics: query["topic"], Peers: query["peer"], Kinds: query["type"]}
	dir := query.Get("dir")
	if err := filter.Check(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if dir != "" && dir != "in" && dir != "out" {
		http.Error(w, fmt.Sprintf("dir %q: want in or out", dir), http.StatusBadRequest)
		return
	}
	if s.taps.Add(1) > maxTaps {
		s.taps.Add(-1)
		http.Error(w, fmt.Sprintf("there are %d taps already, which is as many as there can be", maxTaps), http.StatusServiceUnavailable)
		return
	}
	defer s.taps.Add(-1)
	t, err := s.ep.Tap(tapQueue)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer t.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(closing, cancel)()
	w.Header().Set("Content-Type", "application/x-ndjson")
	stream := tapStream{
		tap: t, ep: s.ep, filter: filter, dir: dir, conns: make(map[connKey]connection),
		out: bufio.NewWriterSize(w, 64<<10), flushNet: http.NewResponseController(w).Flush, stop: cancel,
	}
	stream.run(ctx)
}

// A tapStream writes what a tap sees as a recording.
type tapStream struct {
	tap      *endpoint.Tap
	ep       *endpoint.Endpoint
	filter   dump.Filter
	dir      string
	conns    map[connKey]connection
	count    int // of conns that there were
	flushNet func() error
	stop     func()

	mu      sync.Mutex // guards what follows
	out     *bufio.Writer
	record  *capture.Writer
	written bool   // since the last flush
	dropped uint64 // frames, as told
}

// A connKey names a peering, as far as a tap tells them apart.
type connKey struct {
	peer wire.EndpointID
	addr string
}

// A connection is a peering as a recording shows it.
type connection struct {
	number int
	node   capture.End
	peer   capture.End
}

// maxConnections bounds the peerings that a tap remembers.
const maxConnections = 1 << 14

func (s *tapStream) run(ctx context.Context) {
	var err error
	if s.record, err = capture.NewWriter(s.out, time.Now(), s.ep.ID()); err != nil {
		return
	}
	if s.written = true; s.flush() != nil {
		return
	}
	// Frames are flushed together, by somebody else, since the loop waits for more of them.
	var flushing sync.WaitGroup
	defer flushing.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	flushing.Go(func() {
		tick := time.NewTicker(flushInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if s.flush() != nil {
					s.stop()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	for f := range s.tap.Frames(ctx) {
		if s.frame(f) != nil {
			return
		}
	}
	s.flush()
}

// frame writes one frame, if the filter lets it through.
func (s *tapStream) frame(f endpoint.TapFrame) error {
	if s.dir == "in" && f.Sent || s.dir == "out" && !f.Sent {
		return nil
	}
	frame := capture.Frame{Body: f.Body}
	if frame.Envelope, frame.Err = wire.ParseEnvelope(f.Body); frame.Err != nil {
		frame.Envelope = wire.Envelope{}
	}
	c := s.connection(f)
	it := capture.Item{Time: time.Now(), Conn: c.number, From: c.peer, To: c.node, Frame: &frame}
	if f.Sent {
		it.From, it.To = it.To, it.From
	}
	if !s.filter.Match(&it) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = true
	return s.record.Write(&it)
}

// connection returns the peering of a frame. Who dialed is asked when it is first seen.
func (s *tapStream) connection(f endpoint.TapFrame) connection {
	key := connKey{f.Peer, f.Addr}
	c, ok := s.conns[key]
	if ok {
		return c
	}
	if len(s.conns) >= maxConnections {
		clear(s.conns)
	}
	s.count++
	c = connection{
		number: s.count,
		node:   capture.End{Name: capture.Listener, ID: s.ep.ID()},
		peer:   capture.End{Name: capture.Dialer, ID: f.Peer, Addr: f.Addr},
	}
	for _, p := range s.ep.Peers() {
		if p.ID == f.Peer && p.Dialed {
			c.node.Name, c.peer.Name = capture.Dialer, capture.Listener
		}
	}
	s.conns[key] = c
	return c
}

// flush writes what is buffered, and tells what was lost.
func (s *tapStream) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lost := s.tap.Dropped() - s.dropped; lost > 0 {
		s.dropped += lost
		note := capture.Item{Time: time.Now(), Note: fmt.Sprintf("%d frames lost: the reader of the tap is too slow", lost)}
		if err := s.record.Write(&note); err != nil {
			return err
		}
		s.written = true
	}
	if !s.written {
		return nil
	}
	s.written = false
	if err := s.out.Flush(); err != nil {
		return err
	}
	return s.flushNet()
}
