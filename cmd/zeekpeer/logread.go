package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/cluster/logs"
	"github.com/zeekpeer/zeekpeer/cluster/logs/logfile"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A logReader is one run of log read.
type logReader struct {
	to      string
	columns []string
	where   string
	head    uint64

	filter  *logfile.Filter
	out     *bufio.Writer
	stderr  io.Writer
	seen    *logfile.Log // of the last row
	log     *logfile.Log // of the last row that was printed
	format  logs.Format
	fields  []zeek.Field // that are printed
	numbers []int        // of them in the file; nil for all
	text    []byte
	packed  []byte
	footer  bool // of format is to be written
	had     map[string]bool
	printed uint64
	bad     int
}

func logReadCommand() *cobra.Command {
	var r logReader
	cmd := &cobra.Command{
		Use:   "read FILE... | read -",
		Short: "Print logs, or some rows and columns of them",
		Long: `read prints logs of Zeek, in TSV or JSON. A FILE is a log of any version, in TSV with or without the #
lines or in JSON, as it is written to, or rotated, or compressed with gzip; - is standard input. Of logs
that do not say of which types their columns are, these are guessed.

--where takes the rows for which an expression holds:
  COLUMN OP VALUE         with OP one of == != < <= > >=, by the type of the column
  COLUMN ~ REGEXP         the value matches; !~ for that it does not
  COLUMN in SUBNET        the address lies in it
  COLUMN in {A, B, C}     it is one of these
  COLUMN == unset         there is no value
  and, or, not, ( )       join them
Values that are no plain words stand in quotes. A time is a number of seconds since 1970 or
2026-01-31T23:59:59Z, an interval a number of seconds or 1.5s, a bool T or F. Of a set or vector one element
that matches is enough. For what is unset, or a column that a log does not have, only != and !~ hold.

Lines that cannot be read are told of and left out, and so is what is missing of a file that ends too early.

Exit codes: 0 success; 1 error, or lines were left out, or no log has a column that was asked for; 2 wrong
command line.`,
		Example: `  zeekpeer log read conn.log --to json
  zeekpeer log read 2026-01-31/conn.*.log.gz --where 'id.resp_p == 443 and id.orig_h in 10.0.0.0/8'
  zeekpeer log read ssl.log --columns ts,server_name --where 'server_name ~ "\.example\.com$"' --head 10
  tail -f dns.log | zeekpeer log read - --where 'rcode_name != NOERROR and rcode_name != unset'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("read wants one file at least, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r.out, r.stderr = bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10), cmd.ErrOrStderr()
			return r.run(cmd.Context(), args, cmd.InOrStdin())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.to, "to", "", "print as `FORMAT`: tsv or json (default: what the file is)")
	flags.StringSliceVar(&r.columns, "columns", nil, "print only these `COLUMNS`, in this order")
	flags.StringVar(&r.where, "where", "", "print only rows for which `EXPRESSION` holds")
	flags.Uint64Var(&r.head, "head", 0, "end after `N` rows; 0 for no limit")
	flags.SortFlags = false
	return cmd
}

// errRead ends the reading early.
var errRead = errors.New("enough was read")

func (r *logReader) run(ctx context.Context, files []string, stdin io.Reader) error {
	if !slices.Contains([]string{"", "tsv", "json"}, r.to) {
		return usageError("--to %s: want tsv or json", r.to)
	}
	if r.where != "" {
		var err error
		if r.filter, err = logfile.ParseFilter(r.where); err != nil {
			return usageError("--where: %w", err)
		}
	}
	r.had = make(map[string]bool)
	var err error
	for _, name := range files {
		if err = r.file(ctx, name, stdin); err != nil {
			break
		}
	}
	r.end()
	writeErr := outputError(r.out.Flush())
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil && !errors.Is(err, errRead):
		return err
	case writeErr != nil:
		return writeErr
	case r.bad > 0:
		return fmt.Errorf("%d lines could not be read, or files end too early", r.bad)
	case err == nil:
		return r.checkColumns()
	}
	return nil
}

// checkColumns tells whether every column that was asked for was there.
func (r *logReader) checkColumns() error {
	var missing []string
	for _, name := range r.columns {
		if !r.had[name] {
			missing = append(missing, name)
		}
	}
	if r.filter != nil {
		missing = append(missing, r.filter.Unknown()...)
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("no log has a column %s", strings.Join(slices.Compact(missing), ", nor "))
	}
	return nil
}

// file prints the rows of one file.
func (r *logReader) file(ctx context.Context, name string, stdin io.Reader) error {
	in, shown := stdin, "standard input"
	if name == "-" {
		in = &interruptible{ctx: ctx, r: stdin}
	} else {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in, shown = file, name
	}
	reader := logfile.NewReader(in, name != "-")
	for ctx.Err() == nil {
		row, err := reader.Next()
		var line *logfile.LineError
		switch {
		case err == nil:
			err = r.row(row, name)
		case errors.Is(err, io.EOF) && !errors.As(err, &line):
			if l := reader.Log(); r.filter == nil && len(l.Fields) > 0 && r.log != l {
				return r.begin(l, name) // which has no rows
			}
			return nil
		case errors.Is(err, ctx.Err()):
			return ctx.Err()
		default:
			if r.bad++; r.bad <= maxTold {
				fmt.Fprintf(r.stderr, "%s: %v\n", shown, err)
			}
			if errors.As(err, &line) {
				continue
			}
			return nil
		}
		if err != nil {
			return err
		}
		if name == "-" { // somebody may wait for it
			if err := r.out.Flush(); err != nil {
				return cmp.Or(outputError(err), errRead)
			}
		}
	}
	return ctx.Err()
}

// row prints a row if it is wanted.
func (r *logReader) row(row *logfile.Row, file string) error {
	if r.seen != row.Log {
		r.seen = row.Log
		for _, f := range r.seen.Fields {
			r.had[f.Name] = true
		}
	}
	if r.filter != nil {
		wanted, err := r.filter.Match(row)
		if err != nil {
			return usageError("--where: %s: %w", file, err)
		}
		if !wanted {
			return nil
		}
	}
	if r.log != row.Log {
		if err := r.begin(row.Log, file); err != nil {
			return err
		}
	}
	packed := row.Packed
	if r.numbers != nil {
		r.packed = row.AppendColumns(r.packed[:0], r.numbers)
		packed = r.packed
	}
	var err error
	if r.text, err = r.format.Row(r.text[:0], packed); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if _, err := r.out.Write(r.text); err != nil {
		return cmp.Or(outputError(err), errRead)
	}
	if r.printed++; r.printed == r.head {
		return errRead
	}
	return nil
}

// begin prepares for the rows of another log, or of one whose columns have changed.
func (r *logReader) begin(l *logfile.Log, file string) error {
	r.log, r.numbers = l, nil
	fields := l.Fields
	if len(r.columns) > 0 {
		fields, r.numbers = nil, []int{}
		for _, name := range r.columns {
			at := l.Index(name)
			f := zeek.Field{Name: name, Type: uint64(zeek.LogString), Optional: true}
			if at >= 0 {
				f = l.Fields[at]
				r.had[name] = true // also if no row comes
			}
			fields, r.numbers = append(fields, f), append(r.numbers, at)
		}
	}
	o := logs.DefaultOptions()
	o.JSON = r.to == "json" || r.to == "" && l.JSON
	path := cmp.Or(l.Path, logName(file))
	if r.format != nil && r.footer && logs.SameColumns(r.fields, fields) && !o.JSON {
		return nil // the same columns, as in the next of several rotated files
	}
	r.end()
	format, err := logs.NewFormat(&logs.Schema{Stream: path, Path: path, Fields: fields}, o)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	r.format, r.fields, r.footer = format, fields, true
	opened := l.Opened
	if opened.IsZero() {
		opened = time.Now()
	}
	_, err = r.out.Write(format.Header(nil, opened))
	if err != nil {
		return cmp.Or(outputError(err), errRead)
	}
	return nil
}

// end ends what was printed of a log.
func (r *logReader) end() {
	if r.footer {
		r.out.Write(r.format.Footer(nil, time.Now())) // Flush tells of the error
		r.footer = false
	}
}

// logName guesses the path of a log from the name of its file.
func logName(file string) string {
	if file == "-" {
		return "stdin"
	}
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	return cmp.Or(name, "log")
}
