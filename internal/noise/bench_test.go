package noise_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

// BenchmarkHandshake measures both sides of a new session together, and beside
// it both sides of a TLS 1.3 handshake with an ECDSA certificate.
func BenchmarkHandshake(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		p := newPair(b, false)
		for b.Loop() {
			p.host = newHost()
			_, _, _, clientErr, serverErr := p.tryOpen(nil, nil)
			require.NoError(b, clientErr)
			require.NoError(b, serverErr)
		}
	})
	b.Run("resume", func(b *testing.B) {
		p := newPair(b, false)
		c, _, _ := p.open()
		for b.Loop() {
			_, _, clientErr, serverErr := p.resume(c, nil, nil)
			require.NoError(b, clientErr)
			require.NoError(b, serverErr)
		}
	})
	for name, curves := range map[string][]tls.CurveID{"tls": nil, "tls-X25519": {tls.X25519}} {
		b.Run(name, func(b *testing.B) { benchmarkTLS(b, curves) })
	}
}

func benchmarkTLS(b *testing.B, curves []tls.CurveID) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(b, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"server"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(b, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(b, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS13, SessionTicketsDisabled: true, CurvePreferences: curves,
	}
	client := &tls.Config{RootCAs: roots, ServerName: "server", MinVersion: tls.VersionTLS13, CurvePreferences: curves}
	for b.Loop() {
		a, z := net.Pipe()
		done := make(chan error)
		go func() { done <- tls.Server(z, server).Handshake() }()
		require.NoError(b, tls.Client(a, client).Handshake())
		require.NoError(b, <-done)
		_, _ = a.Close(), z.Close()
	}
}

// BenchmarkServer measures what a request costs a server, up to its answer.
func BenchmarkServer(b *testing.B) {
	p := newPair(b, false)
	_, _, w, clientErr, _ := p.tryOpen(nil, nil)
	require.NoError(b, clientErr)
	request := w.client[0]
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			p.host = newHost()
			c, s := suitetest.NewWire()
			_, _ = c.Write(request)
			c.Close()
			require.Error(b, p.server.Serve(s, p.host))
		}
	})
	b.Run("unknown", func(b *testing.B) {
		session, _, _ := p.open()
		_, w, _, _ := p.resume(session, nil, nil)
		for b.Loop() {
			p.host = newHost()
			c, s := suitetest.NewWire()
			_, _ = c.Write(w.client[0])
			c.Close()
			require.ErrorIs(b, p.server.Serve(s, p.host), suite.ErrUnknownSession)
		}
	})
}
