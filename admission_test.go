package relink_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// A gatedConn holds back every Write but the first until the gate is open, so
// that a client's handshake stops before its last message.
type gatedConn struct {
	net.Conn
	gate   <-chan struct{}
	writes int // by one goroutine at a time
}

func (c *gatedConn) Interruptible() bool { return true }

func (c *gatedConn) Write(p []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		<-c.gate
	}
	return c.Conn.Write(p)
}

// Whether there is room is judged again when a session has proven itself:
// several handshakes may be under way when there is room for one session.
func TestAdmissionIsJudgedLast(t *testing.T) {
	for _, why := range []string{"MaxSessions", "Shutdown"} {
		t.Run(why, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				if isSCP(s) {
					t.Skip("an SCP client's first message is its last one")
				}
				r := newRig(t, s, withServer(func(c *relink.ListenConfig) {
					if why == "MaxSessions" {
						c.MaxSessions = 2
					}
				}))
				gate := make(chan struct{})
				d := *r.dialer
				d.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.net.Dial(ctx, network, address)
					return &gatedConn{Conn: c, gate: gate}, err
				}
				const dials = 3
				var clients sync.WaitGroup
				for range dials {
					clients.Go(func() {
						if c, err := d.DialConn(context.Background(), "tcp", "server"); err == nil {
							_, _ = c.Read(make([]byte, 1))
							_ = c.Abort()
						}
					})
				}
				synctest.Wait()
				require.Equal(t, [2]int{dials, dials}, unfinished(r.l))
				admitted, reason := 1, relink.ErrTooManySessions
				if why == "Shutdown" {
					admitted, reason = 0, nil
					go func() { _ = r.l.Shutdown(context.Background()) }()
					synctest.Wait()
				}
				close(gate)
				synctest.Wait()
				refused := 0
				for _, e := range r.serverEvents.all(relink.EventRefused) {
					require.Error(t, e.Err)
					require.False(t, isInternal(e.Err), "%v", e.Err)
					if errors.Is(e.Err, relink.ErrUnknownSession) {
						continue // a client that believed in its session has come back
					}
					refused++
					if reason != nil {
						require.ErrorIs(t, e.Err, reason)
					}
				}
				require.Equal(t, dials-admitted, refused)
				require.Equal(t, 1+admitted, live(r.l))
				require.Equal(t, [2]int{}, unfinished(r.l))
				r.exchange(100)
				if admitted > 0 {
					c, err := r.l.AcceptConn()
					require.NoError(t, err)
					_ = c.Abort()
				}
				r.stop()
				clients.Wait()
			})
		})
	}
}

// A wrappedHost is the protocol records with something between it and the core
// of the server.
type wrappedHost struct {
	*records
	wrap func(suite.Host) suite.Host
}

func (p wrappedHost) Serve(s suite.Stream, h suite.Host) error {
	return p.records.Serve(s, p.wrap(h))
}

// oneKey offers every session under the same key.
type oneKey struct{ suite.Host }

func (h oneKey) Offer(s suite.Session, _ suite.Key) error { return h.Host.Offer(s, suite.Key{1}) }

// Two sessions never share a key, whatever a protocol asks for.
func TestKeyIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrap := func(h suite.Host) suite.Host { return oneKey{h} }
		r := newRig(t, spoken{wrappedHost{new(records), wrap}})
		_, err := r.dialer.DialConn(t.Context(), "tcp", "server")
		require.Error(t, err)
		require.ErrorIs(t, r.serverEvents.all(relink.EventRefused)[0].Err, suite.ErrKeyTaken)
		r.exchange(100)
		r.stop()
	})
}

// A late protocol begins each step of a handshake after its time.
type late struct{ suite.Host }

func (h late) Offer(s suite.Session, k suite.Key) error {
	time.Sleep(time.Minute)
	return h.Host.Offer(s, k)
}

func (h late) Find(k suite.Key) (suite.Target, bool) {
	t, ok := h.Host.Find(k)
	return lateTarget{t}, ok
}

type lateTarget struct{ suite.Target }

func (t lateTarget) TakeOver(c suite.Claim, l suite.Link) error {
	time.Sleep(time.Minute)
	return t.Target.TakeOver(c, l)
}

// A handshake whose time was up while its protocol was busy leaves nothing
// behind: no session that no timer ends, and no link on a transport that is
// closed.
func TestProtocolIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var isLate atomic.Bool
		wrap := func(h suite.Host) suite.Host {
			if isLate.Load() {
				return late{h}
			}
			return h
		}
		r := newRig(t, spoken{wrappedHost{new(records), wrap}})
		r.exchange(100)
		transport := r.net.Last()
		refusals := func() []relink.Event { return r.serverEvents.all(relink.EventRefused) }

		isLate.Store(true)
		_, err := r.dialer.DialConn(t.Context(), "tcp", "server")
		require.Error(t, err)
		time.Sleep(2 * time.Minute)
		require.Len(t, refusals(), 1)
		require.ErrorIs(t, refusals()[0].Err, relink.ErrHandshakeTimeout)
		require.Equal(t, 1, live(r.l))
		require.Equal(t, [2]int{}, unfinished(r.l))

		transport.Cut(faultnet.Reset)
		time.Sleep(time.Minute + time.Second)
		require.Greater(t, len(refusals()), 1)
		isLate.Store(false)
		r.exchange(100)
		time.Sleep(time.Minute) // the last that were late
		for _, e := range refusals() {
			require.ErrorIs(t, e.Err, relink.ErrHandshakeTimeout)
		}
		require.Equal(t, [2]int{}, unfinished(r.l))
		r.stop()
	})
}

// A narrow client says that it takes 100 bytes.
type narrow struct{ suite.Host }

func (h narrow) Establish(l suite.Link) error {
	l.Limit, l.First.Limit = 100, 100
	return h.Host.Establish(l)
}

// A first limit below what is assumed without one holds.
func TestNarrowWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrap := func(h suite.Host) suite.Host { return narrow{h} }
		r := newRig(t, spoken{wrappedHost{new(records), wrap}})
		r.net.Last().Stall(faultnet.Up) // so that nothing is acknowledged
		data := rigData(1000)
		requireWrite(t, r.server, data)
		got := make([]byte, len(data))
		n, err := io.ReadFull(r.client, got[:100])
		require.NoError(t, err)
		rest := background(func() (int, error) { return io.ReadFull(r.client, got[n:]) })
		stillBlocked(t, rest)
		r.net.Last().Release(faultnet.Up)
		require.NoError(t, (<-rest).err)
		require.Equal(t, data, got)
		r.stop()
	})
}

// A greedy protocol asks for more than a message may have.
type greedy struct{ *records }

func (greedy) Serve(s suite.Stream, _ suite.Host) error {
	_, err := s.Next(suite.MaxMessage + 1)
	return err
}

// A lengthy protocol wants all that a message may have, and takes it.
type lengthy struct {
	*records
	taken chan []byte
}

func (p lengthy) Serve(s suite.Stream, _ suite.Host) error {
	b, err := s.Next(suite.MaxMessage)
	if err == nil {
		p.taken <- bytes.Clone(b)
	}
	return err
}

// The memory of a handshake follows what has arrived, and not the length that
// somebody has claimed.
func TestHandshakeMemoryFollowsWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lengthy{new(records), make(chan []byte, 1)}
		sc := newScene(t, spoken{p}, setup{}, faultnet.Options{})
		message := rigData(suite.MaxMessage)
		c, err := sc.net.Dial(t.Context(), "tcp", "server")
		require.NoError(t, err)
		for sent := 0; sent < len(message); {
			synctest.Wait()
			require.LessOrEqual(t, relink.HandshakeBuffers(sc.listener), max(256, 4<<10, 4*sent))
			if sent < 256 {
				require.Equal(t, 256, relink.HandshakeBuffers(sc.listener))
			}
			n, err := c.Write(message[sent:min(sent+100, len(message))])
			require.NoError(t, err)
			sent += n
		}
		require.Equal(t, message, <-p.taken)
		require.NoError(t, c.Close())
		require.NoError(t, sc.listener.Close())
	})
}

// No message of a handshake is longer than the bound, whatever a protocol asks
// for.
func TestMessageIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := newScene(t, spoken{greedy{new(records)}}, setup{}, faultnet.Options{})
		_, err := sc.dialer.DialConn(t.Context(), "tcp", "server")
		require.Error(t, err)
		require.ErrorIs(t, sc.server.events.all(relink.EventRefused)[0].Err, relink.ErrProtocol)
		require.NoError(t, sc.listener.Close())
	})
}

// A forgetful server says at a resume that it has received nothing, although it
// has acknowledged everything.
type forgetful struct{ suite.Host }

func (h forgetful) Find(k suite.Key) (suite.Target, bool) {
	t, ok := h.Host.Find(k)
	return forgetfulTarget{t}, ok
}

type forgetfulTarget struct{ suite.Target }

func (t forgetfulTarget) Claim() suite.Claim {
	c := t.Target.Claim()
	c.Received = 0
	return c
}

// A server that takes an acknowledgement back ends the session: what it wants
// again is no longer there.
func TestServerTakesAcknowledgementBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrap := func(h suite.Host) suite.Host { return forgetful{h} }
		r := newRig(t, spoken{wrappedHost{new(records), wrap}})
		r.exchange(1000)
		require.NoError(t, r.client.WaitAcked(t.Context(), 1000))
		r.net.Last().Cut(faultnet.Reset)
		_, err := r.client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrCounters)
		r.stop()
	})
}
