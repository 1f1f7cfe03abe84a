package endpoint

import (
	"maps"

	"github.com/zeekpeer/zeekpeer/wire"
)

// Stats counts what a node has seen of all its peers, those that are gone included.
type Stats struct {
	Peers               int    // now
	PeeringsEnded       uint64 // lost or removed
	Refused             uint64 // connections accepted that did not become peerings, save second ones of a peer
	DialsFailed         uint64
	FramesIn, BytesIn   uint64 // frames of all kinds
	FramesOut, BytesOut uint64 // messages, and bytes of all frames
	Queued, QueuedBytes int    // messages that wait for peers now, and the memory that they keep
	ReceiveBytes        int64  // memory in which large messages are being received now

	// Processed counts the messages that were received or published, by type, as Broker does.
	Processed map[wire.MessageType]uint64

	// Dropped counts what was lost. For DropSubscriberFull these are the messages that the queues of
	// subscriptions have lost; a peer's own counter has only those that did not get into one.
	Dropped map[DropReason]uint64
}

// add adds the counters of a peer.
func (s *Stats) add(p *PeerInfo) {
	s.FramesIn += p.FramesIn
	s.BytesIn += p.BytesIn
	s.FramesOut += p.FramesOut
	s.BytesOut += p.BytesOut
	if s.Dropped == nil {
		s.Dropped = make(map[DropReason]uint64)
	}
	for reason, n := range p.Dropped {
		s.Dropped[reason] += n
	}
}

// Stats returns what the node has seen so far. Its counters never go back.
func (e *Endpoint) Stats() Stats {
	// With the lock held no peer moves from those that are there to those that were.
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.ended
	s.Dropped = maps.Clone(s.Dropped)
	byID := e.routes.Load().byID
	for _, p := range byID {
		info := p.info()
		s.add(&info)
		s.Queued += info.Queued
		s.QueuedBytes += info.QueuedBytes
	}
	lost := e.lost
	for sub := range e.subs {
		lost += sub.queue.lost()
	}
	if delete(s.Dropped, DropSubscriberFull); lost > 0 {
		if s.Dropped == nil {
			s.Dropped = make(map[DropReason]uint64)
		}
		s.Dropped[DropSubscriberFull] = lost
	}
	s.Processed = make(map[wire.MessageType]uint64)
	for t := wire.TypeData; t <= wire.TypePong; t++ {
		s.Processed[t] = e.processed[t].Load()
	}
	s.Peers = len(byID)
	s.Refused, s.DialsFailed = e.refusals.Load(), e.failures.Load()
	s.ReceiveBytes = e.largeBytes.Load()
	return s
}
