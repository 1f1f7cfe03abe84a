package store

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/zeekpeer/zeekpeer/store/channel"
)

// The defaults of the options (STORE.md sections 3.1 and 7.1).
const (
	DefaultTickInterval           = 100 * time.Millisecond
	DefaultHeartbeat              = channel.DefaultHeartbeat                          // ticks
	DefaultConnectionTimeout      = channel.DefaultTimeout / channel.DefaultHeartbeat // heartbeats
	DefaultNackTimeout            = channel.DefaultNackTimeout                        // ticks
	DefaultMaxGetDelay            = 5 * time.Second
	DefaultStaleInterval          = 5 * time.Minute
	DefaultMutationBufferInterval = 2 * time.Minute
)

type options struct {
	log            *slog.Logger
	backend        Backend
	tick           time.Duration
	heartbeat      int
	timeout        int // heartbeats
	nackTimeout    int
	getDelay       time.Duration
	stale          time.Duration
	mutationBuffer time.Duration
	maxWaiting     int
	commitRetry    time.Duration
}

func defaults() options {
	return options{
		log:            slog.New(slog.DiscardHandler),
		tick:           DefaultTickInterval,
		heartbeat:      DefaultHeartbeat,
		timeout:        DefaultConnectionTimeout,
		nackTimeout:    DefaultNackTimeout,
		getDelay:       DefaultMaxGetDelay,
		stale:          DefaultStaleInterval,
		mutationBuffer: DefaultMutationBufferInterval,
		maxWaiting:     64 << 20,
		commitRetry:    time.Second,
	}
}

func (o *options) validate() (err error) {
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"tick interval", o.tick}, {"stale interval", o.stale}, {"mutation buffer interval", o.mutationBuffer}} {
		if d.d <= 0 {
			err = errors.Join(err, fmt.Errorf("%s %v: want more than zero", d.name, d.d))
		}
	}
	if o.getDelay < 0 {
		err = errors.Join(err, fmt.Errorf("get delay %v: want zero or more", o.getDelay))
	}
	if o.heartbeat < 1 || o.heartbeat > 1000 || o.timeout < 2 || o.nackTimeout < 1 {
		err = errors.Join(err, fmt.Errorf("heartbeat of %d ticks, timeout of %d heartbeats, nack timeout of %d ticks: want 1 to 1000, 2 or more, 1 or more", o.heartbeat, o.timeout, o.nackTimeout))
	}
	return err
}

// channel returns the configuration of the channels, which count in ticks.
func (o *options) channel() channel.Config {
	return channel.Config{
		Heartbeat:    o.heartbeat,
		Timeout:      o.heartbeat * o.timeout,
		NackTimeout:  o.nackTimeout,
		WriteTimeout: int(max(o.mutationBuffer/o.tick, 1)),
	}
}

// An Option changes a store. All are checked when it is attached.
type Option func(*options)

// WithLogger makes the store log to l. By default it does not log.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// WithBackend makes a master keep its contents in b, which it closes when it is closed. If it cannot be
// attached, to close b is left to the caller. By default the contents are in memory alone, and end with
// the master. A clone has no backend.
func WithBackend(b Backend) Option { return func(o *options) { o.backend = b } }

// WithTick sets the time that the intervals of the protocol are counted in: 100 ms by default, Broker's
// broker.store.tick-interval. Clones of Zeek always use 100 ms.
func WithTick(d time.Duration) Option { return func(o *options) { o.tick = d } }

// WithHeartbeat sets how often a master or writer that has nothing to say tells how far it is, in ticks,
// 5 by default, and after how many heartbeats of silence a clone is given up, 100 by default: Broker's
// broker.store.heartbeat-interval and connection-timeout.
func WithHeartbeat(ticks, timeout int) Option {
	return func(o *options) { o.heartbeat, o.timeout = ticks, timeout }
}

// WithNackTimeout sets after how many ticks without progress what is missing is asked for, 2 by default:
// Broker's broker.store.nack-timeout.
func WithNackTimeout(ticks int) Option { return func(o *options) { o.nackTimeout = ticks } }

// WithMaxGetDelay sets how long a query waits at a clone that has no contents, or stale ones: 5 s by
// default, Broker's broker.store.max-get-delay.
func WithMaxGetDelay(d time.Duration) Option { return func(o *options) { o.getDelay = d } }

// WithStaleInterval sets for how long a clone that hears nothing of its master goes on answering from
// its copy: 5 minutes by default.
func WithStaleInterval(d time.Duration) Option { return func(o *options) { o.stale = d } }

// WithMutationBufferInterval sets for how long an operation of a clone waits for the master: 2 minutes
// by default.
func WithMutationBufferInterval(d time.Duration) Option {
	return func(o *options) { o.mutationBuffer = d }
}
