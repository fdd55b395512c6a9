package suite

import (
	"errors"
	"fmt"
)

// The reasons for which a handshake fails. The core exports those that an
// application can meet under the same names.
var (
	// ErrRefused is the server's final no to a resume.
	ErrRefused = errors.New("relink: the server refused to resume the session")

	// ErrOtherInstance means that a server with the session's key does not know the
	// session, but is not the instance that has made it: that one may have crashed, or
	// the attempt was led astray.
	ErrOtherInstance = errors.New("relink: another instance of the server answers, which does not know the session: the one that had it was restarted, or cannot be reached")

	// ErrReplayGap means that the peer misses bytes that are no longer
	// buffered.
	ErrReplayGap = errors.New("relink: bytes that the peer misses are no longer buffered")

	// ErrCounters means that the two sides' counts contradict each other.
	ErrCounters = errors.New("relink: the peer's byte counts contradict this side's")

	// ErrUnknownSession means that a resume names no session of this listener.
	ErrUnknownSession = errors.New("relink: unknown or expired session")

	// ErrAuthentication means that a peer did not prove what it had to.
	ErrAuthentication = errors.New("relink: authentication failed")

	// ErrProtocol means that a peer sent what its protocol forbids.
	ErrProtocol = errors.New("relink: protocol violation")

	// ErrSuperseded means that another transport has taken the session
	// meanwhile.
	ErrSuperseded = errors.New("relink: another transport has taken the session over")

	// ErrFinished means that a session which was closed on this side has
	// nothing left to deliver.
	ErrFinished = errors.New("relink: the session is closed and everything was delivered")

	// ErrBusy means that the server takes no new sessions at the moment.
	ErrBusy = errors.New("relink: the server takes no new sessions at the moment")

	// ErrDenied means that the server does not admit the client.
	ErrDenied = errors.New("relink: the server does not admit this client")

	// ErrPassedOn means that a transport is somebody else's now.
	ErrPassedOn = errors.New("relink: the transport was passed on to another server")

	// ErrKeyTaken means that a session with this key exists.
	ErrKeyTaken = errors.New("relink: session key in use")
)

// An EndedError is how a session has ended that a resume asks for.
type EndedError struct {
	// Code is zero where the session was closed, and everything delivered.
	Code ResetCode
	// Received is what the server had received of the client's stream.
	Received int64
}

func (e *EndedError) Error() string {
	if e.Code == 0 {
		return "relink: the peer has closed the session"
	}
	if e.Code == ResetDenied {
		return "relink: the server has ended the session, and does not admit this client any more: dial again if it may"
	}
	return fmt.Sprintf("relink: the peer has reset the session (code %d)", e.Code)
}

// Is reports that a session which the server has ended for that reason was
// denied.
func (e *EndedError) Is(target error) bool {
	return target == ErrDenied && e.Code == ResetDenied
}

// Malformed returns an [ErrProtocol] that says what was wrong with a message.
func Malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrProtocol, fmt.Errorf(format, a...))
}
