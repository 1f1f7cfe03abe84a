// Package pool picks nodes of a cluster as Zeek does: in turn, or by a key so that all nodes pick the same
// (CLUSTER.md section 7). Who is in a pool follows from the layout and the pools that are registered, so
// every node that knows both comes to the same members.
package pool

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
)

// A Spec says which nodes a pool is to have.
type Spec struct {
	Topic     string          // that all members are subscribed to
	Type      layout.NodeType // of its members: worker, proxy or logger
	MaxNodes  int             // at most so many; 0: no limit
	Exclusive bool            // its members are in no other pool; wants MaxNodes
}

// The pools that every cluster has.
const (
	LoggerTopic = "zeek/cluster/pool/logger"
	ProxyTopic  = "zeek/cluster/pool/proxy"
	WorkerTopic = "zeek/cluster/pool/worker"
)

// Defaults returns the pools that every cluster has.
func Defaults() []Spec {
	return []Spec{
		{Topic: LoggerTopic, Type: layout.Logger}, {Topic: ProxyTopic, Type: layout.Proxy}, {Topic: WorkerTopic, Type: layout.Worker},
	}
}

// A Pool is a set of nodes of which one is picked. It is not safe for concurrent use.
type Pool struct {
	Spec  Spec
	nodes []*member      // in the order of their turns
	turns map[string]int // by key, whose turn it is; at most maxTurns
	alive []site         // as long as they are alive, in no order
	cache []pick         // by a hash of the key
}

type member struct {
	name  string
	topic string
	site  uint32
	alive bool
	own   bool
}

// A site is a member as the hash sees it.
type site struct {
	seed uint32 // what the weight begins with
	id   uint32
	node *member
}

// A pick is remembered, for the same keys come again and again.
type pick struct {
	key  Key
	node *member // nil: nothing is remembered
}

// So many picks are remembered.
const (
	cacheBits = 12
	cacheSize = 1 << cacheBits
)

// maxTurns is how many keys have turns of their own. With one more, all begin anew: keys may come from outside.
const maxTurns = 4096

// Assign makes the pools of a cluster, ordered by topic. self is the node that asks. The pools of
// [Defaults] are not among specs unless the caller puts them there.
func Assign(l *layout.Layout, self string, specs []Spec) ([]*Pool, error) {
	specs = slices.Clone(specs)
	slices.SortStableFunc(specs, func(a, b Spec) int { return strings.Compare(a.Topic, b.Topic) })
	candidates := map[layout.NodeType][]string{}
	for _, t := range []layout.NodeType{layout.Worker, layout.Proxy, layout.Logger} {
		for _, n := range l.Sorted(t) {
			candidates[t] = append(candidates[t], n.Name)
		}
	}
	if managers := l.Sorted(layout.Manager); l.Options.ManagerIsLogger && len(managers) > 0 {
		candidates[layout.Logger] = append(candidates[layout.Logger], managers[0].Name)
	}
	claimed := map[layout.NodeType]int{}
	for i, s := range specs {
		switch {
		case s.Type != layout.Worker && s.Type != layout.Proxy && s.Type != layout.Logger:
			return nil, fmt.Errorf("pool %q: nodes of type %v cannot be pooled", s.Topic, s.Type)
		case i > 0 && s.Topic == specs[i-1].Topic:
			return nil, fmt.Errorf("two pools with the topic %q", s.Topic)
		case s.MaxNodes < 0:
			return nil, fmt.Errorf("pool %q: at most %d nodes", s.Topic, s.MaxNodes)
		case s.Exclusive && s.MaxNodes == 0:
			return nil, fmt.Errorf("pool %q is exclusive, which wants a number of nodes", s.Topic)
		case s.Exclusive:
			if claimed[s.Type] += s.MaxNodes; claimed[s.Type] > len(candidates[s.Type]) {
				return nil, fmt.Errorf("pool %q: exclusive pools want %d nodes of type %v, there are %d", s.Topic, claimed[s.Type], s.Type, len(candidates[s.Type]))
			}
		}
	}
	pools := make([]*Pool, len(specs))
	h := NewHasher(l.Version)
	for i, s := range specs {
		if s.Exclusive {
			pools[i] = newPool(h, s, l.Options.NodeTopicPrefix, self, candidates[s.Type][:s.MaxNodes])
			candidates[s.Type] = candidates[s.Type][s.MaxNodes:]
		}
	}
	cursor := map[layout.NodeType]int{}
	for i, s := range specs {
		if s.Exclusive {
			continue
		}
		from := candidates[s.Type]
		n := len(from)
		if s.MaxNodes > 0 {
			n = min(n, s.MaxNodes)
		}
		names := make([]string, 0, n)
		for range n {
			names = append(names, from[cursor[s.Type]%len(from)])
			cursor[s.Type]++
		}
		pools[i] = newPool(h, s, l.Options.NodeTopicPrefix, self, names)
	}
	return pools, nil
}

func newPool(h Hasher, spec Spec, topicPrefix, self string, names []string) *Pool {
	p := &Pool{Spec: spec, turns: make(map[string]int), cache: make([]pick, cacheSize)}
	taken := map[uint32]bool{}
	for _, name := range names {
		site := h.site(name, taken)
		taken[site] = true
		p.nodes = append(p.nodes, &member{name: name, topic: topicPrefix + name + "/", site: site, alive: name == self, own: name == self})
	}
	return p
}

// site returns the number of a node in the hash.
func (h Hasher) site(name string, taken map[uint32]bool) uint32 {
	for i := 0; ; i++ {
		id := uint32(h.String(fmt.Sprintf("%s.%d", name, i)))
		if !taken[id] {
			return id
		}
	}
}

// Names returns the members in the order of their turns.
func (p *Pool) Names() []string {
	names := make([]string, len(p.nodes))
	for i, n := range p.nodes {
		names[i] = n.name
	}
	return names
}

// Has tells whether a node is a member.
func (p *Pool) Has(name string) bool { return p.find(name) != nil }

func (p *Pool) find(name string) *member {
	if i := slices.IndexFunc(p.nodes, func(m *member) bool { return m.name == name }); i >= 0 {
		return p.nodes[i]
	}
	return nil
}

// Alive returns how many members may be picked in turn.
func (p *Pool) Alive() int {
	n := 0
	for _, m := range p.nodes {
		if m.alive {
			n++
		}
	}
	return n
}

// The weight of a site is a linear congruence modulo 2^31. It is reckoned with twice the weight here, for
// which the arithmetic of 32 bits needs no mask.
const (
	multiplier = 1103515245
	increment  = 12345
	mask31     = 1<<31 - 1
)

// Up notes that a node has come. The node that the pool is on takes turns from the start, and is never
// picked by a key: it never learns of itself.
func (p *Pool) Up(name string) {
	m := p.find(name)
	if m == nil {
		return
	}
	m.alive = true
	if !slices.ContainsFunc(p.alive, func(s site) bool { return s.node == m }) {
		p.alive = append(p.alive, site{seed: multiplier*m.site + increment, id: m.site, node: m})
		clear(p.cache)
	}
}

// Down notes that a node has gone.
func (p *Pool) Down(name string) {
	m := p.find(name)
	if m == nil {
		return
	}
	m.alive = false
	p.alive = slices.DeleteFunc(p.alive, func(s site) bool { return s.node == m })
	clear(p.cache)
}

// RoundRobin returns the topic of the next member that is alive, in the turns that are counted under
// key; "" if none is. It may be the node's own topic, on which nobody hears it. After 4,096 keys the turns of all are
// forgotten, and begin with the first member.
func (p *Pool) RoundRobin(key string) string {
	if m := p.next(key); m != nil {
		return m.topic
	}
	return ""
}

func (p *Pool) next(key string) *member {
	at, known := p.turns[key]
	for range p.nodes {
		m := p.nodes[at]
		if at++; at == len(p.nodes) {
			at = 0
		}
		if m.alive {
			if !known && len(p.turns) == maxTurns {
				clear(p.turns)
			}
			p.turns[key] = at
			return m
		}
	}
	return nil
}

// Rendezvous returns the topic of the member that a key leads to, which is the same at every node that
// sees the same members alive; "" if none is.
func (p *Pool) Rendezvous(key Key) string {
	if m := p.pick(key); m != nil {
		return m.topic
	}
	return ""
}

// RendezvousName is Rendezvous, but returns the name of the member.
func (p *Pool) RendezvousName(key Key) string {
	if m := p.pick(key); m != nil {
		return m.name
	}
	return ""
}

func (p *Pool) pick(key Key) *member {
	remembered := &p.cache[uint32(key)*2654435769>>(32-cacheBits)]
	if remembered.node != nil && remembered.key == key {
		return remembered.node
	}
	if len(p.alive) == 0 {
		return nil
	}
	*remembered = pick{key, heaviest(p.alive, uint32(key)&mask31)}
	return remembered.node
}

// heaviest returns the member with the greatest weight; of several that with the greatest number.
func heaviest(sites []site, d uint32) *member {
	best, most := 0, uint32(0)
	for i := range sites {
		// The compiler is content with few instructions here: the greatest so far is rarely surpassed.
		if w := (multiplier*2)*(sites[i].seed^d) + increment*2; w >= most {
			if w > most || sites[i].id > sites[best].id {
				best, most = i, w
			}
		}
	}
	return sites[best].node
}
