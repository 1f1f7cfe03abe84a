// Package channel is the protocol that replicates a store: how a master and its clones turn lossy
// broadcasts into ordered streams that miss nothing (STORE.md section 3).
//
// A [Producer] numbers what it sends and keeps it until all its consumers have it. A [Consumer] puts
// what it receives in order and asks for what is missing. A [Master] is a producer of events for all
// clones and a consumer of the writes of each; a [Clone] is a consumer of events and a producer of
// writes, which finds its master, notices when it is another one, and attaches again.
//
// All of them are plain state machines: no clock, no network, no goroutine. Time passes by calls of
// Tick, messages come by calls of Receive, and what is to be done goes to a host. None is safe for
// concurrent use. Bytes that are handed in are copied where they are kept.
package channel
