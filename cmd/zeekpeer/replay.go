package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/interop/replay"
	"github.com/zeekpeer/zeekpeer/wire"
)

// A replayer is one run of replay.
type replayer struct {
	flags   nodeFlags
	to      string
	speed   string
	options replay.Options
	stderr  *liveLine
	count   replay.Count
	start   time.Time
}

func replayCommand() *cobra.Command {
	r := replayer{flags: nodeFlags{output: "none", timeout: 10 * time.Second}}
	cmd := &cobra.Command{
		Use:   "replay FILE... --to ADDR",
		Short: "Send a node what was recorded",
		Long: `replay plays what the dialer of a recorded connection sent against a node: events, commands of stores,
and above all logs, to see what a logger makes of them, and how many rows a second it takes.

FILE is whatever "zeekpeer decode" reads, such as what "zeekpeer tap --output recording" writes, also
compressed with gzip. Each connection in it becomes a node of its own, which makes its own handshake, is
subscribed to what the recorded one was, answers pings, and takes leave when all is sent. All are played
at the same time.

The ids of both ends are replaced by the live ones wherever they stand, and so are topics with the name
of either: what was for the recorded logger goes to this one, whatever its name. What the node is not
subscribed to is not sent, but counted. Nothing is dropped here: if the node takes nothing, replay waits.

Standard error tells how far it is, and ends with one line:

  sent N messages, R rows of logs, B bytes, in S s (M messages/s, R rows/s)

Exit codes: 0 success; 1 error, such as a node that went before all was sent; 2 wrong command line;
3 no node in time; 4 the node was subscribed to nothing of it.`,
		Example: `  zeekpeer replay worker-1_to_logger-1.jsonl.gz --to 127.0.0.1:27761
  zeekpeer replay link.jsonl.gz --to 127.0.0.1:27761 --tls off --speed max --times 100 --rebatch 400
  zeekpeer replay link.jsonl.gz --to 127.0.0.1:27761 --as worker-7 --speed 10`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("replay wants one file at least")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r.stderr = newLiveLine(cmd.ErrOrStderr())
			return r.run(cmd.Context(), args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.to, "to", "", "play against the node at `ADDR`")
	flags.StringVar(&r.speed, "speed", "1", "play at `FACTOR` times the recorded speed; max for as fast as it goes")
	flags.IntVar(&r.options.Times, "times", 1, "play everything `N` times, one after the other; 0 for no end")
	flags.IntVar(&r.options.Rebatch, "rebatch", 0, "join the rows of each log into batches of `N`, as a busy worker does with 400")
	flags.StringVar(&r.options.As, "as", "", "say hello as the node `NAME`, instead of under the recorded name")
	r.flags.addExcept(cmd, "listen", "peer", "output", "count", "wait-peers", "admin", "metrics", "access")
	flags.Lookup("for").Usage = "end after `DUR`, whatever is left; 0 for no limit"
	flags.Lookup("timeout").Usage = "give up, with exit code 3, if the node is not there after `DUR`; 0 to wait for ever"
	flags.Lookup("retry").Usage = "dial an unreachable node again after `DUR`; 0 to dial once"
	return cmd
}

// check reads the flags.
func (r *replayer) check() error {
	if r.to == "" {
		return usageError("against which node? Say it with --to ADDR")
	}
	if err := checkAddr(r.to); err != nil {
		return usageError("--to %s: %w", r.to, err)
	}
	r.flags.peers = []string{r.to}
	id, level, err := r.flags.check()
	if err != nil {
		return err
	}
	if r.speed != "max" {
		var err error
		if r.options.Speed, err = strconv.ParseFloat(r.speed, 64); err != nil || !(r.options.Speed > 0 && r.options.Speed < 1e9) {
			return usageError("--speed %s: want a factor such as 1 or 0.5, or max", r.speed)
		}
	}
	if r.options.Times < 0 || r.options.Rebatch < 0 {
		return usageError("--times and --rebatch must not be negative")
	}
	security, err := r.flags.security.load()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(r.stderr, &slog.HandlerOptions{Level: level}))
	security.warn(log)
	r.options.Retry = r.flags.retry
	r.options.Endpoint = append(security.options(), endpoint.WithLogger(log))
	if !id.IsZero() {
		r.options.Endpoint = append(r.options.Endpoint, endpoint.WithID(id))
	}
	return nil
}

func (r *replayer) run(ctx context.Context, files []string) error {
	if err := r.check(); err != nil {
		return err
	}
	var links []*replay.Link
	for _, name := range files {
		some, err := loadLinks(name, r.stderr)
		if err != nil {
			return err
		}
		links = append(links, some...)
	}
	if len(links) > 1 && r.flags.id != "" {
		return usageError("--id is for one connection, and there are %d", len(links))
	}
	limited, cancel := r.flags.limited(ctx)
	defer cancel()
	working, stop := context.WithCancelCause(limited)
	defer stop(nil)
	if r.flags.timeout > 0 {
		timer := time.AfterFunc(r.flags.timeout, func() {
			if r.count.Peered.Load() < int64(len(links)) {
				stop(errNoNode)
			}
		})
		defer timer.Stop()
	}
	r.start = time.Now()
	err := r.play(working, links, stop)
	r.progress(true)
	switch {
	case errors.Is(context.Cause(working), errNoNode):
		return &codedError{code: exitTimeout, err: fmt.Errorf("%d of %d connections were made with %s after %v: %w", r.count.Peered.Load(), len(links), r.to, r.flags.timeout, err)}
	case ctx.Err() != nil:
		return errors.New("interrupted before all was sent")
	case limited.Err() != nil:
		return nil // it was to end
	case err != nil:
		return err
	}
	if n := r.count.Unrouted.Load(); n > 0 {
		fmt.Fprintf(r.stderr, "%d messages were not sent: %s is not subscribed to their topics\n", n, r.to)
		if r.count.Messages.Load() == 0 {
			return &codedError{code: exitNoRoute, err: errors.New("nothing was sent")}
		}
	}
	return nil
}

// errNoNode ends a replay whose node is not there in time.
var errNoNode = errors.New("no node in time")

// loadLinks loads the connections of a file, and says what it is.
func loadLinks(name string, stderr io.Writer) ([]*replay.Link, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	links, err := replay.Load(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, l := range links {
		fmt.Fprintf(stderr, "%s: %d messages, %d rows of logs, of %s to %s\n", name, l.Messages, l.Rows, short(l.Dialer), short(l.Listener))
		if l.Skipped > 0 {
			fmt.Fprintf(stderr, "warning: %s: %d frames cannot be played: damaged, lost, or for somebody else\n", name, l.Skipped)
		}
	}
	return links, nil
}

func short(id wire.EndpointID) string {
	if id.IsZero() {
		return "an unknown node"
	}
	return id.String()
}

// play plays all connections at once. The first that fails ends the others.
func (r *replayer) play(ctx context.Context, links []*replay.Link, stop context.CancelCauseFunc) error {
	tick := time.NewTicker(r.step())
	defer tick.Stop()
	errs := make([]error, len(links))
	var playing sync.WaitGroup
	for i, l := range links {
		playing.Go(func() {
			if errs[i] = l.Play(ctx, r.to, r.options, &r.count); errs[i] != nil {
				stop(errs[i])
			}
		})
	}
	done := make(chan struct{})
	go func() {
		playing.Wait()
		close(done)
	}()
	for {
		select {
		case <-tick.C:
			r.progress(false)
		case <-done:
			// That others were ended by the first is no news.
			if i := slices.IndexFunc(errs, func(err error) bool { return err != nil && !errors.Is(err, context.Canceled) }); i >= 0 {
				return errs[i]
			}
			return errors.Join(errs...)
		}
	}
}

// step returns how often progress is told: often on a terminal, where it takes one line.
func (r *replayer) step() time.Duration {
	if r.stderr.live() {
		return progressStep
	}
	return 10 * time.Second
}

func (r *replayer) progress(end bool) {
	seconds := max(time.Since(r.start).Seconds(), 1e-6)
	messages, rows := r.count.Messages.Load(), r.count.Rows.Load()
	text := fmt.Sprintf("sent %d messages, %d rows of logs, %d bytes, in %.3f s (%.0f messages/s, %.0f rows/s)",
		messages, rows, r.count.Bytes.Load(), seconds, float64(messages)/seconds, float64(rows)/seconds)
	if r.stderr.live() && !end {
		r.stderr.show(text)
		return
	}
	fmt.Fprintln(r.stderr, text)
}
