/*
 * The transports of both models, and the network that they run over.
 *
 * A transport is a pair of first-in, first-out channels of at most CAPACITY
 * messages each: what the kernels and the relays between them can hold. Its
 * number is never used again, so it also serves wherever a protocol draws
 * something fresh for a transport: a challenge (snet), a secret (noise).
 *
 * The network loses: a cut (at most CUTS in a run) breaks a transport for good.
 * What is sent from then on vanishes, and what was under way may still arrive,
 * all of it or only the beginning, before each side sees the end in its own
 * time. So one side may long be on another transport while the other still
 * reads the old one: a connection that is delayed as a whole. A cut also stands
 * for a side that gives a transport up by itself: NetworkChanged, a ping that is
 * not answered, a time limit of a handshake or of an attempt.
 *
 * That a connection is duplicated is the attacker's work, see the models.
 */

#define CLIENT 0
#define SERVER 1
#define NONE TRANSPORTS /* no transport */

#define other(side) (1 - (side))

/* What side has yet to read from transport t. */
#define inbox(side, t) wire[2 * (t) + (side)]

/* Whether side has closed transport t. */
#define closed(side, t) shut[2 * (t) + (side)]

/* Whether what side sends on transport t vanishes. */
#define lost_on(side, t) (broken[t] || closed(other(side), t) || closed(side, t))

/* Whether side may see that transport t has ended: after a cut at any time, after
   the other side's close once it has read everything. */
#define ended(side, t) \
	(broken[t] || closed(other(side), t) && empty(inbox(side, t)))

chan wire[2 * TRANSPORTS] = [CAPACITY] of { mtype, byte, byte, byte, byte };
bool shut[2 * TRANSPORTS];
bool broken[TRANSPORTS];
byte dials = 1; /* transports so far; the session is opened over number 0 */
byte cuts = CUTS;

/* dial gives the caller a new transport. That there is always one is itself
   checked: the bound TRANSPORTS must not hide behaviour. */
inline dial(new)
{
	assert(dials < TRANSPORTS);
	new = dials;
	dials++
}

/* Whether a Write of side on transport t returns now. */
#define room(side, t) (lost_on(side, t) || nfull(inbox(other(side), t)))

/* transmit is such a Write. */
inline transmit(who, over, kind, f1, f2, f3, f4)
{
	atomic {
		room(who, over);
		if
		:: lost_on(who, over)
		:: !lost_on(who, over) -> inbox(other(who), over) ! kind(f1, f2, f3, f4)
		fi
	}
}

/* drop forgets what nobody will read any more, so that states which differ in
   nothing else are one. */
inline drop(who, over)
{
	do
	:: nempty(inbox(who, over)) -> inbox(who, over) ? _(_, _, _, _)
	:: empty(inbox(who, over)) -> break
	od
}

/* closeTransport is what the code calls closeTransport. */
inline closeTransport(who, over)
{
	d_step {
		closed(who, over) = true;
		drop(who, over);
		if
		:: closed(other(who), over) -> broken[over] = false /* nobody looks any more */
		:: !closed(other(who), over)
		fi
	}
}

/* Network breaks transports, until it stops doing so. */
proctype Network()
{
	byte t;
end:
	do
	:: atomic {
		cuts > 0 -> t = 0;
		do
		:: t < dials - 1 -> t++
		:: break
		od;
		if
		:: !broken[t] && !closed(CLIENT, t) && !closed(SERVER, t) ->
			broken[t] = true;
			cuts--
		:: cuts = 0
		fi;
		t = 0
	   }
	od
}
