package websocket

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// maxStatuses is how many statuses wait for somebody who may never ask for them.
const maxStatuses = 256

// An inbox holds what a client has received until it is asked for. When it is full the oldest message
// is dropped; statuses have a bound of their own.
type inbox struct {
	maxMessages, maxBytes int
	dropped               atomic.Uint64
	wake                  chan struct{} // holds a token when there may be something new

	mu       sync.Mutex
	events   []sized
	bytes    int
	statuses int
}

type sized struct {
	Event
	size int
}

func newInbox(messages, bytes int) *inbox {
	return &inbox{maxMessages: messages, maxBytes: bytes, wake: make(chan struct{}, 1)}
}

// tell adds a status.
func (q *inbox) tell(s Status) { q.push(Event{Status: &s}, 0) }

// push adds an event that keeps so many bytes of memory, about.
func (q *inbox) push(e Event, size int) {
	q.mu.Lock()
	if e.Status != nil {
		if q.statuses++; q.statuses > maxStatuses {
			q.drop(true)
		}
	} else {
		q.bytes += size
		for messages := len(q.events) - q.statuses; messages > 0 && (messages >= q.maxMessages || q.bytes > q.maxBytes); messages-- {
			q.drop(false)
		}
	}
	q.events = append(q.events, sized{e, size})
	q.mu.Unlock()
	signal(q.wake)
}

// drop drops the oldest status or message, with the lock held.
func (q *inbox) drop(status bool) {
	i := slices.IndexFunc(q.events, func(e sized) bool { return (e.Status != nil) == status })
	q.forget(q.events[i])
	if i == 0 {
		q.events[0] = sized{}
		q.events = q.events[1:]
	} else {
		q.events = slices.Delete(q.events, i, i+1)
	}
	q.dropped.Add(1)
}

// forget takes an event out of the counts.
func (q *inbox) forget(e sized) {
	q.bytes -= e.size
	if e.Status != nil {
		q.statuses--
	}
}

// take returns the oldest event, if there is any.
func (q *inbox) take() (e Event, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		return e, false
	}
	first := q.events[0]
	q.forget(first)
	q.events[0] = sized{}
	q.events = q.events[1:]
	return first.Event, true
}

func (q *inbox) depth() (events, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events), q.bytes
}

// An outbox holds what a client is to send. When it is full, those who publish wait.
type outbox struct {
	maxMessages, maxBytes int
	unsent                atomic.Uint64
	wake                  chan struct{}   // holds a token when there may be something new
	closing               context.Context // ends when nothing more is accepted
	close                 context.CancelFunc

	mu    sync.Mutex
	texts [][]byte
	bytes int
	room  chan struct{} // closed when there is room again; nil if nobody waits
}

func newOutbox(messages, bytes int) *outbox {
	q := &outbox{maxMessages: messages, maxBytes: bytes, wake: make(chan struct{}, 1)}
	q.closing, q.close = context.WithCancel(context.Background())
	return q
}

// push adds a message, waiting for room as long as ctx allows.
func (q *outbox) push(ctx context.Context, text []byte) error {
	for {
		q.mu.Lock()
		if q.closing.Err() != nil {
			q.mu.Unlock()
			return endpoint.ErrClosed
		}
		if len(q.texts) == 0 || len(q.texts) < q.maxMessages && q.bytes+len(text) <= q.maxBytes {
			q.texts = append(q.texts, text)
			q.bytes += len(text)
			q.mu.Unlock()
			signal(q.wake)
			return nil
		}
		if q.room == nil {
			q.room = make(chan struct{})
		}
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
		case <-q.closing.Done():
		case <-ctx.Done():
			return fmt.Errorf("%w: %d messages or %d bytes wait to be sent: %w", endpoint.ErrFull, q.maxMessages, q.maxBytes, ctx.Err())
		}
	}
}

// take returns the oldest message, if there is any, and whether there are more.
func (q *outbox) take() (text []byte, more, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.texts) == 0 {
		return nil, false, false
	}
	text = q.texts[0]
	q.texts[0] = nil
	q.texts = q.texts[1:]
	q.bytes -= len(text)
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	return text, len(q.texts) > 0, true
}

// abandon ends the queue and counts what is left.
func (q *outbox) abandon() {
	q.close()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unsent.Add(uint64(len(q.texts)))
	q.texts, q.bytes = nil, 0
}

func (q *outbox) depth() (messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.texts), q.bytes
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
