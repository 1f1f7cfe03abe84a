package websocket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// recorder is a connection that notes the writes that reach it, each when it is let through.
type recorder struct {
	net.Conn
	writes chan []byte
	err    error
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	r.writes <- bytes.Clone(p)
	return len(p), nil
}

func (r *recorder) Read([]byte) (int, error)         { return 0, io.EOF }
func (r *recorder) Close() error                     { return nil }
func (r *recorder) SetReadDeadline(time.Time) error  { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

func TestBatches(t *testing.T) {
	r := &recorder{writes: make(chan []byte)}
	c := newBatchConn(r, time.Minute)
	put := func(s string) {
		t.Helper()
		if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	want := func(s string) {
		t.Helper()
		if got := <-r.writes; string(got) != s {
			t.Fatalf("got %q, want %q", got, s)
		}
	}
	put("alone") // goes out at once
	want("alone")
	for _, s := range []string{"to", "get", "her"} {
		if err := c.begin(); err != nil {
			t.Fatal(err)
		}
		put(s)
	}
	c.flush()
	want("together")
	if err := c.begin(); err != nil {
		t.Fatal(err)
	}
	big := string(make([]byte, flushBytes))
	put(big) // without a flush
	want(big)
	// What is left at the end is written, and drain waits for a write that is under way.
	put("rest")
	drained := make(chan struct{})
	go func() { c.drain(); close(drained) }()
	select {
	case <-drained:
		t.Error("drained before the write")
	case got := <-r.writes:
		if string(got) != "rest" {
			t.Errorf("got %q", got)
		}
	}
	<-drained
	if err := c.begin(); err != nil {
		t.Fatal(err)
	}
	put("last")
	c.Close()
	want("last")
	<-c.done
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := c.begin(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// Messages wait for room, control frames do not, but pongs are bounded.
func TestRoom(t *testing.T) {
	r := &recorder{writes: make(chan []byte)}
	c := newBatchConn(r, time.Minute)
	c.Write(make([]byte, roomBytes)) // its goroutine takes this and waits for the recorder
	c.mu.Lock()
	for !c.writing {
		c.room.Wait()
	}
	c.mu.Unlock()
	if err := c.begin(); err != nil {
		t.Fatal(err)
	}
	c.Write(make([]byte, roomBytes))
	began := make(chan error)
	go func() { began <- c.begin() }()
	c.Write([]byte("control"))
	pongs := 0
	for c.takesPong(100) {
		pongs++
	}
	if pongs != (maxPongBytes-100)/108+1 {
		t.Errorf("%d pongs", pongs)
	}
	select {
	case err := <-began:
		t.Fatalf("began without room, %v", err)
	case got := <-r.writes:
		if len(got) != roomBytes {
			t.Errorf("wrote %d bytes", len(got))
		}
	}
	if err := <-began; err != nil {
		t.Fatal(err)
	}
	if !c.takesPong(100) {
		t.Error("no pong in a new batch")
	}
	c.Close()
	for n := 0; n < roomBytes+len("control"); {
		n += len(<-r.writes)
	}
	<-c.done
}

func TestWriteFails(t *testing.T) {
	broken := errors.New("broken")
	c := newBatchConn(&recorder{err: broken}, time.Minute)
	c.Write(make([]byte, roomBytes))
	<-c.done
	if err := c.wait(); err != broken {
		t.Errorf("got %v", err)
	}
	if _, err := c.Write(nil); err != broken {
		t.Errorf("got %v", err)
	}
	c.drain()
	c.abort()
}
