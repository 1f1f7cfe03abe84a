package endpoint

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zeekpeer/zeekpeer/topic"
	"github.com/zeekpeer/zeekpeer/wire"
)

// announceInterval is how often peers are told of a changed filter at the most. The first change is
// told at once.
const announceInterval = 10 * time.Millisecond

// A SubscribeOption changes a subscription.
type SubscribeOption func(*subscribeOptions)

type subscribeOptions struct {
	limits      QueueLimits
	loopback    bool
	commands    bool
	statuses    bool
	allowBlocks bool
	claim       string
}

// WithQueue bounds the queue of the subscription and says what happens when it is full. By default
// it holds 8192 messages or 64 MiB and drops the oldest.
func WithQueue(l QueueLimits) SubscribeOption { return func(o *subscribeOptions) { o.limits = l } }

// WithLoopback makes the subscription receive what this node publishes, too.
func WithLoopback() SubscribeOption { return func(o *subscribeOptions) { o.loopback = true } }

// WithCommands makes the subscription receive the commands of stores, too.
func WithCommands() SubscribeOption { return func(o *subscribeOptions) { o.commands = true } }

// WithStatus makes [Subscription.Events] tell of peers, too. It begins with those that are there.
func WithStatus() SubscribeOption { return func(o *subscribeOptions) { o.statuses = true } }

// AllowBlockingStores allows topics that keep peers from creating stores.
func AllowBlockingStores() SubscribeOption { return func(o *subscribeOptions) { o.allowBlocks = true } }

// Alone makes Subscribe fail with [ErrSubscribed] if this node has a subscription that was made with the
// same claim, for what must not be there twice.
func Alone(claim string) SubscribeOption { return func(o *subscribeOptions) { o.claim = claim } }

// Subscribe makes a subscription to everything under topics, which are prefixes: "/a" takes "/a/b"
// and "/ab". Each message comes once, however many of the topics match.
//
// A topic that keeps real nodes from creating stores is refused with a [*BlocksStoresError], unless
// [AllowBlockingStores] is given.
func (e *Endpoint) Subscribe(topics []string, opts ...SubscribeOption) (*Subscription, error) {
	var o subscribeOptions
	for _, opt := range opts {
		opt(&o)
	}
	limits, err := o.limits.withDefaults()
	if err != nil {
		return nil, err
	}
	for _, name := range topics {
		if len(name) > wire.MaxTopicLen {
			return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTopic, len(name), wire.MaxTopicLen)
		}
		if !o.allowBlocks && topic.BlocksStores(name) {
			return nil, &BlocksStoresError{Topic: name}
		}
	}
	s := &Subscription{
		ep: e, topics: slices.Clone(topics), queue: newQueue(limits),
		loopback: o.loopback, commands: o.commands, statuses: o.statuses, claim: o.claim,
	}
	s.hub = routeCache{kind: wire.TypeData, hub: s}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return nil, ErrClosed
	}
	if o.claim != "" {
		for other := range e.subs {
			if other.claim == o.claim {
				return nil, fmt.Errorf("%w: %s", ErrSubscribed, o.claim)
			}
		}
	}
	e.subs[s] = struct{}{}
	if s.statuses {
		for _, p := range e.routes.Load().byID {
			s.queue.pushStatus(&Status{Code: PeerAdded, Peer: p.id, Addr: p.addr, Dialed: p.dialed, Filter: *p.filter.Load()})
		}
		e.watchers = append(slices.Clip(e.watchers), s)
	}
	old := e.routes.Load()
	e.setSubs(old, old.subs.InsertAll(s.topics, s))
	return s, nil
}

func (e *Endpoint) unsubscribe(s *Subscription) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.subs[s]; !ok {
		return
	}
	delete(e.subs, s)
	e.lost += s.queue.lost()
	if i := slices.Index(e.watchers, s); i >= 0 {
		e.watchers = slices.Delete(slices.Clone(e.watchers), i, i+1)
	}
	old := e.routes.Load()
	e.setSubs(old, old.subs.RemoveAll(s.topics, s))
}

// setSubs replaces the subscriptions, with the lock held, and has the peers told.
func (e *Endpoint) setSubs(old *routes, subs topic.Matcher[*Subscription]) {
	e.routes.Store(old.withSubs(subs))
	e.filterVersion.Add(1)
	if len(old.byID) > 0 {
		e.announce.changed()
	}
}

// announceFilter tells all peers what this node is subscribed to.
func (e *Endpoint) announceFilter() {
	for _, p := range e.routes.Load().byID {
		p.lane.filterChanged()
		p.queue.signal()
	}
}

// An announcer calls send after a change: at once if the last call is some time ago, otherwise when
// it is.
type announcer struct {
	send func()

	mu      sync.Mutex
	last    time.Time
	timer   *time.Timer
	stopped bool
}

func (a *announcer) changed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil || a.stopped {
		return
	}
	if wait := announceInterval - time.Since(a.last); wait > 0 {
		a.timer = time.AfterFunc(wait, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.timer = nil
			a.fire()
		})
		return
	}
	a.fire()
}

// fire sends, with the lock held.
func (a *announcer) fire() {
	if !a.stopped {
		a.last = time.Now()
		a.send()
	}
}

func (a *announcer) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// checkPublish refuses topics that cannot be published to.
func (e *Endpoint) checkPublish(name string) error {
	if e.opts.readOnly {
		return ErrReadOnly
	}
	if e.ctx.Err() != nil {
		return ErrClosed
	}
	if len(name) > wire.MaxTopicLen {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTopic, len(name), wire.MaxTopicLen)
	}
	if strings.HasPrefix(name, topic.LocalPrefix) {
		return fmt.Errorf("%w: %q is reserved and never leaves a node", ErrTopic, name)
	}
	return nil
}
