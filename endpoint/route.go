package endpoint

import (
	"github.com/zeekpeer/zeekpeer/topic"
	"github.com/zeekpeer/zeekpeer/wire"
)

// routes says who is subscribed to what. It is immutable: a change makes a new one, and readers go
// on with what they have until they look again.
type routes struct {
	subs  topic.Matcher[*Subscription]
	peers topic.Matcher[*peer]
	byID  map[wire.EndpointID]*peer

	traffic *trafficTable
}

// withPeers returns a copy with other peers.
func (rs *routes) withPeers(peers topic.Matcher[*peer], byID map[wire.EndpointID]*peer) *routes {
	return &routes{subs: rs.subs, peers: peers, byID: byID, traffic: rs.traffic}
}

// withSubs returns a copy with other subscriptions.
func (rs *routes) withSubs(subs topic.Matcher[*Subscription]) *routes {
	return &routes{subs: subs, peers: rs.peers, byID: rs.byID, traffic: rs.traffic}
}

// A route is what routes says of one topic.
type route struct {
	kind    wire.MessageType // of the messages published here; zero if none are
	targets []*queue         // of those: peers, and subscriptions that want it
	subs    []*Subscription  // of a message received from a peer
	peers   []*peer          // of a message forwarded
	traffic *topicCounter
	block   bool    // some target's policy is Block, and whoever publishes waits for it
	run     openRun // of the outbox, whose lock guards it
}

// room returns how many messages may be published before a Block queue among the targets is full. If
// there is no room it returns the limits of the full queue and a channel to wait on.
func (r *route) room() (n int, limits QueueLimits, space <-chan struct{}) {
	n = maxOpenRun
	if !r.block {
		return n, limits, nil
	}
	for _, q := range r.targets {
		if q.limits.Policy != Block {
			continue
		}
		free, space := q.roomFor()
		if space != nil {
			return 0, q.limits, space
		}
		n = min(n, free)
	}
	return n, limits, nil
}

// maxOpenRun is how many messages an open run takes at most, so that it is looked at now and then.
const maxOpenRun = 4096

func (r *route) anyIdle() bool {
	for _, q := range r.targets {
		if q.idle.Load() {
			return true
		}
	}
	return false
}

// push queues a run for all targets. For those that are waited for, room has said that it fits.
func (r *route) push(run run) {
	for _, q := range r.targets {
		if r.block && q.limits.Policy == Block {
			q.pushExpected(run)
		} else {
			q.push(run)
		}
	}
}

// lookup works out the route of a topic. What a subscription publishes goes to all others; what the
// node itself publishes (hub is nil) only to those with loopback. Nobody waits for room to publish a
// command.
func (rs *routes) lookup(name []byte, kind wire.MessageType, hub *Subscription) *route {
	r := &route{kind: kind, subs: rs.subs.Match(name, nil), peers: rs.peers.Match(name, nil), traffic: rs.traffic.counter(name)}
	if kind == 0 {
		return r
	}
	r.targets = make([]*queue, 0, len(r.peers))
	for _, p := range r.peers {
		r.targets = append(r.targets, p.queue)
	}
	for _, s := range r.subs {
		if s != hub && (s.loopback || hub != nil) && s.takes(kind) {
			r.targets = append(r.targets, s.queue)
		}
	}
	for _, q := range r.targets {
		r.block = r.block || kind == wire.TypeData && q.limits.Policy == Block
	}
	return r
}

// maxCachedRoutes bounds a cache of routes; a node that uses more topics at a time works out some of
// them again.
const maxCachedRoutes = 4096

// A routeCache remembers the routes of topics that were used lately. The next message very often has
// the topic of the last.
type routeCache struct {
	kind  wire.MessageType // of what is published; zero if the routes are those of messages received
	hub   *Subscription    // that publishes; nil: the node
	snap  *routes
	topic []byte
	last  *route
	known map[string]*route
}

// receive returns the route of a topic in a received frame.
func (c *routeCache) receive(snap *routes, name []byte) *route {
	if c.snap == snap && c.last != nil && string(c.topic) == string(name) {
		return c.last
	}
	c.renew(snap)
	if r, ok := c.known[string(name)]; ok {
		return c.turn(r, name)
	}
	return c.learn(snap, name)
}

// publish returns the route of a topic that is published to.
func (c *routeCache) publish(snap *routes, name string) *route {
	if c.snap == snap && c.last != nil && string(c.topic) == name {
		return c.last
	}
	c.renew(snap)
	if r, ok := c.known[name]; ok {
		c.topic, c.last = append(c.topic[:0], name...), r
		return r
	}
	return c.learn(snap, []byte(name))
}

// learn works out the route of a topic. It is not kept for a topic so long that thousands of them,
// which any peer may use, would take much memory.
func (c *routeCache) learn(snap *routes, name []byte) *route {
	r := snap.lookup(name, c.kind, c.hub)
	if len(name) <= maxTrafficTopic {
		c.known[string(name)] = r
	}
	return c.turn(r, name)
}

// turn makes r the last route.
func (c *routeCache) turn(r *route, name []byte) *route {
	c.topic, c.last = append(c.topic[:0], name...), r
	return r
}

func (c *routeCache) renew(snap *routes) {
	if c.snap != snap || len(c.known) >= maxCachedRoutes {
		c.snap, c.last = snap, nil
		c.known = make(map[string]*route)
	}
}
