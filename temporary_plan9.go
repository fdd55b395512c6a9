package relink

import "syscall"

// temporaryErrors are those of Accept after which it may work again.
var temporaryErrors = []error{syscall.EMFILE, syscall.EINTR}
