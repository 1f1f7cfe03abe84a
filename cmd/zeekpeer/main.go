// Command zeekpeer is a node on a Broker network, from the command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes, as the help says.
const (
	exitOK      = 0
	exitError   = 1 // something went wrong
	exitUsage   = 2 // the command line is wrong
	exitTimeout = 3 // what was waited for did not come in time
	exitNoRoute = 4 // nobody was subscribed
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// An exitError ends the command with a code of its own.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }

func (e *codedError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &codedError{exitUsage, fmt.Errorf(format, args...)}
}

// run runs the command line args and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:   "zeekpeer",
		Short: "A node on a Broker network: Zeek's native protocol, from the command line",
		Long: `zeekpeer speaks the native protocol of Broker, the library through which the nodes of a
Zeek cluster talk. It peers with Zeek and with other Broker nodes.

Connections are plain TCP: real nodes need "redef Broker::disable_ssl = T;" for now.

Exit codes: 0 success, 1 error, 2 wrong command line, 3 timeout, 4 nobody was subscribed.`,
		Example: `  zeekpeer sub --peer 127.0.0.1:9999 /test          print what is published under /test
  zeekpeer pub --peer 127.0.0.1:9999 /test ping hi  publish the event ping("hi")
  zeekpeer ping --peer 127.0.0.1:9999               measure the round trip to a node`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(subCommand(), pubCommand(), pingCommand(), versionCommand())
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &codedError{exitUsage, err} })
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "zeekpeer: %v\n", err)
	var coded *codedError
	if errors.As(err, &coded) {
		if coded.code == exitUsage {
			fmt.Fprintf(stderr, "See %q.\n", cmd.CommandPath()+" --help")
		}
		return coded.code
	}
	if cmd == root {
		return exitUsage // an unknown command
	}
	return exitError
}
