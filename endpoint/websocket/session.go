package websocket

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	ws "github.com/coder/websocket"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// Close codes.
const (
	codeGoingAway = ws.StatusGoingAway       // 1001
	codePolicy    = ws.StatusPolicyViolation // 1008
	codeTooBig    = ws.StatusMessageTooBig   // 1009
	codeInternal  = ws.StatusInternalError   // 1011
	codeOverflow  = ws.StatusTryAgainLater   // 1013
)

// ClientInfo is what a server knows of one of its clients.
type ClientInfo struct {
	Addr            string // as seen
	ApplicationName string // X-Application-Name, "" if the client has not told
	Since           time.Time
	Topics          []string // that it gets; not to be changed; nil until the client has told

	Received uint64 // data messages of the client, published
	Invalid  uint64 // messages of the client that could not be published and were answered by an error
	Denied   uint64 // by the access rules: messages that were not published, topics not subscribed to
	Sent     uint64 // data messages to the client
	Dropped  uint64 // messages lost because the client was too slow
	Unsent   uint64 // messages that are no valid values or too large as JSON
	Queued   int    // messages that wait
}

// A CloseError is how a connection was closed, by either side.
type CloseError = ws.CloseError

// A session is one client of a server.
type session struct {
	h       *Handler
	addr    string
	app     string
	since   time.Time
	ctx     context.Context // until the session ends
	cancel  context.CancelFunc
	ready   atomic.Bool // sub is set
	sub     *endpoint.Subscription
	access  endpoint.Access
	counter struct{ received, invalid, denied, sent, unsent atomic.Uint64 }

	mu    sync.Mutex // guards what follows
	conn  *batchConn
	ws    *ws.Conn
	ended CloseError // why the server ended it, if the code is not zero
}

func newSession(h *Handler, r *http.Request) *session {
	s := &session{h: h, addr: r.RemoteAddr, app: r.Header.Get("X-Application-Name"), since: time.Now()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *session) info() ClientInfo {
	info := ClientInfo{
		Addr: s.addr, ApplicationName: s.app, Since: s.since,
		Received: s.counter.received.Load(), Invalid: s.counter.invalid.Load(), Denied: s.counter.denied.Load(),
		Sent: s.counter.sent.Load(), Unsent: s.counter.unsent.Load(),
	}
	if s.ready.Load() {
		stats := s.sub.Stats()
		info.Topics, info.Dropped, info.Queued = s.sub.Topics(), stats.Dropped, stats.Queued
	}
	return info
}

// A hijacker gives a [batchConn] to whoever takes over the connection.
type hijacker struct {
	http.ResponseWriter
	s *session
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	batch := newBatchConn(conn, h.s.h.opts.pingTimeout)
	h.s.mu.Lock()
	h.s.conn = batch
	h.s.mu.Unlock()
	return batch, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(batch)), nil
}

// serve serves the client until the connection is gone and nothing is left of it.
func (s *session) serve(w http.ResponseWriter, r *http.Request) {
	defer s.cancel()
	conn, err := ws.Accept(hijacker{w, s}, r, &ws.AcceptOptions{
		InsecureSkipVerify: true, // the handler has checked the origin
		OnPingReceived:     func(_ context.Context, payload []byte) bool { return s.conn.takesPong(len(payload)) },
	})
	if err != nil {
		s.h.refused.Add(1)
		s.h.opts.log.Warn("websocket client refused", "addr", s.addr, "err", err)
		if s.conn != nil {
			s.abort()
			<-s.conn.done
		}
		return
	}
	s.h.accepted.Add(1)
	s.mu.Lock()
	s.ws = conn
	ended := s.ended // by a shutdown that came before
	s.mu.Unlock()
	var tasks sync.WaitGroup
	if ended.Code != 0 {
		conn.Close(ended.Code, ended.Reason)
	} else {
		err = s.converse(&tasks)
	}
	s.cancel()
	if s.sub != nil {
		s.sub.Close()
	}
	conn.CloseNow() // or waits until a Close elsewhere is through
	tasks.Wait()
	<-s.conn.done
	info := s.info()
	s.h.opts.log.Info("websocket client gone", "addr", s.addr, "app", s.app, "reason", err,
		"received", info.Received, "invalid", info.Invalid, "sent", info.Sent, "dropped", info.Dropped, "unsent", info.Unsent)
}

// converse speaks with the client until it is gone, and says why it is.
func (s *session) converse(tasks *sync.WaitGroup) error {
	if s.app != "" && !validAppName(s.app) {
		return s.refuse(&ServerError{codeAppName, "Invalid X-Application-Name"})
	}
	in := messageReader{ws: s.ws, budget: &s.h.large}
	defer in.release()
	if err := s.subscribe(&in); err != nil {
		return err
	}
	tasks.Go(s.write)
	watch(s.ctx, tasks, s.conn, s.ws, &s.h.opts.common, s.end)
	err := s.read(&in)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended.Code != 0 {
		return s.ended
	}
	return err
}

// end closes the connection with a code and a reason. Only the first call counts.
func (s *session) end(code ws.StatusCode, reason string) {
	s.mu.Lock()
	first, conn := s.ended.Code == 0, s.ws
	if first {
		s.ended = CloseError{Code: code, Reason: reason}
	}
	s.mu.Unlock()
	s.cancel()
	if first && conn != nil {
		conn.Close(code, reason)
	}
}

// abort cuts the connection.
func (s *session) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel()
	if s.conn != nil {
		s.conn.abort()
	}
}

// refuse tells the client what is wrong and closes the connection.
func (s *session) refuse(e *ServerError) error {
	s.send(control{Type: "error", Code: e.Code, Context: e.Context})
	s.end(codePolicy, e.Code)
	return e
}

// send sends a message that is no data message.
func (s *session) send(m control) error {
	if err := s.conn.wait(); err != nil {
		return err
	}
	return s.ws.Write(context.Background(), ws.MessageText, m.encode())
}

// subscribe receives the topics, subscribes and acknowledges.
func (s *session) subscribe(in *messageReader) error {
	late := time.AfterFunc(s.h.opts.topicsTimeout, func() {
		s.end(codePolicy, fmt.Sprintf("no topics within %v", s.h.opts.topicsTimeout))
	})
	s.ws.SetReadLimit(MaxTopicBytes)
	_, text, err := in.next()
	if !late.Stop() {
		return fmt.Errorf("no topics within %v", s.h.opts.topicsTimeout)
	}
	if err != nil {
		return s.broken(err)
	}
	topics, bad := parseTopics(text)
	if bad != nil {
		return s.refuse(bad)
	}
	opts := []endpoint.SubscribeOption{endpoint.WithQueue(s.h.opts.queue), endpoint.WithLoopback()}
	if s.h.opts.allowBlocks {
		opts = append(opts, endpoint.AllowBlockingStores())
	}
	topics, denied := s.access.Narrow(topics)
	sub, err := s.h.ep.Subscribe(topics, opts...)
	var blocks *endpoint.BlocksStoresError
	switch {
	case errors.As(err, &blocks):
		return s.refuse(&ServerError{codeTopic, fmt.Sprintf("subscribing to %q would keep the nodes of the cluster from creating stores whose topics begin so; subscribe to longer topics, or have the server allow it", blocks.Topic)})
	case errors.Is(err, endpoint.ErrClosed):
		s.end(codeGoingAway, "shutting down")
		return err
	case err != nil:
		return s.refuse(&ServerError{codeTopic, err.Error()})
	}
	s.sub = sub
	s.ready.Store(true)
	s.h.opts.log.Info("websocket client added", "addr", s.addr, "app", s.app, "topics", topics)
	s.ws.SetReadLimit(int64(s.h.opts.maxMessage))
	if err := s.send(control{Type: "ack", Endpoint: s.h.ep.ID().String(), Version: s.h.opts.version}); err != nil || denied == nil {
		return err
	}
	s.denied(denied)
	return s.send(control{Type: "error", Code: codeNotAllowed, Context: denied.Error()})
}

// denied counts what the client must not do, and tells of the first time.
func (s *session) denied(err error) {
	if s.counter.denied.Add(1) == 1 {
		s.h.opts.log.Warn("denied to a websocket client by the access rules; more is only counted", "addr", s.addr, "app", s.app, "err", err)
	}
}

// broken closes a connection that reading from has failed.
func (s *session) broken(err error) error {
	switch {
	case errors.Is(err, ws.ErrMessageTooBig):
		s.end(codeTooBig, "message too large")
	case errors.Is(err, errMemory):
		s.end(codeOverflow, errMemory.Error())
	}
	return err
}

// read publishes what the client sends until the connection ends.
func (s *session) read(in *messageReader) error {
	var payload []byte
	for n := 1; ; n++ {
		kind, text, err := in.next()
		if err != nil {
			return s.broken(err)
		}
		if payload, err = s.publish(kind, text, payload[:0]); err != nil {
			if s.ctx.Err() != nil {
				return err
			}
			if _, ok := errors.AsType[*endpoint.AccessError](err); ok {
				s.denied(err)
			} else {
				s.counter.invalid.Add(1)
			}
			if err := s.send(inputError(n, kind, text, err)); err != nil {
				return err
			}
		} else {
			s.counter.received.Add(1)
		}
		payload = reusable(payload)
	}
}

// inputError says what is wrong with the nth message of a client, in Broker's words and then in ours.
func inputError(n int, kind ws.MessageType, text []byte, err error) control {
	code, what := codeDeserialization, "contained invalid data"
	_, denied := errors.AsType[*endpoint.AccessError](err)
	switch {
	case denied:
		code, what = codeNotAllowed, "was not published"
	case kind != ws.MessageText:
		what = "is no text"
	case errors.Is(err, endpoint.ErrTopic):
		code, what = codeTopic, "was not published"
	case errors.Is(err, endpoint.ErrFull):
		code, what = codeQueueFull, "was not published"
	case !errors.Is(err, data.ErrJSON): // such as a node that is read-only
		code, what = codeUnspecified, "was not published"
	case !json.Valid(text):
		what = "contained malformed JSON"
	}
	return control{Type: "error", Code: code, Context: fmt.Sprintf("input #%d %s -> %v", n, what, err)}
}

// publish publishes one message of the client. buf is for its encoding, and returned.
func (s *session) publish(kind ws.MessageType, text, buf []byte) ([]byte, error) {
	if kind != ws.MessageText {
		return buf, errors.New("binary messages are not understood, send text")
	}
	name, v, err := data.ParseJSONMessage(text, data.StrictJSON)
	if err != nil {
		return buf, err
	}
	buf = data.AppendValue(buf, v)
	if err := s.access.MayPublish(wire.TypeData, name, buf); err != nil {
		return buf, err
	}
	_, err = s.sub.PublishPayload(s.ctx, name, buf)
	return buf, err
}

// write sends what comes for the client until the session or the subscription ends.
func (s *session) write() {
	var buf []byte
	for m := range s.sub.Messages(s.ctx) {
		var err error
		if buf, err = s.writeMessage(buf, m); err != nil {
			s.cancel()
			return // reading fails, too
		}
		if !s.sub.Buffered() {
			s.conn.flush()
		}
	}
	s.conn.flush()
	switch err := s.sub.Err(); {
	case s.ctx.Err() != nil:
	case errors.Is(err, endpoint.ErrOverflow):
		s.conn.drain() // so that the code reaches a client that reads again
		s.end(codeOverflow, "queue overflow")
	default:
		s.end(codeGoingAway, "shutting down")
	}
}

// writeMessage sends one message, or counts it if it cannot be sent. It returns buf for the next.
func (s *session) writeMessage(buf []byte, m endpoint.Message) ([]byte, error) {
	buf, err := data.AppendJSONPayload(buf[:0], m.Topic(), m.Payload(), maxRendered)
	if err != nil {
		if s.counter.unsent.Add(1) == 1 {
			s.h.opts.log.Warn("message not sent to a websocket client; more are only counted", "addr", s.addr, "topic", m.Topic(), "peer", m.Sender(), "err", err)
		}
		return reusable(buf), nil
	}
	if err := s.conn.begin(); err != nil {
		return nil, err
	}
	s.counter.sent.Add(1)
	return reusable(buf), s.ws.Write(context.Background(), ws.MessageText, buf)
}

// watch pings the other side until the connection is closed, and calls end when there was no sign of
// life for too long. What it starts ends with ctx and the connection.
func watch(ctx context.Context, tasks *sync.WaitGroup, conn *batchConn, c *ws.Conn, o *common, end func(ws.StatusCode, string)) {
	tick := func(f func() bool) {
		ticker := time.NewTicker(o.pingInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if !f() {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
	tasks.Go(func() {
		// Waits for the pong. A context that ends while the ping is written would cut the connection.
		tick(func() bool { return c.Ping(context.Background()) == nil })
	})
	tasks.Go(func() {
		tick(func() bool {
			silent := conn.silence() > o.pingTimeout
			if silent {
				end(codeInternal, "ping timeout")
			}
			return !silent
		})
	})
}

// reusable returns a buffer to use again, unless it has become so large that it should not be kept.
func reusable(buf []byte) []byte {
	if cap(buf) > keepBytes {
		return nil
	}
	return buf
}
