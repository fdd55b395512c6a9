package relink

import "github.com/relink-go/relink/internal/suite"

// A SessionHook comes between a Conn and its suite's session. What is nil there
// changes nothing.
type SessionHook struct {
	// Pending takes the place of the data that a client's handshake carries.
	Pending func(p []byte) (offset int64, n int)
	// Resumed is called at the end of each handshake of a resume.
	Resumed func()
	// Encrypting is called before each Encrypt.
	Encrypting func()
}

// HookSession sets the hook of a client's session, which must be at rest.
func (c *Conn) HookSession(h SessionHook) {
	c.mu.Lock()
	defer c.unlock()
	setSession(c, hookedSession{c.session(), h})
	if h.Encrypting != nil { // which is then no longer only a copy
		c.traits().Copies = false
	}
}

type hookedSession struct {
	suite.Session
	hook SessionHook
}

func (s hookedSession) Encrypt(dst, src []byte) {
	if s.hook.Encrypting != nil {
		s.hook.Encrypting()
	}
	s.Session.Encrypt(dst, src)
}

func (s hookedSession) Resume(t suite.Stream, c suite.Client) (suite.Link, error) {
	if s.hook.Pending != nil {
		c = hookedClient{c, s.hook.Pending}
	}
	l, err := s.Session.Resume(t, c)
	if s.hook.Resumed != nil {
		s.hook.Resumed()
	}
	return l, err
}

type hookedClient struct {
	suite.Client
	pending func(p []byte) (offset int64, n int)
}

func (c hookedClient) Pending(p []byte) (offset int64, n int) { return c.pending(p) }

// SayFirst sends a record with the control as the first of the resumed link.
func (p *Presented) SayFirst(k suite.Control) {
	_, p.Err = p.Transport.Write(p.link.Codec.Seal(nil, nil, k))
}

// ResumeAtOnce takes from a client the moment of quiet that the servers of its
// protocol need, which relink's do not: see suite.Settling and TestMomentOfQuiet.
func ResumeAtOnce(c *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.redial.settle = 0
}
