package conntest

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A badTransport breaks the contract of net.Conn once it is told to.
type badTransport struct {
	net.Conn
	bad   *atomic.Bool
	read  func(t net.Conn, p []byte) (int, error)
	write func(t net.Conn, p []byte) (int, error)
	// interruptible makes the application's own goroutines meet the mistake.
	interruptible bool
}

func (b *badTransport) Interruptible() bool { return b.interruptible }

func (b *badTransport) Read(p []byte) (int, error) {
	if b.read != nil && b.bad.Load() {
		return b.read(b.Conn, p)
	}
	return b.Conn.Read(p)
}

func (b *badTransport) Write(p []byte) (int, error) {
	if b.write != nil && b.bad.Load() {
		return b.write(b.Conn, p)
	}
	return b.Conn.Write(p)
}

func (b *badTransport) WriteNonblock(p []byte) (int, error) {
	if b.write != nil && b.bad.Load() {
		return b.write(b.Conn, p)
	}
	return b.Conn.(relink.NonblockingWriter).WriteNonblock(p)
}

// A transportMistake is one way to break the contract.
type transportMistake struct {
	name        string
	read, write func(t net.Conn, p []byte) (int, error)
	harmless    bool // the link goes on
}

var errBadTransport = errors.New("the test's transport error")

var transportMistakes = []transportMistake{
	{name: "Read returns nothing, for ever", read: func(net.Conn, []byte) (int, error) { return 0, nil }},
	{name: "Read returns a negative count", read: func(net.Conn, []byte) (int, error) { return -1, nil }},
	{name: "Read returns too large a count", read: func(_ net.Conn, p []byte) (int, error) { return len(p) + 1, nil }},
	{name: "Read returns the greatest count and an error", read: func(net.Conn, []byte) (int, error) { return math.MaxInt, io.EOF }},
	{name: "Read returns an error", read: func(net.Conn, []byte) (int, error) { return 0, errBadTransport }},
	{name: "Write returns a negative count", write: func(net.Conn, []byte) (int, error) { return -1, nil }},
	{name: "Write returns too large a count", write: func(_ net.Conn, p []byte) (int, error) { return len(p) + 1, nil }},
	{name: "Write takes nothing without an error", write: func(net.Conn, []byte) (int, error) { return 0, nil }},
	{name: "Write takes half and returns an error", write: func(t net.Conn, p []byte) (int, error) {
		n, _ := t.Write(p[:len(p)/2])
		return n, errBadTransport
	}},
	{name: "Write takes all and returns an error", write: func(t net.Conn, p []byte) (int, error) {
		n, _ := t.Write(p)
		return n, errBadTransport
	}},
	{name: "Write takes more than it tells", write: func(t net.Conn, p []byte) (int, error) {
		n, _ := t.Write(p)
		return n / 3, errBadTransport
	}},
	{name: "Write takes a byte at a time", write: func(t net.Conn, p []byte) (int, error) { return t.Write(p[:min(1, len(p))]) }, harmless: true},
	{name: "Read returns a byte at a time", read: func(t net.Conn, p []byte) (int, error) { return t.Read(p[:min(1, len(p))]) }, harmless: true},
}

// Whatever a transport does, the stream stays exact: the link is lost and the
// next one takes its place.
func TestBadTransports(t *testing.T) {
	for _, m := range transportMistakes {
		t.Run(m.name, func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				for _, interruptible := range []bool{true, false} {
					var bad atomic.Bool
					first := true
					r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
						r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
							c, err := r.Net.Dial(ctx, network, address)
							if err != nil || !first {
								return c, err
							}
							first = false
							return &badTransport{Conn: c, bad: &bad, read: m.read, write: m.write, interruptible: interruptible}, nil
						}
					})
					r.Exchange(500)
					bad.Store(true)
					r.Exchange(5000)
					synctest.Wait()
					require.Equal(t, relink.StateConnected, r.Client.State())
					if m.harmless {
						require.Zero(t, r.Client.Stats().Resumes)
					} else {
						require.EqualValues(t, 1, r.Client.Stats().Resumes, "%v", r.Client.Events.errors())
					}
					r.Stop()
				}
			})
		})
	}
}

// The same during a handshake costs that handshake.
func TestBadTransportsInHandshakes(t *testing.T) {
	for _, m := range transportMistakes {
		t.Run(m.name, func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				var bad atomic.Bool
				bad.Store(true)
				wrap := func(c net.Conn) net.Conn {
					return &badTransport{Conn: c, bad: &bad, read: m.read, write: m.write}
				}
				r := New(t, s)
				// The client's side, of a new session.
				d := *r.Dialer
				d.HandshakeTimeout = time.Second
				d.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.Net.Dial(ctx, network, address)
					return wrap(c), err
				}
				c, err := d.DialConn(t.Context(), "tcp", "server")
				if m.harmless {
					require.NoError(t, err)
					server, err := r.Listener.AcceptConn()
					require.NoError(t, err)
					_, _ = c.Abort(), server.Abort()
				} else {
					require.Error(t, err)
				}

				// The server's side.
				n := faultnet.New()
				inner := n.Listen()
				l, err := relink.NewListener(&brokenListener{Listener: inner, accept: func() (net.Conn, error) {
					c, err := inner.Accept()
					if err != nil {
						return nil, err
					}
					return wrap(c), nil
				}}, relink.ListenConfig{Suites: []relink.ServerSuite{s}})
				require.NoError(t, err)
				d.DialTransport = n.Dial
				c, err = d.DialConn(t.Context(), "tcp", "server")
				if err == nil { // a wire whose client hears nothing in the end
					if !m.harmless {
						require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
						_, err = c.Read(make([]byte, 1))
						require.Error(t, err)
					}
					_ = c.Abort()
				}
				r.Exchange(100)
				r.Stop()
				require.NoError(t, l.Close())
			})
		})
	}
}

// A transport that panics in the listener's hands ends its handshake.
func TestPanickingTransport(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for _, what := range []string{"read", "write"} {
			bang := func(net.Conn, []byte) (int, error) { panic("the test's panic") }
			var bad atomic.Bool
			bad.Store(true)
			n := faultnet.New()
			inner := n.Listen()
			events := new(EventLog)
			l, err := relink.NewListener(&brokenListener{Listener: inner, accept: func() (net.Conn, error) {
				c, err := inner.Accept()
				if err != nil {
					return nil, err
				}
				b := &badTransport{Conn: c, bad: &bad, read: bang}
				if what == "write" {
					b.read, b.write = nil, bang
				}
				return b, nil
			}}, Setup{OnEvent: events.add}.listener(s))
			require.NoError(t, err)
			d := relink.Dialer{Suite: s, DialTransport: n.Dial}
			_, err = d.DialConn(t.Context(), "tcp", "server")
			require.Error(t, err)
			synctest.Wait()
			var panicked *relink.TransportPanicError
			require.ErrorAs(t, events.All(relink.EventRefused)[0].Err, &panicked)
			require.EqualValues(t, 1, l.Stats().Refused.Other)
			bad.Store(false)
			c, err := d.DialConn(t.Context(), "tcp", "server")
			require.NoError(t, err)
			_, err = c.Write([]byte("x"))
			require.NoError(t, err)
			server, err := l.AcceptConn()
			require.NoError(t, err)
			_, err = server.Read(make([]byte, 1))
			require.NoError(t, err)
			_, _, _ = c.Abort(), server.Abort(), l.Close()
		}
	})
}

// Transports with every lawful oddity: short writes, small segments, data that
// comes together with io.EOF.
func TestOddTransports(t *testing.T) {
	for name, o := range map[string]faultnet.Options{
		"short writes":   {ShortWrites: true},
		"EOF with data":  {EOFWithData: true},
		"tiny segments":  {Segment: 3, Buffer: 7},
		"unbuffered":     {Buffer: -1},
		"all at once":    {ShortWrites: true, EOFWithData: true, Segment: 5, Buffer: 100, ResetOnUnread: true, Delay: time.Millisecond},
		"all but opaque": {Opaque: true, ShortWrites: true, EOFWithData: true, Segment: 50, Buffer: 300},
	} {
		t.Run(name, func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s, WithPath(o))
				for range 3 {
					r.Exchange(1500)
					// The last bytes before a FIN come together with it.
					_, err := r.Server.Write(Data(100))
					require.NoError(t, err)
					r.Net.Last().Cut(faultnet.End)
					_, err = io.ReadFull(r.Client, make([]byte, 100))
					require.NoError(t, err)
				}
				r.Exchange(1500)
				require.NoError(t, r.Client.Close())
				require.NoError(t, r.Server.SetReadDeadline(time.Now().Add(time.Hour)))
				_, err := r.Server.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err)
				r.Stop()
				time.Sleep(time.Second) // through what Abort may take to say so on a full path
			})
		})
	}
}

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

func (p *panicky) Read(b []byte) (int, error) { p.in("Read"); return p.Conn.Read(b) }

func (p *panicky) Write(b []byte) (int, error) { p.in("Write"); return p.Conn.Write(b) }

func (p *panicky) Close() error { p.in("Close"); return p.Conn.Close() }

func (p *panicky) LocalAddr() net.Addr { p.in("LocalAddr"); return p.Conn.LocalAddr() }

func (p *panicky) RemoteAddr() net.Addr { p.in("RemoteAddr"); return p.Conn.RemoteAddr() }

func (p *panicky) Interruptible() bool { p.in("Interruptible"); return true }

func (p *panicky) SetLinger(int) error { p.in("SetLinger"); return nil }

func (p *panicky) WritesThrough() net.Conn { p.in("WritesThrough"); return passing{p} }

func (p *panicky) NetConn() net.Conn { p.in("NetConn"); return p.Conn }

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

func (n nonblocking) Read(b []byte) (int, error) { return n.p.Read(b) }

func (n nonblocking) Write(b []byte) (int, error) { return n.p.Write(b) }

func (n nonblocking) Close() error { return n.p.Close() }

func (n nonblocking) LocalAddr() net.Addr { return n.p.LocalAddr() }

func (n nonblocking) RemoteAddr() net.Addr { return n.p.RemoteAddr() }

func (n nonblocking) SetDeadline(t time.Time) error { return n.p.SetDeadline(t) }

func (n nonblocking) SetReadDeadline(t time.Time) error { return n.p.SetReadDeadline(t) }

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
			InBubble(t, func(t *testing.T, s Suite) {
				var bad atomic.Bool
				bad.Store(p.early)
				first := true
				r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
					r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
						c, err := r.Net.Dial(ctx, network, address)
						if err != nil || !first {
							return c, err
						}
						first = false
						return &panicky{Conn: c, call: p.call, bad: &bad}, nil
					}
				})
				if !p.early {
					r.Exchange(500)
					bad.Store(true)
				}
				if p.provoke != nil {
					p.provoke(r.Client.Conn)
				}
				time.Sleep(time.Second) // so that a Write is none of several
				r.Exchange(100)
				r.Exchange(5000)
				synctest.Wait()
				require.Equal(t, relink.StateConnected, r.Client.State())
				require.EqualValues(t, 1, r.Client.Stats().Resumes)
				if !p.silent {
					require.True(t, panickedIn(p.call, r.Client.Events.errors()...), "%v", r.Client.Events.errors())
				}
				r.Exchange(500)
				r.Stop()
			})
		})
	}
}

// The same on a server, where it may cost the handshake that it comes in.
func TestTransportPanicsOnTheServer(t *testing.T) {
	for _, p := range panicCases {
		t.Run(p.call, func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				var bad, wrapping atomic.Bool
				r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
					r.Wrap = func(l net.Listener) net.Listener {
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
				r.Client.NetworkChanged() // onto a transport that panics
				r.Exchange(500)
				bad.Store(true)
				if p.provoke != nil {
					p.provoke(r.Server.Conn)
				}
				if p.silent {
					r.Client.NetworkChanged() // a server does not redial
				}
				time.Sleep(time.Second) // so that a Write is none of several
				r.Exchange(100)
				r.Exchange(5000)
				synctest.Wait()
				require.Equal(t, relink.StateConnected, r.Server.State())
				resumes := 2
				if p.call == "RemoteAddr" {
					resumes = 1 // the handshake asks for it first, and fails
				}
				require.EqualValues(t, resumes, r.Server.Stats().Resumes)
				if !p.silent && p.provoke == nil { // else the client may be back before the server has seen it
					require.True(t, panickedIn(p.call, r.Server.Events.errors()...), "%v", r.Server.Events.errors())
				}
				r.Exchange(500)
				r.Stop()
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
				InBubble(t, func(t *testing.T, s Suite) {
					var bad atomic.Bool
					r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
						r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
							c, err := r.Net.Dial(ctx, network, address)
							if err != nil {
								return nil, err
							}
							return &panicky{Conn: c, call: call, bad: &bad}, nil
						}
					})
					r.Exchange(500)
					bad.Store(true)
					require.NoError(t, end(r.Client.Conn))
					select {
					case <-r.Client.Done():
					case <-time.After(time.Minute):
						require.Fail(t, "the session does not end")
					}
					r.Net.Last().Cut(faultnet.Reset) // a transport that cannot be closed
					r.Stop()
					time.Sleep(5 * time.Minute) // through what lingers
				})
			})
		}
	}
}
