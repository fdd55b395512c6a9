package relink

import (
	"github.com/relink-go/relink/internal/scp"
	"github.com/relink-go/relink/internal/snet"
	"github.com/relink-go/relink/internal/suite"
)

// A Suite is a wire protocol with its options: what is said on the wire, how
// keys are agreed, and what protects the stream. The suites of this package
// are [Noise], and for existing deployments [DH64RC4] and [SCP]. A Suite holds
// no state and may be used by any number of listeners and dialers.
type Suite interface {
	// String names the suite.
	String() string

	// protocol returns what the core speaks to, or what is wrong with the
	// options.
	protocol() (suite.Protocol, error)
}

// wire is the Suite of every protocol.
type wire struct {
	p   suite.Protocol
	err error
}

func (w wire) String() string {
	if w.err != nil {
		return "invalid suite: " + w.err.Error()
	}
	return w.p.String()
}

func (w wire) protocol() (suite.Protocol, error) { return w.p, w.err }

// A DH64RC4Option changes the suite [DH64RC4].
type DH64RC4Option func(*snet.Options)

// WithClearStream switches the encryption of the stream off, as some existing
// deployments of the protocol do. The key exchange, the encrypted session id
// and the proofs of a resume stay; both sides must agree on it beforehand.
func WithClearStream() DH64RC4Option {
	return func(o *snet.Options) { o.Cleartext = true }
}

// DH64RC4 is the snet protocol: a 64-bit Diffie-Hellman key exchange and RC4.
// It is for servers and clients that speak it already.
//
// It is obfuscation, not protection. Nothing authenticates the server, so
// anyone on the path can read and change everything. A recorded session is
// opened in well under a second of ordinary computation, because p − 1 has
// only small factors (Pohlig and Hellman, 1978), and both directions use the
// same RC4 key stream. What it does protect against is an accidental or casual
// take-over of somebody else's session. The wire has no acknowledgements and
// no close message; what follows from that is said in the package
// documentation and in docs/spec/snet.md.
func DH64RC4(options ...DH64RC4Option) Suite {
	var o snet.Options
	for _, f := range options {
		f(&o)
	}
	return wire{p: snet.New(o)}
}

// An SCPOption changes the suite [SCP].
type SCPOption func(*scp.Options)

// WithTargetServer names the back end that the client would like to reach, in
// letters, digits and underscores. Client.
func WithTargetServer(name string) SCPOption {
	return func(o *scp.Options) { o.TargetServer = name }
}

// WithSCPFlag sets the flag that the client sends: a set of 32 bits, of which
// [SCPFlagForbidForwardIP] is one. Client.
func WithSCPFlag(flag int64) SCPOption {
	return func(o *scp.Options) { o.Flag = flag }
}

// SCPFlagForbidForwardIP forbids passing the client's address on to the back
// end.
const SCPFlagForbidForwardIP = scp.FlagForbidForwardIP

// SCP is goscon's stable connection protocol: a 64-bit Diffie-Hellman key
// exchange and RC4, like [DH64RC4], with text handshakes. It is for servers and
// clients that speak it already, and just as weak: obfuscation, not
// protection. See docs/spec/scp.md. A wrong option is an error of the listener
// or dialer that the suite is given to.
func SCP(options ...SCPOption) Suite {
	var o scp.Options
	for _, f := range options {
		f(&o)
	}
	p, err := scp.New(o)
	if err != nil {
		return wire{err: err}
	}
	return wire{p: p}
}

// An SCPStatusError is a server's answer other than 200 OK to a handshake of
// the suite [SCP].
type SCPStatusError = scp.StatusError

// SCPRequest is what a client of the suite [SCP] asked for when it opened the
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
// suite is not [SCP].
func SCPRequestOf(c *Conn) (SCPRequest, bool) {
	s, ok := c.session.(*scp.Session)
	if !ok {
		return SCPRequest{}, false
	}
	var r SCPRequest
	r.TargetServer, r.HasTarget = s.Target()
	r.Flag, r.HasFlag = s.Flag()
	return r, true
}
