//go:build relinkdebug

package relink

// assertLocked panics if a bit says that nothing is out of the ordinary, and something is;
// or if nobody does what is to be done.
func (c *Conn) assertLocked() {
	if c.fastWrite && c.sender == roleFree && (!c.writesFastLocked() || c.mustSendLocked()) {
		panic("relink: internal error: not everything is ordinary for a Write")
	}
	if c.fastRead && c.receiver == roleFree && (!c.readsFastLocked() || c.standbyWantedLocked(c.link)) {
		panic("relink: internal error: not everything is ordinary for a Read")
	}
	if c.link != nil && !c.done && !c.ticking && c.ticksWantedLocked(c.link) {
		panic("relink: internal error: ticks are wanted, and there are none")
	}
}
