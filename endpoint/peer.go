package endpoint

import (
	"context"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// byeTimeout is how long a node that leaves waits for the answer, as in the reference.
const byeTimeout = 3 * time.Second

// A peer is a node on the other end of a connection, from the end of the handshake on. Its reader
// goroutine dispatches what it reads; its writer goroutine writes what is queued.
type peer struct {
	ep     *Endpoint
	id     wire.EndpointID
	addr   string
	dialed bool
	conn   net.Conn // what is said, under TLS if there is any
	raw    net.Conn // the socket; the same as conn without TLS
	in     *frameReader
	queue  *queue
	lane   controlLane
	counters

	names    []string // of its certificate
	ruling   sync.Mutex
	wanted   []string                 // what it wants to be subscribed to; guarded by ruling
	access   atomic.Pointer[Access]   // what it may do, nil for everything; changed under ruling
	filter   atomic.Pointer[[]string] // what it is subscribed to; changed under ruling
	received link                     // the two directions, for taps
	sent     link
	lastRead atomic.Int64 // nanoseconds on the endpoint's clock
	reads    atomic.Uint64
	paused   atomic.Bool  // its reader waits for a subscriber
	rtt      atomic.Int64 // of the last ping, in nanoseconds
	since    time.Time

	writing sync.Mutex // held by whoever writes or has something to write
	now     *nowWriter // for writeNow; nil where a write cannot be tried without blocking
	rest    []byte     // of a frame that writeNow sent a part of; guarded by writing

	watchdog *time.Timer
	stop     sync.Once
	cause    error         // why it ended; valid once stopped is closed
	removed  bool          // it ended on purpose; likewise
	stopped  chan struct{} // closed when it is to end
	done     chan struct{} // closed when it has ended
	byeOnce  sync.Once
	byeSent  atomic.Bool
	byeToken [8]byte
	parted   atomic.Bool // and was answered
	saidBye  atomic.Bool // the other side takes leave
}

// run serves the peer until it ends. The caller has put it into the registry.
func (p *peer) run() {
	defer close(p.done)
	p.touch()
	// In two steps, for the watchdog resets itself: it must not run before the field is set.
	p.watchdog = time.AfterFunc(math.MaxInt64, p.watch)
	p.watchdog.Reset(p.ep.opts.pingInterval)
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		if err := p.write(); err != nil {
			p.end(p.whyEnded("write", err), p.byeSent.Load())
		}
	}()
	err := p.read()
	p.in.release()
	p.end(p.whyEnded("read", err), p.byeSent.Load())
	p.watchdog.Stop()
	<-writer
	p.queue.take() // gives back what the writer had in hand
}

// whyEnded explains the error with which reading or writing ended. A peer that has taken leave closes
// its side: what fails then, be it a write that came too late, a reset, or TLS without close_notify as
// real nodes end it, is no news.
func (p *peer) whyEnded(op string, err error) error {
	if p.saidBye.Load() {
		return ErrBye
	}
	return &PeerError{Addr: p.addr, ID: p.id, Op: op, Err: err}
}

// end closes the connection. The first caller's reason counts.
func (p *peer) end(cause error, removed bool) {
	p.stop.Do(func() {
		p.cause, p.removed = cause, removed
		close(p.stopped)
		if p.parted.Load() {
			p.conn.Close() // tells the other side under TLS, which may take a while
		}
		p.raw.Close()
		p.drop(DropPeeringEnded, p.queue.abandon())
	})
}

// leave takes leave: what is queued is sent, then BYE, and when the peer has answered, or has had time
// to, the connection is closed.
func (p *peer) leave(ctx context.Context) {
	p.byeOnce.Do(func() {
		p.byeToken = newToken()
		p.byeSent.Store(true)
		p.ep.outbox.flush(p.queue)
		p.queue.pushLast(wire.AppendPing(nil, p.ep.id, p.id, wire.AppendBye(nil, p.byeToken)))
	})
	timer := time.NewTimer(byeTimeout)
	defer timer.Stop()
	select {
	case <-p.stopped:
	case <-timer.C:
	case <-ctx.Done():
	}
	p.end(nil, true)
	<-p.done
}

// touch notes that the peer has just said something.
func (p *peer) touch() {
	p.lastRead.Store(p.ep.now())
	p.reads.Add(1)
}

// watch pings the peer, and ends it when it has said nothing for too long.
func (p *peer) watch() {
	select {
	case <-p.stopped:
		return
	default:
	}
	silent := time.Duration(p.ep.now() - p.lastRead.Load())
	if silent > p.ep.opts.pingTimeout && !p.paused.Load() {
		p.end(fmt.Errorf("%w: the peer said nothing for %v, pings included", ErrTimeout, silent.Round(time.Second)), false)
		return
	}
	p.ping()
	p.watchdog.Reset(p.ep.opts.pingInterval)
}

// ping sends a ping with the present time as its payload.
func (p *peer) ping() {
	p.lane.ping(wire.AppendPing(nil, p.ep.id, p.id, appendClock(nil, p.ep.now())))
	p.queue.signal()
}

// answers pings the peer and tells whether it says anything until the deadline. A peer that is not
// read from, since a subscriber asked for that, cannot be told from one that is gone: it stays.
func (p *peer) answers(ctx context.Context) bool {
	if p.paused.Load() {
		return true
	}
	before := p.reads.Load() // not the time of the last, for a clock may be coarse
	p.ping()
	tick := time.NewTicker(probeStep)
	defer tick.Stop()
	for {
		select {
		case <-p.stopped:
			return false
		case <-tick.C:
			if p.reads.Load() != before {
				return true
			}
		case <-ctx.Done():
			return p.reads.Load() != before
		}
	}
}

// probeStep is how often answers looks whether something has come.
const probeStep = 5 * time.Millisecond
