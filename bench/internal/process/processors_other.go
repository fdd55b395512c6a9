//go:build !linux

package process

import (
	"errors"
	"os/exec"
)

var errNoPinning = errors.New("processes are pinned to processors on Linux only")

func startOn(processors []int, cmd *exec.Cmd) error {
	if len(processors) > 0 {
		return errNoPinning
	}
	return cmd.Start()
}

// Processors returns the numbers of the processors that this process may use.
func Processors() ([]int, error) { return nil, errNoPinning }
