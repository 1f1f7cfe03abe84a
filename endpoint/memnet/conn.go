package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A link is what the two ends of a connection share.
type link struct {
	buffer  int
	mu      sync.Mutex
	changed sync.Cond
}

// A Conn is one end of a connection.
type Conn struct {
	link          *link
	other         *Conn
	local, remote address

	// The link's lock guards what follows.
	in              []byte // what has arrived
	stalled         bool   // and is not handed out
	reset, closed   bool
	readBy, writeBy deadline
}

func newConns(dialer, listener address, buffer int) (a, b *Conn) {
	l := &link{buffer: buffer}
	l.changed.L = &l.mu
	a = &Conn{link: l, local: dialer, remote: listener}
	b = &Conn{link: l, local: listener, remote: dialer, other: a}
	a.other = b
	return a, b
}

func (c *Conn) between() [2]string { return between(hostOf(string(c.local)), hostOf(string(c.remote))) }

// both changes both ends.
func (c *Conn) both(change func(c *Conn)) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	change(c)
	change(c.other)
	c.link.changed.Broadcast()
}

// Part makes the connection one whose other end is gone, for both ends: nothing comes, and nothing tells.
func (c *Conn) Part() { c.both(func(c *Conn) { c.stalled = true }) }

// Read waits until something has come.
func (c *Conn) Read(b []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.reset:
			return 0, syscall.ECONNRESET
		case len(c.in) > 0 && !c.stalled:
			n := copy(b, c.in)
			if c.in = c.in[n:]; len(c.in) == 0 {
				c.in = nil // of a thousand connections that were busy once
			}
			c.link.changed.Broadcast()
			return n, nil
		case c.other.closed && !c.stalled:
			return 0, io.EOF
		case c.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		}
		c.link.changed.Wait()
	}
}

// Write waits until the other end has room for all of b.
func (c *Conn) Write(b []byte) (n int, err error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		switch {
		case n == len(b):
			return n, nil
		case c.closed:
			return n, net.ErrClosed
		case c.reset:
			return n, syscall.ECONNRESET
		case c.other.closed && !c.stalled:
			return n, syscall.EPIPE
		case c.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		}
		if room := c.link.buffer - len(c.other.in); room > 0 {
			part := b[n:][:min(room, len(b)-n)]
			c.other.in = append(c.other.in, part...)
			n += len(part)
			c.link.changed.Broadcast()
			continue
		}
		c.link.changed.Wait()
	}
}

// Close ends the connection. The other end can read what has come before.
func (c *Conn) Close() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.closed = true
	c.readBy.stop()
	c.writeBy.stop()
	c.link.changed.Broadcast()
	return nil
}

// LocalAddr returns the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.setDeadline(&c.readBy, t)
	return c.setDeadline(&c.writeBy, t)
}

// SetReadDeadline sets when Read gives up; the zero time is never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readBy, t) }

// SetWriteDeadline sets when Write gives up; the zero time is never.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeBy, t) }

// A deadline is a time from which on an operation fails; the timer wakes those that wait.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (c *Conn) setDeadline(d *deadline, t time.Time) error {
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
