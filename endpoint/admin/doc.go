// Package admin lets the operator of a node look inside it, through a Unix socket that only the
// owner of the process may open. It speaks HTTP:
//
//	GET /v1/status    what the node, its peers and its topics have done, as one JSON object (Status)
//	GET /v1/tap       what the node and its peers say from now on, as lines of a recording
//
// The tap takes topic, peer, type (each may be given several times; see [dump.Filter]) and dir (in or
// out, as seen from the node). What it cannot deliver in time is dropped, and said to be, in a line
// with a note. With curl:
//
//	curl --unix-socket /run/zeekpeer.sock http://node/v1/status
package admin
