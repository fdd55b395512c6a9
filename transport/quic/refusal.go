package quic

import (
	"errors"
	"fmt"

	"github.com/quic-go/quic-go"
)

// isRefusal reports whether the peer has reset the stream.
func isRefusal(err error) bool {
	var reset *quic.StreamError
	return errors.As(err, &reset) && reset.Remote
}

// refusal makes sense of a stream error.
func refusal(err error) error {
	var reset *quic.StreamError
	if !errors.As(err, &reset) || !reset.Remote {
		return err
	}
	switch reset.ErrorCode {
	case codeBusy:
		return fmt.Errorf("the server has too many streams waiting to be accepted: %w", err)
	case codeClosed:
		return fmt.Errorf("the server is closing: %w", err)
	case codeGreeting:
		return fmt.Errorf("the server has not taken the greeting: %w", err)
	default:
		return err
	}
}
