package store

import (
	"fmt"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// An Op is an operation that changes a store. What is wrong with its operands is told when it is
// submitted.
type Op struct {
	cmd wire.Command // without header, who waits and publisher
	err error
}

// PutOp puts a value under a key, in place of what is there.
func PutOp(key, value data.Value) Op { return newOp(wire.CommandPut, key, value, data.KindNone) }

// PutUniqueOp puts a value under a key if there is none.
func PutUniqueOp(key, value data.Value) Op {
	return newOp(wire.CommandPutUnique, key, value, data.KindNone)
}

// EraseOp removes the value under a key.
func EraseOp(key data.Value) Op {
	op := Op{cmd: wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandErase}}}
	op.setKey(key)
	return op
}

// ClearOp removes all.
func ClearOp() Op {
	return Op{cmd: wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandClear}}}
}

// IncrementOp adds to a count, integer, real or timespan a number of the same kind, and to a timestamp a
// timespan. Without a value it begins with zero, and a timespan with the time 0: 1970.
func IncrementOp(key, by data.Value) Op {
	init := data.KindNone
	switch by.Kind() {
	case data.KindCount, data.KindInt, data.KindReal:
		init = by.Kind()
	case data.KindTimespan:
		init = data.KindTime
	}
	return newOp(wire.CommandAdd, key, by, init)
}

// DecrementOp subtracts what [IncrementOp] adds. There must be a value.
func DecrementOp(key, by data.Value) Op {
	return newOp(wire.CommandSubtract, key, by, data.KindNone)
}

// AppendOp appends to a string. Without a value it begins with an empty one.
func AppendOp(key data.Value, s string) Op {
	return newOp(wire.CommandAdd, key, data.String(s), data.KindString)
}

// InsertIntoOp inserts an element into a set. Without a value it begins with an empty one.
func InsertIntoOp(key, index data.Value) Op {
	return newOp(wire.CommandAdd, key, index, data.KindSet)
}

// InsertEntryOp sets what stands under an index of a table. Without a value it begins with an empty one.
func InsertEntryOp(key, index, value data.Value) Op {
	return newOp(wire.CommandAdd, key, data.Vector(index, value), data.KindTable)
}

// RemoveFromOp removes an element from a set, or an index and its value from a table; from a vector, as
// in Broker, the last element.
func RemoveFromOp(key, index data.Value) Op {
	return newOp(wire.CommandSubtract, key, index, data.KindNone)
}

// PushOp appends an element to a vector. Without a value it begins with an empty one.
func PushOp(key, value data.Value) Op {
	return newOp(wire.CommandAdd, key, value, data.KindVector)
}

// PopOp removes the last element of a vector, if it has one. From a value of another kind it subtracts the
// key, as in Broker.
func PopOp(key data.Value) Op { return newOp(wire.CommandSubtract, key, key, data.KindNone) }

// Expiring returns op with an expiry: d after its execution the entry is removed. Every operation
// without one makes the entry permanent, as in Broker. An entry that is erased has no expiry.
func (op Op) Expiring(d time.Duration) Op {
	op.cmd.HasExpiry, op.cmd.Expiry = true, d
	return op
}

func newOp(kind wire.CommandKind, key, value data.Value, init data.Kind) Op {
	op := Op{cmd: wire.Command{CommandHeader: wire.CommandHeader{Kind: kind}, Init: init}}
	op.setKey(key)
	if err := data.CheckDepth(value); err != nil && op.err == nil {
		op.err = fmt.Errorf("%v: value: %w", kind, err)
	}
	if op.err == nil {
		op.cmd.Value = data.AppendValue(nil, value)
	}
	return op
}

func (op *Op) setKey(key data.Value) {
	if err := data.CheckDepth(key); err != nil {
		op.err = fmt.Errorf("%v: key: %w", op.cmd.Kind, err)
		return
	}
	op.cmd.Key = data.AppendValue(nil, key)
	if data.HasNaN(op.cmd.Key) {
		op.err = fmt.Errorf("%v: %w: %v", op.cmd.Kind, ErrNaNKey, key)
	}
}
