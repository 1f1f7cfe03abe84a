// Package endpoint is a node on a Broker network: it listens and dials, peers with other nodes,
// publishes, subscribes, and tells who comes and goes.
//
//	ep, err := endpoint.New()
//	...
//	defer ep.Close(context.Background())
//	sub, err := ep.Subscribe([]string{"/weather/"})
//	ep.Peer("127.0.0.1:9999")
//	for msg := range sub.Messages(ctx) {
//		event, err := msg.Event()
//		...
//	}
//
// # What is promised
//
// Publish and subscribe are at most once. What one publisher sends to one subscriber arrives in the
// order in which it was published, or not at all. Every queue is bounded; what a full queue loses is
// counted, by peer and by reason, in [PeerInfo] and [SubscriptionStats]. A peering that ends loses
// what was under way, unless both sides take leave ([Endpoint.Close], [Peering.Unpeer]).
//
// Commands of stores go the same way as data, in one order with it, and come only to subscriptions made
// [WithCommands]. Publishing one never waits, whatever the policy of the queues: a full one loses it, and
// counts it ([Endpoint.PublishCommand], [Endpoint.PublishCommandTo]).
//
// # Memory
//
// Messages are handed over in batches that share the memory they were received in. A [Message]
// points into it and is valid until the loop asks for the next one; [Message.Clone] keeps it. What
// its methods decode (an event, a value, the topic) is the caller's for good.
//
// # Who may do what
//
// By default connections are those of a Zeek cluster, [AnonymousTLS], and everybody may do everything:
// what is said is encrypted, but whoever can reach the port can read, publish and subscribe. Only
// [CertificateTLS], set by [WithSecurity], tells who is at the other end. [WithAccess] asks rules what each peer may do, which package rules reads from a
// file.
package endpoint
