package websocket

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// ErrText is what Read returns after a text message that does not belong here.
var ErrText = errors.New("websocket: the peer sent a text message: only binary ones carry the stream")

// A timeoutError is a dial that took too long.
type timeoutError struct{ error }

func (timeoutError) Timeout() bool   { return true } // for net.OpError
func (e timeoutError) Unwrap() error { return e.error }

// A RefusedError is the answer of a server that has not made a WebSocket of a
// request: one that does not let us in, or something else in its place, such as
// a captive portal.
type RefusedError struct {
	StatusCode int    // of HTTP
	Text       string // the first of what the server says about it
}

// Error describes the answer.
func (e *RefusedError) Error() string {
	s := fmt.Sprintf("websocket: the server answered %d %s and not with a WebSocket", e.StatusCode, http.StatusText(e.StatusCode))
	if e.Text != "" {
		s += fmt.Sprintf(": %q", e.Text)
	}
	return s
}

// maxText bounds RefusedError.Text, in bytes.
const maxText = 200

func refused(r *http.Response) error {
	text := ""
	if r.Body != nil { // what there is of it has been read
		b, _ := io.ReadAll(r.Body)
		text, _, _ = strings.Cut(strings.TrimSpace(string(b)), "\n")
	}
	if to := r.Header.Get("Location"); to != "" {
		text = "moved to " + to
	}
	return &RefusedError{r.StatusCode, text[:min(len(text), maxText)]}
}

// A CloseError is how a peer has ended a connection by a close frame, other than
// cleanly.
type CloseError struct {
	Code   int    // RFC 6455, section 7.4.1
	Reason string // what the peer says about it
}

// Error describes the end.
func (e *CloseError) Error() string {
	s := fmt.Sprintf("websocket: the peer ended the connection with status %d", e.Code)
	if e.Reason != "" {
		s += fmt.Sprintf(": %q", e.Reason)
	}
	return s
}

// readError makes sense of an error of the library's Read.
func readError(err error) error {
	var end websocket.CloseError
	switch {
	case errors.As(err, &end) && end.Code == websocket.StatusNormalClosure:
		return io.EOF
	case errors.As(err, &end):
		return &CloseError{int(end.Code), end.Reason}
	case errors.Is(err, io.EOF):
		return fmt.Errorf("websocket: the connection ended without a close frame: %w", io.ErrUnexpectedEOF)
	default:
		return err
	}
}
