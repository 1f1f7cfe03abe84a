package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/zeekpeer/zeekpeer/cluster/pool"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// ErrNobody says that no member of a pool is there.
var ErrNobody = errors.New("no member of the pool is there")

// Publish sends an event to every peer that listens on topic, and returns to how many. As in Zeek nobody
// passes it on, so it reaches only the nodes to which this one has a peering.
func (n *Node) Publish(ctx context.Context, topic, event string, args ...data.Value) (receivers int, err error) {
	return n.ep.PublishEvent(ctx, topic, event, args...)
}

// pool returns the pool with a topic, with the lock held.
func (n *Node) pool(topic string) (*pool.Pool, error) {
	for _, p := range n.pools {
		if p.Spec.Topic == topic {
			return p, nil
		}
	}
	return nil, fmt.Errorf("there is no pool with the topic %q", topic)
}

// TopicRR returns the topic of the next member of a pool, in the turns that are counted under key;
// [ErrNobody] if none is there. It may be this node itself, which hears nothing of what it publishes. Every key
// is remembered: take few.
func (n *Node) TopicRR(poolTopic, key string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, err := n.pool(poolTopic)
	if err != nil {
		return "", err
	}
	if topic := p.RoundRobin(key); topic != "" {
		return topic, nil
	}
	return "", fmt.Errorf("%w: %s", ErrNobody, poolTopic)
}

// TopicHRW returns the topic of the member of a pool that a key leads to, which is the same at all nodes
// that see the same members, nodes of Zeek included; [ErrNobody] if none is there.
func (n *Node) TopicHRW(poolTopic string, key data.Value) (string, error) {
	hash, err := pool.NewHasher(n.layout.Version).Value(key)
	if err != nil {
		return "", err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	p, err := n.pool(poolTopic)
	if err != nil {
		return "", err
	}
	if topic := p.Rendezvous(hash); topic != "" {
		return topic, nil
	}
	return "", fmt.Errorf("%w: %s", ErrNobody, poolTopic)
}

// PublishRR publishes an event to one member of a pool, to each in turn.
func (n *Node) PublishRR(ctx context.Context, poolTopic, key, event string, args ...data.Value) error {
	topic, err := n.TopicRR(poolTopic, key)
	if err != nil {
		return err
	}
	_, err = n.Publish(ctx, topic, event, args...)
	return err
}

// PublishHRW publishes an event to the member of a pool that a key leads to.
func (n *Node) PublishHRW(ctx context.Context, poolTopic string, key data.Value, event string, args ...data.Value) error {
	topic, err := n.TopicHRW(poolTopic, key)
	if err != nil {
		return err
	}
	_, err = n.Publish(ctx, topic, event, args...)
	return err
}

// Ask publishes an event and waits for another one that answers it: the first of the name reply for which
// match holds. Zeek knows nothing of answers, so who is asked must send the answer to a topic that this node
// listens on, and put something into it by which match recognises it. match must be quick: it is called as
// the events come, before handlers, so that handlers may ask, too. They do so with a deadline: while the queue
// of handlers is full behind the one that asks (see [WithHandlerQueue]), no answer is read.
func Ask[Reply any](ctx context.Context, n *Node, topic, event string, args []data.Value, reply string, match func(Reply) bool) (Reply, error) {
	answers := make(chan Reply, 1)
	off := On(n, reply, func(_ context.Context, r Reply) error {
		if match == nil || match(r) {
			select {
			case answers <- r:
			default:
			}
		}
		return nil
	}, func(h *handler) { h.atOnce = true })
	defer off()
	var none Reply
	receivers, err := n.Publish(ctx, topic, event, args...)
	if err != nil {
		return none, err
	}
	if receivers == 0 {
		return none, fmt.Errorf("%s: no peer listens on %s", event, topic)
	}
	select {
	case r := <-answers:
		return r, nil
	case <-ctx.Done():
		return none, fmt.Errorf("%s to %s: no %s answered it: %w", event, topic, reply, ctx.Err())
	case <-n.ctx.Done():
		return none, endpoint.ErrClosed
	}
}
