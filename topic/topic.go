// Package topic knows how Broker matches topics: a subscription is a prefix, compared byte by byte,
// so "/a" takes "/a/b" and "/ab" (PROTOCOL.md section 4).
package topic

import "strings"

const (
	sep = "/"
	// LocalPrefix begins the topics that never leave a node nor enter its filter.
	LocalPrefix = "<$>/local/"
	// MasterSuffix ends the topic on which the master of a store listens.
	MasterSuffix = "/<$>/data/master"
	// CloneSuffix ends the topic on which the clones of a store listen.
	CloneSuffix = "/<$>/data/clone"
)

// Join joins the parts of a topic as Broker does: with one slash between them if the second does not
// begin with one, and without a slash at the end.
func Join(parts ...string) string {
	joined := ""
	for _, part := range parts {
		if part != "" && !strings.HasPrefix(part, sep) && joined != "" {
			joined += sep
		}
		joined = strings.TrimSuffix(joined+part, sep)
	}
	return joined
}

// Split splits a topic into its parts, without empty ones.
func Split(topic string) []string {
	return strings.FieldsFunc(topic, func(r rune) bool { return r == '/' })
}

// IsLocal tells whether a topic never leaves the node.
func IsLocal(topic string) bool { return strings.HasPrefix(topic, LocalPrefix) }

// zeekStores begin the names of the stores that Zeek's own scripts create: those of the known-*
// policies and those behind tables with &backend (CLUSTER.md section 8).
var zeekStores = []string{"zeek/known/hosts", "zeek/known/services", "zeek/known/certs", "___sync_store_"}

// BlocksStores tells whether a subscription to prefix keeps the peers from creating stores that Zeek
// itself uses: a node refuses to become the master of a store if a peer's filter has an entry that
// the store's master topic begins with (STORE.md section 1.5). The empty topic blocks every store.
// Whether a topic blocks the stores of somebody's own scripts cannot be told from its name.
func BlocksStores(prefix string) bool {
	for _, name := range zeekStores {
		if strings.HasPrefix(name+MasterSuffix, prefix) {
			return true
		}
	}
	return false
}
