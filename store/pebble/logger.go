package pebble

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

// A logger takes what the database says. By itself the database ends the process after what it calls
// fatal; here that makes its disk stand still, so that it is opened anew.
type logger struct {
	log  *slog.Logger
	disk *disk
}

func (l logger) Infof(format string, args ...any) { l.say(slog.LevelDebug, format, args) }

func (l logger) Errorf(format string, args ...any) {
	level := slog.LevelWarn
	if l.disk.Failure() != nil {
		level = slog.LevelDebug // what follows from the failure, which is reported once
	}
	l.say(level, format, args)
}

func (l logger) Fatalf(format string, args ...any) {
	l.Errorf(format, args...)
	l.disk.fail(fmt.Errorf(format, args...))
}

func (l logger) say(level slog.Level, format string, args []any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "pebble: "+fmt.Sprintf(format, args...))
	}
}

// events returns what the database is to do when it finds damage in the background.
func (l logger) events() *pebble.EventListener {
	return &pebble.EventListener{
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			if l.disk.Failure() == nil { // else it misses what it could not write
				l.Fatalf("%v", info)
			}
		},
	}
}
