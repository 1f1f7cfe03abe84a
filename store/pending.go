package store

import (
	"context"
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire"
)

// An Outcome says what became of an operation.
type Outcome uint8

const (
	// Submitted: nothing is known yet, because the caller did not want to wait.
	Submitted Outcome = iota
	// Applied: the master has executed the operation; a master with a backend has made it durable. At the
	// clone that asked for it the effect can be seen, unless later operations have changed it again.
	Applied
	// NoEffectOrFailed: the master has dealt with the operation, and nothing came of it. There was
	// nothing to erase, put_unique found a value, or the operation does not suit the value that is
	// there; a master says no more than that to a clone (STORE.md section 5.1).
	NoEffectOrFailed
)

var outcomeNames = [...]string{"submitted", "applied", "no effect or failed"}

// String returns the outcome in words.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// A Pending is an operation that was submitted.
type Pending struct {
	store *Store
	cmd   wire.Command
	size  int64 // what it takes of the room for operations that wait

	done    chan struct{}
	outcome Outcome // when done
	err     error
}

// Done returns a channel that is closed when the outcome is known.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Wait waits for the outcome. If ctx ends before, the error is [ErrOutcomeUnknown] besides that of ctx:
// the operation goes on.
func (p *Pending) Wait(ctx context.Context) (Outcome, error) {
	select {
	case <-p.done:
		return p.outcome, p.err
	default:
	}
	select {
	case <-p.done:
		return p.outcome, p.err
	case <-ctx.Done():
		return Submitted, fmt.Errorf("%v in store %q: %w: %s: %w", p.cmd.Kind, p.store.name, ErrOutcomeUnknown, p.store.replica.hint(), ctx.Err())
	}
}

// settle tells the outcome. It is called once, by the goroutine of the store or, when that has ended, by
// who ended it.
func (p *Pending) settle(o Outcome, err error) {
	p.outcome = o
	if err != nil {
		p.err = fmt.Errorf("%v in store %q: %w", p.cmd.Kind, p.store.name, err)
	}
	p.store.room.Release(p.size)
	close(p.done)
}
