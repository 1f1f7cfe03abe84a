package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/topic"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A Store is the master or a clone of a replicated store. It may be used by many goroutines.
//
// Reads are answered from memory. What changes the store is executed by the master, in one order, and
// seen by all clones in that order. Each method that changes it returns when the outcome is known, or at
// once with [NoWait]; [Store.Submit] leaves the waiting to the caller, so that many operations can be
// under way.
type Store struct {
	name  string
	role  Role
	ep    *endpoint.Endpoint
	opts  options
	sub   *endpoint.Subscription
	inbox *inbox

	version  atomic.Pointer[table] // what readers see
	gate     atomic.Pointer[gate]
	status   atomic.Pointer[Status]
	watchers watchers
	replica  replica
	room     *semaphore.Weighted // for operations that wait
	idlers   []chan<- struct{}   // who wait until the store is idle; of the goroutine
	news     bool                // the status has to be told before the next tick; of the goroutine

	ctx    context.Context // ends when the store is closed
	cancel context.CancelFunc
	wg     sync.WaitGroup
	close  sync.Once
}

// Role says what a [Store] is.
type Role uint8

// The roles.
const (
	Master Role = iota + 1
	Clone
)

// String returns the name of the role.
func (r Role) String() string {
	switch r {
	case Master:
		return "master"
	case Clone:
		return "clone"
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// A replica is what differs between a master and a clone. All but hint is called by the goroutine of the
// store.
type replica interface {
	peer(id wire.EndpointID, added bool)
	receive(from wire.EndpointID, payload []byte)
	submit(p *Pending)
	tick(elapsed int)
	// finish ends a batch: what came of it becomes durable and visible, and is sent.
	finish()
	idle() bool
	fill(s *Status)
	// hint says in a few words what an operation may be waiting for.
	hint() string
	end()
}

// A gate lets readers through, or makes them wait.
type gate struct{ open chan struct{} }

func newGate() *gate { return &gate{open: make(chan struct{})} }

// A SubmitOption changes how an operation is submitted.
type SubmitOption func(*submitOptions)

type submitOptions struct {
	expiry *time.Duration
	noWait bool
}

// Expires makes the entry vanish d after the operation is executed. An operation without it makes the
// entry permanent, as in Broker.
func Expires(d time.Duration) SubmitOption { return func(o *submitOptions) { o.expiry = &d } }

// NoWait makes the method return at once, with the outcome [Submitted].
func NoWait() SubmitOption { return func(o *submitOptions) { o.noWait = true } }

// topics returns the topics on which the master and the clones of a store listen (STORE.md section 1.1).
func topics(name string) (master, clone string) {
	return name + topic.MasterSuffix, name + topic.CloneSuffix
}

// open makes a store that does nothing yet, but hears all that is said on its topic from now on.
func open(ep *endpoint.Endpoint, name string, role Role, listen string, opts []Option) (*Store, error) {
	s := &Store{name: name, role: role, ep: ep, opts: defaults(), inbox: newInbox()}
	for _, opt := range opts {
		opt(&s.opts)
	}
	if err := s.opts.validate(); err != nil {
		return nil, fmt.Errorf("store %q: %w", name, err)
	}
	if name == "" {
		return nil, errors.New("a store wants a name")
	}
	if len(listen) > wire.MaxTopicLen {
		return nil, fmt.Errorf("store name of %d bytes: its topics would be longer than %d bytes", len(name), wire.MaxTopicLen)
	}
	sub, err := ep.Subscribe([]string{listen}, endpoint.WithCommands(), endpoint.WithStatus(), endpoint.AllowBlockingStores(),
		endpoint.Alone("store "+name), endpoint.WithQueue(endpoint.QueueLimits{Messages: 1 << 17, Bytes: 512 << 20}))
	switch {
	case errors.Is(err, endpoint.ErrSubscribed) && role == Master:
		return nil, fmt.Errorf("store %q: %w: this endpoint has a master or a clone of it", name, ErrMasterExists)
	case errors.Is(err, endpoint.ErrSubscribed):
		return nil, fmt.Errorf("store %q: %w elsewhere: this endpoint has a master or a clone of it", name, ErrNoSuchMaster)
	case err != nil:
		return nil, fmt.Errorf("store %q: %w", name, err)
	}
	s.sub = sub
	s.room = semaphore.NewWeighted(int64(s.opts.maxWaiting))
	s.version.Store(new(table))
	s.gate.Store(newGate())
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// start begins the work.
func (s *Store) start() {
	s.wg.Go(s.listen)
	s.wg.Go(s.run)
}

// discard ends a store that was not started.
func (s *Store) discard() {
	s.cancel()
	s.sub.Close()
}

// listens returns the topic on which this side of the store listens.
func (s *Store) listens() string { return s.sub.Topics()[0] }

// listen moves what comes from the network into the inbox.
func (s *Store) listen() {
	for e := range s.sub.Events(s.ctx) {
		switch {
		case e.Status == nil:
			// The subscription is to a prefix, and others may begin like it.
			if e.Message.Type() == wire.TypeCommand && e.Message.Topic() == s.listens() {
				s.inbox.command(s.ctx, e.Message.Sender(), e.Message.Payload())
			}
		case e.Status.Code == endpoint.PeerAdded:
			s.inbox.peer(e.Status.Peer, itemPeerAdded)
		case e.Status.Code == endpoint.PeerLost, e.Status.Code == endpoint.PeerRemoved:
			s.inbox.peer(e.Status.Peer, itemPeerLost)
		}
	}
	if s.ctx.Err() == nil {
		// The endpoint was closed. A clone goes on answering until it is stale.
		s.opts.log.Warn("store is cut off", "store", s.name, "err", s.sub.Err())
	}
}

// run deals with batches until the store is closed.
func (s *Store) run() {
	ticker := time.NewTicker(s.opts.tick)
	defer ticker.Stop()
	ticked := time.Now()
	for {
		select {
		case <-s.ctx.Done():
		case <-s.inbox.wake:
		case <-ticker.C:
		}
		if s.ctx.Err() != nil { // before all else: of a batch that was given up, nothing may be committed later
			s.finish()
			s.updateStatus()
			return
		}
		b := s.inbox.take()
		for i := range b.items {
			it := &b.items[i]
			switch it.kind {
			case itemCommand:
				s.replica.receive(it.from, b.payload(it))
				it.alone = nil
			default:
				s.replica.peer(it.from, it.kind == itemPeerAdded)
			}
		}
		for _, p := range b.ops {
			s.replica.submit(p)
		}
		for _, call := range b.calls {
			call()
		}
		elapsed := int(time.Since(ticked) / s.opts.tick)
		if elapsed > 0 {
			ticked = ticked.Add(time.Duration(elapsed) * s.opts.tick)
			s.replica.tick(elapsed)
		}
		if elapsed > 0 || !b.empty() {
			s.replica.finish()
			s.wakeIdlers()
		}
		if elapsed > 0 || s.news {
			s.updateStatus()
		}
	}
}

// finish ends what waits for the store.
func (s *Store) finish() {
	s.replica.end()
	b := s.inbox.close()
	for _, p := range b.ops {
		p.settle(Submitted, ErrClosed)
	}
	s.watchers.close(ErrClosed)
}

// Close ends the store. Operations that wait end with [ErrClosed] or [ErrOutcomeUnknown]; who wants them
// done waits with [Store.WaitIdle] before. A clone says goodbye to its master. Everything that a master
// has acknowledged is in its backend, which is closed.
func (s *Store) Close() (err error) {
	s.close.Do(func() {
		s.cancel()
		s.wg.Wait()
		s.sub.Close()
		if s.opts.backend != nil {
			err = s.opts.backend.Close()
		}
	})
	return err
}

// Name returns the name of the store.
func (s *Store) Name() string { return s.name }

// Role returns what this side of the store is.
func (s *Store) Role() Role { return s.role }

// readable waits until the contents may be read.
func (s *Store) readable(ctx context.Context) (*table, error) {
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("store %q: %w", s.name, ErrClosed)
	}
	g := s.gate.Load()
	select {
	case <-g.open:
		return s.version.Load(), nil
	default:
	}
	timer := time.NewTimer(s.opts.getDelay)
	defer timer.Stop()
	select {
	case <-g.open:
		return s.version.Load(), nil
	case <-timer.C:
		return nil, fmt.Errorf("store %q: %w: %s", s.name, ErrStale, s.replica.hint())
	case <-ctx.Done():
		return nil, fmt.Errorf("store %q: %w: %s: %w", s.name, ErrStale, s.replica.hint(), ctx.Err())
	case <-s.ctx.Done():
		return nil, fmt.Errorf("store %q: %w", s.name, ErrClosed)
	}
}

// Get returns the value under a key, or [ErrNoSuchKey]. Like every query it is answered from memory. At a
// clone without contents, or with stale ones, it waits for the master, for 5 s at the most (see
// [WithMaxGetDelay]), and then returns [ErrStale].
func (s *Store) Get(ctx context.Context, key data.Value) (data.Value, error) {
	t, err := s.readable(ctx)
	if err != nil {
		return data.Value{}, err
	}
	e, ok := t.lookup(key)
	if !ok {
		return data.Value{}, fmt.Errorf("store %q: %w: %v", s.name, ErrNoSuchKey, key)
	}
	return decoded(e.value), nil
}

// Exists tells whether there is a value under a key.
func (s *Store) Exists(ctx context.Context, key data.Value) (bool, error) {
	t, err := s.readable(ctx)
	if err != nil {
		return false, err
	}
	_, ok := t.lookup(key)
	return ok, nil
}

// Index returns what stands under an index of the value under a key: of a set whether it has the index,
// of a table what is there, of a vector the element. For other kinds of values it returns the value
// (get_index_from_value, STORE.md section 5.4).
func (s *Store) Index(ctx context.Context, key, index data.Value) (data.Value, error) {
	v, err := s.Get(ctx, key)
	if err != nil {
		return data.Value{}, err
	}
	if v, err = indexed(v, index); err != nil {
		return data.Value{}, fmt.Errorf("store %q: key %v: %w", s.name, key, err)
	}
	return v, nil
}

// Keys returns all keys as a set.
func (s *Store) Keys(ctx context.Context) (data.Value, error) {
	t, err := s.readable(ctx)
	if err != nil {
		return data.Value{}, err
	}
	return t.keys(), nil
}

// All returns all entries as they are now, in the order of the encoding of their keys: by kind, then, of
// strings, by length, then by their bytes. What changes later is not seen.
func (s *Store) All(ctx context.Context) (iter.Seq2[data.Value, data.Value], error) {
	t, err := s.readable(ctx)
	if err != nil {
		return nil, err
	}
	return t.values(), nil
}

// Watch returns what the store contains, as an update of the kind [Snapshot], and from then on every
// change. A reader that is too slow gets another Snapshot instead of a gap. The loop ends with ctx, or
// with [ErrClosed]. At a clone the first snapshot comes when there are contents.
func (s *Store) Watch(ctx context.Context) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		if err := s.WaitReady(ctx); err != nil {
			if ctx.Err() == nil {
				yield(Update{}, err)
			}
			return
		}
		s.watchers.watch(ctx, s.version.Load)(yield)
	}
}

// Submit submits an operation and returns at once, unless operations of 64 MiB wait already: then it
// waits for room until ctx ends, and the error is [ErrFull]. The operations of one caller are executed
// in their order. With a context that has ended nothing is submitted.
func (s *Store) Submit(ctx context.Context, op Op) (*Pending, error) {
	if op.err != nil {
		return nil, fmt.Errorf("store %q: %w", s.name, op.err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("store %q: %v: not submitted: %w", s.name, op.cmd.Kind, err)
	}
	p := &Pending{store: s, cmd: op.cmd, done: make(chan struct{})}
	size := len(op.cmd.Key) + len(op.cmd.Value) + pendingCost
	if size > maxEntry {
		return nil, fmt.Errorf("store %q: %v: %w: %d bytes, at most %d", s.name, op.cmd.Kind, ErrTooLarge, size, maxEntry)
	}
	p.size = min(int64(size), int64(s.opts.maxWaiting))
	if !s.room.TryAcquire(p.size) {
		if err := s.room.Acquire(ctx, p.size); err != nil {
			return nil, fmt.Errorf("store %q: %v: %w: %s: %w", s.name, op.cmd.Kind, ErrFull, s.replica.hint(), err)
		}
	}
	if !s.inbox.op(p) {
		s.room.Release(p.size)
		return nil, fmt.Errorf("store %q: %v: %w", s.name, op.cmd.Kind, ErrClosed)
	}
	return p, nil
}

// pendingCost is what an operation that waits takes beside its bytes, roughly.
const pendingCost = 512

// maxEntry bounds an operation, and what comes of it: key and value together.
const maxEntry = 32 << 20

// do submits an operation and waits as the options say.
func (s *Store) do(ctx context.Context, op Op, opts []SubmitOption) (Outcome, error) {
	var o submitOptions
	for _, opt := range opts {
		opt(&o)
	}
	if o.expiry != nil {
		op = op.Expiring(*o.expiry)
	}
	p, err := s.Submit(ctx, op)
	if err != nil || o.noWait {
		return Submitted, err
	}
	return p.Wait(ctx)
}

// Put puts a value under a key, in place of what is there.
func (s *Store) Put(ctx context.Context, key, value data.Value, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, PutOp(key, value), opts)
}

// PutUnique puts a value under a key if there is none. Of all who try, at whatever node, one is told
// [Applied].
func (s *Store) PutUnique(ctx context.Context, key, value data.Value, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, PutUniqueOp(key, value), opts)
}

// Erase removes the value under a key.
func (s *Store) Erase(ctx context.Context, key data.Value, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, EraseOp(key), opts)
}

// Clear removes all.
func (s *Store) Clear(ctx context.Context, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, ClearOp(), opts)
}

// Increment adds to a number or time. See [IncrementOp].
func (s *Store) Increment(ctx context.Context, key, by data.Value, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, IncrementOp(key, by), opts)
}

// Decrement subtracts from a number or time. See [DecrementOp].
func (s *Store) Decrement(ctx context.Context, key, by data.Value, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, DecrementOp(key, by), opts)
}

// Append appends to a string. See [AppendOp].
func (s *Store) Append(ctx context.Context, key data.Value, text string, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, AppendOp(key, text), opts)
}

// InsertInto inserts an element into a set. See [InsertIntoOp].
func (s *Store) InsertInto(ctx context.Context, key, index data.Value, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, InsertIntoOp(key, index), opts)
}

// InsertEntry sets what stands under an index of a table. See [InsertEntryOp].
func (s *Store) InsertEntry(ctx context.Context, key, index, value data.Value, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, InsertEntryOp(key, index, value), opts)
}

// RemoveFrom removes an element from a set or an entry from a table. See [RemoveFromOp].
func (s *Store) RemoveFrom(ctx context.Context, key, index data.Value, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, RemoveFromOp(key, index), opts)
}

// Push appends an element to a vector. See [PushOp].
func (s *Store) Push(ctx context.Context, key, value data.Value, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, PushOp(key, value), opts)
}

// Pop removes the last element of a vector. See [PopOp].
func (s *Store) Pop(ctx context.Context, key data.Value, opts ...SubmitOption) (Outcome, error) {
	return s.do(ctx, PopOp(key), opts)
}

// WaitReady waits until the store can be read: at a clone, until it has contents that are not stale.
func (s *Store) WaitReady(ctx context.Context) error {
	if s.ctx.Err() != nil {
		return fmt.Errorf("store %q: %w", s.name, ErrClosed)
	}
	select {
	case <-s.gate.Load().open:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("store %q is not ready: %s: %w", s.name, s.replica.hint(), ctx.Err())
	case <-s.ctx.Done():
		return fmt.Errorf("store %q: %w", s.name, ErrClosed)
	}
}

// WaitIdle waits until nothing is under way: at a clone, until every operation has its outcome and every
// event that is known of was seen; at a master, until every clone has acknowledged every event and
// nothing of a writer is missing. A master without clones is always idle, so that says nothing of clones
// that have yet to come.
func (s *Store) WaitIdle(ctx context.Context) error {
	idle := make(chan struct{}, 1)
	if !s.inbox.call(func() { s.idlers = append(s.idlers, idle) }) {
		return fmt.Errorf("store %q: %w", s.name, ErrClosed)
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		s.inbox.call(func() {
			s.idlers = slices.DeleteFunc(s.idlers, func(other chan<- struct{}) bool { return other == idle })
		})
		return fmt.Errorf("store %q is not idle: %s: %w", s.name, s.replica.hint(), ctx.Err())
	case <-s.ctx.Done():
		return fmt.Errorf("store %q: %w", s.name, ErrClosed)
	}
}

// wakeIdlers tells those who wait for it that the store is idle, if it is.
func (s *Store) wakeIdlers() {
	if len(s.idlers) == 0 || !s.replica.idle() {
		return
	}
	for _, idle := range s.idlers {
		idle <- struct{}{}
	}
	clear(s.idlers)
	s.idlers = s.idlers[:0]
}
