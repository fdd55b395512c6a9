// Package kcp runs sessions over KCP, a reliable stream over UDP that sends again
// sooner than TCP does: for networks that lose packets, and for clients and servers
// of goscon (https://github.com/ejoy/goscon). It wraps
// github.com/xtaci/kcp-go, with that program's parameters and without encryption,
// which is the session's.
//
//	l, err := kcp.Listen(":7000", kcp.Config{})
//	sessions, err := relink.NewListener(l, cfg)
//
//	d := relink.Dialer{Suite: suite, DialTransport: (&kcp.Dialer{}).DialContext}
//
// # What KCP does not say
//
// KCP has no handshake and no end. A dial succeeds at once, whether or not there is
// a server (in a race of several ways it is therefore to be the last one, or to have
// little head start). Nobody is told that the other side has closed, or died; the
// Reads of a connection never return io.EOF. This package makes up for what can be
// made up for without another protocol:
//
//   - Silence is an error: [ErrSilent]. A peer that owes an answer for
//     [Config.Timeout] is gone. One from which nothing was heard for half of it is
//     asked, with the window probe that every KCP answers.
//   - Close goes on sending, for up to five seconds, until the peer's KCP has
//     everything. SetLinger(0) makes it stop at once.
//   - The packets of a connection that a listener does not know, because it was
//     closed or the server has been restarted, are not answered, so that its peer
//     finds the silence. kcp-go alone would take them for a new connection.
//   - A socket that the network says leads nowhere is an error at once.
//
// There is no CloseWrite. On the suite Noise a session says its ends itself.
// On a classic suite nothing does: what was written arrives, and in place of io.EOF
// the peer gets an error, when ResumeTimeout has passed at the latest. Let your
// protocol say goodbye.
//
// With forward error correction no questions can be asked, for older peers ignore
// them: an idle peer then counts as gone at the listener after four times Timeout,
// and not at all at the client.
//
// # Costs
//
// kcp-go looks at each connection every [Config.Interval], idle or not, and a
// connection whose application does not read holds up to RecvWindow packets.
package kcp
