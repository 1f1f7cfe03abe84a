package prom

import (
	"cmp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// DefaultMaxPeers is how many peers have series of their own at the most.
const DefaultMaxPeers = 100

// OtherPeers is the label of the peers that have none of their own, taken together.
const OtherPeers = "other"

type options struct {
	maxPeers int
	topics   int
	label    func(endpoint.PeerInfo) string
	others   []prometheus.Collector
}

// An Option changes a collector.
type Option func(*options)

// WithMaxPeers bounds how many peers have series of their own: 100 by default. Peers above that are
// taken together under the label "other" for as long as they are peers; zero is none by name.
func WithMaxPeers(n int) Option { return func(o *options) { o.maxPeers = max(n, 0) } }

// WithTopics adds the traffic of the k topics with the most messages. By default there is none, since
// in a Zeek cluster many topics hold the id of a node, and come and go with it.
func WithTopics(k int) Option { return func(o *options) { o.topics = max(k, 0) } }

// WithPeerLabel makes the label of a peer, which is its id otherwise: the host of its address, say,
// if there is one node on each. Peers of the same label are added up.
func WithPeerLabel(label func(endpoint.PeerInfo) string) Option {
	return func(o *options) { o.label = label }
}

// WithCollectors makes [Handler] serve what these collect, too, such as the metrics of a store.
func WithCollectors(c ...prometheus.Collector) Option {
	return func(o *options) { o.others = append(o.others, c...) }
}

var (
	directions = []string{"in", "out"}
	reasons    = allReasons()
)

// allReasons returns all reasons of drops that the endpoint knows.
func allReasons() (all []endpoint.DropReason) {
	const none = "unknown"
	for r := endpoint.DropReason(0); r.String() != none; r++ {
		all = append(all, r)
	}
	return all
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	connections   = desc("broker_connections", "Number of active network connections.")
	processed     = desc("broker_processed_messages_total", "Total number of processed messages.", "type")
	info          = desc("zeekpeer_info", "The node: its id and the version of the program.", "id", "version")
	frames        = desc("zeekpeer_frames_total", "Frames received (in) and sent (out).", "direction")
	bytes         = desc("zeekpeer_bytes_total", "Bytes of frames received (in) and sent (out).", "direction")
	dropped       = desc("zeekpeer_dropped_messages_total", "Messages that were lost, by reason.", "reason")
	queued        = desc("zeekpeer_queued_messages", "Messages that wait to be sent.")
	queuedBytes   = desc("zeekpeer_queued_bytes", "Memory of the messages that wait to be sent.")
	receiving     = desc("zeekpeer_receive_bytes", "Memory in which large messages are being received.")
	peeringsEnded = desc("zeekpeer_peerings_ended_total", "Peerings that were lost or removed.")
	refused       = desc("zeekpeer_connections_refused_total", "Connections that were accepted and did not become peerings.")
	dialsFailed   = desc("zeekpeer_dials_failed_total", "Attempts to dial a node that did not lead to a peering.")

	peerFrames      = desc("zeekpeer_peer_frames_total", "Frames received from (in) and sent to (out) a peer.", "peer", "direction")
	peerBytes       = desc("zeekpeer_peer_bytes_total", "Bytes of frames received from (in) and sent to (out) a peer.", "peer", "direction")
	peerDropped     = desc("zeekpeer_peer_dropped_messages_total", "Messages that were lost with a peer, by reason.", "peer", "reason")
	peerQueued      = desc("zeekpeer_peer_queued_messages", "Messages that wait to be sent to a peer.", "peer")
	peerQueuedBytes = desc("zeekpeer_peer_queued_bytes", "Memory of the messages that wait to be sent to a peer.", "peer")
	peerRTT         = desc("zeekpeer_peer_rtt_seconds", "Round trip of the last ping to a peer.", "peer")

	topicMessages = desc("zeekpeer_topic_messages_total", "Messages received (in) and published (out) under a topic.", "topic", "direction")
	topicBytes    = desc("zeekpeer_topic_bytes_total", "Bytes received (in) and published (out) under a topic.", "topic", "direction")
)

// A collector reads the metrics of an endpoint.
type collector struct {
	ep      *endpoint.Endpoint
	options options

	mu    sync.Mutex
	peers attribution
}

// NewCollector returns a collector of the metrics of a node. One registry can hold that of one node.
func NewCollector(ep *endpoint.Endpoint, opts ...Option) prometheus.Collector {
	c := &collector{ep: ep, options: options{maxPeers: DefaultMaxPeers}}
	for _, opt := range opts {
		opt(&c.options)
	}
	if c.options.label == nil {
		c.options.label = func(p endpoint.PeerInfo) string { return p.ID.String() }
	}
	c.peers.max = c.options.maxPeers
	return c
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		connections, processed, info, frames, bytes, dropped, queued, queuedBytes, receiving, peeringsEnded, refused, dialsFailed,
		peerFrames, peerBytes, peerDropped, peerQueued, peerQueuedBytes, peerRTT,
	} {
		ch <- d
	}
	if c.options.topics > 0 {
		ch <- topicMessages
		ch <- topicBytes
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := metrics(ch)
	// Peers first: then the totals hold all that the peers have.
	peers := c.ep.Peers()
	s := c.ep.Stats()
	m.gauge(connections, float64(s.Peers))
	for t, n := range s.Processed {
		m.counter(processed, n, strings.ReplaceAll(t.String(), "_", "-"))
	}
	m.gauge(info, 1, c.ep.ID().String(), version())
	total := countersOf(s.FramesIn, s.BytesIn, s.FramesOut, s.BytesOut, s.Dropped)
	m.traffic(frames, bytes, &total)
	for i, reason := range reasons {
		m.counter(dropped, total.dropped[i], reason.String())
	}
	m.gauge(queued, float64(s.Queued))
	m.gauge(queuedBytes, float64(s.QueuedBytes))
	m.gauge(receiving, float64(s.ReceiveBytes))
	m.counter(peeringsEnded, s.PeeringsEnded)
	m.counter(refused, s.Refused)
	m.counter(dialsFailed, s.DialsFailed)
	for _, p := range c.peers.update(peers, &total, c.options.label) {
		m.peer(p)
	}
	if c.options.topics > 0 {
		for _, t := range topTopics(c.ep.Topics(), c.options.topics) {
			topic := string(data.AppendPrintable(nil, t.Topic))
			m.counter(topicMessages, t.MessagesIn, topic, "in")
			m.counter(topicMessages, t.MessagesOut, topic, "out")
			m.counter(topicBytes, t.BytesIn, topic, "in")
			m.counter(topicBytes, t.BytesOut, topic, "out")
		}
	}
}

// topTopics returns the k topics with the most messages.
func topTopics(all []endpoint.TopicTraffic, k int) []endpoint.TopicTraffic {
	slices.SortStableFunc(all, func(a, b endpoint.TopicTraffic) int {
		return cmp.Compare(b.MessagesIn+b.MessagesOut, a.MessagesIn+a.MessagesOut)
	})
	return all[:min(k, len(all))]
}

// metrics sends metrics to whoever collects.
type metrics chan<- prometheus.Metric

func (m metrics) gauge(d *prometheus.Desc, v float64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (m metrics) counter(d *prometheus.Desc, n uint64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (m metrics) traffic(frames, bytes *prometheus.Desc, c *counters, labels ...string) {
	for i, direction := range directions {
		at := append(slices.Clone(labels), direction)
		m.counter(frames, c.frames[i], at...)
		m.counter(bytes, c.bytes[i], at...)
	}
}

func (m metrics) peer(p *series) {
	m.traffic(peerFrames, peerBytes, &p.counters, p.label)
	for i, reason := range reasons {
		if n := p.counters.dropped[i]; n > 0 {
			m.counter(peerDropped, n, p.label, reason.String())
		}
	}
	m.gauge(peerQueued, float64(p.queued), p.label)
	m.gauge(peerQueuedBytes, float64(p.queuedBytes), p.label)
	if p.rtt > 0 && p.label != OtherPeers {
		m.gauge(peerRTT, p.rtt.Seconds(), p.label)
	}
}

// version returns the version of the program that runs the node.
func version() string {
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
		return build.Main.Version
	}
	return "unknown"
}
