package data

import (
	"errors"
	"fmt"
)

// MaxDepth is how deep values may nest. The reference decodes recursively without a bound, and one
// message of 60,000 levels kills it; so nothing deeper than this is read, sent or passed on. Zeek's
// own messages stay below 20.
const MaxDepth = 100

// DefaultMaxValues is how many values [DecodeValue] puts into one tree at the most: 128 MiB of them.
// A value takes 32 bytes in a tree and as little as one byte on the wire.
const DefaultMaxValues = 4 << 20

// What is wrong with an encoded value. A [SyntaxError] says where.
var (
	ErrTruncated = errors.New("value ends too early")
	ErrTrailing  = errors.New("bytes left over behind the value")
	ErrKind      = errors.New("no such kind of value")
	ErrVarbyte   = errors.New("length does not fit 32 bits")
	ErrProtocol  = errors.New("no such protocol of a port")
	ErrSubnet    = errors.New("subnet longer than 128 bits")
	ErrDuplicate = errors.New("duplicate member of a set or key of a table")
	ErrDepth     = fmt.Errorf("value nests deeper than %d levels", MaxDepth)
	ErrTooMany   = errors.New("value has too many elements")
)

// A SyntaxError says what is wrong with an encoded value, and where.
type SyntaxError struct {
	Offset int // of the value or length at fault, in bytes from the beginning
	Err    error
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("at byte %d: %v", e.Offset, e.Err) }

func (e *SyntaxError) Unwrap() error { return e.Err }
