package clustertest

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. It is there to fail and not to hang.
const patience = time.Minute

// Limited returns a context for what must come.
func Limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// Until waits until a condition holds of which nobody tells, but which something else than a clock brings
// about.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came about: %s", what)
		}
	}
}

// A Bell tells those who wait that they may look again. The zero value is one.
type Bell struct {
	mu   sync.Mutex
	rung chan struct{} // closed by the next ring
}

// Ring says that something has come.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}

// Until waits until a condition holds that changes only before the bell rings.
func (b *Bell) Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		b.mu.Lock()
		if b.rung == nil {
			b.rung = make(chan struct{})
		}
		rung := b.rung
		b.mu.Unlock()
		if holds() {
			return
		}
		select {
		case <-rung:
		case <-ctx.Done():
			t.Fatalf("never came about: %s", what)
		}
	}
}

// A Log is the log of a node.
type Log struct {
	bell Bell
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	defer l.bell.Ring()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// Count returns how often a text stands in the log.
func (l *Log) Count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// Await waits until a text stands in the log.
func (l *Log) Await(t testing.TB, text string) {
	t.Helper()
	l.bell.Until(t, text, func() bool { return l.Count(text) > 0 })
}

// Logger makes a logger that writes the log.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
