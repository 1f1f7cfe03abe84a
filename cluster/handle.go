package cluster

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A Message says how an event came.
type Message struct {
	From  wire.EndpointID // the peer
	Topic string
}

// A HandlerOption changes how a handler is called.
type HandlerOption func(*handler)

// Concurrent lets up to so many calls of the handler run at once. The events it is called for are then in
// no order.
func Concurrent(calls int) HandlerOption {
	return func(h *handler) { h.slots = make(chan struct{}, max(calls, 1)) }
}

// A handler is called for the events of one name.
type handler struct {
	event   string
	prepare func(m Message, view *zeek.EventView) (func(ctx context.Context) error, error)
	slots   chan struct{} // of concurrent calls; nil: one at a time, with all others
	atOnce  bool          // called by whoever takes the event: it is quick, and others may wait for it
}

// handlers are those of a node.
type handlers struct {
	mu      sync.RWMutex
	byEvent map[string][]*handler
	members []func(up bool, name, id string)
	running sync.WaitGroup // concurrent calls
}

// A job is a call of a handler.
type job struct {
	event string
	call  func(ctx context.Context) error
	slots chan struct{}
	size  int // of the event on the wire
}

// On has f called for every event of that name. The fields of Args take the arguments, in their order (see
// [data.Reader.IntoArgs]). All handlers of a node are called one at a time, in the order in which the events
// came; one that takes long holds up the others, unless it is [Concurrent], and when [WithHandlerQueue] is
// full, the whole node: a handler does not wait for nodes to come, or ends when its context does. Of an event
// whose arguments do not suit, f learns nothing: it is counted and logged. So are errors and panics of f. The
// function returned ends it.
func On[Args any](n *Node, event string, f func(ctx context.Context, args Args) error, opts ...HandlerOption) (off func()) {
	return OnMessage(n, event, func(ctx context.Context, _ Message, args Args) error { return f(ctx, args) }, opts...)
}

// OnMessage is [On] for a handler that wants to know how an event came.
func OnMessage[Args any](n *Node, event string, f func(ctx context.Context, m Message, args Args) error, opts ...HandlerOption) (off func()) {
	h := &handler{event: event, prepare: func(m Message, view *zeek.EventView) (func(context.Context) error, error) {
		var args Args
		if err := view.Into(&args); err != nil {
			return nil, err
		}
		return func(ctx context.Context) error { return f(ctx, m, args) }, nil
	}}
	return n.handlers.add(h, opts)
}

// OnEvent has f called for every event of that name, whatever its arguments are.
func (n *Node) OnEvent(event string, f func(ctx context.Context, m Message, e zeek.Event) error, opts ...HandlerOption) (off func()) {
	h := &handler{event: event, prepare: func(m Message, view *zeek.EventView) (func(context.Context) error, error) {
		e, err := view.Event()
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error { return f(ctx, m, e) }, nil
	}}
	return n.handlers.add(h, opts)
}

// OnMember has f called when a node comes (Cluster::node_up) or goes (Cluster::node_down), in one order
// with the events.
func (n *Node) OnMember(f func(up bool, name, id string)) {
	n.handlers.mu.Lock()
	defer n.handlers.mu.Unlock()
	n.handlers.members = append(n.handlers.members, f)
}

func (hs *handlers) add(h *handler, opts []HandlerOption) (off func()) {
	for _, opt := range opts {
		opt(h)
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.byEvent == nil {
		hs.byEvent = make(map[string][]*handler)
	}
	hs.byEvent[h.event] = append(hs.byEvent[h.event], h)
	return func() {
		hs.mu.Lock()
		defer hs.mu.Unlock()
		rest := slices.DeleteFunc(slices.Clone(hs.byEvent[h.event]), func(other *handler) bool { return other == h })
		if hs.byEvent[h.event] = rest; len(rest) == 0 {
			delete(hs.byEvent, h.event)
		}
	}
}

// event queues the calls of the handlers of an event, which has size bytes.
func (hs *handlers) event(n *Node, m Message, view *zeek.EventView, size int) {
	hs.mu.RLock()
	all := hs.byEvent[string(view.Name)]
	hs.mu.RUnlock()
	if len(all) == 0 {
		if name := string(view.Name); name != helloEvent && name != announceEvent {
			n.unhandled.count(name, n)
		}
		return
	}
	for _, h := range all {
		call, err := h.prepare(m, view)
		if err != nil {
			n.failed(h.event, fmt.Errorf("from %v: %w", m.From, err))
			continue
		}
		if j := (job{h.event, call, h.slots, size}); h.atOnce {
			n.call(j)
		} else {
			n.queue(j)
		}
	}
}

// member queues the calls for a node that came or went.
func (hs *handlers) member(n *Node, up bool, name, id string) {
	hs.mu.RLock()
	all := hs.members
	hs.mu.RUnlock() // a handler that registers another may be what the queue waits for
	for _, f := range all {
		n.queue(job{event: "node " + name, call: func(context.Context) error { f(up, name, id); return nil }})
	}
}

// maxQueuedBytes bounds the events that wait for handlers, as they were on the wire. A greater one waits alone.
const maxQueuedBytes = 64 << 20

// queue waits for room for a job. Only dispatch calls it: nothing else adds to what waits.
func (n *Node) queue(j job) {
	for queued := n.queued.Load(); queued > 0 && queued+int64(j.size) > maxQueuedBytes; queued = n.queued.Load() {
		select {
		case <-n.room:
		case <-n.ctx.Done():
			return
		}
	}
	n.queued.Add(int64(j.size))
	select {
	case n.work <- j:
	case <-n.ctx.Done():
	}
}

// handle calls the handlers until the node is closed.
func (n *Node) handle() {
	for {
		select {
		case <-n.ctx.Done():
			return
		case j := <-n.work:
			n.queued.Add(-int64(j.size))
			select {
			case n.room <- struct{}{}:
			default:
			}
			if j.slots == nil {
				n.call(j)
				continue
			}
			select {
			case j.slots <- struct{}{}:
			case <-n.ctx.Done():
				return
			}
			n.handlers.running.Go(func() {
				defer func() { <-j.slots }()
				n.call(j)
			})
		}
	}
}

// wait waits for concurrent calls.
func (hs *handlers) wait() { hs.running.Wait() }

// call calls a handler, and survives it.
func (n *Node) call(j job) {
	defer func() {
		if p := recover(); p != nil {
			n.failed(j.event, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	if err := j.call(n.ctx); err != nil && n.ctx.Err() == nil {
		n.failed(j.event, err)
	}
}

// A told says what is worth to be told once more, so that what peers do does not fill the log of this process.
type told struct {
	times atomic.Uint64
	last  atomic.Int64 // in nanoseconds since 1970
}

// toldOneByOne is how many things of a kind are told of one by one. Of more, one a second is.
const toldOneByOne = 20

// again reports whether to tell of one more.
func (t *told) again() bool {
	now, last := time.Now().UnixNano(), t.last.Load()
	return t.times.Add(1) <= toldOneByOne || now-last >= int64(time.Second) && t.last.CompareAndSwap(last, now)
}

// failed counts an event that was not handled as it should be, and logs it.
func (n *Node) failed(event string, err error) {
	count := n.counts.failed.Add(1)
	if n.toldOfFailure.again() {
		n.opts.log.Warn("event not handled", "node", n.self.Name, "event", event, "err", err, "failures", count)
	}
}

// unhandled counts events for which there is no handler.
type unhandled struct {
	mu    sync.Mutex
	names map[string]uint64
	other uint64
}

// maxUnhandled bounds the names that are counted one by one.
const maxUnhandled = 1024

func (u *unhandled) count(name string, n *Node) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.names == nil {
		u.names = make(map[string]uint64)
	}
	if _, known := u.names[name]; !known {
		if len(u.names) >= maxUnhandled || len(name) > 256 {
			u.other++
			return
		}
		name = strings.Clone(name)
		n.opts.log.Warn("this node has no handler for an event; more of the name are only counted", "node", n.self.Name, "event", name)
	}
	u.names[name]++
}

// Unhandled returns how many events came for which there was no handler, by name; those beyond 1024 names,
// and of names longer than 256 bytes, together under "(other events)".
func (n *Node) Unhandled() map[string]uint64 {
	n.unhandled.mu.Lock()
	defer n.unhandled.mu.Unlock()
	all := make(map[string]uint64, len(n.unhandled.names)+1)
	for name, count := range n.unhandled.names {
		all[name] = count
	}
	if n.unhandled.other > 0 {
		all["(other events)"] = n.unhandled.other
	}
	return all
}
