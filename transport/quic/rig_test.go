package quic_test

import (
	"context"
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

	"github.com/relink-go/relink/transport/quic"
)

// serverTLS and clientTLS know each other.
var serverTLS, clientTLS = certificate()

func certificate() (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: pool}
}

// A place is a listener and a dialer that finds it.
type place struct {
	l      *quic.Listener
	dialer *quic.Dialer
	at     string
}

func open(t testing.TB, cfg quic.Config, d *quic.Dialer) place {
	t.Helper()
	cfg.TLSConfig = serverTLS
	l, err := quic.Listen("udp", "127.0.0.1:0", cfg)
	require.NoError(t, err)
	if d == nil {
		d = new(quic.Dialer)
	}
	d.TLSConfig = clientTLS
	t.Cleanup(func() {
		_ = l.Close()
		d.CloseIdleConnections()
	})
	return place{l, d, l.Addr().String()}
}

func (p place) dial() (*quic.Conn, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // which must not end the connection
	c, err := p.dialer.DialTransport(ctx, "udp", p.at)
	if err != nil {
		return nil, err
	}
	return c.(*quic.Conn), nil
}

func (p place) connect() (client, server *quic.Conn, err error) {
	if client, err = p.dial(); err != nil {
		return nil, nil, err
	}
	s, err := p.l.Accept()
	if err != nil {
		return nil, nil, err
	}
	return client, s.(*quic.Conn), nil
}

// pair returns both ends of a stream.
func (p place) pair(t testing.TB) (client, server *quic.Conn) {
	t.Helper()
	client, server, err := p.connect()
	require.NoError(t, err)
	t.Cleanup(func() { abort(client, server) })
	return client, server
}

func abort(conns ...*quic.Conn) {
	for _, c := range conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

var _ net.Listener = (*quic.Listener)(nil)
