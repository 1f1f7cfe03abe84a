package membership

import (
	"strings"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire"
)

// LogsTopic begins the topics of logs (CLUSTER.md section 3.2).
const LogsTopic = "zeek/logs/"

// tablesTopic begins the topics of tables that publish their changes.
const tablesTopic = "zeek/table/"

// NodeTopic returns the topic on which the node of that name alone listens.
func NodeTopic(l *layout.Layout, name string) string { return l.Options.NodeTopicPrefix + name + "/" }

// NodeIDTopic returns the topic on which the instance with an id alone listens.
func NodeIDTopic(l *layout.Layout, id wire.EndpointID) string {
	return l.Options.NodeIDTopicPrefix + id.String() + "/"
}

// roleTopic returns the topic on which all nodes of a type listen; "" if there is none.
func roleTopic(l *layout.Layout, t layout.NodeType) string {
	o := &l.Options
	switch t {
	case layout.Logger:
		return o.LoggerTopic
	case layout.Manager:
		return o.ManagerTopic
	case layout.Proxy:
		return o.ProxyTopic
	case layout.Worker:
		return o.WorkerTopic
	case layout.TimeMachine:
		return o.TimeMachineTopic
	}
	return ""
}

// BroadcastTopics returns the topics that reach all nodes.
func BroadcastTopics(l *layout.Layout) []string {
	topics := []string{l.Options.LoggerTopic, l.Options.ManagerTopic, l.Options.ProxyTopic, l.Options.WorkerTopic}
	if l.Options.TimeMachineTopic != "" {
		topics = append(topics, l.Options.TimeMachineTopic)
	}
	return topics
}

// HandlesLogs tells whether a node writes the logs of others.
func HandlesLogs(l *layout.Layout, n layout.Node) bool {
	return n.Type == layout.Logger || n.Type == layout.Manager && l.Options.ManagerIsLogger
}

// Subscriptions returns what this node subscribes to before it listens or dials, in Zeek's order
// (CLUSTER.md section 3.3). pools are the topics of the pools that it is a member of, in their order. All of
// it must be in the filter of the handshake: a peer says hello at once, and only to who listens.
func (m *Machine) Subscriptions(pools []string) []string {
	l := m.layout
	topics := append([]string(nil), pools...)
	if role := roleTopic(l, m.self.Type); role != "" {
		topics = append(topics, role)
	}
	logs := HandlesLogs(l, m.self)
	if logs && !l.Version.LogsTopicLast() {
		topics = append(topics, LogsTopic)
	}
	topics = append(topics, NodeIDTopic(l, m.id), NodeTopic(l, m.self.Name))
	if logs && l.Version.LogsTopicLast() {
		topics = append(topics, LogsTopic)
	}
	if l.Version.SubscribesTables() {
		topics = append(topics, tablesTopic)
	}
	if l.Version.SubscribesTwins() {
		for _, topic := range topics {
			if rest, ok := strings.CutPrefix(topic, "zeek/"); ok {
				topics = append(topics, "bro/"+rest)
			}
		}
	}
	return topics
}
