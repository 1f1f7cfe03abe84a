package logs

import (
	"context"
	"fmt"
)

// A Sink takes the rows of all logs. It is used by several goroutines, each with logs of its own.
type Sink interface {
	// Open makes ready for the rows of a log. It is called once for each schema, at its LogCreate, again
	// when columns change, and again for a schema whose Writer was closed. An error means that the log
	// cannot be taken at all; what passes, such as a full disk, is for the Writer to wait for, until ctx
	// ends: then it gives up.
	Open(ctx context.Context, s *Schema) (Writer, error)
	// Close ends what the sink does besides, when all its Writers are closed. ctx bounds it.
	Close(ctx context.Context) error
}

// A Writer takes the rows of one log. One goroutine at a time uses it.
type Writer interface {
	// Write takes packed rows (CLUSTER.md section 6.4), which are valid during the call. While there is no
	// room for them it waits: whoever sends them is held back. [*RefusedRows] says that some of them do not
	// suit the schema, and that the others were taken.
	Write(rows [][]byte) error
	// Flush hands on what waits. It is called about once a second.
	Flush() error
	// Close flushes and ends the log.
	Close() error
}

// RefusedRows says that a Writer took all rows but some.
type RefusedRows struct {
	Rows  int
	First error // why the first of them was refused
}

func (e *RefusedRows) Error() string {
	return fmt.Sprintf("%d rows refused, the first: %v", e.Rows, e.First)
}

func (e *RefusedRows) Unwrap() error { return e.First }

// LostRows says that rows which a Writer had taken are gone, such as those for which a disk never had room.
type LostRows struct {
	Rows int
	Err  error // why
}

func (e *LostRows) Error() string { return fmt.Sprintf("%d rows lost: %v", e.Rows, e.Err) }

func (e *LostRows) Unwrap() error { return e.Err }
