// Package relink provides connections that survive the loss of the transport
// below them.
//
// A server wraps its listener, a client dials with a [Dialer], and both get a
// [Conn]: an encrypted net.Conn. When the TCP connection (or the WebSocket, the
// QUIC stream, whatever is below) dies, the client redials, both sides say what
// they have received, what is missing is sent again, and the application sees
// one unbroken stream.
//
//	l, err := relink.Listen("tcp", ":7000", relink.NoiseServer{Keys: []relink.PrivateKey{key}})
//	conn, err := l.Accept()
//
//	conn, err := relink.Dial("tcp", "example.com:7000", relink.NoiseClient{ServerKeys: []relink.PublicKey{publicKey}})
//
// [Listen] and [Dial] use TCP and default settings. A [ListenConfig] and a [Dialer]
// hold the settings of a server and a client, and in both there is a [Config] for what
// they have in common. Each suite, which is a wire protocol, has a struct for each side:
// a [ServerSuite] for listeners, a [ClientSuite] for dialers.
//
// A transport is the connection that a session currently runs over. [NewListener]
// takes transports from any net.Listener, [Listener.AddListener] from further ones, and
// a session may move between them. On the client [Dialer.DialTransport] makes them.
// Servers that close their listener themselves, such as http.Server, are given a
// [Listener.Acceptor].
//
// # What is guaranteed
//
//   - Every byte arrives exactly once and in order, or the Conn ends with an
//     error that says why. On the classic suites (DH64RC4, SCP) this holds as
//     far as their wire can tell: see Security, and The end of a session.
//   - A Conn is a net.Conn to the letter: deadlines, concurrent use and
//     errors behave as those of package net do, whether the session is connected,
//     suspended or resuming.
//   - Memory is bounded: see Memory. No number that a peer sends is
//     used before it is checked against a bound.
//   - A client, however slow, silent or hostile, delays no other.
//   - After [Conn.Close] and CloseTimeout, and after [Conn.Abort], nothing of a
//     Conn is left: no goroutine, no timer, no socket. What closes the transport
//     may take a moment, on Noise up to 100 ms for the record that tells the peer of the end.
//
// # What is not guaranteed
//
//   - A session lives in the memory of two processes. When either process
//     ends, the session ends, and the other side gets [ErrSessionLost] or
//     [ErrExpired].
//   - A Write that has returned has not arrived. Its bytes are in the buffer and
//     will arrive unless the session ends. Where an application has to know, its
//     peer must answer, or the suite must acknowledge, as Noise does
//     ([Conn.Flush], [Conn.WaitAcked]).
//   - An end with [ErrExpired] or [ErrSessionLost], or [Conn.Abort], does not mean that
//     what was written has not arrived, nor that it will not: see Delivery.
//   - A process that is copied while it has sessions (a snapshot that is started
//     twice, fork) must not use them in the copy: both would encrypt under the same
//     keys and counters, and the peer merges what they write into one stream, without
//     an error. That holds for clients and for servers, on every suite. Abort them
//     before, or dial anew afterwards.
//   - Latency is that of the transport. A byte that is lost with its link waits
//     for the next one.
//   - There are no message boundaries and no priorities; it is one stream.
//
// # Data path
//
//	application Write → session cipher → replay buffer → link codec → transport
//	        → peer's link codec → skipping what came before → session cipher → Read
//
// A session lasts as long as its Conn, a link as long as one transport. Write
// puts the bytes into the replay buffer, encrypting on the way, and sends them
// from there. They stay in the buffer until the peer is known to have them or,
// on a wire that cannot acknowledge, until newer bytes need the room. After a
// resume the sender goes back to where the peer's received bytes end. A
// receiver counts too, and skips what it has received already.
//
// A suite fills one of the two places. The classic suites encrypt above the buffer, so
// that bytes which are sent again are the same cipher text. Noise encrypts below
// it, in records, under fresh keys for each transport.
//
// # Roles
//
// Each session has a sender role and a receiver role, and each is held by at most
// one goroutine at a time. Usually it is the application's own: a Write that
// finds the sender role free sends its bytes itself, a Read reads the transport
// itself. So a request and its answer cost no switch of goroutines. The library starts
// a goroutine where there is work that nobody waits for:
//
//   - a flusher, when Writes come in rapid succession, so that they gather into
//     large ones, or when something is left over after a Write;
//   - a standby reader, on a client whose application has not been in Read for
//     100 ms, so that a loss is noticed and repaired although the application is
//     quiet, and on both sides while a peer's replay comes in;
//   - a redialler, on a client that has lost its transport.
//
// While the application waits in Read, the session has no goroutine and no
// running timer, on either side. The exception is a transport that cannot be interrupted
// by a deadline without harm, such as crypto/tls or a WebSocket; it is read by a
// goroutine of the library: see [Interruptible].
//
// # States
//
//	connected → suspended   the transport is lost
//	suspended → connected   resumed over a new one
//	either    → closing     Close
//	closing   → closed      everything is delivered, or CloseTimeout has passed
//	any       → closed      Abort, a refusal, expiry, an error
//
// A session is connected while it has a transport and suspended while it has
// none; a suspended client is resuming while an attempt is under way. In these states Read, Write and the deadlines work: a Read waits, a Write
// fills the buffer and then waits. A client redials at once, then after pauses
// that grow from MinBackoff to MaxBackoff with full jitter, and resolves the
// address anew each time. [Conn.NetworkChanged] makes it do so now. When no
// transport has resumed the session within ResumeTimeout it ends with
// [ErrExpired]; a client whose device has slept meanwhile makes one attempt first.
// What a server says is final: a refusal ends the session. What no server of the
// session can have said (the login page of a hotel's network, a balancer's error)
// fails only the attempt.
//
// [Conn.Stats], [Listener.Stats] and [Listener.Sessions] tell what there is now;
// [Config.OnEvent] and [Config.Logger] are told about each change. Neither can
// hold the stream up.
//
// # Deadlines
//
// Deadlines belong to the session, and a resume does not move them. A deadline that
// passes costs nothing else: the call returns an error that is os.ErrDeadlineExceeded,
// the transport stays, and the call can be repeated. Write returns how many bytes it has taken
// into the buffer; these are sent all the same.
//
// # Errors
//
// Errors are compared with errors.Is. Read and Write wrap them in a *net.OpError.
// A session keeps the first error that ended it.
//
//   - io.EOF, from Read alone and bare: the peer has ended the stream.
//   - net.ErrClosed: closed on this side.
//   - os.ErrDeadlineExceeded: a deadline has passed, and the session goes on.
//   - [ErrPeerClosed]: from Write, after the peer has closed.
//   - [ErrExpired], [ErrSessionLost]: the session is gone. Dial again, and
//     resynchronise the application's state.
//   - [ErrReplayGap]: bytes are missing that neither side has any more. The
//     buffers are too small for the path: see Memory.
//   - [ErrCounters], [ErrProtocol], [ErrAuthentication]: the peer is broken or
//     hostile.
//   - [ErrDenied]: the server does not admit the client, or not any more.
//   - errors.ErrUnsupported: the suite's wire cannot do it; nothing was done.
//
// A server sees what went wrong in a handshake as the Err of [EventRefused].
//
// # Security
//
// No suite is a default: whoever reads the call sees what protects the stream.
//
// Noise ([NoiseServer], [NoiseClient]) is the one to choose on the internet. The client has the server's
// public key and knows that it speaks with the server; nobody on the path can
// read the stream, change, repeat, reorder or cut it short unnoticed, end a session
// by a forged refusal or end, or take it over. There is forward secrecy:
// a recording cannot be decrypted with the server's key stolen later, nor, as ML-KEM-768
// is mixed in, by a quantum computer that breaks X25519. The server's identity is proven by
// X25519 alone. The path can
// still be cut off, delayed and measured: sizes, times and addresses are visible.
// Section 18 of docs/spec/noise.md says all of this exactly.
//
// The server decides who may connect. By default it admits everybody, and clients
// log in inside the stream, a login being bound to it by [Conn.ChannelBinding]. A client may have
// a key of its own ([NoiseClient.Key]), the server may require one, or invite by
// pre-shared keys ([NoiseServer.PresharedKeys]); [ListenConfig.Authorize] is asked
// about every client and every resume, and [Listener.Revoke] ends the sessions of a
// key. [Conn.Identity] tells how a session was opened. Keys can be exchanged while
// the server runs ([Listener.SetKeys]), and sessions given a greatest age
// ([ListenConfig.MaxAge]). Moving clients to another server (drain) is specified,
// and not available yet.
//
// In a process that allows only what FIPS 140 approves (GODEBUG=fips140=only) the
// suite does not work, and Listen and Dial say so.
//
// The private key belongs in a file that only the server's user can read.
// Printed, logged or encoded a [PrivateKey] names its public key; only
// [PrivateKey.EncodeSecret] gives the secret away.
//
// InsecureNoise ([InsecureNoiseServer]) is the same without the server's key. Whoever is on the path
// when a session opens can be the server, and read and change everything.
//
// DH64RC4 ([DH64RC4Server]) and SCP ([SCPServer]) are obfuscation, not protection. They exist for deployed
// clients and servers that speak them. Their Diffie-Hellman group has 64 bits, and
// p − 1 = 4·11·137·547·5594472617641 has only small factors, so a recorded session is
// decrypted in under a second of plain Go on one core. Both directions share one
// RC4 key stream. Nothing authenticates the server or detects a changed byte, and
// anyone on the path can end a session or its stream. They stop a stranger
// who does not see the connection from taking it over, and nobody else. Where that is not
// enough, run them over a TLS transport, or run TLS over the Conn:
// [FromConn] finds the Conn below a *tls.Conn.
//
// # The end of a session
//
// [Conn.Close] returns at once. What was written lingers in the background until
// it is delivered, over a new transport if need be, or until CloseTimeout;
// [Conn.Done] tells when it is over, and [Conn.Err] how it ended. A program that is
// about to exit calls [Conn.CloseContext], which waits, and says if something was
// not delivered.
//
// On Noise the end is exact. Close sends it after the last byte and waits in the
// background for its acknowledgement; the peer's Read returns io.EOF after
// everything, and never otherwise. [Conn.CloseWrite] ends one direction. A client that
// has read everything, and loses its transport before it knows that the server has heard
// so, resumes once more in the background, within CloseTimeout; its session has ended, for
// Done, when that is over. A server that calls bytes undelivered has thus not been
// able to hear from the client since.
// [Conn.Abort] is [ErrSessionLost] on the other side, and so is a Close that could
// not deliver in time. A client that was away meanwhile learns it when it comes
// back, for as long as the server's ResumeTimeout.
//
// The classic wires have no message that closes a session. They end a
// transport cleanly, and then:
//
//   - A client whose server has closed resumes, is refused, and its Read returns
//     io.EOF after all bytes, a round trip or two later.
//   - A server cannot tell a client that has closed from one that is changing
//     its network. It waits until ResumeTimeout has passed; only then does Read
//     return io.EOF. A protocol on top should say goodbye and let the server close,
//     or set read deadlines; and a server may choose a short ResumeTimeout.
//   - A transport that ended with an error, or before all of a replay had
//     arrived, makes it [ErrSessionLost] or [ErrExpired] instead of io.EOF.
//   - A clean end can be forged, and the kernel of a killed process makes one.
//     Whoever has to know that a stream is complete sends its length.
//   - [Conn.CloseWrite] is not supported, and does nothing.
//
// # Delivery
//
// A client that is told [ErrExpired] or [ErrSessionLost], or has called [Conn.Abort],
// does not know what has become of the last bytes that it wrote. They may have
// arrived; and somebody on the path may have held them back, and deliver them when
// the client has repeated them in a new session. So a request that must not
// be carried out twice has a name of its own, by which the server knows it again.
//
// How late they may come is bounded on Noise. A sealed record is taken as long as its
// link lives at the server, which pings a link on which nothing has come for half
// of its ResumeTimeout, and drops it if nothing comes within LivenessTimeout; with the
// detection switched off there is no bound. What a request for a resume carries
// ([Config.NoEarlyData] keeps it empty) is taken for as long as the session is there, and the
// server's ResumeTimeout bounds that. The classic wires have neither pings nor bound.
//
// # Liveness
//
// A client suspects a path that does not answer for longer than its round trips explain,
// a few tenths of a second mostly, and dials a second transport beside the first. Whichever is
// proven alive carries on, so that a wrong suspicion costs nothing but the dial: see
// [Dialer.Vigilance]. On Noise a ping asks first, also where a peer that has been
// sending falls silent. On the classic suites only data that Linux or Android has sent
// again, over TCP, raises a suspicion: a client that only receives cannot tell a
// hop that hangs from a peer that has nothing to say, and needs messages of its own to find out.
//
// Where no other path is to be had, the loss is declared after about LivenessTimeout. Noise pings
// where an answer is due, over any transport, and leaves an idle TCP connection
// to the kernel's keep-alive. On the classic suites this needs a transport that
// is TCP underneath: the kernel's keep-alive probes a connection that is quiet,
// and where data is under way the library asks Linux and Android (TCP_INFO)
// whether the peer's kernel still acknowledges. A peer that merely does not read
// is alive, however long. Other systems find a silent loss under data only when their own retransmission
// gives up, so a mobile application should call [Conn.NetworkChanged] when
// the system reports a new network or brings it to the foreground.
//
// # Memory
//
// An idle session that has carried nothing takes about 1.5 KiB beside its
// transport, or 3 KiB on Noise. The
// rest grows with use, in chunks of 1 KiB to 256 KiB that all sessions share.
// For each session:
//
//   - Sending takes up to ReplayLimit. On a suite with acknowledgements it is what
//     the peer has not acknowledged. On the classic suites it is also history: while
//     connected, up to half of ReplayLimit is kept for a resume, and does not go
//     away, since nothing says that it has arrived; up to 256 KiB wait to be sent.
//     The other half is room for a suspension.
//   - Receiving takes up to 256 KiB that a standby has read ahead, and up to
//     ReplayLimit while a replay comes in. On a suite with acknowledgements
//     ReplayLimit is the window: what the peer may send beyond what the
//     application has read.
//
// So a server of n busy sessions on a classic suite holds up to n·ReplayLimit/2, and
// n·ReplayLimit while all of them are suspended. How small ReplayLimit may be
// depends on what can be under way, which is what all socket buffers
// between the two applications hold: at least twice their sum, or the session ends
// with [ErrReplayGap] when a peer that has stalled is cut off. Smaller socket
// buffers allow a smaller limit. docs/sizing.md has figures. [Conn.Stats] tells what a
// session holds.
//
// # Deviations from a plain net.Conn
//
// Write returns when the bytes are in the buffer, and does not wait for the transport,
// whose errors lead to a resume and are not returned. LocalAddr and RemoteAddr are those
// of the newest transport, and change. Close does not wait; [Conn.CloseContext] does.
// Everything else is as net.Conn documents it and golang.org/x/net/nettest tests it.
package relink
