package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// options is what an endpoint is made with. Every field has a default that suits a Zeek cluster.
type options struct {
	id               wire.EndpointID
	log              *slog.Logger
	listen           func(ctx context.Context, network, addr string) (net.Listener, error)
	dial             func(ctx context.Context, network, addr string) (net.Conn, error)
	retry            time.Duration
	dialTimeout      time.Duration
	handshakeTimeout time.Duration
	pingInterval     time.Duration
	pingTimeout      time.Duration
	maxFrame         int
	maxCommand       int
	maxLarge         int64
	maxPending       int
	maxPeers         int
	peerQueue        QueueLimits
	forward          bool
	security         Security
	access           func(Identity) Access
	readOnly         bool
}

// tcpKeepAlive finds dead connections that the pings do not, such as during a handshake.
const tcpKeepAlive = 15 * time.Second

func defaults() options {
	listen := net.ListenConfig{KeepAlive: tcpKeepAlive}
	dial := net.Dialer{KeepAlive: tcpKeepAlive}
	return options{
		log:              slog.New(slog.DiscardHandler),
		security:         AnonymousTLS(),
		listen:           listen.Listen,
		dial:             dial.DialContext,
		retry:            time.Second, // as Zeek 7.2 and later
		dialTimeout:      5 * time.Second,
		handshakeTimeout: 10 * time.Second,
		pingInterval:     10 * time.Second,
		pingTimeout:      30 * time.Second,
		maxFrame:         64 << 20,
		maxCommand:       256 << 20,
		maxLarge:         256 << 20,
		maxPending:       1024,
		maxPeers:         4096,
	}
}

// validate checks the options, all in one place, and fills in what follows from others.
func (o *options) validate() (err error) {
	if o.id.IsZero() {
		o.id = wire.NewEndpointID()
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"dial timeout", o.dialTimeout}, {"handshake timeout", o.handshakeTimeout},
		{"ping interval", o.pingInterval}, {"ping timeout", o.pingTimeout},
	} {
		if d.d <= 0 {
			err = errors.Join(err, fmt.Errorf("%s %v: want more than zero", d.name, d.d))
		}
	}
	if o.retry < 0 {
		err = errors.Join(err, fmt.Errorf("retry interval %v: want zero (once) or more", o.retry))
	}
	if o.pingTimeout < 2*o.pingInterval {
		err = errors.Join(err, fmt.Errorf("ping timeout %v is below twice the ping interval %v: peers would be lost that answer", o.pingTimeout, o.pingInterval))
	}
	const most = 1<<31 - 5 // the reference's bound
	for _, n := range []struct {
		name string
		n    int
	}{{"largest data frame", o.maxFrame}, {"largest command frame", o.maxCommand}} {
		if n.n < 1024 || n.n > most {
			err = errors.Join(err, fmt.Errorf("%s of %d bytes: want 1024 to %d", n.name, n.n, most))
		}
	}
	if o.security.secure == nil {
		err = errors.Join(err, errors.New("no security: want PlainTCP, AnonymousTLS or CertificateTLS"))
	}
	if o.readOnly && o.forward {
		err = errors.Join(err, errors.New("a read-only node cannot forward"))
	}
	if o.maxPending < 1 || o.maxPeers < 1 {
		err = errors.Join(err, fmt.Errorf("%d pending handshakes, %d peers: want one at least", o.maxPending, o.maxPeers))
	}
	o.maxLarge = max(o.maxLarge, int64(o.maxFrame), int64(o.maxCommand))
	var limitsErr error
	o.peerQueue, limitsErr = o.peerQueue.withDefaults()
	return errors.Join(err, limitsErr)
}

// limit returns how large the frame of a message may be, its length excluded.
func (o *options) limit(t wire.MessageType) int {
	if t == wire.TypeCommand {
		return o.maxCommand
	}
	return o.maxFrame
}

// An Option changes an endpoint. All are checked by [New].
type Option func(*options)

// WithID sets the endpoint id instead of a random one. No two nodes of a network may share one.
func WithID(id wire.EndpointID) Option { return func(o *options) { o.id = id } }

// WithLogger makes the endpoint log to l. By default it does not log.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// WithRetry sets the interval at which lost or unreachable peers are dialed again: 1 s by default,
// zero to dial once.
func WithRetry(d time.Duration) Option { return func(o *options) { o.retry = d } }

// WithHandshakeTimeout bounds the handshake: 10 s by default.
func WithHandshakeTimeout(d time.Duration) Option {
	return func(o *options) { o.handshakeTimeout = d }
}

// WithDialTimeout bounds the setting up of a TCP connection: 5 s by default.
func WithDialTimeout(d time.Duration) Option { return func(o *options) { o.dialTimeout = d } }

// WithPing sets how often peers are pinged, 10 s by default, and after how much silence a peer is
// lost, 30 s by default. Silence is noticed when the next ping is due; the timeout is at least two
// intervals.
func WithPing(interval, timeout time.Duration) Option {
	return func(o *options) { o.pingInterval, o.pingTimeout = interval, timeout }
}

// WithMaxFrame bounds the messages that are received and published, in bytes: data (64 MiB by default)
// and commands of stores (256 MiB by default, for a snapshot of a store is one command).
func WithMaxFrame(data, command int) Option {
	return func(o *options) { o.maxFrame, o.maxCommand = data, command }
}

// WithMaxReceiveMemory bounds the memory in which messages above 64 KiB of all peers together are
// received: 256 MiB by default, never less than the largest frame.
func WithMaxReceiveMemory(bytes int64) Option { return func(o *options) { o.maxLarge = bytes } }

// WithMaxPeers bounds how many peers there may be, those in their handshake included that have told
// who they are: 4096 by default. Others are refused.
func WithMaxPeers(n int) Option { return func(o *options) { o.maxPeers = n } }

// WithMaxPending bounds how many accepted connections there may be that have not told who they are:
// 1024 by default. Beyond that, the one that has been silent longest is closed.
func WithMaxPending(n int) Option { return func(o *options) { o.maxPending = n } }

// WithPeerQueue bounds the queue of each peer and says what happens when it is full. By default it
// holds 8192 messages or 64 MiB and drops the oldest, as Zeek does.
func WithPeerQueue(l QueueLimits) Option { return func(o *options) { o.peerQueue = l } }

// WithForwarding makes the node send on what one peer publishes to other peers that are subscribed.
// The nodes of a Zeek cluster do not. In a network with cycles a message travels until its TTL is
// used up and may arrive more than once.
func WithForwarding() Option { return func(o *options) { o.forward = true } }

// WithSecurity sets how connections are protected, which must be as the peers do it: [AnonymousTLS] by
// default, as in Zeek, [CertificateTLS] or [PlainTCP].
func WithSecurity(s Security) Option { return func(o *options) { o.security = s } }

// WithAccess asks rules what each peer may do, when it becomes a peer and at
// [Endpoint.ReloadAccess]. By default every peer may do everything. The rules must not call the endpoint.
func WithAccess(rules func(Identity) Access) Option { return func(o *options) { o.access = rules } }

// WithReadOnly makes a node that cannot publish, by mistake or otherwise: it only listens to what
// others say. It still tells what it is subscribed to, and answers pings.
func WithReadOnly() Option { return func(o *options) { o.readOnly = true } }

// WithDialFunc replaces the way connections are made, for tests and tunnels.
func WithDialFunc(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return func(o *options) { o.dial = dial }
}

// WithListenFunc replaces the way Listen makes its listener, for tests and tunnels.
func WithListenFunc(listen func(ctx context.Context, network, addr string) (net.Listener, error)) Option {
	return func(o *options) { o.listen = listen }
}
