//go:build !unix && !windows

package measure

import "time"

// ProcessorTime says that the system does not tell: what is computed from it is
// shown as missing.
func ProcessorTime() (time.Duration, bool) { return 0, false }

// contextSwitches says nothing: this system does not tell.
func contextSwitches() int64 { return 0 }
