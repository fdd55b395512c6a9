package measure

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
)

// Resident returns how many bytes of memory this process holds, after it has given
// back to the system what it does not use.
func Resident() (int64, error) {
	debug.FreeOSMemory()
	debug.FreeOSMemory() // the first collection only prepares what pools give back in the second
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/self/statm says %q", b)
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}
