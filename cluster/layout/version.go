package layout

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Version is a version of Zeek. What differs between versions is told by its methods, each of which names
// the section of the specification of clusters. The zero Version stands for none.
type Version struct {
	Major, Minor, Patch uint8
}

// The oldest version that this module works with, and the newest it knows.
var (
	Oldest = Version{Major: 5}
	Newest = Version{Major: 9}
)

// errVersion says what a version looks like.
var errVersion = errors.New("not a version of Zeek, want one such as 8.2 or 8.2.2")

// ParseVersion parses a version such as "8.2.2" or "7.0". What follows a dash or plus, as in "8.1.0-dev.12", is
// left out, as Zeek's own Version::number does. Versions below [Oldest] are refused.
func ParseVersion(text string) (Version, error) {
	numbers, _, _ := strings.Cut(text, "-")
	numbers, _, _ = strings.Cut(numbers, "+")
	parts := strings.Split(numbers, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return Version{}, fmt.Errorf("%s: %w", quoted(text), errVersion)
	}
	var v Version
	for i, to := range []*uint8{&v.Major, &v.Minor, &v.Patch}[:len(parts)] {
		n, err := strconv.ParseUint(parts[i], 10, 8)
		if err != nil || n > 99 || parts[i][0] == '+' {
			return Version{}, fmt.Errorf("%s: %w", quoted(text), errVersion)
		}
		*to = uint8(n)
	}
	if v.Compare(Oldest) < 0 {
		return Version{}, fmt.Errorf("version %v of Zeek is too old, the oldest that works is %v", v, Oldest)
	}
	return v, nil
}

// String returns the version as in "8.2.2"; a patch of 0 is left out.
func (v Version) String() string {
	if v.Patch == 0 {
		return fmt.Sprintf("%d.%d", v.Major, v.Minor)
	}
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// Compare returns -1, 0 or 1 if v is older than w, the same, or newer.
func (v Version) Compare(w Version) int { return cmp.Compare(v.number(), w.number()) }

// number returns what Zeek has as Version::number.
func (v Version) number() int { return int(v.Major)*10000 + int(v.Minor)*100 + int(v.Patch) }

// atLeast reports whether the version is at least that one, of whatever patch.
func (v Version) atLeast(major, minor uint8) bool {
	return v.Compare(Version{Major: major, Minor: minor}) >= 0
}

// RetryInterval returns the default of Cluster::retry_interval: a minute, from 7.2 a second (sections 1.1, 1.4).
func (v Version) RetryInterval() time.Duration {
	if v.atLeast(7, 2) {
		return time.Second
	}
	return time.Minute
}

// BrokerRetry returns the default of Broker::default_connect_retry and Broker::default_listen_retry: 30 seconds,
// from 7.2 one second (section 1.4).
func (v Version) BrokerRetry() time.Duration {
	if v.atLeast(7, 2) {
		return time.Second
	}
	return 30 * time.Second
}

// HasTimeMachine reports whether there is the type TIME_MACHINE, its topic, and Node$time_machine: up to 7.0
// (section 1.4).
func (v Version) HasTimeMachine() bool { return !v.atLeast(7, 1) }

// HasInterface reports whether there are Node$interface and Node$lb_filter: up to 7.0 (section 1.4).
func (v Version) HasInterface() bool { return !v.atLeast(7, 1) }

// HasMetricsPort reports whether there is Node$metrics_port: from 7.0 (section 1.4).
func (v Version) HasMetricsPort() bool { return v.atLeast(7, 0) }

// HasWorkerCount reports whether there is Cluster::worker_count: up to 6.0 (section 1.1).
func (v Version) HasWorkerCount() bool { return !v.atLeast(6, 1) }

// HasNodeCounts reports whether there are Cluster::broadcast_topics, get_node_count and get_active_node_count:
// from 6.0 (section 1.4).
func (v Version) HasNodeCounts() bool { return v.atLeast(6, 0) }

// BrokerIsDefault reports whether a cluster speaks Broker's protocol unless told otherwise. From 8.1 it has to
// load policy/frameworks/cluster/backend/broker, and zeekctl.cfg to say ClusterBackend = Broker (sections 1.2, 1.4).
func (v Version) BrokerIsDefault() bool { return !v.atLeast(8, 1) }

// SubscribesTwins reports whether nodes subscribe, besides each prefix under "zeek/", to the one under "bro/": up
// to 6.1 (sections 1.4, 3.4).
func (v Version) SubscribesTwins() bool { return !v.atLeast(6, 2) }

// SubscribesTables reports whether every node subscribes to "zeek/table/": from 8.2 (section 3.2).
func (v Version) SubscribesTables() bool { return v.atLeast(8, 2) }

// ControlReplyTopic returns the topic to which a node of that name publishes its answer to a control request of a
// kind, such as "id_value": its own from 8.0, one for all before (section 3.2).
func (v Version) ControlReplyTopic(kind, name string) string {
	topic := "zeek/control/" + kind + "_response"
	if v.atLeast(8, 0) {
		topic += "/" + name
	}
	return topic
}

// LogsTopicLast reports whether a node that handles logs subscribes to "zeek/logs/" after all else: from 7.1. Up to
// 7.0 it does so right after the topic of its role (section 3.3).
func (v Version) LogsTopicLast() bool { return v.atLeast(7, 1) }

// HashesBareStrings reports whether the hash of pools sees only the bytes of a string, which gives other site ids
// and other nodes for string keys: from 7.1. Up to 7.0 it sees type and length before them (section 7.3).
func (v Version) HashesBareStrings() bool { return v.atLeast(7, 1) }

// ZeekctlPort returns the default of ZeekPort in zeekctl.cfg: 47760, from 5.2 27760 (section 2.5).
func (v Version) ZeekctlPort() uint16 {
	if v.atLeast(5, 2) {
		return 27760
	}
	return 47760
}

// ZeekctlManagerFirst reports whether zeekctl gives the manager a port before the loggers: from 7.0 (section 2.5).
func (v Version) ZeekctlManagerFirst() bool { return v.atLeast(7, 0) }
