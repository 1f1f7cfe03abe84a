package layout

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Backend is where the master of a store keeps it.
type Backend uint8

// The backends. Zeek has the first two; Pebble is an extension, for stores whose master is not on a Zeek node.
const (
	Memory Backend = iota
	SQLite
	Pebble
)

var backendNames = [...]string{"memory", "sqlite", "pebble"}

// String returns the backend as Zeek writes it, such as "Broker::SQLITE".
func (b Backend) String() string { return "Broker::" + strings.ToUpper(b.Word()) }

// Word returns the backend as a native layout has it, such as "sqlite".
func (b Backend) Word() string {
	if int(b) < len(backendNames) {
		return backendNames[b]
	}
	return "backend_" + strconv.Itoa(int(b))
}

func parseBackend(word string) (Backend, bool) {
	i := slices.Index(backendNames[:], word)
	return Backend(max(i, 0)), i >= 0
}

// Options are those of the cluster framework under their names in Zeek (section 1.1), of module Cluster unless said
// otherwise. The option nodes is [Layout.Nodes], and stores is [Layout.Stores].
type Options struct {
	DefaultBackend           Backend       // default_backend: of stores that do not say
	DefaultMasterNode        string        // default_master_node: who has the masters; "": the manager
	DefaultPersistentBackend Backend       // default_persistent_backend: instead of Memory, for persistent stores
	DefaultStoreDir          string        // default_store_dir: of files of stores that do not say
	EnableRoundRobinLogging  bool          // enable_round_robin_logging: logs go to the loggers in turn
	LoggerTopic              string        // logger_topic
	ManagerIsLogger          bool          // manager_is_logger: the manager receives logs and writes them
	ManagerTopic             string        // manager_topic
	Node                     string        // node: the name of this process, "" for none
	NodeTopicPrefix          string        // node_topic_prefix: topics of nodes by name, ends in /
	NodeIDTopicPrefix        string        // nodeid_topic_prefix: topics of nodes by id, ends in /
	ProxyTopic               string        // proxy_topic
	RetryInterval            time.Duration // retry_interval; see [Options.ConnectRetry]
	TimeMachineTopic         string        // time_machine_topic: up to 7.0, "" from 7.1
	WorkerTopic              string        // worker_topic
	DefaultListenAddress     string        // Broker::default_listen_address: where nodes listen, "" for everywhere
	DefaultListenRetry       time.Duration // Broker::default_listen_retry: pause after a failed attempt to listen, 0: none
}

// DefaultOptions returns what holds in a version if nobody says otherwise.
func DefaultOptions(v Version) Options {
	o := Options{
		DefaultPersistentBackend: SQLite,
		EnableRoundRobinLogging:  true,
		LoggerTopic:              "zeek/cluster/logger",
		ManagerIsLogger:          true,
		ManagerTopic:             "zeek/cluster/manager",
		NodeTopicPrefix:          "zeek/cluster/node/",
		NodeIDTopicPrefix:        "zeek/cluster/nodeid/",
		ProxyTopic:               "zeek/cluster/proxy",
		RetryInterval:            v.RetryInterval(),
		WorkerTopic:              "zeek/cluster/worker",
		DefaultListenRetry:       v.BrokerRetry(),
	}
	if v.HasTimeMachine() {
		o.TimeMachineTopic = "zeek/cluster/time_machine"
	}
	return o
}

// ConnectRetry returns the pause between attempts to connect, in whole seconds as Zeek makes them of RetryInterval:
// what is between 0 and 1 is 1 (section 1.3). 0 means that there is one attempt only.
func (o *Options) ConnectRetry() time.Duration {
	switch r := o.RetryInterval; {
	case r <= 0:
		return 0
	case r < time.Second:
		return time.Second
	default:
		return r.Truncate(time.Second)
	}
}

// An option is a field of Options with its name in Zeek.
type option struct {
	module, name string
	field        func(*Options) any // *string, *bool, *Backend or *time.Duration
	topic        bool               // it is a topic, or the beginning of one
}

var optionTable = []option{
	{"Cluster", "default_backend", func(o *Options) any { return &o.DefaultBackend }, false},
	{"Cluster", "default_master_node", func(o *Options) any { return &o.DefaultMasterNode }, false},
	{"Cluster", "default_persistent_backend", func(o *Options) any { return &o.DefaultPersistentBackend }, false},
	{"Cluster", "default_store_dir", func(o *Options) any { return &o.DefaultStoreDir }, false},
	{"Cluster", "enable_round_robin_logging", func(o *Options) any { return &o.EnableRoundRobinLogging }, false},
	{"Cluster", "logger_topic", func(o *Options) any { return &o.LoggerTopic }, true},
	{"Cluster", "manager_is_logger", func(o *Options) any { return &o.ManagerIsLogger }, false},
	{"Cluster", "manager_topic", func(o *Options) any { return &o.ManagerTopic }, true},
	{"Cluster", "node", func(o *Options) any { return &o.Node }, false},
	{"Cluster", "node_topic_prefix", func(o *Options) any { return &o.NodeTopicPrefix }, true},
	{"Cluster", "nodeid_topic_prefix", func(o *Options) any { return &o.NodeIDTopicPrefix }, true},
	{"Cluster", "proxy_topic", func(o *Options) any { return &o.ProxyTopic }, true},
	{"Cluster", "retry_interval", func(o *Options) any { return &o.RetryInterval }, false},
	{"Cluster", "time_machine_topic", func(o *Options) any { return &o.TimeMachineTopic }, true},
	{"Cluster", "worker_topic", func(o *Options) any { return &o.WorkerTopic }, true},
	{"Broker", "default_listen_address", func(o *Options) any { return &o.DefaultListenAddress }, false},
	{"Broker", "default_listen_retry", func(o *Options) any { return &o.DefaultListenRetry }, false},
}

// findOption returns the option of a full name in Zeek, such as "Cluster::node", or nil.
func findOption(full string) *option {
	for i := range optionTable {
		if o := &optionTable[i]; o.module+"::"+o.name == full {
			return o
		}
	}
	return nil
}

// A StoreInfo is an entry of Cluster::stores: how a store is created (section 8). The handle, and whether the master
// is here, which Zeek keeps there too, are no part of a layout.
type StoreInfo struct {
	Name                        string
	MasterNode                  string // who has the master; "": the manager
	Backend                     Backend
	Path                        string // of its file or directory; "": see [Layout.Store]
	CloneResyncInterval         time.Duration
	CloneStaleInterval          time.Duration
	CloneMutationBufferInterval time.Duration
}

// defaultStore returns the entry of a store that has none.
func (o *Options) defaultStore(name string) StoreInfo {
	return StoreInfo{
		Name: name, MasterNode: o.DefaultMasterNode, Backend: o.DefaultBackend,
		CloneResyncInterval: 10 * time.Second, CloneStaleInterval: 5 * time.Minute, CloneMutationBufferInterval: 2 * time.Minute,
	}
}

// The units of Zeek's intervals.
var units = map[string]time.Duration{
	"usec": time.Microsecond, "msec": time.Millisecond, "sec": time.Second, "min": time.Minute, "hr": time.Hour, "day": 24 * time.Hour,
}

// interval returns so many units, if that is a time that a Duration holds.
func interval(n float64, unit time.Duration) (time.Duration, bool) {
	d := n * float64(unit)
	if math.IsNaN(d) || math.Abs(d) > 1<<62 {
		return 0, false
	}
	return time.Duration(math.Round(d)), true
}

// parseInterval parses an interval as Go writes it, such as "1m30s", or as Zeek does, such as "90 secs".
func parseInterval(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	unit := units[strings.TrimSuffix(text[len(number):], "s")]
	n, err := strconv.ParseFloat(strings.TrimRight(number, " \t"), 64)
	if d, ok := interval(n, unit); err == nil && ok && unit > 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%s: not an interval, want one such as 1s, 1m30s or 2 min", quoted(text))
}

// Store returns how the store of that name is created, as Cluster::create_store computes it: its entry in Stores or
// the defaults, with the master's node and, unless it is in memory only, a path. persistent asks for a store that
// outlives its master. The error says that no node can have the master.
func (l *Layout) Store(name string, persistent bool) (StoreInfo, error) {
	s := l.Options.defaultStore(name)
	if i := slices.IndexFunc(l.Stores, func(s StoreInfo) bool { return s.Name == name }); i >= 0 {
		s = l.Stores[i]
	}
	if persistent && s.Backend == Memory {
		s.Backend = l.Options.DefaultPersistentBackend
	}
	if s.Backend != Memory && s.Path == "" {
		s.Path = name + "." + s.Backend.Word()
		if dir := l.Options.DefaultStoreDir; dir != "" {
			s.Path = dir + "/" + s.Path
		}
	}
	if s.MasterNode == "" {
		managers := l.Sorted(Manager)
		if len(managers) == 0 {
			return s, fmt.Errorf("store %s: there is no manager to have the master, name a node as default_master_node", quoted(name))
		}
		s.MasterNode = managers[0].Name
	} else if l.Node(s.MasterNode) == nil {
		return s, fmt.Errorf("store %s: its master is to be on %s, which is not a node of the layout", quoted(name), quoted(s.MasterNode))
	}
	return s, nil
}
