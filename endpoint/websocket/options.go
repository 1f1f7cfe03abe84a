package websocket

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// Path is where Broker and Zeek serve the API.
const Path = "/v1/messages/json"

// What nobody may exceed.
const (
	// DefaultMaxMessage is how large a message that is received may be: the largest that Zeek sends are
	// batches of logs, far below it.
	DefaultMaxMessage = 16 << 20
	// MaxTopics and MaxTopicBytes bound what one client may subscribe to.
	MaxTopics     = 4096
	MaxTopicBytes = 256 << 10
	// maxRendered bounds a message as JSON, which can be thirty times as long as its encoding.
	maxRendered = 64 << 20
)

// common is what a server and a client have both.
type common struct {
	log          *slog.Logger
	token        string
	tls          *tls.Config
	pingInterval time.Duration
	pingTimeout  time.Duration
	maxMessage   int
}

func commonDefaults() common {
	return common{
		log:          slog.New(slog.DiscardHandler),
		pingInterval: 10 * time.Second,
		pingTimeout:  30 * time.Second,
		maxMessage:   DefaultMaxMessage,
	}
}

func (o *common) validate() (err error) {
	if o.pingInterval <= 0 || o.pingTimeout < o.pingInterval {
		err = fmt.Errorf("ping every %v with timeout %v: want more than zero, and the timeout no less than the interval", o.pingInterval, o.pingTimeout)
	}
	if o.maxMessage < 1024 {
		err = errors.Join(err, fmt.Errorf("largest message of %d bytes: want 1024 at least", o.maxMessage))
	}
	return err
}

// A ServerOption changes a server. All are checked by [NewHandler] and [Listen].
type ServerOption interface{ server(*serverOptions) }

// A ClientOption changes a client. All are checked by [Dial].
type ClientOption interface{ client(*clientOptions) }

// A CommonOption is both a [ServerOption] and a [ClientOption].
type CommonOption interface {
	ServerOption
	ClientOption
}

type (
	commonOption func(*common)
	serverOption func(*serverOptions)
	clientOption func(*clientOptions)
)

func (f commonOption) server(o *serverOptions) { f(&o.common) }
func (f commonOption) client(o *clientOptions) { f(&o.common) }
func (f serverOption) server(o *serverOptions) { f(o) }
func (f clientOption) client(o *clientOptions) { f(o) }

// WithLogger logs to l. By default nothing is logged.
func WithLogger(l *slog.Logger) CommonOption { return commonOption(func(o *common) { o.log = l }) }

// WithToken makes a server demand, and a client send, "Authorization: Bearer" with the token.
func WithToken(token string) CommonOption { return commonOption(func(o *common) { o.token = token }) }

// WithTLS makes [Listen] serve TLS, with the certificates and the demands of c, and a client of a wss
// address use c.
func WithTLS(c *tls.Config) CommonOption { return commonOption(func(o *common) { o.tls = c }) }

// WithPing sets how often the other side is pinged, 10 s by default, and after how long without a sign
// of life it is given up, 30 s by default.
func WithPing(interval, timeout time.Duration) CommonOption {
	return commonOption(func(o *common) { o.pingInterval, o.pingTimeout = interval, timeout })
}

// WithMaxMessage bounds the messages that are received, in bytes of JSON: [DefaultMaxMessage] if not
// given. A larger one ends the connection with code 1009.
func WithMaxMessage(bytes int) CommonOption {
	return commonOption(func(o *common) { o.maxMessage = bytes })
}

// serverOptions is what a server is made with.
type serverOptions struct {
	common
	version       string
	origins       []string
	queue         endpoint.QueueLimits
	maxClients    int
	maxLarge      int64
	topicsTimeout time.Duration
	allowBlocks   bool
	allowRemote   bool
	access        func(*http.Request) endpoint.Access
}

func (o *serverOptions) apply(opts []ServerOption) error {
	*o = serverOptions{
		common: commonDefaults(), version: "zeekpeer", maxClients: 1024, maxLarge: 256 << 20, topicsTimeout: 10 * time.Second,
	}
	for _, opt := range opts {
		opt.server(o)
	}
	err := o.validate()
	o.maxLarge = max(o.maxLarge, 2*int64(o.maxMessage)) // a buffer doubles
	if o.maxClients < 1 {
		err = errors.Join(err, fmt.Errorf("%d clients: want one at least", o.maxClients))
	}
	if o.topicsTimeout <= 0 {
		err = errors.Join(err, fmt.Errorf("topics timeout %v: want more than zero", o.topicsTimeout))
	}
	if o.queue.Policy == endpoint.Block {
		err = errors.Join(err, errors.New("queue policy block: one slow client would stop the node; want drop_oldest, drop_newest or disconnect"))
	}
	for i, origin := range o.origins {
		o.origins[i] = strings.ToLower(origin)
		if _, bad := path.Match(o.origins[i], ""); bad != nil {
			err = errors.Join(err, fmt.Errorf("origin %q: %w", origin, bad))
		}
	}
	return err
}

// WithVersion sets the version that acks tell.
func WithVersion(v string) ServerOption {
	return serverOption(func(o *serverOptions) { o.version = v })
}

// WithOrigins lets pages of other sites in: "https://dash.example.com", or "https://*.example.com" for
// any one label. By default none is.
func WithOrigins(patterns ...string) ServerOption {
	return serverOption(func(o *serverOptions) { o.origins = append(o.origins, patterns...) })
}

// WithQueue bounds the queue of each client and says what happens when it is full. By default it holds
// 8192 messages or 64 MiB and drops the oldest. Block is refused.
func WithQueue(l endpoint.QueueLimits) ServerOption {
	return serverOption(func(o *serverOptions) { o.queue = l })
}

// WithMaxClients bounds how many clients are served at a time, 1024 by default. Others get status 503.
func WithMaxClients(n int) ServerOption {
	return serverOption(func(o *serverOptions) { o.maxClients = n })
}

// WithMaxReceiveMemory bounds the memory in which messages above 64 KiB of all clients together are
// received: 256 MiB by default, never less than twice the largest message. A client that needs more is
// disconnected with code 1013.
func WithMaxReceiveMemory(bytes int64) ServerOption {
	return serverOption(func(o *serverOptions) { o.maxLarge = bytes })
}

// WithTopicsTimeout bounds how long a client may take to send its topics: 10 s by default.
func WithTopicsTimeout(d time.Duration) ServerOption {
	return serverOption(func(o *serverOptions) { o.topicsTimeout = d })
}

// AllowBlockingStores lets clients subscribe to topics that keep real nodes from creating stores, such
// as "" for everything. Broker and Zeek allow that; here it is refused unless it is asked for, since
// the harm is done to others, and is seen only when a node of the cluster starts again.
func AllowBlockingStores() ServerOption {
	return serverOption(func(o *serverOptions) { o.allowBlocks = true })
}

// AllowRemote lets [Listen] serve an address other than loopback although nobody has to prove who they
// are.
func AllowRemote() ServerOption { return serverOption(func(o *serverOptions) { o.allowRemote = true }) }

// WithAccess asks rules what a client may do, once, by the request that it came with: its token, its
// certificate, its address. Of the topics that it asks for it gets those that it may subscribe to. What
// it must not do is answered by an error message with the code "not_allowed", and counted in
// [ClientInfo]. By default every client may do everything.
func WithAccess(rules func(*http.Request) endpoint.Access) ServerOption {
	return serverOption(func(o *serverOptions) { o.access = rules })
}

// clientOptions is what a client is made with.
type clientOptions struct {
	common
	appName     string
	dialTimeout time.Duration
	backoffMin  time.Duration
	backoffMax  time.Duration
	maxQueued   int
	maxBytes    int
	background  bool
}

func (o *clientOptions) apply(opts []ClientOption) error {
	*o = clientOptions{
		common: commonDefaults(), dialTimeout: 10 * time.Second, backoffMin: 100 * time.Millisecond, backoffMax: 30 * time.Second,
		maxQueued: endpoint.DefaultQueueMessages, maxBytes: endpoint.DefaultQueueBytes,
	}
	for _, opt := range opts {
		opt.client(o)
	}
	err := o.validate()
	if o.dialTimeout <= 0 {
		err = errors.Join(err, fmt.Errorf("dial timeout %v: want more than zero", o.dialTimeout))
	}
	if o.backoffMin <= 0 || o.backoffMax < o.backoffMin {
		err = errors.Join(err, fmt.Errorf("backoff %v to %v: want more than zero, and no less at the end", o.backoffMin, o.backoffMax))
	}
	if o.maxQueued < 1 || o.maxBytes < 1 {
		err = errors.Join(err, fmt.Errorf("queues of %d messages and %d bytes: want one at least", o.maxQueued, o.maxBytes))
	}
	if o.appName != "" && !validAppName(o.appName) {
		err = errors.Join(err, fmt.Errorf("application name %q: want letters, digits and any of -/_.=:*@, %d at most", o.appName, maxAppName))
	}
	return err
}

// WithApplicationName sends the name as X-Application-Name, for the logs and metrics of the server.
func WithApplicationName(name string) ClientOption {
	return clientOption(func(o *clientOptions) { o.appName = name })
}

// WithDialTimeout bounds how long it may take to connect and be acknowledged: 10 s by default.
func WithDialTimeout(d time.Duration) ClientOption {
	return clientOption(func(o *clientOptions) { o.dialTimeout = d })
}

// WithBackoff sets how long a client waits before it dials a lost server again: 100 ms at first, then
// twice as long each time up to 30 s, and of that a random part.
func WithBackoff(first, most time.Duration) ClientOption {
	return clientOption(func(o *clientOptions) { o.backoffMin, o.backoffMax = first, most })
}

// InBackground makes [Dial] return at once, and the client connect as soon as there is a server.
func InBackground() ClientOption { return clientOption(func(o *clientOptions) { o.background = true }) }

// WithClientQueues bounds what waits in a client, in messages and bytes: what was received and not
// yet asked for, and what was published and not yet sent. Each is 8192 messages or 64 MiB by default.
func WithClientQueues(messages, bytes int) ClientOption {
	return clientOption(func(o *clientOptions) { o.maxQueued, o.maxBytes = messages, bytes })
}

// maxAppName is longer than any name should be.
const maxAppName = 128

// validAppName tells whether a name is one that Zeek takes: [-/_.=:*@a-zA-Z0-9]+.
func validAppName(name string) bool {
	for _, c := range []byte(name) {
		alnum := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !alnum && !strings.ContainsRune("-/_.=:*@", rune(c)) {
			return false
		}
	}
	return name != "" && len(name) <= maxAppName
}
