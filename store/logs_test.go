package store_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"

	"github.com/zeekpeer/zeekpeer/store"
)

// A logBook keeps what is logged, a line each.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

// option has a store log here.
func (b *logBook) option() store.Option {
	return store.WithLogger(slog.New(slog.NewTextHandler(b, nil)))
}

// lines returns the lines that contain all of the words.
func (b *logBook) lines(words ...string) (found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.text.String()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}
