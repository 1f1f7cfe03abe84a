package roles

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// setOptionEvent sets an option at another node.
const setOptionEvent = "Config::cluster_set_option"

// maxOptionBytes bounds what is remembered of options, names and encoded values together. Zeek has some hundreds of
// options, and a few of them are large sets.
const maxOptionBytes = 64 << 20

// An optionValue is what an option was set to.
type optionValue struct {
	value    data.Value
	location string // where that comes from, as whoever set it said
	bytes    int    // of memory, roughly
}

// brief returns the value as text, if it is short enough for people.
func (o *optionValue) brief() string {
	if o.bytes > 4096 {
		return fmt.Sprintf("(%d bytes)", o.bytes)
	}
	return o.value.String()
}

// setOptions makes the node remember options that are set. A manager hands each to all nodes, and all of them to
// nodes that come, as the script of the config framework does.
func (r *role) setOptions() {
	manager := r.self.Type == layout.Manager
	topics := r.node.BroadcastTopics()
	if manager && !r.layout.Version.HasNodeCounts() { // and so no Cluster::broadcast_topics
		o := &r.layout.Options
		topics = []string{o.WorkerTopic, o.ProxyTopic, o.LoggerTopic}
	}
	on(r, setOptionEvent, func(ctx context.Context, args struct {
		ID       string
		Value    data.Value
		Location string
	}) error {
		o := optionValue{args.Value, args.Location, entryCost + len(args.ID) + len(args.Location) + len(data.AppendValue(nil, args.Value))}
		r.opts.log.Info("option set", "node", r.self.Name, "option", args.ID, "value", o.brief(), "location", args.Location)
		err := r.remember(args.ID, o)
		if manager {
			err = errors.Join(err, r.again(ctx, setOptionEvent, []data.Value{data.String(args.ID), args.Value, data.String(args.Location)}, topics...))
		}
		return err
	})
	if !manager {
		return
	}
	r.say("hands options that are set at one node to all")
	r.node.OnMember(func(up bool, name, _ string) {
		if up {
			r.tellOptions(name)
		}
	})
}

// remember keeps the value of an option, if there is room for it.
func (s *State) remember(id string, o optionValue) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := o.bytes - s.options[id].bytes
	if s.optionBytes+more > maxOptionBytes {
		return fmt.Errorf("option %.100q is not remembered: with its %d bytes it would be more than the %d that there are for all", id, o.bytes, maxOptionBytes)
	}
	s.options[id] = o
	s.optionBytes += more
	return nil
}

// tellOptions tells a new node of all options that are set.
func (r *role) tellOptions(name string) {
	r.mu.Lock()
	all := maps.Clone(r.options)
	r.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		o := all[id]
		err := r.publish(context.Background(), r.node.NodeTopic(name), setOptionEvent, data.String(id), o.value, data.String(o.location))
		if err != nil {
			r.opts.log.Warn("node not told of an option", "node", r.self.Name, "to", name, "option", id, "err", err)
		}
	}
}
