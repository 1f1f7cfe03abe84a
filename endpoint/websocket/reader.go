package websocket

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	ws "github.com/coder/websocket"
)

// A buffer for reading begins with readBytes and doubles as a message comes. Above largeBytes it counts
// against the budget, and is let go when the message is done with.
const (
	readBytes  = 4 << 10
	largeBytes = 64 << 10
)

// errMemory says that all clients together sent larger messages than there is memory for.
var errMemory = errors.New("receive memory exhausted")

// A budget bounds the memory of large buffers. A nil budget has no bound.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take takes n bytes, or gives back if n is negative. It reports false, and takes nothing, if they are
// not there.
func (b *budget) take(n int) bool {
	if b == nil || b.used.Add(int64(n)) <= b.limit || n <= 0 {
		return true
	}
	b.used.Add(-int64(n))
	return false
}

// A messageReader reads the messages of a connection. It must be released.
type messageReader struct {
	ws     *ws.Conn
	budget *budget
	buf    []byte
	taken  int
}

// next reads the next message. The text is valid until next is called again.
func (r *messageReader) next() (kind ws.MessageType, text []byte, err error) {
	if cap(r.buf) > largeBytes {
		r.release()
	}
	kind, body, err := r.ws.Reader(context.Background())
	if err != nil {
		return 0, nil, err
	}
	r.buf = r.buf[:0]
	for {
		if len(r.buf) == cap(r.buf) && !r.grow() {
			return 0, nil, errMemory
		}
		n, err := body.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		if err == io.EOF {
			return kind, r.buf, nil
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

// grow makes room, or reports that the memory is used up.
func (r *messageReader) grow() bool {
	size := max(2*cap(r.buf), readBytes)
	if size > largeBytes {
		if !r.budget.take(size - r.taken) {
			return false
		}
		r.taken = size
	}
	r.buf = append(make([]byte, 0, size), r.buf...)
	return true
}

// release lets go of the memory.
func (r *messageReader) release() {
	r.budget.take(-r.taken)
	r.buf, r.taken = nil, 0
}
