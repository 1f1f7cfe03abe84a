package logs

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// maxAhead is how many seconds a row may be ahead of the clock and still count as the newest.
const maxAhead = 24 * 3600

// A refusal is a reason for which something is not written.
type refusal uint8

const (
	refusedMessage refusal = iota
	refusedCreate
	refusedUnknown
	refusedRow

	numRefusals
)

var refusalNames = [numRefusals]string{"message", "LogCreate", "row without LogCreate", "row"}

func (r refusal) String() string { return refusalNames[r] }

// counts counts what a receiver has seen.
type counts struct {
	messages, creates         atomic.Uint64
	held, borrowed, conflicts atomic.Uint64
	refused                   [numRefusals]atomic.Uint64
	lost, late                atomic.Uint64
	waits                     atomic.Uint64
	waited                    atomic.Int64 // nanoseconds
	heldNow, peers            atomic.Int64

	rows, bytes atomic.Uint64

	gone []*output // logs that were closed last; guarded by Receiver.mu
}

// maxGone is how many closed logs are remembered one by one.
const maxGone = 64

// retire keeps in mind what a log that is closed has seen.
func (c *counts) retire(o *output) {
	if c.gone = append(c.gone, o); len(c.gone) > maxGone {
		c.gone = slices.Delete(c.gone, 0, 1)
	}
}

// Status says what a receiver has seen, and how it is.
type Status struct {
	Rows  uint64 `json:"rows"`  // that sinks have taken
	Bytes uint64 `json:"bytes"` // of them, as they came

	Messages uint64 `json:"messages"`
	Creates  uint64 `json:"log_creates"`
	Peers    int    `json:"log_peers"` // that have sent logs, and are there

	// Refused counts what cannot be written, by what it is: messages that cannot be read, LogCreates that ask for what
	// cannot be, rows that do not suit their LogCreate, and rows whose LogCreate did not come.
	Refused map[string]uint64 `json:"refused,omitempty"`
	Lost    uint64            `json:"lost"` // rows that were given up: a sink failed, or never had room
	Late    uint64            `json:"late"` // messages that came after the end

	Held      int    `json:"held"`       // rows that wait for their LogCreate
	HeldTotal uint64 `json:"held_total"` // rows that did
	Borrowed  uint64 `json:"borrowed"`   // logs that peers wrote by what others had announced
	Conflicts uint64 `json:"conflicts"`  // logs of which peers had announced different columns

	Waiting     int64   `json:"waiting_bytes"` // of memory that rows take which wait for sinks
	HeldBack    uint64  `json:"held_back"`     // how often there was no room for more, and peers were held back
	HeldBackFor float64 `json:"held_back_seconds"`

	// LastRow is the network time of the newest row, in seconds since 1970, and Lag how far that is behind the clock;
	// zero while there is none.
	LastRow float64 `json:"last_row"`
	Lag     float64 `json:"lag_seconds"`

	Logs []LogStatus `json:"logs"`
}

// LogStatus says the same of one log.
type LogStatus struct {
	Stream  string  `json:"stream"`
	Path    string  `json:"path"`
	Columns int     `json:"columns"`
	Rows    uint64  `json:"rows"`
	Bytes   uint64  `json:"bytes"`
	Refused uint64  `json:"refused"`
	Lost    uint64  `json:"lost"`
	LastRow float64 `json:"last_row"`
	Closed  bool    `json:"closed,omitempty"`
}

func (o *output) status(closed bool) LogStatus {
	return LogStatus{
		Stream: o.schema.Stream, Path: o.schema.Path, Columns: len(o.schema.Fields), Rows: o.rows.Load(), Bytes: o.bytes.Load(),
		Refused: o.refused.Load(), Lost: o.lost.Load(), LastRow: math.Float64frombits(o.lastTime.Load()), Closed: closed,
	}
}

// Status returns what the receiver has seen so far. It never waits for a sink.
func (r *Receiver) Status() Status {
	c := &r.counts
	s := Status{
		Rows: c.rows.Load(), Bytes: c.bytes.Load(),
		Messages: c.messages.Load(), Creates: c.creates.Load(), Lost: c.lost.Load(), Late: c.late.Load(),
		HeldTotal: c.held.Load(), Borrowed: c.borrowed.Load(), Conflicts: c.conflicts.Load(), Held: int(c.heldNow.Load()), Peers: int(c.peers.Load()),
		Waiting: r.bytes.Load(), HeldBack: c.waits.Load(), HeldBackFor: time.Duration(c.waited.Load()).Seconds(),
		Refused: make(map[string]uint64), Logs: []LogStatus{},
	}
	for why := range numRefusals {
		if n := c.refused[why].Load(); n > 0 {
			s.Refused[why.String()] = n
		}
	}
	r.mu.Lock()
	for _, o := range c.gone {
		s.Logs = append(s.Logs, o.status(true))
	}
	for outs := range maps.Values(r.logs) {
		for _, o := range outs {
			s.Logs = append(s.Logs, o.status(false))
		}
	}
	r.mu.Unlock()
	now := zeek.Seconds(r.opts.Now())
	for _, l := range s.Logs {
		if l.LastRow < now+maxAhead {
			s.LastRow = max(s.LastRow, l.LastRow)
		}
	}
	slices.SortFunc(s.Logs, func(a, b LogStatus) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Columns, b.Columns))
	})
	if s.LastRow > 0 {
		s.Lag = now - s.LastRow
	}
	return s
}
