// Package websocket serves and speaks Broker's JSON over WebSocket, version 1 (PROTOCOL.md section 7):
// the API with which programs that are no Broker nodes publish and subscribe. Clients of Broker's and
// of Zeek's own server work unchanged.
//
//	server, err := websocket.Listen(ctx, ep, "127.0.0.1:27759")
//	...
//	defer server.Shutdown(context.Background())
//
// [NewHandler] is the same as a handler for somebody's own HTTP server. [Dial] is the other side.
//
// # What a client of the server sees
//
// Its first message names its topics, a JSON array of prefixes; the answer is an ack. From then on it
// receives what peers, other clients and this process publish under its topics, and what it sends
// goes to all of them, not back to itself. What cannot be read, a binary message included, is answered
// by an error message, and the connection stays. It ends with a close code that says why:
//
//	1001  the server shuts down
//	1008  no topics in time, or topics or an application name that are refused; an error message with
//	      the reason comes first, except for the time
//	1009  a message larger than allowed
//	1011  nothing came from the client for too long, not even an answer to a ping
//	1013  the client reads too slowly and the policy is [endpoint.Disconnect]
//
// # Who may connect
//
// The protocol knows no users: whoever is let in can read and publish everything. [Listen] refuses an
// address other than loopback unless there is a token, a client certificate is demanded or [AllowRemote]
// says that it is meant so. A page in a browser can reach loopback, too: a request with an Origin is
// refused unless [WithOrigins] lists it or it is that of the server itself. [WithAccess] says what
// those who are let in may do.
//
// # Slow clients
//
// Each client has a queue, bounded in messages and bytes. When it is full the oldest messages are
// dropped and counted in [ClientInfo]; nobody else waits. A client that takes nothing at all for as
// long as the ping timeout is given up.
package websocket
