package subject

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"sync"
	"time"

	"github.com/relink-go/relink"
)

// serverName is whom the certificate is for.
const serverName = "bench.test"

// Credentials are what servers prove themselves with and clients know them by.
// They can be marshalled as JSON for a second process of the benchmark; the
// secrets in them last as long as the run.
type Credentials struct {
	Certificate []byte // DER, self-signed
	Key         []byte // of the certificate: ECDSA P-256, PKCS #8
	Noise       string // private key, as relink writes it
}

// NewCredentials makes a certificate and a key.
func NewCredentials() (Credentials, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Credentials{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		DNSNames:              []string{serverName},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return Credentials{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{Certificate: der, Key: secret, Noise: relink.GenerateKey().EncodeSecret()}, nil
}

// tlsConfigs are made once for each process, not once a connection.
type tlsConfigs struct {
	server, client *tls.Config
	err            error
}

var tlsCache sync.Map // of tlsKey to func() tlsConfigs

// A tlsKey tells configurations apart.
type tlsKey struct {
	certificate string
	x25519Only  bool
	protocol    string
}

// tls returns the configuration of both sides. protocol is for ALPN, which QUIC
// requires; empty means none.
func (c Credentials) tls(x25519Only bool, protocol string) (tlsConfigs, error) {
	once := sync.OnceValue(func() tlsConfigs { return c.newTLS(x25519Only, protocol) })
	f, _ := tlsCache.LoadOrStore(tlsKey{string(c.Certificate), x25519Only, protocol}, once)
	t := f.(func() tlsConfigs)()
	return t, t.err
}

func (c Credentials) newTLS(x25519Only bool, protocol string) tlsConfigs {
	leaf, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		return tlsConfigs{err: err}
	}
	key, err := x509.ParsePKCS8PrivateKey(c.Key)
	if err != nil {
		return tlsConfigs{err: err}
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	t := tlsConfigs{
		server: &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{{Certificate: [][]byte{c.Certificate}, PrivateKey: key, Leaf: leaf}},
		},
		client: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: serverName},
	}
	if x25519Only {
		t.server.CurvePreferences = []tls.CurveID{tls.X25519}
		t.client.CurvePreferences = []tls.CurveID{tls.X25519}
	}
	if protocol != "" {
		t.server.NextProtos, t.client.NextProtos = []string{protocol}, []string{protocol}
	}
	return t
}
