// Package rules reads, from a file, what peers may do: the access rules of an endpoint.
//
//	r, err := rules.Load("/etc/zeekpeer/access.yaml")
//	...
//	ep, err := endpoint.New(endpoint.WithAccess(r.Access), ...)
//	...
//	if err := r.Reload(); err == nil { // after the file was changed; with an error the old rules stay
//		ep.ReloadAccess()
//	}
//
// # The file
//
// It is YAML: a list of rules, of which the first that matches holds, and what holds if none does.
//
//	rules:
//	  - name: workers
//	    match: {cert: "worker-*"}      # by certificate: authentication
//	    publish: [zeek/cluster/, zeek/logs/]
//	    subscribe: [zeek/cluster/]
//	    commands: [zeek/known/]        # stores under this name
//	    identifiers: deny              # no global variable of a script is changed
//
//	  - name: dashboards
//	    match: {websocket: true, addr: [10.0.0.0/8, "fd00::/8"]}
//	    subscribe: [zeek/alerts/]
//	    read_only: true
//
//	  - name: the old sensor           # says it is: a guard against mistakes, no more
//	    match: {id: 18ab3d51-006e-4e20-828b-f70212768b71}
//	    logs: deny
//
//	default:
//	  refuse: true
//
// The conditions of a match must all hold; one that is a list holds if one of its entries does:
//
//   - cert: a pattern for a name in the certificate, the common name or a DNS name, in which * stands for any
//     characters but /, ? for one, and [a-z] for one of several. Upper and lower case are alike.
//   - id: the endpoint id of a peer.
//   - addr: the address, or a network, from which it comes or to which was dialed.
//   - websocket: true for clients of the WebSocket API only, false for peers only.
//
// What a rule can say, in any combination that makes sense:
//
//   - refuse: true. It is not let in at all.
//   - publish: prefixes of topics under which it may publish data, to all or to one node. Without this, all; with
//     [], none.
//   - subscribe: prefixes of topics of which it may receive data and commands, likewise.
//   - commands: prefixes of topics under which it may send commands to stores, likewise: those of the store "x"
//     begin with "x/". If the rule has publish and not commands, none.
//   - logs: deny. It may not create or write logs, on whatever topic, also not within a batch.
//   - identifiers: deny. It may not change global variables of Zeek scripts, likewise.
//   - read_only: true. It may publish nothing and send no commands.
//
// A prefix is compared byte by byte: "zeek/a" covers "zeek/abc", "zeek/a/" does not. A rule with none
// of these allows everything. Text with * or : in it is best put in quotes.
//
// # What is authentication, and what only a guard
//
// A name in a certificate has been proved by whoever holds the key, to an endpoint with
// [endpoint.CertificateTLS]. With plain connections and with anonymous TLS nobody has names, so that no
// rule with cert ever matches. An endpoint id is whatever a peer says, and an address whatever a network
// lets through: rules by them keep a misconfigured node from doing harm, not somebody who wants to.
// [Rules.Describe] says of each rule which it is.
//
// Whoever may publish events to Zeek may have its scripts do what these can do. Rules decide about
// topics and kinds of messages, not about what events mean.
package rules
