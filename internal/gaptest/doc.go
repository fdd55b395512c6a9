// Package gaptest holds the library to its contract in the gaps between one step and
// the next, which tests that go by the order of a program do not come to. It has tests
// only.
//
// TestGaps is a matrix. A scenario (a Write, a Close, a resume) is played once over
// transports that note each call, the dial, and what the application is asked and told. Each of
// these calls, on each side, before and after, is a gap. In each gap the scenario is
// held, one action happens (a call of the public API on either side, a fault of the network,
// a replayed copy of a resume, the passing of time), and the scenario goes on. What must be
// true then follows from which ends were called for, and by whom: see the model in
// model_test.go. A test is called
//
//	TestGaps/SUITE/TRANSPORT/SCENARIO/GAP/ACTION
//
// and can be run alone by that name.
//
// With the transports called wary the client suspects a link that is silent. Then
// a transport that is held may be replaced, and it must also be true that one which answers
// at once is never suspected, and that no side keeps more than one.
//
// TestWaiters and TestListenerWaiters ask of everything that waits whether it is woken by everything that
// has to wake it, at once.
//
// Each test runs in a worker, which is this program once more. One that panics or
// hangs (see internal/hang) ends its worker and not the tests after it.
package gaptest
