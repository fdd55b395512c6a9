package relink

import "github.com/relink-go/relink/internal/noise"

// A PrivateKey is the X25519 key of a server with the suite [Noise]: 32 bytes.
// Its String is the secret itself, in base64 as WireGuard shows keys; keep it
// out of logs. Its PublicKey method returns what clients pin.
type PrivateKey = noise.PrivateKey

// A PublicKey is what a client with the suite [Noise] knows its server by. Its
// String is base64, as WireGuard shows keys.
type PublicKey = noise.PublicKey

// GenerateKey returns a new random [PrivateKey].
func GenerateKey() PrivateKey { return noise.GenerateKey() }

// ParsePrivateKey reads what [PrivateKey].String has written. Line breaks do no
// harm, so that it takes the content of a file as it is. An error does not
// repeat what was given.
func ParsePrivateKey(s string) (PrivateKey, error) { return noise.ParsePrivateKey(s) }

// ParsePublicKey reads what [PublicKey].String has written.
func ParsePublicKey(s string) (PublicKey, error) { return noise.ParsePublicKey(s) }

// A NoiseOption changes the suite [Noise].
type NoiseOption func(*noise.Options)

// NoiseServer gives a server its private key, or up to four while it rotates
// them: a session stays with the key that it began with, so that a key should
// stay here for as long as sessions live that were opened with it.
func NoiseServer(keys ...PrivateKey) NoiseOption {
	return func(o *noise.Options) { o.ServerKeys = append(o.ServerKeys, keys...) }
}

// NoiseClient gives a client the public key of its server, or up to four, which
// it tries in this order. Whoever has one of the private keys is the server.
func NoiseClient(serverKeys ...PublicKey) NoiseOption {
	return func(o *noise.Options) { o.PinnedKeys = append(o.PinnedKeys, serverKeys...) }
}

// NoiseNode gives a server that is one of several behind one address its
// number, from 1 to 2³²-1, which must be its own. A client that comes back says
// in clear which node it wants, for a load balancer to read. Without it the
// number is 0.
func NoiseNode(number int64) NoiseOption {
	return func(o *noise.Options) { o.Node = number }
}

// Noise is the modern suite, and the one to choose on the internet. A session
// opens and resumes in one round trip with handshakes of the Noise Protocol
// Framework (pattern NK, X25519, SHA-256); records are sealed with AES-256-GCM
// where the client's processor has it and with ChaCha20-Poly1305 otherwise; the
// peer acknowledges what it has, so that nothing is lost while the session
// lives, and Close delivers everything.
//
// A server needs [NoiseServer] and a client [NoiseClient]. The client knows that
// it speaks with the server; the server admits everybody. Recorded traffic
// stays closed when the server's key is stolen later. See docs/spec/noise.md
// for what an attacker can and cannot do. A wrong or missing option is an error
// of the listener or dialer that the suite is given to.
func Noise(options ...NoiseOption) Suite {
	var o noise.Options
	for _, f := range options {
		f(&o)
	}
	return newNoise(o)
}

// InsecureNoise is the suite [Noise] for a client that does not have the
// server's key, and a server that takes only such clients: pattern NN. Nobody
// proves who they are, so that whoever is on the path when a session is opened
// can read and change everything. It still keeps out those who only listen.
func InsecureNoise() Suite { return newNoise(noise.Options{Insecure: true}) }

func newNoise(o noise.Options) Suite {
	p, err := noise.New(o)
	if err != nil {
		return wire{err: err}
	}
	return wire{p: p}
}
