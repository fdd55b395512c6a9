package relink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/relink-go/relink/internal/suite"
)

// The reasons for which a session or a handshake ends. Compare with errors.Is:
// what Read, Write, Dial and events return wraps them in a *net.OpError that
// names the operation and the peer.
//
// A connection that was closed on this side returns net.ErrClosed, one whose
// deadline has passed os.ErrDeadlineExceeded, and Read returns io.EOF alone
// where the stream has ended as the peer meant it to.
var (
	// ErrSessionLost means that the peer no longer has the session although it
	// was not closed: the peer was restarted, has aborted the connection, or
	// cannot resume. Dial again. What was written may have arrived or not. On Noise the
	// client of a server that was restarted learns it 10 seconds after the first answer
	// of the new one: only the instance that has made a session can say for good that
	// it is not there.
	ErrSessionLost = errors.New("relink: session lost")

	// ErrExpired means that no transport could resume the session within
	// ResumeTimeout. Dial again, or raise ResumeTimeout on both sides. It does not mean
	// that what was written has not arrived, or will not: see Delivery in the package
	// documentation.
	ErrExpired = errors.New("relink: session expired before it could be resumed")

	// ErrPeerClosed is returned by a Write after the peer has closed the
	// connection.
	ErrPeerClosed = errors.New("relink: the peer has closed the connection")

	// ErrReplayGap means that a side misses bytes that the other no longer
	// buffers. Raise ReplayLimit, or lower the socket buffers between the two:
	// see docs/sizing.md.
	ErrReplayGap = suite.ErrReplayGap

	// ErrCounters means that the two sides' counts of bytes contradict each
	// other.
	ErrCounters = suite.ErrCounters

	// ErrProtocol means that the peer sent what its protocol forbids.
	ErrProtocol = suite.ErrProtocol

	// ErrUnacknowledged means that the peer, though alive, has acknowledged nothing more of what
	// it was sent for four times LivenessTimeout. It is an [ErrProtocol].
	ErrUnacknowledged = fmt.Errorf("%w: the peer does not acknowledge what it was sent", suite.ErrProtocol)

	// ErrAuthentication means that a peer did not prove what it had to: a wrong
	// key, a forged or a damaged message.
	ErrAuthentication = suite.ErrAuthentication

	// ErrUnknownSession means that a client asked to resume a session that this
	// listener does not have, or has no longer.
	ErrUnknownSession = suite.ErrUnknownSession

	// ErrBusy means that a server takes no new sessions at the moment. Dial
	// again later.
	ErrBusy = suite.ErrBusy

	// ErrDenied means that the server does not admit the client:
	// [ListenConfig.Authorize] has refused it, [Listener.Revoke] has ended its
	// session, or the session was older than [ListenConfig.MaxAge].
	ErrDenied = suite.ErrDenied

	// ErrSuperseded means that another transport has resumed the session
	// first. The session goes on.
	ErrSuperseded = suite.ErrSuperseded

	// ErrHandshakeTimeout means that a handshake took longer than
	// HandshakeTimeout, or gave way to newer ones.
	ErrHandshakeTimeout = errors.New("relink: handshake timed out")

	// ErrTooManySessions means that a client was turned away because of
	// MaxSessions, or because too many new sessions wait for Accept.
	ErrTooManySessions = errors.New("relink: too many sessions")

	// ErrDisplaced means that a suspended session gave way to a new one because of
	// MaxSessions. It is the [Event.Err] of its EventClosed, and what its Read returns.
	ErrDisplaced = errors.New("relink: the suspended session gave way to a new one")

	// ErrMemory means that a client was turned away because the listener's sessions hold as
	// much as MaxMemory allows. It is also the [Event.Err] of an EventHistoryCut.
	ErrMemory = errors.New("relink: the listener's sessions hold as much memory as they may")

	// ErrReclaimed means that a suspended session has ended because others needed its memory,
	// or suspended ones held more than MaxSuspendedMemory. One of the next two, which are
	// both ErrReclaimed, is the [Event.Err] of its EventClosed, and what its Read returns.
	ErrReclaimed = errors.New("relink: the suspended session has ended for its memory")

	// ErrReclaimedUnused is the [ErrReclaimed] of those that go first: sessions that were
	// never resumed and have carried little. Many of them may be an attack.
	ErrReclaimedUnused = fmt.Errorf("%w: it was never resumed and has carried little", ErrReclaimed)

	// ErrReclaimedLongest is that of those that go when there are none of the first: the
	// longest suspended. Somebody may miss them: raise MaxMemory or MaxSuspendedMemory.
	ErrReclaimedLongest = fmt.Errorf("%w: it was away for the longest time", ErrReclaimed)

	// ErrHandshakeRate means that a transport was turned away because of
	// HandshakeRatePerAddress.
	ErrHandshakeRate = errors.New("relink: too many handshakes a second from one address")

	// ErrTooManyHandshakes means that a transport was turned away because of
	// MaxHandshakesPerAddress.
	ErrTooManyHandshakes = errors.New("relink: too many handshakes under way from one address")

	// ErrNoSuite means that a client's first bytes belong to none of the
	// listener's suites.
	ErrNoSuite = errors.New("relink: the client speaks none of the listener's suites")

	// ErrProbe means that a transport ended before its first byte, cleanly or with a
	// reset, as those of a load balancer's health checks do. One that says why it ended, a
	// wrong certificate for instance, is none.
	ErrProbe = errors.New("relink: the transport ended before its first byte")
)

var (
	errNetworkChanged = errors.New("relink: the application reported a change of network")
	errSilent         = errors.New("relink: the peer did not answer within LivenessTimeout")
	errAborted        = errors.New("relink: the application called Abort")
	errDraining       = errors.New("relink: the listener takes no new sessions")
)

// hideSentinel returns a transport's error so that it can be part of a lost session's:
// with its text, but without being io.EOF, os.ErrDeadlineExceeded or
// net.ErrClosed. By errors.Is these would say that the stream is complete, that it
// goes on, or that it was closed on this side.
func hideSentinel(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return errors.New(err.Error())
	}
	return err
}

// opError wraps err as package net does, so that it names the peer.
func (c *Conn) opError(op string, err error) error {
	e := &net.OpError{Op: op, Net: "relink", Err: err}
	if a := c.addrs.Load(); a != nil {
		e.Source, e.Addr = a.local, a.remote
	}
	return e
}

// codes are looked through from the top: what is more exact comes first.
var codes = []struct {
	err  error
	code string
}{
	{ErrAuthentication, "authentication"},
	{ErrBusy, "busy"},
	{ErrDenied, "denied"},
	{ErrExpired, "expired"},
	{ErrSessionLost, "lost"},
	{ErrPeerClosed, "peer-closed"},
	{ErrReplayGap, "replay-gap"},
	{ErrCounters, "protocol"},
	{ErrProtocol, "protocol"},
	{ErrHandshakeTimeout, "timeout"},
	{errors.ErrUnsupported, "unsupported"},
	{net.ErrClosed, "closed"},
	{os.ErrDeadlineExceeded, "timeout"},
	{context.DeadlineExceeded, "timeout"},
	{io.EOF, "end"},
}

// ErrorCode returns a word for the kind of an error that is not nil, for those who
// cannot look into it: a binding for another language, or a metric's label. The words
// stay the same from version to version:
//
//	authentication  the server did not prove that it has the key
//	busy            the server takes no new sessions: dial again later
//	closed          closed on this side
//	denied          the server does not admit this client
//	end             the peer has ended the stream, and all of it was read
//	expired         no network for longer than ResumeTimeout: dial again
//	lost            the server no longer has the session: dial again
//	peer-closed     the peer has closed, and takes nothing more
//	protocol        the peer is broken, or speaks something else
//	replay-gap      a side no longer has what is missing: raise ReplayLimit
//	timeout         a time limit has passed
//	undelivered     something is not known to have arrived
//	unsupported     the suite's wire cannot do it
//	network         anything else: the peer cannot be reached
func ErrorCode(err error) string {
	var undelivered *UndeliveredError
	if errors.As(err, &undelivered) {
		return "undelivered"
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "network"
}
