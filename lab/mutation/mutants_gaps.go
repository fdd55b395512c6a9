package main

// Mutants that show only where something happens between one step and the next.

var gapMutants = []mutant{
	{
		name:   "WaitAcked outlives the session",
		breaks: "Who waits for acknowledgements, or in Flush, is not woken when the session ends.",
		edits: []edit{{"conn.go", `	c.s.writers.wake()
	c.s.ackers.wake()
	if e.cause`, `	c.s.writers.wake()
	if e.cause`}},
		pkg: "./internal/gaptest", tests: "TestWaiters",
	},
	{
		name:   "CloseWrite beside a record is forgotten",
		breaks: "An end that is queued while a Write is inside the transport waits for a tick.",
		edits:  []edit{{"internal/stream/send.go", `!s.appending && !s.Fin.queued && s.err`, `!s.appending && s.err`}},
		pkg:    "./internal/gaptest", tests: "TestGaps",
	},
	{
		name:   "the second Write sleeps on",
		breaks: "A Write that waits for its turn is not woken when the one before has returned.",
		edits:  []edit{{"settle.go", ` || !s.send.Appending() || s.wantsRoom`, ` || s.wantsRoom`}},
		pkg:    "./internal/gaptest", tests: "TestWaiters",
	},
	{
		name:   "a lock is held across the transport's CloseWrite",
		breaks: "A transport whose CloseWrite waits stops everything that the session's users call.",
		edits: []edit{{"write.go", `			c.unlock()
			err := l.closeWrite()
			c.mu.Lock()`, `			err := l.closeWrite()`}},
		pkg: "./internal/gaptest", tests: "TestGaps",
	},
	{
		name:   "an old link counts after the count was told",
		breaks: "What a Read of a lost transport brings is taken although the server was told that it had not arrived.",
		edits: []edit{{"resume.go", `	v.c.s.lost.link = nil
`, ``}},
		pkg: "./internal/gaptest", tests: "TestGaps",
	},
	{
		name:   "an old link overtakes early data",
		breaks: "What a link brings that early data has brought before counts as what comes next.",
		edits:  []edit{{"internal/stream/receive.go", `	if r.pos == r.received && int64(n) <= math.MaxInt64-r.pos {`, `	if int64(n) <= math.MaxInt64-r.pos {`}},
		pkg:    "./internal/gaptest", tests: "TestGaps",
	},
	{
		name:   "copies push the answer out",
		breaks: "Copies of a resume's request that have passed the first look each count as an attempt.",
		edits: []edit{{"internal/noise/session.go", `		return hintUnknownSession
	case r.attempt <= k.highest:
		return hintStale
	}
	k.highest`, `		return hintUnknownSession
	}
	k.highest`}},
		pkg: "./internal/gaptest", tests: "TestGaps",
	},
	{
		name:   "an ended session registers again",
		breaks: "A session that ends during its resume is found afterwards in place of the word about its end.",
		edits: []edit{{"listener.go", `if !c.registration.Known() {
		return ErrUnknownSession`, `if false {
		return ErrUnknownSession`}},
		pkg: "./internal/gaptest", tests: "TestGaps",
	},
	{
		name:   "a dead peer with a closed window",
		breaks: "A peer that is gone while its window was closed is never found: its kernel's silence to probes does not count.",
		edits:  []edit{{"internal/socket/tcpinfo.go", ` || i.Probes >= minProbes`, ``}},
		pkg:    "./internal/socket", tests: "TestRetrying",
	},
	{
		name:   "a link that has answered is detached",
		breaks: "A second transport that is confirmed takes the place of a link which has shown a sign of life meanwhile.",
		edits: []edit{{"resume.go", `	if l := c.s.link; err == nil && l != nil && !l.suspected(c.s.send.Traits.Pings, c.s.pingDue) {
		err = errSpoke
	}
`, ``}},
		pkg: "./internal/gaptest", tests: "TestGaps",
	},
	{
		name:   "an attempt beside a link frees nothing",
		breaks: "After an attempt beside a link that came to nothing the buffer keeps what the peer has acknowledged, until it is full.",
		edits: []edit{{"resume.go", `		c.s.send.Unhold()
		return err
`, `		return err
`}},
		pkg: "./internal/conntest", tests: "TestLinkGoesOnAfterAnAttemptBesideIt",
	},
	{
		name:   "a busy peer is suspected",
		breaks: "A question that is asked at once counts as unanswered before a peer reads again whose application has just been in Read.",
		edits:  []edit{{"suspicion.go", `l.trips.asked.Add(readDelay)`, `l.trips.asked`}},
		pkg:    "./internal/conntest", tests: "TestNoSuspicionOfABusyPeer",
	},
	{
		name:   "Accept is not told after OnEvent",
		breaks: "Accept is not woken when OnEvent returns from the opened event that it was waiting for.",
		edits: []edit{{"admission.go", `	if l.backlog.Tell(c) {
		l.acceptable.Signal()
	}`, `	l.backlog.Tell(c)`}},
		pkg: "./internal/gaptest", tests: "TestListenerWaiters",
	},
	{
		name:   "Accept waits for who is gone",
		breaks: "After the inner listener's end Accept is not woken when the last session leaves that it was waiting for.",
		edits: []edit{{"listener.go", `	if l.failure != nil {
		l.acceptable.Broadcast() // it may have been what Accept was waiting for
	}
`, ``}},
		pkg: "./internal/gaptest", tests: "TestListenerWaiters",
	},
}
