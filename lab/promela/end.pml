/*
 * How two sides know of each other that a session is over (docs/spec/noise.md, 12.2;
 * docs/adr/0045), and whose word is final that it is unknown (5; docs/adr/0043).
 *
 * The client's stream has ended and arrived. The server says the end of its own, FIN, over each
 * link until that is acknowledged, and has closed; with -DOPEN its application has only called
 * CloseWrite, and does not close. The network cuts. An attacker leads up to ASTRAY attempts to
 * another instance with the same key; with -DCRASH the server may crash, and another instance is
 * in its place.
 *
 * Time passes only where nothing else can happen (timeout): CloseTimeout is long beside a bounded
 * number of cuts. That it ends anything is therefore a mistake, and so are these:
 *
 *   undelivered  a server reports a loss although its client has everything
 *   heard        nobody answers a client that is leaving
 *   survives     a client is told the final no while the server has its session
 *   together     what ends on one side ends on the other
 *
 * Names from the code
 *
 *   finReceived          Receive.finReceived          internal/stream/receive.go
 *   finAcked             Fin.acked                    internal/stream/fin.go
 *   leaving              session.leaving              session.go
 *   tellEndLocked        redialer.tellEndLocked       close.go
 *   endBy                session.endBy                close.go
 *   linkLostLocked       Conn.linkLostLocked          close.go
 *   closeTimedOut        Conn.closeTimedOut           close.go
 *   errKnowsEnd          errKnowsEnd                  close.go
 *   saysClosed           session.saysClosed           close.go
 *   tombstone            tombstone                    internal/roster/ended.go
 *   ResetClosed          ResetClosed                  internal/suite/codec.go
 *   ErrOtherInstance     ErrOtherInstance             internal/suite/errors.go
 *   ErrSessionLost       ErrSessionLost               errors.go
 *   query                clientSession.query          internal/noise/client.go
 *   instance             clientSession.instance       internal/noise/session.go
 */

#ifndef CUTS
#define CUTS 2
#endif
#ifndef ASTRAY
#define ASTRAY 0
#endif
#define CAPACITY 3
#define TRANSPORTS (4 + 2 * CUTS + 2 * ASTRAY)

mtype = { RESUME, ANSWER, FIRST, FIN, FINACK, ResetClosed, PONG, ENDED, UNKNOWN };

#include "transport.pml"

/* How a side's session has ended. */
#define Clean 1
#define Undelivered 2
#define ErrSessionLost 3

byte clientDone, serverDone;
bool finReceived; /* the client has everything, and its application io.EOF */
bool finAcked;    /* the server knows it */
bool crashed;
byte astray = ASTRAY;

#ifdef OPEN
#define open true
#else
#define open false
#endif

/* The instance that has made the session is 1. */
#define instance 1

inline send(who, over, kind, f1, f2) { transmit(who, over, kind, f1, f2, 0, 0) }

proctype Client()
{
	byte t, whose, unknowns;
	bool leaving;

attached:
endAttached: /* as with OPEN it may be */
	do
	:: inbox(CLIENT, t) ? FIN(_, _, _, _) ->
		finReceived = true;
		send(CLIENT, t, FINACK, 0, 0)
	:: inbox(CLIENT, t) ? ResetClosed(_, _, _, _) -> /* endBy */
		assert(finReceived);
		goto ends
	:: inbox(CLIENT, t) ? PONG(_, _, _, _) -> /* errKnowsEnd */
		if
		:: leaving ->
			send(CLIENT, t, ResetClosed, 0, 0);
			goto ends
		:: !leaving
		fi
	:: atomic { ended(CLIENT, t) -> closeTransport(CLIENT, t); goto linkLostLocked }
	:: atomic { timeout && (leaving || !finReceived || !open) -> goto closeTimedOut }
	od;

linkLostLocked:
	if
#ifdef MUTANT_FAREWELL
	:: finReceived -> goto ends /* there is nothing to wait for */
#endif
	:: finReceived -> leaving = true /* tellEndLocked */
	:: !finReceived
	fi;
	if
	:: atomic { astray > 0 -> astray--; whose = instance + 1 };
		goto query
	:: skip
	fi;
	dial(t);
	send(CLIENT, t, RESUME, 0, 0);
	do
	:: inbox(CLIENT, t) ? ANSWER(_, _, _, _) ->
		send(CLIENT, t, FIRST, finReceived, leaving);
		goto attached
	:: inbox(CLIENT, t) ? ENDED(_, _, _, _) ->
		assert(finReceived);
		goto ends
	:: inbox(CLIENT, t) ? UNKNOWN(whose, _, _, _) ->
		closeTransport(CLIENT, t);
		goto query
	:: atomic { ended(CLIENT, t) -> closeTransport(CLIENT, t); goto linkLostLocked }
	:: atomic { timeout -> goto closeTimedOut }
	od;

query: /* the answer to it */
	unknowns++;
	if
#ifdef MUTANT_INSTANCE
	:: whose != instance -> clientDone = ErrSessionLost
#endif
	:: whose == instance -> clientDone = ErrSessionLost
	:: whose != instance && unknowns <= ASTRAY -> goto linkLostLocked /* ErrOtherInstance */
#ifdef MUTANT_NEVER
	:: whose != instance && unknowns > ASTRAY -> goto linkLostLocked
#else
	:: whose != instance && unknowns > ASTRAY -> clientDone = ErrSessionLost /* ten seconds are over */
#endif
	fi;
	assert(crashed); /* survives */
	goto over;

closeTimedOut:
	assert(false); /* heard */

ends:
	clientDone = Clean;
	closeTransport(CLIENT, t);
over:
	skip
}

/* What the server does when it knows that the client has everything. */
inline finished()
{
	finAcked = true;
#ifndef OPEN
	saysClosed()
#endif
}

/* saysClosed ends the server's session with its last word. */
inline saysClosed()
{
	send(SERVER, link, ResetClosed, 0, 0);
	serverDone = Clean;
	closeTransport(SERVER, link);
	link = NONE
}

proctype Server()
{
	byte link, pending = NONE, next = 1;
	bool finSent, fin, ping;
	mtype m;

end:
	do
	:: link != NONE && !finSent ->
		send(SERVER, link, FIN, 0, 0);
		finSent = true
	:: atomic { link != NONE && nempty(inbox(SERVER, link)) -> inbox(SERVER, link) ? m(_, _, _, _) };
		if
		:: m == FINACK && !finAcked -> finished()
		:: m == FINACK && finAcked
		:: m == ResetClosed -> finAcked = true; serverDone = Clean; closeTransport(SERVER, link); link = NONE
		fi
	:: atomic { link != NONE && ended(SERVER, link) ->
		closeTransport(SERVER, link);
		link = NONE;
		finSent = false };
		if
		:: finAcked -> serverDone = Clean
		:: !finAcked
		fi
#ifdef MUTANT_SOON
	:: link != NONE && finSent -> saysClosed() /* without the FINACK */
#endif
	:: atomic { next < dials && nempty(inbox(SERVER, next)) -> inbox(SERVER, next) ? RESUME(_, _, _, _) };
		if
		:: crashed ->
			send(SERVER, next, UNKNOWN, instance + 1, 0);
			closeTransport(SERVER, next)
		:: !crashed && serverDone -> /* tombstone */
#ifdef MUTANT_TOMBSTONE
			send(SERVER, next, UNKNOWN, instance, 0);
#else
			send(SERVER, next, ENDED, 0, 0);
#endif
			closeTransport(SERVER, next)
		:: !crashed && !serverDone ->
			if
			:: pending != NONE -> closeTransport(SERVER, pending)
			:: pending == NONE
			fi;
			pending = next;
			send(SERVER, pending, ANSWER, 0, 0)
		fi;
		next++
	:: atomic { next < dials && ended(SERVER, next) -> closeTransport(SERVER, next); next++ }
	:: atomic { pending != NONE && nempty(inbox(SERVER, pending)) -> inbox(SERVER, pending) ? FIRST(fin, ping, _, _) };
		if
		:: serverDone -> closeTransport(SERVER, pending); pending = NONE
		:: !serverDone ->
			if
			:: link != NONE -> closeTransport(SERVER, link)
			:: link == NONE
			fi;
			link = pending;
			pending = NONE;
			finSent = fin;
			if
#ifndef MUTANT_PONG
			:: ping -> send(SERVER, link, PONG, 0, 0)
#else
			:: ping
#endif
			:: !ping
			fi;
			if
			:: fin -> finished()
			:: !fin
			fi
		fi
	:: atomic { pending != NONE && ended(SERVER, pending) -> closeTransport(SERVER, pending); pending = NONE }
#ifdef CRASH
	:: atomic { !crashed && !serverDone ->
		crashed = true;
		if
		:: link != NONE -> closeTransport(SERVER, link); link = NONE
		:: link == NONE
		fi;
		if
		:: pending != NONE -> closeTransport(SERVER, pending); pending = NONE
		:: pending == NONE
		fi }
#endif
	:: atomic { timeout && !serverDone && !crashed && (!finAcked || !open) -> /* closeTimedOut */
		serverDone = Undelivered;
		assert(!finReceived) } /* undelivered */
	od
}

init
{
	atomic {
		run Client();
		run Server();
		run Network()
	}
}

ltl together { <> (clientDone != 0 && (serverDone != 0 || crashed)) }
