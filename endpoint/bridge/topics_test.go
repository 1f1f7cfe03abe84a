package bridge

import (
	"errors"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

func TestMaps(t *testing.T) {
	for _, c := range []struct {
		m                 Map
		topic, want, back string
	}{
		{ClusterTopics(), "zeek/cluster/worker", "zeek.cluster.worker", "zeek/cluster/worker"},
		{ClusterTopics(), "zeek/cluster/pool/proxy", "zeek.cluster.pool.proxy", "zeek/cluster/pool/proxy"},
		{ClusterTopics(), "zeek/cluster/node/worker-1/", "zeek.cluster.node.worker-1.", "zeek/cluster/node/worker-1/"},
		{ClusterTopics(), "zeek/cluster/", "zeek.cluster.", "zeek/cluster/"},
		{ClusterTopics(), "zeek/cluster/node/a.b/", "zeek.cluster.node.a.b.", "zeek/cluster/node/a/b/"}, // as documented
		{Map{"/app/", "/app/"}, "/app/a.b/c", "/app/a.b/c", "/app/a.b/c"},
		{Map{"/app/", "/other/"}, "/app/x/y.z", "/other/x/y.z", "/app/x/y.z"},
		{Map{"/v1.2/app", "my.app"}, "/v1.2/app/x", "my.app.x", "/v1.2/app/x"},
		{Map{"app", "other"}, "app/a.b", "other/a.b", "app/a.b"},
		{Map{"", "zeek9/"}, "zeek.cluster.worker", "zeek9/zeek.cluster.worker", "zeek.cluster.worker"},
	} {
		got := c.m.apply(c.topic)
		if got != c.want {
			t.Errorf("%v: %q becomes %q, want %q", c.m, c.topic, got, c.want)
		}
		if back := c.m.Reverse().apply(got); back != c.back {
			t.Errorf("%v: %q comes back as %q, want %q", c.m, got, back, c.back)
		}
	}
}

func TestMapper(t *testing.T) {
	m, err := newMapper([]Map{{"/a/", "x."}, {"/a/b/", "y."}, {"/ab", "z"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, c := range []struct {
			topic, want string
			ok          bool
		}{
			{"/a/c/d", "x.c.d", true}, {"/a/c/d", "x.c.d", true}, {"/a/b/c/d", "y.c.d", true}, {"/abc", "zc", true}, {"/a", "", false}, {"/a", "", false}, {"", "", false},
		} {
			if got, ok := m.topic(c.topic); got != c.want || ok != c.ok {
				t.Errorf("%q: got %q, %v", c.topic, got, ok)
			}
		}
	}
	if m, _ := newMapper(nil); len(m.prefixes()) > 0 {
		t.Error(m.prefixes())
	} else if _, ok := m.topic(""); ok {
		t.Error("a topic without a map")
	}
}

func TestConfigRefused(t *testing.T) {
	ep := newEndpoint(t)
	for want, cfg := range map[string]Config{
		"nothing would cross":   {ToNative: []Map{}, ToWebSocket: []Map{}},
		"mapped twice":          {ToNative: []Map{{"a.", "/b/"}, {"a.", "/c/"}}},
		"keeps peers from":      {ToWebSocket: []Map{{"zeek/", "zeek."}}},
		"at most 65535":         {ToWebSocket: []Map{{"/a", strings.Repeat("x", wire.MaxTopicLen+1)}}},
		"want more than zero":   {Window: -1},
		"queue limits":          {Queue: endpoint.QueueLimits{Messages: -1}},
		"want one such as ws:/": {},
	} {
		b, err := New(ep, "http://127.0.0.1", cfg)
		if err == nil {
			err = b.Run(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	_, err := New(ep, "", Config{ToWebSocket: []Map{{"zeek/", "zeek."}}})
	if blocks, ok := errors.AsType[*endpoint.BlocksStoresError](err); !ok || blocks.Topic != "zeek/" {
		t.Errorf("got %v", err)
	}
}
