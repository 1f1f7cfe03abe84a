package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/logs"
	"github.com/zeekpeer/zeekpeer/endpoint/admin"
)

// loggerPage is where the admin socket and the status server answer with a loggerStatus.
const loggerPage = "/v1/logger"

// A loggerStatus is the status of a logger as JSON.
type loggerStatus struct {
	Program string `json:"zeekpeer"`
	Name    string `json:"name"`
	logs.Status
	Files   logs.FilesStatus `json:"files"`
	Queued  int              `json:"queued"`  // messages that wait
	Dropped uint64           `json:"dropped"` // messages that there was no room for
}

func (w *logging) status() loggerStatus {
	version, _ := programVersion()
	s := loggerStatus{Program: version, Name: w.name, Status: w.receiver.Status(), Files: w.files.Status()}
	if w.sub != nil {
		stats := w.sub.Stats()
		s.Queued, s.Dropped = stats.Queued, stats.Dropped
	}
	return s
}

// page is what the admin socket answers.
func (w *logging) page() admin.Page {
	return admin.Page{Path: loggerPage, Get: func() any { return w.status() }}
}

// show shows the counters on a terminal, once a second, until the end.
func (w *logging) show() {
	line, ok := w.stderr.(*liveLine)
	if !ok || !line.live() {
		return
	}
	const every = time.Second
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for before := w.receiver.Status().Rows; ; {
		select {
		case <-ticker.C:
		case <-w.stop:
			line.show("")
			return
		}
		s := w.status()
		line.show(liveText(&s, float64(s.Rows-before)/every.Seconds()))
		before = s.Rows
	}
}

// liveText says in a line how a logger is.
func liveText(s *loggerStatus, perSecond float64) string {
	text := fmt.Sprintf("%d rows, %s/s, %d logs of %d peers", s.Rows, rate(perSecond), s.Files.Open, s.Peers)
	if s.LastRow > 0 {
		text += fmt.Sprintf(", lag %.1fs", s.Lag)
	}
	if s.Waiting > 1<<20 {
		text += ", waiting " + bytesText(float64(s.Waiting))
	}
	if s.Files.Stalled > 0 {
		text += fmt.Sprintf(", the disk has taken nothing for %.0fs", s.Files.Stalled)
	}
	if trouble := troubles(s.Status, s.Dropped); trouble != "" {
		text += ", " + trouble
	}
	return text
}

// A liveLine is standard error with, on a terminal, a last line that changes.
type liveLine struct {
	out      io.Writer
	terminal *os.File // nil if it is none

	mu    sync.Mutex
	shown bool
}

func newLiveLine(out io.Writer) *liveLine {
	l := &liveLine{out: out}
	if f, ok := out.(*os.File); ok {
		if _, _, err := terminalSize(f); err == nil {
			l.terminal = f
		}
	}
	return l
}

// live tells whether there is a terminal, and so a line that changes.
func (l *liveLine) live() bool { return l.terminal != nil }

const clearLine = "\r\x1b[K"

// Write writes lines above the one that changes.
func (l *liveLine) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown {
		l.shown = false
		io.WriteString(l.out, clearLine)
	}
	return l.out.Write(b)
}

// show replaces the last line of the terminal; "" takes it away.
func (l *liveLine) show(text string) {
	width, _, err := terminalSize(l.terminal)
	if err == nil && width > 1 {
		text = cutRunes(text, width-1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown = text != ""
	io.WriteString(l.out, clearLine+text)
}
