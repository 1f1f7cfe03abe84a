package admin

import (
	"runtime/debug"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

// Status is what a node says of itself. Counters never go back while the node lives.
type Status struct {
	ID      wire.EndpointID `json:"id"`
	Version string          `json:"version"`
	Now     time.Time       `json:"now"`
	Started time.Time       `json:"started"`
	Stats   Stats           `json:"stats"`
	Peers   []Peer          `json:"peers"`
	Topics  []Topic         `json:"topics"`
}

// Traffic is what went through.
type Traffic struct {
	FramesIn    uint64            `json:"frames_in"`
	BytesIn     uint64            `json:"bytes_in"`
	FramesOut   uint64            `json:"frames_out"`
	BytesOut    uint64            `json:"bytes_out"`
	Queued      int               `json:"queued"`       // messages that wait to be sent now
	QueuedBytes int               `json:"queued_bytes"` // memory that they keep
	Dropped     map[string]uint64 `json:"dropped"`      // by reason
}

// Stats is the sum of all peers, those that are gone included.
type Stats struct {
	Traffic
	PeeringsEnded uint64 `json:"peerings_ended"`
	Refused       uint64 `json:"refused"`      // connections that were accepted and did not become peerings
	DialsFailed   uint64 `json:"dials_failed"` // attempts
	ReceiveBytes  int64  `json:"receive_bytes"`
}

// Peer is one peer.
type Peer struct {
	ID     wire.EndpointID `json:"id"`
	Addr   string          `json:"addr"`
	Names  []string        `json:"names,omitempty"` // of its certificate
	Dialed bool            `json:"dialed"`          // by this node
	Since  time.Time       `json:"since"`
	RTT    time.Duration   `json:"rtt_ns"` // of the last ping; 0 if none was answered yet
	Filter []string        `json:"filter"` // what it is subscribed to
	Traffic
}

// Topic is what was received and published under one topic.
type Topic struct {
	Topic       string `json:"topic"`
	MessagesIn  uint64 `json:"messages_in"`
	BytesIn     uint64 `json:"bytes_in"`
	MessagesOut uint64 `json:"messages_out"`
	BytesOut    uint64 `json:"bytes_out"`
}

// statusOf asks a node.
func statusOf(e *endpoint.Endpoint, started time.Time) Status {
	s := e.Stats()
	status := Status{
		ID: e.ID(), Version: version(), Now: time.Now(), Started: started,
		Stats: Stats{
			Traffic:       traffic(s.FramesIn, s.BytesIn, s.FramesOut, s.BytesOut, s.Queued, s.QueuedBytes, s.Dropped),
			PeeringsEnded: s.PeeringsEnded, Refused: s.Refused, DialsFailed: s.DialsFailed, ReceiveBytes: s.ReceiveBytes,
		},
		Peers:  []Peer{},
		Topics: []Topic{},
	}
	for _, p := range e.Peers() {
		status.Peers = append(status.Peers, Peer{
			ID: p.ID, Addr: p.Addr, Names: p.Names, Dialed: p.Dialed, Since: p.Since, RTT: p.RTT, Filter: p.Filter,
			Traffic: traffic(p.FramesIn, p.BytesIn, p.FramesOut, p.BytesOut, p.Queued, p.QueuedBytes, p.Dropped),
		})
	}
	for _, t := range e.Topics() {
		status.Topics = append(status.Topics, Topic(t))
	}
	return status
}

func traffic(framesIn, bytesIn, framesOut, bytesOut uint64, queued, queuedBytes int, dropped map[endpoint.DropReason]uint64) Traffic {
	t := Traffic{framesIn, bytesIn, framesOut, bytesOut, queued, queuedBytes, make(map[string]uint64, len(dropped))}
	for reason, n := range dropped {
		t.Dropped[reason.String()] = n
	}
	return t
}

// version returns the version of the program that runs the node.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
