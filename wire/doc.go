// Package wire turns the bytes between two Broker nodes into structs and back: frames, the messages
// of the handshake, the envelope and what travels in it (PROTOCOL.md sections 2 to 5). It does no
// I/O and keeps no state.
//
// AppendX appends a whole frame, its length included. ParseX takes the body of one frame, without
// its length, and never allocates more than a small multiple of what it was given.
package wire
