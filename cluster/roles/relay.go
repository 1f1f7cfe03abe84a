package roles

import (
	"context"
	"fmt"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// Nodes of Zeek do not pass on what peers say (CLUSTER.md section 3.5). What workers want to tell each other they
// tell a proxy, or the manager if there is none, whose scripts publish it again.

// relays are the events that a proxy publishes again to the workers. A manager does so with those that workers send
// to it if there is no proxy.
var relays = []struct {
	event   string
	args    []data.Kind
	manager bool
}{
	{"sync_add_expected_data", []data.Kind{data.KindVector, data.KindVector}, true}, // FTP
	{"sync_remove_expected_data", []data.Kind{data.KindAddr, data.KindPort}, true},
	{"dcc_transfer_add", []data.Kind{data.KindAddr, data.KindPort, data.KindVector}, true}, // IRC
	{"dcc_transfer_remove", []data.Kind{data.KindAddr, data.KindPort}, true},
	{"Intel::insert_indicator", []data.Kind{data.KindVector}, false}, // of the manager
}

// relay makes a proxy or manager pass on events.
func (r *role) relay() {
	workers := r.layout.Options.WorkerTopic
	proxy, manager := r.self.Type == layout.Proxy, r.self.Type == layout.Manager
	for _, e := range relays {
		if proxy || manager && e.manager {
			r.forward(e.event, e.event, e.args, workers)
		}
	}
	switch {
	case proxy:
		r.say("passes on to workers: FTP and IRC transfers to expect, indicators of intel")
	case manager:
		r.suppressions(workers, r.layout.Options.ProxyTopic)
		r.tableChanges()
		const certs = "X509::log_cert_hashes_internal" // from 8.1; those that are logged, for all to log them once
		r.forward(certs, certs, []data.Kind{data.KindSet}, workers)
		r.say("passes on: suppressed notices, changes of tables, certificates that are logged, and, without a proxy, FTP and IRC transfers to expect")
	}
}

// forward publishes an event again, under a name, to some topics.
func (r *role) forward(event, as string, args []data.Kind, topics ...string) {
	r.onEvent(event, func(ctx context.Context, e zeek.Event) error {
		if err := kinds(e.Args, args); err != nil {
			return err
		}
		return r.again(ctx, as, e.Args, topics...)
	})
}

// again publishes an event that came to some topics.
func (r *role) again(ctx context.Context, event string, args []data.Value, topics ...string) error {
	r.count(&r.relayed)
	for _, topic := range topics {
		if err := r.publish(ctx, topic, event, args...); err != nil {
			return err
		}
	}
	return nil
}

// kinds checks the arguments of an event that is passed on: Zeek nodes drop others, and complain of them.
func kinds(args []data.Value, want []data.Kind) error {
	if len(args) != len(want) {
		return fmt.Errorf("%d arguments, want %d", len(args), len(want))
	}
	for i := range args {
		if got := args[i].Kind(); got != want[i] {
			return fmt.Errorf("args[%d]: got %s, want %s", i, got.ZeekName(), want[i].ZeekName())
		}
	}
	return nil
}

// suppressions makes a manager tell all which notices are to be suppressed. The event for it was another one up to
// 7.0, and from 8.1.
func (r *role) suppressions(topics ...string) {
	const begin = "Notice::begin_suppression"
	one := []data.Kind{data.KindTime, data.KindTimespan, data.KindEnum, data.KindString}
	switch v := r.layout.Version; {
	case v.Compare(layout.Version{Major: 8, Minor: 1}) >= 0:
		r.forward("Notice::suppression_batch_internal", "Notice::suppression_batch_internal", []data.Kind{data.KindVector}, topics...)
	case v.Compare(layout.Version{Major: 7, Minor: 1}) >= 0:
		r.forward(begin, begin, one, topics...)
	default:
		r.forward("Notice::manager_begin_suppression", begin, one, topics...)
	}
}

// tableChanges makes a manager pass on the changes of tables that workers want others to hear of, from 8.2.
func (r *role) tableChanges() {
	on(r, "Cluster::forward_table_change_infos", func(ctx context.Context, args struct {
		Header, Infos data.Value
		Topic         string
	}) error {
		changes := []data.Value{args.Header, args.Infos}
		if err := kinds(changes, []data.Kind{data.KindVector, data.KindVector}); err != nil {
			return err
		}
		return r.again(ctx, "Cluster::table_change_infos", changes, args.Topic)
	})
}
