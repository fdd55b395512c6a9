package relink

import (
	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
)

// NoiseServer is the server's side of the modern suite, and the one to choose on
// the internet. A session opens and resumes in one round trip with handshakes of
// the Noise Protocol Framework (pattern NK, or IK for clients with a key; X25519
// and ML-KEM-768, SHA-256); records are sealed with AES-256-GCM where the client's
// processor has it and with ChaCha20-Poly1305 otherwise; the peer acknowledges
// what it has, so that nothing is lost while the session lives, and Close delivers
// everything.
//
// The client knows that it speaks with the server. The server admits everybody,
// unless it requires a key of the client, or an invitation, or
// [ListenConfig.Authorize] says no. There is forward secrecy: a recording
// cannot be decrypted with the server's key stolen later, nor by breaking X25519. See
// docs/spec/noise.md for what an attacker can and cannot do.
type NoiseServer struct {
	// Keys are the server's private key, or up to four while it rotates them:
	// a session stays with the key that it began with, so that a key should
	// stay here for as long as sessions live that were opened with it.
	Keys []PrivateKey

	// RequireClientKey turns clients away that have no key of their own
	// ([NoiseClient.Key]). Without it the server takes both, and
	// [Conn.PeerKey] tells which it is. Whose key is welcome is for
	// [ListenConfig.Authorize] to say.
	RequireClientKey bool

	// PresharedKeys, up to 16, make the server invitation-only: a client has to
	// have one of them, and learns nothing without. [Identity.PresharedKey] tells
	// which. [Listener.SetPresharedKeys] exchanges them.
	PresharedKeys []PresharedKey

	// Classical takes clients that leave post-quantum secrecy out
	// ([NoiseClient.Classical]) beside the others.
	Classical bool

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

	// Key is the client's own key, with which it proves to the server who it is;
	// nobody on the path learns it. The zero value is none.
	Key PrivateKey

	// PresharedKey is what the server has invited the client with, or zero.
	PresharedKey PresharedKey

	// Target names what the client would like to reach behind the server, a game
	// or a back end, in at most 80 bytes of UTF-8 without control characters. It
	// travels encrypted in the first message; the server finds it in
	// [Identity.Target].
	Target string

	// Classical leaves ML-KEM out of the key exchange, for a tiny device or a very
	// narrow path: it saves 1.2 KB each way and half of a new session's
	// processor time. A recording of such a session can be decrypted once X25519 is
	// broken. The server has to allow it.
	Classical bool
}

// InsecureNoiseServer is the suite Noise for a server that takes only clients
// without its key: pattern NN. Nobody proves who they are, so that whoever is on
// the path when a session is opened can read and change everything. It still
// keeps out those who only listen.
type InsecureNoiseServer struct {
	// PresharedKeys are as in [NoiseServer]. With them, only who has one of them
	// can be in the middle.
	PresharedKeys []PresharedKey

	// Classical is as in [NoiseServer].
	Classical bool

	// Node is as in [NoiseServer].
	Node int64
}

// InsecureNoiseClient is the client's side of [InsecureNoiseServer].
type InsecureNoiseClient struct {
	// PresharedKey is as in [NoiseClient].
	PresharedKey PresharedKey

	// Target is as in [NoiseClient], but in clear unless there is a PresharedKey.
	Target string

	// Classical is as in [NoiseClient].
	Classical bool
}

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
	return noise.New(noise.Options{
		ServerKeys: rawKeys(s.Keys), RequireClientKey: s.RequireClientKey,
		PresharedKeys: rawPresharedKeys(s.PresharedKeys), Classical: s.Classical, Node: s.Node,
	})
}

// ClientProtocol implements [ClientSuite].
func (s NoiseClient) ClientProtocol() (suite.Protocol, error) {
	o := noise.Options{
		ClientKey: s.Key.raw(), PresharedKeys: invitation(s.PresharedKey), Target: s.Target, Classical: s.Classical,
	}
	for _, k := range s.ServerKeys {
		o.PinnedKeys = append(o.PinnedKeys, noise.PublicKey(k))
	}
	return noise.New(o)
}

// ServerProtocol implements [ServerSuite].
func (s InsecureNoiseServer) ServerProtocol() (suite.Protocol, error) {
	return noise.New(noise.Options{
		Insecure: true, PresharedKeys: rawPresharedKeys(s.PresharedKeys), Classical: s.Classical, Node: s.Node,
	})
}

// ClientProtocol implements [ClientSuite].
func (s InsecureNoiseClient) ClientProtocol() (suite.Protocol, error) {
	return noise.New(noise.Options{
		Insecure: true, PresharedKeys: invitation(s.PresharedKey), Target: s.Target, Classical: s.Classical,
	})
}

// rawKeys returns the keys for internal/noise, which refuses those that are zero.
func rawKeys(keys []PrivateKey) (raw []noise.PrivateKey) {
	for _, k := range keys {
		raw = append(raw, k.raw())
	}
	return raw
}

func rawPresharedKeys(keys []PresharedKey) (raw []noise.PresharedKey) {
	for _, k := range keys {
		raw = append(raw, k.raw())
	}
	return raw
}

// invitation returns a client's key, if it has one.
func invitation(k PresharedKey) []noise.PresharedKey {
	if k.IsZero() {
		return nil
	}
	return rawPresharedKeys([]PresharedKey{k})
}
