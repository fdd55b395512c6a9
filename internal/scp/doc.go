// Package scp implements the stable connection protocol of goscon, client and
// server, as [suite.Protocol] and [suite.Session]. docs/spec/scp.md is its
// specification.
//
// A handshake is one packet of text from the client and one from the server.
// There is no confirmation: a server believes in a new session as soon as it
// has answered, and in a resume as soon as its code proves knowledge of the
// secret under an index that was never used. What follows on the transport is
// cipher text without any framing, so the protocol has no [suite.Codec].
//
// # Security
//
// The protocol obfuscates; it does not protect. Nothing authenticates the
// server, the key agreement falls to Pohlig–Hellman in well under a second, RC4
// is broken and keyed alike in both directions, and nothing detects a change to
// the cipher text.
package scp
