// Package bridge connects a native Broker network with a Zeek cluster that is reached through its
// WebSocket API, whatever transport that cluster uses inside. Endpoints that speak the native protocol
// keep working while a fleet moves from Broker to ZeroMQ.
//
//	b, err := bridge.New(ep, "ws://127.0.0.1:27759", bridge.Config{})
//	...
//	err = b.Run(ctx)
//
// # What crosses
//
// Messages under the topics of the maps, in either direction; each [Map] says how their topics change.
// Without maps these are the topics of Zeek's cluster framework, which are called zeek/cluster/worker
// with Broker and zeek.cluster.worker with ZeroMQ. All other topics have the same names with both, and
// cross if a map names them, such as Map{"/my/app/", "/my/app/"}.
//
// Payloads are checked both ways and never changed, but JSON has no bytes that are not UTF-8: \xNN stands
// for them on the other side. Zeek itself takes only events, of names that its scripts know; it answers
// others by errors, which are counted as [Direction.Rejected]. Broker's own server takes any value.
//
// Publish and subscribe are at most once. While one side cannot be reached, what comes from the other waits
// in bounded queues, and what has no room is counted.
//
// # The loop guard
//
// A message that has crossed is not sent back. The bridge remembers for [Config.Window] what it has put
// into each of the two networks, and drops what comes out of one again: it was echoed, or brought back
// by a second bridge. That ends what two bridges beside each other would do.
//
// They can do worse if they are peers, or peers of a node that forwards: what one of them brings
// into the WebSocket side the other brings back to the first, which cannot tell it from news. So bridges tell
// each other that they are there, by an event on a native topic of their own, zeekpeer/bridge/zeekpeer-bridge-ID.
// A node between them that forwards may not forward that: when equal messages come again and again, the event
// is published under the native prefixes of the maps, too, on the way that those messages must take. While a bridge
// knows of another one it drops, too, what it has sent to the WebSocket side before, within the window. It logs
// that, and [Stats.Bridges] shows it.
//
// What the guard compares are hashes of topics and contents. Times, intervals and real numbers all count
// as equal, and so does the metadata of events, since Zeek's server rounds the former and writes the
// latter anew. From that follow the limits:
//
//   - A message that equals one which crossed the other way within the window is lost, though somebody
//     meant it. While there are two bridges, so is one that equals one which crossed the same way.
//   - Two bridges that both hear a message deliver it twice.
//   - A loop that takes longer than the window goes on, slowly; so does one through a second bridge that
//     tells nobody of itself, as other programs do.
//   - Hashes of 131,072 messages a direction are kept. Above 25,000 messages a second they cover less than
//     the usual window.
//
// All of it is counted as [DropLoop].
package bridge
