// Package handshake is the pure state machine of Broker's peering handshake (PROTOCOL.md
// section 3), for both ends of a connection. It owns no socket, no clock and no table of peers:
// whoever drives it writes what it says, reads frames for it, and answers its one question,
// whether a connection to that node may be made now.
//
//	out := m.Start()
//	for {
//		write(out.Send)
//		switch {
//		case out.Err != nil:
//			return out.Err
//		case out.Peered:
//			return nil // m.Remote and m.Filter tell who, what is buffered belongs to phase 3
//		case out.Identified:
//			out = m.Decide(registry.Admit(m.Remote()))
//		default:
//			out = m.Frame(readFrame())
//		}
//	}
package handshake
