package main

// Mutants of the protocols.

var snetMutants = []mutant{
	{
		name:   "DH64RC4: a request without its MAC",
		breaks: "Anybody who knows an id gets a session's counts.",
		edits:  []edit{{"internal/snet/messages.go", `return k.verify(body[:claimSize], body[claimSize:])`, `return len(body) > 0`}},
		pkg:    "./internal/snet", tests: "TestFlippedResume TestRefusals",
	},
	{
		name:   "DH64RC4: a resume without its proof",
		breaks: "Whoever sends a recorded request again takes the session.",
		edits:  []edit{{"internal/snet/server.go", `if !s.key.verify(c[:], proof) {`, `if !s.key.verify(c[:], proof) && false {`}},
		pkg:    "./internal/snet", tests: "TestReplayedRequest TestFlippedResume",
	},
	{
		name:   "DH64RC4: always the same challenge",
		breaks: "A recorded proof is as good as a new one.",
		edits:  []edit{{"internal/snet/aside.go", `order.PutUint64(c[:], p.newNumber())`, `order.PutUint64(c[:], 1)`}},
		pkg:    "./internal/conntest", tests: "TestReplayedProof",
	},
	{
		name:   "DH64RC4: one direction's key stream",
		breaks: "The server does not skip the key stream that has hidden the id.",
		edits:  []edit{{"internal/snet/server.go", `mask := idMask(session.ciphers.Encrypt)`, `mask := idMask(session.ciphers.Decrypt)`}},
		pkg:    "./internal/snet", tests: "TestOpenAndResume",
	},
	{
		name:   "DH64RC4: a count beyond 2⁶³",
		breaks: "A count that no stream can have becomes a negative one.",
		edits:  []edit{{"internal/snet/messages.go", `if sent > math.MaxInt64 || received > math.MaxInt64 {`, `if sent > math.MaxInt64 {`}},
		pkg:    "./internal/snet", tests: "TestLargestCount TestRefusals",
	},
	{
		name:   "DH64RC4: zero as a random number",
		breaks: "An answer can look like the refusal, which is all zeros.",
		edits: []edit{{"internal/snet/aside.go", `for id == 0 {`, `for id == 0 {
		return p.newNumber()`}},
		pkg: "./internal/snet", tests: "TestZeroIsNeverDrawn",
	},
	{
		name:   "DH64RC4: an answer with the true count",
		breaks: "The clients that are in use double data, or wait for ever, when they are cut within a replay.",
		edits:  []edit{{"internal/snet/server.go", `sent:      request.received,`, `sent:      uint64(claim.Sent),`}},
		pkg:    "./internal/conntest", tests: "TestFieldClientsOfSnet",
	},
	{
		name:   "DH64RC4: an overwritten request is unknown",
		breaks: "The C# client loses its session when a resume fails after the answer.",
		edits:  []edit{{"internal/snet/aside.go", `if past == nil {`, `if past != nil {`}},
		pkg:    "./internal/snet", tests: "TestOverwrittenRequest",
	},
	{
		name:   "DH64RC4: a stranger's counts are final",
		breaks: "The login page of a hotel's network ends the session.",
		edits:  []edit{{"internal/snet/client.go", `case errors.Is(err, suite.ErrCounters):`, `case errors.Is(err, suite.ErrCounters) && false:`}},
		pkg:    "./internal/conntest", tests: "TestStrangersAnswer",
	},
}

var scpMutants = []mutant{
	{
		name:   "SCP: no moment for the server",
		breaks: "A client resumes before a deployed server has settled the last link, which forks the session.",
		edits:  []edit{{"resume.go", `return r.touched.Add(r.minInterval).Until()`, `return 0`}},
		pkg:    "./internal/conntest", tests: "TestFieldServerOfSCP",
	},
	{
		name:   "SCP: a request without its code",
		breaks: "Anybody who knows an id takes the session.",
		edits:  []edit{{"internal/scp/server.go", `subtle.ConstantTimeCompare(code[:], request.mac[:]) != 1 {`, `subtle.ConstantTimeCompare(code[:], request.mac[:]) > 1 {`}},
		pkg:    "./internal/scp", tests: "TestBitFlips TestVerdicts",
	},
	{
		name:   "SCP: an index is used again",
		breaks: "A recorded request takes the session.",
		edits:  []edit{{"internal/scp/session.go", `if index <= used {`, `if index < used {`}},
		pkg:    "./internal/scp", tests: "TestIndex TestIndexUsed",
	},
	{
		name:   "SCP: counts that do not wrap",
		breaks: "The counts of the wire, which are mod 2³², are taken for whole ones.",
		edits:  []edit{{"internal/scp/session.go", `missing := uint32(sent) - received`, `missing := sent - int64(received)`}},
		pkg:    "./internal/scp", tests: "TestPeerOffsets",
	},
	{
		name:   "SCP: received beyond sent",
		breaks: "A count that is greater than what was sent becomes a negative one.",
		edits:  []edit{{"internal/scp/session.go", `return peer, peer.Received >= 0`, `return peer, true`}},
		pkg:    "./internal/scp", tests: "TestPeerOffsets",
	},
	{
		name:   "SCP: a code that leaves out the count",
		breaks: "The count of a resume can be changed on the way.",
		edits: []edit{{"internal/scp/messages.go", `return mac(hash(m.appendSigned(nil)), little(secret))`, `m.received = 0
	return mac(hash(m.appendSigned(nil)), little(secret))`}},
		pkg: "./internal/scp", tests: "TestBitFlips",
	},
}

var noiseMutants = []mutant{
	{
		name:   "any instance is believed",
		breaks: "A server with the same key that has not made a session ends it by not knowing it.",
		edits:  []edit{{"internal/noise/client.go", `case answer.instance == s.instance:`, `case answer.instance == s.instance || true:`}},
		pkg:    "./internal/noise", tests: "TestOnlyTheInstanceThatMadeASessionIsFinal",
	},
	{
		name:   "a replaced secret stays",
		breaks: "What a server keeps no longer stays in its memory.",
		edits:  []edit{{"internal/noise/session.go", `			other.erase()`, `			_ = other`}},
		pkg:    "./internal/noise", tests: "TestReplacedSecretsAreErased",
	},
	{
		name:   "Noise: a nonce that does not advance",
		breaks: "All records of a link are sealed with the same nonce, on both sides.",
		edits:  []edit{{"internal/noise/codec.go", `if d.n++; d.n == uint64(d.limit) {`, `if d.n == uint64(d.limit) {`}},
		pkg:    "./internal/conntest", tests: "TestNoiseNoncesAreFresh",
	},
	{
		name:   "Noise: no rekey",
		breaks: "A key seals more records than it should, on both sides.",
		edits:  []edit{{"internal/noise/codec.go", `if d.n++; d.n == uint64(d.limit) {`, `if d.n++; d.n == 0 {`}},
		pkg:    "./internal/noise", tests: "TestRekey",
	},
	{
		name:   "Noise: the header is not bound",
		breaks: "The kind and the length of a record can be changed on the way.",
		edits: []edit{
			{"internal/noise/codec.go", `data, dst[start:body])`, `data, nil)`},
			{"internal/noise/codec.go", `dst[body:], dst[start:body])`, `dst[body:], nil)`},
			{"internal/noise/codec.go", `sealed, header)`, `sealed, nil)`},
		},
		pkg: "./internal/noise", tests: "TestTamperedRecords",
	},
	{
		name:   "Noise: one key for both directions",
		breaks: "Records of the two directions have the same key and nonces.",
		edits:  []edit{{"internal/noise/codec.go", `in: newDirection(c, k.toServer)`, `in: newDirection(c, k.toClient)`}},
		pkg:    "./internal/conntest", tests: "TestNoiseNoncesAreFresh",
	},
	{
		name:   "Noise: unknown flags",
		breaks: "A record with a flag that nobody knows is taken.",
		edits:  []edit{{"internal/noise/codec.go", `if f&^flagsKnown != 0 {`, `if f&^flagsKnown != 0 && false {`}},
		pkg:    "./internal/noise", tests: "TestMalformedRecords",
	},
	{
		name:   "Noise: an attempt number twice",
		breaks: "A recorded resume is answered again.",
		edits: []edit{
			{
				"internal/noise/session.go", `	case r.attempt <= k.highest:
		return secret{}, hintStale`, `	case r.attempt < k.highest:
		return secret{}, hintStale`,
			},
			{
				"internal/noise/session.go", `	case r.attempt <= k.highest:
		return hintStale
	}
	k.highest`, `	case r.attempt < k.highest:
		return hintStale
	}
	k.highest`,
			},
		},
		pkg: "./internal/noise", tests: "TestReplayedResume",
	},
	{
		name:   "Noise: the keys of a link stay",
		breaks: "Who reads the memory of a process decrypts what its dead links have carried.",
		edits:  []edit{{"internal/noise/codec.go", `	eraseWithLink(l)`, ``}},
		pkg:    "./internal/conntest", tests: "TestKeysGoWithTheirLink",
	},
	{
		name:   "Noise: the last secret of a session stays",
		breaks: "What a tombstone has answered with is in memory when it is gone.",
		edits:  []edit{{"internal/roster/ended.go", `	Erase(t.session)`, ``}},
		pkg:    "./internal/roster", tests: "TestEndedAreErased",
	},
	{
		name:   "Noise: an ended session answers under no secret",
		breaks: "Whoever knows a resume id opens a request with a secret of zeros.",
		edits: []edit{{"internal/noise/session.go", `	if s.erased {
		return secret{}, hintUnknownSession
	}
`, ``}},
		pkg: "./internal/noise", tests: "TestErasedSessions",
	},
	{
		name:   "Noise: a client resumes under no secret",
		breaks: "An attempt that begins as its session ends sends early data under a secret of zeros.",
		edits:  []edit{{"internal/noise/client.go", `	if s.erased {`, `	if s.erased && false {`}},
		pkg:    "./internal/noise", tests: "TestErasedSessions",
	},
	{
		name:   "Noise: an old secret is kept",
		breaks: "The server goes on taking a resume secret that was replaced, so that a stolen one is good for ever.",
		edits:  []edit{{"internal/noise/session.go", `s.current, s.unconfirmed = k, nil`, `s.current, s.unconfirmed = k, []*kept{s.current}`}},
		pkg:    "./internal/noise", tests: "TestSessionOverManyLinks",
	},
	{
		name:   "Noise: the same secret again",
		breaks: "A client resumes under the secret that it had before, which is never replaced.",
		edits: []edit{
			{"internal/noise/client.go", `s.resumption, s.name, s.attempt, s.node = k.resumption, k.id, 0, node`, `s.node = node`},
			{"internal/noise/session.go", `s.current, s.unconfirmed = k, nil`, `s.unconfirmed = nil`},
		},
		pkg: "./internal/noise", tests: "TestUnlinkable TestStolenSecret",
	},
	{
		name:   "Noise: a public key of low order",
		breaks: "A peer's key with which the secret is zero is taken.",
		edits:  []edit{{"internal/noise/dh.go", `(*x25519.Key)(public)) {`, `(*x25519.Key)(public)) && false {`}},
		pkg:    "./internal/noise", tests: "TestLowOrderPointsAreRefused",
	},
	{
		name:   "Noise: keys without a label",
		breaks: "The keys of both directions and the next resumption secret are the same.",
		edits: []edit{{"internal/noise/keyschedule.go", `		mac.Write([]byte(info))
`, ``}},
		pkg: "./internal/noise", tests: "TestGolden",
	},
	{
		name:   "Noise: a resume without its secret",
		breaks: "Both sides leave the secret out of a resume, and whoever knows the id takes the session.",
		edits: []edit{{"internal/noise/kind.go", `	if k.psk() {
		first`, `	if k.psk() && !k.isResume() {
		first`}},
		pkg: "./internal/noise", tests: "TestStolenSecret TestGolden",
	},
	{
		name:   "Noise: the request is not bound",
		breaks: "The clear part of a request can be changed on the way.",
		edits: []edit{{"internal/noise/handshake.go", `	h.mixHash(prologue)
`, ``}},
		pkg: "./internal/noise", tests: "TestDamagedHandshakes TestDowngrade",
	},
	{
		name:   "Noise: ML-KEM for show",
		breaks: "The shared secret of ML-KEM is not mixed in: whoever breaks X25519 opens a recorded session.",
		edits: []edit{
			{"internal/noise/handshake.go", `		h.mixKey(shared)
		return dst, nil
`, `		_ = shared
		return dst, nil
`},
			{"internal/noise/handshake.go", `		h.mixKey(shared)
	}
	return rest, nil`, `		_ = shared
	}
	return rest, nil`},
		},
		pkg: "./internal/noise", tests: "TestGolden TestBadKEMCiphertexts",
	},
	{
		name:   "Noise: a hint that stays",
		breaks: "The hint of a pre-shared key is the same in each request, and names the guest to everybody on the path.",
		edits:  []edit{{"internal/noise/hint.go", `		info += string(ephemeral[:])`, `		_ = info`}},
		pkg:    "./internal/noise", tests: "TestPresharedKeyHints TestGolden",
	},
	{
		name:   "Noise: a downgrade",
		breaks: "A server that speaks a better version takes a request in a lower one: who forges a refusal chooses the version.",
		edits:  []edit{{"internal/noise/server.go", `r.kind.isNew() && r.version != best {`, `r.kind.isNew() && r.version > best {`}},
		pkg:    "./internal/noise", tests: "TestVersionDowngrade",
	},
	{
		name:   "Noise: silently classical",
		breaks: "A server takes clients without ML-KEM that it was not told to take.",
		edits:  []edit{{"internal/noise/noise.go", `(k.isHybrid() || p.opts.Classical) &&`, `(k.isHybrid() || true) &&`}},
		pkg:    "./internal/noise", tests: "TestKindsDoNotMix",
	},
	{
		name:   "Noise: a refusal that nobody heeds",
		breaks: "A resume is answered although the application refuses it.",
		edits:  []edit{{"internal/noise/server.go", `if err = target.Authorize(session.Peer()); err != nil && !errors.Is(err, suite.ErrDenied) {`, `if err := target.Authorize(session.Peer()); err != nil && !errors.Is(err, suite.ErrDenied) {`}},
		pkg:    "./internal/noise", tests: "TestDenied",
	},
	{
		name:   "Noise: a link that was given up",
		breaks: "The late first record of a link that the client has given up takes the session over.",
		edits:  []edit{{"internal/noise/session.go", `if !k.pending || s.findLocked(k.id) != k {`, `if k == nil {`}},
		pkg:    "./internal/conntest", tests: "TestLateProofOfALinkGivenUp",
	},
	{
		name:   "Noise: a forged hint ends the session",
		breaks: "A refusal in clear, which anybody can send, is believed.",
		edits:  []edit{{"internal/noise/client.go", `return suite.Link{}, s.query(t, r)`, `return suite.Link{}, suite.ErrRefused`}},
		pkg:    "./internal/noise", tests: "TestRefusals TestQuery",
	},
	{
		name:   "Noise: the client's count of before",
		breaks: "The server goes on from the count of the request, and sends again what its answer has brought.",
		edits: []edit{{"internal/noise/server.go", `	peer.Received = record.Received
`, ``}},
		pkg: "./internal/conntest", tests: "TestOddTransports",
	},
	{
		name:   "Noise: a handshake that TCP has to send in parts",
		breaks: "A resume under load takes a round trip more in each direction.",
		edits:  []edit{{"internal/noise/messages.go", `giveEarly = 11 << 10`, `giveEarly = maxEarly`}},
		pkg:    "./internal/conntest", tests: "TestNoiseResumesInOneRoundTrip",
	},
	{
		name:   "Noise: a long first record",
		breaks: "A peer under load waits for the first data on a link until all of a long record is there.",
		edits:  []edit{{"link.go", `sent == 0 || sent+firstRecord < int64(most)`, `sent < 0`}},
		pkg:    "./internal/conntest", tests: "TestNoiseFirstRecordFitsTCP",
	},
	{
		name:   "Noise: a first record that says nothing",
		breaks: "A resumed link may begin without a count.",
		edits:  []edit{{"internal/noise/server.go", `if !record.Ack {`, `if !record.Ack && false {`}},
		pkg:    ".", tests: "TestFirstRecordWithoutACount",
	},
}
