package relink

import "fmt"

// Vigilance says how soon a client suspects a link that shows no sign of life. A
// suspicion costs a second transport beside the first, of which one is dropped; the link
// itself is given up as lost only after [Config.LivenessTimeout], whatever the vigilance.
type Vigilance int

const (
	// VigilanceForeground is for what somebody waits for, as in a game: a link is
	// suspected when a ping has had no answer for longer than a round trip explains, a few
	// tenths of a second on ordinary paths. When the peer, who has been sending, falls
	// silent, one ping asks at once.
	VigilanceForeground Vigilance = iota
	// VigilanceBackground is for what can wait a few seconds, as a chat that nobody looks
	// at: eight times as patient, and a silence is asked about after half of
	// LivenessTimeout.
	VigilanceBackground
	// VigilanceOff suspects nothing: a silent loss shows after LivenessTimeout.
	VigilanceOff
)

// String names the vigilance in lower case.
func (v Vigilance) String() string {
	switch v {
	case VigilanceForeground:
		return "foreground"
	case VigilanceBackground:
		return "background"
	case VigilanceOff:
		return "off"
	default:
		return fmt.Sprintf("Vigilance(%d)", int(v))
	}
}

// check returns what is wrong with a vigilance.
func (v Vigilance) check() error {
	if v < VigilanceForeground || v > VigilanceOff {
		return fmt.Errorf("relink: Vigilance is %d: use VigilanceForeground, VigilanceBackground or VigilanceOff", int(v))
	}
	return nil
}

// SetVigilance changes what [Dialer.Vigilance] has set, for this session and at once, as
// when an application moves to the background. It never waits. On a server and on a session
// that has ended it does nothing. The error is of a value that is none.
func (c *Conn) SetVigilance(v Vigilance) error {
	if err := v.check(); err != nil {
		return c.opError("set", err)
	}
	c.mu.Lock()
	defer c.unlock()
	if c.redial == nil || c.s.done {
		return nil
	}
	c.redial.vigilance = v
	if l := c.s.link; v == VigilanceOff && l != nil && l.suspicion != nil {
		c.withdrawLocked(l)
	}
	return nil
}
