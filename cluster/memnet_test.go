package cluster_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A memNet is a network in memory, for clusters that have more connections than a process may have sockets, and for
// the bubbles of testing/synctest.
type memNet struct {
	mu        sync.Mutex
	listeners []*memListener
}

func (n *memNet) listen() net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &memListener{addr: memAddr(fmt.Sprint("memory:", len(n.listeners))), backlog: make(chan net.Conn, 1024), closed: make(chan struct{})}
	n.listeners = append(n.listeners, l)
	return l
}

func (n *memNet) dial(addr string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		if string(l.addr) == addr {
			link := new(memLink)
			link.changed = sync.NewCond(&link.mu)
			a, b := &memConn{link: link, remote: l.addr}, &memConn{link: link, local: l.addr}
			a.other, b.other = b, a
			select {
			case <-l.closed:
			case l.backlog <- b:
				return a, nil
			default: // full
			}
		}
	}
	return nil, syscall.ECONNREFUSED
}

type memAddr string

func (memAddr) Network() string  { return "memory" }
func (a memAddr) String() string { return string(a) }

type memListener struct {
	addr    memAddr
	backlog chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *memListener) Addr() net.Addr { return l.addr }

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// memBuffer is how many bytes wait in each direction before writing does.
const memBuffer = 64 << 10

// A memLink is what the two ends of a connection share.
type memLink struct {
	mu      sync.Mutex
	changed *sync.Cond
}

// A memConn is one end of a connection.
type memConn struct {
	link          *memLink
	other         *memConn
	local, remote memAddr

	// The link's lock guards what follows.
	in              []byte
	closed          bool
	readBy, writeBy memDeadline
}

func (c *memConn) Read(b []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case len(c.in) > 0:
			n := copy(b, c.in)
			if c.in = c.in[n:]; len(c.in) == 0 {
				c.in = nil
			}
			c.link.changed.Broadcast()
			return n, nil
		case c.other.closed:
			return 0, io.EOF
		case c.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		}
		c.link.changed.Wait()
	}
}

func (c *memConn) Write(b []byte) (n int, err error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		switch {
		case n == len(b):
			return n, nil
		case c.closed:
			return n, net.ErrClosed
		case c.other.closed:
			return n, syscall.EPIPE
		case c.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		}
		if room := memBuffer - len(c.other.in); room > 0 {
			part := b[n:][:min(room, len(b)-n)]
			c.other.in = append(c.other.in, part...)
			n += len(part)
			c.link.changed.Broadcast()
			continue
		}
		c.link.changed.Wait()
	}
}

func (c *memConn) Close() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.closed = true
	c.readBy.stop()
	c.writeBy.stop()
	c.link.changed.Broadcast()
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) RemoteAddr() net.Addr { return c.remote }

func (c *memConn) SetDeadline(t time.Time) error {
	c.setDeadline(&c.readBy, t)
	return c.setDeadline(&c.writeBy, t)
}
func (c *memConn) SetReadDeadline(t time.Time) error  { return c.setDeadline(&c.readBy, t) }
func (c *memConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeBy, t) }

// A memDeadline is a time from which on an operation fails; the timer wakes those that wait.
type memDeadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *memDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *memDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (c *memConn) setDeadline(d *memDeadline, t time.Time) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	d.stop()
	if d.at = t; !t.IsZero() && !c.closed {
		d.timer = time.AfterFunc(time.Until(t), func() {
			c.link.mu.Lock()
			c.link.changed.Broadcast()
			c.link.mu.Unlock()
		})
	}
	return nil
}
