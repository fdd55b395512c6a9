package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"sync/atomic"
	"time"
)

// A certificate is what a listener shows to TLS, and may be exchanged while it runs.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// config returns a server's configuration with it.
func (c *certificate) config() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil }}
}

// readCertificate reads a certificate and its key, or makes one if no file is named.
func readCertificate(name, keyName string) (*tls.Certificate, error) {
	if name == "" {
		return selfMade()
	}
	chain, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	key, err := readSecret(keyName, maxCertificateKey)
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", name, keyName, err)
	}
	return &c, nil
}

// maxCertificateKey bounds the file of a certificate's key: RSA's with 16 Kibit have
// 13 KB.
const maxCertificateKey = 64 << 10

// selfMade returns a certificate that nobody vouches for. What is carried has to prove
// who the server is.
func selfMade() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relink"}, DNSNames: []string{"relink"},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// readAuthorities reads whom a client believes; without a file these are the
// system's.
func readAuthorities(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil //nolint:nilnil // package tls means the same by it
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bytes.TrimSpace(b)) {
		return nil, fmt.Errorf("%s has no certificate in PEM", name)
	}
	return pool, nil
}
