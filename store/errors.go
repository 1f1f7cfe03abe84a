package store

import "errors"

// What may be wrong with an operation or a query. Broker's code for it is in brackets (STORE.md section
// 5.7).
var (
	// ErrNoSuchKey says that there is nothing under a key or index. [no_such_key, 9]
	ErrNoSuchKey = errors.New("no such key")
	// ErrTypeClash says that an operation or an index does not suit the value that is there. [type_clash,
	// 11]
	ErrTypeClash = errors.New("type clash")
	// ErrInvalidData says that an operand is of the right type, but cannot be used. [invalid_data, 12]
	ErrInvalidData = errors.New("invalid data")
	// ErrStale says that a clone has not heard of its master for too long to vouch for its copy.
	// [stale_data, 14]
	ErrStale = errors.New("stale data")
	// ErrOutcomeUnknown says that the master was replaced, and that nobody can tell whether the one
	// before executed the operation. Broker loses such operations and does not tell.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrMasterExists says that a peer, or this endpoint, has a master of this name. [master_exists, 7]
	ErrMasterExists = errors.New("the store has a master already")
	// ErrNoSuchMaster says that a clone has not found a master. [no_such_master, 8]
	ErrNoSuchMaster = errors.New("no such master")
	// ErrBackend says that the backend failed. [backend_failure, 13]
	ErrBackend = errors.New("backend failure")
	// ErrClosed says that the store was closed. [bad_member_function_call, 25]
	ErrClosed = errors.New("store closed")
	// ErrFull says that too many operations wait for the master. Broker has no bound.
	ErrFull = errors.New("too many operations wait")
	// ErrNaNKey says that a key is or contains a real that is not a number. Broker takes such a key and
	// can never find it again (STORE.md section 6.1).
	ErrNaNKey = errors.New("NaN in a key")
	// ErrTooLarge says that an operation, or the value that comes of it, does not fit a message.
	ErrTooLarge = errors.New("too large for a message")
)
