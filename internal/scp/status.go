package scp

import (
	"strconv"

	"github.com/relink-go/relink/internal/suite"
)

// The status codes of a server's answer.
const (
	StatusOK            = 200 // the session goes on
	StatusMalformed     = 400 // the request breaks the protocol
	StatusUnauthorized  = 401 // the authentication code is wrong
	StatusIndexUsed     = 403 // the resume index is not above all earlier ones
	StatusUnknown       = 404 // no such session, or not any more
	StatusNotAcceptable = 406 // bytes that a side misses are no longer buffered
	StatusNetworkError  = 501 // the server cannot do it now
)

// StatusError is a server's refusal. It is [suite.ErrRefused] where the refusal
// is final, and also [suite.ErrReplayGap] where the reason is missing bytes; any
// other is a reason to try again.
type StatusError struct {
	Code int
}

// Error implements the error interface.
func (e StatusError) Error() string {
	return "relink: the SCP server answered " + strconv.Itoa(e.Code) + " (" + e.Name() + ")"
}

// Name says in words what the code means.
func (e StatusError) Name() string {
	switch e.Code {
	case StatusOK:
		return "OK"
	case StatusMalformed:
		return "malformed request"
	case StatusUnauthorized:
		return "wrong authentication code"
	case StatusIndexUsed:
		return "resume index already used"
	case StatusUnknown:
		return "unknown session"
	case StatusNotAcceptable:
		return "missing bytes no longer buffered"
	case StatusNetworkError:
		return "network error"
	default:
		return "unknown code"
	}
}

// Is makes errors.Is find the verdict that the code stands for.
func (e StatusError) Is(target error) bool {
	switch e.Code {
	case StatusUnauthorized:
		return target == suite.ErrRefused || target == suite.ErrAuthentication
	case StatusUnknown:
		return target == suite.ErrRefused
	case StatusNotAcceptable:
		return target == suite.ErrRefused || target == suite.ErrReplayGap
	default:
		// Codes that nobody has specified stay transient: one that a proxy made up
		// must not cost the session.
		return false
	}
}
