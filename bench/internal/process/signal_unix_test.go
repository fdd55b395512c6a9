//go:build unix

package process_test

import "syscall"

// noSignal only asks whether there is somebody to take it.
const noSignal = syscall.Signal(0)
