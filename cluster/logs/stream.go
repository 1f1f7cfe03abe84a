package logs

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A Stream sends rows of a log, each of which is a T, to the loggers of a cluster. It may be used by many
// goroutines. Batches, loggers in turn, and rows that wait for one are those of [cluster.LogStream].
type Stream[T any] struct {
	log     *cluster.LogStream
	columns []column
	scratch sync.Pool // of *packing[T]
}

// A packing is the memory in which one row is packed.
type packing[T any] struct {
	row    T
	packed []byte
}

// keptPacking bounds, in bytes, the memory of a packed row that is kept for the next.
const keptPacking = 64 << 10

// NewStream makes a log known to the loggers, such as stream "MyModule::LOG" with path "my_module", and
// returns what sends its rows. A logger of Zeek takes only streams that a script of its has created.
//
// The columns are the fields of the struct T: see [FieldsOf].
func NewStream[T any](node *cluster.Node, stream, path string) (*Stream[T], error) {
	columns, err := columnsOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", stream, err)
	}
	log, err := node.NewLogStream(stream, path, fieldsOf(columns))
	if err != nil {
		return nil, err
	}
	return &Stream[T]{log: log, columns: columns, scratch: sync.Pool{New: func() any { return new(packing[T]) }}}, nil
}

// Write sends a row. It waits for others to go with, for a second at the most; what is written while no
// logger is there waits for one. An error says which column does not fit, and then the row is not sent.
func (s *Stream[T]) Write(row T) error {
	p := s.scratch.Get().(*packing[T])
	p.row = row
	var err error
	p.packed, err = appendRow(p.packed[:0], s.columns, &p.row)
	if err == nil {
		err = s.log.Write(p.packed)
	}
	var zero T
	if p.row = zero; cap(p.packed) <= keptPacking {
		s.scratch.Put(p)
	}
	return err
}

// FieldsOf returns the columns of a log whose rows are Ts, in the order of the fields of that struct. They
// are named and read as package wire/data has it, by the same tags:
//
//	time.Time, time.Duration         time, interval
//	bool, string, []byte             bool, string
//	int, int8 to int64               int
//	uint, uint8 to uint64            count
//	float32, float64                 double
//	netip.Addr, netip.Prefix         addr, subnet
//	data.TransportPort               port
//	data.EnumName, string ",enum"    enum
//	[]T                              vector; set with ",set"; what is optional with ",optional" is unset if nil
//	map[T]struct{}                   set
//	*T                               what T is, optional: unset if nil
//	struct                           its fields, with its name and a dot before theirs, as Zeek has "id.orig_h"
//
// An embedded struct without a tag stands for its fields. Elements of vectors and sets hold no others.
func FieldsOf[T any]() ([]zeek.Field, error) {
	columns, err := columnsOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	return fieldsOf(columns), nil
}
