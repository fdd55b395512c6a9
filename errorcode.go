package relink

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
)

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
