// Package pebble keeps the contents of a store in a directory, in a Pebble database: a log-structured
// tree that takes a batch of any size with one write to its log and one fsync. It is the backend for
// stores of our own; package sqlite is the one that a Zeek node can read.
//
// The keys of the database begin with a letter for what they are:
//
//	f                       the format: a msgpack map with "format", the number of it
//	s                       the state: a msgpack array of the master (24 bytes) and the mark
//	w + writer (24 bytes)   the number of the last write of this writer, a msgpack integer
//	r + key                 a record: a msgpack array of its format, the expiry in nanoseconds and the value
//
// Keys and values of records are encoded values (STORE.md section 2.1), in the one form that a master hands
// over (see [store.Record]). The format is that of the whole database, and is checked before all else.
package pebble
