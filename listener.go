package relink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/admission"
	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/roster"
	"github.com/relink-go/relink/internal/socket"
	"github.com/relink-go/relink/internal/suite"
)

// A Listener accepts sessions over the transports of an inner listener, or of several
// ([Listener.AddListener]). A transport that resumes a session never shows up in Accept: it is put below
// the Conn that is there already. All methods may be called from any goroutine.
type Listener struct {
	// Constant after creation.
	addr   net.Listener // the first inner listener, for its address
	set    *settings
	notify *notifier
	totals totals        // its parts are atomic
	budget budget        // so are its own
	wake   chan struct{} // ends a pause of the sweeper
	quit   chan struct{} // closed when accepting ends
	left   chan struct{} // a handshake has ended

	mu         sync.Mutex // guards everything below; taken inside a session's lock, never around it
	acceptable sync.Cond  // backlog, failed or closed has changed
	backlog    roster.Backlog[*Conn]
	sources    []*source // the inner listeners that have not failed
	failure    error     // of the last one, while there is none
	closed     bool
	stopped    bool // an Acceptor's Close was called
	draining   bool // it was, or Shutdown
	shut       bool // Shutdown has closed it, and nobody called Close since
	drained    chan struct{}

	roster     roster.Roster[*Conn] // the sessions, and the sweeper's agenda
	ended      roster.Ended         // what is remembered of others
	handshakes admission.Handshakes[*handshake]
	origins    admission.Origins
	rates      admission.Rates
	alarm      *time.Timer // ends a pause of the sweeper, which has no goroutine then
	watch      []*Conn     // sessions that want attention: see tick
	sweeping   bool

	revocations int  // calls of Revoke so far
	ages        ages // where MaxAge is set

	asking chan struct{} // holds a token for each Authorize under way
}

// A registration is where the listener keeps a session. It is guarded by the
// listener's lock, but offer by the session's.
type registration struct {
	roster.Entry
	offer *handshake // whose session this is while it is provisional
}

// Listen listens on the address with package net and accepts sessions of the
// suites there, with otherwise default settings; see [ListenConfig.Listen].
func Listen(network, address string, suites ...ServerSuite) (*Listener, error) {
	lc := ListenConfig{Suites: suites}
	return lc.Listen(context.Background(), network, address)
}

// Listen listens on the address with package net and accepts sessions there. ctx
// bounds the look-up of the address. A wrong setting is an error that names the
// field.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (*Listener, error) {
	set, err := lc.resolve()
	if err != nil {
		return nil, err
	}
	own := net.ListenConfig{KeepAliveConfig: socket.KeepAlive(set.LivenessTimeout)}
	inner, err := own.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newListener(inner, set, true), nil
}

// NewListener returns a Listener that takes its transports from inner, of
// whatever kind they are. It accepts from inner at once, and closes it when it
// is closed. A wrong setting is an error that names the field, and leaves inner
// as it is.
func NewListener(inner net.Listener, cfg ListenConfig) (*Listener, error) {
	if isNilListener(inner) {
		return nil, errors.New("relink: NewListener needs an inner listener")
	}
	set, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	return newListener(inner, set, false), nil
}

func newListener(inner net.Listener, set *settings, keepAliveSet bool) *Listener {
	l := &Listener{
		addr:   inner,
		set:    set,
		notify: newNotifier(set),
		wake:   make(chan struct{}, 1),
		quit:   make(chan struct{}),
		left:   make(chan struct{}, 1),
		asking: make(chan struct{}, set.MaxHandshakes),
	}
	if set.MaxHandshakesPerAddress < set.MaxHandshakes { // else an address may have all
		l.origins.Most = set.MaxHandshakesPerAddress
	}
	l.rates.Every = max(1, time.Second/time.Duration(set.HandshakeRatePerAddress))
	l.budget.most, l.budget.mostSuspended = set.MaxMemory, set.MaxSuspendedMemory
	l.budget.totals, l.budget.relieve = &l.totals, l.relieve
	l.acceptable.L = &l.mu
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addLocked(&source{inner, set.label, keepAliveSet})
	return l
}

// Accept waits for the next new session and returns it; it is a *[Conn].
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn is [Listener.Accept] with the concrete type. After Close it
// returns an error that is net.ErrClosed, also after Close of an Acceptor, and after a
// failure of the last inner listener that failure. During Shutdown it waits.
//
// A session that ends before it is accepted is never returned, whatever has arrived
// on it. One that OnEvent has not been told of yet waits until OnEvent has returned.
func (l *Listener) AcceptConn() (*Conn, error) {
	c, err := l.nextAcceptable()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.s.unaccepted = false // reading goes on
	c.unlock()
	return c, nil
}

func (l *Listener) nextAcceptable() (*Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed || l.stopped {
			return nil, l.opError(net.ErrClosed)
		}
		if c, ok := l.backlog.Next(); ok {
			return c, nil
		}
		if l.failure != nil && l.backlog.Len() == 0 {
			return nil, l.opError(l.failure)
		}
		l.acceptable.Wait()
	}
}

func (l *Listener) opError(err error) error {
	return &net.OpError{Op: "accept", Net: "relink", Addr: l.Addr(), Err: err}
}

// Addr returns the address of the inner listener that l was made with.
func (l *Listener) Addr() net.Addr { return l.addr.Addr() }

// Close ends accepting, closes the inner listeners, and ends the handshakes
// under way and the sessions that nobody has accepted. Live sessions go on, but
// can no longer be resumed: one that loses its transport, or has none now, ends
// with [ErrSessionLost], or on a classic wire with io.EOF where the transport had
// ended cleanly, which is then all that is known. To let sessions end in their own time call
// [Listener.Shutdown] first. A server that closes its listener by itself is given a
// [Listener.Acceptor].
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		first := l.shut
		l.shut = false
		l.mu.Unlock()
		if first {
			return nil // http.Server closes what Shutdown has closed
		}
		return l.opError(net.ErrClosed)
	}
	l.closed = true
	l.ended.Clear()
	close(l.quit)
	backlog, sources := l.backlog.Clear(), l.sources
	l.sources = nil
	handshakes := l.handshakes.All()
	suspended := l.roster.Away()
	l.acceptable.Broadcast()
	l.mu.Unlock()
	err := closeSources(sources)
	for _, h := range handshakes {
		h.expire()
	}
	for _, c := range backlog {
		_ = c.Abort()
	}
	for _, c := range suspended {
		c.mu.Lock()
		c.expireLocked(ErrSessionLost)
		c.unlock()
	}
	return err
}

// Shutdown refuses new sessions and goes on serving the ones there are, resumes
// included, until all have ended or ctx does. Then it closes the listener, and
// returns ctx.Err if sessions were left.
//
// On a classic wire a client learns of the server's Close by a last resume that
// is refused. If a cut destroys the answer for the last session of all, nobody
// is left to repeat it: the client has read everything, and its next Read
// returns ErrExpired after its ResumeTimeout.
func (l *Listener) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	l.draining = true
	if l.drained == nil {
		l.drained = make(chan struct{})
		if l.roster.Live() == 0 {
			close(l.drained)
		}
	}
	drained := l.drained
	l.mu.Unlock()
	var err error
	select {
	case <-drained:
	case <-l.quit:
	case <-ctx.Done():
		select {
		case <-drained: // both at once
		default:
			err = ctx.Err()
		}
	}
	cerr := l.Close()
	if errors.Is(cerr, net.ErrClosed) {
		return err
	}
	l.mu.Lock()
	l.shut = true
	l.mu.Unlock()
	if err == nil {
		err = cerr
	}
	return err
}

// mayOpenLocked returns why no new session is taken, if none is.
func (l *Listener) mayOpenLocked() error {
	_, givesWay := l.roster.Evictable()
	switch {
	case l.draining || l.closed:
		return errDraining
	case l.roster.Live() >= l.set.MaxSessions && !givesWay,
		l.backlog.Len() >= l.set.MaxHandshakes, l.notify.opening() >= l.set.MaxHandshakes:
		return ErrTooManySessions
	case l.budget.full():
		return ErrMemory
	}
	return nil
}

// offer registers a provisional session.
func (l *Listener) offer(h *handshake, c *Conn, k suite.Key) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case h.over:
		return ErrHandshakeTimeout
	case l.mayOpenLocked() != nil:
		return l.mayOpenLocked()
	case h.asked && h.revocations != l.revocations:
		return errRevokedMeanwhile
	}
	if err := l.roster.Offer(c, &c.registration.Entry, roster.Key{Protocol: h.index, Key: k}); err != nil {
		return err
	}
	h.offered = c
	return nil
}

// admit makes a session that has proven itself one of the live ones, and
// queues it for Accept.
func (l *Listener) admit(c *Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.mayOpenLocked(); err != nil {
		return err
	}
	l.evictLocked()
	l.roster.Admit(c, &c.registration.Entry)
	if l.set.MaxAge > 0 {
		l.ages.begin(c, l.set.MaxAge, func() { l.deny(c, fmt.Errorf("%w: %w", ErrDenied, errTooOld)) })
	}
	l.totals.opened.Add(1)
	l.backlog.Add(c, l.notify.tells())
	l.acceptable.Signal()
	return nil
}

// find returns the session with the key, or if it has ended what is remembered of it.
func (l *Listener) find(k roster.Key) (c *Conn, ended suite.Target, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok = l.roster.Find(k); !ok {
		ended, ok = l.ended.Find(k)
	}
	return c, ended, ok && !l.closed
}

// resumes reports whether sessions can be resumed here.
func (l *Listener) resumes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closed
}

// setKeys replaces a session's keys.
func (l *Listener) setKeys(c *Conn, protocol int, keys []suite.Key) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.registration.Known() {
		return ErrUnknownSession // ended meanwhile
	}
	next := make([]roster.Key, len(keys))
	for i, k := range keys {
		next[i] = roster.Key{Protocol: protocol, Key: k}
	}
	return l.roster.SetKeys(c, &c.registration.Entry, next)
}

// forget drops a session that has ended.
func (l *Listener) forget(c *Conn, end *suite.EndedError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if end != nil && !l.closed && c.registration.Known() {
		l.ended.Add(c.s.send.Session, end, c.registration.Keys(), c.s.ended.resumeTimeoutOr(c.set.ResumeTimeout), &l.mu)
	} else {
		roster.Erase(c.s.send.Session)
	}
	wasLive := l.dropLocked(c)
	if l.failure != nil {
		l.acceptable.Broadcast() // it may have been what Accept was waiting for
	}
	if !wasLive || l.roster.Live() > 0 {
		return
	}
	if l.watch = nil; l.sweeping {
		l.sweepLocked() // only ended sessions were left to look after
	}
	if l.drained != nil {
		close(l.drained)
	}
}

// dropLocked takes a session out of everything that it is in, and reports whether it was live.
func (l *Listener) dropLocked(c *Conn) (live bool) {
	live = l.roster.Drop(c, &c.registration.Entry)
	l.backlog.Remove(c)
	l.ages.end(c)
	l.rescheduledLocked()
	return live
}

// suspend notes that a session has lost its link and when it expires. It
// returns false when it cannot be resumed.
func (l *Listener) suspend(c *Conn, evictable bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.roster.Suspend(c, &c.registration.Entry, clock.In(c.s.ended.resumeTimeoutOr(c.set.ResumeTimeout)), evictable) {
		l.sweepLocked()
	}
	return true
}

// unscheduleLocked takes a session off the sweeper's agenda.
func (l *Listener) unscheduleLocked(c *Conn) {
	l.roster.Unschedule(c, &c.registration.Entry)
	l.rescheduledLocked()
}

// rescheduledLocked sees to it that the sweeper does not wait for what is not on its agenda any more.
func (l *Listener) rescheduledLocked() {
	switch _, _, more := l.roster.Next(); {
	case more:
	case l.sweeping:
		l.sweepLocked() // it may be the time that it waited for, and its end
	case l.alarm != nil:
		l.alarm.Stop()
	}
}

// An acceptor is a listener for servers: see [Listener.Acceptor].
type acceptor struct {
	l      *Listener
	closed atomic.Bool
}

// Acceptor returns l as a server wants it that closes its listener first and waits for
// its connections afterwards, as Shutdown of an http.Server and GracefulStop of a gRPC
// server do: its Close only ends accepting. New sessions are refused from then on, those
// that nobody has accepted end, and the others stay resumable until they end or l is
// closed. Addr is that of l; Accept returns what [Listener.Accept] does.
//
// All acceptors of a listener accept from it, and after Close of one nothing more is
// accepted by the others or by l. The program that has made l closes it, once the server
// has stopped: [Listener.Shutdown] also waits until what the sessions have written is
// delivered.
func (l *Listener) Acceptor() net.Listener { return &acceptor{l: l} }

func (a *acceptor) Accept() (net.Conn, error) { return a.l.Accept() }

func (a *acceptor) Addr() net.Addr { return a.l.Addr() }

func (a *acceptor) Close() error {
	if a.closed.Swap(true) {
		return a.l.opError(net.ErrClosed)
	}
	a.l.stopAccepting()
	return nil
}

// stopAccepting refuses new sessions, and ends those that wait for Accept: nobody
// would ever serve them.
func (l *Listener) stopAccepting() {
	l.mu.Lock()
	l.draining, l.stopped = true, true
	backlog := l.backlog.Clear()
	l.acceptable.Broadcast()
	l.mu.Unlock()
	for _, c := range backlog {
		_ = c.Abort()
	}
}
