package roles

import (
	"errors"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// maxStreams bounds the logs that are counted one by one; what comes of others is counted together.
const maxStreams = 1024

// otherStreams is where the others are counted.
const otherStreams = "(other streams)"

// maxNesting bounds the batches in batches.
const maxNesting = 8

var (
	errShort   = errors.New("message of less than three elements")
	errNesting = errors.New("batches nest too deep")
)

// logCounts counts what comes of logs, by stream.
type logCounts struct {
	streams map[string]*LogsStatus
	errors  uint64
}

// countLogs makes a logger count rows and logs.
func (r *role) countLogs() {
	r.node.OnLogs(func(from wire.EndpointID, payload []byte) {
		r.mu.Lock()
		defer r.mu.Unlock()
		reader := data.NewReader(payload)
		r.logs.message(&reader, 0)
		if err := reader.Finish(); err != nil {
			if r.logs.errors++; r.logs.errors == 1 {
				r.opts.log.Warn("message with logs cannot be read; more are only counted", "node", r.self.Name, "peer", from, "err", err)
			}
		}
	})
	r.say("counts the rows of logs, and writes none")
}

// message counts a message: [1, type, content].
func (c *logCounts) message(r *data.Reader, nesting int) {
	n := r.Vector()
	switch {
	case n < 3:
		r.Fail(errShort)
	case nesting > maxNesting:
		r.Fail(errNesting)
	}
	r.Count() // the version of the protocol
	switch t := zeek.Type(r.Count()); t {
	case zeek.TypeBatch:
		for range r.Vector() {
			if c.message(r, nesting+1); r.Err() != nil {
				return
			}
		}
	case zeek.TypeLogCreate, zeek.TypeLogWrite:
		slots := r.Vector()
		stream := r.Enum()
		for range slots - 1 {
			if r.Skip(); r.Err() != nil {
				return
			}
		}
		if r.Err() == nil {
			c.add(stream, t)
		}
	default:
		r.Skip()
	}
	for range n - 3 {
		if r.Skip(); r.Err() != nil {
			return
		}
	}
}

// add counts a LogCreate or LogWrite of a stream.
func (c *logCounts) add(stream []byte, t zeek.Type) {
	s := c.streams[string(stream)]
	if s == nil {
		name := string(stream)
		if len(c.streams) >= maxStreams || len(name) > 256 {
			name = otherStreams
		}
		if s = c.streams[name]; s == nil {
			s = new(LogsStatus)
			c.streams[name] = s
		}
	}
	if t == zeek.TypeLogCreate {
		s.Creates++
	} else {
		s.Rows++
	}
}
