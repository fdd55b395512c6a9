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
