// Package simulation runs relink in worlds that it makes up: both applications,
// both ends of the library, the network between them and the clock, in one
// testing/synctest bubble. A [Schedule] says what happens, a model beside it
// knows what each application must have seen.
//
// # A schedule
//
// A schedule is data: a configuration and a list of steps, each some time after
// the one before. Steps are what an application does (write, read, stop reading,
// set deadlines, close a direction, close, abort, report a change of network)
// and what a network does (cut a path now, at a byte or in a handshake; stall it
// and release it, also after the client has given it up; lose a server's
// answers, refuse dials or let them hang; send again what a client has sent;
// take the listener away). [Generate] makes one from a seed, with a random part
// of all kinds of trouble enabled. It prints as text, a line for each step, and
// [Parse] reads that, so that a schedule that has failed can be kept: the tests
// run every file in testdata.
//
// [Run] plays a schedule. Everything has come to rest (synctest.Wait) before the
// next step, but for steps of the same instant, which follow one another at
// once. Then the network is made whole, everything that was written must
// arrive within a bounded time, and the sessions that are left are closed.
//
// # What the model knows
//
//   - Every byte of a stream is a function of its place, so each Read is
//     compared exactly. Write takes what it says it has taken, and leaves its
//     slice alone.
//   - A time-out comes in the very instant of its deadline, and never later.
//   - An end has a reason in the history: io.EOF on the Noise suites only behind
//     everything that a peer has written which has closed, on the classic ones
//     only behind a clean end of the last transport, with the other side gone;
//     ErrExpired only after the time, and on a client after one attempt more;
//     ErrSessionLost only where the other side has none; ErrReplayGap only on a
//     classic wire whose network can swallow more than a quarter of ReplayLimit;
//     net.ErrClosed only after Close; ErrCounters, ErrProtocol and
//     ErrAuthentication never.
//   - Acked and WaitAcked are never ahead of what the peer's application has
//     read.
//   - Events come in their order, with the gaps that the clock has measured, and
//     agree with Conn.State. Counts only grow, and agree with what was read,
//     written and resumed. Memory stays within its bound.
//   - On a whole network everything arrives, and a Close delivers all and then
//     the end.
//   - In the end nothing is left: no goroutine, which synctest sees to, and no
//     open transport.
//
// It does not know more than the wire can tell. A classic server learns of a
// client that has gone silent from TCP alone, so the model ends such paths when
// the network becomes whole, as the kernel's keep-alive would.
//
// # The same again
//
// The clock is the bubble's. The library takes all its randomness from
// crypto/rand, which testing/cryptotest seeds with the schedule's seed. Steps
// and dials lie apart by odd times. One processor and no garbage collection
// during a schedule make the order of goroutines repeatable, and 91 of 100 seeds
// repeat to the nanosecond on a machine with other work to do. The others have
// two timers that are due in one instant, which synctest shuffles on purpose (a
// segment of either direction over paths of the same delay, mostly), or were
// interrupted for longer than 10 ms, after which Go's scheduler changes the
// order. Under the race detector, or on several processors, the order varies
// more, and so finds more.
//
// [Shrink] makes a schedule that fails short: by delta debugging of its steps,
// then by simpler arguments and defaults. A candidate fails if one of a few runs
// does, so that rare orders of goroutines are not lost.
//
// # Processes
//
// The seeded source belongs to the whole process, so schedules run in parallel
// only in several: see [Fleet]. A process also contains a panic of the library,
// and the fleet knows the seed that it was at. That a bubble is stuck, or cannot
// end, is a panic of synctest in the goroutine that runs it, and is reported
// like any other failure.
//
// # Alternatives
//
// Two were considered. A simulated scheduler, with the library's goroutines
// rewritten as state machines that a seed interleaves (as FoundationDB and
// TigerBeetle have it), repeats exactly and reaches every interleaving, but
// tests something else than what is shipped: the roles that goroutines hand to
// one another are where the library's mistakes are. Random tests with real
// sockets and clocks, like the soak test beside this package, run what is
// shipped on what it is made for, but three orders of magnitude fewer schedules
// an hour, and nothing comes back. The bubble runs the shipped code unchanged, a
// schedule in two milliseconds.
//
// # What it is not
//
// Goroutines interleave as the scheduler has it, not in all ways: the model
// checker and the race detector look there. The device's sleep is one of the
// network and the dialer, since a bubble has one clock for both sides. Bytes are
// never changed by the network; the fuzz tests do that.
package simulation
