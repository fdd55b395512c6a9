// Package asserts has a value look at itself in a build with the tag relinkdebug. In any other
// it costs nothing, not even a call.
package asserts

// An Invariant is a value that keeps what follows from its state.
type Invariant interface {
	// Contradiction says what does not agree with the state, or nothing.
	Contradiction() string
}
