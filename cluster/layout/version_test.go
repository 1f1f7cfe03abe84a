package layout

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustVersion(t testing.TB, text string) Version {
	t.Helper()
	v, err := ParseVersion(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]Version{
		"5.0": {5, 0, 0}, "7.0": {7, 0, 0}, "8.2.2": {8, 2, 2}, "8.1.0-dev.123": {8, 1, 0}, "8.0.0-rc1": {8, 0, 0},
		"8.2+git": {8, 2, 0}, "9.0": {9, 0, 0}, "12.34.56": {12, 34, 56},
	} {
		if got := mustVersion(t, text); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	for v, want := range map[Version]string{{8, 2, 2}: "8.2.2", {7, 0, 0}: "7.0"} {
		if v.String() != want {
			t.Errorf("%v, want %s", v, want)
		}
	}
	for text, want := range map[string]string{
		"":          `"": not a version of Zeek, want one such as 8.2 or 8.2.2`,
		"8":         `"8": not a version of Zeek`,
		"8.":        `"8.": not a version of Zeek`,
		"8.x":       `"8.x": not a version of Zeek`,
		"8.+1":      `"8.+1": not a version of Zeek`,
		"8.2.2.2":   `"8.2.2.2": not a version of Zeek`,
		"-8.2":      `"-8.2": not a version of Zeek`,
		"8.100":     `"8.100": not a version of Zeek`,
		"8.2.99999": `"8.2.99999": not a version of Zeek`,
		"4.2.3":     "version 4.2.3 of Zeek is too old, the oldest that works is 5.0",
	} {
		if _, err := ParseVersion(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if Newest.Compare(Oldest) != 1 || Oldest.Compare(Newest) != -1 || Oldest.Compare(Version{Major: 5}) != 0 {
		t.Error("versions are not in order")
	}
}

// The tables of sections 1.4, 2.5, 3, 4.3, 7 and 12.2, a column a version.
func TestVersions(t *testing.T) {
	const sec = time.Second
	versions := []string{"5.0", "5.1", "5.2.2", "6.0.9", "6.1", "6.2.1", "7.0.11", "7.1", "7.2", "8.0.10", "8.1", "8.2.2", "9.0"}
	yes := func(row string) (all []any) {
		for _, c := range strings.ReplaceAll(row, " ", "") {
			all = append(all, c == 'x')
		}
		return all
	}
	upTo := func(n int, low, high any) (all []any) { // n versions have low
		for i := range versions {
			if i < n {
				all = append(all, low)
			} else {
				all = append(all, high)
			}
		}
		return all
	}
	for _, row := range []struct {
		what string
		of   func(Version) any
		want []any
	}{
		{"RetryInterval", func(v Version) any { return v.RetryInterval() }, upTo(8, 60*sec, sec)},
		{"BrokerRetry", func(v Version) any { return v.BrokerRetry() }, upTo(8, 30*sec, sec)},
		{"HasTimeMachine", func(v Version) any { return v.HasTimeMachine() }, yes("xxx xxx x.. ....")},
		{"HasInterface", func(v Version) any { return v.HasInterface() }, yes("xxx xxx x.. ....")},
		{"HasMetricsPort", func(v Version) any { return v.HasMetricsPort() }, yes("... ... xxx xxxx")},
		{"HasWorkerCount", func(v Version) any { return v.HasWorkerCount() }, yes("xxx x.. ... ....")},
		{"HasNodeCounts", func(v Version) any { return v.HasNodeCounts() }, yes("... xxx xxx xxxx")},
		{"BrokerIsDefault", func(v Version) any { return v.BrokerIsDefault() }, yes("xxx xxx xxx x...")},
		{"SubscribesTwins", func(v Version) any { return v.SubscribesTwins() }, yes("xxx xx. ... ....")},
		{"SubscribesTables", func(v Version) any { return v.SubscribesTables() }, yes("... ... ... ..xx")},
		{"ControlReplyTopic", func(v Version) any { return v.ControlReplyTopic("id_value", "worker-1") }, upTo(9, "zeek/control/id_value_response", "zeek/control/id_value_response/worker-1")},
		{"LogsTopicLast", func(v Version) any { return v.LogsTopicLast() }, yes("... ... .xx xxxx")},
		{"HashesBareStrings", func(v Version) any { return v.HashesBareStrings() }, yes("... ... .xx xxxx")},
		{"ZeekctlPort", func(v Version) any { return v.ZeekctlPort() }, upTo(2, uint16(47760), uint16(27760))},
		{"ZeekctlManagerFirst", func(v Version) any { return v.ZeekctlManagerFirst() }, yes("... ... xxx xxxx")},
		{"TimeMachineTopic", func(v Version) any { return DefaultOptions(v).TimeMachineTopic }, upTo(7, "zeek/cluster/time_machine", "")},
	} {
		for i, text := range versions {
			if got := row.of(mustVersion(t, text)); got != row.want[i] {
				t.Errorf("%s of %s is %v, want %v", row.what, text, got, row.want[i])
			}
		}
	}
}

// Every option has its name and default of section 1.1.
func TestDefaultOptions(t *testing.T) {
	got := make(map[string]string)
	o := DefaultOptions(Version{Major: 7})
	for i := range optionTable {
		entry := &optionTable[i]
		got[entry.module+"::"+entry.name] = nativeValue(entry.field(&o))
	}
	want := map[string]string{
		"Cluster::default_backend":            "memory",
		"Cluster::default_master_node":        `""`,
		"Cluster::default_persistent_backend": "sqlite",
		"Cluster::default_store_dir":          `""`,
		"Cluster::enable_round_robin_logging": "true",
		"Cluster::logger_topic":               "zeek/cluster/logger",
		"Cluster::manager_is_logger":          "true",
		"Cluster::manager_topic":              "zeek/cluster/manager",
		"Cluster::node":                       `""`,
		"Cluster::node_topic_prefix":          "zeek/cluster/node/",
		"Cluster::nodeid_topic_prefix":        "zeek/cluster/nodeid/",
		"Cluster::proxy_topic":                "zeek/cluster/proxy",
		"Cluster::retry_interval":             "1m0s",
		"Cluster::time_machine_topic":         "zeek/cluster/time_machine",
		"Cluster::worker_topic":               "zeek/cluster/worker",
		"Broker::default_listen_address":      `""`,
		"Broker::default_listen_retry":        "30s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConnectRetry(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, 1: time.Second, 999 * time.Millisecond: time.Second, time.Second: time.Second,
		1999 * time.Millisecond: time.Second, time.Minute: time.Minute,
	} {
		if got := (&Options{RetryInterval: in}).ConnectRetry(); got != want {
			t.Errorf("%v: %v, want %v", in, got, want)
		}
	}
}
