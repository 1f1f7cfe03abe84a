package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/pebble"
	"github.com/zeekpeer/zeekpeer/store/sqlite"
)

// backendFlags say where a master keeps its contents.
type backendFlags struct {
	backend     string
	path        string
	state       string
	synchronous string
	journal     string
	failure     string
	integrity   bool
}

func (f *backendFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.backend, "backend", "memory", "keep the contents in `KIND`: memory (they end with the process), pebble or sqlite (which Zeek reads, too)")
	flags.StringVar(&f.path, "path", "", "the directory of pebble or the file of sqlite, a `PATH`; made if it is missing")
	flags.StringVar(&f.state, "state", "", "with memory, remember in `DIR` who the master is, so that clones that stay know it again when it is restarted (empty)")
	flags.StringVar(&f.synchronous, "synchronous", "full", "of sqlite, `MODE` full (what is acknowledged survives the loss of power), extra, normal or off")
	flags.StringVar(&f.journal, "journal-mode", "", "of sqlite, `MODE` delete or wal (default: as the file is; delete)")
	flags.StringVar(&f.failure, "failure-mode", "fail", "of sqlite, what to do with a damaged file, `MODE` fail or delete (it is replaced by an empty one)")
	flags.BoolVar(&f.integrity, "integrity-check", false, "of sqlite, check the whole file first")
}

// fileBackend is a backend in a file or directory, with the defaults of the flags.
func fileBackend(kind, path string) *backendFlags {
	return &backendFlags{backend: kind, path: path, synchronous: "full", failure: "fail"}
}

// check refuses flags that do not go together.
func (f *backendFlags) check(changed func(flag string) bool) error {
	if !slices.Contains([]string{"memory", "pebble", "sqlite"}, f.backend) {
		return usageError("--backend %s: want memory, pebble or sqlite", f.backend)
	}
	switch {
	case f.backend == "memory" && f.path != "":
		return usageError("--path goes with --backend pebble or sqlite; memory has none")
	case f.backend != "memory" && f.path == "":
		return usageError("--backend %s wants --path", f.backend)
	case f.backend != "memory" && f.state != "":
		return usageError("--state goes with --backend memory; %s keeps it with the contents", f.backend)
	}
	for _, flag := range []string{"synchronous", "journal-mode", "failure-mode", "integrity-check"} {
		if f.backend != "sqlite" && changed(flag) {
			return usageError("--%s goes with --backend sqlite", flag)
		}
	}
	for _, mode := range []struct {
		flag, value string
		allowed     []string
	}{
		{"synchronous", f.synchronous, []string{"full", "extra", "normal", "off"}},
		{"journal-mode", f.journal, []string{"", "delete", "wal"}},
		{"failure-mode", f.failure, []string{"fail", "delete"}},
	} {
		if !slices.Contains(mode.allowed, mode.value) {
			return usageError("--%s %s: want %s", mode.flag, mode.value, strings.TrimPrefix(strings.Join(mode.allowed, ", "), ", "))
		}
	}
	return nil
}

// open opens the backend; nil is memory.
func (f *backendFlags) open(log *slog.Logger) (store.Backend, error) {
	switch {
	case f.backend == "sqlite":
		opts := []sqlite.Option{
			sqlite.WithSynchronous(sqlite.Synchronous(strings.ToUpper(f.synchronous))),
			sqlite.WithJournal(sqlite.Journal(strings.ToUpper(f.journal))),
			sqlite.WithFailure(sqlite.Failure(strings.ToUpper(f.failure))),
			sqlite.WithLogger(log),
		}
		if f.integrity {
			opts = append(opts, sqlite.WithIntegrityCheck())
		}
		return opened(sqlite.Open(f.path, opts...))
	case f.backend == "pebble":
		return opened(pebble.Open(f.path, pebble.WithLogger(log)))
	case f.state != "":
		return store.OpenState(f.state)
	}
	return nil, nil
}

// opened returns a backend, and no interface that holds none.
func opened[B store.Backend](b B, err error) (store.Backend, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}

// String says where the contents are, and what becomes of them.
func (f *backendFlags) String() string {
	switch {
	case f.backend != "memory":
		return fmt.Sprintf("%s in %s", f.backend, f.path)
	case f.state != "":
		return "memory: the contents end with this process; who the master is, is kept in " + f.state
	}
	return "memory: the contents end with this process, and so does the master (see --state)"
}
