package relink

import (
	"errors"

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
