package process

import (
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// startOn starts a command that may run on these processors only. A process takes
// that over from the thread that starts it, before the runtime counts the
// processors to choose its GOMAXPROCS.
func startOn(processors []int, cmd *exec.Cmd) error {
	if len(processors) == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, wanted unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("which processors may be used: %w", err)
	}
	for _, p := range processors {
		wanted.Set(p)
	}
	if err := unix.SchedSetaffinity(0, &wanted); err != nil {
		return fmt.Errorf("pinning to the processors %v: %w", processors, err)
	}
	started := cmd.Start()
	if err := unix.SchedSetaffinity(0, &before); err != nil {
		runtime.LockOSThread() // never unlocked: this thread ends with its goroutine
		if started == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		return fmt.Errorf("giving a thread its processors back: %w", err)
	}
	return started
}

// Processors returns the numbers of the processors that this process may use.
func Processors() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	var numbers []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			numbers = append(numbers, i)
		}
	}
	return numbers, nil
}
