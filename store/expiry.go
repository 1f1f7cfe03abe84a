package store

import "container/heap"

// An expiryQueue knows which entries may have to be removed when. An entry that was put again, or erased,
// stands in it in vain: who is told of it looks whether its time is really over.
type expiryQueue struct {
	times expiryHeap
	bound int // the length beyond which it is looked for entries that stand there in vain
}

type expiryHeap []expiringKey

type expiringKey struct {
	at  int64
	key string
}

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *expiryHeap) Push(x any)        { *h = append(*h, x.(expiringKey)) }
func (h *expiryHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = expiringKey{}
	*h = old[:len(old)-1]
	return x
}

// add adds an entry before init.
func (q *expiryQueue) add(at int64, key string) { q.times = append(q.times, expiringKey{at, key}) }

func (q *expiryQueue) init() { heap.Init(&q.times) }

func (q *expiryQueue) push(at int64, key string) { heap.Push(&q.times, expiringKey{at, key}) }

func (q *expiryQueue) clear() { q.times = nil }

// due removes and returns the next entry whose time is before now.
func (q *expiryQueue) due(now int64) (key string, ok bool) {
	if len(q.times) == 0 || q.times[0].at >= now {
		return "", false
	}
	return heap.Pop(&q.times).(expiringKey).key, true
}

// minCompact is a length up to which entries in vain are of no concern.
const minCompact = 4096

// compact removes the entries that stand there in vain, when there may be many.
func (q *expiryQueue) compact(t *table) {
	if len(q.times) <= max(q.bound, minCompact) {
		return
	}
	kept := q.times[:0]
	for _, k := range q.times {
		if e, ok := t.get(bytesOf(k.key)); ok && e.expiry == k.at {
			kept = append(kept, k)
		}
	}
	clear(q.times[len(kept):])
	q.times = kept
	q.init()
	q.bound = 2 * len(kept)
}
