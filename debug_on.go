//go:build relinkdebug

package relink

// assert panics if a bit says that nothing is out of the ordinary, and something is; or
// if nobody does what is to be done.
func (s *session) assert() {
	if s.fastWrite && s.sender == roleFree && (!s.writesFast() || s.mustSend()) {
		panic("relink: internal error: not everything is ordinary for a Write")
	}
	if s.fastRead && s.receiver == roleFree && (!s.readsFast() || s.standbyWanted(s.link)) {
		panic("relink: internal error: not everything is ordinary for a Read")
	}
	if s.link != nil && !s.done && !s.ticking && s.ticksWanted(s.link) {
		panic("relink: internal error: ticks are wanted, and there are none")
	}
}
