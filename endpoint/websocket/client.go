package websocket

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	ws "github.com/coder/websocket"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A Client is connected to the WebSocket API of a Broker or Zeek node, or of a [Server]. It connects
// again whenever the connection is lost. All its methods may be called from several goroutines at a
// time, but only one may read from it.
//
// Publish and subscribe are at most once: what is under way when a connection ends is lost, and what
// others publish while there is none is missed. [Client.Events] tells when that was.
type Client struct {
	opts   clientOptions
	url    string
	topics []byte // as the first message
	in     *inbox
	out    *outbox
	ctx    context.Context // until the client is closed for good
	cancel context.CancelFunc
	done   chan struct{}

	reading                           atomic.Bool
	connects, received, invalid, sent atomic.Uint64
}

// A Message is what a client receives. It may be kept.
type Message struct {
	Topic string
	Value data.Value
}

// Event reads the value as an event of Zeek.
func (m Message) Event() (zeek.Event, error) {
	return zeek.ParseEvent(data.AppendValue(nil, m.Value))
}

// StatusCode says what happened to the connection of a client.
type StatusCode uint8

const (
	// Connected: the server has acknowledged the topics. It comes before the first message.
	Connected StatusCode = iota + 1
	// Lost: the connection has ended, as told in Err. It comes after the last message.
	Lost
	// Unavailable: an attempt to connect again has failed, as told in Err.
	Unavailable
	// Rejected: the server could not use a message of this client, as told in Err, a [*ServerError].
	Rejected
)

var statusNames = [...]string{"", "connected", "lost", "unavailable", "rejected"}

// String returns the code in a word.
func (c StatusCode) String() string {
	if int(c) < len(statusNames) && c > 0 {
		return statusNames[c]
	}
	return fmt.Sprintf("StatusCode(%d)", uint8(c))
}

// A Status tells of something that happened to the connection of a client.
type Status struct {
	Code     StatusCode
	Endpoint string // with Connected: the id of the node, as it tells it
	Version  string // with Connected: the version of the node
	Err      error
}

// An Event is a status or, if Status is nil, a message.
type Event struct {
	Status  *Status
	Message Message
}

// Stats counts what a client has seen.
type Stats struct {
	Connects    uint64 // how often it was connected
	Received    uint64 // data messages received
	Invalid     uint64 // messages received that are not understood
	Dropped     uint64 // events lost because nobody asked for them in time
	Sent        uint64 // messages sent
	Unsent      uint64 // messages accepted and not sent, since the connection or the client ended
	QueuedIn    int    // events that wait to be asked for
	QueuedOut   int    // messages that wait to be sent
	QueuedBytes int    // bytes of memory that both keep
}

// A RefusedError is an HTTP status with which a server refused to speak WebSocket: 401 without the
// right token, 403 because of the origin, 404 because it is at another path.
type RefusedError struct {
	Status int
	Reason string // what the server wrote
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the server answered %d %s: %s", e.Status, http.StatusText(e.Status), e.Reason)
}

// Dial connects to the API at rawURL, such as "ws://127.0.0.1:27759", or wss for TLS, and subscribes
// to topics, which are prefixes; none if there is only something to publish. A URL without a path
// means [Path]. The error tells why the first attempt failed, unless [InBackground] is given; a
// connection that is lost later is made again until the client is closed.
func Dial(ctx context.Context, rawURL string, topics []string, opts ...ClientOption) (*Client, error) {
	c := &Client{done: make(chan struct{})}
	if err := c.opts.apply(opts); err != nil {
		return nil, err
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return nil, fmt.Errorf("address %q: want one such as ws://127.0.0.1:27759 or wss://zeek.example.com:27759", rawURL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = Path
	}
	c.url = u.String()
	if c.topics, err = json.Marshal(append([]string{}, topics...)); err != nil {
		return nil, err
	}
	c.in, c.out = newInbox(c.opts.maxQueued, c.opts.maxBytes), newOutbox(c.opts.maxQueued, c.opts.maxBytes)
	var conn *clientConn
	if !c.opts.background {
		if conn, err = c.connect(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", c.url, err)
		}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run(conn)
	return c, nil
}

// Publish queues a value for the server. It waits while the queue is full, as long as ctx allows; then
// the error is [endpoint.ErrFull]. While there is no connection messages wait in the queue.
func (c *Client) Publish(ctx context.Context, topic string, v data.Value) error {
	if err := data.CheckDepth(v); err != nil {
		return err
	}
	if len(topic) > wire.MaxTopicLen {
		return fmt.Errorf("%w: %d bytes, at most %d", endpoint.ErrTopic, len(topic), wire.MaxTopicLen)
	}
	text := data.AppendJSONMessage(make([]byte, 0, 256), topic, v)
	if len(text) > c.opts.maxMessage {
		return fmt.Errorf("message of %d bytes as JSON, at most %d", len(text), c.opts.maxMessage)
	}
	return c.out.push(ctx, text)
}

// PublishPayload queues an encoded value. It is checked first, and rendered without being decoded. For
// the rest it is like Publish.
func (c *Client) PublishPayload(ctx context.Context, topic string, payload []byte) error {
	if len(topic) > wire.MaxTopicLen {
		return fmt.Errorf("%w: %d bytes, at most %d", endpoint.ErrTopic, len(topic), wire.MaxTopicLen)
	}
	// JSON is about seven times as long as what it encodes.
	text, err := data.AppendJSONPayload(make([]byte, 0, min(8*len(payload), 4096)), topic, payload, c.opts.maxMessage)
	if err != nil {
		return err
	}
	return c.out.push(ctx, text)
}

// PublishEvent queues an event of Zeek. For the rest it is like Publish.
func (c *Client) PublishEvent(ctx context.Context, topic, name string, args ...data.Value) error {
	return c.Publish(ctx, topic, data.Vector(
		data.Count(zeek.Version), data.Count(uint64(zeek.TypeEvent)),
		data.Vector(data.String(name), data.Vector(slices.Clone(args)...)),
	))
}

// Messages returns the messages as they come. The loop ends when ctx does or the client is closed.
func (c *Client) Messages(ctx context.Context) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for e := range c.Events(ctx) {
			if e.Status == nil && !yield(e.Message) {
				return
			}
		}
	}
}

// Events returns messages and statuses in the order in which they happened, beginning with Connected.
// Nobody need ask for them: when too many wait the oldest are dropped, and counted.
func (c *Client) Events(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		if !c.reading.CompareAndSwap(false, true) {
			panic("websocket: two goroutines read from one client")
		}
		defer c.reading.Store(false)
		for ctx.Err() == nil {
			e, ok := c.in.take()
			if ok {
				if !yield(e) {
					return
				}
				continue
			}
			select {
			case <-c.in.wake:
			case <-ctx.Done():
			case <-c.done:
				if e, ok := c.in.take(); !ok || !yield(e) { // what came in between
					return
				}
			}
		}
	}
}

// Stats returns what the client has seen so far.
func (c *Client) Stats() Stats {
	s := Stats{
		Connects: c.connects.Load(), Received: c.received.Load(), Invalid: c.invalid.Load(),
		Sent: c.sent.Load(), Dropped: c.in.dropped.Load(), Unsent: c.out.unsent.Load(),
	}
	var inBytes, outBytes int
	s.QueuedIn, inBytes = c.in.depth()
	s.QueuedOut, outBytes = c.out.depth()
	s.QueuedBytes = inBytes + outBytes
	return s
}

// Close ends the client. What is queued is sent first, if there is a connection and as far as ctx
// allows. No goroutine of the client is left when it returns.
func (c *Client) Close(ctx context.Context) error {
	c.out.close()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	}
	c.cancel()
	<-c.done
	return ctx.Err()
}

// A clientConn is one connection to the server.
type clientConn struct {
	*batchConn
	ws  *ws.Conn
	ack control
}

// connect makes a connection and subscribes.
func (c *Client) connect(ctx context.Context) (*clientConn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.dialTimeout)
	defer cancel()
	conn := &clientConn{}
	wrap := func(raw net.Conn, err error) (net.Conn, error) {
		if err != nil {
			return nil, err
		}
		conn.batchConn = newBatchConn(raw, c.opts.pingTimeout)
		return conn.batchConn, nil
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return wrap(new(net.Dialer).DialContext(ctx, network, addr))
		},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return wrap((&tls.Dialer{Config: c.opts.tls}).DialContext(ctx, network, addr))
		},
	}
	header := http.Header{}
	if c.opts.appName != "" {
		header.Set("X-Application-Name", c.opts.appName)
	}
	if c.opts.token != "" {
		header.Set("Authorization", "Bearer "+c.opts.token)
	}
	var err error
	var resp *http.Response
	conn.ws, resp, err = ws.Dial(ctx, c.url, &ws.DialOptions{
		HTTPClient: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		HTTPHeader:     header,
		OnPingReceived: func(_ context.Context, payload []byte) bool { return conn.takesPong(len(payload)) },
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			err = refused(resp)
		}
		return nil, err
	}
	stop := context.AfterFunc(ctx, conn.abort)
	conn.ws.SetReadLimit(int64(c.opts.maxMessage))
	if err = conn.ws.Write(context.Background(), ws.MessageText, c.topics); err == nil {
		err = c.awaitAck(conn)
	}
	if !stop() && ctx.Err() != nil {
		err = fmt.Errorf("no ack: %w", ctx.Err())
	}
	if err != nil {
		conn.ws.CloseNow()
		<-conn.done
		return nil, err
	}
	c.connects.Add(1)
	c.in.tell(Status{Code: Connected, Endpoint: conn.ack.Endpoint, Version: conn.ack.Version})
	return conn, nil
}

// refused makes an error of the answer to a request.
func refused(resp *http.Response) error {
	text := make([]byte, 256)
	n := 0
	if resp.Body != nil {
		n, _ = resp.Body.Read(text) // at most 1 KiB, and in memory already
	}
	for i, b := range text[:n] {
		if b < ' ' {
			n = i
			break
		}
	}
	return &RefusedError{Status: resp.StatusCode, Reason: string(text[:n])}
}

// awaitAck reads until the server has acknowledged the topics.
func (c *Client) awaitAck(conn *clientConn) error {
	in := messageReader{ws: conn.ws}
	for {
		_, text, err := in.next()
		if err != nil {
			return fmt.Errorf("no ack: %w", err)
		}
		if err := json.Unmarshal(text, &conn.ack); err != nil {
			return fmt.Errorf("no ack: %w", err)
		}
		switch conn.ack.Type {
		case "ack":
			return nil
		case "error":
			return &ServerError{Code: conn.ack.Code, Context: conn.ack.Context}
		}
		c.invalid.Add(1) // a message ahead of the ack; Zeek drops such on its side
	}
}

// run serves connections until the client is closed.
func (c *Client) run(conn *clientConn) {
	defer close(c.done)
	defer c.cancel()
	defer c.out.abandon()
	wait := time.Duration(0)
	if conn == nil {
		conn = c.reconnect(&wait)
	}
	for conn != nil {
		since := time.Now()
		err := c.serve(conn)
		c.in.tell(Status{Code: Lost, Err: err})
		c.opts.log.Info("websocket connection lost", "url", c.url, "err", err)
		if wait == 0 || time.Since(since) > c.opts.backoffMax {
			wait = c.opts.backoffMin
		}
		conn = c.reconnect(&wait)
	}
}

// reconnect dials until there is a connection, after a wait, and longer ones after that. It returns nil if the client is closed before.
func (c *Client) reconnect(wait *time.Duration) *clientConn {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	defer context.AfterFunc(c.out.closing, cancel)()
	for {
		timer := time.NewTimer(*wait/2 + rand.N(*wait/2+1))
		*wait = min(max(2**wait, c.opts.backoffMin), c.opts.backoffMax)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		conn, err := c.connect(ctx)
		if err == nil {
			return conn
		}
		if ctx.Err() != nil {
			return nil
		}
		c.in.tell(Status{Code: Unavailable, Err: err})
		c.opts.log.Info("websocket server unavailable", "url", c.url, "err", err, "retry", *wait)
	}
}

// serve uses a connection until it ends, and says why it did.
func (c *Client) serve(conn *clientConn) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer context.AfterFunc(c.ctx, conn.abort)()
	var silent atomic.Bool
	var tasks sync.WaitGroup
	tasks.Go(func() { c.write(ctx, conn) })
	watch(ctx, &tasks, conn.batchConn, conn.ws, &c.opts.common, func(ws.StatusCode, string) {
		silent.Store(true)
		conn.abort()
	})
	err := c.read(conn)
	cancel()
	if errors.Is(err, ws.ErrMessageTooBig) {
		conn.ws.Close(codeTooBig, "message too large")
	}
	conn.ws.CloseNow()
	tasks.Wait()
	<-conn.done
	if silent.Load() {
		err = fmt.Errorf("%w: nothing came for %v", endpoint.ErrTimeout, c.opts.pingTimeout)
	}
	return err
}

// read receives until the connection ends.
func (c *Client) read(conn *clientConn) error {
	in := messageReader{ws: conn.ws}
	for {
		kind, text, err := in.next()
		if err != nil {
			return err
		}
		topic, v, err := data.ParseJSONMessage(text, data.AnyJSON)
		var m control
		switch {
		case err == nil && kind == ws.MessageText:
			c.received.Add(1)
			c.in.push(Event{Message: Message{Topic: topic, Value: v}}, len(text))
		case json.Unmarshal(text, &m) == nil && m.Type == "error":
			c.in.tell(Status{Code: Rejected, Err: &ServerError{Code: m.Code, Context: m.Context}})
		default:
			c.invalid.Add(1)
		}
	}
}

// write sends what is queued until ctx ends, or until everything is sent and the client is closed.
func (c *Client) write(ctx context.Context, conn *clientConn) {
	for {
		text, more, ok := c.out.take()
		if !ok {
			select {
			case <-c.out.wake:
				continue
			case <-ctx.Done():
				return
			case <-c.out.closing.Done():
			}
			if text, more, ok = c.out.take(); !ok {
				conn.drain()
				conn.ws.Close(ws.StatusNormalClosure, "")
				return
			}
		}
		if conn.begin() != nil || conn.ws.Write(context.Background(), ws.MessageText, text) != nil {
			c.out.unsent.Add(1)
			return // reading fails, too
		}
		c.sent.Add(1)
		if !more {
			conn.flush()
		}
	}
}
