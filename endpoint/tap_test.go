package endpoint_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// frames takes n frames from a tap, both directions apart.
func frames(t *testing.T, tap *endpoint.Tap, n int) (received, sent [][]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for f := range tap.Frames(ctx) {
		if f.Sent {
			sent = append(sent, bytes.Clone(f.Body))
		} else {
			received = append(received, bytes.Clone(f.Body))
		}
		if n--; n == 0 {
			return received, sent
		}
	}
	t.Fatalf("%d frames missing", n)
	return nil, nil
}

// A tap shows what was written and read, byte for byte and in order: messages of all sizes, frames that
// are dropped, and control messages. A reader that leaves the loop misses nothing.
func TestTap(t *testing.T) {
	for name, dial := range map[string]func(testing.TB, string, ...string) *rawPeer{"off": dialRaw, "anonymous": dialSecret} {
		t.Run(name, func(t *testing.T) {
			node := newEndpoint(t, endpoint.WithSecurity(securities(t)[name]))
			p := dial(t, listen(t, node), "/out")
			p.answered(t) // what comes before the tap is not seen
			tap, err := node.Tap(endpoint.QueueLimits{})
			if err != nil {
				t.Fatal(err)
			}
			defer tap.Close()
			var wrote, read [][]byte
			write := func(f []byte) {
				wrote = append(wrote, f[wire.FrameHeaderLen:])
				p.write(t, f)
			}
			next := func() {
				body, err := p.readFrame()
				if err != nil {
					t.Fatal(err)
				}
				read = append(read, body)
			}
			large := data.AppendString(nil, string(make([]byte, 300_000)))
			for range 20 {
				write(p.data("/nobody", anEvent))
				write(p.data("/nobody", large))
				write(frame())
				write(frame(1, 2, 3))
				if n, err := node.PublishPayload(t.Context(), "/out", anEvent); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				if n, err := node.PublishPayload(t.Context(), "/out", large); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				next()
				next()
				write(wire.AppendPing(nil, p.id, p.remote, []byte("hello")))
				next() // the pong
				sub, err := node.Subscribe([]string{"/in"})
				if err != nil {
					t.Fatal(err)
				}
				next() // a routing update
				sub.Close()
				next() // and another
			}
			var received, sent [][]byte
			for range len(wrote) + len(read) {
				r, s := frames(t, tap, 1)
				received, sent = append(received, r...), append(sent, s...)
			}
			if !slices.EqualFunc(received, wrote, bytes.Equal) {
				t.Errorf("%d frames received, %d seen, or other ones", len(wrote), len(received))
			}
			if !slices.EqualFunc(sent, read, bytes.Equal) {
				t.Errorf("%d frames sent, %d seen, or other ones", len(read), len(sent))
			}
			if n := tap.Dropped(); n > 0 {
				t.Errorf("%d dropped", n)
			}
		})
	}
}

// A tap that nobody reads from holds up nobody, keeps no more than its limits, and counts what it
// lost.
func TestTapSlow(t *testing.T) {
	for _, policy := range []endpoint.Policy{endpoint.DropOldest, endpoint.DropNewest, endpoint.Block, endpoint.Disconnect} {
		t.Run(policy.String(), func(t *testing.T) {
			node := newEndpoint(t)
			sub, err := node.Subscribe([]string{"/in"})
			if err != nil {
				t.Fatal(err)
			}
			p := dialRaw(t, listen(t, node))
			p.answered(t)
			tap, err := node.Tap(endpoint.QueueLimits{Messages: 10, Policy: policy})
			if err != nil {
				t.Fatal(err)
			}
			defer tap.Close()
			const n = 1000
			for i := range n {
				p.write(t, p.data("/in", data.AppendCount(nil, uint64(i))))
			}
			p.answered(t)
			if got := len(waiting(sub)); got != n {
				t.Errorf("%d of %d delivered", got, n)
			}
			// With the ping and its pong.
			if got := tap.Dropped(); got != n+2-10 {
				t.Errorf("%d dropped, want %d", got, n+2-10)
			}
			received, sent := frames(t, tap, 10)
			var want int // the number in the first that is left
			if policy != endpoint.DropNewest {
				if want = n - 8; len(sent) != 1 {
					t.Errorf("%d sent, want the pong", len(sent))
				}
			}
			if e, err := wire.ParseEnvelope(received[0]); err != nil || !bytes.Equal(e.Payload, data.AppendCount(nil, uint64(want))) {
				t.Errorf("first is %x, %v, want %d", e.Payload, err, want)
			}
		})
	}
}

// Taps come and go while traffic flows. The loop over one ends when it, or the endpoint, is closed.
func TestTapEnds(t *testing.T) {
	node := newEndpoint(t)
	sub, err := node.Subscribe([]string{"/in"}, endpoint.WithQueue(lossless))
	if err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, listen(t, node))
	p.answered(t)
	var taps sync.WaitGroup
	for range 4 {
		taps.Go(func() {
			for range 50 {
				tap, err := node.Tap(endpoint.QueueLimits{Messages: 100})
				if err != nil {
					t.Error(err)
					return
				}
				seen := 0
				for f := range tap.Frames(t.Context()) {
					if f.Peer != p.id || f.Addr == "" {
						t.Errorf("frame of %v at %q", f.Peer, f.Addr)
					}
					if seen++; seen == 5 {
						tap.Close()
					}
				}
				tap.Close() // again
			}
		})
	}
	done := make(chan struct{})
	go func() {
		taps.Wait()
		close(done)
	}()
	sent := 0
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
			p.write(t, bytes.Repeat(p.data("/in", anEvent), 10))
			p.answered(t)
			sent += 10
		}
	}
	if got := len(waiting(sub)); got != sent {
		t.Errorf("%d of %d delivered", got, sent)
	}
	last, err := node.Tap(endpoint.QueueLimits{})
	if err != nil {
		t.Fatal(err)
	}
	go answerPings(p)
	if err := node.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	byes := 0
	for f := range last.Frames(t.Context()) {
		if e, err := wire.ParseEnvelope(f.Body); err == nil && wire.IsBye(e.Payload) {
			byes++
		}
	}
	if byes != 2 {
		t.Errorf("%d frames of leave-taking seen, want the ping and the pong", byes)
	}
	if _, err := node.Tap(endpoint.QueueLimits{}); !errors.Is(err, endpoint.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if _, err := newEndpoint(t).Tap(endpoint.QueueLimits{Messages: -1}); err == nil {
		t.Error("negative limits")
	}
}
