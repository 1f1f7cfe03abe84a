// Package interop holds zeekpeer against others: what real nodes said when they were recorded
// (testdata, see its README), and real nodes that the tests start, if there are any on this machine.
//
// The replays decode every recorded frame down to the last value, in every form that this module
// knows, and encode it again to the same bytes; they drive the handshake machine from both sides of
// every recorded handshake. They need nothing but this checkout.
//
// The tests with a real node look for broker-node on PATH, or for the programs that the environment
// variable ZEEKPEER_BROKER_NODES names, separated as in PATH, and do everything with each of them.
// Those with stores drive a real node through Broker's Python module (testdata/storenode.py): with the
// interpreter that ZEEKPEER_BROKER_PYTHON names, otherwise python3 on PATH. They run with a real master
// and a clone of ours, and with a master of ours and a real clone; with ZEEKPEER_LONG_TESTS set also with
// two real nodes, which holds the tests themselves against the reference, and what takes minutes runs too.
// Those with a cluster start real Zeek nodes, if a zeek of 8.1 or newer is on PATH, and zeekpeer node in the
// place of one; with ZEEKPEER_LONG_TESTS also Zeek's own in its place.
// Without any of these they are skipped.
package interop
