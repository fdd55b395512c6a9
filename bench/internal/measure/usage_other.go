//go:build !unix && !windows

package measure

import "time"

// ProcessorTime says that the system does not tell: what is computed from it is
// shown as missing.
func ProcessorTime() (time.Duration, bool) { return 0, false }
