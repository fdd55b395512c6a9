// Package stream has the two halves of a session: [Send], what this side's
// application writes until the peer holds it, and [Receive], what has arrived
// until the application takes it.
//
// A half owns offsets, its buffer, what is acknowledged, its error and its end. It
// knows no lock, no goroutine, no clock, no transport and nobody who waits: it is
// told facts and returns results, and decides nothing that concerns the other half.
// Whoever holds it calls one method at a time. Where encryption takes long it
// happens between two calls, without the lock: [Send.Reserve] and [Send.Commit],
// [Send.LendPlain] and [Send.Encrypted].
//
// Offsets count the bytes of one direction from its beginning.
package stream
