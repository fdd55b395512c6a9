//go:build !plan9

package relink

import "syscall"

// temporaryErrors are those of Accept after which it may work again.
var temporaryErrors = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR,
}
