package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/endpoint/admin"
)

// top is the command that shows what a node does.
type top struct {
	path     string
	once     bool
	output   string
	interval time.Duration
}

func topCommand() *cobra.Command {
	var t top
	cmd := &cobra.Command{
		Use:   "top PATH",
		Short: "Show live what a node does: peers, rates, queues, drops",
		Long: `top shows, again each second, what a node on this machine does that was started with --admin PATH:
its peers with their rates, queues, drops and round trips, and its topics by rate. q or Ctrl-C ends it.

Rates are those of the last interval. IN is what the node receives, OUT what it sends; a peer dialed
by the node has > before its address, one that dialed it has <. Topics count messages that the node
publishes once, however many peers receive them.

Exit codes: 0 success; 1 no node answers, or it has ended; 2 wrong command line.`,
		Example: `  zeekpeer sub --listen 127.0.0.1:9999 --admin /tmp/node.sock /test
  zeekpeer top /tmp/node.sock
  zeekpeer top /tmp/node.sock --once --output json`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && t.path == "":
				t.path = args[0]
			case len(args) > 0 || t.path == "":
				return usageError("top wants one path, that of the node's --admin socket")
			}
			if t.output != "text" && t.output != "json" {
				return usageError("--output %s: want text or json", t.output)
			}
			if t.interval < 100*time.Millisecond {
				return usageError("--interval %v: want 100ms at least", t.interval)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&t.path, "admin", "", "the socket of the node, instead of as an argument, a `PATH`")
	flags.BoolVar(&t.once, "once", false, "print once and end: the rates of one interval")
	flags.StringVar(&t.output, "output", "text", "print as `FORMAT`: text, or json (one status a line, counters instead of rates)")
	flags.DurationVar(&t.interval, "interval", time.Second, "look every `DUR`")
	flags.SortFlags = false
	return cmd
}

func (t *top) run(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	c := admin.NewClient(t.path)
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	show := func(text string) error { _, err := io.WriteString(stdout, text); return err }
	var width, height func() int
	if out, ok := stdout.(*os.File); ok && t.output == "text" && !t.once {
		if s, err := openScreen(stdin, out, cancel); err == nil {
			defer s.close()
			show, width, height = s.show, s.width, s.height
		}
	}
	before, err := c.Status(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	tick := time.NewTicker(t.interval)
	defer tick.Stop()
	wait := t.output == "text" // rates are between two looks
	for now := before; ; before = now {
		if wait {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
			if now, err = c.Status(ctx); err != nil {
				return ended(ctx, err)
			}
		}
		wait = true
		text := ""
		if t.output == "json" {
			line, err := json.Marshal(now)
			if err != nil {
				return err
			}
			text = string(line) + "\n"
		} else {
			size := tableSize{}
			if width != nil {
				size = tableSize{width(), height()}
			}
			text = table(&before, &now, size)
			if size == (tableSize{}) && !t.once {
				text += "\n" // between blocks
			}
		}
		if err := show(text); err != nil {
			return outputError(err)
		}
		if t.once {
			return nil
		}
	}
}

// ended returns the error of a command that may have been told to end.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// A screen is a terminal that top draws on.
type screen struct {
	out     *os.File
	restore func()
}

// openScreen prepares the terminal out, and calls quit when q is pressed on stdin. It fails if out is
// no terminal.
func openScreen(stdin io.Reader, out *os.File, quit func()) (*screen, error) {
	if _, _, err := terminalSize(out); err != nil {
		return nil, err
	}
	s := &screen{out: out, restore: func() {}}
	if in, ok := stdin.(*os.File); ok {
		if restore, err := readKeys(in, func(key byte) {
			const ctrlC = 3
			if key == 'q' || key == 'Q' || key == ctrlC {
				quit()
			}
		}); err == nil {
			s.restore = restore
		}
	}
	const hideCursor, clear = "\x1b[?25l", "\x1b[2J"
	io.WriteString(out, hideCursor+clear)
	return s, nil
}

func (s *screen) width() int {
	w, _, _ := terminalSize(s.out)
	return w
}

func (s *screen) height() int {
	_, h, _ := terminalSize(s.out)
	return h
}

// show draws text over what was there.
func (s *screen) show(text string) error {
	const home, clearLine, clearRest = "\x1b[H", "\x1b[K", "\x1b[J"
	text = strings.TrimSuffix(text, "\n")
	_, err := io.WriteString(s.out, home+strings.ReplaceAll(text, "\n", clearLine+"\n")+clearLine+clearRest)
	return err
}

func (s *screen) close() {
	const showCursor = "\x1b[?25h"
	fmt.Fprint(s.out, showCursor+"\n")
	s.restore()
}
