package websocket

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// How much is written at once. A batch is written when it has grown to flushBytes, or when its writer
// says that nothing more is coming; while roomBytes wait, no further message is begun.
const (
	flushBytes = 32 << 10
	roomBytes  = 128 << 10
	// keepBytes is how large a buffer may be that is used again.
	keepBytes = 1 << 20
	// maxPongBytes is how much of pongs may wait for somebody who pings and does not read.
	maxPongBytes = 4 << 10
	// waited is how long a write takes that had to wait for the other side. That it came to an end is a
	// sign of life, as what went straight into the socket's buffer is not.
	waited = 5 * time.Millisecond
	// drainTimeout bounds the writing of what is left when the connection is closed.
	drainTimeout = time.Second
)

// A batchConn is a connection whose Write does not wait for the network: a goroutine of its own
// writes what was collected meanwhile. So many small frames share one system call, and a close frame
// or a pong finds its way at once into the buffer even if the other side reads slowly. Whoever writes
// messages calls begin before each, which waits for room, and flush when no more are at hand.
type batchConn struct {
	net.Conn
	stall time.Duration // how long the other side may take nothing before the connection ends
	start time.Time
	alive atomic.Int64 // when there was last a sign of life, since start
	done  chan struct{}

	mu      sync.Mutex
	wake    sync.Cond // for the writing goroutine
	room    sync.Cond // for begin
	buf     []byte
	pongs   int
	hold    bool // more is coming, wait for flushBytes
	writing bool
	closed  bool
	err     error
}

// newBatchConn wraps a connection. It must be closed, and then done is closed when its goroutine ends.
func newBatchConn(conn net.Conn, stall time.Duration) *batchConn {
	c := &batchConn{Conn: conn, stall: stall, start: time.Now(), done: make(chan struct{})}
	c.wake.L, c.room.L = &c.mu, &c.mu
	go c.run()
	return c
}

// silence returns how long there was no sign of life: nothing was read, and no write came to an end
// that had to wait.
func (c *batchConn) silence() time.Duration {
	return time.Since(c.start) - time.Duration(c.alive.Load())
}

func (c *batchConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.alive.Store(int64(time.Since(c.start)))
	}
	return n, err
}

// Write adds p to what is to be written.
func (c *batchConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	if c.err != nil {
		return 0, c.err
	}
	c.buf = append(c.buf, p...)
	if !c.hold || len(c.buf) >= flushBytes {
		c.wake.Signal()
	}
	return len(p), nil
}

// wait waits for room for another message.
func (c *batchConn) wait() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waitLocked()
}

func (c *batchConn) waitLocked() error {
	for len(c.buf) >= roomBytes && !c.closed && c.err == nil {
		c.room.Wait()
	}
	if c.closed {
		return net.ErrClosed
	}
	return c.err
}

// begin waits for room for another message, and keeps it and what follows back until there is enough
// for a write, or flush is called.
func (c *batchConn) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.waitLocked()
	c.hold = err == nil
	return err
}

// flush has written what begin kept back.
func (c *batchConn) flush() {
	c.mu.Lock()
	c.hold = false
	c.wake.Signal()
	c.mu.Unlock()
}

// drain waits until everything is written, or the connection ends.
func (c *batchConn) drain() {
	c.flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	for (len(c.buf) > 0 || c.writing) && !c.closed && c.err == nil {
		c.room.Wait()
	}
}

// takesPong tells whether a pong may be written, or too many wait already.
func (c *batchConn) takesPong(payload int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pongs+payload > maxPongBytes {
		return false
	}
	c.pongs += payload + 8
	return true
}

// Close has written what is left, within drainTimeout, and closes the connection behind it. It does
// not wait for that.
func (c *batchConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.Conn.SetReadDeadline(c.start) // whoever reads has nothing more to wait for
		c.Conn.SetWriteDeadline(time.Now().Add(drainTimeout))
		c.wake.Signal()
		c.room.Broadcast()
	}
	return nil
}

// abort closes the connection at once, whatever is left.
func (c *batchConn) abort() {
	c.Close()
	c.Conn.Close()
}

func (c *batchConn) run() {
	defer close(c.done)
	defer c.Conn.Close()
	var spare []byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil {
		for !c.closed && (len(c.buf) == 0 || c.hold && len(c.buf) < flushBytes) {
			c.wake.Wait()
		}
		if len(c.buf) == 0 {
			return // closed, and all is written
		}
		batch := c.buf
		c.buf, c.pongs, c.writing = spare[:0], 0, true
		c.room.Broadcast()
		c.mu.Unlock()
		err := c.write(batch)
		spare = batch
		if cap(spare) > keepBytes {
			spare = nil
		}
		c.mu.Lock()
		c.err, c.writing = err, false
		c.room.Broadcast()
	}
	c.buf = nil
	c.room.Broadcast()
	c.Conn.SetReadDeadline(c.start) // whoever reads ends, too
}

// write writes a batch in pieces, each of which has to be taken in time.
func (c *batchConn) write(batch []byte) error {
	for len(batch) > 0 {
		piece := batch[:min(len(batch), roomBytes)]
		c.setWriteDeadline()
		begun := time.Now()
		n, err := c.Conn.Write(piece)
		if n > 0 && time.Since(begun) > waited {
			c.alive.Store(int64(time.Since(c.start)))
		}
		if err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// setWriteDeadline allows the next write its time, unless Close has set a nearer deadline.
func (c *batchConn) setWriteDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.Conn.SetWriteDeadline(time.Now().Add(c.stall))
	}
}
