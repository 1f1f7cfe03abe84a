// Package layout reads which nodes a Zeek cluster has, from Zeek's own files or from a native one, and tells who listens
// and who dials whom. It opens no connections.
//
//	l, err := layout.Load("/opt/zeek/spool/installed-scripts-do-not-touch/auto/cluster-layout.zeek", os.LookupEnv)
//	...
//	for _, w := range l.Warnings {
//		log.Warn(w)
//	}
//	for _, to := range l.Dials("worker-1") { // the loggers, the proxies, the manager: in Zeek's order
//		ep.Dial(to.DialAddr(), ...)
//	}
//
// [Load] reads a cluster-layout.zeek ([ParseZeek]), a node.cfg of zeekctl ([ParseNodeCfg]) or a native layout
// ([ParseNative]). What cannot work is an error, with line and column; what Zeek would put up with is a warning.
//
// # The native layout
//
// It is YAML. The names of options are Zeek's, without module.
//
//	zeek_version: 8.2
//
//	nodes:
//	  logger-1: {type: logger, address: 10.0.0.1, port: 27761}
//	  manager:  {type: manager, address: 10.0.0.1, port: 27760}
//	  proxy-1:  {type: proxy, address: 10.0.0.2, port: 27762}
//	  worker-1: {type: worker, address: 10.0.0.7, interface: eth0}
//	  worker-2: {type: worker, address: "fe80::7%eth1", metrics_port: 9991}
//
//	options:
//	  retry_interval: 5s
//	  default_store_dir: /var/lib/zeek/stores
//
//	stores:
//	  zeek/known/hosts: {backend: sqlite, path: /var/lib/zeek/hosts.sqlite}
//	  verdicts: {backend: pebble, master_node: proxy-1, clone_resync_interval: 30s}
//
// zeek_version is that of the Zeek nodes, on which defaults, topics and hashes depend; without it, the newest known is
// meant, with a warning.
//
// A node has
//
//   - type: manager, logger, proxy, worker, control, or (up to Zeek 7.0) time_machine.
//   - address: that others dial. An IPv6 address with a zone is put in quotes; zone_id can be said apart, too.
//   - port: where it listens; without, it does not. Loggers, proxies and managers are dialed, so they need one.
//   - manager: which manager a worker or proxy dials; without, the only one there is; null for none.
//   - interface, metrics_port, time_machine, lb_filter: as in Zeek's Cluster::Node.
//
// options are those of Zeek's module Cluster: default_backend, default_master_node, default_persistent_backend,
// default_store_dir, enable_round_robin_logging, logger_topic, manager_is_logger, manager_topic, node,
// node_topic_prefix, nodeid_topic_prefix, proxy_topic, retry_interval, time_machine_topic, worker_topic; and
// default_listen_address and default_listen_retry of module Broker. They have Zeek's defaults, except that
// manager_is_logger is true only if there is no logger. Intervals are written as 1m30s or as 90 secs, backends as memory,
// sqlite or pebble.
//
// stores are those of which something is not the default: backend, path, master_node, clone_resync_interval,
// clone_stale_interval, clone_mutation_buffer_interval.
package layout
