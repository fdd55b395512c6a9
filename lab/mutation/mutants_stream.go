package main

// Mutants of what carries bytes and counts them.

var bufferMutants = []mutant{
	{
		name:   "lend one byte early",
		breaks: "The replay buffer lends from one byte before the offset.",
		edits:  []edit{{"replay/replay.go", `return c.buf[off-c.base : c.used], c`, `return c.buf[max(0, off-c.base-1):c.used], c`}},
		pkg:    "./replay", tests: "TestModel",
	},
	{
		name:   "free one byte more",
		breaks: "A chunk whose last byte is still needed is dropped.",
		edits:  []edit{{"replay/replay.go", `b.head.end() <= off &&`, `b.head.end() <= off+1 &&`}},
		pkg:    "./replay", tests: "TestModel",
	},
	{
		name:   "lent memory is reused",
		breaks: "Memory that a transport's Write is still reading goes to another session.",
		edits: []edit{{"replay/replay.go", `if c.pins == 0 {
		c.recycle()
		return`, `if c.pins >= 0 {
		c.recycle()
		return`}},
		pkg: "./replay", tests: "TestModel TestFreeUnderReservation TestResetUnderLoanAndReservation",
	},
	{
		name:   "buffer beyond its limit",
		breaks: "The replay buffer takes one byte more than its limit.",
		edits:  []edit{{"replay/replay.go", `int64(b.limit-b.Len())`, `int64(b.limit-b.Len()+1)`}},
		pkg:    "./replay", tests: "TestModel",
	},
	{
		name:   "an extension beyond the limit",
		breaks: "A short message takes the replay buffer beyond its limit.",
		edits:  []edit{{"replay/replay.go", `n <= 0 || n > b.Room() || b.filling`, `n <= 0 || b.filling`}},
		pkg:    "./replay", tests: "TestExtend",
	},
	{
		name:   "an extension that is not lent",
		breaks: "The memory of a short message that the transport is still taking goes to another session.",
		edits: []edit{{"replay/replay.go", `	c.pins++
	b.extend(c, n)`, `	b.extend(c, n)`}},
		pkg: "./replay", tests: "TestModel",
	},
	{
		name:   "a message split between chunks",
		breaks: "A message of a session that sends now and then goes out in two pieces, if the buffer's only chunk ends within it.",
		edits:  []edit{{"replay/replay.go", `n <= len(c.buf)-c.used || n > minChunk`, `n > 0`}},
		pkg:    "./replay", tests: "TestMessagesStayWhole",
	},
	{
		name:   "RC4 forgets an index",
		breaks: "The key stream goes on from a wrong state after each call.",
		edits:  []edit{{"rc4stream/rc4stream.go", `<<8 | uint64(j)`, `<<8 | uint64(j&0)`}},
		pkg:    "./rc4stream", tests: "TestAgainstCryptoRC4",
	},
	{
		name:   "RC4 loads too early",
		breaks: "An element that the same step has changed is used as it was before, once in 256 bytes.",
		edits:  []edit{{"rc4stream/rc4stream.go", `if j == i {`, `if j == i && false {`}},
		pkg:    "./rc4stream", tests: "TestAgainstCryptoRC4",
	},
	{
		name:   "p − 1 as a public key",
		breaks: "A public key is taken with which the secret is 1 or p − 1.",
		edits:  []edit{{"dh64/dh64.go", `peer >= Prime-1 {`, `peer >= Prime {`}},
		pkg:    "./dh64", tests: "TestDegenerateKeys",
	},
	{
		name:   "1 as a public key",
		breaks: "A public key is taken with which the secret is 1.",
		edits:  []edit{{"dh64/dh64.go", `if peer <= 1 ||`, `if peer < 1 ||`}},
		pkg:    "./dh64", tests: "TestDegenerateKeys",
	},
}

var readMutants = []mutant{
	{
		name:   "doubled bytes are kept",
		breaks: "Bytes that had come over the old link are taken again when they come over the new one.",
		edits:  []edit{{"internal/stream/receive.go", `skip = int(min(int64(n), r.received-r.pos))`, `skip = 0`}},
		pkg:    "./internal/conntest", tests: "TestOldTransportDelivers TestOldTransportDeliversDuringResume",
	},
	{
		name:   "one doubled byte is kept",
		breaks: "One byte less is skipped than had come over the old link.",
		edits:  []edit{{"internal/stream/receive.go", `skip = int(min(int64(n), r.received-r.pos))`, `skip = int(max(0, min(int64(n), r.received-r.pos)-1))`}},
		pkg:    "./internal/conntest", tests: "TestOldTransportDelivers TestOldTransportDeliversDuringResume",
	},
	{
		name:   "doubled bytes are decrypted",
		breaks: "The key stream goes on over bytes that are skipped.",
		edits: []edit{{"read.go", `	fresh := p[skip:n]`, `	c.session().Decrypt(p[:skip], p[:skip])
	fresh := p[skip:n]`}},
		pkg: "./internal/conntest", tests: "TestOldTransportDelivers TestOldTransportDeliversDuringResume",
	},
	{
		name:   "doubled records are kept",
		breaks: "The skipped part of a record is delivered in place of its end.",
		edits:  []edit{{"read.go", `data = rec.Data[:copy(rec.Data, data)]`, `data = rec.Data[:len(data)]`}},
		pkg:    "./internal/conntest", tests: "TestOldTransportDeliversToRecords TestEarlyData",
	},
	{
		name:   "late bytes count",
		breaks: "What a lost link still brings is taken although the server was told a count without it.",
		edits:  []edit{{"read.go", `if n == 0 || s.done || s.link != l && (s.link != nil || s.lost.link != l) {`, `if n == 0 || s.done {`}},
		pkg:    "./internal/conntest", tests: "TestLostTransportBringsMoreThanWasTold",
	},
	{
		name:   "counts move after they were told",
		breaks: "A client goes on counting what a lost link brings after it has told its count.",
		edits: []edit{{"resume.go", `	v.c.s.lost.link = nil
	return suite.Offsets{`, `	return suite.Offsets{`}},
		pkg: "./internal/conntest", tests: "TestLostTransportBringsMoreThanWasTold",
	},
	{
		name:   "late records count",
		breaks: "A record of a lost link that comes beside a new link is obeyed.",
		edits: []edit{{"read.go", `	if s.link != l {
		return 0, nil
	}
	l.heard = true`, `	l.heard = true`}},
		pkg: ".", tests: "TestRecordOfAnOlderLink",
	},
	{
		name:   "superseded transport keeps the Read",
		breaks: "A Read stays in a transport that a new one has superseded until its Close is through.",
		edits: []edit{{"resume.go", `		if c.s.receiver != roleFree {
			old.setReadDeadline(clock.LongAgo)`, `		if false {
			old.setReadDeadline(clock.LongAgo)`}},
		pkg: "./internal/conntest", tests: "TestSupersededTransportLetsTheReadGo",
	},
	{
		name:   "who begins to wait does not count",
		breaks: "The session is settled before a Read that waits is counted, so that the standby goes on reading for it.",
		edits: []edit{
			{"settle.go", "\t(*q).n++ // what the session does by itself depends on who waits\n", ""},
			{"settle.go", `		(*q).wait(deadline)
`, `		(*q).n++
		(*q).wait(deadline)
		(*q).n--
`},
			{"settle.go", `if (*q).n--; (*q).n == 0`, `if (*q).n == 0`},
		},
		pkg: "./internal/conntest", tests: "TestReadTakesTheTransportOver",
	},
	{
		name:   "a deadline is a lost link",
		breaks: "A Read that times out costs the session its transport.",
		edits:  []edit{{"read.go", `if l.interruptible && errors.Is(err, os.ErrDeadlineExceeded) {`, `if errors.Is(err, io.ErrClosedPipe) {`}},
		pkg:    "./internal/conntest", tests: "TestDeadlines",
	},
	{
		name:   "a transport's deadline is not doubted",
		breaks: "Where a clock was set back, a Read asks the transport again and again.",
		edits:  []edit{{"read.go", "\t\tl.readDeadline = staleDeadline\n", ""}},
		pkg:    "./internal/conntest", tests: "TestTransportTakesDeadlineForPassed",
	},
	{
		name:   "readers are not woken",
		breaks: "A Read is not told that a goroutine of the library has put data into the buffer.",
		edits:  []edit{{"settle.go", `(s.readable() || s.receiver == roleFree && s.link`, `(s.receiver == roleFree && s.link`}},
		pkg:    "./internal/conntest", tests: "TestReadOfOpaqueTransportResumes TestOddTransports",
	},
	{
		name:   "end before the data",
		breaks: "Read returns io.EOF although data waits in the buffer.",
		edits:  []edit{{"read.go", `case c.s.recv.Buffered() > 0:`, `case c.s.recv.Buffered() > 0 && !c.s.recv.FinReceived():`}},
		pkg:    "./internal/conntest", tests: "TestCloseDelivers TestCloseWrite",
	},
	{
		name:   "io.EOF is hidden",
		breaks: "Read returns an error where the peer has ended its stream.",
		edits:  []edit{{"read.go", `return nil, 0, io.EOF //`, `return nil, 0, ErrPeerClosed //`}},
		pkg:    "./internal/conntest", tests: "TestCloseWrite",
	},
	{
		name:   "io.EOF shows through",
		breaks: "The error of a lost session is io.EOF below, which reads as a complete stream.",
		edits:  []edit{{"errors.go", `errors.Is(err, io.EOF) || `, `err == io.EOF && false || `}},
		pkg:    "./internal/conntest", tests: "TestALostSessionIsNoEOF",
	},
	{
		name:   "damage ends the session",
		breaks: "A record that was changed on the path ends the session and not only its link.",
		edits:  []edit{{"read.go", `c.linkLostLocked(l, err) // a damaged path must not end a session`, `c.finishLocked(failure(err))`}},
		pkg:    "./internal/conntest", tests: "TestDamageEndsTheLinkOnly",
	},
	{
		name:   "end before what has arrived",
		breaks: "The end of the peer's stream is believed at an offset that has been passed.",
		edits:  []edit{{"internal/stream/receive.go", `if r.pos != r.received {`, `if r.pos != r.received && false {`}},
		pkg:    "./internal/conntest", tests: "TestEndBeforeWhatHasArrived",
	},
	{
		name:   "Reset is ignored",
		breaks: "The peer's Abort is not heard.",
		edits:  []edit{{"read.go", `if k.Reset != 0 && k.Reset != suite.ResetClosed {`, `if k.Reset != 0 && false {`}},
		pkg:    "./internal/conntest", tests: "TestAbortIsTyped",
	},
	{
		name:   "stop is ignored",
		breaks: "Writes go on although the peer's application reads no more.",
		edits: []edit{{"read.go", `		s.send.Stop(ErrPeerClosed)
`, ``}},
		pkg: "./internal/conntest", tests: "TestClosesMeet TestCloseWriteAfterThePeerClosed",
	},
	{
		name:   "replay is not drained",
		breaks: "Nobody reads the peer's replay before the application does, so that two full buffers wait for each other.",
		edits:  []edit{{"internal/stream/receive.go", `if r.drainTo = peerSent; r.replayUnknown {`, `if r.drainTo = 0; r.replayUnknown {`}},
		pkg:    "./internal/conntest", tests: "TestFullBuffersMeetUnbuffered TestBothBuffersFull",
	},
}

var writeMutants = []mutant{
	{
		name:   "a short write counts as whole",
		breaks: "What a transport has not taken of a Write is never sent.",
		edits:  []edit{{"write.go", `n, err = checkWrite(n, size, err)`, `n = size`}},
		pkg:    "./internal/conntest", tests: "TestOddTransports",
	},
	{
		name:   "the rest of a record is dropped",
		breaks: "A record that a transport has taken a part of is not completed.",
		edits:  []edit{{"write.go", `if l.wirePos += int32(n); int(l.wirePos) == len(*l.wire) {`, `if l.wirePos += int32(n); n > 0 || int(l.wirePos) == len(*l.wire) {`}},
		pkg:    "./internal/conntest", tests: "TestOddTransports",
	},
	{
		name:   "leftovers are not sent",
		breaks: "Nobody sends what a Write has left to others when its own bytes were out.",
		edits:  []edit{{"settle.go", `if c.s.sender == roleFree && c.s.mustSend() && !c.s.writeSends(l) {`, `if c.s.sender == roleFree && c.s.mustSend() && false {`}},
		pkg:    "./internal/conntest", tests: "TestWriteWaitsForNothingButRoom",
	},
	{
		name:   "a short Write waits for its peer",
		breaks: "A Write that finds nothing out of the ordinary holds whoever calls it for as long as the peer does not read.",
		edits:  []edit{{"write.go", `k, err := l.writer.WriteNonblock(out)`, `k, err := l.conn.Write(out)`}},
		pkg:    "./internal/conntest", tests: "TestWriteWaitsForNothingButRoom",
	},
	{
		name:   "a Write with something before it waits for its peer",
		breaks: "A Write that finds records which are not sent holds whoever calls it for as long as the peer does not read.",
		edits:  []edit{{"write.go", `n, err := l.writer.WriteNonblock(l.seal(next.loan.Bytes(), next.control))`, `n, err := l.conn.Write(l.seal(next.loan.Bytes(), next.control))`}},
		pkg:    "./internal/conntest", tests: "TestWriteWaitsForNothingButRoom",
	},
	{
		name:   "a long Write waits for its peer",
		breaks: "A long Write holds whoever calls it while the transport takes nothing, although there is room.",
		edits:  []edit{{"write.go", `l.writer.WriteNonblock(l.seal(`, `l.conn.Write(l.seal(`}},
		pkg:    "./internal/conntest", tests: "TestWriteWaitsForNothingButRoom",
	},
	{
		name:   "the fast path forgets who wrote beside it",
		breaks: "What is written while a short Write is in the transport counts as sent and is lost.",
		edits:  []edit{{"fastpath.go", `	s.fastWrite = false // the sender has something to do`, ``}},
		pkg:    "./internal/conntest", tests: "TestMeddlingWithAShortWrite",
	},
	{
		name:   "a Write goes below a wrapper",
		breaks: "The bytes of a Write go past the Write of a type that embeds a TCP connection.",
		edits: []edit{{"transport.go", `	case NonblockingWriter:`, `	case interface{ SyscallConn() (syscall.RawConn, error) }:
		return socket.NewWriter(t.(net.Conn), t)
	case NonblockingWriter:`}, {"transport.go", `	"sync/atomic"
`, `	"sync/atomic"
	"syscall"
`}},
		pkg: "./internal/conntest", tests: "TestWrapperIsNotBypassed",
	},
	{
		name:   "TryWrite takes a part",
		breaks: "TryWrite takes what there is room for, and says that it took all.",
		edits: []edit{
			{"write.go", `!s.send.Appending() && n <= s.send.Room()`, `!s.send.Appending() && s.send.Room() > 0`},
			{"write.go", `	for n := 0; n < len(p); {`, `	p = p[:min(len(p), c.s.send.Room())]
	for n := 0; n < len(p); {`},
		},
		pkg: "./internal/conntest", tests: "TestTryWriteUntilFull",
	},
	{
		name:   "TryWrite beside a Write",
		breaks: "TryWrite mixes its bytes with those of a Write that is being encrypted.",
		edits:  []edit{{"write.go", `!s.send.Appending() && n <= s.send.Room()`, `n <= s.send.Room()`}},
		pkg:    ".", tests: "TestTryWriteBesideWrite",
	},
	{
		name:   "writers are not woken",
		breaks: "A Write that waits for room is not told that there is some.",
		edits:  []edit{{"settle.go", `!s.send.Appending() || s.wantsRoom && s.send.Room() > 0`, `!s.send.Appending()`}},
		pkg:    "./internal/conntest", tests: "TestHalfTheLimitIsFreeForASuspension",
	},
	{
		name:   "waiting ignores deadlines",
		breaks: "A Read or Write that waits without a transport is not woken when its deadline passes.",
		edits:  []edit{{"settle.go", `if deadline != clock.None {`, `if deadline != clock.None && false {`}},
		pkg:    "./internal/conntest", tests: "TestWriteBeyondLimitWhileSuspended TestDeadlines",
	},
	{
		name:   "a new deadline wakes nobody",
		breaks: "A Read that waits goes by the deadline that it began with.",
		edits: []edit{{"conn.go", `	c.s.readers.wake()
	return nil
}

// SetWriteDeadline`, `	return nil
}

// SetWriteDeadline`}},
		pkg: "./internal/conntest", tests: "TestDeadlines",
	},
	{
		name:   "anything may wait for a transport",
		breaks: "A connected peer that does not read lets the whole buffer fill, so that nothing is free for a suspension.",
		edits:  []edit{{"internal/stream/send.go", `return min(MaxPending, limit/4)`, `return limit`}},
		pkg:    "./internal/conntest", tests: "TestWriteToStalledPeer TestHalfTheLimitIsFreeForASuspension",
	},
	{
		name:   "history is dropped",
		breaks: "What was handed to a transport is forgotten at once on a wire without acknowledgements.",
		edits:  []edit{{"internal/stream/send.go", `s.sent - int64(s.Buffer.history)`, `s.sent`}},
		pkg:    "./internal/conntest", tests: "TestReplayedBytes",
	},
	{
		name:   "the end overtakes a Write",
		breaks: "The end of the stream is sent while a Write is still adding to it.",
		edits:  []edit{{"internal/stream/send.go", `s.Fin.queued && !s.appending && !s.Fin.acked`, `s.Fin.queued && !s.Fin.acked`}},
		pkg:    "./internal/conntest", tests: "TestCloseDuringWrite",
	},
	{
		name:   "a little more than 64 KiB to a call",
		breaks: "Where a segment takes 64 KiB, the kernel sends what is over by itself, at a third of the speed.",
		edits:  []edit{{"write.go", `batchSize = 52 << 10`, `batchSize = 64 << 10`}},
		pkg:    "./internal/conntest", tests: "TestTransportIsHandedPieces",
	},
	{
		name:   "what is not encrypted is sent",
		breaks: "The sender hands over the bytes that short Writes have left, beyond what it has encrypted.",
		edits:  []edit{{"internal/stream/send.go", `return min(s.sendEnd(), s.encrypted) - s.sent`, `return s.sendEnd() - s.sent`}},
		pkg:    ".", tests: "TestLongWriteBehindShortOnes",
	},
	{
		name:   "a Write encrypts out of turn",
		breaks: "A long Write encrypts its bytes while those of short ones before it are still to be encrypted.",
		edits:  []edit{{"internal/stream/send.go", `if s.encrypted < s.Buffer.buf.End() {`, `if s.encrypted > s.Buffer.buf.End() {`}},
		pkg:    ".", tests: "TestLongWriteBehindShortOnes TestLeftCipherOutlivesTransport",
	},
	{
		name:   "a peer may claim what was never sent",
		breaks: "A peer that says it has received bytes which are still to be encrypted is believed, and they go out as they are.",
		edits:  []edit{{"internal/stream/send.go", `received > s.encrypted: //`, `received > s.Buffer.buf.End(): //`}},
		pkg:    ".", tests: "TestPeerClaimsWhatIsLeft",
	},
	{
		name:   "the fast path overtakes a Write",
		breaks: "A short Write goes ahead although another is still adding to the buffer, and lands in its midst.",
		edits:  []edit{{"internal/stream/send.go", `return s.linked && !s.appending && !s.Fin.queued`, `return s.linked && !s.Fin.queued`}},
		pkg:    ".", tests: "TestShortWriteBehindOneThatWaitedForRoom",
	},
	{
		name:   "the fast path believes a short write",
		breaks: "A Write of the transport that took a part counts as whole.",
		edits:  []edit{{"write.go", `if err == nil && k == len(out) && c.s.fastWrite`, `if err == nil && c.s.fastWrite`}},
		pkg:    "./internal/conntest", tests: "TestRequestsAndAnswers TestOddTransports TestBadTransports",
	},
	{
		name:   "the fast path after the end",
		breaks: "A short Write is taken after Close.",
		edits: []edit{
			{"internal/stream/send.go", `!s.appending && !s.Fin.queued && s.err`, `!s.appending && s.err`},
			{"fastpath.go", `s.ticking && !s.closed && s.writeDeadline == clock.None &&`, `s.ticking && s.writeDeadline == clock.None &&`},
		},
		pkg: "./internal/conntest", tests: "TestShortWriteAfterClose",
	},
	{
		name:   "a Write beside the sender overtakes one",
		breaks: "A short Write goes ahead beside somebody who is sending, although another is still adding to the buffer.",
		edits:  []edit{{"fastpath.go", `if s.link == nil || s.send.Appending() || s.send.Fin.Queued()`, `if s.link == nil || s.send.Fin.Queued()`}},
		pkg:    "./internal/conntest", tests: "TestShortWriteBehindLongOneBesideSender",
	},
	{
		name:   "a Write beside the sender takes more than there is room for",
		breaks: "A short Write that the buffer has no room for loses its bytes, or passes the bound of what waits.",
		edits:  []edit{{"fastpath.go", `len(p) == 0 || len(p) > stream.EncryptShort || len(p) > s.send.Room() {`, `len(p) == 0 || len(p) > stream.EncryptShort {`}},
		pkg:    "./internal/conntest", tests: "TestShortWritesBesideSenderUntilFull",
	},
	{
		name:   "a Write beside the sender after the end",
		breaks: "A short Write is taken after Close while what went before it is still being sent.",
		edits:  []edit{{"fastpath.go", `s.send.Appending() || s.send.Fin.Queued() || s.closed || s.send.Err() != nil ||`, `s.send.Appending() || s.send.Err() != nil ||`}},
		pkg:    ".", tests: "TestShortWriteBesideSenderAfterClose",
	},
	{
		name:   "a record at once beyond the peer's limit",
		breaks: "A short Write is sent although the peer has no room for it.",
		edits:  []edit{{"fastpath.go", `if l.framing != nil && int64(len(p)) > s.send.Allowed() {`, `if false {`}},
		pkg:    ".", tests: "TestShortWritesUpToThePeersLimit",
	},
	{
		name:   "a Read keeps its acknowledgement",
		breaks: "Where all processors are busy an acknowledgement goes out when the reader waits.",
		edits: []edit{{"read.go", `	if yields {
		runtime.Gosched()`, `	if !yields {
		runtime.Gosched()`}},
		pkg: ".", tests: "TestReadLetsItsAcknowledgementOut",
	},
	{
		name:   "what a Write has copied is not sent",
		breaks: "On a suite without a cipher of its own nobody sends what short Writes have left to the sender.",
		edits: []edit{{"internal/stream/send.go", `	if s.Traits.Copies {
		s.encrypted = s.Buffer.buf.End()
	}
`, ``}},
		pkg: ".", tests: "TestSenderEnciphersWhatWritesLeave",
	},
	{
		name:   "a loan of sealed data is kept",
		breaks: "What has been sealed and sent stays in memory for ever.",
		edits: []edit{{"write.go", `	s.send.Return(loan)
	if l.framing != nil {
`, `	if l.framing == nil {
		s.send.Return(loan)
	}
	if l.framing != nil {
`}},
		pkg: "./internal/conntest", tests: "TestAbortWhileSealing",
	},
}

var ackMutants = []mutant{
	{
		name:   "acknowledged beyond sent",
		breaks: "A peer may acknowledge what was never sent.",
		edits:  []edit{{"internal/stream/send.go", `if k.Received < 0 || k.Received > s.highest ||`, `if k.Received < 0 ||`}},
		pkg:    "./internal/conntest", tests: "TestViolations",
	},
	{
		name:   "taken beyond received",
		breaks: "A peer's application may have taken more than the peer has received.",
		edits:  []edit{{"internal/stream/send.go", `|| k.Consumed > k.Received ||`, `||`}},
		pkg:    "./internal/conntest", tests: "TestViolations",
	},
	{
		name:   "an end that was never sent",
		breaks: "A peer may acknowledge an end that it was not given.",
		edits:  []edit{{"internal/stream/send.go", `|| k.FinReceived && !s.Fin.sent {`, `{`}},
		pkg:    "./internal/conntest", tests: "TestViolations",
	},
	{
		name:   "received counts as taken",
		breaks: "What lies in the buffer is reported as taken by the application.",
		edits:  []edit{{"internal/stream/receive.go", `k.Consumed = r.Consumed()`, `k.Consumed = r.received`}},
		pkg:    "./internal/conntest", tests: "TestAcked",
	},
	{
		name:   "WaitAcked is early",
		breaks: "WaitAcked returns when the peer has received the bytes, and not when its application has taken them.",
		edits:  []edit{{"delivery.go", `case c.s.send.Consumed() >= offset:`, `case c.s.send.Acked() >= offset:`}},
		pkg:    "./internal/conntest", tests: "TestAcked",
	},
	{
		name:   "WaitAcked is not woken",
		breaks: "Nobody tells WaitAcked that an acknowledgement has come.",
		edits:  []edit{{"settle.go", `progress{s.epoch, s.send.Acked(), s.send.Consumed(), `, `progress{s.epoch, 0, 0, `}},
		pkg:    "./internal/conntest", tests: "TestAcked",
	},
	{
		name:   "the sender ignores the window",
		breaks: "More is sent than the peer has room for.",
		edits:  []edit{{"internal/stream/send.go", `return min(s.Buffer.buf.End(), s.peerLimit)`, `return s.Buffer.buf.End()`}},
		pkg:    "./internal/conntest", tests: "TestWindow",
	},
	{
		name:   "the receiver ignores the window",
		breaks: "A peer may send more than it was allowed, and so fill the memory.",
		edits:  []edit{{"internal/stream/receive.go", `if r.finReceived || r.received > r.advertised {`, `if r.finReceived {`}},
		pkg:    "./internal/conntest", tests: "TestViolations",
	},
	{
		name:   "data behind the end",
		breaks: "Data is taken that comes behind the end of the stream.",
		edits:  []edit{{"internal/stream/receive.go", `if r.finReceived || r.received > r.advertised {`, `if r.received > r.advertised {`}},
		pkg:    "./internal/conntest", tests: "TestViolations",
	},
	{
		name:   "the window does not open",
		breaks: "The peer is not told that the application has made room.",
		edits:  []edit{{"internal/stream/receive.go", `if limit := r.window(); limit-`, `if limit := r.advertised; limit-`}},
		pkg:    "./internal/conntest", tests: "TestBothBuffersFull",
	},
	{
		name:   "pending acknowledgements stay",
		breaks: "An acknowledgement that no record takes along is never sent.",
		edits: []edit{{"internal/stream/receive.go", `	r.ackUrgent = r.ackUrgent || r.ackLate
`, ``}},
		pkg: "./internal/conntest", tests: "TestAcknowledgementsFreeTheBuffer",
	},
	{
		name:   "freed beyond the link",
		breaks: "An acknowledgement frees bytes that the new link has still to send over.",
		edits:  []edit{{"internal/stream/send.go", `offset = min(offset, s.sent)`, `offset += 0`}},
		pkg:    "./internal/conntest", tests: "TestOldTransportDeliversToRecords TestEarlyData",
	},
}
