package relink

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
)

// panics holds the last panic that was caught.
var panics struct {
	sync.Mutex
	last string
}

// LastPanic returns the last panic that became an error, with its stack, or "" if there
// was none. It belongs into a bug report.
func LastPanic() string {
	panics.Lock()
	defer panics.Unlock()
	return panics.last
}

// guard is deferred by every function that the app can call and that returns an error.
func guard(what string, err *error) {
	if r := recover(); r != nil {
		*err = caught(what, r)
	}
}

// guardQuiet is deferred by those that return none.
func guardQuiet(what string) {
	if r := recover(); r != nil {
		_ = caught(what, r)
	}
}

func caught(what string, r any) error {
	panics.Lock()
	defer panics.Unlock()
	panics.last = fmt.Sprintf("%s: %v\n%s", what, r, debug.Stack())
	return &codedError{CodeInternal, fmt.Errorf("%s: panic: %v", what, r)}
}

// SetCrashOutput names a file to which the Go runtime writes what it has to say when it
// must end the process: the panic and the stacks. The file is made if need be and
// appended to. "" ends it. An app looks for it when it starts, since a phone's system
// log keeps little of it.
func SetCrashOutput(path string) (err error) {
	defer guard("SetCrashOutput", &err)
	if path == "" {
		return coded(debug.SetCrashOutput(nil, debug.CrashOptions{}))
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return argument("SetCrashOutput: %w", err)
	}
	defer func() { _ = f.Close() }() // the runtime has a descriptor of its own
	return coded(debug.SetCrashOutput(f, debug.CrashOptions{}))
}
