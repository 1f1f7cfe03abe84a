// Package interop holds zeekpeer against others: what real nodes said when they were recorded
// (testdata, see its README), and real nodes that the tests start, if there are any on this machine.
//
// The replays decode every recorded frame down to the last value, in every form that this module
// knows, and encode it again to the same bytes; they drive the handshake machine from both sides of
// every recorded handshake. They need nothing but this checkout.
//
// The tests with a real node look for broker-node on PATH, or for the programs that the environment
// variable ZEEKPEER_BROKER_NODES names, separated as in PATH, and do everything with each of them.
// Without any they are skipped.
package interop
