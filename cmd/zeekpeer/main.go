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

func main() { os.Exit(command()) }

// command runs the command line of the process and returns its exit code.
func command() int {
	// The first signal ends the command cleanly, the second at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	// That nobody reads the output any more is for the writer to see, who then ends cleanly, too.
	signal.Ignore(syscall.SIGPIPE)
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// A codedError ends the command with an exit code of its own.
type codedError struct {
	code int
	err  error
	told bool // it stands on standard error already
}

func (e *codedError) Error() string { return e.err.Error() }

func (e *codedError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &codedError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// codeOf returns the exit code for an error.
func codeOf(err error) int {
	var coded *codedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	}
	return exitError
}

// tell writes an error as people read it.
func tell(stderr io.Writer, err error) { fmt.Fprintf(stderr, "zeekpeer: %v\n", err) }

// outputError returns what to make of an error in writing the output: nothing if its reader has gone,
// as head does.
func outputError(err error) error {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return fmt.Errorf("the output cannot be written: %w", err)
}

// run runs the command line args and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:   "zeekpeer",
		Short: "A node on a Broker network: Zeek's native protocol, from the command line",
		Long: `zeekpeer speaks the native protocol of Broker, the library through which the nodes of a
Zeek cluster talk. It peers with Zeek and with other Broker nodes.

Connections are those of a Zeek cluster by default: encrypted, and nobody is authenticated (--tls
anonymous). Both ends must be in the same mode: --tls cert for a cluster with certificates, --tls off
for one with "redef Broker::disable_ssl = T;".

Exit codes: 0 success, 1 error, 2 wrong command line, 3 timeout, 4 nobody was subscribed.`,
		Example: `  zeekpeer sub --peer 127.0.0.1:9999 /test          print what is published under /test
  zeekpeer pub --peer 127.0.0.1:9999 /test ping hi  publish the event ping("hi")
  zeekpeer ping --peer 127.0.0.1:9999               measure the round trip to a node`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(subCommand(), pubCommand(), pingCommand(), serveCommand(), bridgeCommand(), storeCommand(), topCommand(), tapCommand(), decodeCommand(), replayCommand(), logCommand(), certsCommand(), accessCommand(), layoutCommand(), nodeCommand(), loggerCommand(), demoCommand(), versionCommand())
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError("%w", err) })
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && cmd == root {
		err = usageError("%w", err) // an unknown command
	}
	code := codeOf(err)
	if coded, ok := errors.AsType[*codedError](err); err != nil && !(ok && coded.told) {
		tell(stderr, err)
	}
	if code == exitUsage {
		fmt.Fprintf(stderr, "See %q.\n", cmd.CommandPath()+" --help")
	}
	return code
}
