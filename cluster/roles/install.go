package roles

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

type options struct {
	log          *slog.Logger
	now          func() time.Time
	memory       int
	experimental bool
	withoutLogs  bool
	shutdown     func()
	state        *State
}

// An Option changes what [Install] installs.
type Option func(*options)

// WithLogger makes the role log to l. By default it does not log.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// WithClock replaces time.Now as the time by which a proxy forgets.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithMemory bounds what a proxy remembers of each of hosts, services, certificates and software, in bytes of
// memory, roughly: 128 MiB by default, enough for 700,000 hosts. Beyond that it forgets the oldest early,
// which may then be logged twice within a day; that is counted, and the first time logged.
func WithMemory(bytes int) Option { return func(o *options) { o.memory = bytes } }

// WithExperimental takes part in the start-up events of policy/frameworks/cluster/experimental (CLUSTER.md
// section 4.7). Without it, a cluster of Zeek nodes that load this script never counts itself as started.
func WithExperimental() Option { return func(o *options) { o.experimental = true } }

// WithoutLogs leaves the logs that come to a logger to who writes them. Without it their rows are counted.
func WithoutLogs() Option { return func(o *options) { o.withoutLogs = true } }

// WithShutdown has f called when a control request asks the node to end, once it is answered. f must return at
// once, for instance after cancelling a context. Without it such requests are answered and logged only.
func WithShutdown(f func()) Option { return func(o *options) { o.shutdown = f } }

// WithState keeps in s what the role knows and has counted.
func WithState(s *State) Option { return func(o *options) { o.state = s } }

// Topics returns the topics to which a node with that id subscribes for its role, besides those that
// [cluster.New] knows of; to be passed to [cluster.WithTopics], with the id to endpoint.WithID.
func Topics(l *layout.Layout, id wire.EndpointID) []string {
	topics := []string{"zeek/control/" + id.String()}
	if hasStartedTopic(l.Version) {
		topics = append(topics, startedTopic)
	}
	return topics
}

// A role is what a node does.
type role struct {
	*State
	opts     options
	node     *cluster.Node
	layout   *layout.Layout
	self     layout.Node
	does     []string
	handlers map[string]bool
}

// Install registers the handlers of a node's type, and makes the stores whose masters are at this node. It is
// called before [cluster.Node.Start]. It returns what the node does, and what it leaves undone of what Zeek
// does there, a line each, for people.
func Install(n *cluster.Node, opts ...Option) (does []string, err error) {
	o := options{log: slog.New(slog.DiscardHandler), now: time.Now, memory: 128 << 20, state: new(State)}
	for _, opt := range opts {
		opt(&o)
	}
	if o.memory < entryCost {
		return nil, fmt.Errorf("a memory of %d bytes: want %d at least", o.memory, entryCost)
	}
	r := &role{State: o.state, opts: o, node: n, layout: n.Layout(), self: *n.Layout().Node(n.Name()), handlers: make(map[string]bool)}
	r.begin()
	switch r.self.Type {
	case layout.Proxy:
		r.known()
		r.software()
	case layout.Worker:
		r.sumStats()
	}
	if (r.self.Type == layout.Logger || r.self.Type == layout.Manager && r.layout.Options.ManagerIsLogger) && !o.withoutLogs {
		r.countLogs()
	}
	if err := r.stores(); err != nil {
		return nil, err
	}
	r.relay()
	r.setOptions()
	r.control()
	r.startUp()
	r.ignore()
	if r.self.Type == layout.Manager {
		r.say("does not do what else a manager of Zeek does: intel, notices (mail, alarms), SumStats, NetControl, OpenFlow, DHCP (dhcp.log), config.log and config files, intermediate certificates")
	}
	return r.does, nil
}

// say adds a line on what the node does.
func (r *role) say(format string, args ...any) { r.does = append(r.does, fmt.Sprintf(format, args...)) }

// on registers a handler whose arguments are the fields of Args.
func on[Args any](r *role, event string, f func(ctx context.Context, args Args) error) {
	r.handlers[event] = true
	cluster.On(r.node, event, f)
}

// onEvent registers a handler that takes any arguments.
func (r *role) onEvent(event string, f func(ctx context.Context, e zeek.Event) error) {
	r.handlers[event] = true
	r.node.OnEvent(event, func(ctx context.Context, _ cluster.Message, e zeek.Event) error { return f(ctx, e) })
}

// publish sends an event, to whoever listens.
func (r *role) publish(ctx context.Context, topic, event string, args ...data.Value) error {
	_, err := r.node.Publish(ctx, topic, event, args...)
	return err
}

// stores makes the stores of which this node has the master. Up to 5.2, workers keep what is known in stores of
// the manager by default; later they ask proxies.
func (r *role) stores() error {
	var names []string
	for _, s := range r.layout.Stores {
		names = append(names, s.Name)
	}
	if r.layout.Version.Compare(layout.Version{Major: 6}) < 0 {
		names = append(names, "zeek/known/hosts", "zeek/known/services", "zeek/known/certs")
	}
	slices.Sort(names)
	var mine []string
	for _, name := range slices.Compact(names) {
		info, err := r.layout.Store(name, false)
		if err != nil {
			return err
		}
		if info.MasterNode != r.self.Name {
			continue
		}
		if _, err := r.node.CreateStore(name, false); err != nil {
			return err
		}
		mine = append(mine, name)
	}
	if len(mine) > 0 {
		r.say("hosts the stores %s", strings.Join(mine, ", "))
	}
	return nil
}
