package endpoint

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Unpeer comes when a handshake has just ended well and the Peering does not know of its peer yet:
// the peer is left all the same, and Unpeer returns.
func TestUnpeerMeetsNewPeer(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	listener, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close(ctx)
	addr, err := listener.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	peering, unpeered := make(chan *Peering, 1), make(chan struct{})
	dialer, err := New(WithLogger(slog.New(hook(func(r slog.Record) {
		if strings.HasPrefix(r.Message, "peer added") {
			p := <-peering
			go func() {
				p.Unpeer(ctx)
				close(unpeered)
			}()
			<-p.ctx.Done()
		}
	}))))
	if err != nil {
		t.Fatal(err)
	}
	p, err := dialer.Peer(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	peering <- p
	select {
	case <-unpeered:
	case <-ctx.Done():
		t.Error("Unpeer does not return")
	}
	if err := dialer.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A hook is a slog.Handler that calls a function for each record.
type hook func(slog.Record)

func (h hook) Enabled(context.Context, slog.Level) bool      { return true }
func (h hook) Handle(_ context.Context, r slog.Record) error { h(r); return nil }
func (h hook) WithAttrs([]slog.Attr) slog.Handler            { return h }
func (h hook) WithGroup(string) slog.Handler                 { return h }
