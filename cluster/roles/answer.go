package roles

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// answer publishes the answer to a request.
func (r *role) answer(ctx context.Context, topic, event string, args ...data.Value) error {
	r.count(&r.answered)
	return r.publish(ctx, topic, event, args...)
}

// sumStats makes a worker answer the manager, which counts answers and waits for one of each worker that it knows:
// there is no key, and no result. The requests are the same from 5.0 to 9.0.
func (r *role) sumStats() {
	manager := r.layout.Options.ManagerTopic
	on(r, "SumStats::get_a_key", func(ctx context.Context, args struct {
		UID, Name string
		Cleanup   bool
	}) error {
		return r.answer(ctx, manager, "SumStats::send_no_key", data.String(args.UID), data.String(args.Name))
	})
	on(r, "SumStats::cluster_get_result", func(ctx context.Context, args struct {
		UID, Name string
		Key       data.Value
		Cleanup   bool
	}) error {
		return r.answer(ctx, manager, "SumStats::cluster_send_result", data.String(args.UID), data.String(args.Name), args.Key, data.Table(), data.Bool(args.Cleanup))
	})
	r.say("answers SumStats with nothing")
}

// control makes the node answer what policy/frameworks/control/controllee answers, which zeekctl asks.
func (r *role) control() {
	reply := func(ctx context.Context, kind string, args ...data.Value) error {
		return r.answer(ctx, r.layout.Version.ControlReplyTopic(kind, r.self.Name), "Control::"+kind+"_response", args...)
	}
	on(r, "Control::id_value_request", func(ctx context.Context, args struct{ ID string }) error {
		return reply(ctx, "id_value", data.String(args.ID), data.String(r.value(args.ID)))
	})
	on(r, "Control::peer_status_request", func(ctx context.Context, _ struct{}) error {
		return reply(ctx, "peer_status", data.String(r.peerStatus()))
	})
	on(r, "Control::net_stats_request", func(ctx context.Context, _ struct{}) error {
		return reply(ctx, "net_stats", data.String(r.seconds()+" recvd=0 dropped=0 link=0\n"))
	})
	on(r, "Control::configuration_update_request", func(ctx context.Context, _ struct{}) error {
		r.opts.log.Info("asked to take over constants that a controller has set: this node has none", "node", r.self.Name)
		return reply(ctx, "configuration_update")
	})
	on(r, "Control::shutdown_request", func(ctx context.Context, _ struct{}) error {
		err := reply(ctx, "shutdown")
		if r.opts.shutdown == nil {
			r.opts.log.Warn("asked to end, which this node does not do for others", "node", r.self.Name)
			return err
		}
		r.opts.log.Info("asked to end", "node", r.self.Name)
		r.opts.shutdown()
		return err
	})
	r.say("answers control requests")
}

// seconds returns the time as Zeek prints it.
func (r *role) seconds() string {
	return fmt.Sprintf("%.6f", float64(r.opts.now().UnixNano())/1e9)
}

// value returns the value of one of Zeek's variables: of an option that was set, or of the name of this node.
func (r *role) value(id string) string {
	if id == "Cluster::node" {
		return r.self.Name
	}
	if v, _, ok := r.Option(id); ok {
		return v.String()
	}
	return "<unknown id>"
}

// peerStatus returns a line on each peer, as zeekctl reads them.
func (r *role) peerStatus() string {
	var text strings.Builder
	now := r.seconds()
	for _, p := range r.node.Endpoint().Peers() {
		host, _, err := net.SplitHostPort(p.Addr)
		if err != nil {
			host = p.Addr
		}
		fmt.Fprintf(&text, "%s peer=%v host=%s status=Broker::PEERED\n", now, p.ID, host)
	}
	return text.String()
}
