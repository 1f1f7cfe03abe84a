package pebble

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// An Option changes what [Open] does by default.
type Option func(*options)

type options struct {
	fs    vfs.FS
	cache int64
	table uint64 // how much is kept in memory before it is written to a sorted file
	log   *slog.Logger
}

// WithFS uses another file system than the operating system's, for tests.
func WithFS(fs vfs.FS) Option { return func(o *options) { o.fs = fs } }

// WithCacheSize bounds the memory for blocks that were read, 8 MiB by default. A master reads its
// contents once, so more is of no use to it.
func WithCacheSize(bytes int64) Option { return func(o *options) { o.cache = bytes } }

// WithLogger logs what the database does: troubles as warnings and errors, its daily work at the
// level of debugging. By default nothing is logged.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }
