package relink_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// The suite Noise over transports that a deadline destroys, cut again and again.

// overTLS puts crypto/tls between a rig's network and relink.
func overTLS(t *testing.T) rigOption {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"server"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(1000 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	client := &tls.Config{RootCAs: roots, ServerName: "server"}
	return func(r *rig, _ *relink.ListenConfig) {
		r.wrap = func(l net.Listener) net.Listener { return tls.NewListener(l, server) }
		r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := r.net.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			t := tls.Client(c, client)
			if err := t.HandshakeContext(ctx); err != nil {
				_ = c.Close()
				return nil, err
			}
			return t, nil
		}
	}
}

// Streams in both directions, and deadlines of the application all the while,
// over TLS, and over what a deadline of its own would break for good.
func TestNoiseOverFragileTransports(t *testing.T) {
	const cuts, size = 30, 100_000
	for name, transport := range map[string]func(t *testing.T) rigOption{
		"TLS":    overTLS,
		"opaque": func(*testing.T) rigOption { return withPath(faultnet.Options{Opaque: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, noiseSuite, withLimit(32<<10), transport(t),
					withBoth(func(c *relink.Config) { c.LivenessTimeout = time.Second }),
					withClient(func(d *relink.Dialer) { d.MaxBackoff = 100 * time.Millisecond }))
				r.net.OnDial(func(i int, p *faultnet.Path) error {
					if i < cuts {
						kind := faultnet.Kind(i % (int(faultnet.BlackHoleDown) + 1))
						p.CutAt(faultnet.Dir(mathrand.IntN(2)), int64(mathrand.IntN(20_000)), kind)
					}
					return nil
				})
				r.net.Last().Cut(faultnet.Reset)
				for len(r.net.Paths()) <= cuts {
					var wg sync.WaitGroup
					for _, ends := range [][2]*relink.Conn{{r.client, r.server}, {r.server, r.client}} {
						wg.Go(func() { writeImpatiently(t, ends[0], rigData(size)) })
						wg.Go(func() { readImpatiently(t, ends[1], rigData(size)) })
					}
					wg.Wait()
				}
				require.Positive(t, r.client.Stats().Resumes)
				r.finish()
			})
		})
	}
}

// writeImpatiently writes with a deadline that passes again and again.
func writeImpatiently(t *testing.T, c *relink.Conn, b []byte) {
	for len(b) > 0 {
		_ = c.SetWriteDeadline(time.Now().Add(70 * time.Millisecond))
		n, err := c.Write(b)
		if b = b[n:]; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
			return
		}
	}
	_ = c.SetWriteDeadline(time.Time{})
}

// readImpatiently is its counterpart.
func readImpatiently(t *testing.T, c *relink.Conn, want []byte) {
	for len(want) > 0 {
		_ = c.SetReadDeadline(time.Now().Add(70 * time.Millisecond))
		b := make([]byte, min(5000, len(want)))
		n, err := io.ReadFull(c, b)
		if string(b[:n]) != string(want[:n]) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %v, or other bytes", err)
			return
		}
		want = want[n:]
	}
	_ = c.SetReadDeadline(time.Time{})
}
