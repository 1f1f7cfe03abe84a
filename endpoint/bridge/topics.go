package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A Map says how topics change when they cross: those that begin with From begin with To then. In what
// follows, separators become those of the other side, if the last separator in From is a slash and that
// in To a dot, or the other way round; otherwise it stays as it is. A topic that already has the other
// separator does not find its way back: zeek/cluster/node/a.b/ becomes zeek.cluster.node.a.b.
type Map struct{ From, To string }

// ClusterTopics maps the native topics of Zeek's cluster framework to those of a cluster that uses ZeroMQ.
func ClusterTopics() Map { return Map{From: "zeek/cluster/", To: "zeek.cluster."} }

// Reverse returns the map for the other direction.
func (m Map) Reverse() Map { return Map{From: m.To, To: m.From} }

// apply returns what becomes of a topic that begins with From.
func (m Map) apply(topic string) string {
	rest := topic[len(m.From):]
	if from, to := separator(m.From), separator(m.To); from != "" && to != "" {
		rest = strings.ReplaceAll(rest, from, to)
	}
	return m.To + rest
}

// separator returns the last separator in a prefix, "" if there is none.
func separator(prefix string) string {
	if i := strings.LastIndexAny(prefix, "/."); i >= 0 {
		return prefix[i : i+1]
	}
	return ""
}

// A mapper applies the maps of one direction. It remembers the last topic, which very often is the next
// one's, too.
type mapper struct {
	maps     []Map // the longest prefix first
	from, to string
	ok       bool
	bridge   wire.EndpointID // whose beacon it is, zero if it is none
}

// newMapper checks the maps of a direction.
func newMapper(maps []Map) (*mapper, error) {
	sorted := slices.Clone(maps)
	slices.SortFunc(sorted, func(a, b Map) int {
		return cmp.Or(cmp.Compare(len(b.From), len(a.From)), strings.Compare(a.From, b.From))
	})
	var err error
	for i, m := range sorted {
		if i > 0 && sorted[i-1].From == m.From {
			err = errors.Join(err, fmt.Errorf("topics under %q are mapped twice, to %q and to %q", m.From, sorted[i-1].To, m.To))
		}
		if max(len(m.From), len(m.To)) > wire.MaxTopicLen {
			err = errors.Join(err, fmt.Errorf("map of topics with %d and %d bytes, at most %d", len(m.From), len(m.To), wire.MaxTopicLen))
		}
	}
	m := &mapper{maps: sorted}
	m.ok = m.find("")
	return m, err
}

// topic returns what becomes of a topic. ok is false if no map has it.
func (m *mapper) topic(topic string) (mapped string, ok bool) {
	if topic != m.from {
		m.ok = m.find(topic)
	}
	return m.to, m.ok
}

// beacon tells whether a topic is that of the beacons of a bridge, and of which.
func (m *mapper) beacon(topic string) (bridge wire.EndpointID, ok bool) {
	if topic != m.from {
		m.ok = m.find(topic)
	}
	return m.bridge, !m.bridge.IsZero()
}

func (m *mapper) find(topic string) bool {
	m.from, m.to, m.bridge = topic, "", wire.EndpointID{}
	if i := strings.LastIndex(topic, beaconMark); i >= 0 {
		m.bridge, _ = wire.ParseEndpointID(topic[i+len(beaconMark):])
	}
	for _, candidate := range m.maps {
		if strings.HasPrefix(topic, candidate.From) {
			m.to = candidate.apply(topic)
			return true
		}
	}
	return false
}

// prefixes returns what is to be subscribed to.
func (m *mapper) prefixes() []string {
	prefixes := make([]string, len(m.maps))
	for i := range m.maps {
		prefixes[i] = m.maps[i].From
	}
	return prefixes
}
