/*
 * The handshakes and resumes of the suite Noise (docs/spec/noise.md) as relink
 * implements them: a client, a server, a network that loses and delays whole
 * connections, and an attacker that records, replays, withholds, and forges
 * hints.
 *
 * What is modelled
 *
 * The life of one session, from the moment at which the client has taken the
 * answer to its request for a new session (Dial has returned) and the server has
 * not got its first record. Both sides write, acknowledge, lose links, and
 * resume with early data both ways; the server keeps its current secret and two
 * unconfirmed ones, with the highest attempt seen under each. Each atomic block
 * is what the code does under a lock, with the one message that it takes or
 * sends. What the code does in two steps is two here: begin and answered, a
 * record in a receiver's hand and takeRecord, an answer and its
 * confirmation.
 *
 * What is abstracted, and why that is sound
 *
 * A byte is its offset. A record carries at most one byte, with its true offset,
 * which the receiver compares with the position that it has counted by itself
 * (Where data starts). Cryptography is perfect: a secret is the number of the
 * transport whose handshake made it, so nobody guesses it, and no two are equal
 * by chance; a request opens only under its secret, and a record only under the
 * keys of its link. What the attacker has recorded it can send again, whole or
 * without the end, on transports of its own. An answer that it moves to another
 * transport opens there only if that carried the same request byte for byte, and
 * then the attacker is but a relay. Messages that are cut short keep a handshake
 * waiting, as withheld ones do. Hints and nothing else can be forged. Windows,
 * FIN, STOP, PING and rekeying are left out: none takes part in a resume. Time is
 * not modelled: what a time limit may do, it may do at any moment, the end of a
 * suspended session only with -DENDS, which also has Abort and its tombstone.
 *
 * Bounds: UP, DOWN bytes; CUTS transports that break, or answers that are thrown
 * away because the network has changed; REPLAYS of the attacker's connections
 * and forged hints; CAPACITY messages in each direction of a transport;
 * TRANSPORTS in all, which is checked to be enough.
 *
 * Properties
 *
 *   stream     what a receiver takes is the next byte, early data included, and
 *              both sides count alike without being told (assertions)
 *   delivered  in the end everything has arrived (ltl delivered), and nothing
 *              rests before (Rest); no fairness is needed, as in snet.pml
 *   survives   an honest session never ends (finishLocked)
 *   live       only the client's first record on its newest link detaches a link
 *              that the client uses (TakeOver)
 *   together   a session that has ended on one side ends on the other (ltl
 *              together)
 *   agreed     no count of an honest peer is impossible
 *   secrets    at every moment the server answers to the secret that the client
 *              holds (ltl always), and each answer that is taken changes it
 *
 * A MUTANT_ is a mistake that an implementation could make. The script check
 * shows that each is found, and by which property.
 *
 * Names from the code
 *
 *   conn                 Conn                         conn.go
 *   link                 session.link                 session.go
 *   epoch                session.epoch                session.go
 *   provisional          session.provisional          session.go
 *   done                 session.done                 session.go
 *   received             Receive.received             internal/stream/receive.go
 *   acked                Send.acked                   internal/stream/send.go
 *   ackPending           Receive.ackPending           internal/stream/receive.go
 *   pos                  Receive.pos                  internal/stream/receive.go
 *   sent                 Send.sent                    internal/stream/send.go
 *   outStart             Buffer.Start                 replay/replay.go
 *   outEnd               Buffer.End                   replay/replay.go
 *   StateConnected       StateConnected               conn.go
 *   StateSuspended       StateSuspended               conn.go
 *   StateClosed          StateClosed                  conn.go
 *   ErrSessionLost       ErrSessionLost               errors.go
 *   ErrCounters          ErrCounters                  errors.go
 *   ErrExpired           ErrExpired                   errors.go
 *   finishLocked         Conn.finishLocked            conn.go
 *   linkLostLocked       Conn.linkLostLocked          close.go
 *   attachLocked         Conn.attachLocked            resume.go
 *   Received             Send.Received                internal/stream/send.go
 *   free                 Send.free                    internal/stream/send.go
 *   takeRecord           session.takeRecord           read.go
 *   early                session.early                handshake.go
 *   mayGiveEarly         session.mayGiveEarly         resume.go
 *   Handshake            handshake                    handshake.go
 *   retry                redialer.retry               resume.go
 *   Pending              target.Pending               handshake.go
 *   Claim                target.Claim                 handshake.go
 *   TakeOver             target.TakeOver              handshake.go
 *   Establish            handshake.Establish          handshake.go
 *   tombstone            tombstone                    internal/roster/ended.go
 *   closeTransport       closeTransport               transport.go
 *   name                 clientSession.name           internal/noise/session.go
 *   attempt              clientSession.attempt        internal/noise/session.go
 *   current              serverSession.current        internal/noise/session.go
 *   unconfirmed          serverSession.unconfirmed    internal/noise/session.go
 *   maxUnconfirmed       maxUnconfirmed               internal/noise/session.go
 *   highest              kept.highest                 internal/noise/session.go
 *   pending              kept.pending                 internal/noise/session.go
 *   findLocked           serverSession.findLocked     internal/noise/session.go
 *   promoteLocked        serverSession.promoteLocked  internal/noise/session.go
 *   begin                serverSession.begin          internal/noise/session.go
 *   answered             serverSession.answered       internal/noise/session.go
 *   confirm              serverSession.confirm        internal/noise/session.go
 *   take                 clientSession.take           internal/noise/client.go
 *   serveResume          Protocol.serveResume         internal/noise/server.go
 *   serveQuery           Protocol.serveQuery          internal/noise/server.go
 *   readFirst            readFirst                    internal/noise/server.go
 *   hintUnknownSession   hintUnknownSession           internal/noise/status.go
 *   hintStale            hintStale                    internal/noise/status.go
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
#ifdef ENDS
#define TRANSPORTS (3 + 2 * CUTS + 2 * REPLAYS)
#else
#define TRANSPORTS (1 + 2 * CUTS + 2 * REPLAYS)
#endif

mtype = { REQUEST, ANSWER, RECORD, ENDED, QUERY, VERDICT,
	hintUnknownSession, hintStale };

#include "transport.pml"

#define NOTHING 255 /* no data */

/* done, and with what. */
#define ErrSessionLost 1
#define ErrCounters 2
#define ErrExpired 3
#define Aborted 4

typedef Conn {
	byte link = NONE;
	byte pos;
	byte sent;
	byte received;
	byte acked;
	byte outStart;
	byte outEnd;
	bool ackPending;
	byte done;
};
Conn conn[2];

/* The server's alone. */
byte epoch;
bool provisional = true;

/* clientSession: the one secret of the client, by its name, which is the number
   of the transport whose answer brought it. */
byte name;
byte attempt;

/* serverSession. highest and pending are those of kept. */
byte current;
byte unconfirmed[2] = NONE; /* maxUnconfirmed; the older first */
byte highest[TRANSPORTS];
bool pending[TRANSPORTS];

#define findLocked(id) \
	(id == current || id == unconfirmed[0] || id == unconfirmed[1])

#define StateClosed(side) (conn[side].done != 0)
#define StateConnected(side) (!conn[side].done && conn[side].link != NONE)
#define StateSuspended(side) (!conn[side].done && conn[side].link == NONE)

#define total(side) (side == CLIENT -> UP : DOWN)
#define complete (conn[SERVER].received == UP && conn[CLIENT].received == DOWN)
#define max(x, y) (x > y -> x : y)
#define min(x, y) (x < y -> x : y)

/* What only the properties know: whether the client was told the final no. */
bool refused;

/* What an attacker on the path has recorded: a request. */
bool recorded;
byte recordedName, recordedAttempt, recordedReceived, recordedStart;

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
			conn[who].sent = 0;
			conn[who].pos = 0;
			conn[who].ackPending = false
		:: else
		fi
	}
}

inline linkLostLocked(who, old)
{
	d_step {
		conn[who].link = NONE;
		closeTransport(who, old)
	}
}

/* Received frees what the peer holds, but nothing that the link has still to
   send (free). */
inline Received(who, upTo)
{
	d_step {
		conn[who].acked = max(conn[who].acked, upTo);
#ifdef MUTANT_FREE
		conn[who].outStart = max(conn[who].outStart, conn[who].acked)
#else
		conn[who].outStart = max(conn[who].outStart,
			(conn[who].link == NONE -> conn[who].acked : min(conn[who].acked, conn[who].sent)))
#endif
	}
}

inline attachLocked(who, new, from, peerHas)
{
	d_step {
		if
		:: conn[who].link != NONE -> closeTransport(who, conn[who].link)
		:: else
		fi;
		conn[who].link = new;
#ifdef MUTANT_SKIP
		conn[who].pos = conn[who].received;
#else
		conn[who].pos = from;
#endif
		conn[who].sent = max(peerHas, conn[who].acked);
		Received(who, conn[who].sent);
		conn[who].ackPending = true
	}
}

/* takeRecord takes the data of a record, and what it acknowledges. */
inline takeRecord(who, at, holds)
{
	if
	:: at == NOTHING
	:: at != NOTHING ->
		assert(at == conn[who].pos /* stream: both sides count alike */);
		assert(conn[who].pos <= conn[who].received /* stream: no hole */);
		if
		:: conn[who].pos < conn[who].received /* it came before */
		:: else -> conn[who].received++
		fi;
		conn[who].pos++;
		conn[who].ackPending = true
	fi;
	assert(holds <= conn[who].outEnd /* agreed */);
	Received(who, holds)
}

/* early takes data that came with a handshake. */
inline early(who, at)
{
	if
	:: at == conn[who].received && !(who == SERVER && provisional) &&
	   !conn[who].done -> conn[who].received++
#ifdef MUTANT_EARLY
	:: at != NOTHING && at != conn[who].received && !(who == SERVER && provisional) ->
		assert(at == conn[who].received /* stream: early data taken twice */);
		conn[who].received++
#endif
	:: else
	fi
}

/* erase forgets a secret; its pending link can no longer be confirmed. */
inline erase(id)
{
	if
	:: id != NONE -> highest[id] = 0; pending[id] = false; id = NONE
	:: else
	fi
}

/* promoteLocked makes a secret that the client is known to hold the current one. */
inline promoteLocked(id)
{
	d_step {
		if
		:: id != current ->
			if
			:: unconfirmed[0] == id -> unconfirmed[0] = NONE
			:: else
			fi;
			if
			:: unconfirmed[1] == id -> unconfirmed[1] = NONE
			:: else
			fi;
			erase(unconfirmed[0]);
			erase(unconfirmed[1]);
			highest[current] = 0;
			pending[current] = false;
			current = id
		:: else
		fi
	}
}

/* register adds the secret of an answer. */
inline register(id)
{
	d_step {
		if
		:: unconfirmed[0] == NONE -> unconfirmed[0] = id
		:: unconfirmed[0] != NONE && unconfirmed[1] == NONE -> unconfirmed[1] = id
		:: else ->
			erase(unconfirmed[0]);
			unconfirmed[0] = unconfirmed[1];
			unconfirmed[1] = id
		fi;
		pending[id] = true;
		highest[id] = 0
	}
}

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
		StateConnected(side) &&
		(conn[side].sent < conn[side].outEnd || conn[side].ackPending) &&
		room(side, conn[side].link) ->
		l = conn[side].link;
		offset = NOTHING;
		if
		:: conn[side].sent < conn[side].outEnd ->
			offset = conn[side].sent;
			assert(offset >= conn[side].outStart /* stream: it is still there */);
			conn[side].sent++;
			Received(side, 0)
		:: else
		fi;
		conn[side].ackPending = false;
		transmit(side, l, RECORD, l, offset, conn[side].received, 0);
		l = 0;
		offset = 0
	   }
	od
}

/* Receiver is the holder of the receiver role. */
proctype Receiver(bool side)
{
	byte l, offset, received;
end:
	do
	:: atomic {
		StateConnected(side) && nempty(inbox(side, conn[side].link)) ->
		l = conn[side].link;
		inbox(side, l) ? RECORD(_, offset, received, _)
	   };
	   atomic {
		if
		:: conn[side].done || conn[side].link != l
		:: else -> takeRecord(side, offset, received)
		fi;
		l = 0;
		offset = 0;
		received = 0
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

/* Redialer is the client's redialer.run with clientSession.Resume. */
proctype Redialer()
{
	byte t, secret, number, offset, start;
end:
	do
	:: atomic {
		StateSuspended(CLIENT) ->
		dial(t);
		attempt++;
		/* Pending */
		start = (conn[CLIENT].outEnd > conn[CLIENT].acked -> conn[CLIENT].acked : NOTHING);
		if
		:: start = NOTHING /* mayGiveEarly */
		:: skip
		fi;
		number = conn[CLIENT].received;
		transmit(CLIENT, t, REQUEST, name, attempt, number, start);
#if REPLAYS > 0
		if
		:: recorded = true;
		   recordedName = name;
		   recordedAttempt = attempt;
		   recordedReceived = number;
		   recordedStart = start
		:: skip
		fi;
#endif
		start = 0
	   };
answer:
	   if
	   :: atomic {
		inbox(CLIENT, t) ? ANSWER(secret, number, offset, _);
		if
		:: conn[CLIENT].done -> closeTransport(CLIENT, t)
		:: !conn[CLIENT].done && (number > conn[CLIENT].outEnd || number < conn[CLIENT].acked) ->
			finishLocked(CLIENT, ErrCounters);
			closeTransport(CLIENT, t)
		:: else ->
			/* take */
			assert(secret != name /* secrets: never the same again */);
#ifndef MUTANT_TAKE
			name = secret;
			attempt = 0;
#endif
			if
			:: cuts > 0 -> cuts--; closeTransport(CLIENT, t) /* retry: the network has changed */
			:: skip -> early(CLIENT, offset);
			   attachLocked(CLIENT, t, conn[CLIENT].received, number)
			fi
		fi
	      }
	   :: atomic {
		inbox(CLIENT, t) ? ENDED(_, _, _, _);
		refused = true;
		finishLocked(CLIENT, ErrSessionLost);
		closeTransport(CLIENT, t)
	      }
	   :: atomic {
		inbox(CLIENT, t) ? hintUnknownSession(_, _, _, _);
#ifdef MUTANT_HINT
		finishLocked(CLIENT, ErrSessionLost);
		closeTransport(CLIENT, t)
#else
		transmit(CLIENT, t, QUERY, name, 0, 0, 0);
		goto answer
#endif
	      }
	   :: atomic {
		inbox(CLIENT, t) ? VERDICT(secret, _, _, _);
		closeTransport(CLIENT, t);
		if
		:: secret == true ->
			refused = true;
			finishLocked(CLIENT, ErrSessionLost)
		:: else
		fi
	      }
	   :: atomic { inbox(CLIENT, t) ? hintStale(_, _, _, _) -> closeTransport(CLIENT, t) }
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
	      }
	   fi;
	   atomic { t = 0; secret = 0; number = 0; offset = 0; start = 0 }
	od
}

/* Handshake is the server's side of the handshake on a transport: serve,
   serveResume, serveQuery, and on transport 0 what is left of serveNew. */
proctype Handshake(byte t)
{
	byte id, tried, received, offset; /* what the client has said */
	byte told, claimEpoch; /* what it was told */
#ifdef MUTANT_START
	byte asked;
#endif
endIdle:
	if
	:: atomic { t == 0 -> goto readFirst }
	:: atomic {
		inbox(SERVER, t) ? REQUEST(id, tried, received, offset);
		if
		:: conn[SERVER].done == Aborted -> /* tombstone */
			transmit(SERVER, t, ENDED, 0, 0, 0, 0);
			goto over
		:: conn[SERVER].done && conn[SERVER].done != Aborted || !conn[SERVER].done && !findLocked(id) ->
#ifdef MUTANT_REFUSAL
			transmit(SERVER, t, hintStale, 0, 0, 0, 0);
			goto over;
#endif
			transmit(SERVER, t, hintUnknownSession, 0, 0, 0, 0);
			goto again
		:: !conn[SERVER].done && findLocked(id) &&
#ifdef MUTANT_ATTEMPT
		   false ->
#else
		   tried <= highest[id] ->
#endif
			transmit(SERVER, t, hintStale, 0, 0, 0, 0);
			goto over
		:: else
		fi;
		/* begin */
		highest[id] = tried;
#ifndef MUTANT_PROMOTE
		pending[id] = false;
		promoteLocked(id);
#endif
#ifdef MUTANT_START
		asked = received;
#endif
		assert(received <= conn[SERVER].outEnd /* agreed */);
		early(SERVER, offset);
		/* Pending */
		offset = NOTHING;
		if
		:: !provisional && received >= conn[SERVER].outStart &&
		   received < conn[SERVER].outEnd -> offset = received
		:: skip
		fi;
		/* Claim */
		told = conn[SERVER].received;
		claimEpoch = epoch
	   };
	   /* answered: the secret is registered before the answer leaves. */
	   atomic {
		if
		:: conn[SERVER].done ||
#ifdef MUTANT_PROMOTE
		   !findLocked(id) ||
#else
		   current != id ||
#endif
		   highest[id] != tried ->
			transmit(SERVER, t, hintStale, 0, 0, 0, 0);
			goto over
		:: else
		fi;
#ifndef MUTANT_REGISTER
		register(t);
#endif
#ifdef MUTANT_ERASE
		promoteLocked(t);
#endif
#ifdef MUTANT_ROLL
		transmit(SERVER, t, ANSWER, id, told, offset, 0);
#else
		transmit(SERVER, t, ANSWER, t, told, offset, 0);
#endif
		id = 0;
		tried = 0;
		received = 0;
		offset = 0
	   }
	:: atomic { inbox(SERVER, t) ? [QUERY(_, _, _, _)] -> goto again }
	:: atomic { t < dials && ended(SERVER, t) -> goto over }
	fi;
readFirst:
	if
	:: atomic {
		inbox(SERVER, t) ? RECORD(id, offset, received, _);
		/* Open, confirm */
		if
		:: conn[SERVER].done || id != t -> goto over
		:: else
		fi;
#ifdef MUTANT_REGISTER
		register(t);
#endif
#ifndef MUTANT_PENDING
		if
		:: !pending[t] || !findLocked(t) -> goto over
		:: else
		fi;
#endif
		pending[t] = false;
		promoteLocked(t);
		if
		:: t == 0 -> /* Establish */
			assert(provisional)
		:: else -> /* TakeOver */
#ifndef MUTANT_PENDING
			if
			:: epoch != claimEpoch -> goto over
			:: else
			fi;
#endif
			assert(received >= conn[SERVER].acked /* agreed */);
			assert((!StateConnected(SERVER) || conn[SERVER].link != conn[CLIENT].link)
				/* live: the client has given the old link up */)
		fi;
		provisional = false;
		epoch++;
#ifdef MUTANT_START
		attachLocked(SERVER, t, told, asked);
#else
		attachLocked(SERVER, t, told, received);
#endif
		takeRecord(SERVER, offset, received);
		goto out
	   }
	:: atomic { ended(SERVER, t) -> goto over }
	fi;
again:
	if
	:: atomic {
		inbox(SERVER, t) ? QUERY(id, _, _, _);
		offset = (conn[SERVER].done && conn[SERVER].done != Aborted || !findLocked(id));
		transmit(SERVER, t, VERDICT, offset, 0, 0, 0)
	   }
	:: atomic { inbox(SERVER, t) ? RECORD(_, _, _, _) } /* of an attacker */
	:: atomic { ended(SERVER, t) }
	fi;
over:
	atomic { true; closeTransport(SERVER, t) };
out:
	atomic { true; id = 0; tried = 0; received = 0; offset = 0; told = 0; claimEpoch = 0 }
}

#ifdef ENDS
/* Expiry ends a server's session that is suspended, or was never completed. */
proctype Expiry()
{
end:
	do
	:: atomic { StateSuspended(SERVER) -> finishLocked(SERVER, ErrExpired) }
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
/* Attacker sends again what it has recorded, over transports of its own, and may
   leave at any time; or it withholds a request. */
proctype Attacker()
{
	byte t, n = REPLAYS;
end:
	do
	:: atomic { n > 0 -> n = 0 }
	:: atomic {
		n > 0 && recorded && dials < TRANSPORTS ->
		n--;
		dial(t);
		transmit(CLIENT, t, REQUEST, recordedName, recordedAttempt, recordedReceived, recordedStart)
	   };
	   /* A first record of another link, or none. */
	   atomic {
		if
		:: transmit(CLIENT, t, RECORD, name, NOTHING, recordedReceived, 0)
		:: skip
		fi
	   };
	   atomic { closeTransport(CLIENT, t); t = 0 }
	:: atomic { /* It withholds a request, and answers it with a hint of its own. */
		n > 0 -> n--;
		do
		:: t < dials - 1 -> t++
		:: break
		od;
		if
		:: t > 0 && !lost_on(CLIENT, t) && inbox(SERVER, t) ? [REQUEST(_, _, _, _)] ->
			inbox(SERVER, t) ? REQUEST(_, _, _, _);
			inbox(CLIENT, t) ! hintUnknownSession(0, 0, 0, 0)
		:: else
		fi;
		t = 0
	   }
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

/* At every moment the server answers to the client's secret. */
#define secrets (StateClosed(SERVER) || StateClosed(CLIENT) || findLocked(name))

init
{
	byte i;
	atomic {
		pending[0] = true;
		conn[CLIENT].link = 0;
		conn[CLIENT].ackPending = true;
		run Sender(CLIENT);
		run Sender(SERVER);
		run Receiver(CLIENT);
		run Receiver(SERVER);
		run Loss(CLIENT);
		run Loss(SERVER);
		run Redialer();
		run Network();
		run Rest();
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
ltl always { [] secrets }
ltl together {
	[] ((StateClosed(CLIENT) -> <> StateClosed(SERVER)) &&
	    (StateClosed(SERVER) -> <> StateClosed(CLIENT)) &&
	    (refused -> <> (StateClosed(CLIENT) && StateClosed(SERVER))))
}
