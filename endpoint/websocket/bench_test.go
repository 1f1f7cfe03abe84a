package websocket_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// Benchmarks talk to other processes, which are this test binary run again with a role.
const roleEnv = "ZEEKPEER_BENCH_ROLE" // "publish ADDR RATE", "read URL" or "send URL"

func TestMainRole(t *testing.T) {
	role := strings.Fields(os.Getenv(roleEnv))
	if len(role) == 0 {
		t.Skip("the other processes of the benchmarks")
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0) // the benchmark is over
	}()
	switch role[0] {
	case "publish":
		var rate int
		fmt.Sscan(role[2], &rate)
		benchPublish(t, role[1], rate)
	case "read":
		benchRead(t, role[1])
	case "send":
		benchSend(t, role[1])
	}
}

// helper runs this test binary in a role until the benchmark is over.
func helper(b *testing.B, role ...string) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestMainRole$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), roleEnv+"="+strings.Join(role, " "))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
}

const benchTopic = "/bench/x"

// benchPublish is a native peer that publishes small events, so many a second, or as many as it can.
func benchPublish(t *testing.T, addr string, rate int) {
	ep := newEndpoint(t, endpoint.WithPeerQueue(endpoint.QueueLimits{Policy: endpoint.Block}))
	p, err := ep.Peer(addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for n := 0; ; n++ {
		if rate > 0 && n%64 == 0 {
			time.Sleep(time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(rate))))
		}
		if _, err := ep.PublishEvent(t.Context(), benchTopic, "event_1x", data.Count(42), data.String("test")); err != nil {
			t.Fatal(err)
		}
	}
}

// benchRead is a WebSocket client that looks at the header of each frame, and at nothing else.
func benchRead(t *testing.T, url string) {
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`["/bench/"]`)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReaderSize(conn.UnderlyingConn(), 256<<10)
	for {
		head, err := r.Peek(4)
		if err != nil {
			t.Fatal(err)
		}
		switch n := int(head[1]); n {
		case 126:
			_, err = r.Discard(4 + int(binary.BigEndian.Uint16(head[2:])))
		case 127:
			t.Fatal("too long")
		default:
			_, err = r.Discard(2 + n)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// benchSend is a WebSocket client that sends the same message over and over.
func benchSend(t *testing.T, url string) {
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`[]`)); err != nil {
		t.Fatal(err)
	}
	text := data.AppendJSONMessage(nil, benchTopic, data.Vector(data.Count(1), data.Count(1), data.Vector(
		data.String("event_1x"), data.Vector(data.Count(42), data.String("test")))))
	frame := binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(text)))
	frame = append(append(frame, 0, 0, 0, 0), text...) // a mask of zero
	block := []byte(strings.Repeat(string(frame), 256))
	for {
		if _, err := conn.UnderlyingConn().Write(block); err != nil {
			return
		}
	}
}

// BenchmarkToClient: a native peer in another process publishes small events, 345 bytes as JSON; a
// client in a third one reads them.
func BenchmarkToClient(b *testing.B) {
	for _, rate := range []int{0, 150_000, 200_000} {
		name := "as-many-as-it-can"
		if rate > 0 {
			name = fmt.Sprintf("%d-a-second", rate)
		}
		b.Run(name, func(b *testing.B) {
			ep := newEndpoint(b)
			s, url := serve(b, ep)
			addr, err := ep.Listen(b.Context(), "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			helper(b, "read", url)
			until(b, func() bool { c := s.Clients(); return len(c) > 0 && c[0].Topics != nil })
			helper(b, "publish", addr.String(), fmt.Sprint(rate))
			until(b, func() bool { return s.Clients()[0].Sent > 0 })
			first, cpu := s.Clients()[0], cpuTime(b)
			b.ResetTimer()
			until(b, func() bool { return s.Clients()[0].Sent-first.Sent >= uint64(b.N) })
			b.StopTimer()
			last := s.Clients()[0]
			b.ReportMetric(float64(last.Sent-first.Sent)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(last.Dropped-first.Dropped)/b.Elapsed().Seconds(), "dropped/s")
			b.ReportMetric(float64(cpuTime(b)-cpu)/float64(last.Sent-first.Sent), "cpu-ns/msg")
		})
	}
}

// BenchmarkFromClient: a client in another process sends as fast as it can; this one parses and
// publishes to a subscriber that only counts.
func BenchmarkFromClient(b *testing.B) {
	ep := newEndpoint(b)
	s, url := serve(b, ep)
	sub, err := ep.Subscribe([]string{"/bench/"}, endpoint.WithLoopback())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range sub.Messages(ctx) {
		}
	}()
	helper(b, "send", url)
	received := func() uint64 {
		if c := s.Clients(); len(c) > 0 {
			return c[0].Received
		}
		return 0
	}
	until(b, func() bool { return received() > 0 })
	first, cpu := received(), cpuTime(b)
	b.ResetTimer()
	until(b, func() bool { return received()-first >= uint64(b.N) })
	b.StopTimer()
	b.ReportMetric(float64(received()-first)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(sub.Stats().Dropped), "dropped")
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(received()-first), "cpu-ns/msg")
	cancel()
	<-done
}

// cpuTime returns what this process has used of the processors, which says more than the clock on a
// machine with few.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// until waits for what another process brings about.
func until(b *testing.B, ok func() bool) {
	b.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			b.Fatal("nothing happens")
		}
		time.Sleep(100 * time.Microsecond)
	}
}
