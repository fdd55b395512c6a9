package relink

import "time"

// A server does not believe in a link for ever on which nothing comes: whoever is on the
// path can keep the server's end of it alive, cut the client's, and deliver what it has
// withheld long after the client has given the session up. The kernel's keep-alive proves
// nothing, since anybody answers it. So where the wire has pings, which are
// authenticated, a link on which nothing has arrived for half of ResumeTimeout is
// pinged, and lost if nothing comes within LivenessTimeout. The sweeper sees to it from
// its agenda: a connected session costs it one look in a quarter of ResumeTimeout.

// provenAliveLocked notes that the link has just proven that the client lives. The
// caller holds the session's lock, and not the listener's.
func (l *Listener) provenAliveLocked(c *Conn) {
	t := c.s.link
	if t == nil || l == nil || !c.s.send.Traits.Pings || c.set.LivenessTimeout < 0 {
		return
	}
	t.probe.lately = false
	if !c.s.ticking {
		t.heard = false
	} // else the next tick needs it, and notes it once more, which costs a tick
	l.schedule(c, c.s.resumeTimeout(c.set.ResumeTimeout)/4)
}

// proveAliveLocked is called a quarter of ResumeTimeout after the last time, and pings a
// link on which nothing has arrived since. Ticks judge the answer.
func (l *Listener) proveAliveLocked(c *Conn) {
	t := c.s.link
	if p := &t.probe; !t.heard && !p.lately && !p.ping {
		p.ping, p.quiet = true, now()
		c.s.pingDue = true
	}
	l.provenAliveLocked(c)
}

// resumeTimeout is how long the session may be without a transport, which is usual unless
// it was told otherwise.
func (s *session) resumeTimeout(usual time.Duration) time.Duration {
	if s.ended != nil && s.ended.resumeTimeout != 0 {
		return s.ended.resumeTimeout
	}
	return usual
}
