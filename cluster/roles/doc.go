// Package roles makes a [cluster.Node] do what Zeek's own scripts do on a node of its type, beyond being
// there: what nobody does would make logs vanish, or others wait.
//
//   - A proxy remembers for a day which hosts, services, certificates and software its share of the cluster
//     has reported, and writes what is new to known_hosts.log, known_services.log, known_certs.log and
//     software.log, as Zeek's proxies do. It passes on what workers want to tell each other.
//   - A worker answers the manager's questions for SumStats with nothing, so that the manager does not wait.
//   - A manager hosts the stores of the cluster, hands options that are set at one node to all others, and
//     passes on which notices are to be suppressed. It says what of a manager of Zeek it does not do.
//   - A logger counts the rows that it receives.
//   - All answer control requests, remember options, and take part in the start-up events if asked to.
//
// Zeek's names of events are used as they are on the wire. Those without a module, such as known_host_add,
// really have none: their scripts never declare them, and so the module they stand in does not count.
package roles
