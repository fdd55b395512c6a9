package relink_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	core "github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	relink "github.com/relink-go/relink/mobile"
	"github.com/relink-go/relink/transport/tlstransport"
)

// A server echoes what it reads, behind a relay that cuts.
type server struct {
	key      core.PrivateKey
	listener *core.Listener
	relay    *faultnet.Relay
}

// serve starts a server over the transports of inner, or of TCP if that is nil.
func serve(t *testing.T, inner net.Listener) *server {
	t.Helper()
	before := goroutines()
	if inner == nil {
		inner = listenTCP(t)
	}
	s := &server{key: core.GenerateKey()}
	var err error
	s.listener, err = core.NewListener(inner, core.ListenConfig{
		Suites: []core.ServerSuite{core.NoiseServer{Keys: []core.PrivateKey{s.key}}, core.DH64RC4Server{}},
	})
	require.NoError(t, err)
	s.relay, err = faultnet.NewRelay(inner.Addr().String())
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := s.listener.AcceptConn()
			if err != nil {
				return
			}
			wg.Go(func() {
				if _, err := io.Copy(conn, conn); err != nil {
					_ = conn.Abort()
				}
				_ = conn.Close()
				<-conn.Done()
			})
		}
	})
	t.Cleanup(func() {
		for conn := range s.listener.Sessions() {
			_ = conn.Abort()
		}
		_ = s.listener.Close()
		_ = s.relay.Close()
		wg.Wait()
		requireNoMore(t, before)
	})
	return s
}

// listen listens for a transport.
func listen(t *testing.T, transport string, cert tls.Certificate) net.Listener {
	t.Helper()
	l := listenTCP(t)
	if transport == relink.TransportTLS {
		var err error
		l, err = tlstransport.NewListener(l, tlstransport.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}})
		require.NoError(t, err)
	}
	return l
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// goroutines counts those of this repository's packages.
func goroutines() int { return strings.Count(stacks(), "created by github.com/relink-go/relink") }

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// requireNoMore waits for goroutines that are about to end.
func requireNoMore(t *testing.T, before int) {
	t.Helper()
	eventually(t, "nothing is left behind", func() bool { return goroutines() <= before })
}

// eventually waits for what other goroutines bring about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("this did not come true: %s\n%s", what, stacks())
		}
	}
}

// config is for a session with the server through its relay, over TCP.
func (s *server) config(t *testing.T) *relink.Config {
	t.Helper()
	return s.configOver(t, relink.TransportTCP, nil)
}

// configOver is config for any transport; root is for TLS.
func (s *server) configOver(t *testing.T, transport string, root []byte) *relink.Config {
	t.Helper()
	c := relink.NewConfig()
	if transport == relink.TransportTLS {
		require.NoError(t, c.SetTLSRoots(root))
	}
	require.NoError(t, c.SetSuite(relink.SuiteNoise))
	require.NoError(t, c.AddServerKey(s.key.PublicKey().String()))
	require.NoError(t, c.AddAddress(transport, s.relay.Addr()))
	require.NoError(t, c.SetBackoff(1, 10))
	return c
}

func dial(t *testing.T, c *relink.Config) *relink.Conn {
	t.Helper()
	conn, err := relink.Dial(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Abort() })
	return conn
}

// requireCode requires an error with this code at the beginning of its text, once.
func requireCode(t *testing.T, code string, err error) {
	t.Helper()
	require.Error(t, err)
	require.True(t, strings.HasPrefix(err.Error(), "[relink:"+code+"] "), err.Error())
	require.Equal(t, 1, strings.Count(err.Error(), "[relink:"), err.Error())
	require.Equal(t, code, relink.ErrorCode("go.Universe$proxyerror: "+err.Error()))
}

// readFull reads n bytes.
func readFull(t *testing.T, conn *relink.Conn, n int) []byte {
	t.Helper()
	var got bytes.Buffer
	for got.Len() < n {
		data, err := conn.Read(int64(n - got.Len()))
		require.NoError(t, err)
		require.NotEmpty(t, data)
		got.Write(data)
	}
	return got.Bytes()
}

func randomBytes(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	_, err := rand.Read(b)
	require.NoError(t, err)
	return b
}

// certificate returns one for 127.0.0.1, and itself in PEM.
func certificate(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
