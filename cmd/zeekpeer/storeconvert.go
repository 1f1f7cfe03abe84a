package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/store"
)

func storeConvertCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "convert --from KIND:PATH --to KIND:PATH",
		Short: "Copy what a master keeps to another kind of file",
		Long: `convert copies all that a master keeps, from pebble to sqlite or back: entries, expiries, and who the
master is, so that it goes on as the same with the copy. Stop the master before, and give it the copy
after: there must be one master. What is there at the destination is not touched; the copy appears there
when it is complete.

The file of a Zeek node can be the source (it gets a table beside Zeek's own, which Zeek does not mind),
and a Zeek node can open a copy to sqlite.

Exit codes: 0 success; 1 error; 2 wrong command line.`,
		Example: `  zeekpeer store convert --from sqlite:/var/lib/zeek/hosts.sqlite --to pebble:/var/lib/zeekpeer/hosts`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 || from == "" || to == "" {
				return usageError("convert wants --from KIND:PATH and --to KIND:PATH")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			src, err := parseBackend("from", from)
			if err != nil {
				return err
			}
			dst, err := parseBackend("to", to)
			if err != nil {
				return err
			}
			return convert(cmd.Context(), src, dst, cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "the source, `KIND:PATH`: pebble and a directory, or sqlite and a file")
	flags.StringVar(&to, "to", "", "the destination, which must not exist, `KIND:PATH`")
	flags.SortFlags = false
	return cmd
}

// parseBackend parses KIND:PATH.
func parseBackend(flag, value string) (*backendFlags, error) {
	kind, path, _ := strings.Cut(value, ":")
	if (kind != "pebble" && kind != "sqlite") || path == "" {
		return nil, usageError("--%s %s: want pebble:DIRECTORY or sqlite:FILE", flag, value)
	}
	return fileBackend(kind, path), nil
}

func convert(ctx context.Context, from, to *backendFlags, stderr io.Writer) error {
	if _, err := os.Stat(from.path); err != nil {
		return fmt.Errorf("--from: %w", err) // opening it would make it
	}
	final, partial := to.path, to.path+".partial"
	for _, path := range []string{final, partial} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("--to: %s exists, and nothing is overwritten: give another path, or move it away", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--to: %w", err)
		}
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	src, err := from.open(log)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	to.path = partial
	total, err := copyTo(ctx, to, src, stderr, log)
	err = errors.Join(err, src.Close())
	if err == nil {
		err = rename(partial, final)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	fmt.Fprintf(stderr, "%d entries copied to %s\n", total, final)
	return nil
}

// copyTo makes the copy.
func copyTo(ctx context.Context, to *backendFlags, src store.Backend, stderr io.Writer, log *slog.Logger) (total int, err error) {
	dst, err := to.open(log)
	if err != nil {
		return 0, fmt.Errorf("--to: %w", err)
	}
	told := time.Now()
	err = store.Copy(ctx, dst, src, func(records int) {
		if total = records; time.Since(told) > time.Second {
			told = time.Now()
			fmt.Fprintf(stderr, "%d entries\n", records)
		}
	})
	if ctx.Err() != nil {
		err = errors.New("interrupted: there is no copy")
	}
	return total, errors.Join(err, dst.Close())
}

// rename gives the copy its name, durably.
func rename(partial, final string) error {
	if err := os.Rename(partial, final); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(final))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
