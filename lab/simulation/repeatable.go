package simulation

import (
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// A schedule is to do the same each time. Its clock is the bubble's, its random
// numbers come from its seed, and its steps lie apart in time. What is left is
// the order of goroutines that can run in the same instant. It is always the
// same on one processor, as long as nothing from outside gets in between: the
// garbage collector does, so it runs between schedules; and the system's monitor
// does, once a goroutine has been running for 10 ms of real time, which on a
// machine that is not overloaded no goroutine here does.

// settle prepares the process once. GOMAXPROCS in the environment overrides it:
// several processors find other orders.
var settle = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	debug.SetGCPercent(-1)
})

// runs counts the schedules of this process.
var runs atomic.Int64

// collectEvery is after how many schedules the garbage is collected.
const collectEvery = 16

// collect does what the garbage collector would do, between two schedules.
func collect() {
	settle()
	if runs.Add(1)%collectEvery == 0 {
		runtime.GC()
	}
}
