package channel

import (
	"math/rand/v2"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A Config holds the intervals and bounds of a channel. All intervals are in ticks. The zero value of
// a field stands for its default (STORE.md section 3.1).
type Config struct {
	// Heartbeat is how often a producer that has nothing to say tells how far it is, and how often
	// consumers are asked to acknowledge: 5.
	Heartbeat int
	// Timeout is how long a consumer may be silent before its producer gives it up: 500.
	Timeout int
	// NackTimeout is how long a consumer waits without progress before it asks for what is missing: 2.
	NackTimeout int
	// MaxBuffer bounds the bytes of events that a producer keeps for the slowest of its consumers, and
	// those that a consumer keeps out of order, or all the consumers of a master: 64 MiB.
	MaxBuffer int
	// Window is how many writes a clone has under way at a master of ours, 4096, and WindowForeign at
	// any other, 1024: such a master gives up a peer for which 2048 messages wait.
	Window, WindowForeign int
	// WriteTimeout is how long a write of a clone waits for its master: 1200.
	WriteTimeout int
}

// The defaults of a [Config].
const (
	DefaultHeartbeat     = 5
	DefaultTimeout       = 500
	DefaultNackTimeout   = 2
	DefaultMaxBuffer     = 64 << 20
	DefaultWindow        = 4096
	DefaultWindowForeign = 1024
	DefaultWriteTimeout  = 1200
)

// WithDefaults returns c with the defaults filled in.
func (c Config) WithDefaults() Config {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&c.Heartbeat, DefaultHeartbeat}, {&c.Timeout, DefaultTimeout}, {&c.NackTimeout, DefaultNackTimeout},
		{&c.MaxBuffer, DefaultMaxBuffer}, {&c.Window, DefaultWindow}, {&c.WindowForeign, DefaultWindowForeign},
		{&c.WriteTimeout, DefaultWriteTimeout},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return c
}

// Bounds of what others may claim.
const (
	// maxAhead is how far a number may be ahead of what was received. Beyond it a claim is ignored: an
	// honest producer gives its consumers up long before.
	maxAhead = 1 << 24
	// maxSeq is the highest number at which a stream may begin.
	maxSeq = 1 << 62
	// nackSlice is how many missing numbers are asked for at a time.
	nackSlice = 1000
	// maxResend is how many events, and maxResendBytes how many bytes of them, answer one nack. The
	// consumer asks again for the rest.
	maxResend      = 4096
	maxResendBytes = 8 << 20
	// maxHeartbeat bounds the interval that a producer asks its consumers for.
	maxHeartbeat = 1000
)

// nativeMark stands in the upper 16 bits of the object numbers of our entities. Nodes of Zeek number
// their objects from 1 on.
const nativeMark = 0x7a70

// Native tells whether an entity is one of this implementation, by the mark in its object number: to
// such a master or clone things can be said that would break others, and its acknowledgements promise
// more.
func Native(id wire.EntityID) bool { return id.Object>>48 == nativeMark }

// NativeEntity returns an entity of an endpoint with the low 48 bits of object as its number and the
// mark that [Native] looks for.
func NativeEntity(endpoint wire.EndpointID, object uint64) wire.EntityID {
	return wire.EntityID{Endpoint: endpoint, Object: nativeMark<<48 | object&(1<<48-1)}
}

// NewEntity returns a random entity of an endpoint, with the mark.
func NewEntity(endpoint wire.EndpointID) wire.EntityID {
	return NativeEntity(endpoint, rand.Uint64())
}
