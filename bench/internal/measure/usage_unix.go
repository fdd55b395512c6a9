//go:build unix

package measure

import (
	"syscall"
	"time"
)

// ProcessorTime returns the processor time of this process so far, user and
// system, and whether the system tells.
func ProcessorTime() (time.Duration, bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}

// contextSwitches returns how often a thread of this process gave its processor up
// or had it taken away.
func contextSwitches() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return int64(u.Nvcsw) + int64(u.Nivcsw) //nolint:unconvert // they are narrower on other systems
}
