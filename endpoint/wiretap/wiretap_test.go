package wiretap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A log is what a show was told.
type log struct {
	mu    sync.Mutex
	items []string
}

func (l *log) item(it capture.Item) {
	text := it.From.Name + " > " + it.To.Name + " " + it.Note
	if it.Frame != nil {
		text = it.From.Name + " > " + it.To.Name + " " + it.Frame.Kind()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items = append(l.items, text)
}

func (l *log) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.items)
}

// A bench is a tap between a test and a target of the test.
type bench struct {
	t      *testing.T
	tap    *Tap
	target net.Listener
	end    func() // and wait
}

func newBench(t *testing.T, each func(capture.Item)) *bench {
	t.Helper()
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tap, err := Listen(t.Context(), "127.0.0.1:0", target.Addr().String(), NewShow(each))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tap.Run(ctx) }()
	b := &bench{t: t, tap: tap, target: target}
	b.end = sync.OnceFunc(func() {
		cancel()
		target.Close()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(b.end)
	return b
}

// connect returns both ends of a connection through the tap.
func (b *bench) connect() (dialer, listener *net.TCPConn) {
	b.t.Helper()
	d, err := net.Dial("tcp", b.tap.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := b.target.Accept()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { d.Close(); l.Close() })
	return d.(*net.TCPConn), l.(*net.TCPConn)
}

// send writes b in one direction and returns what arrives.
func send(t *testing.T, from, to net.Conn, b []byte) []byte {
	t.Helper()
	if _, err := from.Write(b); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(b))
	if _, err := io.ReadFull(to, got); err != nil {
		t.Fatal(err)
	}
	return got
}

var (
	idA, _ = wire.ParseEndpointID("64770b6b-fa08-4cca-99f7-992948add76d")
	idB, _ = wire.ParseEndpointID("76553d67-f5b8-4e93-966d-e4dcce586e33")
)

// TestConversation: what two nodes say arrives unchanged and is shown in order.
func TestConversation(t *testing.T) {
	var l log
	b := newBench(t, l.item)
	dialer, listener := b.connect()
	say := func(from, to net.Conn, frame []byte) {
		if got := send(t, from, to, frame); !bytes.Equal(got, frame) {
			t.Errorf("%x arrives as %x", frame, got)
		}
	}
	say(listener, dialer, wire.Probe{}.AppendFrame(nil))
	say(dialer, listener, wire.Hello{Sender: idB, Min: 1, Max: 1}.AppendFrame(nil))
	say(listener, dialer, wire.OriginatorSyn{Filter: []string{"/a"}}.AppendFrame(wire.VersionSelect{Sender: idA, Version: 1}.AppendFrame(nil)))
	say(dialer, listener, wire.ResponderSynAck{}.AppendFrame(nil))
	say(listener, dialer, wire.OriginatorAck{}.AppendFrame(nil))
	data := wire.AppendEnvelope(nil, wire.Envelope{Sender: idB, Type: wire.TypeData, TTL: 16, Topic: []byte("/a"), Payload: []byte{0}})
	for i := range data { // byte by byte
		say(dialer, listener, data[i:i+1])
	}
	dialer.CloseWrite()
	if n, err := listener.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d bytes, %v", n, err)
	}
	// Half a connection is still there.
	say(listener, dialer, wire.AppendPing(nil, idA, idB, []byte("still")))
	listener.CloseWrite()
	if n, err := dialer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d bytes, %v", n, err)
	}
	b.end()
	want := []string{
		"dialer > listener connected", "listener > dialer probe", "dialer > listener hello", "listener > dialer version_select",
		"listener > dialer originator_syn", "dialer > listener responder_syn_ack", "listener > dialer originator_ack",
		"dialer > listener data", "listener > dialer ping", "dialer > listener closed",
	}
	if diff := cmp.Diff(want, l.lines()); diff != "" {
		t.Error(diff)
	}
}

// TestForeign: bytes that are nothing of ours arrive unchanged, much of them both ways at once, and
// are named once.
func TestForeign(t *testing.T) {
	var l log
	b := newBench(t, l.item)
	dialer, listener := b.connect()
	const size = 8 << 20
	noise := rand.NewChaCha8([32]byte{1})
	var sent, got [2][sha256.Size]byte
	var both sync.WaitGroup
	for i, ends := range [][2]*net.TCPConn{{dialer, listener}, {listener, dialer}} {
		text := make([]byte, size)
		noise.Read(text)
		copy(text, "\x16\x03\x01\x02\x00\x01")
		sent[i] = sha256.Sum256(text)
		both.Go(func() {
			if _, err := ends[0].Write(text); err != nil {
				t.Error(err)
			}
			ends[0].CloseWrite()
		})
		both.Go(func() {
			h := sha256.New()
			if n, err := io.Copy(h, ends[1]); n != size || err != nil {
				t.Errorf("%d of %d bytes arrived: %v", n, size, err)
			}
			h.Sum(got[i][:0])
		})
	}
	both.Wait()
	if sent != got {
		t.Error("what arrived is not what was sent")
	}
	b.end()
	lines := l.lines()
	// Either side may have been the first.
	for i, line := range lines {
		lines[i] = strings.Replace(line, "listener > dialer", "dialer > listener", 1)
	}
	slices.Sort(lines)
	want := []string{"dialer > listener TLS: cannot be read", "dialer > listener closed", "dialer > listener connected"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

// TestSlowViewer: whoever looks at nothing holds nobody up, and is told what was not shown.
func TestSlowViewer(t *testing.T) {
	gate := make(chan struct{})
	var l log
	b := newBench(t, func(it capture.Item) {
		if it.Frame != nil {
			<-gate
		}
		l.item(it)
	})
	dialer, listener := b.connect()
	frame := wire.AppendEnvelope(nil, wire.Envelope{Sender: idB, Type: wire.TypeData, TTL: 16, Topic: []byte("/a"), Payload: make([]byte, 1<<20)})
	send(t, dialer, listener, wire.Hello{Sender: idB, Min: 1, Max: 1}.AppendFrame(nil))
	const count = 3 * maxWaiting >> 20
	for range count {
		if got := send(t, dialer, listener, frame); !bytes.Equal(got, frame) {
			t.Fatal("what arrives is not what was sent")
		}
	}
	close(gate)
	dialer.Close()
	listener.Close()
	b.end()
	lines := l.lines()
	shown, lost := 0, 0
	for _, line := range lines {
		shown += strings.Count(line, "data")
		lost += strings.Count(line, "were passed on but not shown")
	}
	if shown == 0 || shown >= count || lost == 0 {
		t.Errorf("%d frames shown of %d, %d times lost", shown, count, lost)
	}
}

// TestReset: a connection that is reset at one end is reset at the other.
func TestReset(t *testing.T) {
	var l log
	b := newBench(t, l.item)
	dialer, listener := b.connect()
	send(t, dialer, listener, []byte("\x00\x00\x00\x17"))
	dialer.SetLinger(0)
	dialer.Close()
	if _, err := listener.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	b.end()
	lines := l.lines()
	if last := lines[len(lines)-1]; !strings.Contains(last, "connection reset") {
		t.Errorf("%q", lines)
	}
	if !slices.Contains(lines, "dialer > listener ends in the middle of a frame: 4 bytes of its length") {
		t.Errorf("%q", lines)
	}
}

// TestTargetDown: who comes is turned away, and the reason is told.
func TestTargetDown(t *testing.T) {
	var l log
	b := newBench(t, l.item)
	b.target.Close()
	c, err := net.Dial("tcp", b.tap.Addr().String())
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	b.end()
	if lines := l.lines(); len(lines) != 1 || !strings.Contains(lines[0], "the target cannot be reached") {
		t.Errorf("%q", lines)
	}
}

// TestManyConnections: each has its number and its own state; the end of Run closes all of them.
func TestManyConnections(t *testing.T) {
	var mu sync.Mutex
	frames := make(map[int]int)
	b := newBench(t, func(it capture.Item) {
		mu.Lock()
		defer mu.Unlock()
		if it.Frame != nil && it.Frame.Kind() == "hello" {
			frames[it.Conn]++
		}
	})
	const count = 50
	hello := wire.Hello{Sender: idB, Min: 1, Max: 1}.AppendFrame(nil)
	var dialers []net.Conn
	for range count {
		dialer, listener := b.connect()
		if got := send(t, dialer, listener, hello); !bytes.Equal(got, hello) {
			t.Fatalf("%x", got)
		}
		dialers = append(dialers, dialer)
	}
	b.end()
	for _, c := range dialers {
		c.SetReadDeadline(time.Now().Add(time.Minute)) // to fail and not to hang
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a connection is still there: %v", err)
		}
	}
	if len(frames) != count {
		t.Errorf("%d connections showed something", len(frames))
	}
	for conn, n := range frames {
		if n != 1 {
			t.Errorf("connection %d showed %d frames", conn, n)
		}
	}
}

// TestListenFails: an address that is taken is said.
func TestListenFails(t *testing.T) {
	b := newBench(t, func(capture.Item) {})
	if _, err := Listen(t.Context(), b.tap.Addr().String(), "127.0.0.1:1", NewShow(nil)); !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(fmt.Sprint(err))
	}
}
