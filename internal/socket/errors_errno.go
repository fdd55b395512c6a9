//go:build !plan9

package socket

import (
	"errors"
	"syscall"
)

// temporaryErrors are those of Accept after which it may work again.
var temporaryErrors = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR,
}

// OfSystem reports whether an error is one of the operating system.
func OfSystem(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}
