package store

import (
	"context"
	"errors"
	"fmt"
)

// How much Copy commits at a time.
const (
	copyRecords = 4096
	copyBytes   = 4 << 20
)

// Copy copies all that src holds to dst, which must be empty: the records, and then the state, so that
// the copy of a master is that master. It calls progress, if that is not nil, with the number of records
// after each batch. If it ends early, dst has a part of the records and no state, and is to be removed.
func Copy(ctx context.Context, dst, src Backend, progress func(records int)) error {
	if err := checkEmpty(dst); err != nil {
		return fmt.Errorf("copying a store, destination: %w", err)
	}
	state, err := src.State()
	if err != nil {
		return fmt.Errorf("copying a store, source: %w", err)
	}
	var batch Batch
	var memory []byte // of the records in the batch
	total := 0
	commit := func() error {
		if err := dst.Commit(&batch); err != nil {
			return fmt.Errorf("copying a store, destination, after %d records: %w", total, err)
		}
		total += len(batch.Changes)
		batch.Changes, memory = batch.Changes[:0], memory[:0]
		if progress != nil {
			progress(total)
		}
		return nil
	}
	var failed error // at the destination, or the context
	err = src.Load(func(r Record) error {
		if failed = context.Cause(ctx); failed != nil {
			return failed
		}
		if _, forgetful := dst.(*stateBackend); forgetful {
			failed = errors.New("copying a store, destination: keeps no records, and the source has some")
			return failed
		}
		if n := len(batch.Changes); n > 0 && (n == copyRecords || len(memory)+len(r.Key)+len(r.Value) > copyBytes) {
			if failed = commit(); failed != nil {
				return failed
			}
		}
		start := len(memory)
		memory = append(append(memory, r.Key...), r.Value...)
		middle := start + len(r.Key)
		batch.Changes = append(batch.Changes, Change{Record: Record{
			Key: memory[start:middle:middle], Value: memory[middle:len(memory):len(memory)], Expiry: r.Expiry,
		}})
		return nil
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("copying a store, source, after %d records: %w", total, err)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	batch.Master, batch.Mark = state.Master, state.Mark
	for writer, seq := range state.Writers {
		batch.Writers = append(batch.Writers, WriterMark{Writer: writer, Seq: seq})
	}
	return commit()
}

var errNotEmpty = errors.New("is not empty: give one that is, or remove it")

// checkEmpty fails if a backend was used before.
func checkEmpty(b Backend) error {
	state, err := b.State()
	if err != nil {
		return err
	}
	if !state.Master.IsZero() || state.Mark != 0 || len(state.Writers) > 0 {
		return errNotEmpty
	}
	return b.Load(func(Record) error { return errNotEmpty })
}
