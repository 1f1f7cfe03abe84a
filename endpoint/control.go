package endpoint

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/zeekpeer/zeekpeer/wire"
)

// How much of pongs may wait for a peer that does not read: many small ones, or one large.
const (
	maxPongBytes = 64 << 10
	maxPong      = 1 << 20
	smallPong    = 4 << 10 // up to this size the reader tries to answer by itself
)

// A controlLane holds what is sent to a peer before its data, and never dropped for it: the newest
// filter, pings and pongs.
type controlLane struct {
	waiting atomic.Bool // something is in it

	mu     sync.Mutex
	filter bool   // the filter has changed
	pings  []byte // one frame, of the watchdog
	asked  []byte // frames, of Ping
	pongs  []byte // frames
}

func (l *controlLane) filterChanged() {
	l.mu.Lock()
	l.filter = true
	l.waiting.Store(true)
	l.mu.Unlock()
}

// ping replaces a ping that still waits.
func (l *controlLane) ping(frame []byte) {
	l.mu.Lock()
	l.pings = frame
	l.waiting.Store(true)
	l.mu.Unlock()
}

// request queues a ping that somebody waits for, or reports false if too many wait.
func (l *controlLane) request(frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.asked) > maxPongBytes {
		return false
	}
	l.asked = append(l.asked, frame...)
	l.waiting.Store(true)
	return true
}

// pong queues a pong, or reports false if too many wait.
func (l *controlLane) pong(sender, receiver wire.EndpointID, payload []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pongs) > 0 && len(l.pongs)+len(payload) > maxPongBytes || len(payload) > maxPong {
		return false
	}
	l.pongs = wire.AppendPong(l.pongs, sender, receiver, payload)
	l.waiting.Store(true)
	return true
}

// take empties the lane.
func (l *controlLane) take() (filter bool, frames []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	filter, frames = l.filter, append(append(l.pings, l.asked...), l.pongs...)
	l.filter, l.pings, l.asked, l.pongs = false, nil, nil, nil
	l.waiting.Store(false)
	return filter, frames
}

func newToken() (token [8]byte) {
	_, _ = rand.Read(token[:])
	return token
}

// clockLen is the number of bytes of a ping's payload: the sender's clock.
const clockLen = 8

func appendClock(dst []byte, ns int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(ns)) }
