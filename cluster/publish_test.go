package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/pool"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// received keeps which keys came to which node.
type received struct {
	bell clustertest.Bell
	mu   sync.Mutex
	by   map[string]string // the node of each key
	n    map[string]int
}

func (r *received) at(n *cluster.Node) {
	cluster.On(n, "My::key", func(_ context.Context, args struct{ Key string }) error {
		defer r.bell.Ring()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.by[args.Key] = n.Name()
		r.n[n.Name()]++
		return nil
	})
}

func (r *received) total() (sum int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.n {
		sum += n
	}
	return sum
}

// TestPools: events go to members in turn or by their keys, and all publishers agree on keys. A member that dies
// loses its turns and its keys to the others, who keep theirs.
func TestPools(t *testing.T) {
	b := newSwitchboard(t, 1, 1, 3, "")
	manager, proxy := b.node(t, "manager"), b.node(t, "proxy-1")
	names := []string{"worker-1", "worker-2", "worker-3"}
	r := received{by: make(map[string]string), n: make(map[string]int)}
	var members []*cluster.Node
	for _, name := range names {
		members = append(members, b.node(t, name))
		r.at(members[len(members)-1])
	}
	ctx := clustertest.Limited(t)
	if err := manager.PublishRR(ctx, pool.WorkerTopic, "", "My::key"); !errors.Is(err, cluster.ErrNobody) {
		t.Errorf("before anybody is there: %v", err)
	}
	if err := manager.PublishHRW(ctx, pool.WorkerTopic, data.String("k"), "My::key"); !errors.Is(err, cluster.ErrNobody) {
		t.Errorf("before anybody is there: %v", err)
	}
	if _, err := manager.TopicRR("/no/pool", ""); err == nil || !strings.Contains(err.Error(), `no pool with the topic "/no/pool"`) {
		t.Error(err)
	}
	clustertest.Run(t, manager, proxy)
	clustertest.Run(t, members...)
	greeted(t, manager, names...)
	greeted(t, proxy, names...)

	const count = 300
	for i := range count {
		if err := manager.PublishRR(ctx, pool.WorkerTopic, "my key", "My::key", data.String(fmt.Sprint("rr", i))); err != nil {
			t.Fatal(err)
		}
	}
	r.bell.Until(t, "all in turn", func() bool { return r.total() == count })
	for _, name := range names {
		if r.n[name] != count/3 {
			t.Errorf("in turn: %v", r.n)
		}
	}
	hrw := func(from *cluster.Node) map[string]string {
		r.mu.Lock()
		r.by, r.n = make(map[string]string), make(map[string]int)
		r.mu.Unlock()
		for i := range count {
			key := data.String(fmt.Sprint("host ", i))
			if err := from.PublishHRW(ctx, pool.WorkerTopic, key, "My::key", key); err != nil {
				t.Fatal(err)
			}
		}
		r.bell.Until(t, "all by key", func() bool { return r.total() == count })
		return r.by
	}
	byManager, byProxy := hrw(manager), hrw(proxy)
	for _, name := range names {
		if r.n[name] < count/6 {
			t.Errorf("by key: %v", r.n)
		}
	}
	b.HangUp(members[1])
	gone(t, manager, "worker-2")
	without := hrw(manager)
	for key, at := range byManager {
		if byProxy[key] != at {
			t.Errorf("%s leads to %s, for the proxy to %s", key, at, byProxy[key])
		}
		if at != "worker-2" && without[key] != at || without[key] == "worker-2" {
			t.Errorf("%s moved from %s to %s", key, at, without[key])
		}
	}
	if _, err := manager.TopicHRW(pool.WorkerTopic, data.Vector(data.None())); err == nil {
		t.Error("a key that Zeek cannot hash")
	}
}

// TestOwnPools: pools beside Zeek's; a node that keeps out of pools hears nothing on their topics.
func TestOwnPools(t *testing.T) {
	b := newSwitchboard(t, 1, 2, 0, "")
	b.opts = append(b.opts, cluster.WithPools(pool.Spec{Topic: "my/pool", Type: layout.Proxy, MaxNodes: 1, Exclusive: true}))
	manager, inside, outside := b.node(t, "manager"), b.node(t, "proxy-1", cluster.WithTopics("my/topic")), b.node(t, "proxy-2", cluster.WithoutPools())
	clustertest.Run(t, manager, inside, outside)
	greeted(t, manager, "proxy-1", "proxy-2")
	for topic, want := range map[string]int{"my/pool": 1, pool.ProxyTopic: 0, "my/topic": 1} {
		if n := len(manager.Endpoint().Subscribers(topic)); n != want {
			t.Errorf("%s: %d subscribers, want %d", topic, n, want)
		}
	}
	topic, err := manager.TopicRR("my/pool", "")
	if err != nil || topic != "zeek/cluster/node/proxy-1/" {
		t.Errorf("%s, %v", topic, err)
	}
}
