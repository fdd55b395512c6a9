// Package tlstransport runs sessions over TLS: inside it the suites of deployed
// protocols, which protect nothing, are safe on the internet, and a firewall sees
// what it knows.
//
// It differs from crypto/tls's own listener and dialler in what resumable sessions
// need. The handshake is over when Accept returns a connection, and none delays
// another. An end that anybody on the path can forge is an error: [ErrTruncated].
// The redials of a [Dialer] share their session tickets, so that a resume
// carries no certificates and needs no signature: [Conn] and
// tls.Conn.ConnectionState tell. And a transport that is given up ends without TLS's
// close_notify, which the peer would take for the end of the stream.
//
// A handshake with TLS 1.3 is one round trip, resumed or not, and relink's own is
// another.
package tlstransport
