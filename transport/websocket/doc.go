// Package websocket carries streams over WebSocket (RFC 6455), so that they get
// through wherever a web page does. It has the shape of a [net.Listener] and of
// relink's Dialer.DialTransport, and is of use without relink too.
//
// # A server
//
// A [Listener] is an [http.Handler]: mount it beside the rest of a site, and hand
// it to relink as the inner listener.
//
//	inner, err := websocket.NewListener("wss://game.example/relink", websocket.Config{})
//	mux.Handle("/relink", inner)
//	l, err := relink.NewListener(inner, relink.ListenConfig{Suites: …})
//
// Where there is no site, [Listen] brings an HTTP server of its own, with limits
// of time and size. A server of yours needs ReadHeaderTimeout.
//
// # A client
//
//	d := relink.Dialer{Suite: …, DialTransport: new(websocket.Dialer).DialTransport}
//	conn, err := d.DialConn(ctx, "websocket", "wss://game.example/relink")
//
// # Behind a proxy
//
// The address of a client that comes through a proxy is in a header, which
// anybody can send. Config.TrustedProxies says whose header counts. Idle
// connections are ended by most proxies, after a minute or so: relink's Noise
// sends pings when a connection is idle, every half of its LivenessTimeout; the
// classic suites cannot, and come back by a resume.
//
// # On the wire
//
// The stream is a sequence of binary messages, whose boundaries mean nothing. The
// text message "end" ends its direction. A close frame with status 1000 ends both.
// Any other end is an error and not an [io.EOF]. There is no compression: what
// relink sends is encrypted.
//
// # What a resume costs
//
// Three round trips: TCP's, HTTP's, and that of relink's Noise. With TLS four, as it
// resumes too. Whoever asks for less wants QUIC.
//
// # Deadlines
//
// All of net.Conn's deadlines work, and a Read or Write that has timed out may be
// repeated. Bytes that were handed over before count as written. A direction that
// has had a deadline is served by a goroutine of its own from then on. If the
// first deadline of all is set while a Read or Write is already blocked, and passes
// meanwhile, it ends the connection. relink sets none.
package websocket
