package gaptest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A waiter is a call that waits.
type waiter struct {
	name string
	only func(s suite) bool

	// like is the name of another that is woken by the same and by the time its call
	// returns for good; or nothing.
	like string

	// prepare sees to it that there is something to wait for; nil does nothing. The
	// session may be suspended.
	prepare func(w *world, e *end)

	// calls begins as many calls as belong to it, which wait.
	calls func(w *world, e *end, ctx context.Context) []*call
}

// much is more than the network and both buffers hold.
const much = 3 * replayLimit

var waiters = []waiter{
	{name: "Read", calls: func(_ *world, e *end, _ context.Context) []*call {
		return []*call{e.start(reads, "Read", func() (int, error) { return e.read(64) })}
	}},
	{name: "Reads", calls: func(_ *world, e *end, _ context.Context) []*call { // which one has the transport
		var all []*call
		for range 3 {
			all = append(all, e.start(reads, "a Read of several", func() (int, error) { return e.readNow(64) }))
			synctest.Wait()
		}
		return all
	}},
	{name: "Write", calls: func(_ *world, e *end, _ context.Context) []*call { // for room
		return []*call{e.start(writes, "Write", func() (int, error) { return e.write(scenarioLane, much) })}
	}},
	{name: "Writes", calls: func(_ *world, e *end, _ context.Context) []*call { // for its turn
		first := e.start(writes, "the first Write", func() (int, error) { return e.write(scenarioLane, much) })
		synctest.Wait()
		second := e.start(writes, "the second Write", func() (int, error) { return e.write(actionLane, 10) })
		return []*call{first, second}
	}},
	{name: "WriteTo", like: "Read", calls: func(_ *world, e *end, _ context.Context) []*call {
		return []*call{e.start(reads, "WriteTo", func() (int, error) {
			n, err := e.WriteTo(checker{e})
			return int(n), err
		})}
	}},
	{name: "ReadFrom", like: "Write", calls: func(_ *world, e *end, _ context.Context) []*call {
		b := e.next(scenarioLane, much)
		return []*call{e.start(writes, "ReadFrom", func() (int, error) {
			n, err := e.ReadFrom(bytes.NewReader(b))
			e.fellShort(scenarioLane, much-int(n))
			return int(n), err
		})}
	}},
	{name: "WaitAcked", only: isNoise, prepare: (*world).writeUnread, calls: func(_ *world, e *end, ctx context.Context) []*call {
		return []*call{e.start(none, "WaitAcked", func() (int, error) { return 0, e.WaitAcked(ctx, e.Stats().BytesWritten) })}
	}},
	{name: "Flush", prepare: (*world).writeUndelivered, calls: func(_ *world, e *end, ctx context.Context) []*call {
		return []*call{e.start(none, "Flush", func() (int, error) { return 0, e.Flush(ctx) })}
	}},
	{name: "CloseContext", prepare: (*world).writeUndelivered, calls: func(_ *world, e *end, ctx context.Context) []*call {
		return []*call{e.start(none, "CloseContext", func() (int, error) { return 0, e.CloseContext(ctx) })}
	}},
	{name: "Done", calls: func(_ *world, e *end, _ context.Context) []*call {
		return []*call{e.start(none, "Done", func() (int, error) {
			<-e.Done()
			return 0, nil
		})}
	}},
}

// A checker takes what an end has read.
type checker struct{ e *end }

func (c checker) Write(p []byte) (int, error) { return len(p), c.e.check(p) }

// writeUnread writes what the peer does not read.
func (w *world) writeUnread(e *end) {
	_, err := e.write(lastLane, 100)
	require.NoError(w.t, err)
}

// writeUndelivered writes more than a transport takes that goes no further.
func (w *world) writeUndelivered(e *end) {
	p := w.path()
	p.Stall(faultnet.Up)
	p.Stall(faultnet.Down)
	_, err := e.write(lastLane, 50_000)
	require.NoError(w.t, err)
}

// goOn takes away what keeps the session from going on, and reads what e has written.
func (w *world) goOn(e *end) {
	p := w.path()
	p.Release(faultnet.Up)
	p.Release(faultnet.Down)
	if e.State() != relink.StateConnected {
		w.comeBack()
	}
	peer := e.peer()
	peer.start(reads, "the peer's Reads", func() (int, error) {
		for {
			if _, err := peer.read(64 << 10); err != nil {
				return 0, nil //nolint:nilerr // how the stream ends is not this test's subject
			}
		}
	})
}

// A waker is what wakes waiters.
type waker struct {
	name string

	// states are those it is for: connected, suspended.
	states string

	// sides are those of the waiters, and suites theirs; nil is for all.
	only func(s suite, r role) bool

	// configure changes the server's settings; nil changes nothing.
	configure func(*relink.ListenConfig)

	// woken says in which time which waiters return, and how: one of these, where nil
	// is no error.
	woken map[string]expectation

	do func(w *world, e *end, cancel func())
}

// An expectation is within what time a waiter returns, and with one of which errors.
type expectation struct {
	within time.Duration
	errs   []error
}

func in(d time.Duration, errs ...error) expectation { return expectation{d, errs} }

func atOnce(errs ...error) expectation { return in(0, errs...) }

// soon is the time of what takes a pause of SCP's, an acknowledgement that may wait, or
// last words.
const soon = time.Second

const (
	connected = "connected"
	suspended = "suspended"
	both      = connected + " " + suspended
)

var wakers = []waker{
	{
		name: "data", states: connected,
		woken: map[string]expectation{"Read": atOnce(nil)},
		do: func(w *world, e *end, _ func()) {
			_, err := e.peer().write(scenarioLane, 10)
			require.NoError(w.t, err)
		},
	},
	{
		name: "data-after-a-resume", states: suspended,
		woken: map[string]expectation{"Read": in(soon, nil)},
		do: func(w *world, e *end, _ func()) {
			_, err := e.peer().write(scenarioLane, 10)
			require.NoError(w.t, err)
			w.comeBack()
		},
	},
	{
		name: "room", states: both,
		woken: map[string]expectation{
			"Write": in(soon, nil), "Writes": in(soon, nil), "WaitAcked": in(soon, nil), "Flush": in(soon, nil), "CloseContext": in(closeTimeout, nil),
		},
		do: func(w *world, e *end, _ func()) { w.goOn(e) },
	},
	{
		name: "deadline", states: both,
		woken: map[string]expectation{
			"Read": in(time.Second, os.ErrDeadlineExceeded), "Reads": in(time.Second, os.ErrDeadlineExceeded),
			"Write": in(time.Second, os.ErrDeadlineExceeded), "Writes": in(time.Second, os.ErrDeadlineExceeded),
		},
		do: func(w *world, e *end, _ func()) { require.NoError(w.t, e.SetDeadline(time.Now().Add(time.Second))) },
	},
	{
		name: "past-deadline", states: both,
		woken: map[string]expectation{
			"Read": atOnce(os.ErrDeadlineExceeded), "Reads": atOnce(os.ErrDeadlineExceeded),
			"Write": atOnce(os.ErrDeadlineExceeded), "Writes": atOnce(os.ErrDeadlineExceeded),
		},
		do: func(w *world, e *end, _ func()) { require.NoError(w.t, e.SetDeadline(time.Unix(1, 0))) },
	},
	{
		name: "ctx", states: both,
		woken: map[string]expectation{
			"WaitAcked": atOnce(context.Canceled), "Flush": atOnce(context.Canceled), "CloseContext": atOnce(context.Canceled),
		},
		do: func(_ *world, _ *end, cancel func()) { cancel() },
	},
	{
		name: "CloseWrite", states: both, only: func(s suite, _ role) bool { return s.noise },
		woken: map[string]expectation{"Write": atOnce(net.ErrClosed), "Writes": atOnce(net.ErrClosed)},
		do:    func(w *world, e *end, _ func()) { require.NoError(w.t, e.CloseWrite()) },
	},
	{
		name: "Close", states: both,
		woken: map[string]expectation{
			"Read": atOnce(net.ErrClosed), "Reads": atOnce(net.ErrClosed), "Write": atOnce(net.ErrClosed), "Writes": atOnce(net.ErrClosed),
			"WaitAcked": atOnce(net.ErrClosed), "Flush": in(closeTimeout, net.ErrClosed), "Done": in(closeTimeout, nil),
		},
		do: func(w *world, e *end, _ func()) { require.NoError(w.t, e.Close()) },
	},
	{
		name: "Abort", states: both,
		woken: map[string]expectation{
			"Read": atOnce(net.ErrClosed), "Reads": atOnce(net.ErrClosed), "Write": atOnce(net.ErrClosed), "Writes": atOnce(net.ErrClosed),
			"WaitAcked": atOnce(net.ErrClosed), "Flush": atOnce(net.ErrClosed), "CloseContext": atOnce(net.ErrClosed), "Done": atOnce(nil),
		},
		do: func(w *world, e *end, _ func()) { _ = e.Abort() },
	},
	{
		name: "the-peer's-CloseWrite", states: connected, only: func(s suite, _ role) bool { return s.noise },
		woken: map[string]expectation{"Read": atOnce(io.EOF), "Reads": atOnce(io.EOF)},
		do:    func(w *world, e *end, _ func()) { require.NoError(w.t, e.peer().CloseWrite()) },
	},
	{
		name: "the-peer's-Close", states: connected, only: func(s suite, _ role) bool { return s.noise },
		woken: map[string]expectation{
			"Read": atOnce(io.EOF), "Reads": atOnce(io.EOF), "Write": atOnce(relink.ErrPeerClosed), "Writes": atOnce(relink.ErrPeerClosed),
			"WaitAcked": atOnce(relink.ErrPeerClosed),
		},
		do: func(w *world, e *end, _ func()) { require.NoError(w.t, e.peer().Close()) },
	},
	{
		name: "the-server's-Close", states: connected, only: func(s suite, r role) bool { return !s.noise && r == client },
		woken: map[string]expectation{
			"Read": in(soon, io.EOF), "Reads": in(soon, io.EOF),
		},
		do: func(w *world, e *end, _ func()) { require.NoError(w.t, e.peer().Close()) },
	},
	{
		name: "the-client's-Close", states: connected, only: func(s suite, r role) bool { return !s.noise && r == server },
		woken: map[string]expectation{ // it may as well be changing its network
			"Read": in(resumeTimeout, io.EOF), "Reads": in(resumeTimeout, io.EOF),
		},
		do: func(w *world, e *end, _ func()) { require.NoError(w.t, e.peer().Close()) },
	},
	{
		name: "the-peer's-Abort", states: connected, only: func(s suite, _ role) bool { return s.noise },
		woken: map[string]expectation{
			"Read": atOnce(relink.ErrSessionLost), "Reads": atOnce(relink.ErrSessionLost), "Write": atOnce(relink.ErrSessionLost), "Writes": atOnce(relink.ErrSessionLost),
			"WaitAcked": atOnce(relink.ErrSessionLost), "Done": atOnce(nil),
		},
		do: func(w *world, e *end, _ func()) { require.NoError(w.t, e.peer().Abort()) },
	},
	{
		name: "the-peer's-end-after-a-resume", states: suspended, only: func(s suite, r role) bool { return s.noise },
		woken: map[string]expectation{
			"Read": in(soon, io.EOF), "Reads": in(soon, io.EOF), "Write": in(soon, relink.ErrPeerClosed), "Writes": in(soon, relink.ErrPeerClosed),
			"WaitAcked": in(soon, relink.ErrPeerClosed), "Flush": in(soon, nil, relink.ErrPeerClosed), "CloseContext": in(soon, nil, relink.ErrPeerClosed, relink.ErrSessionLost), // nil if it all comes with the news
		},
		do: func(w *world, e *end, _ func()) {
			require.NoError(w.t, e.peer().Close())
			w.net.SetDown(faultnet.NotDown)
			w.ends[client].NetworkChanged()
		},
	},
	{
		name: "the-server's-Abort-after-a-resume", states: suspended, only: func(s suite, r role) bool { return s.noise && r == client },
		woken: map[string]expectation{
			"Read": in(soon, relink.ErrSessionLost), "Reads": in(soon, relink.ErrSessionLost), "Write": in(soon, relink.ErrSessionLost), "Writes": in(soon, relink.ErrSessionLost),
			"WaitAcked": in(soon, relink.ErrSessionLost), "Flush": in(soon, relink.ErrSessionLost), "CloseContext": in(soon, relink.ErrSessionLost), "Done": in(soon, nil),
		},
		do: func(w *world, e *end, _ func()) {
			require.NoError(w.t, e.peer().Abort())
			w.comeBack()
		},
	},
	{
		name: "MaxAge", states: both, only: func(_ suite, r role) bool { return r == server },
		configure: func(c *relink.ListenConfig) { c.MaxAge = maxAge },
		woken:     ended(maxAge, relink.ErrDenied),
		do:        func(*world, *end, func()) {},
	},
	{
		name: "Revoke", states: both, only: func(s suite, r role) bool { return s.name == "Noise" && r == server },
		woken: ended(0, relink.ErrDenied),
		do:    func(w *world, _ *end, _ func()) { w.revoke() },
	},
	{
		name: "the-server's-Revoke", states: connected, only: func(s suite, r role) bool { return s.name == "Noise" && r == client },
		woken: map[string]expectation{
			"Read": atOnce(relink.ErrDenied), "Reads": atOnce(relink.ErrDenied), "Write": atOnce(relink.ErrDenied), "Writes": atOnce(relink.ErrDenied),
			"WaitAcked": atOnce(relink.ErrDenied), "Done": atOnce(nil),
		},
		do: func(w *world, _ *end, _ func()) { w.revoke() },
	},
	{
		name: "displaced", states: suspended, only: func(_ suite, r role) bool { return r == server },
		configure: func(c *relink.ListenConfig) { c.MaxSessions = 1 },
		woken: map[string]expectation{ // who has carried little
			"Read": atOnce(relink.ErrDisplaced), "Reads": atOnce(relink.ErrDisplaced), "WaitAcked": atOnce(relink.ErrDisplaced), "Done": atOnce(nil),
		},
		do: func(w *world, _ *end, _ func()) { w.openAnother() },
	},
	{
		name: "reclaimed", states: suspended, only: func(_ suite, r role) bool { return r == server },
		configure: func(c *relink.ListenConfig) { c.MaxSuspendedMemory = suspendedShare },
		woken:     ended(soon, relink.ErrReclaimed),
		do: func(w *world, _ *end, _ func()) {
			for range 9 {
				another := w.openAnother()
				w.net.SetDown(faultnet.Refuse)
				w.path().Cut(faultnet.ResetNow)
				require.NoError(w.t, another.SetReadDeadline(time.Now().Add(time.Nanosecond)))
				_, _ = another.Read(make([]byte, 1)) // it looks, and sees it
				_, err := another.Write(make([]byte, suspendedShare/8))
				require.NoError(w.t, err)
				_ = w.others[len(w.others)-2].Abort()
			}
		},
	},
	{
		name: "expiry", states: suspended,
		woken: map[string]expectation{
			"Read": in(expiry, relink.ErrExpired), "Reads": in(expiry, relink.ErrExpired), "Write": in(expiry, relink.ErrExpired), "Writes": in(expiry, relink.ErrExpired),
			"WaitAcked": in(expiry, relink.ErrExpired), "Flush": in(expiry, relink.ErrExpired), "CloseContext": in(closeTimeout, relink.ErrExpired), "Done": in(expiry, nil),
		},
		do: func(*world, *end, func()) {},
	},
	{
		name: "refusal", states: suspended, only: func(s suite, r role) bool { return r == client && !s.noise },
		woken: map[string]expectation{
			"Read": in(soon, relink.ErrSessionLost), "Reads": in(soon, relink.ErrSessionLost), "Write": in(soon, relink.ErrSessionLost), "Writes": in(soon, relink.ErrSessionLost),
			"WaitAcked": in(soon, relink.ErrSessionLost), "Flush": in(soon, relink.ErrSessionLost), "CloseContext": in(soon, relink.ErrSessionLost), "Done": in(soon, nil),
		},
		do: func(w *world, _ *end, _ func()) {
			w.replaceListener()
			w.comeBack()
		},
	},
	{
		name: "another-instance", states: suspended, only: func(s suite, r role) bool { return r == client && s.noise },
		woken: map[string]expectation{
			"Read": in(otherInstanceTime, relink.ErrSessionLost), "Reads": in(otherInstanceTime, relink.ErrSessionLost), "Write": in(otherInstanceTime, relink.ErrSessionLost), "Writes": in(otherInstanceTime, relink.ErrSessionLost),
			"WaitAcked": in(otherInstanceTime, relink.ErrSessionLost), "Flush": in(otherInstanceTime, relink.ErrSessionLost), "CloseContext": in(closeTimeout, relink.ErrExpired), "Done": in(otherInstanceTime, nil),
		},
		do: func(w *world, _ *end, _ func()) {
			w.replaceListener()
			w.comeBack()
		},
	},
	{
		name: "listener.Close", states: suspended, only: func(_ suite, r role) bool { return r == server },
		woken: map[string]expectation{
			"Read": atOnce(relink.ErrSessionLost), "Reads": atOnce(relink.ErrSessionLost), "Write": atOnce(relink.ErrSessionLost), "Writes": atOnce(relink.ErrSessionLost),
			"WaitAcked": atOnce(relink.ErrSessionLost), "Flush": atOnce(relink.ErrSessionLost), "CloseContext": atOnce(relink.ErrSessionLost), "Done": atOnce(nil),
		},
		do: func(w *world, _ *end, _ func()) { require.NoError(w.t, w.l.Close()) },
	},
}

// maxAge is more than what comes before a waiter waits.
const maxAge = 3 * time.Second

// suspendedShare is more memory than a session that waits here holds.
const suspendedShare = 400 << 10

// ended is what wakes all: the session's end, for a reason.
func ended(within time.Duration, err error) map[string]expectation {
	woken := map[string]expectation{"Done": in(within, nil)}
	for _, name := range []string{"Read", "Reads", "Write", "Writes", "WaitAcked", "Flush", "CloseContext"} {
		woken[name] = in(within, err)
	}
	return woken
}

// revoke revokes the server's key.
func (w *world) revoke() {
	key, ok := w.ends[client].PeerKey()
	require.True(w.t, ok)
	require.Equal(w.t, 1, w.l.Revoke(key))
}

// openAnother opens another session, whose client is gone at the test's end, while the
// first one's client stays away. It returns the server's end.
func (w *world) openAnother() *relink.Conn {
	_ = w.ends[client].Abort()
	w.net.SetDown(faultnet.NotDown)
	c, err := w.dialSession()
	require.NoError(w.t, err)
	s, err := w.l.AcceptConn()
	require.NoError(w.t, err)
	w.others = append(w.others, c, s)
	return s
}

// expiry is when a client has made its last attempt.
const expiry = resumeTimeout + attemptTimeout

// otherInstanceTime is how long a client goes on that is told by another instance of the
// server that it does not know the session.
const otherInstanceTime = 10 * time.Second

// A waiterCell is one waiter and what wakes it.
type waiterCell struct {
	suite  suite
	kind   kind
	side   role
	state  string
	waiter waiter
	waker  waker
}

// expects returns what a waker does to a waiter, if anything.
func (u waker) expects(v waiter) (expectation, bool) {
	want, woken := u.woken[v.name]
	if v.like == "" {
		return want, woken
	}
	want, woken = u.woken[v.like]
	if v.like == "Read" {
		if slices.Equal(want.errs, []error{nil}) {
			return want, false // some data, and it waits for more
		}
		if slices.Contains(want.errs, io.EOF) {
			want.errs = append(slices.Clone(want.errs), nil)
		}
	}
	return want, woken
}

func (c waiterCell) name() string {
	return strings.Join([]string{c.suite.name, c.kind.String(), c.side.String(), c.state, c.waiter.name, c.waker.name}, "/")
}

// waiterCells are all of them.
var waiterCells = sync.OnceValue(func() (cells []waiterCell) {
	for _, s := range suites {
		for _, k := range kinds {
			for _, r := range []role{client, server} {
				for _, v := range waiters {
					for _, u := range wakers {
						if _, woken := u.expects(v); !woken || v.only != nil && !v.only(s) || u.only != nil && !u.only(s, r) {
							continue
						}
						for _, state := range strings.Fields(u.states) {
							cells = append(cells, waiterCell{s, k, r, state, v, u})
						}
					}
				}
			}
		}
	}
	return cells
})

// TestWaiters asks of each waiter whether each waker wakes it, in time.
func TestWaiters(t *testing.T) {
	crew := newCrew(t)
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range waiterCells() {
				if c.suite.name == s.name && (!testing.Short() || number(c.name())%5 == 0) {
					t.Run(strings.TrimPrefix(c.name(), s.name+"/"), func(t *testing.T) { crew.run(t, "TestWaiters/"+c.name()) })
				}
			}
		})
	}
}

var waiterByName = sync.OnceValue(func() map[string]waiterCell {
	cells := make(map[string]waiterCell)
	for _, c := range waiterCells() {
		cells[c.name()] = c
	}
	return cells
})

func waiterNamed(name string) (func(*testing.T), bool) {
	c, ok := waiterByName()[name]
	return func(t *testing.T) { inConfiguredWorld(t, c.suite, c.kind, c.waker.configure, c.run) }, ok
}

// abandon ends everything, and requires that nothing is left.
func (w *world) abandon() {
	for _, c := range w.others {
		_ = c.Abort()
	}
	for _, e := range w.ends {
		if e.Conn != nil {
			_ = e.Abort()
		}
	}
	_ = w.l.Close()
	w.requireNothingLeft()
}

func (c waiterCell) run(w *world) {
	w.open()
	e := w.ends[c.side]
	if c.state == suspended {
		w.suspend()
	}
	if c.waiter.prepare != nil {
		c.waiter.prepare(w, e)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	calls := c.waiter.calls(w, e, ctx)
	time.Sleep(500 * time.Millisecond) // until standbys and flushers have done what there is to do
	synctest.Wait()
	for _, k := range calls {
		w.requires(!k.over(), "it does not wait: %v", k)
	}
	began := time.Now()
	c.waker.do(w, e, cancel)
	synctest.Wait()
	want, _ := c.waker.expects(c.waiter)
	for _, k := range calls {
		for !k.over() && time.Since(began) < want.within {
			time.Sleep(min(10*time.Millisecond, want.within))
			synctest.Wait()
		}
		w.requires(k.over(), "it is not woken within %v: %v", want.within, k)
		require.True(w.t, slices.ContainsFunc(want.errs, func(err error) bool { return errors.Is(k.err, err) }), "%v: expected one of %v", k, want.errs)
	}
	w.abandon()
}
