package roles

import (
	"maps"
	"sync"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// State is what a role knows and has counted. Its zero value is ready for [WithState]. It may be used by many
// goroutines.
type State struct {
	mu          sync.Mutex
	memories    []func() MemoryStatus
	rows        []*logStream
	options     map[string]optionValue
	optionBytes int
	ignored     map[string]uint64
	logs        logCounts
	answered    uint64
	relayed     uint64
	started     bool
}

// begin makes the state ready for a role.
func (s *State) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options, s.ignored, s.logs.streams = make(map[string]optionValue), make(map[string]uint64), make(map[string]*LogsStatus)
}

// Status is a State at one moment.
type Status struct {
	Memories    []MemoryStatus        `json:"memories,omitempty"`     // of a proxy
	RowsWritten map[string]uint64     `json:"rows_written,omitempty"` // by a proxy, by stream
	Options     map[string]string     `json:"options,omitempty"`      // what Config::cluster_set_option has set, as text, or how long that is
	Logs        map[string]LogsStatus `json:"logs,omitempty"`         // received by a logger, by stream
	LogErrors   uint64                `json:"log_errors"`             // messages with logs that cannot be read
	Ignored     map[string]uint64     `json:"ignored,omitempty"`      // events with which this node has rightly nothing to do
	Answered    uint64                `json:"answered"`               // requests
	Relayed     uint64                `json:"relayed"`                // events passed on
	Started     bool                  `json:"started"`                // the cluster said so, see [WithExperimental]
}

// MemoryStatus says how full the memory of a proxy is.
type MemoryStatus struct {
	Name      string `json:"name"`
	Entries   int    `json:"entries"`
	Bytes     int    `json:"bytes"`
	Forgotten uint64 `json:"forgotten"` // entries that went early, to make room
}

// LogsStatus counts what came of one log.
type LogsStatus struct {
	Creates uint64 `json:"creates"`
	Rows    uint64 `json:"rows"`
}

// Status returns the state.
func (s *State) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		Options: make(map[string]string), Ignored: maps.Clone(s.ignored), Answered: s.answered, Relayed: s.relayed, Started: s.started,
		RowsWritten: make(map[string]uint64), Logs: make(map[string]LogsStatus), LogErrors: s.logs.errors,
	}
	for _, memory := range s.memories {
		st.Memories = append(st.Memories, memory())
	}
	for _, log := range s.rows {
		st.RowsWritten[log.stream] = log.rows
	}
	for stream, counts := range s.logs.streams {
		st.Logs[stream] = *counts
	}
	for name, o := range s.options {
		st.Options[name] = o.brief()
	}
	return st
}

// Option returns the value that Config::cluster_set_option has last given to an option, and what was said of where
// that comes from.
func (s *State) Option(name string) (value data.Value, location string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.options[name]
	return o.value, o.location, ok
}

// watch makes the status show a memory, and the log that is written from it.
func (s *State) watch(memory func() MemoryStatus, log *logStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memories, s.rows = append(s.memories, memory), append(s.rows, log)
}

// count adds one to a counter.
func (s *State) count(n *uint64) {
	s.mu.Lock()
	*n++
	s.mu.Unlock()
}
