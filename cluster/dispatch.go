package cluster

import (
	"context"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/membership"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// Events of the framework itself.
const (
	helloEvent    = "Cluster::hello"
	announceEvent = "Broker::announce_masters"
)

// dispatch takes what comes from peers until the node is closed.
func (n *Node) dispatch() {
	for e := range n.sub.Events(n.ctx) {
		if e.Status == nil {
			n.message(e.Message.Sender(), e.Message.Topic(), e.Message.Payload())
			continue
		}
		switch e.Status.Code {
		case endpoint.PeerAdded:
			n.peerAdded(e.Status.Peer)
		case endpoint.PeerLost:
			n.act(func() []membership.Action { return n.members.PeerLost(e.Status.Peer) })
		case endpoint.PeerRemoved:
			n.act(func() []membership.Action { n.members.PeerRemoved(e.Status.Peer); return nil })
		}
	}
}

// act does what the membership decides. The step is made with the lock held.
func (n *Node) act(step func() []membership.Action) {
	n.mu.Lock()
	actions := append([]membership.Action(nil), step()...)
	for _, a := range actions {
		switch a.Kind {
		case membership.NodeUp:
			n.counts.ups.Add(1)
			for _, p := range n.pools {
				p.Up(a.Name)
			}
		case membership.NodeDown:
			n.counts.downs.Add(1)
			for _, p := range n.pools {
				p.Down(a.Name)
			}
		}
	}
	if len(actions) > 0 {
		close(n.news)
		n.news = make(chan struct{})
	}
	n.mu.Unlock()
	for _, a := range actions {
		switch a.Kind {
		case membership.AnnounceMasters:
			n.announceMasters(a.Topic)
		case membership.Hello:
			n.publish(a.Topic, helloEvent, data.String(n.self.Name), data.String(n.ep.ID().String()))
		case membership.NodeUp:
			n.handlers.member(n, true, a.Name, a.ID)
		case membership.NodeDown:
			n.handlers.member(n, false, a.Name, a.ID)
		case membership.Log:
			n.Log(a.Text)
		case membership.Warn:
			if n.toldOfHello.again() {
				n.warn(a.Text)
			}
		}
	}
}

// peerAdded tells a new peer of the logs that this node writes, and says hello, in Zeek's order.
func (n *Node) peerAdded(peer wire.EndpointID) {
	n.createLogsAt(peer)
	n.act(func() []membership.Action { return n.members.PeerAdded(peer) })
}

// message takes a message of a peer, which may be a batch of others.
func (n *Node) message(from wire.EndpointID, topic string, payload []byte) {
	switch t := zeek.TypeOf(payload); t {
	case zeek.TypeEvent:
		n.event(from, topic, payload)
	case zeek.TypeLogCreate, zeek.TypeLogWrite, zeek.TypeBatch:
		if t != zeek.TypeLogCreate {
			n.counts.logWrites.Add(1)
		}
		if f := n.logger.Load(); f != nil {
			(*f)(from, payload)
		}
		if t == zeek.TypeBatch {
			n.batch(from, topic, payload)
		}
	case zeek.TypeIdentifierUpdate:
		n.unhandled.count("identifier update", n)
	default:
		_, err := zeek.ParseEventView(payload) // says what stands where a message would begin
		n.malformed(from, topic, err)
	}
}

// batch takes the events of a batch. As a rule there are none: Zeek batches only logs.
func (n *Node) batch(from wire.EndpointID, topic string, payload []byte) {
	types, err := zeek.TypesOf(payload)
	if err != nil {
		n.malformed(from, topic, err)
		return
	}
	if !types.Has(zeek.TypeEvent) {
		return
	}
	m, err := zeek.Parse(payload)
	if err != nil {
		n.malformed(from, topic, err)
		return
	}
	n.events(from, topic, m)
}

// events takes the events in a batch and in the batches in it.
func (n *Node) events(from wire.EndpointID, topic string, m zeek.Message) {
	switch m := m.(type) {
	case zeek.Batch:
		for _, member := range m {
			n.events(from, topic, member)
		}
	case zeek.Event:
		n.event(from, topic, m.AppendMessage(nil))
	}
}

// malformed counts what cannot be read, and tells of the first.
func (n *Node) malformed(from wire.EndpointID, topic string, err error) {
	if n.counts.malformed.Add(1) == 1 {
		n.opts.log.Warn("message dropped; more are only counted", "node", n.self.Name, "peer", from, "topic", topic, "err", err)
	}
}

// event hands an event to its handlers.
func (n *Node) event(from wire.EndpointID, topic string, payload []byte) {
	view, err := zeek.ParseEventView(payload)
	if err == nil {
		err = view.Verify()
	}
	if err != nil {
		n.malformed(from, topic, err)
		return
	}
	n.counts.events.Add(1)
	if string(view.Name) == helloEvent {
		var args struct{ Name, ID string }
		if err := view.Into(&args); err != nil {
			n.malformed(from, topic, err)
			return
		}
		n.counts.hellos.Add(1)
		n.act(func() []membership.Action { return n.members.ReceiveHello(from, args.Name, args.ID) })
	}
	n.handlers.event(n, Message{From: from, Topic: topic}, &view, len(payload))
}

// announceMasters says which tables this node keeps for others: none, for those belong to scripts.
func (n *Node) announceMasters(topic string) {
	n.publish(topic, announceEvent, data.Set())
}

// publishTime bounds how long the node itself waits for a queue that blocks.
const publishTime = 5 * time.Second

// publish sends an event of the framework.
func (n *Node) publish(topic, event string, args ...data.Value) {
	ctx, cancel := context.WithTimeout(n.ctx, publishTime)
	defer cancel()
	if _, err := n.ep.PublishEvent(ctx, topic, event, args...); err != nil && n.ctx.Err() == nil {
		n.opts.log.Warn("event not sent", "node", n.self.Name, "event", event, "topic", topic, "err", err)
	}
}
