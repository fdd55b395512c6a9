package relink

import "unsafe"

// SizeOfConn is what a Conn takes, without what it refers to.
const SizeOfConn = unsafe.Sizeof(Conn{})
