//go:build !linux

package measure

import "errors"

// Resident says that it does not know: a process's memory is told on Linux only.
func Resident() (int64, error) {
	return 0, errors.New("how much memory the process holds is told on Linux only")
}
