package proxyproto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/proxyproto"
)

// everyone trusts what faultnet and loopback have.
var everyone = proxyproto.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}

func listen(t testing.TB, inner net.Listener, cfg proxyproto.Config) net.Listener {
	t.Helper()
	l, err := proxyproto.NewListener(inner, cfg)
	require.NoError(t, err)
	return l
}

// accept returns what the next Accept returns.
func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	require.NoError(t, err)
	return c
}

// requireRefused requires that both directions say why.
func requireRefused(t *testing.T, c net.Conn, want error) {
	t.Helper()
	_, rerr := c.Read(make([]byte, 1))
	require.ErrorIs(t, rerr, want)
	_, werr := c.Write(make([]byte, 1))
	require.ErrorIs(t, werr, want)
	var op *net.OpError
	require.ErrorAs(t, rerr, &op)
	require.Equal(t, c.RemoteAddr(), op.Addr)
	require.NotErrorIs(t, rerr, context.DeadlineExceeded)
}

// dialRaw dials and sends something.
func dialRaw(t *testing.T, n *faultnet.Network, first string) net.Conn {
	t.Helper()
	c, err := n.Dial(context.Background(), "", "")
	require.NoError(t, err)
	_, err = c.Write([]byte(first))
	require.NoError(t, err)
	return c
}

const line = "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"

func TestAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l := listen(t, n.Listen(), everyone)
		defer l.Close()
		client := dialRaw(t, n, line+"hello")
		defer client.Close()
		c := accept(t, l)
		defer c.Close()
		require.Equal(t, "192.0.2.1:56324", c.RemoteAddr().String())
		require.Equal(t, "198.51.100.1:443", c.LocalAddr().String())
		got := make([]byte, 5)
		_, err := io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
		h, ok := proxyproto.HeaderOf(c)
		require.True(t, ok)
		require.Equal(t, 1, h.Version)
		require.True(t, c.(interface{ Interruptible() bool }).Interruptible())
		require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
		require.Equal(t, client.LocalAddr(), c.(interface{ NetConn() net.Conn }).NetConn().RemoteAddr())

		// Without addresses those of the connection itself are told.
		for _, first := range []string{"PROXY UNKNOWN\r\n", string(unhex(t, signature+"20 00 0000"))} {
			client := dialRaw(t, n, first)
			defer client.Close()
			c := accept(t, l)
			defer c.Close()
			require.Equal(t, client.LocalAddr(), c.RemoteAddr())
			require.Equal(t, client.RemoteAddr(), c.LocalAddr())
		}
	})
}

// A connection that can neither be interrupted nor half-closed says so.
func TestOpaqueBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		n.SetOptions(faultnet.Options{Opaque: true})
		l := listen(t, n.Listen(), everyone)
		defer l.Close()
		client := dialRaw(t, n, line)
		defer client.Close()
		c := accept(t, l)
		defer c.Close()
		require.False(t, c.(interface{ Interruptible() bool }).Interruptible())
		require.ErrorIs(t, c.(interface{ CloseWrite() error }).CloseWrite(), errors.ErrUnsupported)
		require.ErrorIs(t, c.(interface{ SetLinger(int) error }).SetLinger(0), errors.ErrUnsupported)
		// The reading of the header has left no deadline.
		synctest.Wait()
		time.Sleep(time.Hour)
		_, err := client.Write([]byte("x"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.NoError(t, err)
	})
}

// Whoever is silent, or slow, delays nobody and is refused in time.
func TestSilentClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l := listen(t, n.Listen(), everyone)
		defer l.Close()
		start := time.Now()
		for i := range 100 {
			defer dialRaw(t, n, line[:i%len(line)]).Close()
		}
		defer dialRaw(t, n, line).Close()
		good := accept(t, l)
		require.Zero(t, time.Since(start))
		require.Equal(t, "192.0.2.1:56324", good.RemoteAddr().String())
		require.NoError(t, good.Close())
		for range 100 {
			requireRefused(t, accept(t, l), proxyproto.ErrHeaderTimeout)
		}
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

// One that sends a byte now and then has no more time than others.
func TestSlowHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		cfg := everyone
		cfg.HeaderTimeout = time.Second
		l := listen(t, n.Listen(), cfg)
		defer l.Close()
		client, err := n.Dial(context.Background(), "", "")
		require.NoError(t, err)
		defer client.Close()
		sent := make(chan error)
		go func() {
			for i := range line {
				if _, err := client.Write([]byte(line[i : i+1])); err != nil {
					sent <- err
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
			sent <- nil
		}()
		start := time.Now()
		requireRefused(t, accept(t, l), proxyproto.ErrHeaderTimeout)
		require.Equal(t, time.Second, time.Since(start))
		require.Error(t, <-sent)
	})
}

func TestOldestGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		cfg := everyone
		cfg.MaxPending = 3
		l := listen(t, n.Listen(), cfg)
		defer l.Close()
		var clients []net.Conn
		for range 5 {
			c := dialRaw(t, n, "PROXY ")
			defer c.Close()
			clients = append(clients, c)
			time.Sleep(time.Millisecond)
		}
		for i := range 2 {
			c := accept(t, l)
			require.Equal(t, clients[i].LocalAddr(), c.RemoteAddr())
			requireRefused(t, c, proxyproto.ErrTooManyPending)
		}
		_, err := clients[2].Write([]byte(line[len("PROXY "):]))
		require.NoError(t, err)
		c := accept(t, l)
		defer c.Close()
		require.Equal(t, "192.0.2.1:56324", c.RemoteAddr().String())
	})
}

// What nobody accepts is bounded: the rest stays with the inner listener.
func TestBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		inner := &countingListener{Listener: n.Listen()}
		cfg := everyone
		cfg.MaxPending = 10
		l := listen(t, inner, cfg)
		defer l.Close()
		for range 50 {
			defer dialRaw(t, n, line).Close()
		}
		synctest.Wait()
		require.LessOrEqual(t, inner.accepted, 21) // 10 that wait for Accept, 10 that were on their way then, and one more
		for range 50 {
			c := accept(t, l)
			require.Equal(t, "192.0.2.1:56324", c.RemoteAddr().String())
			require.NoError(t, c.Close())
		}
	})
}

// A countingListener counts what was accepted; it is looked at when nothing
// goes on.
type countingListener struct {
	net.Listener
	accepted int
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted++
	}
	return c, err
}

func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		n.SetClientHost("203.0.113.9")
		cfg := everyone
		l := listen(t, n.Listen(), cfg)
		client := dialRaw(t, n, line+"hello")
		c := accept(t, l)
		require.Equal(t, client.LocalAddr(), c.RemoteAddr())
		requireRefused(t, c, proxyproto.ErrStranger)
		_, err := client.Read(make([]byte, 1))
		require.Error(t, err)
		require.NoError(t, l.Close())

		cfg.Strangers = proxyproto.PassThrough
		l = listen(t, n.Listen(), cfg)
		defer l.Close()
		client = dialRaw(t, n, line+"hello")
		defer client.Close()
		c = accept(t, l)
		defer c.Close()
		require.Equal(t, client.LocalAddr(), c.RemoteAddr())
		got := make([]byte, len(line)+5)
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, line+"hello", string(got))
		_, ok := proxyproto.HeaderOf(c)
		require.False(t, ok)
	})
}

func TestHostileHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		cfg := everyone
		cfg.Check = func(_ context.Context, proxy net.Addr, h *proxyproto.Header) error {
			switch {
			case !strings.HasPrefix(proxy.String(), "10.0.0.1:"):
				return fmt.Errorf("proxy %v", proxy)
			case h.Source.String() == "6.6.6.6:6":
				return errUnwelcome
			case h.Source.String() == "7.7.7.7:7":
				panic("seven")
			}
			return nil
		}
		l := listen(t, n.Listen(), cfg)
		defer l.Close()
		for first, want := range map[string]error{
			"GET / HTTP/1.1\r\n":                          proxyproto.ErrNoHeader,
			"PROXY UNKNOWN" + strings.Repeat("!", 4096):   proxyproto.ErrHeaderTooLong,
			string(unhex(t, signature+"21 11 ffff")):      proxyproto.ErrHeaderTooLong,
			"PROXY TCP4 6.6.6.6 2.2.2.2 6 1\r\n":          errUnwelcome,
			"PROXY TCP4 6.6.6.6 2.2.2.2 66666 1\r\nHello": proxyproto.ErrInvalidHeader,
		} {
			client := dialRaw(t, n, first)
			requireRefused(t, accept(t, l), want)
			require.NoError(t, client.Close())
		}
		client := dialRaw(t, n, "PROXY TCP4 7.7.7.7 2.2.2.2 7 1\r\n")
		_, err := accept(t, l).Read(make([]byte, 1))
		require.ErrorContains(t, err, "panicked: seven")
		require.NoError(t, client.Close())

		// One that ends in the middle.
		client = dialRaw(t, n, line[:20])
		require.NoError(t, client.Close())
		c := accept(t, l)
		requireRefused(t, c, proxyproto.ErrInvalidHeader)
		requireRefused(t, c, io.ErrUnexpectedEOF)
	})
}

var errUnwelcome = errors.New("unwelcome")

// Close ends what is under way, and whoever waits in Accept.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l := listen(t, n.Listen(), everyone)
		silent, ready := dialRaw(t, n, ""), dialRaw(t, n, line)
		synctest.Wait()
		require.NoError(t, l.Close())
		require.ErrorIs(t, l.Close(), net.ErrClosed)
		for range 2 {
			_, err := l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		}
		for _, c := range []net.Conn{silent, ready} {
			_, err := c.Read(make([]byte, 1))
			require.Error(t, err)
			require.NoError(t, c.Close())
		}
		synctest.Wait()
		require.Zero(t, n.Open())

		l = listen(t, n.Listen(), everyone)
		done := make(chan error)
		go func() {
			_, err := l.Accept()
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-done, net.ErrClosed)
	})
}

// Errors of the inner listener are passed on, temporary ones for whoever accepts
// to wait.
func TestInnerErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		inner := n.Listen()
		l := listen(t, inner, everyone)
		inner.FailNext(faultnet.ErrTooManyFiles, faultnet.ErrTooManyFiles)
		for range 2 {
			_, err := l.Accept()
			require.ErrorIs(t, err, faultnet.ErrTooManyFiles)
		}
		defer dialRaw(t, n, line).Close()
		require.NoError(t, accept(t, l).Close())
		inner.FailNext(io.ErrClosedPipe)
		for range 2 {
			_, err := l.Accept()
			require.ErrorIs(t, err, io.ErrClosedPipe)
		}
		require.NoError(t, l.Close())
	})
}

// A brokenListener fails as no listener should.
type brokenListener struct {
	net.Listener
	accept func() (net.Conn, error)
}

func (l brokenListener) Accept() (net.Conn, error) { return l.accept() }

func TestBrokenInnerListener(t *testing.T) {
	for name, f := range map[string]func() (net.Conn, error){
		"panicked": func() (net.Conn, error) { panic("broken") },
		"neither":  func() (net.Conn, error) { return nil, nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			l := listen(t, brokenListener{faultnet.New().Listen(), f}, everyone)
			_, err := l.Accept()
			require.ErrorContains(t, err, name)
			require.NoError(t, l.Close())
		})
	}
}

func TestConfig(t *testing.T) {
	inner := faultnet.New().Listen()
	for name, c := range map[string]struct {
		inner net.Listener
		cfg   proxyproto.Config
		want  string
	}{
		"no listener":  {nil, everyone, "inner listener"},
		"nobody":       {inner, proxyproto.Config{}, "Config.Trusted is empty"},
		"no prefix":    {inner, proxyproto.Config{Trusted: []netip.Prefix{{}}}, "Config.Trusted[0]"},
		"no policy":    {inner, proxyproto.Config{Trusted: everyone.Trusted, Strangers: 2}, "Config.Strangers is 2"},
		"no time":      {inner, proxyproto.Config{Trusted: everyone.Trusted, HeaderTimeout: -1}, "HeaderTimeout"},
		"no length":    {inner, proxyproto.Config{Trusted: everyone.Trusted, MaxHeader: -1}, "MaxHeader"},
		"none pending": {inner, proxyproto.Config{Trusted: everyone.Trusted, MaxPending: -1}, "MaxPending"},
	} {
		_, err := proxyproto.NewListener(c.inner, c.cfg)
		require.ErrorContains(t, err, c.want, name)
	}
}

// A layer is a connection above another.
type layer struct {
	net.Conn
	below net.Conn
}

func (l *layer) NetConn() net.Conn { return l.below }

// The header is found below other layers, and nothing is where there is none.
func TestHeaderBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l := listen(t, n.Listen(), everyone)
		defer l.Close()
		client := dialRaw(t, n, line)
		defer client.Close()
		c := accept(t, l)
		defer c.Close()
		h, ok := proxyproto.HeaderOf(&layer{below: &layer{below: c}})
		require.True(t, ok)
		require.Equal(t, "192.0.2.1:56324", h.Source.String())
		_, ok = proxyproto.HeaderOf(&layer{below: client})
		require.False(t, ok)
		circle := &layer{}
		circle.below = circle
		_, ok = proxyproto.HeaderOf(circle)
		require.False(t, ok)
	})
}

// Peers on a Unix socket have no address, so they are trusted by kind.
func TestTrustUnix(t *testing.T) {
	for _, trust := range []bool{true, false} {
		inner, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
		require.NoError(t, err)
		l := listen(t, inner, proxyproto.Config{TrustUnix: trust, Trusted: everyone.Trusted})
		dial := new(net.Dialer).DialContext
		if trust { // a stranger may be gone before it has said anything
			dial = new(proxyproto.Dialer).DialContext
		}
		client, err := dial(t.Context(), "unix", inner.Addr().String())
		require.NoError(t, err)
		c := accept(t, l)
		if trust {
			h, ok := proxyproto.HeaderOf(c)
			require.True(t, ok)
			require.Equal(t, inner.Addr().String(), h.Destination.String())
		} else {
			requireRefused(t, c, proxyproto.ErrStranger)
		}
		require.NoError(t, client.Close())
		_, _ = c.Close(), l.Close()
	}
}

// IPv4 counts as such, also in IPv6, and zones do not count. What has no address
// is nobody.
func TestTrustAddresses(t *testing.T) {
	cfg := proxyproto.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")}}
	for address, trusted := range map[string]bool{
		"192.0.2.7:1": true, "[::ffff:192.0.2.7]:1": true, "[fe80::1%eth0]:1": true, "192.0.3.1:1": false, "nowhere": false, "": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b, _ := faultnet.Pair(faultnet.Options{})
			defer a.Close()
			once := make(chan net.Conn, 1)
			remote := net.Addr(faultnet.Addr(address))
			if address == "" {
				remote = nil
			}
			once <- addressed{b, remote}
			l := listen(t, &onceListener{conns: once}, cfg)
			_, err := a.Write([]byte(line))
			require.NoError(t, err)
			c := accept(t, l)
			_, ok := proxyproto.HeaderOf(c)
			require.Equal(t, trusted, ok, address)
			_, _ = c.Close(), l.Close()
		})
	}
}

// An addressed connection comes from where the test wants.
type addressed struct {
	net.Conn
	remote net.Addr
}

func (c addressed) RemoteAddr() net.Addr { return c.remote }

// A onceListener has the connections that it was given.
type onceListener struct{ conns chan net.Conn }

func (l *onceListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *onceListener) Close() error   { close(l.conns); return nil }
func (l *onceListener) Addr() net.Addr { return faultnet.Addr("once") }

func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		l := listen(t, inner, everyone)
		client, err := new(proxyproto.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			return nil, nil, nil, err
		}
		server, err := l.Accept()
		return client, server, func() { _, _, _ = client.Close(), server.Close(), l.Close() }, err
	})
}

func TestSessions(t *testing.T) {
	transporttest.TestSessions(t, transporttest.Transport{
		Listen: func(t testing.TB, inner net.Listener) net.Listener { return listen(t, inner, everyone) },
		Dial: func(_ testing.TB, inner transporttest.DialFunc) transporttest.DialFunc {
			d := proxyproto.Dialer{DialTransport: inner, Header: func(context.Context, net.Conn) (*proxyproto.Header, error) {
				return &proxyproto.Header{Source: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, Destination: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2}}, nil
			}}
			return d.DialContext
		},
		Handshake: 512,
	})
}
