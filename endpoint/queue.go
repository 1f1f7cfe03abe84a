package endpoint

import (
	"sync"
	"sync/atomic"
)

// shareFrom is the length from which a run is handed over as it stands. A shorter one is copied into
// a segment of the queue's own, so that a few small messages do not keep a whole segment of others'
// alive, and so that what is written or read next stands side by side.
const shareFrom = segmentSize / 8

// takeBytes is about how much a consumer takes at once: the size of one write to a socket.
const takeBytes = 128 << 10

// A queue holds the runs that wait for one consumer: the writer of a peer, or a subscription. It is
// bounded in messages and in bytes of memory. Tails of segments have a bound of their own, which one of
// them may exceed: a snapshot of a store, which may be larger than all else that may wait, neither is
// kept out by small messages nor drives them out. Many may push; one takes.
type queue struct {
	limits QueueLimits
	// dropped counts what was lost because the queue was full.
	dropped atomic.Uint64
	// late counts what was pushed after the queue was closed.
	late atomic.Uint64
	// onOverflow is called, without the lock, when a Disconnect queue runs over.
	onOverflow func()

	open *route        // whose open run holds messages for this queue; the lock of the outbox guards it
	wake chan struct{} // holds a token when the consumer is to look
	idle atomic.Bool   // the consumer waits; written with the lock held

	mu         sync.Mutex
	runs       []run
	head       int      // runs before it are taken
	tail       *segment // the queue's own segment, into which short runs are copied
	msgs       int      // frames in runs and in taken
	bytes      int      // charged for runs and for taken, without tails
	tails      int      // bytes of the tails in runs and in taken
	statuses   int      // in runs
	taken      []run    // what the consumer works on
	closed     bool
	overflowed bool          // closed by the policy Disconnect
	space      chan struct{} // closed when there is room again; nil if nobody waits
}

func newQueue(limits QueueLimits) *queue {
	q := &queue{limits: limits, wake: make(chan struct{}, 1)}
	q.idle.Store(true)
	return q
}

// push queues as much of r as the policy allows and returns how many frames that is. It does not
// wait: what a Block queue has no room for is dropped. The caller keeps its reference to the segment.
func (q *queue) push(r run) (queued int) { return q.add(r, false) }

// pushExpected queues r for a caller who saw that there is room, with roomFor. Of several who saw
// the same room each is let in: the bounds are exceeded by a run, and nothing is lost.
func (q *queue) pushExpected(r run) (queued int) { return q.add(r, true) }

func (q *queue) add(r run, expected bool) (queued int) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		q.late.Add(uint64(r.count))
		return 0
	}
	if tail := len(r.seg.tail); tail > 0 && q.tails > 0 && q.tails+tail > q.limits.Bytes {
		q.mu.Unlock()
		q.dropped.Add(uint64(r.count))
		return 0
	}
	overflow := false
	if !expected && (q.msgs+r.count > q.limits.Messages || q.bytes+q.cost(&r) > q.limits.Bytes) {
		overflow = q.makeRoom(&r)
	}
	if r.count > 0 {
		q.append(r)
	}
	wake := (r.count > 0 || q.closed) && q.rouse()
	q.mu.Unlock()
	if wake {
		q.signal()
	}
	if overflow && q.onOverflow != nil {
		q.onOverflow()
	}
	return r.count
}

// makeRoom applies the policy to a run that does not fit, with the lock held: it drops from the
// queue or cuts the run. It reports whether the queue is to be closed.
func (q *queue) makeRoom(r *run) (overflow bool) {
	switch q.limits.Policy {
	case DropOldest:
		if lost := r.count - q.limits.Messages; lost > 0 {
			r.skip(lost)
			q.dropped.Add(uint64(lost))
		}
		for q.msgs+r.count > q.limits.Messages || q.bytes+q.cost(r) > q.limits.Bytes {
			if !q.dropFirst(q.msgs + r.count - q.limits.Messages) {
				break
			}
		}
		// What the consumer holds cannot be dropped any more. If that alone fills the queue, the
		// newest has to go.
		if fit := q.fit(r); fit < r.count {
			q.dropped.Add(uint64(r.count - fit))
			r.skip(r.count - fit)
		}
	case Disconnect:
		if q.fit(r) == r.count {
			return false // alone, and larger than the whole queue
		}
		q.dropped.Add(uint64(r.count))
		r.count = 0
		q.overflow()
		return true
	default:
		if fit := q.fit(r); fit < r.count {
			q.dropped.Add(uint64(r.count - fit))
			r.keep(fit)
		}
	}
	return false
}

// fit returns how many messages of a run there is room for. A message larger than the whole queue
// fits an empty one.
func (q *queue) fit(r *run) int {
	if q.msgs > 0 && q.bytes+q.cost(r) > q.limits.Bytes {
		return 0
	}
	return min(max(q.limits.Messages-q.msgs, 0), r.count)
}

// dropFirst drops the first n messages that wait, or all of the first run if n is not positive. It
// reports false if there are only statuses, which are never dropped for messages.
func (q *queue) dropFirst(n int) bool {
	i := q.head
	for i < len(q.runs) && q.runs[i].status != nil {
		i++
	}
	if i == len(q.runs) {
		return false
	}
	first := &q.runs[i]
	if n > 0 && n < first.count {
		first.skip(n)
		q.lose(n)
		return true
	}
	q.lose(first.count)
	q.uncharge(i)
	q.free(first)
	// The statuses before it, few as they are, move up.
	copy(q.runs[q.head+1:i+1], q.runs[q.head:i])
	q.runs[q.head] = run{}
	q.head++
	return true
}

// lose counts n queued messages as dropped.
func (q *queue) lose(n int) {
	q.msgs -= n
	q.dropped.Add(uint64(n))
}

// uncharge gives back the memory of run i, unless the run behind it stands in the same segment: then
// that one is charged from now on.
func (q *queue) uncharge(i int) {
	r := &q.runs[i]
	if i+1 < len(q.runs) && q.runs[i+1].seg == r.seg {
		q.runs[i+1].charge += r.charge
	} else {
		q.bytes -= r.charge
	}
	r.charge = 0
}

// free gives back what a run holds.
func (q *queue) free(r *run) {
	q.bytes -= r.charge
	q.tails -= len(r.seg.tail)
	r.seg.release()
}

// cost returns what r would add to the memory that the queue keeps alive.
func (q *queue) cost(r *run) int {
	n := r.size()
	if n < shareFrom {
		if q.tail != nil && q.tail.room() >= n {
			return 0
		}
		return segmentSize
	}
	if len(q.runs) > q.head && q.runs[len(q.runs)-1].seg == r.seg {
		return 0
	}
	return len(r.seg.mem)
}

// append adds r, with the lock held.
func (q *queue) append(r run) {
	q.compact()
	r.charge = q.cost(&r)
	q.bytes += r.charge
	q.tails += len(r.seg.tail)
	q.msgs += r.count
	last := len(q.runs) - 1
	if r.size() < shareFrom {
		r = q.copied(r)
	} else {
		r.seg.retain()
		q.dropTail()
	}
	if last >= q.head && q.runs[last].seg == r.seg && q.runs[last].to == r.from && q.runs[last].status == nil && q.runs[last].link == r.link {
		q.runs[last].to = r.to
		q.runs[last].count += r.count
		q.runs[last].charge += r.charge
		r.seg.release()
		return
	}
	q.runs = append(q.runs, r)
}

// compact gives back what stands before head, when there is nothing else or when the runs are about to
// be moved anyway: a queue that is never empty would otherwise grow for ever.
func (q *queue) compact() {
	if q.head == len(q.runs) || len(q.runs) == cap(q.runs) && q.head >= len(q.runs)/2 {
		n := copy(q.runs, q.runs[q.head:])
		clear(q.runs[n:])
		q.runs, q.head = q.runs[:n], 0
	}
}

// copied returns r in the queue's own segment, with a reference.
func (q *queue) copied(r run) run {
	if q.tail == nil || q.tail.room() < r.to-r.from {
		q.dropTail()
		q.tail = newSegment(segmentSize)
	}
	from := q.tail.used
	q.tail.used += copy(q.tail.mem[from:], r.bytes())
	q.tail.retain()
	return run{seg: q.tail, from: from, to: q.tail.used, count: r.count, charge: r.charge, link: r.link}
}

func (q *queue) dropTail() {
	if q.tail != nil {
		q.tail.release()
		q.tail = nil
	}
}

// How many statuses may wait. Of those that tell of a failed attempt, which strangers can bring about
// as often as they like, the newest are dropped. Those that tell who is a peer must not be missed: a
// reader that falls so far behind is told that it did, by the end of its subscription.
const (
	maxAttemptStatuses = 1024
	maxPeerStatuses    = 65536
)

// pushStatus queues a status behind what is there, in spite of the limits for messages.
func (q *queue) pushStatus(s *Status) {
	q.mu.Lock()
	attempt := s.Code == PeerUnavailable || s.Code == PeerInvalid
	switch {
	case q.closed || attempt && q.statuses >= maxAttemptStatuses:
		q.mu.Unlock()
		return
	case q.statuses >= maxPeerStatuses:
		q.overflow()
		q.mu.Unlock()
		q.signal()
		return
	}
	q.compact()
	q.runs = append(q.runs, run{status: s})
	q.statuses++
	wake := q.rouse()
	q.mu.Unlock()
	if wake {
		q.signal()
	}
}

// pushLast queues a BYE in spite of the limits, and nothing after it.
func (q *queue) pushLast(frame []byte) {
	q.mu.Lock()
	if !q.closed {
		q.dropTail()
		q.runs = append(q.runs, run{seg: adopt(frame), to: len(frame), count: 1, charge: cap(frame), bye: true})
		q.msgs++
		q.bytes += cap(frame)
		q.closed = true
	}
	q.mu.Unlock()
	q.signal()
}

// take gives back what the last call returned, and returns the next runs. If there are none, the
// consumer is idle from then on: it waits on wake, and whoever pushes next sends a token. ok is
// false once the queue is closed and empty.
func (q *queue) take() (runs []run, ok bool) {
	q.mu.Lock()
	q.giveBack()
	size := 0
	for q.head < len(q.runs) && size < takeBytes {
		r := q.runs[q.head]
		q.runs[q.head] = run{}
		q.head++
		if r.status != nil {
			q.statuses--
		} else {
			size += r.size()
		}
		q.taken = append(q.taken, r)
	}
	if q.head == len(q.runs) {
		q.runs, q.head = q.runs[:0], 0
		q.dropTail()
	}
	idle := len(q.taken) == 0
	q.idle.Store(idle)
	runs, ok = q.taken, !idle || !q.closed
	if q.hasRoom() {
		q.openSpace()
	}
	q.mu.Unlock()
	return runs, ok
}

// giveBack releases what the consumer held.
func (q *queue) giveBack() {
	for i := range q.taken {
		r := &q.taken[i]
		if r.status != nil {
			*r = run{}
			continue
		}
		q.msgs -= r.count
		q.free(r)
		*r = run{}
	}
	q.taken = q.taken[:0]
}

// hasRoom tells whether one more message may come, with the lock held.
func (q *queue) hasRoom() bool {
	return q.closed || q.msgs == 0 || q.msgs < q.limits.Messages && q.bytes+2*segmentSize <= q.limits.Bytes
}

// roomFor returns how many messages still fit, and, if there is no room for any, a channel that is
// closed when there is.
func (q *queue) roomFor() (n int, space <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return q.limits.Messages, nil // what comes is lost anyway
	}
	if q.hasRoom() {
		return max(q.limits.Messages-q.msgs, 1), nil
	}
	if q.space == nil {
		q.space = make(chan struct{})
	}
	return 0, q.space
}

// rouse tells, with the lock held, whether the consumer waits and is to be signalled. From then on it
// counts as busy, so that the next messages need not be pushed one by one.
func (q *queue) rouse() bool {
	idle := q.idle.Load()
	if idle {
		q.idle.Store(false)
	}
	return idle
}

// signal makes the consumer look.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close ends the queue: what is in it can still be taken, nothing more comes in.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.openSpace()
	q.mu.Unlock()
	q.signal()
}

// abandon ends the queue, drops what waits in it and returns how many messages that were. What the
// consumer holds stays valid until it takes again.
func (q *queue) abandon() (lost int) {
	q.mu.Lock()
	lost = q.discard()
	q.closed = true
	q.openSpace()
	q.mu.Unlock()
	q.signal()
	return lost
}

// overflow ends a queue that ran over, with the lock held.
func (q *queue) overflow() {
	q.dropped.Add(uint64(q.discard()))
	q.closed, q.overflowed = true, true
	q.openSpace()
}

// discard empties the queue, with the lock held, and returns how many messages waited in it.
func (q *queue) discard() (lost int) {
	for ; q.head < len(q.runs); q.head++ {
		r := &q.runs[q.head]
		if r.status == nil {
			if !r.bye {
				lost += r.count
			}
			q.msgs -= r.count
			q.free(r)
		}
		*r = run{}
	}
	q.runs, q.head, q.statuses = q.runs[:0], 0, 0
	q.dropTail()
	return lost
}

// openSpace wakes all who wait for room, with the lock held.
func (q *queue) openSpace() {
	if q.space != nil {
		close(q.space)
		q.space = nil
	}
}

// lost returns how many messages were lost because the queue was full, or had run over.
func (q *queue) lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.overflowed {
		return q.dropped.Load() + q.late.Load()
	}
	return q.dropped.Load()
}

// buffered tells whether there is something to take.
func (q *queue) buffered() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head < len(q.runs)
}

// depth returns how many messages and how many bytes of memory the queue holds.
func (q *queue) depth() (messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.msgs, q.bytes + q.tails
}
