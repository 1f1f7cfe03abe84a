package roles

import (
	"context"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// harmless are events that Zeek's stock scripts send to nodes of a type, and that a node without scripts may well
// leave alone: nothing is lost, and nobody waits. Of others the node tells that it has no handler.
var harmless = map[layout.NodeType][]string{
	layout.None: { // all types
		"Broker::announce_masters", "Cluster::table_change_infos", "Notice::begin_suppression", "Notice::suppression_batch_internal",
	},
	layout.Worker: {
		"SumStats::cluster_ss_request", "SumStats::cluster_threshold_crossed", "Intel::insert_indicator", "Intel::remove_indicator", "Intel::new_min_data_store",
		"sync_add_expected_data", "sync_remove_expected_data", "dcc_transfer_add", "dcc_transfer_remove", "SSL::intermediate_add", "X509::log_cert_hashes_internal",
		"NetControl::catch_release_block_new", "NetControl::catch_release_block_delete", "NetControl::rule_added", "NetControl::rule_removed",
		"NetControl::rule_timeout", "NetControl::rule_error", "NetControl::rule_exists", "NetControl::rule_new", "NetControl::rule_destroyed",
	},
	layout.Proxy:  {"X509::log_cert_hashes_internal"},
	layout.Logger: {"X509::log_cert_hashes_internal"},
}

// ignore takes the events that are harmless, as far as nothing else takes them.
func (r *role) ignore() {
	for _, t := range []layout.NodeType{layout.None, r.self.Type} {
		for _, event := range harmless[t] {
			if r.handlers[event] {
				continue
			}
			r.onEvent(event, func(context.Context, zeek.Event) error {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.ignored[event]++
				return nil
			})
		}
	}
}
