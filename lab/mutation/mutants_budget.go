package main

// Mutants of what a listener's sessions may hold together, and of who has to make room.

var budgetMutants = []mutant{
	{
		name:   "nothing is asked for",
		breaks: "Buffers grow whatever the budget has left.",
		edits: []edit{{"budget.go", `	if b.charged.Add(n) <= b.most-b.most/16*grantsEnd {
		return true
	}`, `	if b.charged.Add(n) > 0 {
		return true
	}`}},
		pkg: "./internal/conntest", tests: "TestBudgetOfConnectedSessions TestHistoryGivesWay",
	},
	{
		name:   "new sessions beyond the budget",
		breaks: "New sessions come in although the ones there are hold all there is.",
		edits:  []edit{{"budget.go", `return b.held.Load() >= b.most }`, `return false }`}},
		pkg:    "./internal/conntest", tests: "TestBudgetOfConnectedSessions",
	},
	{
		name:   "the suspended have no share",
		breaks: "Sessions without a transport may hold all of the budget.",
		edits:  []edit{{"budget.go", `return b.suspended.Load() > b.mostSuspended ||`, `return`}},
		pkg:    "./internal/conntest", tests: "TestShareOfTheSuspended",
	},
	{
		name:   "the longest suspended ends first",
		breaks: "Who has carried much is reclaimed before who has carried little.",
		edits: []edit{{"internal/roster/roster.go", `	if of, ok = r.evictable.first(); ok {
		return of, true, true
	}
`, ``}},
		pkg: "./internal/conntest", tests: "TestShareOfTheSuspended",
	},
	{
		name:   "one name for both that are reclaimed",
		breaks: "An operator cannot tell an attack's sessions from those that somebody will miss.",
		edits:  []edit{{"budget.go", `		case unused:`, `		case unused && false:`}},
		pkg:    "./internal/conntest", tests: "TestShareOfTheSuspended",
	},
	{
		name:   "a copy waits for a record with a buffer",
		breaks: "Whoever sends the beginning of a record makes a proxy hold 32 KiB that nobody counts.",
		edits: []edit{{"copy.go", `				return b, rec, err
			}
			b.Give()`, `				return b, rec, err
			}
			defer b.Give()`}},
		pkg: "./internal/conntest", tests: "TestCopyOfAPartialRecordHoldsNoBuffer",
	},
	{
		name:   "who asks in vain is not helped",
		breaks: "Suspended sessions keep what connected ones need.",
		edits:  []edit{{"budget.go", `b.short.Store(int64(n))`, `b.short.Store(0)`}},
		pkg:    "./internal/conntest", tests: "TestSuspendedSessionsEndForOthers",
	},
	{
		name:   "windows never grow",
		breaks: "A server takes 64 KiB a round trip, however much memory it has.",
		edits: []edit{{"read.go", `		c.server.sharedBudget().growWindow(&c.s)
`, ``}},
		pkg: "./internal/conntest", tests: "TestWindowOfAServer",
	},
	{
		name:   "a cut history stays cut",
		breaks: "History never grows again when the budget has room.",
		edits:  []edit{{"budget.go", `s.send.Buffer.KeepAll()`, ``}},
		pkg:    "./internal/conntest", tests: "TestHistoryGivesWay",
	},
	{
		name:   "no rate",
		breaks: "One address may make the server compute as much as it likes.",
		edits:  []edit{{"admission.go", `!asked && !l.rates.Take(h.origin)`, `!asked && !l.rates.Take(h.origin) && false`}},
		pkg:    "./internal/conntest", tests: "TestHandshakeRatePerAddress",
	},
	{
		name:   "acknowledgements may wait for ever",
		breaks: "A peer that talks and never acknowledges keeps a Write for ever.",
		edits:  []edit{{"link.go", `return heard && l.idleAcks >=`, `return heard && false && l.idleAcks >=`}},
		pkg:    "./internal/conntest", tests: "TestAcknowledgeInTime",
	},
	{
		name:   "any progress is none",
		breaks: "A slow peer that acknowledges little by little loses its session.",
		edits:  []edit{{"link.go", `if !unacknowledged || acked != l.counted {`, `if !unacknowledged {`}},
		pkg:    "./internal/conntest", tests: "TestAcknowledgeInTime",
	},
	{
		name:   "a long record takes all at once",
		breaks: "The beginning of a long record takes 128 KiB.",
		edits:  []edit{{"read.go", `case inputStep*size < longInput:`, `case false:`}},
		pkg:    "./internal/conntest", tests: "TestBeginningOfALongRecord",
	},
	{
		name:   "input is not counted",
		breaks: "Long record buffers are in nobody's budget.",
		edits: []edit{{"budget.go", `size > minInput {
			n += size`, `size > minInput {
			n += 0`}},
		pkg: "./internal/conntest", tests: "TestBeginningOfALongRecord",
	},
	{
		name:   "Noise: a limit beyond the window",
		breaks: "A peer may allow more than the window that it has told.",
		edits:  []edit{{"internal/noise/codec.go", `|| unread+credit > uint64(c.peerWindow) {`, `|| credit > uint64(c.peerWindow) {`}},
		pkg:    "./internal/noise", tests: "TestMalformedRecords",
	},
}
