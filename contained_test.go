package relink_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A panicky transport panics in one of its methods, once it is told to.
type panicky struct {
	net.Conn
	call string
	bad  *atomic.Bool
}

func (p *panicky) in(call string) {
	if p.call == call && p.bad.Load() {
		panic("the test's panic")
	}
}

func (p *panicky) Read(b []byte) (int, error)  { p.in("Read"); return p.Conn.Read(b) }
func (p *panicky) Write(b []byte) (int, error) { p.in("Write"); return p.Conn.Write(b) }
func (p *panicky) Close() error                { p.in("Close"); return p.Conn.Close() }
func (p *panicky) LocalAddr() net.Addr         { p.in("LocalAddr"); return p.Conn.LocalAddr() }
func (p *panicky) RemoteAddr() net.Addr        { p.in("RemoteAddr"); return p.Conn.RemoteAddr() }
func (p *panicky) Interruptible() bool         { p.in("Interruptible"); return true }
func (p *panicky) SetLinger(int) error         { p.in("SetLinger"); return nil }
func (p *panicky) WritesThrough() net.Conn     { p.in("WritesThrough"); return passing{p} }
func (p *panicky) NetConn() net.Conn           { p.in("NetConn"); return p.Conn }

func (p *panicky) SetDeadline(t time.Time) error {
	p.in("SetDeadline")
	return p.Conn.SetDeadline(t)
}

func (p *panicky) SetReadDeadline(t time.Time) error {
	p.in("SetReadDeadline")
	return p.Conn.SetReadDeadline(t)
}

func (p *panicky) CloseWrite() error {
	p.in("CloseWrite")
	return p.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// passing is what a panicky transport says that it writes through to.
type passing struct{ *panicky }

func (p passing) WritesThrough() net.Conn { return nonblocking{p.panicky} }

// nonblocking is the end of that way.
type nonblocking struct{ p *panicky }

func (n nonblocking) WriteNonblock(b []byte) (int, error) {
	if n.p.call == "Write" {
		return 0, nil // the rest is for the flusher
	}
	n.p.in("WriteNonblock")
	return n.p.Conn.(relink.NonblockingWriter).WriteNonblock(b)
}

func (n nonblocking) Read(b []byte) (int, error)         { return n.p.Read(b) }
func (n nonblocking) Write(b []byte) (int, error)        { return n.p.Write(b) }
func (n nonblocking) Close() error                       { return n.p.Close() }
func (n nonblocking) LocalAddr() net.Addr                { return n.p.LocalAddr() }
func (n nonblocking) RemoteAddr() net.Addr               { return n.p.RemoteAddr() }
func (n nonblocking) SetDeadline(t time.Time) error      { return n.p.SetDeadline(t) }
func (n nonblocking) SetReadDeadline(t time.Time) error  { return n.p.SetReadDeadline(t) }
func (n nonblocking) SetWriteDeadline(t time.Time) error { return n.p.SetWriteDeadline(t) }

// A panicCase is one method that panics.
type panicCase struct {
	call    string
	early   bool               // it is called while a transport becomes a link
	silent  bool               // nobody waits for what the method does
	provoke func(*relink.Conn) // nil where data that is exchanged does it
}

var panicCases = []panicCase{
	{call: "Read"},
	{call: "Write"},
	{call: "WriteNonblock"},
	{call: "SetReadDeadline", provoke: func(c *relink.Conn) {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		_, _ = c.Read(make([]byte, 1)) // nothing comes: the panic ends it, or else the deadline
		_ = c.SetReadDeadline(time.Time{})
	}},
	{call: "Close", silent: true, provoke: func(c *relink.Conn) { c.NetworkChanged() }},
	{call: "SetDeadline", early: true},
	{call: "LocalAddr", early: true},
	{call: "RemoteAddr", early: true},
	{call: "Interruptible", early: true},
	{call: "WritesThrough", early: true},
	{call: "NetConn", early: true},
}

// panickedIn reports whether a panic of the method is among the errors.
func panickedIn(call string, errs ...error) bool {
	for _, err := range errs {
		var p *relink.TransportPanicError
		if errors.As(err, &p) && p.Call == call && p.Value == "the test's panic" && len(p.Stack) > 0 {
			return true
		}
	}
	return false
}

// A transport of a client that panics in whatever method loses its link and nothing else.
func TestTransportPanicsOnTheClient(t *testing.T) {
	for _, p := range panicCases {
		t.Run(p.call, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				var bad atomic.Bool
				bad.Store(p.early)
				first := true
				r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
					r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
						c, err := r.net.Dial(ctx, network, address)
						if err != nil || !first {
							return c, err
						}
						first = false
						return &panicky{Conn: c, call: p.call, bad: &bad}, nil
					}
				})
				if !p.early {
					r.exchange(500)
					bad.Store(true)
				}
				if p.provoke != nil {
					p.provoke(r.client)
				}
				time.Sleep(time.Second) // so that a Write is none of several
				r.exchange(100)
				r.exchange(5000)
				synctest.Wait()
				require.Equal(t, relink.StateConnected, r.client.State())
				require.EqualValues(t, 1, r.client.Stats().Resumes)
				if !p.silent {
					require.True(t, panickedIn(p.call, r.clientEvents.errors()...), "%v", r.clientEvents.errors())
				}
				r.exchange(500)
				r.stop()
			})
		})
	}
}

// The same on a server, where it may cost the handshake that it comes in.
func TestTransportPanicsOnTheServer(t *testing.T) {
	for _, p := range panicCases {
		t.Run(p.call, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				var bad, wrapping atomic.Bool
				r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
					r.wrap = func(l net.Listener) net.Listener {
						return wrappingListener{l, func(c net.Conn) net.Conn {
							if wrapping.Swap(false) {
								return &panicky{Conn: c, call: p.call, bad: &bad}
							}
							return c
						}}
					}
				})
				wrapping.Store(true)
				bad.Store(p.early)
				r.client.NetworkChanged() // onto a transport that panics
				r.exchange(500)
				bad.Store(true)
				if p.provoke != nil {
					p.provoke(r.server)
				}
				if p.silent {
					r.client.NetworkChanged() // a server does not redial
				}
				time.Sleep(time.Second) // so that a Write is none of several
				r.exchange(100)
				r.exchange(5000)
				synctest.Wait()
				require.Equal(t, relink.StateConnected, r.server.State())
				resumes := 2
				if p.call == "RemoteAddr" {
					resumes = 1 // the handshake asks for it first, and fails
				}
				require.EqualValues(t, resumes, r.server.Stats().Resumes)
				if !p.silent && p.provoke == nil { // else the client may be back before the server has seen it
					require.True(t, panickedIn(p.call, r.serverEvents.errors()...), "%v", r.serverEvents.errors())
				}
				r.exchange(500)
				r.stop()
			})
		})
	}
}

// wrappingListener changes the transports of an inner listener.
type wrappingListener struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l wrappingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}

// What ends a session calls methods of its transport too.
func TestTransportPanicsAtTheEnd(t *testing.T) {
	for _, call := range []string{"CloseWrite", "SetLinger", "Close", "Write"} {
		for name, end := range map[string]func(c *relink.Conn) error{"Close": (*relink.Conn).Close, "Abort": (*relink.Conn).Abort} {
			t.Run(call+" in "+name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, s testSuite) {
					var bad atomic.Bool
					r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
						r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
							c, err := r.net.Dial(ctx, network, address)
							if err != nil {
								return nil, err
							}
							return &panicky{Conn: c, call: call, bad: &bad}, nil
						}
					})
					r.exchange(500)
					bad.Store(true)
					require.NoError(t, end(r.client))
					select {
					case <-r.client.Done():
					case <-time.After(time.Minute):
						require.Fail(t, "the session does not end")
					}
					r.net.Last().Cut(faultnet.Reset) // a transport that cannot be closed
					r.stop()
					time.Sleep(5 * time.Minute) // through what lingers
				})
			})
		}
	}
}
