// Package store keeps replicated stores: keys and values that one node, the master, keeps, and of which
// any number of clones have a copy (STORE.md). Masters serve clones of Zeek, and clones follow masters of
// Zeek; what the protocol leaves open, or Broker only promises, works between nodes of this package:
//
//   - A clone looks for its master for ever. It notices when the master was restarted or replaced, attaches
//     again, and goes on answering from its copy until that is stale.
//   - What a clone is asked to write waits while there is no master. At a master that comes back with its
//     backend it is executed exactly once. Who asked is told what came of it.
//   - A master with a backend (packages pebble and sqlite) acknowledges a write when it is durable, and is the
//     same master after a restart, to clones of Zeek too.
//   - Who watches a store sees one consistent copy and then every change, or a new copy instead of a gap.
//
// A store is at most as large as memory, for all of it is in the memory of the master and of each clone, and
// as one message, for a clone gets it in one (see [endpoint.WithMaxFrame]).
//
// The protocol itself is in package channel, as state machines.
package store
