// Package abuse holds tests that attack a server as strangers on the internet
// do: slow handshakes by the thousand, floods of resumes, replayed captures,
// garbage at line rate, more sessions than there may be, and a process that has
// no descriptors left.
//
//	go test ./lab/abuse
//	RELINK_ABUSE=full go test -v -timeout 20m ./lab/abuse
//
// The attackers are a process of their own. The server holds fifty sessions, ten
// of each suite, which echo messages all the time. What an attack costs them is
// measured against the same attack on a plain TCP listener in the server's
// process, in turns: then both cost the machine as much as it has, and what is
// left is what the library does with it. After every attack each transport that
// was accepted must be accounted for in events, memory must have stayed
// within its bound, every session must have carried every byte, and nothing may be
// left.
//
// Beside these, whoever opens connections or sessions to keep others out is measured by
// how long honest clients, in a process of their own, take to come in.
//
// A normal run asserts what holds on any machine: no session is held up by as
// much as a time limit of the library's, all is counted, and memory is
// bounded. The full run is larger, and asserts that the 99th percentile of the
// echo is at most twice what it is without the library.
package abuse
