package simulation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// Options change how a schedule is run.
type Options struct {
	Trace bool // keep what happened

	// Wrap, if not nil, wraps each transport that a client dials. The tests of
	// this package do harm with it that the network would never do.
	Wrap func(net.Conn) net.Conn
}

// Run plays a schedule in a bubble of its own. What it finds wrong is in the
// result, and no failure of t. A panic of the library is not caught.
func Run(t *testing.T, s Schedule, o Options) (r Result) {
	t.Helper()
	collect()
	w := &world{s: s, o: o, wire: suites[s.Suite], bell: make(chan struct{}, 1)}
	w.counts = newCounts()
	seedRandom(t, s.Seed)
	defer func() {
		// What synctest has to say of a bubble that is stuck, or of goroutines
		// that are left, is a panic in this goroutine.
		if p := recover(); p != nil {
			w.fail("deadlock", "%v", p)
		}
		r = Result{Failure: w.failure, Counts: w.counts, Trace: w.trace()}
	}()
	synctest.Test(t, func(*testing.T) { w.run() })
	return r
}

// A world is one schedule while it is played.
type world struct {
	// Constant after creation.
	s     Schedule
	o     Options
	wire  wire
	start time.Time
	net   *faultnet.Network
	inner *faultnet.Listener
	l     *relink.Listener
	bell  chan struct{} // rung when something has changed that the main goroutine may wait for

	mu        sync.Mutex // guards everything below; never held in a call that waits
	sessions  []*session
	lives     map[*relink.Conn]*life
	unclaimed map[string]*relink.Conn // accepted, and not known whose they are
	strays    []*relink.Conn          // accepted, and nobody's
	dials     dialFaults
	stopped   bool // the listener takes no resumes, or will not before long
	draining  bool
	ending    bool // what is accepted now is nobody's
	hostiles  []net.Conn
	silent    []*faultnet.Path // which are, or will be, black holes
	failure   *Failure
	counts    Counts
	lines     map[string][]string // the trace, by who tells

	wg sync.WaitGroup // of all goroutines of the simulation
}

// A session is one client, and the server's end once it is known.
type session struct {
	w       *world
	index   int
	dialer  relink.Dialer
	dialing bool
	dials   int
	client  *end
	server  *end
	paths   []*faultnet.Path // of its dials, oldest first
}

// fail notes the first thing that is wrong.
func (w *world) fail(class, format string, a ...any) {
	if w.failure == nil {
		w.failure = &Failure{Class: class, Detail: fmt.Sprintf(format, a...)}
		if !w.start.IsZero() {
			w.failure.At = time.Since(w.start)
		}
		w.tell("model", "%v", w.failure)
	}
}

// tell adds a line to the trace.
func (w *world) tell(who, format string, a ...any) {
	if w.o.Trace {
		w.lines[who] = append(w.lines[who], fmt.Sprintf("%v %s: ", time.Since(w.start), who)+fmt.Sprintf(format, a...))
	}
}

// ring wakes the main goroutine if it waits.
func (w *world) ring() {
	select {
	case w.bell <- struct{}{}:
	default:
	}
}

// run is the bubble's main goroutine.
func (w *world) run() {
	w.start = time.Now()
	w.lives = map[*relink.Conn]*life{}
	w.unclaimed = map[string]*relink.Conn{}
	w.lines = map[string][]string{}
	w.bell = make(chan struct{}, 1) // channels belong to their bubble
	w.dials.whole = w.start
	w.net = faultnet.New()
	w.net.SetOptions(w.pathOptions())
	w.inner = w.net.Listen()
	var err error
	if w.l, err = relink.NewListener(w.inner, relink.ListenConfig{Config: w.config(Server), Suites: []relink.ServerSuite{w.wire.server}}); err != nil {
		w.fail("invalid schedule", "%v", err)
		return
	}
	for i := range max(1, w.s.Conns) {
		s := &session{w: w, index: i}
		s.client, s.server = newEnd(s, Client), newEnd(s, Server)
		s.client.peer, s.server.peer = s.server, s.client
		s.dialer = relink.Dialer{
			Config: w.config(Client), Suite: w.wire.client, DialTransport: s.dial,
			AttemptTimeout: w.s.Attempt, MinBackoff: w.s.MinBackoff, MaxBackoff: w.s.MaxBackoff,
		}
		w.sessions = append(w.sessions, s)
	}
	w.wg.Go(w.accept)
	w.play()
	if w.ok() {
		w.heal()
	}
	if w.ok() {
		w.finish()
	}
	w.clean()
	w.count()
}

func (w *world) pathOptions() faultnet.Options {
	return faultnet.Options{
		Buffer: w.s.Buffer, Segment: w.s.Segment, Delay: w.s.Delay, Opaque: w.s.Opaque,
		ResetOnUnread: w.s.ResetOnUnread, ShortWrites: w.s.ShortWrites, EOFWithData: w.s.EOFWithData,
	}
}

func (w *world) config(side Side) relink.Config {
	c := relink.Config{
		ReplayLimit:      w.s.ServerLimit,
		ResumeTimeout:    w.resumeTimeout(side),
		HandshakeTimeout: w.s.Handshake,
		CloseTimeout:     w.s.Linger,
		LivenessTimeout:  w.s.Liveness,
		OnEvent:          func(e relink.Event) { w.event(side, e) },
	}
	if side == Client {
		c.ReplayLimit = w.s.ClientLimit
	}
	return c
}

func (w *world) resumeTimeout(side Side) time.Duration {
	if side == Client {
		return w.s.ClientResume
	}
	return w.s.ServerResume
}

// ok reports whether nothing is wrong so far.
func (w *world) ok() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure == nil
}

// rest waits until nothing moves any more and looks at everything.
func (w *world) rest() {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inspect()
}

// await waits until the condition holds, which is looked at under the lock, or
// for as long as bound, and reports whether it holds.
func (w *world) await(bound time.Duration, holds func() bool) bool {
	timer := time.NewTimer(bound)
	defer timer.Stop()
	for {
		w.mu.Lock()
		yes, failed := holds(), w.failure != nil
		w.mu.Unlock()
		if yes || failed {
			return yes
		}
		select {
		case <-w.bell:
		case <-timer.C:
			return false
		}
	}
}

// accept takes sessions from the listener until it ends, and finds out whose
// they are.
func (w *world) accept() {
	for {
		c, err := w.l.AcceptConn()
		w.mu.Lock()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				w.fail("accept", "Accept has failed: %v", err)
			}
			w.mu.Unlock()
			return
		}
		w.claim(c)
		w.mu.Unlock()
	}
}

// claim finds the client of an accepted session. It may not know of it yet.
func (w *world) claim(c *relink.Conn) {
	if w.ending {
		w.strays = append(w.strays, c)
		_ = c.Abort()
		return
	}
	for _, s := range w.sessions {
		if s.client.conn != nil && s.client.conn.ID() == c.ID() {
			if s.server.conn != nil {
				w.fail("accepted twice", "session %d", s.index)
				w.strays = append(w.strays, c)
				return
			}
			s.server.attach(c)
			return
		}
	}
	w.unclaimed[c.ID()] = c
}

// open dials for a session that is not open. The lock is held.
func (s *session) open() bool {
	if s.client.conn != nil || s.dialing {
		return false
	}
	s.dialing = true
	began := time.Now()
	s.w.wg.Go(func() {
		c, err := s.dialer.DialConn(context.Background(), "tcp", "server")
		w := s.w
		w.mu.Lock()
		defer w.mu.Unlock()
		defer w.ring()
		s.dialing = false
		if err != nil {
			w.tell(s.client.name, "dial: %v", err)
			w.counts.Errors["client dial "+errorName(err)]++
			w.judgeDial(s, err, began)
			return
		}
		s.client.attach(c)
		if other, ok := w.unclaimed[c.ID()]; ok {
			delete(w.unclaimed, c.ID())
			s.server.attach(other)
		}
	})
	return true
}

// A dialFault is a fault of the paths to come.
type dialFault struct {
	step Step
	left int
}

// dialFaults are the faults of dials to come.
type dialFaults struct {
	faults []*dialFault // in order of their steps
	down   faultnet.DownKind
	asleep bool
	slept  int       // how often the device has slept
	whole  time.Time // since when dials have no fault; zero while they have
}

// changed notes whether the network is whole now.
func (d *dialFaults) changed() {
	faulty := d.down != faultnet.NotDown || d.asleep || len(d.faults) > 0
	switch {
	case faulty:
		d.whole = time.Time{}
	case d.whole.IsZero():
		d.whole = time.Now()
	}
}

// take returns the faults that the next dial has, of those that fail it or of
// the others.
func (d *dialFaults) take(fails bool) (taken []Step) {
	var left []*dialFault
	for _, f := range d.faults {
		if (f.step.Do == FailDials) == fails {
			taken = append(taken, f.step)
			f.left--
		}
		if f.left > 0 {
			left = append(left, f)
		}
	}
	d.faults = left
	d.changed()
	return taken
}

// errNoNetwork is what a dial fails with that is made to.
var errNoNetwork error = &net.OpError{Op: "dial", Net: "faultnet", Err: syscall.ENETUNREACH}

// dial is the session's DialTransport.
func (s *session) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	w := s.w
	w.mu.Lock()
	slept := w.dials.slept
	failing := w.dials.take(true)
	s.dials++
	skew := time.Duration(s.index*1009 + s.dials%100*17)
	w.mu.Unlock()
	// Dials that begin in one instant, of two sessions, end in two: what follows
	// then has an order.
	time.Sleep(skew)
	if len(failing) > 0 {
		return nil, errNoNetwork
	}
	c, err := w.net.DialThrough(ctx, func(p *faultnet.Path) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		s.paths = append(s.paths, p)
		w.counts.Paths++
		if w.records() {
			p.Record()
		}
		for _, f := range w.dials.take(false) {
			switch f.Do {
			case CutDials:
				w.counts.Cuts[f.Kind.String()+" in a handshake"]++
				p.CutAt(f.Dir, int64(f.M), f.Kind)
				w.silenced(p, f.Kind)
			case StallDials:
				p.Stall(f.Dir)
			case LoseAnswers:
				p.CutAt(faultnet.Down, 0, faultnet.BlackHoleDown)
				w.silenced(p, faultnet.BlackHoleDown)
			default:
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	slept -= w.dials.slept
	w.mu.Unlock()
	if slept != 0 { // the system has given up on the dial while it slept
		_ = c.Close()
		return nil, errNoNetwork
	}
	if w.o.Wrap != nil {
		c = w.o.Wrap(c)
	}
	return c, nil
}

// records reports whether a step will want what the clients have sent.
func (w *world) records() bool {
	for _, st := range w.s.Steps {
		if st.Do == Hostile {
			return true
		}
	}
	return false
}
