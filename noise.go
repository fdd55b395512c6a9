package relink

import (
	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
)

// NoiseServer is the server's side of the modern suite, and the one to choose on
// the internet. A session opens and resumes in one round trip with handshakes of
// the Noise Protocol Framework (pattern NK, X25519, SHA-256); records are sealed
// with AES-256-GCM where the client's processor has it and with
// ChaCha20-Poly1305 otherwise; the peer acknowledges what it has, so that
// nothing is lost while the session lives, and Close delivers everything.
//
// The client knows that it speaks with the server; the server admits everybody.
// Recorded traffic stays closed when the server's key is stolen later. See
// docs/spec/noise.md for what an attacker can and cannot do.
type NoiseServer struct {
	// Keys are the server's private key, or up to four while it rotates them:
	// a session stays with the key that it began with, so that a key should
	// stay here for as long as sessions live that were opened with it.
	Keys []PrivateKey

	// Node numbers a server that is one of several behind one address, from 1
	// to 2³²-1, each with its own. A client that comes back says in clear which
	// node it wants, for a load balancer to read. It is 0 for a single server.
	Node int64
}

// NoiseClient is the client's side of [NoiseServer].
type NoiseClient struct {
	// ServerKeys are the public key of the server, or up to four, which the
	// client tries in this order. Whoever has one of the private keys is the
	// server.
	ServerKeys []PublicKey
}

// InsecureNoiseServer is the suite Noise for a server that takes only clients
// without its key: pattern NN. Nobody proves who they are, so that whoever is on
// the path when a session is opened can read and change everything. It still
// keeps out those who only listen.
type InsecureNoiseServer struct {
	// Node is as in [NoiseServer].
	Node int64
}

// InsecureNoiseClient is the client's side of [InsecureNoiseServer].
type InsecureNoiseClient struct{}

// String returns "Noise".
func (NoiseServer) String() string { return noise.Name }

// String returns "Noise".
func (NoiseClient) String() string { return noise.Name }

// String names the suite, and says what it lacks.
func (InsecureNoiseServer) String() string { return noise.InsecureName }

// String names the suite, and says what it lacks.
func (InsecureNoiseClient) String() string { return noise.InsecureName }

// ServerProtocol implements [ServerSuite].
func (s NoiseServer) ServerProtocol() (suite.Protocol, error) {
	o := noise.Options{Node: s.Node}
	for _, k := range s.Keys {
		var secret noise.PrivateKey // stays zero, which the suite refuses
		if !k.IsZero() {
			secret = k.secret()
		}
		o.ServerKeys = append(o.ServerKeys, secret)
	}
	return noise.New(o)
}

// ClientProtocol implements [ClientSuite].
func (s NoiseClient) ClientProtocol() (suite.Protocol, error) {
	var o noise.Options
	for _, k := range s.ServerKeys {
		o.PinnedKeys = append(o.PinnedKeys, noise.PublicKey(k))
	}
	return noise.New(o)
}

// ServerProtocol implements [ServerSuite].
func (s InsecureNoiseServer) ServerProtocol() (suite.Protocol, error) {
	return noise.New(noise.Options{Insecure: true, Node: s.Node})
}

// ClientProtocol implements [ClientSuite].
func (InsecureNoiseClient) ClientProtocol() (suite.Protocol, error) {
	return noise.New(noise.Options{Insecure: true})
}
