package endpoint_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/handshake"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// What the reference's throughput tool sends: frames of 106 bytes.
const (
	benchTopic = "/benchmark/events"
	benchEvent = "event_1"
)

var benchID = wire.EndpointID{15: 1} // smaller than any random id

func benchFrame() []byte {
	return wire.AppendEnvelope(nil, wire.Envelope{
		Sender: benchID, Type: wire.TypeData, TTL: wire.DefaultTTL, Topic: []byte(benchTopic),
		Payload: zeek.AppendEvent(nil, benchEvent, data.Count(42), data.String("test")),
	})
}

// BenchmarkReceive: one peer sends 106-byte events as fast as the socket takes them; one subscriber
// gets each as an event and checks its name and arguments. "bare" only walks over the frames;
// "reference" is broker-throughput as the receiver, if it is on PATH.
func BenchmarkReceive(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		startRole(b, nil, "sender", l.Addr().String())
		conn, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		p, err := shake(conn, handshake.Listener, wire.EndpointID{0: 0xff})
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 256<<10)
		have := 0
		b.SetBytes(int64(len(benchFrame())))
		b.ResetTimer()
		for seen := 0; seen < b.N; {
			n, err := p.r.Read(buf[have:])
			if err != nil {
				b.Fatal(err)
			}
			have += n
			at := 0
			for have-at >= 4 {
				end := at + 4 + int(binary.BigEndian.Uint32(buf[at:]))
				if end > have {
					break
				}
				at = end
				seen++
			}
			have = copy(buf, buf[at:have])
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	})
	for _, security := range []endpoint.Security{endpoint.PlainTCP(), endpoint.AnonymousTLS()} {
		b.Run("subscriber-"+security.String(), func(b *testing.B) { benchSubscriber(b, security) })
	}
	b.Run("reference", func(b *testing.B) {
		addr := freeAddr(b)
		out := startReference(b, "broker-throughput", "--disable-ssl", "--verbose", "--server", addr)
		waitListening(b, addr)
		startRole(b, nil, "sender", addr)
		// It prints its rate once a second.
		var rates []float64
		for out.Scan() && len(rates) < 3 {
			var rate float64
			if n, _ := fmt.Sscanf(out.Text(), "rate: %f events/s", &rate); n == 1 && rate > 0 {
				rates = append(rates, rate)
			}
		}
		if len(rates) == 0 {
			b.Fatal("broker-throughput received nothing")
		}
		b.ReportMetric(slices.Max(rates), "msg/s")
		b.ReportMetric(0, "ns/op")
	})
}

func benchSubscriber(b *testing.B, security endpoint.Security) {
	e := newEndpoint(b, endpoint.WithSecurity(security))
	sub, err := e.Subscribe([]string{"/bench"}, endpoint.WithQueue(endpoint.QueueLimits{Policy: endpoint.Block, Messages: 1 << 16}))
	if err != nil {
		b.Fatal(err)
	}
	startRole(b, nil, "sender", listen(b, e), security.String())
	b.SetBytes(int64(len(benchFrame())))
	seen := 0
	for m := range sub.Messages(b.Context()) {
		if seen == 0 {
			b.ResetTimer()
		}
		ev, err := m.EventView()
		if err != nil || string(ev.Name) != benchEvent || ev.NumArgs != 2 ||
			ev.Args.Count() != 42 || string(ev.Args.Bytes()) != "test" || ev.Args.Finish() != nil {
			b.Fatalf("%v %v", ev, err)
		}
		if seen++; seen > b.N {
			break
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(sub.Stats().Dropped), "dropped")
}

// freeAddr returns an address on loopback that nobody listens at.
func freeAddr(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// waitListening waits until somebody listens at addr.
func waitListening(b *testing.B, addr string) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return
		}
	}
	b.Fatalf("nobody listens at %s", addr)
}

// startReference runs a program of the reference, or skips the benchmark. It returns its output.
func startReference(b *testing.B, program string, args ...string) *bufio.Scanner {
	path, err := exec.LookPath(program)
	if err != nil {
		b.Skipf("no %s on PATH", program)
	}
	cmd := exec.Command(path, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return bufio.NewScanner(out)
}

// BenchmarkPublish: small events to sinks in another process. All get each message, or each gets its
// own. "reference" is broker-throughput sending as fast as it can to a bare sink: what arrives until it
// disconnects itself.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct {
		sinks int
		all   bool
	}{{1, true}, {10, true}, {100, true}, {100, false}} {
		name := fmt.Sprintf("%d-sinks", c.sinks)
		which := "all"
		if !c.all {
			name += "-one-each"
			which = "own"
		}
		b.Run(name, func(b *testing.B) {
			e := newEndpoint(b, endpoint.WithPeerQueue(endpoint.QueueLimits{Policy: endpoint.Block, Messages: 1 << 16}))
			startRole(b, nil, "sinks", listen(b, e), fmt.Sprint(c.sinks), which).line(b)
			ctx := context.Background()
			if err := e.WaitPeers(ctx, c.sinks); err != nil {
				b.Fatal(err)
			}
			topics := make([]string, c.sinks)
			for i := range topics {
				topics[i] = fmt.Sprintf("/bench/%d/", i)
			}
			receivers := 1
			if c.all {
				receivers = c.sinks
			}
			b.ReportAllocs()
			b.ResetTimer()
			next := 0
			for range b.N {
				topic := topics[next]
				if !c.all {
					if next++; next == len(topics) {
						next = 0
					}
				}
				if n, err := e.PublishEvent(ctx, topic, benchEvent, data.Count(42), data.String("test")); n != receivers || err != nil {
					b.Fatalf("queued for %d, %v", n, err)
				}
			}
			// Until everything is written.
			want, sent := uint64(b.N)*uint64(receivers), uint64(0)
			for deadline := time.Now().Add(time.Minute); sent < want; {
				sent = 0
				for _, p := range e.Peers() {
					sent += p.FramesOut
				}
				if time.Now().After(deadline) {
					b.Fatalf("%d of %d sent", sent, want)
				}
				time.Sleep(100 * time.Microsecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(want)/b.Elapsed().Seconds(), "deliveries/s")
			dropped := uint64(0)
			for _, p := range e.Peers() {
				dropped += p.Dropped[endpoint.DropQueueFull]
			}
			b.ReportMetric(float64(dropped), "dropped")
		})
	}
	b.Run("reference", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		startReference(b, "broker-throughput", "--disable-ssl", "-r", "0", l.Addr().String())
		conn, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		p, err := shake(conn, handshake.Listener, wire.NewEndpointID(), benchTopic)
		if err != nil {
			b.Fatal(err)
		}
		p.SetReadDeadline(time.Now().Add(5 * time.Second))
		start, last, received := time.Now(), time.Now(), 0
		for {
			body, err := p.readFrame()
			if err != nil {
				break
			}
			if e, err := wire.ParseEnvelope(body); err == nil && e.Type == wire.TypeData {
				received++
				last = time.Now()
			}
		}
		b.ReportMetric(float64(received), "received")
		b.ReportMetric(float64(received)/last.Sub(start).Seconds(), "deliveries/s")
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkPublishCommand: commands of stores, beside payloads of data that are the same bytes, to sinks in
// another process. Neither waits: what outruns the sinks is dropped.
func BenchmarkPublishCommand(b *testing.B) {
	payload := zeek.AppendEvent(nil, benchEvent, data.Count(42), data.String("test"))
	for _, sinks := range []int{1, 10} {
		for _, kind := range []wire.MessageType{wire.TypeData, wire.TypeCommand} {
			b.Run(fmt.Sprintf("%d-sinks-%v", sinks, kind), func(b *testing.B) {
				e := newEndpoint(b, endpoint.WithPeerQueue(endpoint.QueueLimits{Messages: 1 << 16}))
				startRole(b, nil, "sinks", listen(b, e), fmt.Sprint(sinks), "all").line(b)
				ctx := context.Background()
				if err := e.WaitPeers(ctx, sinks); err != nil {
					b.Fatal(err)
				}
				publish := func() (int, error) { return e.PublishPayload(ctx, "/bench/0/", payload) }
				if kind == wire.TypeCommand {
					publish = func() (int, error) { return e.PublishCommand("/bench/0/", payload) }
				}
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					if n, err := publish(); n != sinks || err != nil {
						b.Fatalf("queued for %d, %v", n, err)
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(e.Stats().Dropped[endpoint.DropQueueFull])/float64(b.N*sinks), "dropped/delivery")
			})
		}
	}
}

// BenchmarkSnapshot: one command of 150 MB, as a clone of a large store gets it, to one subscriber in the same
// process, from the call to the message. Run it with -benchtime 3x.
func BenchmarkSnapshot(b *testing.B) {
	for _, security := range []endpoint.Security{endpoint.PlainTCP(), endpoint.AnonymousTLS()} {
		b.Run(security.String(), func(b *testing.B) {
			master, clone := newEndpoint(b, endpoint.WithSecurity(security)), newEndpoint(b, endpoint.WithSecurity(security))
			sub, err := clone.Subscribe([]string{"s/"}, endpoint.WithCommands(), endpoint.WithQueue(lossless))
			if err != nil {
				b.Fatal(err)
			}
			connect(b, clone, listen(b, master))
			if err := master.WaitPeers(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
			snapshot := noise(150 << 20)
			b.SetBytes(int64(len(snapshot)))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if queued, err := master.PublishCommandTo(clone.ID(), "s/x", []byte("head"), snapshot); !queued || err != nil {
					b.Fatal(queued, err)
				}
				for m := range sub.Messages(b.Context()) {
					if len(m.Payload()) != 4+len(snapshot) {
						b.Fatal("another message")
					}
					break
				}
				b.StopTimer()
				until(b, "the writer is done", func() bool { return master.Peers()[0].Queued == 0 })
				b.StartTimer()
			}
		})
	}
}

// BenchmarkPing: round trips of the same bytes by turns, to a bare echo, to a node, and to the reference
// if it is on PATH.
func BenchmarkPing(b *testing.B) {
	e := newEndpoint(b)
	type target struct {
		name  string
		ping  func() error
		times []time.Duration
	}
	var targets []*target
	peer := func(name, addr string) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		p, err := shake(conn, handshake.Dialer, wire.NewEndpointID())
		if err != nil {
			b.Fatal(err)
		}
		ping := wire.AppendPing(nil, p.id, p.remote, []byte("12345678"))
		var answer [256]byte
		targets = append(targets, &target{name: name, ping: func() error {
			if _, err := p.Write(ping); err != nil {
				return err
			}
			_, err := io.ReadFull(p.r, answer[:len(ping)])
			return err
		}})
	}
	out := startRole(b, nil, "echo")
	conn, err := net.Dial("tcp", strings.TrimPrefix(out.line(b), "ready "))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	message := wire.AppendPing(nil, benchID, benchID, []byte("12345678"))
	targets = append(targets, &target{name: "echo", ping: func() error {
		if _, err := conn.Write(message); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, message)
		return err
	}})
	node := startRole(b, nil, "node", "127.0.0.1:0", e.ID().String())
	peer("node", strings.TrimPrefix(node.line(b), "ready "))
	if _, err := exec.LookPath("broker-node"); err == nil {
		addr := freeAddr(b)
		_, port, _ := net.SplitHostPort(addr)
		startReference(b, "broker-node", "--disable-ssl", "-p", port, `--topics=["/bench"]`)
		waitListening(b, addr)
		peer("reference", addr)
	}
	b.ResetTimer()
	for range b.N {
		for _, t := range targets {
			start := time.Now()
			if err := t.ping(); err != nil {
				b.Fatalf("%s: %v", t.name, err)
			}
			t.times = append(t.times, time.Since(start))
		}
	}
	for _, t := range targets {
		slices.Sort(t.times)
		b.ReportMetric(float64(t.times[len(t.times)/2])/1e3, t.name+"-p50-us")
		b.ReportMetric(float64(t.times[len(t.times)*99/100])/1e3, t.name+"-p99-us")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkIdle: a node with 100 peers and nothing to do, in another process. Run it with
// -benchtime 1x: it looks at the node for ten seconds.
func BenchmarkIdle(b *testing.B) {
	node := startRole(b, nil, "node", "127.0.0.1:0", wire.NewEndpointID().String())
	addr := strings.TrimPrefix(node.line(b), "ready ")
	for range 100 {
		p := mustShake(addr, wire.NewEndpointID(), "/idle")
		b.Cleanup(func() { p.Close() })
		go answerPings(p)
	}
	const look = 10 * time.Second
	for range b.N {
		before := cpuTime(b, node.cmd.Process.Pid)
		time.Sleep(look)
		used := cpuTime(b, node.cmd.Process.Pid) - before
		b.ReportMetric(100*used.Seconds()/look.Seconds(), "%core")
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", node.cmd.Process.Pid))
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kb); n == 1 {
			b.ReportMetric(kb/1024, "MiB-resident")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// answerPings does what an idle peer does.
func answerPings(p *rawPeer) {
	for {
		body, err := p.readFrame()
		if err != nil {
			return
		}
		if e, err := wire.ParseEnvelope(body); err == nil && e.Type == wire.TypePing {
			p.Write(wire.AppendPong(nil, p.id, p.remote, e.Payload))
		}
	}
}

// cpuTime returns how much time a process has spent on a core.
func cpuTime(b *testing.B, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond
	return time.Duration(user+system) * tick
}
