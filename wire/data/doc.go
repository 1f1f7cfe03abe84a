// Package data holds the values that Zeek and Broker exchange: a small value type, its binary and
// JSON encodings (PROTOCOL.md sections 6 and 7), and the mapping between values and Go structs.
package data
