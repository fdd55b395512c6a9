package relink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/drain"
	"github.com/relink-go/relink/internal/suite"
)

// A client that has a link moves to another one without a break: where its network has
// changed, where its server asks it to (a drain), and now and then if it is told to
// renew. See docs/adr/0054-moving-without-a-break.md.
//
// It dials beside the link, as under a suspicion (see suspicion.go), but what the link
// says meanwhile changes nothing. On a wire with records the old link serves both ways until the
// answer over the new transport is taken. A classic wire gives the session away with the
// resume's first message: there the old link is given up when the new transport is
// connected, so that the gap is the handshake.

const (
	// mostMoves is how many attempts a move takes at most.
	mostMoves = 4

	// drainEvery is the least time between two moves that a server has asked for, so that
	// servers that send a client around in a circle cost little.
	drainEvery = 10 * time.Second

	// shutdownDrain is the time in which Shutdown asks clients to move, where its ctx has no
	// deadline.
	shutdownDrain = 10 * time.Second

	// renewEvery is the least [Dialer.RenewEvery].
	renewEvery = time.Second
)

// A migration is under way on a client.
type migration struct {
	why      moveReason
	to       string // the address that the server has named, or empty for the one in use
	tries    int
	received int64 // of the peer's stream, when it began
	asked    bool  // a ping went out then, if its answer has not come
}

// The state of a client that may be moving.
type moves uint8

const (
	stays          moves = iota
	movesOn              // and the link is as good as it was
	movesUncertain       // the network has changed since there is this link
)

type moveReason uint8

const (
	moveNetwork moveReason = iota // the application says that the network has changed
	moveDrain                     // the server asks for it
	moveRenew                     // it is time
)

// A moving is what a client knows of its moves. Its lock is the session's.
type moving struct {
	now     *migration  // under way, or nil
	drain   suite.Drain // what the server has asked for last
	due     clock.Time  // when the client follows it, or zero
	last    clock.Time  // when it last followed one, or zero
	renew   clock.Time  // when the transport is to be renewed, or zero
	timer   *time.Timer // for the earlier of the two
	attempt bool        // the attempt under way is a move's
}

// moveLocked begins a move, in place of one that is under way.
func (r *redialer) moveLocked(c *Conn, m migration) {
	m.received = c.s.recv.Received()
	c.s.moves = movesOn
	if m.why == moveNetwork {
		c.s.moves = movesUncertain
		if m.asked = c.s.send.Traits.Pings; m.asked {
			c.s.pingDue = true
			c.s.hearAcks()
		}
	}
	r.moving.now = &m
	r.startLocked(c)
}

// moveOverLocked ends a move, whatever has come of it.
func (r *redialer) moveOverLocked(c *Conn) {
	r.moving.now, c.s.moves = nil, stays
}

// attemptMoveLocked makes one attempt at a move, beside the link that is there, and pauses
// if it comes to nothing. None of its failures is final: the link is there.
func (r *redialer) attemptMoveLocked(c *Conn) {
	l, m := c.s.link, r.moving.now
	if pause := r.intervalLeftLocked(); pause > 0 {
		r.pauseBesideLocked(c, pause)
		return
	}
	r.moving.attempt = true
	err := r.attemptLocked(c, Event{}, m.to)
	r.moving.attempt = false
	switch {
	case err == nil, r.moving.now != m, c.s.link != l: // done, told again, or there is nothing to move from
		return
	}
	m.tries++
	var refused *drainRefusedError
	switch {
	case m.why != moveNetwork && (m.tries >= mostMoves || errors.As(err, &refused) || errors.Is(err, suite.ErrOtherInstance) || finalAnswer(err)):
		r.moveOverLocked(c)
		if m.why == moveDrain {
			c.notify.post(Event{Kind: EventDraining, Conn: c, Remote: c.RemoteAddr(), To: m.to, Err: err})
		}
		return
	case m.why == moveNetwork && m.tries >= mostMoves:
		alive := c.s.recv.Received() > m.received || m.asked && l.answered(c.s.pingDue)
		r.moveOverLocked(c)
		if !alive {
			c.linkLostLocked(l, errNetworkChanged)
		}
		return
	}
	r.pauseBesideLocked(c, c.set.backoff(m.tries-1))
}

// pauseBesideLocked waits while there is a link.
func (r *redialer) pauseBesideLocked(c *Conn, d time.Duration) {
	r.beside = true
	r.pauseLocked(c, d)
	r.beside = false
}

// attachedLocked notes that the session has a new link: what is asked for is done with
// that, unless it is another address.
func (r *redialer) attachedLocked(c *Conn) {
	r.moveOverLocked(c)
	m := &r.moving
	if m.drain.Address == "" {
		m.due = 0
	}
	if every := c.set.RenewEvery; every > 0 {
		m.renew = clock.Now().Add(every - random(every/8))
	}
	r.armLocked(c)
}

// drainedLocked does what the server asks for: at a random moment.
func (r *redialer) drainedLocked(c *Conn, d suite.Drain) {
	within := time.Duration(d.Within) * time.Millisecond
	c.notify.post(Event{Kind: EventDraining, Conn: c, Remote: c.RemoteAddr(), To: d.Address, Within: within})
	m := &r.moving
	m.drain, m.due = d, clock.Now()
	if within > 0 {
		m.due = m.due.Add(random(within))
	}
	if m.last != 0 {
		m.due = max(m.due, m.last.Add(drainEvery))
	}
	r.armLocked(c)
}

// armLocked sets the timer for what comes next.
func (r *redialer) armLocked(c *Conn) {
	m := &r.moving
	next := m.renew
	if m.due != 0 && (next == 0 || m.due < next) {
		next = m.due
	}
	switch {
	case next == 0:
	case m.timer == nil:
		m.timer = time.AfterFunc(next.Until(), func() { r.moveNow(c) })
	default:
		m.timer.Reset(next.Until())
	}
}

// moveNow is called when the time for a move has come. Where there is no link it waits for
// one.
func (r *redialer) moveNow(c *Conn) {
	c.mu.Lock()
	defer c.unlock()
	m := &r.moving
	if c.s.done || c.s.closed || c.s.leaving || c.s.link == nil {
		return
	}
	now := clock.Now()
	switch {
	case m.due != 0 && m.due <= now:
		m.due, m.last = 0, now
		r.moveLocked(c, migration{why: moveDrain, to: m.drain.Address})
	case m.renew != 0 && m.renew <= now:
		m.renew = now.Add(c.set.RenewEvery)
		if m.now == nil {
			r.moveLocked(c, migration{why: moveRenew})
		}
	}
	r.armLocked(c)
}

// A drainRefusedError says why a client does not go where its server sends it.
type drainRefusedError struct{ error }

func (r *drainRefusedError) Unwrap() error { return r.error }

func (*drainRefusedError) Is(target error) bool { return target == ErrDrainRefused }

func (r *drainRefusedError) Error() string { return ErrDrainRefused.Error() + ": " + r.error.Error() }

// target returns the address to dial for the one that the server has named, if the
// application has nothing against it.
func (r *redialer) target(ctx context.Context, named string) (string, error) {
	target, err := drain.Target(r.dialled, named)
	switch {
	case err != nil:
	case r.drainTo != nil:
		err = callDrainTo(ctx, r.drainTo, target)
	default:
		err = drain.SameHost(r.dialled, target)
	}
	if err != nil {
		return "", &drainRefusedError{err}
	}
	return target, nil
}

// callDrainTo asks the application. Whatever it does, it costs one move.
func callDrainTo(ctx context.Context, drainTo func(context.Context, string) error, target string) error {
	verdict := make(chan error, 1)
	go func() {
		err := errors.New("Dialer.DrainTo has ended its goroutine")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("Dialer.DrainTo panicked: %v", p)
			}
			verdict <- err
		}()
		err = drainTo(ctx, target)
	}()
	select {
	case err := <-verdict:
		return err
	case <-ctx.Done():
		return fmt.Errorf("Dialer.DrainTo took too long: %w", ctxError(ctx))
	}
}

// checkReach returns an error if the address that is connected to leads where the server
// may not send the client.
func (r *redialer) checkReach(resolved string) error {
	if err := drain.Check(resolved, r.reach); err != nil {
		return &drainRefusedError{err}
	}
	return nil
}

// The server's side.

// A drained is what a server has asked a client for.
type drained struct {
	to    string
	until clock.Time
	sent  bool
	moved *drainWait // who waits for it, or nil
}

// A drainWait waits for clients that are to move.
type drainWait struct {
	left atomic.Int64
	done chan struct{}
}

// one has moved, or ended.
func (w *drainWait) one() {
	if w != nil && w.left.Add(-1) == 0 {
		close(w.done)
	}
}

// drainDue reports whether the client is still to be asked to move.
func (e *ending) drainDue() bool { return e != nil && e.drained != nil && !e.drained.sent }

// take returns what a record is to ask the client for.
func (d *drained) take() *suite.Drain {
	d.sent = true
	return &suite.Drain{Within: uint32(max(0, d.until.Until()).Milliseconds()), Address: d.to}
}

// drainAnswered notes that the session has a new link, or none any more. It reports whether
// that is a client that did as it was asked.
func (s *session) drainAnswered(over bool) (moved bool) {
	if s.ended == nil || s.ended.drained == nil {
		return false
	}
	d := s.ended.drained
	if !over && !d.sent && d.to != "" {
		return false // it is told on the new link
	}
	d.moved.one()
	s.ended.drained = nil
	return d.sent && !over
}

// checkDrain returns what is wrong with the arguments of a drain.
func checkDrain(within time.Duration, to string) error {
	if within < 0 || within > suite.MaxDrain*time.Millisecond {
		return fmt.Errorf("relink: a drain within %v: use 0 to %v", within, suite.MaxDrain*time.Millisecond)
	}
	if err := (suite.Drain{Address: to}).Check(); err != nil {
		return fmt.Errorf("relink: %w", err)
	}
	if to == "" {
		return nil
	}
	if _, err := drain.Target("host:1", to); err != nil {
		return fmt.Errorf("relink: a drain to %w", err)
	}
	return nil
}

// drain asks the client to move, and reports whether it was told or will be.
func (c *Conn) drain(within time.Duration, to string, w *drainWait) bool {
	c.mu.Lock()
	defer c.unlock()
	if c.s.done || c.s.closed || !c.s.send.Session.Peer().Moves {
		return false
	}
	if c.s.link == nil && (to == "" || w != nil) {
		w = nil // whoever comes back has a new transport; nobody waits for that
		if to == "" {
			return false
		}
	}
	if w != nil {
		w.left.Add(1)
	}
	e := c.s.ending()
	if e.drained != nil {
		e.drained.moved.one()
	}
	e.drained = &drained{to: to, until: clock.In(within), moved: w}
	return true
}

// Drain asks the client of this session to move, as [Listener.Drain] does those of all, and does
// not wait for it. It returns errors.ErrUnsupported on a client, and where the suite
// or the client cannot do it.
func (c *Conn) Drain(within time.Duration, to string) error {
	if err := checkDrain(within, to); err != nil {
		return c.opError("drain", err)
	}
	if c.server == nil || !c.s.send.Session.Peer().Moves {
		return c.opError("drain", fmt.Errorf("%w: no server, or a client that cannot be asked to move", errors.ErrUnsupported))
	}
	c.drain(within, to, nil)
	return nil
}

// Drain asks the clients to move to new transports, each at a random moment within the
// time (at most 24 hours), and waits until they have. Where several addresses are given
// each client gets one of them, in turn; where none is, a client dials the address
// that it used before. An address is "host:port", or ":port" for another port of the
// host that the client has dialled. It must lead to this Listener (another of its inner listeners, or a
// relay to it): sessions stay in this process. A client goes to another host only if its
// [Dialer.DrainTo] says so.
//
// Nothing stops meanwhile: the old transport serves until the new one is confirmed. A
// later Drain replaces an earlier one. Sessions without a transport are told when they
// come back, if there is an address, and not waited for.
//
// Drain returns how many connected sessions have stayed: those of the classic suites, whose wires
// have no word for it, those of older clients, and those that have not moved 10 seconds
// after the time was up. The error is ctx.Err if ctx ends first, net.ErrClosed when the listener is closed, or
// that of an address; those that have moved until then have.
func (l *Listener) Drain(ctx context.Context, within time.Duration, to ...string) (stayed int, err error) {
	for _, a := range to {
		if err := checkDrain(within, strings.TrimSpace(a)); err != nil || a == "" {
			return 0, &net.OpError{Op: "drain", Net: "relink", Addr: l.Addr(), Err: errors.Join(err, emptyAddress(a))}
		}
	}
	if err := checkDrain(within, ""); err != nil {
		return 0, &net.OpError{Op: "drain", Net: "relink", Addr: l.Addr(), Err: err}
	}
	w := &drainWait{done: make(chan struct{})}
	w.left.Store(1)
	stayed = l.askToMove(within, to, w)
	w.one()
	timer := time.NewTimer(within + drainEvery)
	defer timer.Stop()
	select {
	case <-w.done:
		return stayed, nil
	case <-timer.C:
	case <-l.quit:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	return stayed + int(w.left.Load()), err
}

// emptyAddress is the error of an address that is none.
func emptyAddress(a string) error {
	if a == "" {
		return errors.New("relink: an address to drain to is empty: give none for the address in use")
	}
	return nil
}

// askToMove asks all clients, and returns how many connected ones it could not ask.
func (l *Listener) askToMove(within time.Duration, to []string, w *drainWait) (stay int) {
	i := 0
	for c := range l.Sessions() {
		address := ""
		if len(to) > 0 {
			address = to[i%len(to)]
		}
		if c.drain(within, address, w) {
			i++
		} else if c.State() == StateConnected {
			stay++
		}
	}
	return stay
}
