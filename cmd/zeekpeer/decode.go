package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/wire/capture"
)

func decodeCommand() *cobra.Command {
	var f showFlags
	cmd := &cobra.Command{
		Use:   "decode FILE | decode -",
		Short: "Print what was recorded: recordings, hex dumps, packets",
		Long: `decode prints every frame in a file, or on standard input, decoded as by "zeekpeer tap". It sees by
itself what the file is:
  a recording           one JSON object a line, as "zeekpeer tap --output recording" writes
  a hex dump            of xxd, of hexdump -C, of Wireshark, or plain hex digits
  packets               pcap or pcapng, as tcpdump and Wireshark write, of plain TCP
  bytes                 of one direction of a connection, or of both as they came
Any of them may be compressed with gzip.

What is damaged or missing is said with its place, behind two dashes, and the rest is read.

Exit codes: 0 success; 1 error, or something was damaged or missing; 2 wrong command line.`,
		Example: `  zeekpeer decode link.jsonl.gz
  zeekpeer decode --topic zeek/logs/ --output json cluster.pcap
  tcpdump -i lo -U -w - port 9999 | zeekpeer decode -
  echo 00000005075a45454b | zeekpeer decode -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError("decode wants one file, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return decode(cmd.Context(), &f, args[0], cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f.add(cmd)
	cmd.Flags().SortFlags = false
	return cmd
}

func decode(ctx context.Context, f *showFlags, name string, stdin io.Reader, stdout io.Writer) error {
	format, err := f.format()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := stdin
	if name == "-" {
		name = "standard input"
		in = &interruptible{ctx: ctx, r: stdin}
	} else {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	s := newShow(stdout, f, format, cancel)
	err = capture.Read(in, s.item)
	interrupted := ctx.Err() != nil
	if writeErr := s.close(); writeErr != nil || interrupted {
		return writeErr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n := s.print.Damaged(); n > 0 {
		return fmt.Errorf("%s: damaged, incomplete or unreadable at %d places", name, n)
	}
	return nil
}

// An interruptible reader returns when ctx ends, even if a read of what is behind it does not.
type interruptible struct {
	ctx  context.Context
	r    io.Reader
	more chan []byte // what was read; closed at the end
	err  error       // of the end
	rest []byte
}

func (i *interruptible) Read(b []byte) (int, error) {
	if i.more == nil {
		i.more = make(chan []byte)
		go i.readLines()
	}
	if len(i.rest) == 0 {
		select {
		case part, ok := <-i.more:
			if !ok {
				return 0, i.err
			}
			i.rest = part
		case <-i.ctx.Done():
			return 0, i.ctx.Err()
		}
	}
	n := copy(b, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

// readLines reads until the end. It may outlive the context, waiting for a last read.
func (i *interruptible) readLines() {
	defer close(i.more)
	for {
		buf := make([]byte, 64<<10)
		n, err := i.r.Read(buf)
		if n > 0 {
			select {
			case i.more <- buf[:n]:
			case <-i.ctx.Done():
				i.err = i.ctx.Err()
				return
			}
		}
		if err != nil {
			i.err = err
			if !errors.Is(err, io.EOF) {
				i.err = fmt.Errorf("reading: %w", err)
			}
			return
		}
	}
}
