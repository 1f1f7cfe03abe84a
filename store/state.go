package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zeekpeer/zeekpeer/wire"
)

// OpenState returns a backend that keeps no contents, but who the master is and which numbers its events
// may have had: a store in memory that its clones recognise after a restart. They see it empty then.
//
// It needs a directory, which is created if it is missing, for two small files, and locks it. Commit
// writes to the disk only now and then: it reserves numbers in blocks of 10,000.
func OpenState(dir string) (Backend, error) {
	if dir == "" {
		return nil, errors.New("state of a store: no path: give a directory")
	}
	s := &stateBackend{dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("state of a store in %s: cannot create the directory: %w", dir, err)
	}
	var err error
	if s.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("state of a store in %s: %w", dir, err)
	}
	if err = s.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("state of a store in %s: %w", dir, err), s.lock.Close())
	}
	return s, nil
}

// markBlock is how many numbers are reserved at a time. After a crash, a clone asks for those that were
// reserved and not used.
const markBlock = 10_000

// A stateBackend is the backend that OpenState returns.
type stateBackend struct {
	dir    string
	lock   *os.File
	saved  State  // what the file holds, without writers
	mark   uint64 // of the last Commit; at most saved.Mark
	closed bool
}

// The file holds this and nothing else. The mark is one that was reserved.
const stateFormat = "zeekpeer store state, format 1\nmaster %36s/%d\nmark %d\n"

func (s *stateBackend) path() string { return filepath.Join(s.dir, "state") }

func (s *stateBackend) read() error {
	text, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var endpoint string
	var state State
	_, err = fmt.Sscanf(string(text), stateFormat, &endpoint, &state.Master.Object, &state.Mark)
	if err == nil {
		state.Master.Endpoint, err = wire.ParseEndpointID(endpoint)
	}
	if err == nil && !bytes.Equal(text, encodeState(state)) {
		err = errors.New("it is not in the form in which it is written")
	}
	if err != nil {
		return fmt.Errorf("the file state cannot be read: %w: restore a backup, use the version that wrote it, or remove it to begin with a new master", err)
	}
	s.saved, s.mark = state, state.Mark
	return nil
}

func encodeState(state State) []byte {
	return fmt.Appendf(nil, stateFormat, state.Master.Endpoint, state.Master.Object, state.Mark)
}

// State returns the master, and the highest number that was reserved. After an orderly Close that is the
// last one that was used.
func (s *stateBackend) State() (State, error) {
	if s.closed {
		return State{}, errStateClosed
	}
	return s.saved, nil
}

var errStateClosed = errors.New("state of a store: closed before")

// Load finds no records.
func (s *stateBackend) Load(func(Record) error) error {
	if s.closed {
		return errStateClosed
	}
	return nil
}

func (s *stateBackend) Commit(b *Batch) error {
	if s.closed {
		return errStateClosed
	}
	if b.Master != s.saved.Master || b.Mark > s.saved.Mark {
		reserved := b.Mark + markBlock
		if reserved < b.Mark {
			reserved = b.Mark
		}
		if err := s.save(State{Master: b.Master, Mark: reserved}); err != nil {
			return err
		}
	}
	s.mark = b.Mark
	return nil
}

// save replaces the file.
func (s *stateBackend) save(state State) error {
	if err := replaceFile(s.path(), encodeState(state)); err != nil {
		return fmt.Errorf("state of a store in %s: cannot be written: %w", s.dir, err)
	}
	s.saved = state
	return nil
}

// Close gives back the numbers that were reserved and not used.
func (s *stateBackend) Close() error {
	if s.closed {
		return errStateClosed
	}
	s.closed = true
	var err error
	if s.mark != s.saved.Mark {
		err = s.save(State{Master: s.saved.Master, Mark: s.mark})
	}
	return errors.Join(err, s.lock.Close())
}

// replaceFile writes a file durably, so that after a crash there is the old one or the new one.
func replaceFile(path string, contents []byte) (err error) {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(contents)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
