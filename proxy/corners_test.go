package proxy_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/proxy"
	"github.com/relink-go/relink/transport/proxyproto"
)

// The system's name service is the default.
func TestUpstreamLocalhost(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	c, err := (&proxy.Upstream{Addresses: []string{"localhost:" + port}, DialTimeout: patience}).Dial(t.Context(), nil)
	require.NoError(t, err)
	_ = c.Close()
}

const patience = time.Minute

// What has failed long ago is forgotten.
func TestUpstreamForgets(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		u := &proxy.Upstream{Addresses: []string{"unix:" + dir + "/none"}}
		for range 2 {
			_, err := u.Dial(t.Context(), nil)
			require.Error(t, err)
			time.Sleep(time.Minute) // of the bubble
		}
	})
}

// A classic client whose server ends meanwhile waits no longer.
func TestClassicUnsaidServerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := session(t, classic)
		near, far := backEnd(t)
		begun := time.Now()
		done := join(client, near, proxy.Limits{Unsaid: time.Hour})
		closeWrite(t, far)
		require.NoError(t, server.Close())
		t.Log(<-done)
		require.Less(t, time.Since(begun), time.Minute)
	})
}

// A slowService answers when its caller has given up.
type slowService struct{ asked chan struct{} }

func (s slowService) LookupHost(ctx context.Context, _ string) ([]string, error) {
	close(s.asked)
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// A session that ends while its upstream is dialled does not wait for that.
func TestServerSessionEndsFirst(t *testing.T) {
	p := noise()
	l, err := relink.Listen("tcp", "127.0.0.1:0", p.server)
	require.NoError(t, err)
	slow := slowService{make(chan struct{})}
	up := &proxy.Upstream{Addresses: []string{"slow:1"}, Resolver: slow, DialTimeout: time.Hour}
	s := proxy.NewServer(proxy.Settings{Routes: &proxy.Routes{Default: up}}, nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	client, err := relink.Dial("tcp", l.Addr().String(), p.client)
	require.NoError(t, err)
	defer client.Abort()
	<-slow.asked
	for c := range l.Sessions() {
		_ = c.Abort()
	}
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-served, net.ErrClosed)
	s.Wait()
}

// An addressed connection has other addresses than the one below.
type addressed struct {
	net.Conn
	remote, local net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.remote }
func (a addressed) LocalAddr() net.Addr  { return a.local }

type addressing struct {
	net.Listener
	remote, local net.Addr
}

func (a addressing) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return addressed{c, a.remote, a.local}, nil
}

// Addresses that a header cannot say are left out.
func TestProxyProtocolAddresses(t *testing.T) {
	udp := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9}
	for _, c := range []struct {
		remote, local net.Addr
		version       int
		named         bool
	}{
		{udp, udp, 2, true},
		{udp, udp, 1, false},
		{faultnet.Addr("a:1"), faultnet.Addr("b:1"), 2, false},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9}, udp, 2, false},
	} {
		network := faultnet.New()
		p := noise()
		l, err := relink.NewListener(addressing{network.Listen(), c.remote, c.local}, relink.ListenConfig{Suites: []relink.ServerSuite{p.server}})
		require.NoError(t, err)
		d := relink.Dialer{Suite: p.client, DialTransport: network.Dial}
		client, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		back := listen(t, "tcp", "127.0.0.1:0")
		up := &proxy.Upstream{Addresses: []string{back.Addr().String()}, ProxyProtocol: c.version}
		dialled, err := up.Dial(t.Context(), server)
		require.NoError(t, err)
		accepted, err := back.Accept()
		require.NoError(t, err)
		h, err := proxyproto.ReadHeader(accepted, proxyproto.DefaultMaxHeader)
		require.NoError(t, err)
		require.Equal(t, c.named, h.Source != nil)
		_, _, _, _, _ = dialled.Close(), accepted.Close(), client.Abort(), server.Abort(), l.Close()
	}
}
