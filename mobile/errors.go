package relink

import (
	"errors"
	"fmt"
	"strings"

	core "github.com/relink-go/relink"
)

// The codes of errors; see [ErrorCode].
const (
	CodeArgument       = "argument"       // an argument or a setting is wrong: a mistake in the app
	CodeAuthentication = "authentication" // the server did not prove that it has the key
	CodeBind           = "bind"           // the SocketBinder failed
	CodeBusy           = "busy"           // the server takes no new sessions: dial again later
	CodeClosed         = "closed"         // closed on this side
	CodeDenied         = "denied"         // the server does not admit this client
	CodeEnd            = "end"            // the peer has ended the stream, and all of it was read
	CodeExpired        = "expired"        // no network for longer than ResumeTimeout: dial again
	CodeInternal       = "internal"       // a panic in Go: see LastPanic
	CodeLost           = "lost"           // the server no longer has the session: dial again
	CodeNetwork        = "network"        // the server cannot be reached
	CodeNoRoom         = "no-room"        // TryWrite has taken nothing
	CodePeerClosed     = "peer-closed"    // the peer has closed, and takes nothing more
	CodeProtocol       = "protocol"       // the peer is broken, or is no relink server
	CodeReplayGap      = "replay-gap"     // a side no longer has what is missing: raise ReplayLimit
	CodeTimeout        = "timeout"        // a time limit has passed
	CodeUndelivered    = "undelivered"    // something is not known to have arrived
	CodeUnsupported    = "unsupported"    // the suite's wire cannot do it
)

const (
	codePrefix = "[relink:"
	codeSuffix = "]"
)

// ErrorCode returns the code in an error's text, one of the constants that begin with
// Code, or "" where there is none. The text may have more around it, as the toString of
// a Java exception has.
func ErrorCode(text string) string {
	_, rest, found := strings.Cut(text, codePrefix)
	if !found {
		return ""
	}
	code, _, found := strings.Cut(rest, codeSuffix)
	if !found {
		return ""
	}
	return code
}

// A codedError is what every exported function returns.
type codedError struct {
	code string
	err  error
}

func (e *codedError) Error() string { return codePrefix + e.code + codeSuffix + " " + e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// argument says what is wrong with an argument.
func argument(format string, args ...any) error {
	return &codedError{CodeArgument, fmt.Errorf(format, args...)}
}

// coded gives an error of the library its code.
func coded(err error) error {
	if err == nil {
		return nil
	}
	if has, ok := errors.AsType[*codedError](err); ok {
		return &codedError{has.code, plain{err}}
	}
	return &codedError{core.ErrorCode(err), err}
}

// plain is an error that has a code somewhere within it: only the first counts.
type plain struct{ error }

func (p plain) Error() string {
	code := ErrorCode(p.error.Error())
	return strings.Replace(p.error.Error(), codePrefix+code+codeSuffix+" ", "", 1)
}

func (p plain) Unwrap() error { return p.error }

var errNoRoom = errors.New("TryWrite: no room for all of it now")
