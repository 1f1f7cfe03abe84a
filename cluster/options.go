package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/pool"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
)

type options struct {
	log        *slog.Logger
	endpoint   []endpoint.Option
	pools      []pool.Spec
	outOfPools bool
	topics     []string
	backend    func(layout.StoreInfo) (store.Backend, error)
	logPolicy  func(stream string, row []byte) bool
	batchSize  int
	batchTime  time.Duration
	maxHeld    int
	queue      int
	now        func() time.Time
}

func defaults() options {
	return options{
		log:       slog.New(slog.DiscardHandler),
		backend:   func(i layout.StoreInfo) (store.Backend, error) { return memoryOnly(i) },
		batchSize: 400,
		batchTime: time.Second,
		maxHeld:   10_000,
		queue:     8192,
		now:       time.Now,
	}
}

func (o *options) validate() error {
	var err error
	if o.batchSize < 1 || o.batchTime <= 0 {
		err = errors.Join(err, fmt.Errorf("log batches of %d rows every %v: want one at least, and more than zero", o.batchSize, o.batchTime))
	}
	if o.maxHeld < 0 {
		err = errors.Join(err, fmt.Errorf("%d rows that are held: want none or more", o.maxHeld))
	}
	if o.queue < 1 {
		err = errors.Join(err, fmt.Errorf("%d events that wait for handlers: want one at least", o.queue))
	}
	return err
}

// memoryOnly opens the backend of stores without files.
func memoryOnly(i layout.StoreInfo) (store.Backend, error) {
	if i.Backend == layout.Memory {
		return nil, nil
	}
	return nil, fmt.Errorf("store %q: this node was made without the backend %v; see WithBackends", i.Name, i.Backend)
}

// An Option changes a node.
type Option func(*options)

// WithLogger makes the node log to l. By default it does not log.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// WithEndpoint gives options to the endpoint of the node, such as its id, its security or its limits.
func WithEndpoint(opts ...endpoint.Option) Option {
	return func(o *options) { o.endpoint = append(o.endpoint, opts...) }
}

// WithPools registers pools besides those that every cluster has ([pool.Defaults]). All nodes must
// register the same.
func WithPools(specs ...pool.Spec) Option {
	return func(o *options) { o.pools = append(o.pools, specs...) }
}

// WithoutPools keeps the node from listening on the topics of pools. That others do not pick it takes
// more: a layout or pools in which it has no place.
func WithoutPools() Option { return func(o *options) { o.outOfPools = true } }

// WithTopics subscribes to topics besides those that a node of its type has.
func WithTopics(topics ...string) Option {
	return func(o *options) { o.topics = append(o.topics, topics...) }
}

// WithBackends opens the backends of stores whose masters are at this node. It returns nil for a store in
// memory. By default that is the only kind.
func WithBackends(open func(layout.StoreInfo) (store.Backend, error)) Option {
	return func(o *options) { o.backend = open }
}

// WithLogPolicy asks f of each row of the log of the cluster whether to write it: Cluster::log_policy. It
// is given the stream and the packed row.
func WithLogPolicy(f func(stream string, row []byte) bool) Option {
	return func(o *options) { o.logPolicy = f }
}

// WithLogBatches sets how many rows of a log are sent together, 400 by default, and how long they wait for
// others at the most, one second: Broker::log_batch_size and log_batch_interval.
func WithLogBatches(rows int, interval time.Duration) Option {
	return func(o *options) { o.batchSize, o.batchTime = rows, interval }
}

// WithHeldRows sets how many rows of each log are held, 10,000 by default, while no logger is there: beyond
// that, or 64 MiB of a log, the oldest are lost, and counted. Zeek holds none.
func WithHeldRows(n int) Option { return func(o *options) { o.maxHeld = n } }

// WithHandlerQueue sets how many events may wait for handlers, 8192 by default, or 64 MiB of them. Beyond that nothing more is
// read until one is done, and what the node's subscription then has no room for is lost, and counted.
func WithHandlerQueue(n int) Option { return func(o *options) { o.queue = n } }

// WithClock replaces time.Now as the network time that the node puts on rows of cluster.log.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }
