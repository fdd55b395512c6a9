package main

// Mutants of what keeps a session alive and ends it.

var resumeMutants = []mutant{
	{
		name:   "nothing is sent again",
		breaks: "A new link begins where the old one had stopped, whatever the peer has.",
		edits:  []edit{{"internal/stream/send.go", `s.sent = max(received, s.least())`, `s.sent = max(received, s.highest)`}},
		pkg:    "./internal/conntest", tests: "TestReplayedBytes",
	},
	{
		name:   "one byte too much is sent again",
		breaks: "A new link begins one byte before what the peer misses.",
		edits:  []edit{{"internal/stream/send.go", `s.sent = max(received, s.least())`, `s.sent = max(received-1, s.least())`}},
		pkg:    "./internal/conntest", tests: "TestReplayedBytes TestResumeAgainUnread",
	},
	{
		name:   "the count of now",
		breaks: "The server goes by what it has received by now, and not by what it has told the client.",
		edits:  []edit{{"handshake.go", `c.attachLocked(t.h.stream, claim.Received, sl)`, `c.attachLocked(t.h.stream, c.recv.Received(), sl)`}},
		pkg:    "./internal/conntest", tests: "TestOldTransportDeliversDuringResume",
	},
	{
		name:   "bytes behind a handshake are lost",
		breaks: "What arrives in one piece with the end of a handshake is dropped.",
		edits:  []edit{{"resume.go", `c.attachLocked(s, c.s.recv.Received(), sl)`, `c.attachLocked(&handshakeStream{conn: t}, c.s.recv.Received(), sl)`}},
		pkg:    "./internal/conntest", tests: "TestReplayedBytes TestResumeAgainUnread",
	},
	{
		name:   "received beyond written",
		breaks: "A peer may claim to have received what was never written.",
		edits:  []edit{{"internal/stream/send.go", `case received < 0 || received > s.encrypted: //`, `case received < 0: //`}},
		pkg:    ".", tests: "TestCountersThatContradict",
	},
	{
		name:   "sent below received",
		breaks: "A peer may claim to have sent less than has arrived.",
		edits:  []edit{{"internal/stream/receive.go", `peerSent != suite.Unknown && peerSent < r.received {`, `peerSent < suite.Unknown {`}},
		pkg:    ".", tests: "TestCountersThatContradict",
	},
	{
		name:   "a gap is not seen",
		breaks: "A resume goes on although the peer misses bytes that are no longer buffered.",
		edits:  []edit{{"internal/stream/send.go", `case !s.Traits.Acks && received < s.Buffer.buf.Start():`, `case !s.Traits.Acks && received < 0:`}},
		pkg:    ".", tests: "TestCountersThatContradict",
	},
	{
		name:   "an acknowledgement is taken back",
		breaks: "A peer may resume from before what it has acknowledged.",
		edits:  []edit{{"internal/stream/send.go", `; s.Traits.Acks && received < least {`, `; s.Traits.Acks && received < least-1<<40 {`}},
		pkg:    "./internal/conntest", tests: "TestServerTakesAcknowledgementBack",
	},
	{
		name:   "the epoch is not compared",
		breaks: "A resume that was overtaken by another takes the session back.",
		edits:  []edit{{"handshake.go", `if int64(c.s.epoch) != claim.Epoch {`, `if int64(c.s.epoch) != claim.Epoch && false {`}},
		pkg:    ".", tests: "TestResumeRace",
	},
	{
		name:   "the old transport is left open",
		breaks: "A transport that was superseded is never closed.",
		edits: []edit{{"resume.go", `		old.close() // proven to be superseded, whether or not it seems alive
`, ``}},
		pkg: "./internal/conntest", tests: "TestHalfOpenServer",
	},
	{
		name:   "early data is taken twice",
		breaks: "Data that came with a handshake is delivered though it had arrived before.",
		edits: []edit{{"internal/stream/receive.go", `	data = data[skip:]
`, ``}},
		pkg: "./internal/conntest", tests: "TestEarlyData",
	},
	{
		name:   "early data beyond the room",
		breaks: "Data that came with a handshake is taken beyond ReplayLimit.",
		edits: []edit{{"internal/stream/receive.go", `	data = data[:min(int64(len(data)), int64(r.buf.Room()), r.early())]
`, ``}},
		pkg: "./internal/conntest", tests: "TestEarlyDataBeyondTheRoom",
	},
	{
		name:   "early data behind a gap",
		breaks: "Data that came with a handshake is taken although bytes before it are missing.",
		edits: []edit{
			{"internal/stream/receive.go", `if r.finReceived || offset > r.received ||`, `if r.finReceived ||`},
			{"internal/stream/receive.go", `	skip := r.received - offset
`, `	skip := max(0, r.received-offset)
`},
		},
		pkg: "./internal/conntest", tests: "TestEarlyDataBehindAGap",
	},
}

var redialMutants = []mutant{
	{
		name:   "another instance shortens nothing",
		breaks: "The client of a server that was restarted waits for all of its ResumeTimeout.",
		edits:  []edit{{"resume.go", `clock.Now().Add(otherInstanceTime)`, `clock.Now().Add(time.Hour)`}},
		pkg:    "./internal/conntest", tests: "TestRestartedServer",
	},
	{
		name:   "early data that is not wanted",
		breaks: "A server that was told to do without takes early data all the same.",
		edits:  []edit{{"handshake.go", `if !t.c.set.NoEarlyData {`, `if true {`}},
		pkg:    "./internal/conntest", tests: "TestNoEarlyData",
	},
	{
		name:   "a lock is held across a dial",
		breaks: "Everything that is called on a session waits while it dials.",
		edits: []edit{{"resume.go", `	c.unlock()
	t, err := hedge.Dial(ctx, every, r.dial, resetTransport)`, `	t, err := hedge.Dial(ctx, every, r.dial, resetTransport)
	c.unlock()`}},
		pkg: "./internal/conntest", tests: "TestMethodsWhileTheDialerHangs",
	},
	{
		name:   "dials do not race",
		breaks: "A dial that has fallen into a silence holds up the whole attempt.",
		edits:  []edit{{"resume.go", `hedge.Dial(ctx, every, r.dial`, `hedge.Dial(ctx, 0*every, r.dial`}},
		pkg:    "./internal/conntest", tests: "TestRedialFindsANetworkThatHeals",
	},
	{
		name:   "a pause after a silence",
		breaks: "After an attempt that had no answer comes the whole pause of one that failed.",
		edits:  []edit{{"resume.go", `return min(pause, (every-`, `return max(pause, (every-`}},
		pkg:    "./internal/conntest", tests: "TestRedialFindsANetworkThatHeals",
	},
	{
		name:   "no pause after a failure",
		breaks: "An attempt that fails at once is followed by the next as if it had taken all its time.",
		edits:  []edit{{"resume.go", `if every <= 0 || r.began.Since() < c.set.AttemptTimeout {`, `if every <= 0 {`}},
		pkg:    "./internal/conntest", tests: "TestBackoffBounds",
	},
	{
		name:   "dials in the background race as in the foreground",
		breaks: "The radio of a phone whose application is in the background is woken twice a second.",
		edits:  []edit{{"resume.go", `least = max(least, c.set.MaxBackoff)`, `least = max(least, 0)`}},
		pkg:    "./internal/conntest", tests: "TestRedialFindsANetworkThatHeals",
	},
	{
		name:   "the crowd comes back at once",
		breaks: "All clients of a server that was away for an hour dial twice a second.",
		edits:  []edit{{"resume.go", `min(c.s.lost.at.Since()/hedgeShare, c.set.MaxBackoff)`, `0`}},
		pkg:    "./internal/conntest", tests: "TestRedialIsSlowAfterALongTime",
	},
	{
		name:   "the first dial is given up",
		breaks: "A path on which connecting takes longer than the time between dials is never connected.",
		edits: []edit{{"internal/hedge/hedge.go", `				second.cancel()
			}
			timer`, `				first.cancel()
			}
			timer`}},
		pkg: "./internal/hedge", tests: "TestDial",
	},
	{
		name:   "three dials at a time",
		breaks: "The next dial does not wait for the one that was given up.",
		edits:  []edit{{"internal/hedge/hedge.go", `replace = true // when it has returned`, `go second.cancel(); second = start() //`}},
		pkg:    "./internal/hedge", tests: "TestDial TestSlowToReturn",
	},
	{
		name:   "a late transport is kept",
		breaks: "A transport that is connected after another has won stays open.",
		edits: []edit{{"internal/hedge/hedge.go", `				if err == nil {
					drop(t)
				}`, `				_ = drop`}},
		pkg: "./internal/hedge", tests: "TestDropped",
	},
	{
		name:   "expiry without a last attempt",
		breaks: "A client whose device has slept through ResumeTimeout gives up before it has tried.",
		edits:  []edit{{"resume.go", `case last && !r.retry:`, `case (last || deadline.Until() <= 0) && !r.retry:`}},
		pkg:    "./internal/conntest", tests: "TestAttemptAfterTheDeadline",
	},
	{
		name:   "a client never gives up",
		breaks: "ResumeTimeout does not end a client's session.",
		edits:  []edit{{"resume.go", `case last && !r.retry:`, `case last && c.set.ResumeTimeout < 0:`}},
		pkg:    "./internal/conntest", tests: "TestClientExpiry",
	},
	{
		name:   "attempts without a time limit",
		breaks: "An attempt at a server that is silent lasts for ever.",
		edits:  []edit{{"resume.go", `context.WithTimeout(context.Background(), c.set.AttemptTimeout)`, `context.WithTimeout(context.Background(), 1<<62)`}},
		pkg:    "./internal/conntest", tests: "TestResumeAtServerThatNeverAccepts",
	},
	{
		name:   "NetworkChanged is ignored",
		breaks: "A change of network does not shorten a pause or an attempt.",
		edits: []edit{{"resume.go", `			return
		}
	}
	c.redial.retryNowLocked()
}`, `			return
		}
	}
}`}},
		pkg: "./internal/conntest", tests: "TestNetworkChanged",
	},
	{
		name:   "a transport of the old network",
		breaks: "An attempt that NetworkChanged has given up is taken if it succeeds in the last moment.",
		edits:  []edit{{"resume.go", `if err == nil && r.retry {`, `if err == nil && r.retry && false {`}},
		pkg:    "./internal/conntest", tests: "TestNetworkChangedInTheLastMoment",
	},
	{
		name:   "a failed attempt leaks",
		breaks: "The transport of an attempt that failed is left open.",
		edits:  []edit{{"resume.go", "if t != nil {\n\t\t\tgo resetTransport(t)", "if false {\n\t\t\tgo resetTransport(t)"}},
		pkg:    "./internal/conntest", tests: "TestAdmissionIsJudgedLast",
	},
	{
		name:   "more is under way than history holds",
		breaks: "A receiver's kernel holds as much as it likes, and a cut before a reader that stalls ends a classic session.",
		edits:  []edit{{"resume.go", `socket.BoundUnderWay(tcp, c.set.ReplayLimit/2)`, `socket.BoundUnderWay(tcp, 64*c.set.ReplayLimit)`}},
		pkg:    "./internal/conntest", tests: "TestHistoryHoldsWhatIsUnderWay",
	},
	{
		name:   "pieces do not shrink",
		breaks: "A transport that refuses long Writes is handed the same piece again and again.",
		edits:  []edit{{"internal/headway/headway.go", `if r.wanting && acked == r.acked {`, `if r.wanting && acked < r.acked {`}},
		pkg:    "./internal/headway", tests: "TestPieces",
	},
	{
		name:   "a sender does not look at the piece",
		breaks: "Pieces shrink, and whoever sends does not know.",
		edits:  []edit{{"write.go", `outgoing{loan: s.send.Lend(s.ended.piece())}`, `outgoing{loan: s.send.Lend(batchSize)}`}},
		pkg:    "./internal/conntest", tests: "TestTransportsThatRefuseLongWrites",
	},
	{
		name:   "links that died at once are forgotten",
		breaks: "Whoever observes is not told how many links in a row have carried nothing.",
		edits:  []edit{{"close.go", `, Fruitless: headway.Fruitless()}`, `, Fruitless: min(headway.Fruitless(), 1)}`}},
		pkg:    "./internal/conntest", tests: "TestFruitlessLinksAreTold",
	},
	{
		name:   "redialling in a loop",
		breaks: "A server that drops every link at once is redialled without a pause.",
		edits:  []edit{{"resume.go", `e.headway.Fruitless() < 2 {`, `e.headway.Fruitless() >= 0 {`}},
		pkg:    "./internal/conntest", tests: "TestUselessLinksAreNotRedialledInALoop",
	},
	{
		name:   "pauses grow too fast",
		breaks: "The bound of each pause is twice what it should be.",
		edits:  []edit{{"resume.go", `most = s.MinBackoff << n`, `most = s.MinBackoff << (n + 1)`}},
		pkg:    "./internal/conntest", tests: "TestBackoffBounds",
	},
	{
		name:   "early data in each attempt",
		breaks: "Every attempt on a slow network is made longer than it may be by the data that it carries.",
		edits: []edit{{"resume.go", `	return first
`, `	return first || true
`}},
		pkg: "./internal/conntest", tests: "TestResumeOverSlowNetwork",
	},
	{
		name:   "a late transport leaks",
		breaks: "What a dialer returns after it was given up is left open.",
		edits: []edit{{"dial.go", `				if r.t != nil {
					_ = r.t.Close()
				}`, ``}},
		pkg: "./internal/conntest", tests: "TestRedialMistakes TestDialMistakes",
	},
	{
		name:   "a session that nobody gets leaks",
		breaks: "A session that is opened in the moment in which Dial fails goes on.",
		edits:  []edit{{"dial.go", `if err != nil && c != nil {`, `if err != nil && c != nil && false {`}},
		pkg:    "./internal/conntest", tests: "TestDialEndsInTheLastMoment",
	},
}

var listenerMutants = []mutant{
	{
		name:   "a client that was revoked meanwhile",
		breaks: "A client that was let in before its key was revoked, and opens its session after, is not noticed.",
		edits:  []edit{{"listener.go", `case h.asked && h.revocations != l.revocations:`, `case h.asked && h.revocations > l.revocations:`}},
		pkg:    "./internal/conntest", tests: "TestRevokeDuringAuthorize",
	},
	{
		name:   "a session that outlives its denial",
		breaks: "A session whose client is refused at a resume goes on without a transport.",
		edits: []edit{{"authorize.go", `		t.h.l.deny(t.c, err)
`, ``}},
		pkg: "./internal/conntest", tests: "TestAuthorizeRefusesResumes",
	},
	{
		name:   "a classic client that nobody asks about",
		breaks: "The classic suites admit clients without asking the application.",
		edits:  []edit{{"handshake.go", `if !h.asked { // a wire`, `if h.asked { // a wire`}},
		pkg:    "./internal/conntest", tests: "TestAuthorizeIsAsked TestAuthorizeRefusesNewSessions",
	},
	{
		name:   "authorisations without a bound",
		breaks: "Callbacks that hang pile up.",
		edits: []edit{{"authorize.go", `	default:
		return errTooManyAsked
`, `	default:
		go func() { l.asking <- struct{}{} }()
`}},
		pkg: "./internal/conntest", tests: "TestAuthorizeIsBounded",
	},
	{
		name:   "handshakes without a time limit",
		breaks: "A client that says nothing keeps its handshake for ever.",
		edits:  []edit{{"admission.go", `time.AfterFunc(l.set.HandshakeTimeout, h.expire)`, `time.AfterFunc(1<<62, h.expire)`}},
		pkg:    "./internal/conntest", tests: "TestSlowloris",
	},
	{
		name:   "handshakes without number",
		breaks: "MaxHandshakes does not bound the handshakes.",
		edits:  []edit{{"admission.go", `if l.handshakes.Unproven() >= l.set.MaxHandshakes {`, `if l.handshakes.Unproven() >= l.set.MaxHandshakes && false {`}},
		pkg:    "./internal/conntest", tests: "TestSlowloris",
	},
	{
		name:   "finished handshakes count",
		breaks: "A handshake that is over keeps its place.",
		edits: []edit{{"admission.go", `	h.l.handshakes.Leave(&h.place)
	h.l.origins`, `	h.l.origins`}},
		pkg: "./internal/conntest", tests: "TestSlowloris TestLostProof",
	},
	{
		name:   "talkers give way first",
		breaks: "A handshake that was heard gives way before one that has said nothing.",
		edits:  []edit{{"internal/admission/handshakes.go", `case talking == nil, quiet != nil`, `case talking == nil, false && quiet != nil`}},
		pkg:    "./internal/conntest", tests: "TestHandshakesGiveWayByStanding",
	},
	{
		name:   "a flood leaves nobody the time to speak",
		breaks: "A handshake gives way however young it is.",
		edits:  []edit{{"admission.go", `		if wait <= 0 {`, `		if wait <= 1<<62 {`}},
		pkg:    "./internal/conntest", tests: "TestHandshakesAreLeftAlone",
	},
	{
		name:   "proven resumes give way",
		breaks: "A resume that has proven itself counts as a stranger.",
		edits:  []edit{{"authorize.go", `	t.h.advance(admission.Proven)`, `	t.h.advance(admission.Heard)`}},
		pkg:    "./internal/conntest", tests: "TestProvenResumesStay",
	},
	{
		name:   "an address keeps its share",
		breaks: "Handshakes that are over count against their address for ever.",
		edits:  []edit{{"internal/admission/origins.go", `if o.count[from]--; o.count[from] == 0 {`, `if o.count[from] == 0 {`}},
		pkg:    "./internal/conntest", tests: "TestHandshakesPerAddress",
	},
	{
		name:   "unproven sessions stay",
		breaks: "A session whose handshake was never completed is kept.",
		edits:  []edit{{"handshake.go", `offered.finishLocked(end{cause: ErrHandshakeTimeout})`, `_ = offered`}},
		pkg:    "./internal/conntest", tests: "TestLostProof TestLostProofTooLate",
	},
	{
		name:   "refused transports stay",
		breaks: "The transport of a handshake that failed is left open.",
		edits: []edit{{"handshake.go", `	h.sayGoodbye()
`, ``}},
		pkg: "./internal/conntest", tests: "TestHostileHandshakes TestGarbage",
	},
	{
		name:   "established twice",
		breaks: "A session that a resume has completed is given to Accept once more by its late first handshake.",
		edits: []edit{
			{"handshake.go", `if !c.s.provisional || c.s.done {`, `if c.s.done {`},
			{"handshake.go", `if offer != h && offer.conclude() {`, `if offer == nil {`},
		},
		pkg: "./internal/conntest", tests: "TestLateProofOfANewSession",
	},
	{
		name:   "the choice of a suite is hasty",
		breaks: "A client is refused when its first bytes come one by one and could still be of a suite.",
		edits:  []edit{{"handshake.go", `undecided = true`, `undecided = false`}},
		pkg:    "./internal/conntest", tests: "TestSeveralSuites FuzzChoose",
	},
	{
		name:   "the choice of a suite is wrong",
		breaks: "What an SCP client sends first is taken for DH64RC4.",
		edits:  []edit{{"internal/snet/match.go", `ok = c >= minSCP`, `ok = c > 127`}},
		pkg:    "./internal/conntest", tests: "TestSeveralSuites FuzzChoose",
	},
	{
		name:   "one session too many",
		breaks: "MaxSessions lets one more in.",
		edits:  []edit{{"listener.go", `case l.roster.Live() >= l.set.MaxSessions &&`, `case l.roster.Live() > l.set.MaxSessions &&`}},
		pkg:    "./internal/conntest", tests: "TestMaxSessions",
	},
	{
		name:   "who has carried much gives way",
		breaks: "A suspended session that has carried much gives way to a new one.",
		edits:  []edit{{"admission.go", ` && s.recv.Received()+s.send.End() <= littleCarried`, ``}},
		pkg:    "./internal/conntest", tests: "TestWhoDoesNotGiveWay",
	},
	{
		name:   "nobody gives way",
		breaks: "Sessions that were opened and dropped keep everybody out for ResumeTimeout.",
		edits:  []edit{{"close.go", `suspend(c, c.s.evictable())`, `suspend(c, false)`}},
		pkg:    "./internal/conntest", tests: "TestYoungSuspendedSessionsGiveWay",
	},
	{
		name:   "a full listener goes on",
		breaks: "A client that is refused anyway costs the server a key agreement.",
		edits:  []edit{{"internal/noise/server.go", `if full := host.MayOpen(); full != nil {`, `if full := host.MayOpen(); full != nil && false {`}},
		pkg:    "./internal/noise", tests: "TestNoRoom",
	},
	{
		name:   "many handshakes pass MaxSessions",
		breaks: "MaxSessions is looked at when a handshake begins, and not when it is complete.",
		edits: []edit{{"listener.go", `	if err := l.mayOpenLocked(); err != nil {
		return err
	}
	l.evictLocked()`, `	if l.evictable.order.Len() > 0 {
		l.evictLocked()
	}`}},
		pkg: "./internal/conntest", tests: "TestAdmissionIsJudgedLast TestMaxSessions",
	},
	{
		name:   "ended sessions count",
		breaks: "A session that has ended counts against MaxSessions and keeps Shutdown waiting.",
		edits: []edit{{"internal/roster/roster.go", `	r.live--
`, ``}},
		pkg: "./internal/conntest", tests: "TestShutdown TestMaxSessions",
	},
	{
		name:   "provisional sessions stay counted",
		breaks: "A session that was never confirmed is counted as provisional for ever.",
		edits: []edit{{"internal/roster/roster.go", `	if e.Known() && !e.Live() {
		r.provisional--
	}
`, ``}},
		pkg: "./internal/conntest", tests: "TestListenerStats TestListenerStatsOfProvisionalSessions",
	},
	{
		name:   "ended sessions keep their memory in the totals",
		breaks: "What a session held when it ended is counted for ever.",
		edits: []edit{{"settle.go", `	if c.s.link == nil {
		c.server.report(&c.s) // no tick does
	}
`, ``}},
		pkg: "./internal/conntest", tests: "TestListenerStats TestListenerStatsAfterTheEnd",
	},
	{
		name:   "Flush believes the buffer",
		breaks: "Flush returns when the transport has taken the bytes, although the peer could acknowledge them.",
		edits:  []edit{{"delivery.go", `case s.send.Traits.Acks:`, `case s.send.Traits.Acks && s.link == nil:`}},
		pkg:    "./internal/conntest", tests: "TestFlush TestCloseContext",
	},
	{
		name:   "Flush sleeps through a lost session",
		breaks: "Flush is not woken when the session ends.",
		edits:  []edit{{"delivery.go", `		case c.s.done || c.s.send.Fin.Stopped():`, `		case c.s.send.Fin.Stopped():`}},
		pkg:    "./internal/conntest", tests: "TestFlushEnds",
	},
	{
		name:   "Shutdown does not wait",
		breaks: "Shutdown closes the listener although there are sessions.",
		edits:  []edit{{"listener.go", `if l.roster.Live() == 0 {`, `if l.roster.Live() >= 0 {`}},
		pkg:    "./internal/conntest", tests: "TestShutdown",
	},
	{
		name:   "Shutdown lets sessions in",
		breaks: "A handshake that had begun before Shutdown opens a session after it.",
		edits: []edit{{"listener.go", `	switch {
	case l.draining || l.closed:`, `	switch {
	case l.closed:`}},
		pkg: "./internal/conntest", tests: "TestShutdownDuringHandshakes TestAdmissionIsJudgedLast",
	},
	{
		name:   "unaccepted sessions stay",
		breaks: "Sessions that nobody has accepted outlive the listener.",
		edits: []edit{{"listener.go", `		_ = c.Abort()
	}
	for _, c := range suspended {`, `		_ = c
	}
	for _, c := range suspended {`}},
		pkg: "./internal/conntest", tests: "TestListenerCloseEndsUnaccepted",
	},
	{
		name:   "a closed listener keeps sessions",
		breaks: "A session that loses its link after the listener was closed waits for a resume that cannot come.",
		edits: []edit{{"listener.go", `	if l.closed {
		return false
	}
	if l.roster.Suspend(`, `	if l.roster.Suspend(`}},
		pkg: "./internal/conntest", tests: "TestListenerClose",
	},
	{
		name:   "old keys stay",
		breaks: "A session is found under every key that it ever had.",
		edits: []edit{{"internal/roster/roster.go", `	r.dropKeys(e)
	for _, k := range keys {`, `	for _, k := range keys {`}},
		pkg: ".", tests: "TestResumeRace",
	},
	{
		name:   "two sessions with one key",
		breaks: "A new session takes the place of one that has the same key.",
		edits:  []edit{{"internal/roster/roster.go", `if _, taken := r.table[k]; taken {`, `if _, taken := r.table[k]; taken && false {`}},
		pkg:    "./internal/conntest", tests: "TestKeyIsTaken",
	},
	{
		name:   "a temporary error is the end",
		breaks: "The listener stops when the process is out of descriptors for a moment.",
		edits:  []edit{{"admission.go", `if !socket.Temporary(err) {`, `if !socket.Temporary(err) || true {`}},
		pkg:    "./internal/conntest", tests: "TestTemporaryAcceptErrors",
	},
	{
		name:   "a lock is held across an observer",
		breaks: "An observer that blocks stops the session that it observes.",
		edits: []edit{{"event.go", `		n.mu.Unlock()
		n.hand(e)`, `		n.hand(e)
		n.mu.Unlock()`}},
		pkg: "./internal/conntest", tests: "TestHangingObserver",
	},
	{
		name:   "events without number",
		breaks: "Events queue up without bound before an observer that blocks.",
		edits:  []edit{{"event.go", `if n.others >= maxQueuedEvents {`, `if n.others >= maxQueuedEvents && false {`}},
		pkg:    "./internal/conntest", tests: "TestHangingObserver",
	},
	{
		name:   "refusals without number",
		breaks: "Refused handshakes, which anybody can cause, queue up one by one before an observer that blocks.",
		edits:  []edit{{"event.go", `if n.refused >= maxQueuedRefusals {`, `if n.refused >= maxQueuedRefusals && false {`}},
		pkg:    "./internal/conntest", tests: "TestRefusalsAreSummedUp",
	},
	{
		name:   "the backlog keeps the dead",
		breaks: "A session that has ended before Accept is returned by it.",
		edits: []edit{{"listener.go", `	l.backlog.Remove(c)
`, ``}},
		pkg: "./internal/conntest", tests: "TestEndedBeforeAccept",
	},
	{
		name:   "Accept is ahead of the observer",
		breaks: "Accept returns a session that OnEvent has not been told of.",
		edits:  []edit{{"listener.go", `l.backlog.Add(c, l.notify.tells())`, `l.backlog.Add(c, false)`}},
		pkg:    "./internal/conntest", tests: "TestEndedInItsFirstEvent",
	},
	{
		name:   "much before Accept",
		breaks: "A session takes all that its peer sends before anybody has accepted it.",
		edits:  []edit{{"settle.go", `return s.unaccepted && s.recv.Buffered() >= unacceptedBound`, `return false`}},
		pkg:    "./internal/conntest", tests: "TestHoldsLittleBeforeAccept",
	},
}

var endMutants = []mutant{
	{
		name:   "the last word is not said",
		breaks: "A side that has closed ends without a word, and a client comes back for it.",
		edits:  []edit{{"write.go", `k.Reset, l.closedSaid = suite.ResetClosed, true`, `l.closedSaid = true`}},
		pkg:    "./internal/conntest", tests: "TestLastWordTakesNoAttempt",
	},
	{
		name:   "stuck is not told from slow",
		breaks: "An Abort beside a transport that is taking a record says nothing to the peer.",
		edits:  []edit{{"link.go", `l.writing && l.writingTicks >= stuckTicks:`, `l.writing:`}, {"link.go", "\tcase l.writing:\n\t\tl.pendingReset = code", "\tcase false:\n\t\tl.pendingReset = code"}},
		pkg:    "./internal/conntest", tests: "TestAbortBesideTheFlusher",
	},
	{
		name:   "Close does not deliver",
		breaks: "A closed session ends before its end is acknowledged.",
		edits:  []edit{{"internal/stream/fin.go", `return f.acked || f.stopped`, `return f.sent || f.stopped`}},
		pkg:    "./internal/conntest", tests: "TestCloseOnASupersededTransport",
	},
	{
		name:   "Close lingers for ever",
		breaks: "CloseTimeout does not end a session whose peer is away.",
		edits:  []edit{{"close.go", `c.s.ending().timer = time.AfterFunc(c.set.CloseTimeout, c.closeTimedOut)`, `c.s.ending().timer = time.AfterFunc(1<<62, c.closeTimedOut)`}},
		pkg:    "./internal/conntest", tests: "TestCloseTimeoutWithATransport",
	},
	{
		name:   "Close leaves a Read",
		breaks: "A Read that is under way goes on after Close.",
		edits: []edit{{"settle.go", `		return s.readable()
`, `		return !s.recv.Waiting()
`}},
		pkg: "./internal/conntest", tests: "TestReaderWriterAndCloserAtOnce TestEndWhileTheTransportHolds TestCloseDelivers",
	},
	{
		name:   "discarded counts as taken",
		breaks: "What has arrived and nobody has read counts as read after Close.",
		edits: []edit{{"internal/stream/receive.go", `	r.discarded += int64(r.buf.Len())
`, ``}},
		pkg: "./internal/conntest", tests: "TestDiscardedIsNotTaken",
	},
	{
		name:   "a loss looks like an end",
		breaks: "The transport of a lost link is closed cleanly, which the peer takes for the end of the stream.",
		edits:  []edit{{"close.go", `l.abort(nil) // a clean end could`, `l.close() // a clean end could`}},
		pkg:    "./internal/conntest", tests: "TestLostNetworkIsNoCleanEnd",
	},
	{
		name:   "a lost race looks like an end",
		breaks: "A client takes the end of a link that has lost a race for the server's assent to its Close.",
		edits:  []edit{{"resume.go", `return s.epoch == 1 ||`, `return s.epoch > 0 ||`}},
		pkg:    "./internal/conntest", tests: "TestCloseOnASupersededTransport",
	},
	{
		name:   "a finished session keeps its transport",
		breaks: "The transport of a session that has ended is never closed.",
		edits:  []edit{{"conn.go", `			l.close()`, ``}},
		pkg:    ".", tests: "TestEndedSessionsAreForgotten",
	},
	{
		name:   "the last error wins",
		breaks: "Write no longer says that the peer has closed when the session is lost afterwards.",
		edits:  []edit{{"internal/stream/send.go", `if s.err == nil {`, `if err != nil {`}},
		pkg:    "./internal/conntest", tests: "TestPeerClosedSticks",
	},
	{
		name:   "no tombstones",
		breaks: "A client that comes back to a session which has ended is not told how.",
		edits:  []edit{{"listener.go", `if end != nil && !l.closed && c.registration.Known() {`, `if end != nil && l.closed && c.registration.Known() {`}},
		pkg:    "./internal/conntest", tests: "TestNoiseLateResumeOfAClosedSession",
	},
	{
		name:   "tombstones for ever",
		breaks: "What is remembered of ended sessions is never forgotten.",
		edits: []edit{{"internal/roster/ended.go", `			g.tidy()
`, ``}},
		pkg: ".", tests: "TestEndedSessionsAreForgotten",
	},
	{
		name:   "sessions never expire on the server",
		breaks: "A session to which nobody comes back is kept.",
		edits:  []edit{{"sweep.go", `c.expireLocked(ErrExpired)`, `_ = c`}},
		pkg:    "./internal/conntest", tests: "TestServerExpiry",
	},
	{
		name:   "a replay that stopped half-way is the stream's end",
		breaks: "A transport that ends cleanly before all has arrived that the peer had announced is io.EOF in place of a loss.",
		edits:  []edit{{"close.go", `(s.closed || !s.lost.short)`, `true`}},
		pkg:    "./internal/conntest", tests: "TestCleanEndWithinReplay",
	},
	{
		name:   "the beginning of a process's clock is no deadline",
		breaks: "A deadline of exactly that time interrupts nothing.",
		edits: []edit{{"internal/clock/clock.go", `	return 1
}`, `	return 0
}`}},
		pkg: "./internal/clock", tests: "TestOnlyTheZeroTimeIsNoDeadline",
	},
	{
		name:   "a lost session is a time-out",
		breaks: "An application that repeats what has timed out does so for ever.",
		edits:  []edit{{"errors.go", ` || errors.Is(err, os.ErrDeadlineExceeded)`, ` || os.ErrDeadlineExceeded == nil`}},
		pkg:    "./internal/conntest", tests: "TestErrorOfALostSession",
	},
	{
		name:   "a resume that is given up ends cleanly",
		breaks: "A server that has taken it over reads an end of the stream that is none.",
		edits:  []edit{{"resume.go", `go resetTransport(t)`, `closeTransport(t)`}},
		pkg:    "./internal/conntest", tests: "TestAbandonedResumeIsNoCleanEnd",
	},
	{
		name:   "nobody reads for a closed session",
		breaks: "What the peer says to a closed session that lingers is not heard.",
		edits:  []edit{{"settle.go", `return !l.interruptible || s.closed || s.backgroundRead`, `return !l.interruptible || s.backgroundRead`}},
		pkg:    "./internal/conntest", tests: "TestCloseWhileReadDecrypts",
	},
	{
		name:   "nobody reads where a Read cannot",
		breaks: "Nobody reads a transport whose Reads cannot be interrupted.",
		edits:  []edit{{"settle.go", `return !l.interruptible || s.closed || s.backgroundRead`, `return s.closed || s.backgroundRead`}},
		pkg:    "./internal/conntest", tests: "TestOpaqueLinkWhileReadDecrypts",
	},
	{
		name:   "a replayed resume ends a closed session's link",
		breaks: "Whoever has seen a resume destroys what is under way.",
		edits:  []edit{{"handshake.go", "if c.s.link == nil {\n\t\t\tc.finishLocked(end{})", "if true {\n\t\t\tc.finishLocked(end{})"}},
		pkg:    "./internal/conntest", tests: "TestReplayedResumeWhileClosing",
	},
	{
		name:   "a closed server forgets that its client has everything",
		breaks: "The session lingers until CloseTimeout, and then says that bytes were not delivered.",
		edits: []edit{{"handshake.go", `		c.s.send.Received(peer.Received)
		if c.s.link`, `		if c.s.link`}},
		pkg: "./internal/conntest", tests: "TestClosedServerHasBeenAsked",
	},
	{
		name:   "CloseTimeout is Abort to the client",
		breaks: "A client that comes back is told the wrong reason.",
		edits:  []edit{{"close.go", `case cause == nil, errors.Is(cause, ErrExpired):`, `case errors.Is(cause, ErrExpired):`}},
		pkg:    "./internal/conntest", tests: "TestNoiseLateResumeAfterCloseTimeout",
	},
	{
		name:   "the server's end hides what the client has lost",
		breaks: "A client whose last bytes nobody has read hears that all is well.",
		edits:  []edit{{"resume.go", `case e.Code == 0 && c.s.recv.FinReceived() && !c.s.closed:`, `case e.Code == 0 && c.s.recv.FinReceived():`}},
		pkg:    "./internal/conntest", tests: "TestNoiseLateResumeOfAClosedSession",
	},
	{
		name:   "a length takes memory",
		breaks: "A handshake takes as much memory as anybody claims to send.",
		edits:  []edit{{"handshake.go", `min(n, max(streamStep, 4*len(rest)))`, `n`}},
		pkg:    ".", tests: "TestHandshakeMemoryFollowsWhatArrives",
	},
	{
		name:   "a narrow window is overrun",
		breaks: "A first limit below what is assumed without one is ignored.",
		edits:  []edit{{"internal/stream/send.go", `if first && limit > 0 {`, `if false {`}},
		pkg:    "./internal/conntest", tests: "TestNarrowWindow",
	},
	{
		name:   "a handshake that is over offers a session",
		breaks: "A session is kept that no timer ends.",
		edits:  []edit{{"listener.go", "case h.over:\n\t\treturn ErrHandshakeTimeout\n", ""}},
		pkg:    "./internal/conntest", tests: "TestProtocolIsLate",
	},
}

var livenessMutants = []mutant{
	{
		name:   "an idle link is not asked",
		breaks: "A server believes for ever in a link on which nothing comes, if the kernel does.",
		edits:  []edit{{"liveness.go", `p.ping, p.quiet = true, clock.Now()`, `return`}},
		pkg:    ".", tests: "TestIdleLinkIsKnownAlive TestIdleLinkIsPingedSeldom",
	},
	{
		name:   "no ping",
		breaks: "A link on which nothing happens is not asked whether it lives.",
		edits:  []edit{{"liveness.go", `return false, true`, `return false, false`}},
		pkg:    "./internal/conntest", tests: "TestPauseIsNotDeath",
	},
	{
		name:   "no answer to a ping",
		breaks: "A peer that asks gets no answer.",
		edits:  []edit{{"read.go", `s.pongDue = true`, `s.pongDue = false`}},
		pkg:    "./internal/conntest", tests: "TestPauseIsNotDeath",
	},
	{
		name:   "silence is not found",
		breaks: "A link that is silent although an answer is due stays.",
		edits:  []edit{{"liveness.go", `case silence >= p.timeout-2*tickEvery:`, `case silence < 0:`}},
		pkg:    "./internal/conntest", tests: "TestBlackHole",
	},
	{
		name:   "a long buffer is kept",
		breaks: "A session that waits after a large transfer holds 128 KiB more than others.",
		edits: []edit{{"sweep.go", `		f.inputUse = inputUnwanted
`, ``}},
		pkg: "./internal/conntest", tests: "TestIdleAfterMuch",
	},
	{
		name:   "silence is found late",
		breaks: "A silent link counts as lost a few ticks after its time-out.",
		edits:  []edit{{"liveness.go", `p.timeout-2*tickEvery:`, `p.timeout+2*tickEvery:`}},
		pkg:    "./internal/conntest", tests: "TestNoiseLeavesABlackHole",
	},
	{
		name:   "a silent link is not suspected",
		breaks: "The client waits for LivenessTimeout where an answer does not come.",
		edits:  []edit{{"suspicion.go", `case s.asked.Since() >= r.patience(l):`, `case s.asked.Since() >= r.patience(l) && false:`}},
		pkg:    "./internal/conntest", tests: "TestSuspicionFindsASilentLoss",
	},
	{
		name:   "whatever comes is an answer",
		breaks: "A way that is lost in one direction is not suspected as long as the peer sends.",
		edits:  []edit{{"suspicion.go", `return !pingDue && l.trips.asked == 0`, `return true`}},
		pkg:    "./internal/conntest", tests: "TestSuspicionFindsASilentLoss",
	},
	{
		name:   "one transport after the other",
		breaks: "A client whose peer is stopped dials one transport after the other.",
		edits:  []edit{{"suspicion.go", `return a.spare.Add(spareEvery << a.taken).Until()`, `return 0`}},
		pkg:    "./internal/conntest", tests: "TestFewTransportsBesideAStoppedPeer",
	},
	{
		name:   "freed beside an attempt",
		breaks: "What a link acknowledges is freed, although an attempt beside it may begin before that.",
		edits:  []edit{{"internal/stream/send.go", `func (s *Send) Hold() { s.holding = true }`, `func (s *Send) Hold() {}`}},
		pkg:    "./internal/stream", tests: "TestHoldKeepsWhatIsAcknowledged",
	},
	{
		name:   "silence of TCP is not found",
		breaks: "Data that the kernel sends again and again is not seen to be lost.",
		edits:  []edit{{"liveness.go", `if due && info.Retrying() {`, `if due && info.Retrying() && false {`}},
		pkg:    "./internal/conntest", tests: "TestSilentDropUnderData",
	},
	{
		name:   "a paused peer is dead",
		breaks: "A peer that answers probes and does not read loses its link.",
		edits:  []edit{{"liveness.go", `if due && info.Retrying() {`, `if due {`}},
		pkg:    "./internal/conntest", tests: "TestPausedPeerIsNotDead",
	},
	{
		name:   "a kernel without room is a dead peer",
		breaks: "A peer whose kernel drops what it has no room for, and says so, is declared dead.",
		edits:  []edit{{"internal/socket/tcpinfo.go", ` && i.SilentFor > i.SentFor`, ``}},
		pkg:    "./internal/socket", tests: "TestRetrying",
	},
	{
		name:   "an idle client ticks for ever",
		breaks: "A client counts as if it had a listener's totals to report to, and is woken ten times a second.",
		edits: []edit{
			{"settle.go", `!s.client && (s.send.Buffer.Spare(s.send.Traits.Acks) ||`, `(!s.client && s.send.Buffer.Spare(s.send.Traits.Acks) ||`},
			{"listenerstats.go", `		s.reported.read, s.reported.written = uint32(s.recv.Consumed()), uint32(s.send.End())
		return`, `		return`},
		},
		pkg: ".", tests: "TestIdleSessionHasNoTicks",
	},
	{
		name:   "a quiet client does not notice",
		breaks: "A client whose application is quiet does not find that its link is lost.",
		edits:  []edit{{"sweep.go", `case !s.absenceMatters():`, `case c.set != nil:`}},
		pkg:    "./internal/conntest", tests: "TestQuietClient",
	},
	{
		name:   "a replay that never ends",
		breaks: "A peer that does not tell how much it replays is drained for ever.",
		edits:  []edit{{"internal/stream/receive.go", `r.Draining() && r.quiet >= replayQuiet {`, `r.Draining() && false {`}},
		pkg:    "./internal/conntest", tests: "TestDrainEnds",
	},
	{
		name:   "a slow network is forgotten",
		breaks: "Records on a slow network are so long that none arrives in time.",
		edits:  []edit{{"close.go", `c.s.slowNetwork = l.framing != nil &&`, `c.s.slowNetwork = l.framing != nil && l.conn == nil &&`}},
		pkg:    "./internal/conntest", tests: "TestRecordsOverSlowNetwork",
	},
	{
		name:   "a foreign deadline stays",
		breaks: "A deadline that a dialer has left on a transport ends its link again and again.",
		edits:  []edit{{"link.go", `_ = t.SetDeadline(time.Time{})`, `_ = t`}},
		pkg:    "./internal/conntest", tests: "TestDeadlineLeftByDialer",
	},
}
