package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink"
)

// Why [Join] ends a session by itself.
var (
	// ErrIdle means that no byte has passed for [Limits.Idle].
	ErrIdle = errors.New("proxy: nothing has passed within the idle limit")
	// ErrEnd is not returned: as the cause of a ctx it asks for an end in order.
	ErrEnd = errors.New("proxy: the session is ended in order")
	// ErrLife means that [Limits.Life] is over.
	ErrLife = errors.New("proxy: the session has reached its life limit")
	// ErrNoAnswer means that the connection has not said a word within
	// [Limits.Answer]: the server behind it accepts, and does nothing.
	ErrNoAnswer = errors.New("proxy: the server has accepted the connection and does not answer")
)

// Limits bound a session that is joined to a connection. Zero means no limit.
type Limits struct {
	// Idle is how long no byte may pass in either direction. The time that a
	// session is suspended counts: choose more than relink's ResumeTimeout to leave
	// that to relink.
	Idle time.Duration

	// Life is how long a session may last at all.
	Life time.Duration

	// Answer is how long after the first byte that came over the session the
	// connection may stay without having sent anything.
	Answer time.Duration

	// Unsaid is for sessions whose wire cannot say a half-close, which are those
	// of the classic suites. When the connection has ended its stream, the
	// session is closed as soon as nothing has come over it for this long. Zero
	// means at once, which fits a server behind a proxy: it has usually closed
	// both directions. A client may be waiting for its answer.
	Unsaid time.Duration
}

// Join copies between a session and a connection, both ways, until both have
// ended, and closes both. It returns nil when both directions have ended as the
// applications meant them to and what was written to the session is delivered, as
// far as its wire can tell: see [relink.Conn.CloseContext]. Otherwise it returns what
// went wrong first: an error of either, one of this package, or, when ctx ends,
// its cause. Then the session is aborted and the connection reset. If the cause is
// [ErrEnd] they end in order instead, and Join returns nil: what was written to either is
// delivered, the connection's stream is ended as by the client, and what comes over it
// afterwards is discarded, for up to five seconds.
//
// The connection may have the methods CloseWrite and SetLinger of a
// [net.TCPConn], and may be a session itself. Without CloseWrite, or if that is
// [errors.ErrUnsupported], the end of the session's stream closes it.
// Its Close must interrupt its Read and its Write. An idle session on a TCP connection or a
// Unix socket holds no buffer.
func Join(ctx context.Context, session *relink.Conn, other io.ReadWriteCloser, limits Limits) error {
	j := &join{session: session, other: other, limits: limits, upDone: make(chan struct{})}
	defer context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); errors.Is(cause, ErrEnd) {
			j.end()
		} else {
			j.fail(cause)
		}
	})()
	defer j.watch()()

	downDone := make(chan struct{})
	go func() {
		defer close(downDone)
		j.down()
	}()
	j.up()
	close(j.upDone)
	select {
	case <-downDone:
	case <-session.Done(): // nobody is left to send to
		if err := session.Err(); err != nil {
			j.fail(err)
		}
		if j.closing.Load() { // the connection has been told, and ends by itself
			select {
			case <-downDone:
			case <-time.After(endTime):
			}
		}
		j.shut.Store(true)
		_ = other.Close()
		<-downDone
	}

	j.mu.Lock()
	err := j.err
	j.finished = true
	j.mu.Unlock()
	if err != nil {
		return err
	}
	_ = other.Close()
	// relink bounds it by its CloseTimeout.
	return session.CloseContext(context.WithoutCancel(ctx))
}

// A join is one call of Join. Up is from the session to the connection.
type join struct {
	session *relink.Conn
	other   io.ReadWriteCloser
	limits  Limits
	upDone  chan struct{}

	closing atomic.Bool // the session was closed, because its wire cannot say less or by end
	shut    atomic.Bool // the connection was closed because it cannot be half-closed

	mu       sync.Mutex // guards what follows
	err      error      // the first that ended the join
	finished bool       // both directions have ended
}

// fail ends both, once, unless they have ended already.
func (j *join) fail(err error) {
	j.mu.Lock()
	first := j.err == nil && !j.finished
	if first {
		j.err = err
	}
	j.mu.Unlock()
	if !first {
		return
	}
	j.session.Abort()
	switch o := j.other.(type) { // a reset, not an end
	case interface{ Abort() error }: // a session
		_ = o.Abort()
	case interface{ SetLinger(seconds int) error }:
		_ = o.SetLinger(0)
	}
	_ = j.other.Close()
}

// endTime is how long a connection may take to end when its session was ended.
const endTime = 5 * time.Second

// end closes the session. What follows is up's and down's.
func (j *join) end() {
	j.closing.Store(true)
	_ = j.session.Close()
}

func (j *join) up() {
	_, err := j.session.WriteTo(j.other)
	if j.closing.Load() && errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if err != nil {
		j.fail(err)
		return
	}
	if t, ok := j.other.(interface{ CloseWrite() error }); ok {
		if err := t.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			return // one that has failed tells in the other direction
		}
	}
	j.shut.Store(true)
	_ = j.other.Close()
}

func (j *join) down() {
	_, err := j.session.ReadFrom(j.other)
	if j.closing.Load() && (err == nil || errors.Is(err, net.ErrClosed)) {
		_, _ = io.Copy(io.Discard, j.other) // a connection that is closed with bytes unread is reset
		return
	}
	if err != nil && !j.shut.Load() {
		j.fail(err)
		return
	}
	switch err := j.session.CloseWrite(); {
	case errors.Is(err, errors.ErrUnsupported):
		j.awaitQuiet()
		j.closing.Store(true)
		_ = j.session.Close() // Join waits for the rest
	case errors.Is(err, relink.ErrPeerClosed):
		// The peer has closed both of its directions, and needs no word.
	case err != nil:
		j.fail(err)
	}
}

// awaitQuiet waits until the session has ended its stream, or brought nothing for
// as long as Unsaid.
func (j *join) awaitQuiet() {
	if j.limits.Unsaid <= 0 {
		return
	}
	t := time.NewTicker(j.limits.Unsaid)
	defer t.Stop()
	for last := j.session.Stats().BytesRead; ; {
		select {
		case <-j.upDone:
			return
		case <-t.C:
		}
		now := j.session.Stats().BytesRead
		if now == last {
			return
		}
		last = now
	}
}

// watch holds the limits, with one timer, until its result is called.
func (j *join) watch() (stop func()) {
	step := time.Duration(0)
	for _, limit := range []time.Duration{j.limits.Idle / 4, j.limits.Answer / 4, j.limits.Life} {
		if limit > 0 && (step == 0 || limit < step) {
			step = limit
		}
	}
	if step == 0 {
		return func() {}
	}
	begun := time.Now()
	moved, passed := begun, int64(0) // when bytes were last seen to pass
	var asked time.Time              // when the first was seen to come over the session

	var mu sync.Mutex // guards timer and stopped: the first tick may come before timer is set
	var timer *time.Timer
	stopped := false
	tick := func() {
		s, now := j.session.Stats(), time.Now()
		if n := s.BytesRead + s.BytesWritten; n != passed {
			moved, passed = now, n
		}
		if asked.IsZero() && s.BytesRead > 0 {
			asked = now
		}
		switch l := j.limits; {
		case l.Life > 0 && now.Sub(begun) >= l.Life:
			j.fail(ErrLife)
		case l.Idle > 0 && now.Sub(moved) >= l.Idle:
			j.fail(ErrIdle)
		case l.Answer > 0 && s.BytesWritten == 0 && !asked.IsZero() && now.Sub(asked) >= l.Answer:
			j.fail(ErrNoAnswer)
		default:
			next := step
			if l.Life > 0 {
				next = min(next, l.Life-now.Sub(begun))
			}
			mu.Lock()
			if !stopped {
				timer.Reset(next)
			}
			mu.Unlock()
		}
	}
	mu.Lock()
	timer = time.AfterFunc(step, tick)
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}
