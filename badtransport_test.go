package relink_test

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
			inBubble(t, func(t *testing.T, s testSuite) {
				for _, interruptible := range []bool{true, false} {
					var bad atomic.Bool
					first := true
					r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
						r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
							c, err := r.net.Dial(ctx, network, address)
							if err != nil || !first {
								return c, err
							}
							first = false
							return &badTransport{Conn: c, bad: &bad, read: m.read, write: m.write, interruptible: interruptible}, nil
						}
					})
					r.exchange(500)
					bad.Store(true)
					r.exchange(5000)
					synctest.Wait()
					require.Equal(t, relink.StateConnected, r.client.State())
					if m.harmless {
						require.Zero(t, r.client.Stats().Resumes)
					} else {
						require.EqualValues(t, 1, r.client.Stats().Resumes, "%v", r.clientEvents.errors())
					}
					r.stop()
				}
			})
		})
	}
}

// The same during a handshake costs that handshake.
func TestBadTransportsInHandshakes(t *testing.T) {
	for _, m := range transportMistakes {
		t.Run(m.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				var bad atomic.Bool
				bad.Store(true)
				wrap := func(c net.Conn) net.Conn {
					return &badTransport{Conn: c, bad: &bad, read: m.read, write: m.write}
				}
				r := newRig(t, s)
				// The client's side, of a new session.
				d := *r.dialer
				d.HandshakeTimeout = time.Second
				d.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.net.Dial(ctx, network, address)
					return wrap(c), err
				}
				c, err := d.DialConn(t.Context(), "tcp", "server")
				if m.harmless {
					require.NoError(t, err)
					server, err := r.l.AcceptConn()
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
				r.exchange(100)
				r.stop()
				require.NoError(t, l.Close())
			})
		})
	}
}

// A transport that panics in the listener's hands ends its handshake.
func TestPanickingTransport(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for _, what := range []string{"read", "write"} {
			bang := func(net.Conn, []byte) (int, error) { panic("the test's panic") }
			var bad atomic.Bool
			bad.Store(true)
			n := faultnet.New()
			inner := n.Listen()
			events := new(eventLog)
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
			}}, setup{OnEvent: events.add}.listener(s))
			require.NoError(t, err)
			d := relink.Dialer{Suite: s, DialTransport: n.Dial}
			_, err = d.DialConn(t.Context(), "tcp", "server")
			require.Error(t, err)
			synctest.Wait()
			var panicked *relink.TransportPanicError
			require.ErrorAs(t, events.all(relink.EventRefused)[0].Err, &panicked)
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
			inBubble(t, func(t *testing.T, s testSuite) {
				r := newRig(t, s, withPath(o))
				for range 3 {
					r.exchange(1500)
					// The last bytes before a FIN come together with it.
					_, err := r.server.Write(rigData(100))
					require.NoError(t, err)
					r.net.Last().Cut(faultnet.End)
					_, err = io.ReadFull(r.client, make([]byte, 100))
					require.NoError(t, err)
				}
				r.exchange(1500)
				require.NoError(t, r.client.Close())
				require.NoError(t, r.server.SetReadDeadline(time.Now().Add(time.Hour)))
				_, err := r.server.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err)
				r.stop()
				time.Sleep(time.Second) // through what Abort may take to say so on a full path
			})
		})
	}
}
