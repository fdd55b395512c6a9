package relink

import (
	"errors"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/scp"
	"github.com/relink-go/relink/internal/snet"
	"github.com/relink-go/relink/internal/suite"
)

// A ServerSuite is a wire protocol with a server's options: what is said on the
// wire, how keys are agreed, and what protects the stream. They are
// [NoiseServer] and [InsecureNoiseServer], and for existing deployments
// [DH64RC4Server] and [SCPServer]. A suite is a value without state that any
// number of listeners may use. What is wrong with its options is an error of
// the listener that it is given to.
type ServerSuite interface {
	// String names the suite.
	String() string

	// ServerProtocol returns what the core speaks to, or what is wrong with the
	// options. Its type is internal, so that only packages of this module
	// implement a suite.
	ServerProtocol() (suite.Protocol, error)
}

// A ClientSuite is a wire protocol with a client's options. They are
// [NoiseClient] and [InsecureNoiseClient], and for existing deployments
// [DH64RC4Client] and [SCPClient]. A suite is a value without state that any
// number of dialers may use. What is wrong with its options is an error of
// Dial.
type ClientSuite interface {
	// String names the suite.
	String() string

	// ClientProtocol is a client's [ServerSuite.ServerProtocol].
	ClientProtocol() (suite.Protocol, error)
}

// DH64RC4Server is the server's side of the snet protocol: a 64-bit
// Diffie-Hellman key exchange and RC4. It is for clients that speak it already.
//
// It is obfuscation, not protection. Nothing authenticates the server, so
// anyone on the path can read and change everything. A recorded session is
// opened in well under a second of ordinary computation, because p − 1 has
// only small factors (Pohlig and Hellman, 1978), and both directions use the
// same RC4 key stream. What it does protect against is an accidental or casual
// take-over of somebody else's session. The wire has no acknowledgements and
// no close message; what follows from that is said in the package
// documentation and in docs/spec/snet.md.
type DH64RC4Server struct {
	// ClearStream switches the encryption of the stream off, as some existing
	// deployments of the protocol do. The key exchange, the encrypted session
	// id and the proofs of a resume stay; both sides must agree on it
	// beforehand.
	ClearStream bool
}

// DH64RC4Client is the client's side of [DH64RC4Server].
type DH64RC4Client struct {
	// ClearStream is as in [DH64RC4Server].
	ClearStream bool
}

// String names the suite.
func (s DH64RC4Server) String() string { return s.protocol().String() }

// String names the suite.
func (s DH64RC4Client) String() string { return s.protocol().String() }

// ServerProtocol implements [ServerSuite].
func (s DH64RC4Server) ServerProtocol() (suite.Protocol, error) { return s.protocol(), nil }

// ClientProtocol implements [ClientSuite].
func (s DH64RC4Client) ClientProtocol() (suite.Protocol, error) { return s.protocol(), nil }

func (s DH64RC4Server) protocol() suite.Protocol {
	return snet.New(snet.Options{Cleartext: s.ClearStream})
}

func (s DH64RC4Client) protocol() suite.Protocol {
	return snet.New(snet.Options{Cleartext: s.ClearStream})
}

// SCPServer is the server's side of goscon's stable connection protocol: a
// 64-bit Diffie-Hellman key exchange and RC4, like [DH64RC4Server], with text
// handshakes. It is for clients that speak it already, and just as weak:
// obfuscation, not protection. See docs/spec/scp.md.
type SCPServer struct {
	// ClearStream switches the encryption of the stream off, as some existing
	// deployments do, over WebSocket for instance, where TLS is below. The
	// handshakes stay as they are; both sides must agree on it beforehand.
	ClearStream bool
}

// SCPClient is the client's side of [SCPServer].
type SCPClient struct {
	// TargetServer names the back end that the client would like to reach, in
	// at most 998 letters, digits and underscores. Empty means any.
	TargetServer string

	// Flag is a set of 32 bits that the server is sent, of which
	// [SCPFlagForbidForwardIP] is one.
	Flag int64

	// ClearStream is as in [SCPServer].
	ClearStream bool
}

// SCPFlagForbidForwardIP forbids passing the client's address on to the back
// end.
const SCPFlagForbidForwardIP = 1

// String names the suite.
func (s SCPServer) String() string { return scp.Name(s.ClearStream) }

// String names the suite.
func (s SCPClient) String() string { return scp.Name(s.ClearStream) }

// ServerProtocol implements [ServerSuite].
func (s SCPServer) ServerProtocol() (suite.Protocol, error) {
	return scp.New(scp.Options{Cleartext: s.ClearStream})
}

// ClientProtocol implements [ClientSuite].
func (s SCPClient) ClientProtocol() (suite.Protocol, error) {
	return scp.New(scp.Options{TargetServer: s.TargetServer, Flag: s.Flag, Cleartext: s.ClearStream})
}

// An SCPStatusError is a server's answer other than 200 OK to a handshake of
// the suite SCP. It is [ErrAuthentication] where the code is 401 and
// [ErrReplayGap] where it is 406.
type SCPStatusError struct {
	Code int // as on the wire: 404, for instance
}

// Error implements the error interface.
func (e SCPStatusError) Error() string { return scp.StatusError(e).Error() }

// Name says in words what the code means.
func (e SCPStatusError) Name() string { return scp.StatusError(e).Name() }

// Is makes errors.Is find what the code stands for.
func (e SCPStatusError) Is(target error) bool { return scp.StatusError(e).Is(target) }

// publicError gives what a protocol's client returns the type that users know.
func publicError(err error) error {
	var status scp.StatusError
	if errors.As(err, &status) {
		return SCPStatusError(status)
	}
	return err
}

// SCPRequest is what a client of the suite SCP asked for when it opened the
// session.
type SCPRequest struct {
	// TargetServer is the back end that the client would like to reach, empty
	// for any. It is the client's word: check it.
	TargetServer string
	// Flag is a set of 32 bits, of which [SCPFlagForbidForwardIP] is one.
	Flag int64
	// HasTarget and HasFlag say whether the client sent the line at all; older
	// clients leave the flag, or both, out.
	HasTarget, HasFlag bool
}

// SCPRequestOf returns what the client asked for, and false if the session's
// suite is not SCP.
func SCPRequestOf(c *Conn) (SCPRequest, bool) {
	s, ok := scp.SessionOf(c.s.send.Session)
	if !ok {
		return SCPRequest{}, false
	}
	var r SCPRequest
	r.TargetServer, r.HasTarget = s.Target()
	r.Flag, r.HasFlag = s.Flag()
	return r, true
}

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
