// Package certs is TLS with certificates, as Broker speaks it (PROTOCOL.md section 1): TLS 1.2 or
// later, and both sides show a certificate that a CA they share has signed.
//
//	store, err := certs.Load(certs.Files{CAFile: "ca.pem", CertFile: "worker-1.pem", KeyFile: "worker-1-key.pem"})
//	...
//	conn := tls.Client(tcp, store.Client())
//	if err := conn.HandshakeContext(ctx); err != nil {
//		return certs.Explain(err)
//	}
//	names := certs.PeerNames(conn.ConnectionState())
//
// [Files] are what the options of Zeek name: Broker::ssl_cafile, ssl_capath, ssl_certificate,
// ssl_keyfile and ssl_passphrase. [Load] finds what is wrong with them before a peer does.
//
// # Who is let in
//
// Everybody with a certificate of the CA, under whatever name, since that is what Broker does: it
// checks the chain, the dates and the extended key usage, but no names, and it reads no revocation
// lists. So take a CA that signs for this cluster only. [Files.AllowedNames] narrows it down on this
// side, and is the way to shut out a node whose key was lost. Names are not bound to addresses.
//
// # Reload
//
// [Store.Client] and [Store.Server] make a configuration for one connection. After [Store.Reload]
// the next connection has the new files; connections that are up stay up. Sessions are not resumed,
// so none gets past the new rules with an old ticket.
//
// # Making certificates
//
// [NewAuthority] and [Authority.Issue] make a small CA and certificates for nodes, on ECDSA P-256,
// which every OpenSSL that Broker is built with takes. The command "zeekpeer certs" is on top of them.
package certs
