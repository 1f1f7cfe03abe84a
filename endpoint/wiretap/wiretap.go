// Package wiretap stands between two nodes on plain TCP and shows what they say. It copies the bytes
// of each connection unchanged, and reads a copy of them: nothing that it cannot read, and nobody who
// is slow to look, disturbs the nodes.
package wiretap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/capture"
)

const (
	dialTimeout = 5 * time.Second
	// maxConns bounds the connections at a time. Those above it are closed at once.
	maxConns = 1024
	// chunkSize is how much is read at a time, in bytes.
	chunkSize = 64 << 10
	// maxWaiting bounds the bytes of one connection that wait to be looked at, and maxFrames those of
	// all connections that wait for the rest of their frames.
	maxWaiting = 16 << 20
	maxFrames  = 256 << 20
)

// A Tap listens at one address and connects whoever comes to a target.
type Tap struct {
	listener net.Listener
	target   string
	show     *Show
	wg       sync.WaitGroup
	conns    atomic.Int64
}

// A Show is where taps show what they see. It calls a function with one item at a time.
type Show struct {
	mu     sync.Mutex
	each   func(capture.Item)
	number atomic.Int64 // of connections
	kept   atomic.Int64 // bytes that wait for the rest of their frames
}

// NewShow returns a show for taps. While each is busy, items wait and, beyond a bound, are lost and
// said to be.
func NewShow(each func(capture.Item)) *Show { return &Show{each: each} }

func (s *Show) put(it capture.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.each(it)
}

// Listen begins to listen at an address.
func Listen(ctx context.Context, addr, target string, show *Show) (*Tap, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Tap{listener: l, target: target, show: show}, nil
}

// Addr returns the address at which the tap listens.
func (t *Tap) Addr() net.Addr { return t.listener.Addr() }

// Close ends the listening. Run does so itself.
func (t *Tap) Close() error { return t.listener.Close() }

// Run accepts connections until ctx ends, and returns when all of them are closed.
func (t *Tap) Run(ctx context.Context) error {
	defer t.wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { t.listener.Close() })
	defer stop()
	defer t.listener.Close()
	for {
		c, err := t.listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // such as too many open files: those that are there go on
			t.show.put(capture.Item{Time: time.Now(), Note: fmt.Sprintf("%v: %v", t.Addr(), err), Damage: true})
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if t.conns.Add(1) > maxConns {
			t.conns.Add(-1)
			abort(c)
			t.show.put(capture.Item{Time: time.Now(), Note: fmt.Sprintf("%v: more than %d connections; %v is refused", t.Addr(), maxConns, c.RemoteAddr()), Damage: true})
			continue
		}
		t.wg.Go(func() {
			defer t.conns.Add(-1)
			t.serve(ctx, c)
		})
	}
}

// serve copies one connection to the target and back.
func (t *Tap) serve(ctx context.Context, dialer net.Conn) {
	v := newViewer(t.show, int(t.show.number.Add(1)), dialer.RemoteAddr().String(), t.target)
	d := net.Dialer{Timeout: dialTimeout}
	listener, err := d.DialContext(ctx, "tcp", t.target)
	if err != nil {
		abort(dialer)
		v.show.put(v.note(time.Now(), 0, fmt.Sprintf("the target cannot be reached: %v", err), true))
		return
	}
	v.show.put(v.note(time.Now(), 0, "connected", false))
	// The end of ctx closes both, which ends the copying.
	stop := context.AfterFunc(ctx, func() {
		dialer.Close()
		listener.Close()
	})
	defer stop()
	var looking, copying sync.WaitGroup
	looking.Go(v.look)
	var ends [2]string
	copying.Go(func() { ends[0] = v.copy(0, listener, dialer) })
	copying.Go(func() { ends[1] = v.copy(1, dialer, listener) })
	copying.Wait()
	dialer.Close()
	listener.Close()
	v.close()
	looking.Wait()
	how := "closed"
	for i, end := range ends {
		if end != "" {
			how = fmt.Sprintf("ended by %v: %s", v.ends[i], end)
			break
		}
	}
	v.show.put(v.note(time.Now(), 0, how, false))
}

// copy copies one direction until its end, of which it tells the other side. It returns what went
// wrong, "" if nothing did.
func (v *viewer) copy(side int, to, from net.Conn) string {
	buf := make([]byte, chunkSize)
	for {
		n, readErr := from.Read(buf)
		if n > 0 {
			// Taken before it is sent, which never waits, so that no answer shows before its question.
			v.push(side, buf[:n])
			if _, err := to.Write(buf[:n]); err != nil {
				abort(from)
				return "it sent what the other side no longer takes"
			}
		}
		switch {
		case readErr == nil:
		case errors.Is(readErr, io.EOF):
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			}
			return ""
		default:
			abort(to)
			if errors.Is(readErr, syscall.ECONNRESET) {
				return "connection reset"
			}
			if errors.Is(readErr, net.ErrClosed) {
				return ""
			}
			return readErr.Error()
		}
	}
}

// abort closes a connection so that the other side sees that something went wrong.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
