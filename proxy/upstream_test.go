package proxy_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/proxy"
	"github.com/relink-go/relink/transport/proxyproto"
)

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// deadAddress is one where nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l := listen(t, "tcp", "127.0.0.1:0")
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// names is a name service.
type names map[string][]string

func (n names) LookupHost(_ context.Context, host string) ([]string, error) {
	if ips, ok := n[host]; ok {
		return ips, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func TestUpstreamPassesOverDead(t *testing.T) {
	alive, dead := listen(t, "tcp", "127.0.0.1:0").Addr().String(), deadAddress(t)
	u := &proxy.Upstream{Addresses: []string{dead, alive}}
	for range 4 {
		c, err := u.Dial(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, alive, c.RemoteAddr().String())
		_ = c.Close()
	}
}

// All addresses of a name are tried, in turns.
func TestUpstreamResolves(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	second := listen(t, "tcp", "127.0.0.2:"+port)
	u := &proxy.Upstream{
		Addresses: []string{"db:" + port, "gone:1"},
		Resolver:  names{"db": {"127.0.0.3", "127.0.0.1", "127.0.0.2"}}, // nobody listens on the first
	}
	seen := make(map[string]int)
	for range 6 {
		c, err := u.Dial(t.Context(), nil)
		require.NoError(t, err)
		seen[c.RemoteAddr().String()]++
		_ = c.Close()
	}
	require.Len(t, seen, 2)
	require.Positive(t, seen[l.Addr().String()])
	require.Positive(t, seen[second.Addr().String()])
}

func TestUpstreamUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listen(t, "unix", path)
	c, err := (&proxy.Upstream{Addresses: []string{"unix:" + path}}).Dial(t.Context(), nil)
	require.NoError(t, err)
	_ = c.Close()
}

func TestUpstreamErrors(t *testing.T) {
	one, two := deadAddress(t), deadAddress(t)
	u := &proxy.Upstream{Addresses: []string{one, two, "nowhere:1"}, Resolver: names{}}
	_, err := u.Dial(t.Context(), nil)
	require.ErrorContains(t, err, one)
	require.ErrorContains(t, err, two)
	require.ErrorContains(t, err, "nowhere")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = u.Dial(ctx, nil)
	require.ErrorIs(t, err, context.Canceled)

	for want, u := range map[string]*proxy.Upstream{
		"without an address":    {},
		"without a path":        {Addresses: []string{"unix:"}},
		"neither host:port nor": {Addresses: []string{"localhost"}},
		"no port":               {Addresses: []string{"localhost:"}},
		"less than zero":        {Addresses: []string{"a:1"}, DialTimeout: -1},
		"no version 3":          {Addresses: []string{"a:1"}, ProxyProtocol: 3},
	} {
		require.ErrorContains(t, u.Check(), want)
		_, err := u.Dial(t.Context(), nil)
		require.ErrorContains(t, err, want)
	}
}

func TestRoutes(t *testing.T) {
	u := make([]*proxy.Upstream, 6)
	for i := range u {
		u[i] = new(proxy.Upstream)
	}
	r := &proxy.Routes{Default: u[0], Rules: []proxy.Rule{
		{Name: "login", Upstream: u[1]},
		{Prefix: "game_", Suffix: "_eu", Upstream: u[2]},
		{Prefix: "game_", Upstream: u[3]},
		{Pattern: regexp.MustCompile(`^map[0-9]+$`), Upstream: u[4]},
		{Suffix: "_old", Upstream: u[5]},
	}}
	for name, want := range map[string]*proxy.Upstream{
		"": u[0], "login": u[1], "game_7_eu": u[2], "game_7": u[3], "map12": u[4], "x_old": u[5],
	} {
		got, err := r.Find(name)
		require.NoError(t, err, name)
		require.Same(t, want, got, name)
	}
	for _, name := range []string{"logins", "map", "xgame_1"} {
		_, err := r.Find(name)
		require.ErrorIs(t, err, proxy.ErrUnknownUpstream, name)
		require.ErrorContains(t, err, name)
	}
	_, err := new(proxy.Routes).Find("")
	require.ErrorIs(t, err, proxy.ErrUnknownUpstream)
}

// The back end hears of the client, unless that forbids it.
func TestProxyProtocol(t *testing.T) {
	for _, version := range []int{1, 2} {
		for _, flag := range []int64{0, relink.SCPFlagForbidForwardIP} {
			back := listen(t, "tcp", "127.0.0.1:0")
			l, err := relink.Listen("tcp", "127.0.0.1:0", relink.SCPServer{})
			require.NoError(t, err)
			s := proxy.NewServer(proxy.Settings{Routes: &proxy.Routes{Default: &proxy.Upstream{
				Addresses: []string{back.Addr().String()}, ProxyProtocol: version,
			}}}, nil)
			served := make(chan error, 1)
			go func() { served <- s.Serve(l) }()
			client, err := relink.Dial("tcp", l.Addr().String(), relink.SCPClient{Flag: flag})
			require.NoError(t, err)
			c, err := back.Accept()
			require.NoError(t, err)
			h, err := proxyproto.ReadHeader(c, proxyproto.DefaultMaxHeader)
			require.NoError(t, err)
			require.Equal(t, version, h.Version)
			if flag == 0 {
				require.Equal(t, client.LocalAddr().String(), h.Source.String())
				require.Equal(t, client.RemoteAddr().String(), h.Destination.String())
			} else {
				require.Nil(t, h.Source)
			}
			if id, ok := h.TLV(proxyproto.TypeUniqueID); version == 2 {
				require.True(t, ok)
				require.Equal(t, client.ID(), string(id))
			}
			_, err = io.WriteString(client, "x")
			require.NoError(t, err)
			one := make([]byte, 1)
			_, err = io.ReadFull(c, one)
			require.NoError(t, err)
			require.Equal(t, "x", string(one))
			_, _, _ = client.Abort(), c.Close(), l.Close()
			for c := range l.Sessions() {
				_ = c.Abort()
			}
			require.ErrorIs(t, <-served, net.ErrClosed)
			s.Wait()
		}
	}
}

// Names choose the back end; an unknown one, and one whose back end is dead, are turned
// away; new settings are for new sessions.
func TestServer(t *testing.T) {
	echoes := func(greeting string) *proxy.Upstream {
		l := listen(t, "tcp", "127.0.0.1:0")
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					_, _ = io.WriteString(c, greeting)
					_, _ = io.Copy(c, c)
				}()
			}
		}()
		return &proxy.Upstream{Addresses: []string{l.Addr().String()}}
	}
	a, b := echoes("a"), echoes("b")
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.SCPServer{})
	require.NoError(t, err)
	dead := &proxy.Upstream{Addresses: []string{deadAddress(t)}}
	s := proxy.NewServer(proxy.Settings{Routes: &proxy.Routes{Default: a, Rules: []proxy.Rule{
		{Name: "b", Upstream: b}, {Name: "dead", Upstream: dead},
	}}}, nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	dial := func(name string) *relink.Conn {
		c, err := relink.Dial("tcp", l.Addr().String(), relink.SCPClient{TargetServer: name})
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Abort() })
		return c
	}
	greeted := func(c io.Reader) (string, error) {
		one := make([]byte, 1)
		_, err := io.ReadFull(c, one)
		return string(one), err
	}
	first := dial("")
	for name, want := range map[string]string{"": "a", "b": "b"} {
		got, err := greeted(dial(name))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := greeted(first)
	require.NoError(t, err)
	require.Equal(t, "a", got)
	for _, name := range []string{"c", "dead"} {
		c := dial(name)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err := greeted(c)
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, name)
	}
	s.Set(proxy.Settings{Routes: &proxy.Routes{Default: b}})
	got, err = greeted(dial(""))
	require.NoError(t, err)
	require.Equal(t, "b", got)
	_, err = io.WriteString(first, "z") // still at a
	require.NoError(t, err)
	got, err = greeted(first)
	require.NoError(t, err)
	require.Equal(t, "z", got)

	require.NoError(t, l.Close())
	for c := range l.Sessions() {
		_ = c.Abort()
	}
	require.ErrorIs(t, <-served, net.ErrClosed)
	s.Wait()
}
