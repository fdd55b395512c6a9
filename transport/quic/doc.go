// Package quic carries streams over QUIC (RFC 9000), which survives a change of the
// client's address and does not let a lost packet of one session delay another. It
// has the shape of a [net.Listener] and of relink's Dialer.DialTransport, and is of
// use without relink too.
//
//	inner, err := quic.Listen("udp", ":443", quic.Config{TLSConfig: …})
//	l, err := relink.NewListener(inner, relink.ListenConfig{Suites: …})
//
//	q := &quic.Dialer{TLSConfig: …}
//	d := relink.Dialer{Suite: …, DialTransport: q.DialTransport}
//	conn, err := d.DialConn(ctx, "udp", "game.example:443")
//
// # Connections and streams
//
// A [Conn] is one stream. The streams of a [Dialer] to one address share a
// connection, which is kept for a while after the last of them, so that a resume
// finds it. If it turns out to be dead, a new one takes its place, and the resume
// is late by two round trips.
//
// A resume takes two round trips: one for the connection, be it new or asked for an
// answer, and that of relink's Noise. A kept connection saves the handshake's
// computing, the server's too, and knows how fast the network is. With 0-RTT a new
// connection takes one round trip.
//
// QUIC authenticates the server by its certificate, before relink does so by its
// key. A server that is known by its key alone has a certificate that it made for
// itself, and its clients pin it or set InsecureSkipVerify: with relink's Noise above,
// and only then, nothing is lost by that.
//
// # On the wire
//
// ALPN is "relink". A client begins each stream with one byte: 0, or 1 if it wants
// an answer, which is the byte 1 at the beginning of the server's direction. The
// end of a direction is FIN; an abort is RESET_STREAM and STOP_SENDING.
//
// # Deadlines
//
// All of net.Conn's deadlines work and do no harm. A Write returns when its last
// bytes are on their way, as far as congestion and the peer allow. There is no
// kernel to send the rest after the program has exited.
package quic
