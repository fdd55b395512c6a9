package gaptest

import (
	"context"
	"errors"
	"net"
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

// A listenerWaker is what wakes a call that waits for the whole listener: Accept, which
// waits for a session, or Shutdown, which waits for the end of the one there is.
type listenerWaker struct {
	waiter, name string
	only         func(s suite) bool
	configure    func(w *listenerWorld, c *relink.ListenConfig)

	// prepare brings the listener to where the call begins to wait; nil does nothing.
	prepare func(w *listenerWorld)
	do      func(w *listenerWorld)
	woken   expectation
}

// A listenerWorld is a world with what these wakers need.
type listenerWorld struct {
	*world
	cancel  func()        // ends the ctx of Shutdown
	release chan struct{} // OnEvent keeps the opened event until it is closed; or nil
}

const (
	accept   = "Accept"
	shutdown = "Shutdown"
)

// holdOpened has OnEvent keep the opened event to itself until it is released.
func holdOpened(w *listenerWorld, c *relink.ListenConfig) {
	release := make(chan struct{})
	w.release = release
	c.OnEvent = func(e relink.Event) {
		if e.Kind == relink.EventOpened {
			<-release
		}
	}
}

// untold opens a session of which OnEvent has not been told yet.
func untold(w *listenerWorld) {
	require.NoError(w.t, w.dial())
	synctest.Wait()
}

var listenerWakers = []listenerWaker{
	{waiter: accept, name: "a-session", do: untold, woken: in(soon, nil)},
	{
		waiter: accept, name: "OnEvent-returns", configure: holdOpened, prepare: untold,
		do: func(w *listenerWorld) { w.letGo() }, woken: atOnce(nil),
	},
	{waiter: accept, name: "listener.Close", do: func(w *listenerWorld) { require.NoError(w.t, w.l.Close()) }, woken: atOnce(net.ErrClosed)},
	{
		waiter: accept, name: "Acceptor.Close",
		do: func(w *listenerWorld) { require.NoError(w.t, w.l.Acceptor().Close()) }, woken: atOnce(net.ErrClosed),
	},
	{
		waiter: accept, name: "the-inner-listener's-end",
		do: func(w *listenerWorld) { require.NoError(w.t, w.inner.Close()) }, woken: in(soon, net.ErrClosed),
	},
	{ // Accept has waited for the last session that there is to come
		waiter: accept, name: "the-last-session's-end", configure: holdOpened, only: isNoise,
		prepare: func(w *listenerWorld) {
			untold(w)
			require.NoError(w.t, w.inner.Close())
			synctest.Wait()
		},
		do: func(w *listenerWorld) { require.NoError(w.t, w.ends[client].Abort()) }, woken: in(soon, net.ErrClosed),
	},
	{
		waiter: accept, name: "Shutdown-of-nobody",
		do: func(w *listenerWorld) { require.NoError(w.t, w.l.Shutdown(context.Background())) }, woken: atOnce(net.ErrClosed),
	},
	{
		waiter: accept, name: "Shutdown's-ctx", prepare: (*listenerWorld).openBoth,
		do: func(w *listenerWorld) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			require.ErrorIs(w.t, w.l.Shutdown(ctx), context.Canceled)
		}, woken: atOnce(net.ErrClosed),
	},
	{
		waiter: accept, name: "Shutdown's-end", prepare: (*listenerWorld).openBoth,
		do: func(w *listenerWorld) {
			k := w.start("Shutdown", func() (int, error) { return 0, w.l.Shutdown(context.Background()) })
			synctest.Wait()
			require.False(w.t, k.over())
			require.NoError(w.t, w.ends[server].Abort())
		}, woken: atOnce(net.ErrClosed),
	},

	{waiter: shutdown, name: "ctx", prepare: (*listenerWorld).openBoth, do: func(w *listenerWorld) { w.cancel() }, woken: atOnce(context.Canceled)},
	{
		waiter: shutdown, name: "listener.Close", prepare: (*listenerWorld).openBoth,
		do: func(w *listenerWorld) { require.NoError(w.t, w.l.Close()) }, woken: atOnce(nil),
	},
	{
		waiter: shutdown, name: "server.Close", prepare: (*listenerWorld).openBoth,
		do: func(w *listenerWorld) { require.NoError(w.t, w.ends[server].Close()) }, woken: in(closeTimeout, nil),
	},
	{
		waiter: shutdown, name: "server.Abort", prepare: (*listenerWorld).openBoth,
		do: func(w *listenerWorld) { require.NoError(w.t, w.ends[server].Abort()) }, woken: atOnce(nil),
	},
	{
		waiter: shutdown, name: "client.Abort", prepare: (*listenerWorld).openBoth, only: isNoise,
		do: func(w *listenerWorld) { require.NoError(w.t, w.ends[client].Abort()) }, woken: in(soon, nil),
	},
	{ // who waits for Accept is waited for as well
		waiter: shutdown, name: "the-backlog's-end", configure: holdOpened, prepare: untold,
		do: func(w *listenerWorld) {
			w.letGo()
			c, err := w.l.AcceptConn()
			require.NoError(w.t, err)
			require.NoError(w.t, c.Abort())
		}, woken: atOnce(nil),
	},
	{
		waiter: shutdown, name: "expiry", prepare: func(w *listenerWorld) {
			w.openBoth()
			w.suspend()
		},
		do: func(*listenerWorld) {}, woken: in(resumeTimeout, nil),
	},
	{
		waiter: shutdown, name: "MaxAge", configure: func(_ *listenerWorld, c *relink.ListenConfig) { c.MaxAge = maxAge },
		prepare: (*listenerWorld).openBoth, do: func(*listenerWorld) {}, woken: in(maxAge, nil),
	},
	{
		waiter: shutdown, name: "Revoke", only: func(s suite) bool { return s.name == "Noise" },
		prepare: (*listenerWorld).openBoth, do: func(w *listenerWorld) { w.revoke() }, woken: atOnce(nil),
	},
	{ // a second Shutdown waits beside the first
		waiter: shutdown, name: "another-Shutdown's-ctx", prepare: (*listenerWorld).openBoth,
		do: func(w *listenerWorld) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			require.ErrorIs(w.t, w.l.Shutdown(ctx), context.Canceled)
		}, woken: atOnce(nil),
	},
}

func (w *listenerWorld) openBoth() { w.open() }

// A listenerCell is a waker for one suite.
type listenerCell struct {
	suite suite
	waker listenerWaker
}

func (c listenerCell) name() string {
	return strings.Join([]string{c.suite.name, c.waker.waiter, c.waker.name}, "/")
}

var listenerCells = sync.OnceValue(func() (cells []listenerCell) {
	for _, s := range suites {
		for _, u := range listenerWakers {
			if u.only == nil || u.only(s) {
				cells = append(cells, listenerCell{s, u})
			}
		}
	}
	return cells
})

// TestListenerWaiters asks of Accept and Shutdown what TestWaiters asks of the calls of a session.
func TestListenerWaiters(t *testing.T) {
	crew := newCrew(t)
	for _, c := range listenerCells() {
		t.Run(c.name(), func(t *testing.T) { crew.run(t, "TestListenerWaiters/"+c.name()) })
	}
}

func listenerWaiterNamed(name string) (func(*testing.T), bool) {
	i := slices.IndexFunc(listenerCells(), func(c listenerCell) bool { return c.name() == name })
	if i < 0 {
		return nil, false
	}
	c := listenerCells()[i]
	return func(t *testing.T) {
		w := &listenerWorld{}
		var configure func(*relink.ListenConfig)
		if c.waker.configure != nil {
			configure = func(cfg *relink.ListenConfig) { c.waker.configure(w, cfg) }
		}
		inConfiguredWorld(t, c.suite, quick, configure, func(in *world) {
			w.world = in
			c.run(w)
		})
	}, true
}

func (c listenerCell) run(w *listenerWorld) {
	defer w.letGo()
	if c.waker.prepare != nil {
		c.waker.prepare(w)
	}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	defer w.cancel()
	k := w.start(c.waker.waiter, func() (int, error) {
		if c.waker.waiter == shutdown {
			return 0, w.l.Shutdown(ctx)
		}
		got, err := w.l.AcceptConn()
		if err == nil {
			w.mu.Lock()
			w.others = append(w.others, got)
			w.mu.Unlock()
		}
		return 0, err
	})
	time.Sleep(500 * time.Millisecond)
	synctest.Wait()
	w.requires(!k.over(), "it does not wait: %v", k)
	began := time.Now()
	c.waker.do(w)
	want := c.waker.woken
	for synctest.Wait(); !k.over() && time.Since(began) < want.within; synctest.Wait() {
		time.Sleep(min(10*time.Millisecond, want.within))
	}
	w.requires(k.over(), "it is not woken within %v: %v", want.within, k)
	require.True(w.t, slices.ContainsFunc(want.errs, func(err error) bool { return errors.Is(k.err, err) }), "%v: expected one of %v", k, want.errs)
	w.net.SetDown(faultnet.NotDown)
	w.letGo()
	w.abandon()
}

// letGo lets OnEvent return, if it has not.
func (w *listenerWorld) letGo() {
	if w.release != nil {
		close(w.release)
		w.release = nil
	}
}
