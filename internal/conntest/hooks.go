package conntest

import (
	"sync/atomic"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
)

// hooks come between one side of a session and its suite. What is not set changes
// nothing.
type hooks struct {
	// encrypting and decrypting are called before so many bytes are, and sealing
	// before so many become a record.
	encrypting, decrypting, sealing atomic.Pointer[func(n int)]

	// pending takes the place of the data that a client's handshake carries.
	pending atomic.Pointer[func(p []byte) (offset int64, n int)]

	// offsets may change the counts that a handshake tells.
	offsets atomic.Pointer[func(suite.Offsets) suite.Offsets]

	// resumed is called at the end of each handshake of a resume.
	resumed atomic.Pointer[func()]
}

// hooked returns the suite with hooks in its two sides.
func hooked(s Suite) (both Suite, client, server *hooks) {
	client, server = new(hooks), new(hooks)
	return sides{hookedServer{s, server}, hookedClient{s, client}}, client, server
}

// holdEncrypt makes the cipher wait where the session's lock is not held,
// until release is called.
func (h *hooks) holdEncrypt() (release func()) { return hold(&h.encrypting, stream.EncryptShort) }

// holdDecrypt is holdEncrypt for what has arrived.
func (h *hooks) holdDecrypt() (release func()) { return hold(&h.decrypting, stream.EncryptShort) }

// holdSeal makes codecs wait before they seal data, which they do
// without the session's lock, until release is called.
func (h *hooks) holdSeal() (release func()) { return hold(&h.sealing, 0) }

// hold makes what handles more than some bytes wait.
func hold(p *atomic.Pointer[func(int)], least int) (release func()) {
	gate := make(chan struct{})
	wait := func(n int) {
		if n > least {
			<-gate
		}
	}
	p.Store(&wait)
	return func() { close(gate) }
}

func call(p *atomic.Pointer[func(int)], n int) {
	if f := p.Load(); f != nil {
		(*f)(n)
	}
}

type hookedServer struct {
	relink.ServerSuite
	h *hooks
}

// ServerProtocol implements [relink.ServerSuite].
func (s hookedServer) ServerProtocol() (suite.Protocol, error) {
	p, err := s.ServerSuite.ServerProtocol()
	return hookedProtocol{p, s.h}, err
}

type hookedClient struct {
	relink.ClientSuite
	h *hooks
}

// ClientProtocol implements [relink.ClientSuite].
func (s hookedClient) ClientProtocol() (suite.Protocol, error) {
	p, err := s.ClientSuite.ClientProtocol()
	return hookedProtocol{p, s.h}, err
}

type hookedProtocol struct {
	suite.Protocol
	h *hooks
}

// Configure implements suite.Configurable.
func (p hookedProtocol) Configure(server bool, window int64) (suite.Protocol, error) {
	c, ok := p.Protocol.(suite.Configurable)
	if !ok {
		return p, nil
	}
	configured, err := c.Configure(server, window)
	return hookedProtocol{configured, p.h}, err
}

// Traits implements suite.Protocol. A cipher that calls a hook is more than a copy.
func (p hookedProtocol) Traits() suite.Traits {
	traits := p.Protocol.Traits()
	traits.Copies = false
	return traits
}

// Open implements suite.Protocol.
func (p hookedProtocol) Open(s suite.Stream) (suite.Session, suite.Link, error) {
	session, link, err := p.Protocol.Open(s)
	if err != nil {
		return nil, suite.Link{}, err
	}
	return hookedSession{session, p.h}, p.h.link(link), nil
}

// Serve implements suite.Protocol.
func (p hookedProtocol) Serve(s suite.Stream, h suite.Host) error {
	return p.Protocol.Serve(s, hookedHost{h, p.h})
}

type hookedHost struct {
	suite.Host
	h *hooks
}

// Offer implements suite.Host.
func (h hookedHost) Offer(s suite.Session, k suite.Key) error {
	return h.Host.Offer(hookedSession{s, h.h}, k)
}

// Establish implements suite.Host.
func (h hookedHost) Establish(l suite.Link) error { return h.Host.Establish(h.h.link(l)) }

// Find implements suite.Host.
func (h hookedHost) Find(k suite.Key) (suite.Target, bool) {
	target, ok := h.Host.Find(k)
	return hookedTarget{target, h.h}, ok
}

type hookedTarget struct {
	suite.Target
	h *hooks
}

// Session implements suite.Target.
func (t hookedTarget) Session() suite.Session { return t.Target.Session().(hookedSession).Session }

// TakeOver implements suite.Target.
func (t hookedTarget) TakeOver(c suite.Claim, l suite.Link) error {
	return t.Target.TakeOver(c, t.h.link(l))
}

func (h *hooks) link(l suite.Link) suite.Link {
	if l.Codec != nil {
		l.Codec = hookedCodec{l.Codec, h}
	}
	return l
}

type hookedSession struct {
	suite.Session
	h *hooks
}

// Encrypt implements suite.Session.
func (s hookedSession) Encrypt(dst, src []byte) {
	call(&s.h.encrypting, len(src))
	s.Session.Encrypt(dst, src)
}

// Decrypt implements suite.Session.
func (s hookedSession) Decrypt(dst, src []byte) {
	call(&s.h.decrypting, len(src))
	s.Session.Decrypt(dst, src)
}

// Resume implements suite.Session.
func (s hookedSession) Resume(t suite.Stream, c suite.Client) (suite.Link, error) {
	link, err := s.Session.Resume(t, hookedResume{c, s.h})
	if f := s.h.resumed.Load(); f != nil {
		(*f)()
	}
	return s.h.link(link), err
}

type hookedResume struct {
	suite.Client
	h *hooks
}

// Offsets implements suite.Client.
func (c hookedResume) Offsets() suite.Offsets {
	o := c.Client.Offsets()
	if f := c.h.offsets.Load(); f != nil {
		o = (*f)(o)
	}
	return o
}

// Pending implements suite.Client.
func (c hookedResume) Pending(p []byte) (offset int64, n int) {
	if f := c.h.pending.Load(); f != nil {
		return (*f)(p)
	}
	return c.Client.Pending(p)
}

type hookedCodec struct {
	suite.Codec
	h *hooks
}

// Seal implements suite.Codec.
func (c hookedCodec) Seal(dst, data []byte, k suite.Control) []byte {
	call(&c.h.sealing, len(data))
	return c.Codec.Seal(dst, data, k)
}
