package socket

import (
	"errors"
	"syscall"
)

// temporaryErrors are those of Accept after which it may work again.
var temporaryErrors = []error{syscall.EMFILE, syscall.EINTR}

// OfSystem reports whether an error is one of the operating system.
func OfSystem(err error) bool {
	var text syscall.ErrorString
	return errors.As(err, &text)
}
