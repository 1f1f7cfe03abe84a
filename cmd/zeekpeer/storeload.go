package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/store"
)

func storeLoadCommand() *cobra.Command {
	f := newCloneFlags()
	l := loader{}
	cmd := &cobra.Command{
		Use:   "load NAME [FILE]",
		Short: "Put entries from JSON lines, as dump prints them",
		Long: `load puts an entry for each line {"key":...,"value":...} of a file, or of standard input without one or
with -, in place of what is there; "zeekpeer store dump" prints such lines. A key or value is a string, or
in Broker's JSON (v1): {"@data-type":...,"data":...}. Thousands of entries are under way at a time. What
is in the store and not in the file stays.

It ends with the first line that is no entry, and tells where in it, or when an entry is refused; with
SIGINT or SIGTERM it stops reading. In each case it waits for the answers to what it has sent, for
--timeout at the most, and says how many entries were acknowledged: the first so many of the file, since
they are put in their order. A zeekpeer master has made durable what it acknowledges.

With --ack-log FILE each line that was acknowledged is appended to a file, which is synced to the disk,
many lines at a time. A line is never written before its acknowledgement came.

Exit codes: 0 all were acknowledged; 1 error; 2 wrong command line; 3 no master in time.`,
		Example: `  zeekpeer store load --peer 127.0.0.1:9999 blocklist blocklist.json
  zeekpeer store dump --peer 10.0.0.1:9999 blocklist | zeekpeer store load --peer 10.0.0.2:9999 blocklist
  zeekpeer store load --peer 127.0.0.1:9999 --ack-log done.json blocklist entries.json`,
		Args: wantArgs(1, 2, "the name of a store, and perhaps a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("expire") && l.expire <= 0 {
				return usageError("--expire %v: want more than zero", l.expire)
			}
			l.name, l.in, l.stderr = "standard input", cmd.InOrStdin(), cmd.ErrOrStderr()
			if len(args) == 2 && args[1] != "-" {
				file, err := os.Open(args[1])
				if err != nil {
					return err
				}
				defer file.Close()
				l.name, l.in = args[1], file
			}
			return l.load(cmd.Context(), f, args[0])
		},
	}
	cmd.Flags().StringVar(&l.ackLog, "ack-log", "", "append each line that was acknowledged to `FILE`, durably")
	cmd.Flags().DurationVar(&l.expire, "expire", 0, "remove the entries again after `DUR`")
	f.add(cmd, "count", "for", "admin", "metrics", "output")
	return cmd
}

// underWay is how many entries load has sent at the most without knowing what became of them.
const underWay = 16 << 10

// A loader is one run of load.
type loader struct {
	name   string // of the input
	in     io.Reader
	ackLog string
	expire time.Duration
	stderr io.Writer

	acked    uint64
	start    time.Time
	log      *os.File // of acknowledged lines; nil: none
	unsynced []byte   // lines for it
}

// A sentLine is an entry that was submitted.
type sentLine struct {
	number  int
	text    []byte // for the log
	pending *store.Pending
}

func (l *loader) load(ctx context.Context, f *cloneFlags, name string) (err error) {
	if l.ackLog != "" {
		if l.log, err = openAckLog(l.ackLog); err != nil {
			return fmt.Errorf("--ack-log: %w", err)
		}
		defer l.log.Close()
	}
	c, err := f.attach(ctx, name, l.stderr, false)
	if err != nil {
		return err
	}
	defer c.end()
	l.start = time.Now()
	working, disconnect := c.node.whilePeers(ctx)
	defer disconnect(nil)
	sending, stop := context.WithCancel(working)
	defer stop()
	// After the end of the sending, the answers have as long as a master has to appear.
	settling, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	defer context.AfterFunc(sending, func() {
		if f.timeout > 0 {
			time.AfterFunc(f.timeout, giveUp)
		}
	})()
	lines, sent := make(chan textLine, 64), make(chan sentLine, underWay)
	go readTextLines(sending, l.in, lines)
	unsent := make(chan error, 1)
	go func() {
		defer close(sent)
		unsent <- l.submit(sending, c, lines, sent)
	}()
	err = l.settle(settling, sent, stop)
	if more := <-unsent; err == nil {
		err = more
	}
	l.progress(true)
	if err == nil && context.Cause(working) == errNoPeer {
		err = errNoPeer
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w; %d entries were acknowledged", err, l.acked)
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %d entries were acknowledged", l.acked)
	}
	return nil
}

// openAckLog opens a log to append to. A line that a load which was killed has not written to its end is
// ended, so that the next one does not become a part of it.
func openAckLog(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err = file.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			_, err = file.Write([]byte{'\n'})
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// submit submits the entries of the lines until one is wrong.
func (l *loader) submit(ctx context.Context, c *clone, lines <-chan textLine, sent chan<- sentLine) error {
	for {
		var line textLine
		var ok bool
		select {
		case line, ok = <-lines:
		case <-ctx.Done():
		}
		if !ok || ctx.Err() != nil {
			return nil
		}
		op, err := l.op(line)
		var p *store.Pending
		if err == nil {
			p, err = c.Submit(ctx, op)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("%s, line %d: %w", l.name, line.number, err)
		}
		s := sentLine{number: line.number, pending: p}
		if l.log != nil {
			s.text = line.text
		}
		sent <- s // which settle takes until the end
	}
}

// op makes the operation of a line.
func (l *loader) op(line textLine) (store.Op, error) {
	if line.err != nil {
		return store.Op{}, line.err
	}
	key, value, err := parseJSONEntry(line.text)
	op := store.PutOp(key, value)
	if l.expire > 0 {
		op = op.Expiring(l.expire)
	}
	return op, err
}

// settle waits for what becomes of the entries that were sent, all of them, until ctx ends. After the first
// that was not applied it stops the sending, and nothing behind it is logged or counted.
func (l *loader) settle(ctx context.Context, sent <-chan sentLine, stop func()) (err error) {
	tick := time.NewTicker(progressStep)
	defer tick.Stop()
	fail := func(failed error) {
		if err == nil && failed != nil {
			err = failed
			stop()
		}
	}
	for {
		var s sentLine
		var ok bool
		select {
		case s, ok = <-sent:
		default:
			fail(l.sync())
			s, ok = <-sent
		}
		if !ok {
			fail(l.sync())
			return err
		}
		select {
		case <-s.pending.Done():
		default:
			fail(l.sync())
		}
		for waiting := true; waiting; {
			select {
			case <-s.pending.Done():
				waiting = false
			case <-ctx.Done():
				waiting = false
			case <-tick.C:
				l.progress(false)
			}
		}
		outcome, failed := s.pending.Wait(ctx)
		if failed == nil && outcome != store.Applied {
			failed = errors.New("the master did not apply it")
		}
		if failed != nil {
			fail(fmt.Errorf("%s, line %d: %w", l.name, s.number, failed))
		}
		if err == nil {
			l.acked++
			fail(l.note(s.text))
		}
	}
}

// maxUnsynced bounds the lines that wait to be logged.
const maxUnsynced = 4 << 20

// note notes for the log a line that was acknowledged. It is written when there is nothing else to do, or
// together with many others.
func (l *loader) note(text []byte) error {
	if l.log == nil {
		return nil
	}
	if l.unsynced = append(append(l.unsynced, text...), '\n'); len(l.unsynced) > maxUnsynced {
		return l.sync()
	}
	return nil
}

// sync writes to the log what was acknowledged.
func (l *loader) sync() error {
	if len(l.unsynced) == 0 {
		return nil
	}
	_, err := l.log.Write(l.unsynced)
	if err == nil {
		err = l.log.Sync()
	}
	l.unsynced = l.unsynced[:0]
	if err != nil {
		return fmt.Errorf("--ack-log: %w", err)
	}
	return nil
}

// progressStep is how often load tells on a terminal how far it is.
const progressStep = 200 * time.Millisecond

// progress tells how far it is: on a terminal now and then, and at the end.
func (l *loader) progress(end bool) {
	file, ok := l.stderr.(*os.File)
	if ok {
		_, _, err := terminalSize(file)
		ok = err == nil
	}
	seconds := time.Since(l.start).Seconds()
	switch text := fmt.Sprintf("%d entries acknowledged in %.1f s (%.0f/s)", l.acked, seconds, float64(l.acked)/max(seconds, 1e-3)); {
	case end && ok:
		fmt.Fprintf(l.stderr, "\r%s\n", text)
	case end:
		fmt.Fprintln(l.stderr, text)
	case ok:
		fmt.Fprintf(l.stderr, "\r%s", text)
	}
}

// A textLine is a line of the input that is not empty, or the error that ends it.
type textLine struct {
	number int // from 1
	text   []byte
	err    error
}

// readTextLines sends the lines in r to lines, which it closes at the end. Reading cannot be interrupted:
// after the end of ctx it goes on to wait for one more line.
func readTextLines(ctx context.Context, r io.Reader, lines chan<- textLine) {
	defer close(lines)
	eachLine(r, func(number int, text []byte, err error) (more bool) {
		select {
		case lines <- textLine{number, bytes.Clone(text), err}:
			return true
		case <-ctx.Done():
			return false
		}
	})
}
