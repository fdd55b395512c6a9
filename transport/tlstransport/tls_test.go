package tlstransport_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/tlstransport"
)

// configs returns those of a server named server.test and of a client that
// trusts it.
var configs = sync.OnceValues(func() (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server.test"}, DNSNames: []string{"server.test"},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), // the clock of a bubble begins in 2000
		NotAfter:  time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots}
})

// serverConfig is one of the bubble's own: tickets have the time in them.
func serverConfig() *tls.Config {
	server, _ := configs()
	return server.Clone()
}

func clientConfig() *tls.Config {
	_, client := configs()
	return client.Clone()
}

func listen(t testing.TB, inner net.Listener, cfg tlstransport.Config) net.Listener {
	t.Helper()
	if cfg.TLS == nil {
		cfg.TLS = serverConfig()
	}
	l, err := tlstransport.NewListener(inner, cfg)
	require.NoError(t, err)
	return l
}

func dialer(n *faultnet.Network) *tlstransport.Dialer {
	return &tlstransport.Dialer{TLS: clientConfig(), DialTransport: n.Dial}
}

const address = "server.test:7000"

// pair returns the ends of one connection.
func pair(t testing.TB, l net.Listener, d *tlstransport.Dialer) (client, server *tlstransport.Conn) {
	t.Helper()
	c, err := d.DialContext(context.Background(), "tcp", address)
	require.NoError(t, err)
	s, err := l.Accept()
	require.NoError(t, err)
	return c.(*tlstransport.Conn), s.(*tlstransport.Conn)
}

func TestSessions(t *testing.T) {
	transporttest.TestSessions(t, transporttest.Transport{
		Listen: func(t testing.TB, inner net.Listener) net.Listener {
			return listen(t, inner, tlstransport.Config{})
		},
		Dial: func(_ testing.TB, inner transporttest.DialFunc) transporttest.DialFunc {
			return (&tlstransport.Dialer{TLS: clientConfig(), DialTransport: inner}).DialContext
		},
		Handshake: 4 << 10,
	})
}

// The transports of a session after the first are resumed TLS sessions, which
// carry no certificate.
func TestResumeHasNoFullHandshake(t *testing.T) {
	for _, s := range transporttest.Suites() {
		t.Run(s.Client.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := faultnet.New()
				l, err := relink.NewListener(listen(t, n.Listen(), tlstransport.Config{}), relink.ListenConfig{Suites: []relink.ServerSuite{s.Server}})
				require.NoError(t, err)
				var mu sync.Mutex
				var resumed []bool
				d := dialer(n)
				rd := relink.Dialer{Suite: s.Client, DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := d.DialContext(ctx, network, address)
					if err == nil {
						mu.Lock()
						defer mu.Unlock()
						resumed = append(resumed, c.(*tlstransport.Conn).ConnectionState().DidResume)
					}
					return c, err
				}}
				client, err := rd.DialConn(context.Background(), "tcp", address)
				require.NoError(t, err)
				server, err := l.AcceptConn()
				require.NoError(t, err)
				for range 4 {
					for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
						_, err := ends[0].Write([]byte("hello"))
						require.NoError(t, err)
						_, err = io.ReadFull(ends[1], make([]byte, 5))
						require.NoError(t, err)
					}
					n.Last().Cut(faultnet.Reset)
					time.Sleep(time.Second) // until the resume is over
				}
				mu.Lock()
				require.Equal(t, []bool{false, true, true, true, true}, resumed)
				mu.Unlock()
				full, again := n.Paths()[0], n.Paths()[1]
				t.Logf("handshakes and what the session had to say: first %d bytes up, %d down; resumed %d up, %d down",
					full.Sent(faultnet.Up), full.Sent(faultnet.Down), again.Sent(faultnet.Up), again.Sent(faultnet.Down))
				_, _ = client.Abort(), server.Abort()
				_ = l.Close()
			})
		})
	}
}

// A resume on Noise takes three round trips: TCP's, that of TLS, and its own.
func TestRoundTripsOfAResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const roundTrip = 100 * time.Millisecond
		n := faultnet.New()
		n.SetOptions(faultnet.Options{Delay: roundTrip / 2})
		s := transporttest.Suites()[0]
		l, err := relink.NewListener(listen(t, n.Listen(), tlstransport.Config{}), relink.ListenConfig{Suites: []relink.ServerSuite{s.Server}})
		require.NoError(t, err)
		rd := relink.Dialer{Suite: s.Client, DialTransport: dialer(n).DialContext}
		client, err := rd.DialConn(context.Background(), "tcp", address)
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		_, err = server.Write([]byte("hello"))
		require.NoError(t, err)
		_, err = io.ReadFull(client, make([]byte, 5))
		require.NoError(t, err)
		time.Sleep(time.Second)

		n.Last().Cut(faultnet.ResetNow)
		cut := time.Now()
		_, err = server.Write([]byte("again"))
		require.NoError(t, err)
		_, err = io.ReadFull(client, make([]byte, 5))
		require.NoError(t, err)
		require.Equal(t, 3*roundTrip, time.Since(cut))
		_, _ = client.Abort(), server.Abort()
		_ = l.Close()
	})
}

// A handshake that never ends delays nobody, and has an end.
func TestSilentClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l := listen(t, n.Listen(), tlstransport.Config{HandshakeTimeout: 3 * time.Second})
		start := time.Now()
		for _, first := range []string{"", "\x16\x03\x01", "\x16\x03\x01\x02\x00\x01"} {
			c, err := n.Dial(context.Background(), "", "")
			require.NoError(t, err)
			defer c.Close()
			_, err = c.Write([]byte(first))
			require.NoError(t, err)
		}
		client, server := pair(t, l, dialer(n))
		require.Zero(t, time.Since(start))
		for range 3 {
			c, err := l.Accept()
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, tlstransport.ErrHandshakeTimeout)
			require.ErrorContains(t, err, c.RemoteAddr().String())
		}
		require.Equal(t, 3*time.Second, time.Since(start))
		_, _, _ = client.Close(), server.Close(), l.Close()
	})
}

func TestTooManyHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l := listen(t, n.Listen(), tlstransport.Config{MaxHandshakes: 1})
		for range 2 {
			c, err := n.Dial(context.Background(), "", "")
			require.NoError(t, err)
			defer c.Close()
		}
		c, err := l.Accept()
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, tlstransport.ErrTooManyHandshakes)
		require.NoError(t, l.Close())
	})
}

// Who speaks something else, or believes in another server, is an error with a
// name at both ends.
func TestFailedHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l := listen(t, n.Listen(), tlstransport.Config{})
		c, err := n.Dial(context.Background(), "", "")
		require.NoError(t, err)
		_, err = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		require.NoError(t, err)
		s, err := l.Accept()
		require.NoError(t, err)
		_, err = s.Write(make([]byte, 1))
		var wrong tls.RecordHeaderError
		require.ErrorAs(t, err, &wrong)
		require.NoError(t, c.Close())

		d := &tlstransport.Dialer{TLS: clientConfig(), DialTransport: n.Dial}
		_, err = d.DialContext(context.Background(), "tcp", "other.test:7000")
		var unknown *tls.CertificateVerificationError
		require.ErrorAs(t, err, &unknown)
		require.ErrorContains(t, err, "10.0.0.100:7000")
		s, err = l.Accept()
		require.NoError(t, err)
		_, err = s.Read(make([]byte, 1))
		require.ErrorContains(t, err, "bad certificate")

		// Without a configuration the system's roots count, which do not have ours.
		d = &tlstransport.Dialer{DialTransport: n.Dial}
		_, err = d.DialContext(context.Background(), "tcp", address)
		require.ErrorAs(t, err, &unknown)
		require.NoError(t, l.Close())
	})
}

// A dial ends with its context and with its own time limit.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		inner := net.Listener(n.Listen())
		defer inner.Close()
		d := dialer(n)
		start := time.Now()
		_, err := d.DialContext(context.Background(), "tcp", address)
		require.ErrorIs(t, err, tlstransport.ErrHandshakeTimeout)
		require.Equal(t, 10*time.Second, time.Since(start))

		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Second, func() { cancel(stopped) })
		start = time.Now()
		_, err = d.DialContext(ctx, "tcp", address)
		require.ErrorIs(t, err, stopped)
		require.Equal(t, time.Second, time.Since(start))
		// What was dialled is closed.
		for range 2 {
			c, err := inner.Accept()
			require.NoError(t, err)
			require.NoError(t, c.Close())
		}
		synctest.Wait()
		require.Zero(t, n.Open())
	})
}

// Close says that this is the end. With SetLinger(0), which is how relink gives a
// transport up, it does not.
func TestEnds(t *testing.T) {
	for _, abrupt := range []bool{false, true} {
		for _, o := range []faultnet.Options{{}, {Opaque: true}, {EOFWithData: true}} {
			synctest.Test(t, func(t *testing.T) {
				n := faultnet.New()
				n.SetOptions(o)
				l := listen(t, n.Listen(), tlstransport.Config{})
				client, server := pair(t, l, dialer(n))
				if abrupt {
					require.NoError(t, client.SetLinger(0))
				}
				require.NoError(t, client.Close())
				_, err := server.Read(make([]byte, 1))
				if abrupt {
					require.ErrorIs(t, err, tlstransport.ErrTruncated)
					require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				} else {
					require.Equal(t, io.EOF, err)
				}
				_, again := server.Read(make([]byte, 1))
				require.Equal(t, err, again)
				_, _ = server.Close(), l.Close()
			})
		}
	}
}

// One direction can end by itself.
func TestCloseWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l := listen(t, n.Listen(), tlstransport.Config{})
		client, server := pair(t, l, dialer(n))
		_, err := client.Write([]byte("last"))
		require.NoError(t, err)
		require.NoError(t, client.CloseWrite())
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.Equal(t, "last", string(got))
		_, err = server.Write([]byte("answer"))
		require.NoError(t, err)
		_, err = io.ReadFull(client, make([]byte, 6))
		require.NoError(t, err)
		_, _, _ = client.Close(), server.Close(), l.Close()
	})
}

// Over TCP, relink finds the TCP connection, and the linger reaches it.
func TestOverTCP(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := listen(t, inner, tlstransport.Config{})
	cfg := clientConfig()
	cfg.ServerName = "server.test"
	d := &tlstransport.Dialer{TLS: cfg}
	c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	client := c.(*tlstransport.Conn)
	require.IsType(t, &net.TCPConn{}, client.NetConn())
	s, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, client.SetLinger(0))
	require.NoError(t, client.Close())
	_, err = s.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF)
	_, _ = s.Close(), l.Close()
}

func TestBadConfig(t *testing.T) {
	inner := net.Listener(faultnet.New().Listen())
	for name, c := range map[string]struct {
		inner net.Listener
		cfg   tlstransport.Config
		want  string
	}{
		"no listener":    {nil, tlstransport.Config{TLS: serverConfig()}, "inner listener"},
		"no config":      {inner, tlstransport.Config{}, "no certificate"},
		"no certificate": {inner, tlstransport.Config{TLS: new(tls.Config)}, "no certificate"},
		"no time":        {inner, tlstransport.Config{TLS: serverConfig(), HandshakeTimeout: -1}, "HandshakeTimeout"},
		"no room":        {inner, tlstransport.Config{TLS: serverConfig(), MaxHandshakes: -1}, "MaxHandshakes"},
	} {
		_, err := tlstransport.NewListener(c.inner, c.cfg)
		require.ErrorContains(t, err, c.want, name)
	}
	_, err := (&tlstransport.Dialer{HandshakeTimeout: -1}).DialContext(t.Context(), "tcp", address)
	require.ErrorContains(t, err, "HandshakeTimeout")
	refused := errors.New("refused")
	d := &tlstransport.Dialer{DialTransport: func(context.Context, string, string) (net.Conn, error) { return nil, refused }}
	_, err = d.DialContext(t.Context(), "tcp", address)
	require.ErrorIs(t, err, refused)
	d = &tlstransport.Dialer{DialTransport: func(context.Context, string, string) (net.Conn, error) { return nil, nil }}
	_, err = d.DialContext(t.Context(), "tcp", address)
	require.ErrorContains(t, err, "neither")
}
