// Package anontls is the TLS of a Zeek cluster that nobody gave certificates, which is the default
// (PROTOCOL.md section 1): TLS 1.2 with TLS_ECDH_anon_WITH_AES_256_CBC_SHA (0xC019) and secp384r1,
// as client and as server.
//
//	conn := anontls.Client(tcp, nil)
//	if err := conn.HandshakeContext(ctx); err != nil {
//		...
//	}
//
// # ENCRYPTED, AND NOBODY IS AUTHENTICATED
//
// An anonymous key exchange keeps out who only listens. It does not keep out anybody who can open a
// connection, and not who sits in the middle, answers in both directions, and reads and changes
// everything. There is no key to pin and no name to check; it cannot be made safe by configuration.
// Where that matters, use certificates, which is crypto/tls, or a network that you trust. This
// package exists to speak with nodes as they are.
//
// # What it does
//
// It offers and accepts extended_master_secret (RFC 7627) and encrypt_then_mac (RFC 7366), and works
// without them; [Conn.ConnectionState] tells which are in use. It answers the renegotiation
// indication (RFC 5746) and refuses renegotiation, compression, other versions, suites and groups. It
// neither resumes sessions nor issues tickets. Without encrypt_then_mac, records are opened in
// constant time as far as crypto/tls does that (Lucky 13).
//
// A Write is cut into full records of 16 KiB, and up to four of them go out in one write to the
// connection below. A Read takes as many records as have arrived and fit. The buffers for that come
// from a pool, and are held only while there is something in them: an idle connection has a
// buffer of 2 KiB.
//
// # Errors
//
// A [*NotTLSError] says who is there instead, such as a Broker node with TLS disabled. An
// [*AlertError] says which alert ended the connection, who sent it and why; errors.Is knows
// [ErrNoAnonymous], [ErrVersion] and [ErrFlood] as the reasons. A connection that ends without
// close_notify ends in [io.ErrUnexpectedEOF], not in [io.EOF]: it may have been cut by others.
package anontls
