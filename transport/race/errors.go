package race

import "strings"

// An Error says why no way led to the server.
type Error struct {
	Ways []WayError // in the order in which they were started
}

// Error returns the errors of all ways in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("race: no way led to the server")
	for i, w := range e.Ways {
		b.WriteString([...]string{": ", "; "}[min(i, 1)])
		b.WriteString(w.Error())
	}
	return b.String()
}

// Unwrap returns the errors of all ways.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, w := range e.Ways {
		errs = append(errs, w)
	}
	return errs
}

// A WayError is the error of one way.
type WayError struct {
	Way string // its name
	Err error
}

// Error returns the error with the way's name before it.
func (e WayError) Error() string { return e.Way + ": " + e.Err.Error() }

// Unwrap returns the way's own error.
func (e WayError) Unwrap() error { return e.Err }
