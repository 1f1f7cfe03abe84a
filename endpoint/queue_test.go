package endpoint

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/zeekpeer/zeekpeer/wire"
)

// numbered appends a frame that holds a number and is size bytes long, or 8 if that is less.
func numbered(dst []byte, n uint64, size int) []byte {
	size = max(size, 8)
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = binary.BigEndian.AppendUint64(dst, n)
	return append(dst, make([]byte, size-8)...)
}

// numbers returns the numbers of the frames in a run.
func numbers(r run) (all []uint64) {
	for b := r.whole(); len(b) > 0; b = b[frameLen(b):] {
		all = append(all, binary.BigEndian.Uint64(b[4:]))
	}
	return all
}

// largestTail is larger than all that a queue of the test may hold.
const largestTail = 11 * segmentSize

// Whatever is pushed and taken: messages come out in order, those that do not are counted, the bounds
// hold, statuses are never lost and keep their place, and an empty queue is charged nothing.
func TestQueueAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := QueueLimits{
			Messages: rapid.IntRange(1, 60).Draw(t, "messages"),
			Bytes:    rapid.SampledFrom([]int{segmentSize, 3 * segmentSize, 10 * segmentSize}).Draw(t, "bytes"),
			Policy:   rapid.SampledFrom([]Policy{DropOldest, DropNewest, Disconnect, Block}).Draw(t, "policy"),
		}
		q := newQueue(limits)
		overflowed := false
		q.onOverflow = func() { overflowed = true }
		next, received, pushed, refused := uint64(1), uint64(0), 0, 0
		last := uint64(0)
		type mark struct {
			status *Status
			after  uint64 // what was pushed before
		}
		var statuses []mark
		take := func() {
			runs, _ := q.take()
			for _, r := range runs {
				if r.status != nil {
					if len(statuses) == 0 || statuses[0].status != r.status {
						t.Fatal("status lost or out of order")
					}
					if last > statuses[0].after {
						t.Fatalf("message %d before the status that followed %d", last, statuses[0].after)
					}
					statuses = statuses[1:]
					continue
				}
				got := numbers(r)
				if len(got) != r.count {
					t.Fatalf("run of %d holds %v", r.count, got)
				}
				for _, n := range got {
					if n <= last {
						t.Fatalf("%d after %d", n, last)
					}
					if len(statuses) > 0 && n > statuses[0].after {
						t.Fatalf("message %d before a status that came first", n)
					}
					last = n
					received++
				}
			}
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "op") {
			case 0:
				take()
			case 1:
				s := &Status{Code: PeerAdded}
				statuses = append(statuses, mark{s, next - 1})
				q.pushStatus(s)
			case 2:
				size := rapid.SampledFrom([]int{segmentSize, 200_000, largestTail}).Draw(t, "tail")
				b := numbered(nil, next, 8+size)
				next++
				seg := adopt(slices.Clone(b[:12]))
				seg.tail = b[12:]
				closed, fits := q.closed, q.tails == 0 || q.tails+size <= limits.Bytes
				refuse := q.msgs == held(q) && q.msgs > 0 // or what makes room cannot be dropped
				n := q.push(run{seg: seg, to: 12, count: 1})
				seg.release()
				if pushed++; closed {
					refused++
				} else if n == 1 && !fits || n == 0 && fits && limits.Policy == DropOldest && !refuse {
					t.Fatalf("%d queued of a tail of %d bytes beside %d", n, size, q.tails)
				}
			default:
				count := rapid.IntRange(1, 20).Draw(t, "count")
				size := rapid.SampledFrom([]int{8, 100, 1000, 3000, 200_000}).Draw(t, "size")
				if size > segmentSize {
					count = 1 // as from the reader: what is larger than a segment has one of its own
				}
				b := make([]byte, 0, count*(size+4))
				for range count {
					b = numbered(b, next, size)
					next++
				}
				seg := adopt(b)
				closed := q.closed
				n := q.push(run{seg: seg, to: len(b), count: count})
				seg.release()
				pushed += count
				if closed {
					refused += count
				} else if n > count || n < 0 {
					t.Fatalf("%d of %d queued", n, count)
				}
			}
			msgs, bytes := q.depth()
			if msgs > limits.Messages {
				t.Fatalf("%d messages of at most %d", msgs, limits.Messages)
			}
			// One message may be larger than the bound: it counts as a queue full.
			if largest := 200_004; bytes-q.tails > limits.Bytes+largest+segmentSize {
				t.Fatalf("%d bytes of at most %d", bytes-q.tails, limits.Bytes)
			}
			if q.tails > max(limits.Bytes, largestTail) {
				t.Fatalf("%d bytes of tails", q.tails)
			}
			if got := int(received) + int(q.dropped.Load()) + (msgs - held(q)) + refused; got != pushed {
				t.Fatalf("received %d, dropped %d, %d wait (%d held), refused %d: %d of %d pushed", received, q.dropped.Load(), msgs, held(q), refused, got, pushed)
			}
		}
		if overflowed != q.overflowed || overflowed && limits.Policy != Disconnect {
			t.Fatal("overflow")
		}
		if overflowed {
			return // statuses behind the overflow are lost with the subscription
		}
		for {
			take()
			if len(q.taken) == 0 {
				break
			}
		}
		if msgs, bytes := q.depth(); msgs != 0 || bytes != 0 || len(statuses) > 0 {
			t.Fatalf("empty, but %d messages, %d bytes, %d statuses", msgs, bytes, len(statuses))
		}
	})
}

// held counts the messages that the consumer has in hand.
func held(q *queue) (n int) {
	for _, r := range q.taken {
		n += r.count
	}
	return n
}

func TestQueueStatusBounds(t *testing.T) {
	q := newQueue(QueueLimits{Messages: 1, Bytes: segmentSize})
	for range 3 * maxAttemptStatuses {
		q.pushStatus(&Status{Code: PeerInvalid})
	}
	if q.statuses != maxAttemptStatuses {
		t.Errorf("%d attempts kept, want %d", q.statuses, maxAttemptStatuses)
	}
	for range maxPeerStatuses {
		q.pushStatus(&Status{Code: PeerLost})
	}
	if !q.overflowed || len(q.runs) > 0 {
		t.Errorf("a reader that is %d statuses behind must be told", maxPeerStatuses)
	}
}

// Several publishers wait for room at once; each space that opens must wake all of them, or one that
// was not woken would wait for ever. Nothing is lost.
func TestQueueWakesAllWaiters(t *testing.T) {
	const waiters, each = 8, 500
	q := newQueue(QueueLimits{Messages: 2, Bytes: segmentSize * 16, Policy: Block})
	var wg sync.WaitGroup
	for w := range waiters {
		wg.Go(func() {
			frame := numbered(nil, uint64(w), 8)
			seg := adopt(frame)
			for sent := 0; sent < each; {
				if _, space := q.roomFor(); space != nil {
					<-space
					continue
				}
				sent += q.pushExpected(run{seg: seg, to: len(frame), count: 1})
			}
		})
	}
	for got := 0; got < waiters*each; {
		runs, _ := q.take()
		for _, r := range runs {
			got += r.count
		}
		if len(runs) == 0 {
			<-q.wake
		}
		if msgs, _ := q.depth(); msgs > 2+waiters {
			t.Fatalf("%d messages wait", msgs)
		}
	}
	wg.Wait()
	if n := q.dropped.Load(); n > 0 {
		t.Errorf("%d dropped", n)
	}
}

// The bookkeeping of a queue that is never empty does not grow for ever.
func TestQueueStaysSmall(t *testing.T) {
	frame := numbered(nil, 1, segmentSize/4) // so large that each is a run of its own
	for _, taking := range []bool{false, true} {
		q := newQueue(QueueLimits{Messages: 100, Bytes: 1 << 30})
		for range 100_000 {
			seg := adopt(frame)
			q.push(run{seg: seg, to: len(frame), count: 1})
			if seg.release(); taking && len(q.runs)-q.head > 50 {
				q.take()
			}
		}
		if n := cap(q.runs); n > 1000 {
			t.Errorf("taking %v: room for %d runs where %d wait", taking, n, len(q.runs)-q.head)
		}
	}
}

func TestRunCuts(t *testing.T) {
	var b []byte
	for i := range 5 {
		b = numbered(b, uint64(i), 8+i)
	}
	r := run{seg: adopt(b), to: len(b), count: 5}
	r.skip(2)
	r.keep(2)
	if got := fmt.Sprint(numbers(r), r.count); got != "[2 3] 2" {
		t.Error(got)
	}
}

// A message in two pieces is one message, and nothing of it stays in a segment that is used again.
func TestAddressedTail(t *testing.T) {
	shared := make([]byte, copyBelow)
	head := make([]byte, segmentSize-wire.FrameHeaderLen-wire.EnvelopeHeaderLen-len("topic")) // as long as pooled segments are
	seg := addressed(wire.EndpointID{1}, wire.EndpointID{2}, wire.TypeCommand, "topic", head, shared)
	r := run{seg: seg, to: seg.used, count: 1}
	if len(seg.mem) != segmentSize || &seg.tail[0] != &shared[0] {
		t.Fatalf("a segment of %d bytes, or the shared part copied", len(seg.mem))
	}
	whole := r.whole()
	if len(whole) != r.size() || frameLen(whole) != r.size() {
		t.Errorf("%d bytes in a frame of %d, size %d", len(whole), frameLen(whole), r.size())
	}
	if r.skip(1); r.count != 0 || len(r.bytes()) != 0 {
		t.Errorf("%d frames left, %d bytes", r.count, len(r.bytes()))
	}
	if seg.release(); seg.tail != nil {
		t.Error("the tail outlives the message")
	}
	if seg := addressed(wire.EndpointID{1}, wire.EndpointID{2}, wire.TypeCommand, "topic", head, shared[1:]); seg.tail != nil {
		t.Error("a short piece not copied")
	}
}
