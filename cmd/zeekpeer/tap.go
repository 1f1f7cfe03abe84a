package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/endpoint/admin"
	"github.com/zeekpeer/zeekpeer/endpoint/wiretap"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/dump"
)

// showFlags say which frames are shown, and how.
type showFlags struct {
	output string
	filter dump.Filter
	count  uint64
}

func (f *showFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.filter.Topics, "topic", nil, "only messages under the topic `PREFIX` (repeatable)")
	flags.StringArrayVar(&f.filter.Peers, "peer", nil, "only to and from `ID|ADDR`, an address, an id or its beginning (repeatable)")
	flags.StringSliceVar(&f.filter.Kinds, "type", nil, "only frames of these `TYPES`: data, command, routing_update, ping, pong, handshake, malformed")
	flags.StringVar(&f.output, "output", "text", "print as `FORMAT`: text, json or recording (which decode reads)")
	flags.Uint64Var(&f.count, "count", 0, "end after `N` frames; 0 for no limit")
}

// format checks the flags.
func (f *showFlags) format() (dump.Format, error) {
	if err := f.filter.Check(); err != nil {
		return "", usageError("--type: %w", err)
	}
	format, err := dump.ParseFormat(f.output)
	if err != nil {
		return "", usageError("--output: %w", err)
	}
	return format, nil
}

// A show prints what is captured while it is, as soon as it is.
type show struct {
	mu      sync.Mutex
	print   *dump.Printer
	count   uint64
	err     error
	stop    context.CancelFunc // called when enough was printed, or nobody reads any more
	flusher sync.WaitGroup
	end     chan struct{}
}

// showInterval is how long a printed line waits for others.
const showInterval = 50 * time.Millisecond

// newShow returns a show that calls stop when it is over.
func newShow(out io.Writer, f *showFlags, format dump.Format, stop context.CancelFunc) *show {
	s := &show{print: dump.NewPrinter(out, format, f.filter), count: f.count, stop: stop, end: make(chan struct{})}
	s.flusher.Go(func() {
		tick := time.NewTicker(showInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.flush()
			case <-s.end:
				return
			}
		}
	})
	return s
}

var errEnough = errors.New("enough was shown")

// item prints one item. After an error nothing more is printed.
func (s *show) item(it capture.Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.err = s.print.Print(&it); s.err == nil && s.count > 0 && s.print.Frames() >= s.count {
		s.err = errEnough
	}
	if s.err != nil {
		s.stop()
	}
	return s.err
}

func (s *show) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.print.Flush(); err != nil && s.err == nil {
		s.err = err
		s.stop()
	}
}

// close ends the show and returns what went wrong with the output.
func (s *show) close() error {
	close(s.end)
	s.flusher.Wait()
	s.flush()
	if errors.Is(s.err, errEnough) {
		return nil
	}
	return outputError(s.err)
}

func tapCommand() *cobra.Command {
	var f showFlags
	var path, dir string
	var via []string
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "tap",
		Short: "Print what nodes say to each other, as it happens",
		Long: `tap prints every frame that a node and its peers exchange, decoded, with time, ends and ids.

With --admin it looks into a node on this machine that was started with --admin PATH, whatever its
encryption. With --via it stands between two nodes on plain TCP: it accepts connections at LISTEN and
makes one to TARGET for each, copies the bytes both ways unchanged, and reads a copy. What it cannot
read (TLS, say) it passes on all the same. Whoever is too slow to read the output loses frames, which
is said, and never holds up the nodes.

Each line has the time, the connection, who sends to whom, the kind of frame, and what it says; ids
are cut to eight digits except in hello and version_select. --output recording writes what
"zeekpeer decode" reads again.

Exit codes: 0 ended by --count, --for or a signal; 1 error, or the node has ended; 2 wrong command line.`,
		Example: `  zeekpeer tap --admin /tmp/node.sock --topic zeek/logs/ --type data
  zeekpeer tap --via 127.0.0.1:9998=10.0.0.5:9999
  zeekpeer tap --via [::1]:9998=10.0.0.5:9999 --output recording > link.jsonl`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("tap takes no arguments: give --admin %s or --via", args[0])
			}
			if (path == "") == (len(via) == 0) {
				return usageError("tap wants either --admin PATH, to look into a node, or --via LISTEN=TARGET, to stand between two")
			}
			if dir != "" && (path == "" || dir != "in" && dir != "out") {
				return usageError("--dir %s: want in or out, with --admin", dir)
			}
			if duration < 0 {
				return usageError("--for must not be negative")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := f.format()
			if err != nil {
				return err
			}
			var targets [][2]string
			for _, text := range via {
				listen, target, ok := strings.Cut(text, "=")
				if !ok || checkAddr(listen) != nil || checkAddr(target) != nil {
					return usageError("--via %s: want LISTEN=TARGET, both HOST:PORT, such as 127.0.0.1:9998=10.0.0.5:9999", text)
				}
				targets = append(targets, [2]string{listen, target})
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			if duration > 0 {
				ctx, cancel = context.WithTimeout(ctx, duration)
				defer cancel()
			}
			s := newShow(cmd.OutOrStdout(), &f, format, cancel)
			if path != "" {
				err = tapNode(ctx, path, dir, &f, s, cmd.ErrOrStderr())
			} else {
				err = tapBetween(ctx, targets, s, cmd.ErrOrStderr())
			}
			return errors.Join(err, s.close())
		},
	}
	cmd.Flags().StringVar(&path, "admin", "", "look into the node whose --admin socket is at `PATH`")
	cmd.Flags().StringArrayVar(&via, "via", nil, "accept at LISTEN and pass on to TARGET, a `LISTEN=TARGET` (repeatable)")
	cmd.Flags().StringVar(&dir, "dir", "", "with --admin: only what the node receives or sends, `in|out`")
	f.add(cmd)
	cmd.Flags().DurationVar(&duration, "for", 0, "end after `DUR`; 0 for no limit")
	cmd.Flags().SortFlags = false
	return cmd
}

// tapNode prints what a node and its peers say, until the node ends.
func tapNode(ctx context.Context, path, dir string, f *showFlags, s *show, stderr io.Writer) error {
	c := admin.NewClient(path)
	defer c.Close()
	body, err := c.Tap(ctx, f.filter, dir)
	if err != nil {
		return ended(ctx, err)
	}
	defer body.Close()
	fmt.Fprintf(stderr, "tapping the node at %s\n", path)
	if err := capture.ReadRecording(body, func(it capture.Item) error {
		it.Where = "" // a line that nobody sees
		return s.item(it)
	}); ctx.Err() == nil && !errors.Is(err, errEnough) {
		if err != nil {
			return fmt.Errorf("the tap of %s: %w", path, err)
		}
		return fmt.Errorf("the node at %s has ended", path)
	}
	return nil
}

// tapBetween stands between nodes until ctx ends.
func tapBetween(ctx context.Context, targets [][2]string, s *show, stderr io.Writer) error {
	all := wiretap.NewShow(func(it capture.Item) { s.item(it) })
	taps := make([]*wiretap.Tap, 0, len(targets))
	defer func() {
		for _, t := range taps {
			t.Close()
		}
	}()
	for _, target := range targets {
		t, err := wiretap.Listen(ctx, target[0], target[1], all)
		if err != nil {
			return fmt.Errorf("--via %s=%s: %w", target[0], target[1], reason(err))
		}
		taps = append(taps, t)
		fmt.Fprintf(stderr, "listening on %v for %s\n", t.Addr(), target[1])
	}
	var running sync.WaitGroup
	for _, t := range taps {
		running.Go(func() { t.Run(ctx) })
	}
	running.Wait()
	return nil
}
