package endpoint

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxTrafficTopics bounds how many topics are counted one by one. What comes after them is counted
// together, under [OtherTopics].
const maxTrafficTopics = 1024

// maxTrafficTopic bounds a topic that is counted by itself, since its name is kept.
const maxTrafficTopic = 256

// OtherTopics stands for all topics that are not counted one by one.
const OtherTopics = "(other topics)"

// TopicTraffic is how much was received and published under one topic.
type TopicTraffic struct {
	Topic                 string
	MessagesIn, BytesIn   uint64 // received from peers and allowed, whoever is subscribed
	MessagesOut, BytesOut uint64 // published by this node to anybody, each once, however many receive it
}

// A topicCounter counts the traffic of one topic.
type topicCounter struct{ messagesIn, bytesIn, messagesOut, bytesOut atomic.Uint64 }

func (c *topicCounter) received(messages, bytes int) {
	c.messagesIn.Add(uint64(messages))
	c.bytesIn.Add(uint64(bytes))
}

func (c *topicCounter) published(messages, bytes int) {
	c.messagesOut.Add(uint64(messages))
	c.bytesOut.Add(uint64(bytes))
}

// A trafficTable holds the counters of all topics.
type trafficTable struct {
	mu     sync.Mutex
	topics map[string]*topicCounter
	other  topicCounter
}

// counter returns the counter of a topic. Routes keep it, so this is not on the way of each message.
func (t *trafficTable) counter(topic []byte) *topicCounter {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.topics[string(topic)]
	if c == nil {
		if len(topic) > maxTrafficTopic || len(t.topics) >= maxTrafficTopics {
			return &t.other
		}
		c = new(topicCounter)
		t.topics[string(topic)] = c
	}
	return c
}

// Topics returns how much was received and published under each topic, ordered by topic.
func (e *Endpoint) Topics() []TopicTraffic {
	t := &e.traffic
	t.mu.Lock()
	all := make([]TopicTraffic, 0, len(t.topics)+1)
	for topic, c := range t.topics {
		all = append(all, c.read(topic))
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b TopicTraffic) int { return strings.Compare(a.Topic, b.Topic) })
	if other := t.other.read(OtherTopics); other.MessagesIn+other.MessagesOut > 0 {
		all = append(all, other)
	}
	return all
}

func (c *topicCounter) read(topic string) TopicTraffic {
	return TopicTraffic{topic, c.messagesIn.Load(), c.bytesIn.Load(), c.messagesOut.Load(), c.bytesOut.Load()}
}
