/*
 * The resume of the snet protocol (docs/spec/snet.md) as relink implements it:
 * a client, a server, a network that loses and delays whole connections, and an
 * attacker that records and replays.
 *
 * What is modelled
 *
 * The life of one session, from the moment at which the client has sent the
 * proof of its new session (step 4) and the server does not have it yet. Both
 * applications write (UP bytes to the server, DOWN to the client), both sides
 * send, receive, lose links and resume. Each atomic block is what the code does
 * under the session's lock, together with the one message that it takes or
 * sends; between two of them everything else may happen. Where the code gives
 * the lock up with something in hand, so does the model: a receiver holds a byte
 * of a link that is lost or superseded before the byte is counted
 * (arrived, loss.link), and a handshake waits for its proof while the
 * session goes on without it (Claim, TakeOver).
 *
 * What is abstracted, and why that is sound
 *
 * A byte is its offset in the stream, because nothing in the protocol depends on
 * its value; a receiver that takes an offset other than the next one has lost,
 * doubled or reordered something. A message of data is one byte: writes and
 * reads of several are several steps of one. Cryptography is perfect: a proof
 * contains the challenge that it answers and only the client makes one, a resume
 * request contains its counts and only the client makes one. Both can be
 * recorded and sent again. A message that is cut short does nothing but keep a
 * handshake waiting until its transport ends, as one that is withheld does. The
 * bytes under RC4 are not authenticated, nor are an answer and a refusal; an
 * attacker that changes them is out of the protocol's scope (Security). One that
 * only moves an answer from one transport to another is in the model, with
 * -DSPLICE, to show that the protocol does not withstand it: check expects that
 * it ends the session, and it can also make the stream go on at the wrong byte. Time is not
 * modelled: what a time limit may do, it may do at any moment. The limit of a
 * suspended session exists only with -DENDS, so that without it the claim "an
 * honest session never ends" can be made. Close that lingers is left out (the
 * table of cuts in conformance_test.go covers it); ENDS has Abort.
 *
 * Bounds: UP, DOWN bytes; CUTS transports that break; REPLAYS connections of the
 * attacker; CAPACITY messages in each direction of a transport; HISTORY bytes
 * that the replay buffer keeps behind link.sent (in the code, half of
 * ReplayLimit); TRANSPORTS in all, which is checked to be enough.
 *
 * Properties
 *
 *   stream     what a receiver takes is the next byte (assertions of Receiver)
 *   delivered  in the end everything has arrived (ltl delivered), and nothing
 *              rests before (Rest); no fairness is needed, since the graph of
 *              states has no cycle: every budget and every stream is finite
 *   survives   an honest session never ends, whatever the network and the
 *              attacker do, if HISTORY covers what a transport holds (finishLocked)
 *   live       no message but the client's own proof of its newest attempt
 *              detaches a link that the client uses (TakeOver)
 *   together   a session that has ended on one side, also by a refusal, ends on
 *              the other (ltl together), and for a reason that has a name
 *   agreed     the counts of an honest resume never contradict each other
 *
 * A MUTANT_ is a mistake that an implementation could make. The script check
 * shows that each is found, and by which property.
 *
 * Names from the code
 *
 *   conn                 Conn                    conn.go
 *   link                 session.link            session.go
 *   lost                 loss.link               session.go
 *   epoch                session.epoch           session.go
 *   provisional          session.provisional     session.go
 *   done                 session.done            session.go
 *   received             Receive.received        internal/stream/receive.go
 *   receiver             session.receiver        session.go
 *   roleInline           roleInline              session.go
 *   roleFree             roleFree                session.go
 *   outStart             Buffer.Start            replay/replay.go
 *   outEnd               Buffer.End              replay/replay.go
 *   pos                  Receive.pos             internal/stream/receive.go
 *   sent                 Send.sent               internal/stream/send.go
 *   StateConnected       StateConnected          conn.go
 *   StateSuspended       StateSuspended          conn.go
 *   StateClosed          StateClosed             conn.go
 *   ErrSessionLost       ErrSessionLost          errors.go
 *   ErrReplayGap         ErrReplayGap            errors.go
 *   ErrCounters          ErrCounters             errors.go
 *   ErrExpired           ErrExpired              errors.go
 *   finishLocked         Conn.finishLocked       conn.go
 *   linkLostLocked       Conn.linkLostLocked     close.go
 *   attachLocked         Conn.attachLocked       resume.go
 *   arrived              session.arrived         read.go
 *   trim                 Send.trim               internal/stream/send.go
 *   check                session.check           resume.go
 *   run                  redialer.run         resume.go
 *   Offsets              clientView.Offsets      resume.go
 *   Handshake            handshake               handshake.go
 *   Establish            handshake.Establish     handshake.go
 *   Claim                target.Claim            handshake.go
 *   TakeOver             target.TakeOver         handshake.go
 *   closeTransport       closeTransport          transport.go
 *   serveResume          Protocol.serveResume    internal/snet/server.go
 *   refuse               refuse                  internal/snet/server.go
 *   readProof            session.readProof       internal/snet/server.go
 *   challenge            resumeAnswer.challenge  internal/snet/messages.go
 */

#ifndef UP
#define UP 2
#endif
#ifndef DOWN
#define DOWN 1
#endif
#ifndef CUTS
#define CUTS 2
#endif
#ifndef REPLAYS
#define REPLAYS 0
#endif
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef HISTORY
#define HISTORY (CAPACITY + 1) /* the one more is in a receiver's hand */
#endif
#ifdef ENDS
#define TRANSPORTS (3 + 2 * CUTS + REPLAYS)
#else
#define TRANSPORTS (1 + 2 * CUTS + REPLAYS)
#endif

mtype = { REQUEST, ANSWER, REFUSAL, PROOF, DATA };

#include "transport.pml"

/* done, and with what. */
#define ErrSessionLost 1
#define ErrReplayGap 2
#define ErrCounters 3
#define ErrExpired 4
#define Aborted 5

#define roleFree 0
#define roleInline 1

typedef Conn {
	byte link = NONE;
	byte lost = NONE;
	byte pos;  /* of the link, or of the lost one */
	byte sent; /* of the link */
	byte received;
	byte outStart;
	byte outEnd;
	bit receiver; /* roleInline: a byte is in hand and not yet counted */
	byte done;
};
Conn conn[2];

/* The server's alone. */
byte epoch;
bool provisional = true;

#define StateClosed(side) (conn[side].done != 0)
#define StateConnected(side) (!conn[side].done && conn[side].link != NONE)
#define StateSuspended(side) (!conn[side].done && conn[side].link == NONE)

/* What only the properties know: which challenges the client has answered, and
   whether it was told the final no. */
bool proved[TRANSPORTS];
bool refused;

#define total(side) (side == CLIENT -> UP : DOWN)
#define complete (conn[SERVER].received == UP && conn[CLIENT].received == DOWN)

/* What an attacker on the path has recorded. */
bool recorded;
byte recordedSent, recordedReceived;
byte recordedProof = NONE;

inline finishLocked(who, cause)
{
	d_step {
		if
		:: !conn[who].done ->
#ifndef ENDS
			assert(false /* survives */);
#endif
			assert(cause != ErrCounters /* agreed */);
			conn[who].done = cause;
			if
			:: conn[who].link != NONE ->
				closeTransport(who, conn[who].link);
				conn[who].link = NONE
			:: else
			fi;
			conn[who].lost = NONE;
			conn[who].sent = 0;
			conn[who].pos = 0
		:: else
		fi
	}
}

inline linkLostLocked(who, old)
{
	d_step {
		conn[who].link = NONE;
		conn[who].lost = (conn[who].receiver == roleInline -> old : NONE);
		closeTransport(who, old)
	}
}

inline attachLocked(who, new, from, upTo)
{
	d_step {
		if
		:: conn[who].link != NONE -> closeTransport(who, conn[who].link)
		:: else
		fi;
		conn[who].link = new;
		conn[who].lost = NONE;
#ifdef MUTANT_SKIP
		conn[who].pos = conn[who].received;
#else
		conn[who].pos = from;
#endif
		conn[who].sent = upTo
	}
}

/* convinced checks, before a server's link changes, that it may. */
inline convinced(by)
{
	assert(proved[by] /* live: the client has answered this challenge */);
	assert((!StateConnected(SERVER) || conn[SERVER].link != conn[CLIENT].link)
		/* live: the client has given the old link up */)
}

/* check is two questions here: about the counts and about the buffer. */
#define check(side, peerSent, peerReceived) \
	(peerReceived <= conn[side].outEnd && peerSent >= conn[side].received)
#ifdef MUTANT_GAP
#define gap(side, peerReceived) false
#else
#define gap(side, peerReceived) (peerReceived < conn[side].outStart)
#endif

/* Sender is an application that writes and the holder of the sender role. */
proctype Sender(bool side)
{
	byte l, offset;
end:
	do
	:: atomic {
		!conn[side].done && conn[side].outEnd < total(side) ->
		conn[side].outEnd++
	   }
	:: atomic {
		StateConnected(side) && conn[side].sent < conn[side].outEnd &&
		room(side, conn[side].link) ->
		l = conn[side].link;
		offset = conn[side].sent;
		assert(offset >= conn[side].outStart /* stream: it is still there */);
		transmit(side, l, DATA, offset, 0, 0, 0);
		conn[side].sent = offset + 1;
		/* trim */
		if
#ifdef MUTANT_HISTORY
		:: conn[side].outStart = conn[side].sent
#else
		:: conn[side].sent > conn[side].outStart + HISTORY ->
			conn[side].outStart = conn[side].sent - HISTORY
		:: else
#endif
		fi;
		l = 0;
		offset = 0
	   }
	od
}

/* Receiver is the holder of the receiver role. */
proctype Receiver(bool side)
{
	byte l, offset;
end:
	do
	:: atomic {
		StateConnected(side) && nempty(inbox(side, conn[side].link)) ->
		l = conn[side].link;
		inbox(side, l) ? DATA(offset, _, _, _);
		conn[side].receiver = roleInline
	   };
	   /* arrived */
	   atomic {
		if
		:: conn[side].done ||
		   conn[side].link != l && (conn[side].link != NONE || conn[side].lost != l)
			/* superseded: it comes again */
		:: else ->
			if
			:: conn[side].pos < conn[side].received /* it came over an older link */
			:: else ->
				assert(conn[side].pos == conn[side].received /* stream: no hole */);
				assert(offset == conn[side].received /* stream: the next byte */);
				conn[side].received++
			fi;
			conn[side].pos++
		fi;
		conn[side].receiver = roleFree;
		if
		:: conn[side].link == NONE -> conn[side].lost = NONE
		:: else
		fi;
		l = 0;
		offset = 0
	   }
	od
}

/* Loss is the moment at which a Read or a Write of the transport fails. */
proctype Loss(bool side)
{
	byte l;
end:
	do
	:: atomic {
		StateConnected(side) && ended(side, conn[side].link) ->
		l = conn[side].link;
		linkLostLocked(side, l);
		l = 0
	   }
	od
}

/* Redialer is the client's redialer.run. */
proctype Redialer()
{
	byte t, sent, received, challenge;
end:
	do
	:: atomic {
		StateSuspended(CLIENT) ->
		dial(t);
#ifndef MUTANT_LATE
		conn[CLIENT].lost = NONE; /* Offsets: the counts stand still from here on */
#endif
		transmit(CLIENT, t, REQUEST, conn[CLIENT].outEnd, conn[CLIENT].received, 0, 0)
#if REPLAYS > 0
		;
		if
		:: recorded = true;
		   recordedSent = conn[CLIENT].outEnd;
		   recordedReceived = conn[CLIENT].received
		:: skip
		fi
#endif
	   };
	   if
	   :: atomic {
		inbox(CLIENT, t) ? ANSWER(sent, received, challenge, _);
		if
		:: conn[CLIENT].done -> closeTransport(CLIENT, t)
		:: !conn[CLIENT].done && !check(CLIENT, sent, received) ->
			finishLocked(CLIENT, ErrCounters);
			closeTransport(CLIENT, t)
		:: !conn[CLIENT].done && gap(CLIENT, received) ->
			finishLocked(CLIENT, ErrReplayGap);
			closeTransport(CLIENT, t)
		:: else ->
			proved[challenge] = true;
#if REPLAYS > 0
			recordedProof = challenge;
#endif
			transmit(CLIENT, t, PROOF, challenge, 0, 0, 0);
			attachLocked(CLIENT, t, conn[CLIENT].received, received)
		fi
	      }
	   :: atomic {
		inbox(CLIENT, t) ? REFUSAL(_, _, _, _);
		refused = true;
		finishLocked(CLIENT, ErrSessionLost);
		closeTransport(CLIENT, t)
	      }
	   :: atomic {
		ended(CLIENT, t) ->
		closeTransport(CLIENT, t)
#ifdef ENDS
		;
		if
		:: finishLocked(CLIENT, ErrExpired)
		:: skip
		fi
#endif
#ifdef MUTANT_REDIAL
		;
		break
#endif
	      }
	   fi;
	   atomic { t = 0; sent = 0; received = 0; challenge = 0 }
	od
}

/* Handshake is the server's side of the handshake on a transport: serveResume,
   and on transport 0 what is left of serveNew. */
proctype Handshake(byte t)
{
	byte sent, received, challenge; /* what the client has said */
	byte claimReceived, claimEpoch; /* what it was told */
endIdle:
	if
	:: atomic { t == 0 -> goto readProof }
	:: atomic {
		inbox(SERVER, t) ? REQUEST(sent, received, _, _);
		if
#ifdef MUTANT_PROVISIONAL
		:: provisional -> goto refuse
#endif
		:: conn[SERVER].done -> goto refuse
		:: else -> /* Claim */
			claimReceived = conn[SERVER].received;
			claimEpoch = epoch
		fi;
		if
		:: !check(SERVER, sent, received) || gap(SERVER, received) -> goto refuse
		:: else
		fi;
#ifdef MUTANT_COMMIT
		convinced(t);
		attachLocked(SERVER, t, claimReceived, received);
		provisional = false;
#endif
		transmit(SERVER, t, ANSWER, conn[SERVER].outEnd, claimReceived, t, 0);
		goto readProof;
refuse:
#ifndef MUTANT_REFUSAL
		transmit(SERVER, t, REFUSAL, 0, 0, 0, 0);
#endif
		goto over
	   }
	:: atomic { t < dials && ended(SERVER, t) -> goto over }
	fi;
readProof:
#ifdef SPLICE
endProof: /* its proof was given to another, and its time limit is not modelled */
#endif
	if
	:: atomic {
		inbox(SERVER, t) ? PROOF(challenge, _, _, _);
#ifndef MUTANT_CHALLENGE
		if
		:: challenge != t -> goto over
		:: else
		fi;
#endif
		if
		:: t == 0 -> /* Establish */
			if
			:: !provisional || conn[SERVER].done -> goto over
			:: else
			fi
		:: else -> /* TakeOver */
			if
			:: conn[SERVER].done || gap(SERVER, received) ||
			   !check(SERVER, sent, received) -> goto over
			:: else
			fi;
#ifndef MUTANT_EPOCH
			if
			:: epoch != claimEpoch -> goto over
			:: else
			fi;
#endif
			convinced(t)
		fi;
		provisional = false;
		epoch++;
		attachLocked(SERVER, t, claimReceived, received);
		goto out
	   }
	:: atomic { ended(SERVER, t) -> goto over }
	fi;
over:
	atomic { true; closeTransport(SERVER, t) };
out:
	atomic { true; sent = 0; received = 0; challenge = 0; claimReceived = 0; claimEpoch = 0 }
}

#ifdef ENDS
/* Expiry ends a server's session that is suspended, or was never completed. */
proctype Expiry()
{
end:
	do
#ifndef MUTANT_EXPIRY
	:: atomic { StateSuspended(SERVER) -> finishLocked(SERVER, ErrExpired) }
#else
	:: false
#endif
	od
}

/* Application aborts one of the sides, or neither. */
proctype Application()
{
	if
	:: finishLocked(CLIENT, Aborted)
	:: finishLocked(SERVER, Aborted)
	:: skip
	fi
}
#endif

#if REPLAYS > 0
/* Attacker sends again what it has recorded, over transports of its own. The
   last of its messages may be withheld, and it may leave at any time. */
proctype Attacker()
{
	byte t, n = REPLAYS;
#ifdef SPLICE
	byte c, sent, received, challenge;
#endif
end:
	do
	:: atomic { n > 0 -> n = 0 }
	:: atomic {
		n > 0 && recorded && dials < TRANSPORTS ->
		n--;
		dial(t);
		transmit(CLIENT, t, REQUEST, recordedSent, recordedReceived, 0, 0)
	   };
#ifdef SPLICE
	   /* It puts the answer that it gets in place of another one that the client
	      waits for, and hands the client's proof on. */
	   if
	   :: atomic {
		inbox(CLIENT, t) ? ANSWER(sent, received, challenge, _);
		c = 0;
		do
		:: c < dials - 1 -> c++
		:: c != t && inbox(CLIENT, c) ? [ANSWER(_, _, _, _)] ->
			inbox(CLIENT, c) ? ANSWER(_, _, _, _);
			inbox(CLIENT, c) ! ANSWER(sent, received, challenge, 0);
			break
		:: c == dials - 1 -> goto leave
		od
	      };
	      /* From then on it is a relay between the two. */
	      do
	      :: atomic {
			inbox(SERVER, c) ? [PROOF(_, _, _, _)] ->
			inbox(SERVER, c) ? PROOF(challenge, _, _, _);
			transmit(CLIENT, t, PROOF, challenge, 0, 0, 0)
		 }
	      :: atomic {
			inbox(SERVER, c) ? [DATA(_, _, _, _)] && room(CLIENT, t) ->
			inbox(SERVER, c) ? DATA(sent, _, _, _);
			transmit(CLIENT, t, DATA, sent, 0, 0, 0)
		 }
	      :: atomic {
			inbox(CLIENT, t) ? [DATA(_, _, _, _)] && room(SERVER, c) ->
			inbox(CLIENT, t) ? DATA(sent, _, _, _);
			transmit(SERVER, c, DATA, sent, 0, 0, 0)
		 }
	      :: break
	      od
	   :: ended(CLIENT, t)
	   fi;
	   goto leave;
#endif
	   atomic {
		if
		:: recordedProof != NONE -> transmit(CLIENT, t, PROOF, recordedProof, 0, 0, 0)
		:: skip
		fi
	   };
leave:
	   atomic { true; closeTransport(CLIENT, t); t = 0 }
	od
}
#endif

/* Rest looks at the state in which nothing moves any more. */
proctype Rest()
{
	atomic {
		timeout ->
#ifdef ENDS
		assert(complete || StateClosed(CLIENT) && StateClosed(SERVER) /* delivered */)
#else
		assert(complete /* delivered */)
#endif
	}
}

init
{
	byte i;
	atomic {
		inbox(SERVER, 0) ! PROOF(0, 0, 0, 0);
		conn[CLIENT].link = 0;
		run Sender(CLIENT);
		run Sender(SERVER);
		run Receiver(CLIENT);
		run Receiver(SERVER);
		run Loss(CLIENT);
		run Loss(SERVER);
		run Redialer();
		run Network();
#ifndef SPLICE
		run Rest();
#endif
#ifdef ENDS
		run Expiry();
		run Application();
#endif
#if REPLAYS > 0
		run Attacker();
#endif
		do
		:: i < TRANSPORTS -> run Handshake(i); i++
		:: else -> break
		od;
		i = 0
	}
}

ltl delivered { <> complete }
ltl together {
	[] ((StateClosed(CLIENT) -> <> StateClosed(SERVER)) &&
	    (StateClosed(SERVER) -> <> StateClosed(CLIENT)) &&
	    (refused -> <> (StateClosed(CLIENT) && StateClosed(SERVER))))
}
